import { setTimeout as pause } from 'node:timers/promises';
import type { Cursor } from '../ports/change-feed.ts';
import type { Clock } from '../ports/clock.ts';
import type { ProcessRegistry } from '../ports/process-registry.ts';
import { type Instant, instantOf, never } from './freshness.ts';

export interface Pace {
  /** The bound of revocation, in milliseconds: a process beats twice in it. */
  readonly boundMs: number;
  /** Milliseconds that this process serves what it knows when it is cut off. */
  readonly cutOffMs: number;
}

/**
 * Tells the other processes that this one lives, and which changes it has applied. Whoever revokes something waits for
 * processes that are live; so one that could not tell, and is not waited for, may not rely on what it knows.
 */
export class Heartbeat {
  readonly #registry: ProcessRegistry;
  readonly #process: string;
  readonly #applied: () => Cursor | null;
  readonly #clock: Clock;
  readonly #after: (ms: number, signal: AbortSignal) => Promise<void>;
  #pace: Pace;
  #running: Promise<void> | null = null;
  readonly #stop = new AbortController();
  #waiting = new AbortController();
  #due = false;
  /** When the last beat was sent that the store answered. One that takes no writes from anybody has answered, too. */
  answered: Instant = never;
  /**
   * Milliseconds after it for which whoever revokes something reckons with this process; 0 before the first. A longer
   * time than before counts only when what was said of the shorter one has passed: somebody may have relied on it.
   */
  reckonedMs = 0;
  /** A longer time that was told, and when that was answered first. */
  #raised: { readonly cutOffMs: number; readonly since: number } | null = null;
  /** Told of every beat that failed; it is tried again. */
  failed: (cause: unknown) => void = () => {};
  readonly #begun = Promise.withResolvers<void>();
  /** Resolves with the first beat that is answered. */
  readonly begun: Promise<void> = this.#begun.promise;

  /** `after` resolves when so much time has passed, or the signal says so. */
  constructor(
    registry: ProcessRegistry,
    process: string,
    applied: () => Cursor | null,
    clock: Clock,
    pace: Pace,
    after: (ms: number, signal: AbortSignal) => Promise<void> = passed,
  ) {
    this.#registry = registry;
    this.#process = process;
    this.#applied = applied;
    this.#clock = clock;
    this.#pace = pace;
    this.#after = after;
  }

  /** Another pace. It is told at once: others must not wait for less than this process may serve. */
  configure(pace: Pace): void {
    this.#pace = pace;
    this.soon();
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Beats now, and not only when its time has come: somebody waits to hear what was applied. */
  soon(): void {
    this.#due = true;
    this.#waiting.abort();
  }

  /** `signOff`: nothing that this process knew is served any more, by itself or by one that comes after it. */
  async stop(signOff: boolean): Promise<void> {
    this.#stop.abort();
    await this.#running;
    if (signOff) await this.#registry.signOff(this.#process).catch(() => {});
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      this.#due = false;
      const applied = this.#applied();
      const { boundMs } = this.#pace;
      // Before anything is known there is nothing to tell: the first change of that is told at once.
      const told = applied === null || (await this.#beat(applied));
      if (this.#due) continue;
      this.#waiting = new AbortController();
      // Others see this process again as soon as the store takes writes again.
      await this.#pause(told ? boundMs / 2 : boundMs / 10, this.#waiting);
    }
  }

  /** Whether others have been told. */
  async #beat(applied: Cursor): Promise<boolean> {
    const sent = instantOf(this.#clock);
    const { boundMs, cutOffMs } = this.#pace;
    const given = new AbortController();
    try {
      const beat = this.#registry.beat({ process: this.#process, applied, cutOffMs });
      // An answer that comes later than this is still an answer to what was sent then.
      const answered = beat.then(outcome => {
        if (sent.monotonic > this.answered.monotonic) this.answered = sent;
        this.#told(cutOffMs, outcome === 'taken');
        this.#begun.resolve();
        return outcome === 'taken';
      });
      answered.catch(() => {});
      return await Promise.race([answered, this.#pause(boundMs / 3, given).then(() => false)]);
    } catch (error) {
      this.failed(error);
      return false;
    } finally {
      given.abort();
    }
  }

  #told(cutOffMs: number, taken: boolean): void {
    const now = this.#clock.monotonic();
    const over = this.#raised?.cutOffMs === cutOffMs && now - this.#raised.since > this.reckonedMs;
    if (this.reckonedMs === 0 || cutOffMs <= this.reckonedMs || over) {
      this.reckonedMs = cutOffMs;
      this.#raised = null;
    } else if (taken && this.#raised?.cutOffMs !== cutOffMs) this.#raised = { cutOffMs, since: now };
  }

  /** Less than that when it is cut short, or this ends. */
  #pause(ms: number, short: AbortController): Promise<void> {
    return this.#after(ms, AbortSignal.any([short.signal, this.#stop.signal]));
  }
}

/** Resolves after so many milliseconds, or with the signal. No listener is left on it, or it would never be collected. */
export const passed = (ms: number, signal: AbortSignal): Promise<void> =>
  pause(ms, undefined, { signal }).catch(() => {});
