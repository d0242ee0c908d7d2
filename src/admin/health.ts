import type { Log } from '../ports/log.ts';
import type { TlsMaterial } from '../wire/server.ts';
import { type Answer, jsonAnswer, Rejection } from './answer.ts';
import type { Incoming } from './incoming.ts';
import { Server, type ServerOptions } from './server.ts';

export interface HealthParts {
  /** The text of a scrape. */
  readonly metrics: () => Promise<string>;
  readonly metricsType: string;
  /** What is missing before requests can be served; empty when nothing is. */
  readonly missing: () => readonly string[];
  /** Starts draining. Returns at once; asked twice it changes nothing. */
  readonly drain: () => void;
  readonly log: Log;
  /** Longest time for the text of a scrape; 5 seconds by default. */
  readonly scrapeTimeoutMs?: number;
}

/** The telemetry listener: metrics and probes for whoever reaches it, draining for this machine alone. */
export class HealthListener {
  readonly #parts: HealthParts;
  readonly #server: Server;

  constructor(options: ServerOptions, parts: HealthParts) {
    this.#parts = parts;
    this.#server = new Server(options, { onRequest: incoming => this.#answer(incoming) }, parts.log);
  }

  get connections(): number {
    return this.#server.connections;
  }

  get listening(): boolean {
    return this.#server.listening;
  }

  /** Starts listening; resolves with the port. */
  listen(): Promise<number> {
    return this.#server.listen();
  }

  close(): Promise<void> {
    return this.#server.close();
  }

  renewTls(tls: TlsMaterial): void {
    this.#server.renewTls(tls);
  }

  async #answer(incoming: Incoming): Promise<Answer> {
    const { method, target } = incoming.form;
    switch (target.path) {
      case '/metrics':
        only(reading, method);
        return this.#scrape();
      case '/livez':
        only(reading, method);
        return jsonAnswer(200, { live: true });
      case '/readyz': {
        only(reading, method);
        const missing = this.#parts.missing();
        return jsonAnswer(missing.length === 0 ? 200 : 503, { ready: missing.length === 0, missing });
      }
      case '/drain':
        only(['POST'], method);
        return this.#drain(incoming);
      default:
        throw new Rejection('not_found', 'There is nothing at this path.');
    }
  }

  async #scrape(): Promise<Answer> {
    const { metrics, metricsType, scrapeTimeoutMs = 5000 } = this.#parts;
    const { promise: late, reject } = Promise.withResolvers<never>();
    const tooLate = new Rejection('overloaded', 'The metrics could not be read in time.', ['Retry-After', '1']);
    const timer = setTimeout(() => reject(tooLate), scrapeTimeoutMs);
    try {
      const body = await Promise.race([metrics(), late]);
      return { status: 200, fields: ['Content-Type', metricsType], body };
    } finally {
      clearTimeout(timer);
    }
  }

  #drain({ peer, form }: Incoming): Answer {
    // A page in a browser on this machine is a loopback peer too; browsers say so with an Origin.
    if (!isLoopback(peer) || form.names.includes('origin')) {
      throw new Rejection('forbidden', 'Only this machine may ask for that.');
    }
    this.#parts.drain();
    return jsonAnswer(202, { draining: true });
  }
}

const reading = ['GET', 'HEAD'];

function only(allowed: readonly string[], method: string): void {
  if (allowed.includes(method)) return;
  throw new Rejection('method_not_allowed', `${method} is not allowed here.`, ['Allow', allowed.join(', ')]);
}

const isLoopback = (address: string): boolean => address === '::1' || /^127(?:\.[0-9]{1,3}){3}$/.test(address);
