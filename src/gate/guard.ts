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

  /** What `failed` would return, without counting. `more`: failures that may be counted soon. */
  peek(network: string, more = 0): number {
    const known = this.#counts.get(network);
    const { failures, perMs } = this.#options;
    const now = this.#clock.monotonic();
    const count = known === undefined || now >= known.until ? { failures: 0, until: now + perMs } : known;
    return failures > 0 && count.failures + more >= failures ? waitOf(count, now) : 0;
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
    return count.failures > this.#options.failures ? waitOf(count, now) : 0;
  }
}

/** Whole seconds until a count is over. */
const waitOf = ({ until }: Count, now: number): number => Math.max(1, Math.ceil((until - now) / 1000));
