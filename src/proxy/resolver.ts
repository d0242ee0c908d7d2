import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Clock } from '../ports/clock.ts';

/** The addresses of a name. Rejects with the system's error. */
export type Lookup = (hostname: string) => Promise<readonly string[]>;

export const systemLookup: Lookup = async hostname => {
  const found = await lookup(hostname, { all: true, verbatim: true });
  return found.map(({ address }) => address);
};

/** How long a name's addresses are used before it is asked for again. */
const freshMs = 30_000;
/** How old an answer is at least before another is asked for: a server that is down would make a storm of questions. */
const leastMs = 100;
/** When a resolver that is down is asked again. */
const againMs = 1000;

/** Addresses of one name that are used: whatever the name resolves to, they are a bounded number. */
const mostAddresses = 64;

/** Addresses of one name: asked for again every thirty seconds, and after a failed connect. */
export class Resolver {
  /** What the name resolved to last. */
  addresses: readonly string[];
  /** Why it has never been resolved. */
  failure: unknown = null;
  readonly #hostname: string;
  readonly #lookup: Lookup;
  readonly #clock: Clock;
  readonly #fixed: boolean;
  #askedAt = Number.NEGATIVE_INFINITY;
  #staleAt = Number.NEGATIVE_INFINITY;

  constructor(hostname: string, lookup: Lookup, clock: Clock) {
    this.#hostname = hostname;
    this.#lookup = lookup;
    this.#clock = clock;
    this.#fixed = isIP(hostname) !== 0;
    this.addresses = this.#fixed ? [hostname] : [];
  }

  get stale(): boolean {
    return !this.#fixed && this.#clock.monotonic() >= this.#staleAt;
  }

  /** The name is asked for again with the next connect. */
  distrust(): void {
    this.#staleAt = Math.min(this.#staleAt, this.#askedAt + leastMs);
  }

  /** Resolves when the name has been asked for, whatever came of it. One question at a time is the caller's part. */
  async ask(): Promise<void> {
    this.#askedAt = this.#clock.monotonic();
    try {
      const found = await this.#lookup(this.#hostname);
      if (found.length === 0) throw Object.assign(new Error('the name has no address'), { code: 'ENODATA' });
      // In an order of their own, so that the same ones are used when there are too many: servers turn their lists.
      this.addresses = [...new Set(found)].sort().slice(0, mostAddresses);
      this.#staleAt = this.#askedAt + freshMs;
    } catch (error) {
      // A resolver that is down does not move a server: what was known is used on, and asked for again soon.
      this.failure = error;
      this.#staleAt = this.#clock.monotonic() + againMs;
    }
  }
}
