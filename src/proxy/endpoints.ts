import type { Socket } from 'node:net';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import { Balancer } from './balance.ts';
import { ConnectTimeout } from './connect.ts';
import { Endpoint } from './endpoint.ts';
import { faultOf } from './faults.ts';
import type { UpstreamAddress, UpstreamOptions } from './options.ts';
import { type Lookup, Resolver } from './resolver.ts';

/** What endpoints need besides the configuration. */
export interface Surroundings {
  readonly clock: Clock;
  readonly log: Log;
  readonly lookup: Lookup;
}

/** Endpoints that one request tries to connect to at most. */
const mostAttempts = 3;

/** How long a connect waits for a name that is asked for again, while there is somewhere to connect to. */
const patientMs = 250;

/** Without checks nobody asks for them. */
const noChecks = { rise: 1, fall: 1 };

/** Faults of this machine say nothing about an endpoint, and are the same at the next. */
const ownFaults = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM']);

interface Source {
  readonly url: UpstreamAddress;
  readonly resolver: Resolver;
  /** The answer that `endpoints` were made from. */
  addresses: readonly string[];
  endpoints: readonly Endpoint[];
  asking: Promise<void> | null;
}

/** Where an upstream is: the endpoints that its URLs stand for, which of them comes next, and the way to it. */
export class Endpoints {
  /** Of all URLs, as they resolved last. */
  all: readonly Endpoint[] = [];
  readonly #options: UpstreamOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #sources: readonly Source[];
  readonly #balancer = new Balancer<Endpoint>();

  constructor(options: UpstreamOptions, { clock, log, lookup }: Surroundings) {
    this.#options = options;
    this.#clock = clock;
    this.#log = log;
    this.#sources = options.addresses.map(url => ({
      url,
      resolver: new Resolver(url.hostname, lookup, clock),
      addresses: [],
      endpoints: [],
      asking: null,
    }));
    for (const source of this.#sources) this.#take(source);
  }

  /** The endpoint that the next request goes to; null when no name has been resolved yet. */
  choose(): Endpoint | null {
    // Nobody waits for names while connections are used again; requests keep them fresh all the same.
    void this.#renew();
    return this.#among(this.all, null);
  }

  #among(endpoints: readonly Endpoint[], except: ReadonlySet<Endpoint> | null): Endpoint | null {
    const now = this.#clock.monotonic();
    const chosen = this.#balancer.choose(endpoints, now, except);
    chosen?.health.chosen(now);
    return chosen;
  }

  /**
   * A connection to the endpoint that `journey` has, or to another while nothing came of it: nothing was sent yet.
   * `authority` keeps it to the URLs of one. Rejects with what went wrong last.
   */
  async connect(
    journey: { readonly endpoint: Endpoint | null; moveTo(endpoint: Endpoint): void },
    authority: string | null,
    signal: AbortSignal,
  ): Promise<Socket> {
    const { connectTimeoutMs } = this.#options;
    const deadline = this.#clock.monotonic() + connectTimeoutMs;
    const tried = new Set<Endpoint>();
    let failure: unknown = new ConnectTimeout('connect timeout');
    for (;;) {
      await this.refresh(deadline - this.#clock.monotonic());
      signal.throwIfAborted();
      const fitting = authority === null ? this.all : this.all.filter(endpoint => endpoint.authority === authority);
      const first = tried.size === 0 && journey.endpoint?.retired === false ? journey.endpoint : null;
      const endpoint = first ?? this.#among(fitting, tried);
      const left = deadline - this.#clock.monotonic();
      if (endpoint === null || left <= 0) throw failure;
      journey.moveTo(endpoint);
      tried.add(endpoint);
      // One that does not answer leaves time for the next.
      const last = tried.size >= Math.min(mostAttempts, fitting.length);
      try {
        return await endpoint.dial(last ? left : left / 2, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (ownFaults.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
        failure = error;
        this.#unreachable(endpoint, error);
        if (tried.size >= mostAttempts) throw failure;
      }
    }
  }

  /**
   * Asks for names that have not been asked for lately. While there is somewhere to connect to it waits a moment at
   * most; otherwise as long as it is told, and rejects with what is wrong with the names.
   */
  async refresh(waitMs: number): Promise<void> {
    const asked = this.#renew();
    if (asked.length > 0)
      await within(Promise.all(asked), this.all.length === 0 ? waitMs : Math.min(patientMs, waitMs));
    if (this.all.length > 0) return;
    throw (
      this.#sources.find(({ resolver }) => resolver.failure !== null)?.resolver.failure ?? new ConnectTimeout('dns')
    );
  }

  /** Asks for each name that is stale, unless that is under way already. */
  #renew(): Promise<void>[] {
    const asked: Promise<void>[] = [];
    for (const source of this.#sources) {
      if (!source.resolver.stale) continue;
      source.asking ??= source.resolver.ask().then(() => {
        source.asking = null;
        this.#take(source);
      });
      asked.push(source.asking);
    }
    return asked;
  }

  /** Endpoints as the name resolves now. Those that were there before stay what they were. */
  #take(source: Source): void {
    const { addresses } = source.resolver;
    if (source.addresses === addresses) return;
    const known = new Map(source.addresses.map((address, i) => [address, source.endpoints[i]!]));
    source.endpoints = addresses.map(address => known.get(address) ?? this.#make(source.url, address));
    source.addresses = addresses;
    this.all = this.#sources.flatMap(({ endpoints }) => endpoints);
    for (const [address, endpoint] of known) if (!addresses.includes(address)) endpoint.retire();
  }

  #make(url: UpstreamAddress, address: string): Endpoint {
    return new Endpoint(url, address, this.#options.tls, this.#options.health ?? noChecks);
  }

  /** It answered a request. */
  answered(endpoint: Endpoint): void {
    this.#judge(endpoint, null, () => endpoint.health.answered());
  }

  /** It was sent a request and did not answer, by its own fault. */
  unanswered(endpoint: Endpoint, error: unknown): void {
    this.#judge(endpoint, error, () => endpoint.health.unanswered(this.#clock.monotonic()));
  }

  /** A check of it passed, or failed with an error. */
  checked(endpoint: Endpoint, error: unknown): void {
    this.#judge(endpoint, error, () => endpoint.health.checked(error === null));
  }

  #unreachable(endpoint: Endpoint, error: unknown): void {
    this.#sources.find(({ endpoints }) => endpoints.includes(endpoint))?.resolver.distrust();
    // Connections that lie idle would fail as well, one request after the other.
    endpoint.discardIdle();
    this.#judge(endpoint, error, () => endpoint.health.unreachable(this.#clock.monotonic()));
  }

  /** Changes of the verdict are logged. */
  #judge(endpoint: Endpoint, error: unknown, change: () => void): void {
    const before = endpoint.health.healthy;
    change();
    const after = endpoint.health.healthy;
    if (before === after) return;
    const fields = { upstream: this.#options.name, address: endpoint.label };
    if (after) this.#log.info(fields, 'an address of an upstream is healthy again');
    else this.#log.warn({ ...fields, fault: faultOf(error) }, 'an address of an upstream is not healthy');
  }
}

/** Waits for the promise, and no longer than this: it goes on by itself. */
async function within(promise: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>(resolve => {
    timer = setTimeout(resolve, Math.max(1, ms));
  });
  await Promise.race([promise, late]);
  clearTimeout(timer);
}
