import type { Clock } from '../ports/clock.ts';

/**
 * The guard against guessing: counts failed credentials per client network. A network over the bound gets 429 for
 * what fails; what verifies still passes, so that one attacker behind a shared address locks nobody out.
 */
export interface GuardOptions {
  /** Failures in one window; 0 turns the guard off. */
  readonly failures: number;
  readonly perMs: number;
}

interface Count {
  failures: number;
  readonly until: number;
}

/** Networks that are remembered; the one that failed least recently is forgotten first. */
const maxNetworks = 65_536;

export class Guard {
  readonly #options: GuardOptions;
  readonly #clock: Clock;
  /** In the order of the last failure. */
  readonly #counts = new Map<string, Count>();

  constructor(options: GuardOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  /** Seconds that a network has to wait because it is at the bound; 0 while it may go on. Counts nothing. */
  waits(network: string): number {
    const count = this.#counts.get(network);
    const now = this.#clock.monotonic();
    if (this.#options.failures === 0 || count === undefined || now >= count.until) return 0;
    return count.failures < this.#options.failures ? 0 : Math.max(1, Math.ceil((count.until - now) / 1000));
  }

  /** Counts a failure. Returns seconds to wait when the network was over the bound already, else 0. */
  failed(network: string): number {
    if (this.#options.failures === 0) return 0;
    const now = this.#clock.monotonic();
    let count = this.#counts.get(network);
    if (count === undefined || now >= count.until) count = { failures: 0, until: now + this.#options.perMs };
    count.failures++;
    this.#counts.delete(network);
    this.#counts.set(network, count);
    if (this.#counts.size > maxNetworks) this.#counts.delete(this.#counts.keys().next().value!);
    return count.failures > this.#options.failures ? Math.max(1, Math.ceil((count.until - now) / 1000)) : 0;
  }
}
