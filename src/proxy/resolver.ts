import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Clock } from '../ports/clock.ts';

/** How long a name's addresses are used before it is asked for again. */
const freshMs = 30_000;

/** Addresses of one name: asked for again every thirty seconds, and after a failed connect. */
export class Resolver {
  readonly #hostname: string;
  readonly #clock: Clock;
  #addresses: readonly string[];
  #askedAt = Number.NEGATIVE_INFINITY;
  #asking: Promise<readonly string[]> | null = null;

  constructor(hostname: string, clock: Clock) {
    this.#hostname = hostname;
    this.#clock = clock;
    this.#addresses = isIP(hostname) === 0 ? [] : [hostname];
  }

  /** Rejects with the error of `dns.lookup` when the name has never been resolved and cannot be now. */
  async addresses(): Promise<readonly string[]> {
    if (isIP(this.#hostname) !== 0) return this.#addresses;
    if (this.#addresses.length > 0 && this.#clock.monotonic() - this.#askedAt < freshMs) return this.#addresses;
    this.#asking ??= this.#ask();
    return this.#asking;
  }

  /** What the name resolved to last. Connections elsewhere are no longer used once they are idle. */
  current(address: string): boolean {
    return this.#addresses.length === 0 || this.#addresses.includes(address);
  }

  /** The name is asked for again with the next connect. */
  distrust(): void {
    this.#askedAt = Number.NEGATIVE_INFINITY;
  }

  async #ask(): Promise<readonly string[]> {
    try {
      const found = await lookup(this.#hostname, { all: true, verbatim: true });
      this.#addresses = found.map(({ address }) => address);
      this.#askedAt = this.#clock.monotonic();
    } catch (error) {
      // A resolver that is down does not move a server: what was known is used on, and asked for again soon.
      if (this.#addresses.length === 0) throw error;
      this.#askedAt = this.#clock.monotonic() - freshMs + 1000;
    } finally {
      this.#asking = null;
    }
    return this.#addresses;
  }
}
