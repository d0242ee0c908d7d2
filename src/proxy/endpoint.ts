import type { Socket } from 'node:net';
import type { Candidate } from './balance.ts';
import { Dialer } from './connect.ts';
import { type CheckRules, Health } from './health.ts';
import { authorityOf, type UpstreamAddress, type UpstreamTls } from './options.ts';
import type { Slot } from './slot.ts';

/** One IP address and port that an upstream is served at: its connections, its load, and what is known of its health. */
export class Endpoint implements Candidate {
  readonly url: UpstreamAddress;
  /** Of the URL: `Host` where the client's is not preserved. */
  readonly authority: string;
  /** IP address and port, for metrics and logs. */
  readonly label: string;
  readonly health: Health;
  /** Idle connections, the last used on top. */
  readonly idle: Slot[] = [];
  /** Requests and streams under way. */
  load = 0;
  /** Its name resolves elsewhere by now: what is under way goes on, and nothing new begins. */
  retired = false;
  readonly #dialer: Dialer;

  constructor(url: UpstreamAddress, host: string, tls: UpstreamTls | null, rules: CheckRules) {
    this.url = url;
    this.authority = authorityOf(url);
    this.label = `${host.includes(':') ? `[${host}]` : host}:${url.port}`;
    this.health = new Health(rules);
    this.#dialer = new Dialer(url, host, tls);
  }

  dial(timeoutMs: number, signal: AbortSignal): Promise<Socket> {
    return this.#dialer.dial(timeoutMs, signal);
  }

  retire(): void {
    this.retired = true;
    this.discardIdle();
  }

  discardIdle(): void {
    for (const slot of this.idle.splice(0)) slot.discard();
  }
}
