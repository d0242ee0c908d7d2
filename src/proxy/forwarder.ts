import type { Permit } from '../core/decide.ts';
import type { Clock } from '../ports/clock.ts';
import type { Forwarded, Forwarder, Journey } from '../ports/forwarder.ts';
import type { FeedEvent } from '../ports/token-store.ts';
import type { Surroundings } from './endpoints.ts';
import { type FieldRules, type HostRule, outgoing } from './fields.ts';
import { authorityOf, type UpstreamOptions } from './options.ts';
import { Pool } from './pool.ts';
import { Rejudgement } from './rejudgement.ts';
import { Relay, type RelayParts } from './relay.ts';
import { type StreamEnd, Tunnel } from './tunnel.ts';

interface Upstream {
  readonly options: UpstreamOptions;
  readonly pool: Pool;
  readonly host: HostRule;
  readonly results: Record<UpstreamResult, number>;
}

/** Addresses that have a series of their own, whatever names resolve to. */
const mostShown = 100;

/** How requests to an upstream ended. */
export type UpstreamResult = 'relayed' | 'aborted' | 'broken' | 'failed' | 'timeout' | 'overloaded';

/** The only door to the upstreams: takes a permit and a journey, and relays. */
export class UpstreamForwarder implements Forwarder {
  readonly #clock: Clock;
  readonly #surroundings: Surroundings;
  readonly #relays = new Set<Relay>();
  readonly #streams = new Set<Relay>();
  readonly #rejudgement: Rejudgement;
  readonly #streamEnds = new Map<StreamEnd, number>();
  #upstreams = new Map<string, Upstream>();
  #rules: FieldRules;
  /** Requests that were sent again. */
  retries = 0;
  #started = false;
  #ticker: NodeJS.Timeout | null = null;
  /** Made once for each upstream and configuration. */
  #parts = new WeakMap<Upstream, RelayParts>();

  constructor(upstreams: readonly UpstreamOptions[], rules: FieldRules, surroundings: Surroundings) {
    const { clock } = surroundings;
    this.#clock = clock;
    this.#surroundings = surroundings;
    this.#rejudgement = new Rejudgement(this.#relays, () => clock.wall());
    this.#rules = rules;
    this.configure(upstreams, rules);
  }

  /** New upstreams for requests to come. Connections of upstreams that did not change stay. */
  configure(upstreams: readonly UpstreamOptions[], rules: FieldRules): void {
    this.#rules = rules;
    this.#parts = new WeakMap();
    const next = new Map<string, Upstream>();
    for (const options of upstreams) {
      const known = this.#upstreams.get(options.name);
      const same = known !== undefined && sameOptions(known.options, options);
      next.set(options.name, same ? known : this.#open(options, known));
    }
    for (const [name, upstream] of this.#upstreams) if (next.get(name) !== upstream) upstream.pool.close();
    this.#upstreams = next;
    if (this.#started) this.start();
  }

  /** Begins to check the health of upstreams. */
  start(): void {
    this.#started = true;
    for (const { pool } of this.#upstreams.values()) pool.start();
  }

  #open(options: UpstreamOptions, before: Upstream | undefined): Upstream {
    const address = options.addresses[0];
    if (address === undefined) throw new Error(`upstream ${options.name} has no address`);
    const authority = authorityOf(address);
    return {
      options,
      pool: new Pool(options, this.#surroundings),
      host:
        options.host === 'preserve'
          ? { kind: 'preserve', fallback: authority }
          : { kind: 'fixed', host: options.host === 'upstream' ? authority : options.host },
      results: before?.results ?? { relayed: 0, aborted: 0, broken: 0, failed: 0, timeout: 0, overloaded: 0 },
    };
  }

  forward(permit: Permit, journey: Journey): Promise<Forwarded> {
    const upstream = this.#upstreams.get(permit.route.upstream);
    if (upstream === undefined) throw new Error(`no upstream ${permit.route.upstream}`);
    return new Promise(resolve => {
      const relay: Relay = new Relay(
        this.#partsFor(upstream),
        permit,
        journey,
        outgoing(permit, journey, this.#rules, upstream.host),
        forwarded => {
          this.#relays.delete(relay);
          upstream.results[resultOf(forwarded)]++;
          if (forwarded.retried) this.retries++;
          resolve(forwarded);
        },
      );
      this.#relays.add(relay);
      if (journey.inDoubt) this.#rejudgement.doubt(relay);
      this.#ticker ??= setInterval(() => this.#tick(), 100).unref();
      void relay.start();
    });
  }

  #partsFor(upstream: Upstream): RelayParts {
    let parts = this.#parts.get(upstream);
    if (parts === undefined) {
      const now = () => this.#clock.monotonic();
      parts = {
        options: upstream.options,
        pool: upstream.pool,
        rules: this.#rules,
        now,
        tunnel: (client, head, socket) => new Tunnel(client, head, socket, now),
        streams: {
          opened: relay => this.#streams.add(relay),
          closed: (relay, end) => {
            this.#streams.delete(relay);
            this.#streamEnds.set(end, (this.#streamEnds.get(end) ?? 0) + 1);
          },
        },
      };
      this.#parts.set(upstream, parts);
    }
    return parts;
  }

  #tick(): void {
    const now = this.#clock.monotonic();
    this.#rejudgement.tick();
    for (const relay of this.#relays) relay.tick(now);
    if (this.#relays.size === 0 && this.#ticker !== null) {
      clearInterval(this.#ticker);
      this.#ticker = null;
    }
  }

  /** Judges answers under way again whose token or account changed; null: all of them. */
  changed(events: readonly FeedEvent[] | null): void {
    this.#rejudgement.changed(events);
  }

  /** Ends WebSockets and event streams. */
  closeStreams(end: StreamEnd): void {
    for (const relay of this.#streams) relay.closeStream(end);
  }

  close(): void {
    for (const { pool } of this.#upstreams.values()) pool.close();
  }

  /** Plain numbers, for whoever reports them. */
  *stats() {
    for (const [name, { pool, results }] of this.#upstreams) yield { name, ...pool.stats, results };
  }

  /** Which addresses are healthy; those beyond the first hundred together, as one that is healthy when all are. */
  health(): { readonly upstream: string; readonly address: string; readonly healthy: boolean }[] {
    const shown = new Map<string, { upstream: string; address: string; healthy: boolean }>();
    for (const [upstream, { pool }] of this.#upstreams) {
      for (const { label, health } of pool.endpoints) {
        const own = `${upstream} ${label}`;
        const address = shown.size < mostShown || shown.has(own) ? label : 'other';
        const key = address === label ? own : `${upstream} other`;
        const healthy = health.healthy && shown.get(key)?.healthy !== false;
        shown.set(key, { upstream, address, healthy });
      }
    }
    return [...shown.values()];
  }

  get streams(): {
    readonly websocket: number;
    readonly event_stream: number;
    readonly ends: ReadonlyMap<StreamEnd, number>;
  } {
    let websocket = 0;
    for (const relay of this.#streams) if (relay.kind === 'websocket') websocket++;
    return { websocket, event_stream: this.#streams.size - websocket, ends: this.#streamEnds };
  }
}

function resultOf({ outcome, code }: Forwarded): UpstreamResult {
  if (outcome !== 'failed') return outcome;
  if (code === 'upstream_timeout') return 'timeout';
  return code === 'overloaded' ? 'overloaded' : 'failed';
}

const sameOptions = (a: UpstreamOptions, b: UpstreamOptions): boolean => JSON.stringify(a) === JSON.stringify(b);
