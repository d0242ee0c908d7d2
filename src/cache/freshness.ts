import { setTimeout as pause } from 'node:timers/promises';
import type { ChangeFeed, Cursor } from '../ports/change-feed.ts';
import type { Clock } from '../ports/clock.ts';
import type { FeedEvent } from '../ports/token-store.ts';

/** An instant on both clocks. Ages are the greater of the two differences, so that neither a step of the wall clock
 *  nor a suspended process makes anything look young. */
export interface Instant {
  readonly monotonic: number;
  readonly wall: number;
}

/** Longer ago than anything may be. */
export const never: Instant = { monotonic: Number.NEGATIVE_INFINITY, wall: Number.NEGATIVE_INFINITY };

export const instantOf = (clock: Clock): Instant => ({ monotonic: clock.monotonic(), wall: clock.wall() });

export const ageOf = (then: Instant, now: Instant): number =>
  Math.max(now.monotonic - then.monotonic, now.wall - then.wall);

/** Told of every change, in the order in which the store made them. */
export interface FeedListener {
  /**
   * Evicts what the events touch, at once; resolves when they may be acknowledged. `cursor`: that of the last one. An
   * event may be told twice.
   */
  apply(events: readonly FeedEvent[], cursor: Cursor): Promise<void> | void;
  /**
   * Changes may have been missed: from here on nothing that was heard before counts as proof. Resolves when that may be
   * acknowledged. `cursor`: where the feed goes on.
   */
  missed(cursor: Cursor): Promise<void> | void;
  /** `applied` has moved. `awaited`: somebody waits to hear so. */
  acknowledged?(awaited: boolean): void;
  /** A read has failed; it is tried again. */
  failed?(cause: unknown): void;
}

/**
 * Follows the change feed. A completed gap-free read proves, as of its sending, everything that was looked up before
 * it (an empty one too: that is the heartbeat). After a gap or in a new epoch nothing that is cached is proved by the
 * feed any more: `generation` tells such entries apart. The first generation, 0, goes on from where an earlier process
 * was, if that is known.
 */
export class FeedFollower {
  readonly #feed: ChangeFeed;
  readonly #listener: FeedListener;
  readonly #clock: Clock;
  readonly #after: (ms: number) => AbortSignal;
  #boundMs: number;
  readonly #stop = new AbortController();
  #cursor: Cursor | null;
  #running: Promise<void> | null = null;
  #settling: Promise<void> = Promise.resolve();
  /** What is applied, and may be acknowledged. */
  applied: Cursor | null = null;
  /** When the last read that proved something was sent. */
  proven: Instant = never;
  generation = 0;
  gaps = 0;
  /** Reads in a row that have failed. */
  failures = 0;

  /**
   * `boundMs`: how long a proof holds. A read waits for a quarter of it, and is given up after a third; `after` says
   * when that has passed. `from`: where to go on.
   */
  constructor(
    feed: ChangeFeed,
    listener: FeedListener,
    clock: Clock,
    boundMs: number,
    from: Cursor | null = null,
    after: (ms: number) => AbortSignal = ms => AbortSignal.timeout(ms),
  ) {
    this.#after = after;
    this.#cursor = from;
    this.#feed = feed;
    this.#listener = listener;
    this.#clock = clock;
    this.#boundMs = boundMs;
  }

  /** Another bound, from the next read on. */
  configure(boundMs: number): void {
    this.#boundMs = boundMs;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  /** The last change that was evicted for. */
  get cursor(): Cursor | null {
    return this.#cursor;
  }

  /** Seconds since the feed last proved anything; infinite before it did. */
  get lagSeconds(): number {
    return ageOf(this.proven, instantOf(this.#clock)) / 1000;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await this.#step(signal);
        this.failures = 0;
      } catch (error) {
        // An outage shows in the age of the proof. Ask again soon, not all at once.
        if (signal.aborted) return;
        this.failures++;
        this.#listener.failed?.(error);
        const ms = Math.min(1000, 50 * 2 ** Math.min(this.failures, 5)) * (0.5 + Math.random() / 2);
        await pause(ms, undefined, { signal }).catch(() => {});
      }
    }
  }

  async #step(signal: AbortSignal): Promise<void> {
    const sent = instantOf(this.#clock);
    if (this.#cursor === null) {
      const head = await this.#feed.head();
      this.#cursor = head;
      this.generation++;
      this.proven = sent;
      this.#settle(this.#listener.missed(head), head, false);
      return;
    }
    const waitMs = Math.max(1, Math.floor(this.#boundMs / 4));
    const late = this.#after(Math.ceil(this.#boundMs / 3));
    const answer = await this.#feed.read(this.#cursor, waitMs, AbortSignal.any([signal, late]));
    if (signal.aborted) return;
    if (answer.kind === 'gap') {
      this.gaps++;
      this.generation++;
      this.#settle(this.#listener.missed(answer.cursor), answer.cursor, true);
    } else if (answer.events.length > 0 || this.applied === null) {
      const awaited = answer.events.some(event => event.awaited);
      this.#settle(this.#listener.apply(answer.events, answer.cursor), answer.cursor, awaited);
    }
    this.#cursor = answer.cursor;
    if (answer.kind === 'gap' || answer.complete) this.proven = sent;
  }

  /** The feed is read on meanwhile. What cannot be acknowledged now is with the next change. */
  #settle(done: Promise<void> | void, cursor: Cursor, awaited: boolean): void {
    const first = this.applied === null;
    this.#settling = Promise.all([this.#settling, done]).then(
      () => {
        this.applied = cursor;
        this.#listener.acknowledged?.(awaited || first);
      },
      () => {},
    );
  }
}
