import { setTimeout as sleep } from 'node:timers/promises';
import { lastInstant } from '../core/instant.ts';
import type { Millis } from '../core/token.ts';
import { StoreUnavailable } from '../errors.ts';
import type { ChangeFeed, Cursor } from '../ports/change-feed.ts';
import type { Clock } from '../ports/clock.ts';
import type { Heartbeat, ProcessRegistry, Roll } from '../ports/process-registry.ts';
import { Faults } from './faults.ts';

/** Who has applied a change, and who may not have. */
export interface Acknowledgement {
  /** The process that answers is the first of them. */
  readonly acknowledged: readonly string[];
  readonly pending: readonly Pending[];
  /** Every live process has applied it. False without anybody pending: the registry did not say who is live. */
  readonly complete: boolean;
}

export interface Pending {
  readonly process: string;
  /** On the store's clock. */
  readonly mayServeUntil: Millis;
}

/** How long somebody waits for an acknowledgement. `over`: they do not any more. */
export interface Patience {
  readonly waitMs?: Millis | undefined;
  readonly over?: AbortSignal;
}

const longestWait: Millis = 30_000;

/** Most who wait at a time. For one more it is answered at once: connections must be left for the next revocation. */
const mostWaiting = 100;

/** Milliseconds between two looks at the registry: the first, what is added each time, the most. */
const pauses = { first: 5, more: 5, most: 25 } as const;

/** How long the registry may take to answer somebody whose time is up. */
const grace: Millis = 1000;

/** Refuses a wait that is too long, before anything is done. */
export function checkPatience({ waitMs = 0 }: Patience): void {
  const faults = new Faults();
  if (waitMs > longestWait) faults.add('?wait', 'is longer than 30s');
  faults.throwIfAny();
}

export interface AcknowledgementParts {
  readonly registry: ProcessRegistry;
  readonly feed: Pick<ChangeFeed, 'head'>;
  readonly clock: Clock;
  /** This process, as it beats. */
  readonly process: string;
  /** Resolves when so much time has passed, or with the signal. */
  readonly pause?: (ms: Millis, signal: AbortSignal | undefined) => Promise<void>;
}

/** Where a change stands. */
export interface Applied {
  /** Where the feed tells of it; null when nothing had to be changed. */
  readonly position: Cursor | null;
  /** It holds on this process for good. Else this process is asked about like any other. */
  readonly held: boolean;
}

/** Of a change that was made before. */
export const madeBefore: Applied = { position: null, held: true };

/** Finds out who has applied a change that was made. */
export class Acknowledgements {
  readonly #parts: AcknowledgementParts;
  readonly #pause: NonNullable<AcknowledgementParts['pause']>;
  readonly #rolls: SharedRolls;
  #waiting = 0;

  constructor(parts: AcknowledgementParts) {
    this.#parts = parts;
    this.#pause = parts.pause ?? pauseFor;
    this.#rolls = new SharedRolls(parts.registry, parts.clock);
  }

  /**
   * Who has come to the change's position, or to where the feed ends now. Looks again until everybody has, the time is
   * up, or nobody waits any more. Never rejects for want of an answer: the change is made, whatever becomes of this.
   */
  async of({ position, held }: Applied, { waitMs = 0, over }: Patience): Promise<Acknowledgement> {
    const { clock, process } = this.#parts;
    const waits = waitMs > 0 && this.#waiting < mostWaiting;
    const end = clock.monotonic() + (waits ? waitMs : 0);
    const here = held ? process : null;
    let known: Acknowledgement = { acknowledged: here === null ? [] : [here], pending: [], complete: false };
    let place = position;
    let since: Millis | null = null;
    if (waits) this.#waiting++;
    try {
      for (let pause: Millis = pauses.first; ; pause = Math.min(pauses.most, pause + pauses.more)) {
        const look = this.#look(place);
        const seen = await within(look, Math.max(grace, end - clock.monotonic())).catch(ignoreOutage);
        if (seen !== null) {
          place = seen.place;
          // Who has missed the change last heard of the feed before it, and so before this.
          since ??= seen.roll.now;
          known = judge(seen.roll.processes, here, place, since);
        }
        const left = end - clock.monotonic();
        if (known.complete || left <= 0 || over?.aborted === true) return known;
        await this.#pause(Math.min(pause, left), over);
      }
    } finally {
      if (waits) this.#waiting--;
    }
  }

  async #look(position: Cursor | null): Promise<{ readonly place: Cursor; readonly roll: Roll }> {
    const place = position ?? (await this.#parts.feed.head());
    return { place, roll: await this.#rolls.next() };
  }
}

/** `here`: this process, where it holds. */
function judge(
  processes: readonly Heartbeat[],
  here: string | null,
  { epoch, seq }: Cursor,
  since: Millis,
): Acknowledgement {
  const acknowledged = here === null ? [] : [here];
  const pending: Pending[] = [];
  for (const { process, applied, cutOffMs } of processes.toSorted(byName)) {
    if (process === here) continue;
    if (applied.epoch === epoch && applied.seq >= seq) acknowledged.push(process);
    else pending.push({ process, mayServeUntil: Math.min(since + cutOffMs, lastInstant) });
  }
  return { acknowledged, pending, complete: pending.length === 0 && acknowledged.length > 0 };
}

/**
 * Looks at the registry for many at once: one after the other, a few milliseconds apart, and each begins after those who
 * get it have come.
 */
class SharedRolls {
  readonly #registry: ProcessRegistry;
  readonly #clock: Clock;
  #current: Promise<unknown> = Promise.resolve();
  #next: Promise<Roll> | null = null;
  #began = Number.NEGATIVE_INFINITY;

  constructor(registry: ProcessRegistry, clock: Clock) {
    this.#registry = registry;
    this.#clock = clock;
  }

  next(): Promise<Roll> {
    this.#next ??= this.#begin(this.#current);
    this.#current = this.#next.catch(() => {});
    return this.#next;
  }

  async #begin(before: Promise<unknown>): Promise<Roll> {
    await before;
    const early = this.#began + pauses.first - this.#clock.monotonic();
    if (early > 0) await sleep(early);
    this.#next = null;
    this.#began = this.#clock.monotonic();
    return this.#registry.roll();
  }
}

const byName = (a: Heartbeat, b: Heartbeat): number => (a.process < b.process ? -1 : 1);

const pauseFor = (ms: Millis, signal: AbortSignal | undefined): Promise<void> =>
  sleep(ms, undefined, signal && { signal }).catch(() => {});

function ignoreOutage(error: unknown): null {
  if (error instanceof StoreUnavailable) return null;
  throw error;
}

/** What is promised, or null when it takes longer. */
function within<T>(promise: Promise<T>, ms: Millis): Promise<T | null> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms, null);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
