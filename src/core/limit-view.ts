import type { LocalLimit, LocalWindow, Times } from './charging.ts';
import { type Holding, leftOf } from './holding.ts';
import { capacityOf, type Limit, type LimitView, paceMs, windowAt } from './limit.ts';
import type { LimitState } from './limit-book.ts';
import type { Millis } from './token.ts';

/** What is told of limits: to clients, and to whoever asks why. */

/** As this process knows it. `refusedCost`: what it has refused; null: it has refused nothing. */
export function viewOf(
  { limit, current }: LocalLimit,
  scope: LimitView['scope'],
  refusedCost: number | null,
  now: Times,
): LimitView {
  const capacity = capacityOf(limit);
  const { leave, window } = current;
  const known = leftOf(drainedHolding(limit, current, now), capacity);
  // What others have spent and not reported yet is not known here; that less than the cost is left was the store's word.
  const left = refusedCost === null || refusedCost > capacity ? known : Math.min(known, refusedCost - 1);
  const { label, ends } = window ?? windowAt(limit, now.wall);
  const resetsAt = limit.algorithm === 'bucket' ? fullAt(limit, left, now.wall) : (leave?.wall ?? ends);
  return shown(limit, scope, left, resetsAt, ends === null ? null : ends - label, refusedCost !== null);
}

/** As the store has just said it, were a request of this cost charged. */
export function weighed(
  { limit, spent, burned, ends }: LimitState,
  scope: LimitView['scope'],
  cost: number,
  now: Millis,
) {
  const capacity = capacityOf(limit);
  const left = Math.min(capacity, Math.max(0, capacity - spent - burned));
  const violated = left < cost;
  const { label, ends: end } = windowAt(limit, ends === null ? now : ends - 1);
  const resetsAt = limit.algorithm === 'bucket' ? fullAt(limit, left, now) : ends;
  return shown(limit, scope, violated ? left : left - cost, resetsAt, end === null ? null : end - label, violated);
}

/** Milliseconds until the store has as much as this cost, if nobody takes it; null: never, unless the limit is changed. */
export function weighedWait({ limit, spent, burned, ends }: LimitState, cost: number, now: Millis): Millis | null {
  const capacity = capacityOf(limit);
  if (cost > capacity) return null;
  if (limit.algorithm === 'bucket') return msFor(limit, Math.max(0, cost - Math.max(0, capacity - spent - burned)));
  return ends === null ? null : Math.max(0, ends - now);
}

function shown(
  limit: Limit,
  scope: LimitView['scope'],
  left: number,
  resetsAt: Millis | null,
  lengthMs: Millis | null,
  violated: boolean,
): LimitView {
  const { name, per, algorithm } = limit;
  const capacity = capacityOf(limit);
  const fillMs = algorithm === 'bucket' ? msFor(limit, capacity) : lengthMs;
  const windowSeconds = fillMs === null ? null : Math.ceil(fillMs / 1000);
  return { name, scope, per, algorithm, capacity, left, resetsAt, windowSeconds, violated };
}

/** Whether less than this cost is known to be left, whatever becomes of the requests under way. */
export const isKnownShort = ({ limit, current, gone }: LocalLimit, cost: number, now: Times): boolean =>
  !gone && current.heardAt !== null && unspent(limit, current, now) < cost;

const unspent = (limit: Limit, current: LocalWindow, now: Times): number =>
  leftOf({ ...drainedHolding(limit, current, now), flying: 0 }, capacityOf(limit));

/** What was held when the store was last heard, with what has run out of a bucket since. */
function drainedHolding(limit: Limit, { holding, heardAt }: LocalWindow, now: Times): Holding {
  const emptied = heardAt === null ? 0 : Math.floor(drained(limit, now.monotonic - heardAt.monotonic));
  return { ...holding, used: Math.max(0, holding.used - emptied) };
}

/**
 * Milliseconds until a request of this cost may be tried again, now that this limit has refused it; null: that does not
 * help, unless the limit is changed.
 */
export function waitFor({ limit, current, refusedFrom, refusedUntil }: LocalLimit, cost: number, now: Times) {
  if (cost > capacityOf(limit)) return null;
  if (limit.algorithm === 'bucket') {
    // Nobody has asked the store: what is missing is what is known here.
    if (!Number.isFinite(refusedUntil)) return msFor(limit, Math.max(0, cost - unspent(limit, current, now)));
    const more = msFor(limit, Math.max(0, cost - refusedFrom));
    return more === null ? null : Math.max(0, refusedUntil - now.monotonic) + more;
  }
  const { leave } = current;
  if (leave !== null) return Math.max(0, Math.min(leave.monotonic - now.monotonic, leave.wall - now.wall));
  const { ends } = current.window ?? windowAt(limit, now.wall);
  return ends === null ? null : Math.max(0, ends - now.wall);
}

/** The longest of the waits, in whole seconds, at least one; null where one of them does not end. */
export function secondsToWait(waits: readonly (Millis | null)[]): number | null {
  let longest = 0;
  for (const wait of waits) {
    if (wait === null) return null;
    longest = Math.max(longest, wait);
  }
  return Math.max(1, Math.ceil(longest / 1000));
}

/** Units that run out of a bucket in this time. */
const drained = (limit: Limit, ms: Millis): number =>
  limit.algorithm === 'bucket' && limit.per !== 'lifetime' ? (Math.max(0, ms) * limit.max) / paceMs(limit.per) : 0;

/** How long a bucket takes for so many units; null: for ever. */
const msFor = (limit: Limit, units: number): Millis | null =>
  limit.per === 'lifetime' || limit.max === 0 ? null : Math.ceil((units * paceMs(limit.per)) / limit.max);

function fullAt(limit: Limit, left: number, wall: Millis): Millis | null {
  const ms = msFor(limit, capacityOf(limit) - left);
  return ms === null ? null : wall + ms;
}
