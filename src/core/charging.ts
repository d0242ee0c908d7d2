import {
  claimOf,
  emptyHolding,
  type Holding,
  hasEnded,
  hear,
  heldBy,
  idleOf,
  type Leave,
  settle,
  take,
  unreportedOf,
} from './holding.ts';
import { bucketLifeMs, type Claim, usualUnits, windowLifeMs } from './ledger.ts';
import { capacityOf, type Limit, ledgerName, paceMs, type Window, windowAfter } from './limit.ts';
import type { LimitClaim, WindowAnswer } from './limit-book.ts';
import type { Millis } from './token.ts';

/**
 * What a process does with its leases: charges requests, lets them wait, and decides what to say to the store and when.
 * Whoever runs it asks and listens; all that it has to know is here, and the model runs the same functions. Changed in
 * place.
 *
 * A request takes its cost of all its limits, in their order, or of none. What it has taken of the first ones while it
 * waits for another is not idle, so that nobody can recall it; and because the order is the same for everybody, nobody
 * waits for somebody who waits for them. Part of a cost is never held: what is idle goes back in the claim that asks for
 * the whole, or two could hold a half each and both be refused.
 */

export interface Times {
  readonly monotonic: Millis;
  readonly wall: Millis;
}

/** What this process has of one window of a limit. */
export interface LocalWindow {
  /** Null: the one that the store is in, which it has not said yet. */
  window: Window | null;
  leave: Leave | null;
  readonly holding: Holding;
  /** When the claim that was answered last was sent. */
  heardAt: Times | null;
  /** With fewer idle units more are asked for, before they are needed: half of what there was after the last time. */
  mark: number;
  /** A claim is under way; there is one at a time. */
  asking: boolean;
  /** The last claim was not answered: units may have been granted that nobody here knows of. */
  doubtful: boolean;
}

/** What this process knows of one limit of a token or account. */
export interface LocalLimit {
  limit: Limit;
  readonly ledger: string;
  current: LocalWindow;
  /** Prefetched. */
  next: LocalWindow | null;
  /** Their ends have passed; their requests are not all over, or not reported. */
  past: LocalWindow[];
  /** Requests that wait for units here, in the order that they came. */
  readonly waiters: Waiter[];
  /** The store has refused this cost: it is not asked again for that or more. Infinity: none. */
  refusedFrom: number;
  /** When a bucket will have as much; until then, or until the window ends or news come. */
  refusedUntil: Millis;
  /** The recall that was made for the first waiter; 0: none. */
  recalled: number;
  /** The first waiter was told to wait, and nothing was heard since. */
  told: boolean;
  /** The store grants nothing of the present window, and it is not over: asked again after the next tick. */
  closed: boolean;
  /** Whom the claim under way is for. Null: nobody, or something has been heard since that its answer cannot know. */
  askedFor: Waiter | null;
  /** Notices may have been missed. */
  suspicious: boolean;
  /** This limit is no more: nothing is charged. */
  gone: boolean;
  /** The store says so, and it is not known here what holds instead. Attack: meanwhile everything would pass. */
  superseded: boolean;
  /** Units taken since the last tick, units taken a second, and when the last were, on the monotonic clock. */
  taken: number;
  demand: number;
  takenAt: Millis;
}

/** A request that waits for `limits[held.length]`, and has units of all before. */
export interface Waiter {
  readonly limits: readonly LocalLimit[];
  readonly cost: number;
  /** How long it waits, on the monotonic clock. */
  readonly until: Millis;
  /** Null: of a limit that is no more. */
  readonly held: (Holding | null)[];
}

/** What a request has taken, of every one of its limits. */
export interface Charge {
  readonly cost: number;
  readonly held: readonly (Holding | null)[];
}

/** Ticks come once a second. */
export const tickMs: Millis = 1000;

/** How long units may lie idle. */
export const restMs: Millis = 5000;

/** A lease with units out is spoken of at least so often. */
const speakMs: Millis = windowLifeMs / 3;

/** How long before a window's end the next one is asked for. */
const prefetchMs: Millis = 3 * tickMs;

const blank = (window: Window | null = null, leave: Leave | null = null): LocalWindow => ({
  window,
  leave,
  holding: emptyHolding(),
  heardAt: null,
  mark: 0,
  asking: false,
  doubtful: false,
});

export const localLimit = (limit: Limit, now: Times): LocalLimit => ({
  limit,
  ledger: ledgerName(limit),
  current: blank(),
  next: null,
  past: [],
  waiters: [],
  refusedFrom: Number.POSITIVE_INFINITY,
  refusedUntil: Number.POSITIVE_INFINITY,
  recalled: 0,
  told: false,
  closed: false,
  askedFor: null,
  suspicious: false,
  gone: false,
  superseded: false,
  taken: 0,
  demand: 0,
  takenAt: now.monotonic,
});

/** Another definition under the same name. What was refused may be possible now. */
export function redefine(local: LocalLimit, limit: Limit): void {
  local.limit = limit;
  local.gone = false;
  local.superseded = false;
  hope(local);
}

/** Refusals are forgotten: something has changed. */
function hope(local: LocalLimit): void {
  local.refusedFrom = Number.POSITIVE_INFINITY;
  local.refusedUntil = Number.POSITIVE_INFINITY;
  local.told = false;
  local.closed = false;
  local.askedFor = null;
}

// ---- charging -------------------------------------------------------------------------------------------------------

/**
 * Charges a request, without asking anybody. `short`: it has to wait (see `wait`). `refused`: the store has said so, or
 * the cost is more than a limit can ever give; `lacking` tells which. Unless charged, nothing is taken.
 */
export function charge(limits: readonly LocalLimit[], cost: number, now: Times): Charge | 'short' | 'refused' {
  let outcome: 'charged' | 'short' | 'refused' = 'charged';
  for (const local of limits) {
    turn(local, now);
    if (local.gone || (local.waiters.length === 0 && spendable(local, now) >= cost)) continue;
    if (isRefused(local, cost, now)) return 'refused';
    outcome = 'short';
  }
  if (outcome !== 'charged') return outcome;
  return { cost, held: limits.map(local => taken(local, cost, now)) };
}

/** The outcome is known: `spent` of the units are used, the rest is idle again. Then see to those who wait: `serve`. */
export function settleCharge({ cost, held }: Charge, spent: number): void {
  for (const holding of held) if (holding !== null) settle(holding, cost, spent);
}

/** Spends units that nobody has granted, where an outage leaves limits open. They are booked when the store is back. */
export function overdraw(limits: readonly LocalLimit[], spent: number, now: Times): void {
  for (const local of limits) {
    turn(local, now);
    if (!local.gone) local.current.holding.overdrawn += spent;
  }
}

/** Limits that refuse a request of this cost. */
export const lacking = (limits: readonly LocalLimit[], cost: number, now: Times): LocalLimit[] =>
  limits.filter(local => !local.gone && spendable(local, now) < cost && isRefused(local, cost, now));

/** Idle units of the present window that may be spent without asking. */
export function spendable(local: LocalLimit, now: Times): number {
  const { heardAt, holding } = local.current;
  if (local.superseded || heardAt === null || isSilent(heardAt, now, lifeOf(local.limit))) return 0;
  return idleOf(holding);
}

const lifeOf = ({ algorithm }: Limit): Millis => (algorithm === 'bucket' ? bucketLifeMs : windowLifeMs);

/** The greater of both clocks counts: one stands while a machine sleeps, the other is set. */
const isSilent = (since: Times, now: Times, life: Millis): boolean =>
  Math.max(now.monotonic - since.monotonic, now.wall - since.wall) >= life;

function isRefused(local: LocalLimit, cost: number, now: Times): boolean {
  if (cost > capacityOf(local.limit)) return true;
  if (now.monotonic >= local.refusedUntil) hope(local);
  return cost >= local.refusedFrom;
}

/** Takes what is known to be idle. */
function taken(local: LocalLimit, cost: number, now: Times): Holding | null {
  if (local.gone) return null;
  const { holding } = local.current;
  take(holding, cost);
  local.taken += cost;
  local.takenAt = now.monotonic;
  return holding;
}

// ---- waiting --------------------------------------------------------------------------------------------------------

export interface Served {
  readonly waiter: Waiter;
  /** Where it is not charged, what it held has gone back. `late`: it has waited for too long. */
  readonly outcome: Charge | 'refused' | 'late';
}

/** A request that was short waits from now on. Who else can go on by that is served too. */
export function wait(
  limits: readonly LocalLimit[],
  cost: number,
  now: Times,
  until: Millis,
): { readonly waiter: Waiter; readonly served: readonly Served[] } {
  const waiter: Waiter = { limits, cost, until, held: [] };
  const service = newService(now);
  if (advance(waiter, service) === 'waits') limits[waiter.held.length]!.waiters.push(waiter);
  return { waiter, served: serveAll(service) };
}

/** A request waits no longer: what it held goes back. */
export function abandon(waiter: Waiter, now: Times): readonly Served[] {
  const service = newService(now);
  const local = waiter.limits[waiter.held.length];
  const place = local?.waiters.indexOf(waiter) ?? -1;
  if (local === undefined || place === -1) return [];
  local.waiters.splice(place, 1);
  if (place === 0) nextInLine(local);
  goBack(waiter, service);
  service.touched.push(local);
  return serveAll(service);
}

/** Units may have become idle here: those who wait go on in their order. */
export function serve(local: LocalLimit, now: Times): readonly Served[] {
  const service = newService(now);
  service.touched.push(local);
  return serveAll(service);
}

interface Service {
  readonly now: Times;
  /** Limits of which units have become idle. Those who wait there are looked at one limit after the other. */
  readonly touched: LocalLimit[];
  readonly served: Served[];
}

const newService = (now: Times): Service => ({ now, touched: [], served: [] });

function serveAll(service: Service): readonly Served[] {
  for (const local of service.touched) {
    turn(local, service.now);
    for (let first = local.waiters[0]; first !== undefined; first = local.waiters[0]) {
      const outcome = advance(first, service);
      const next = outcome === 'waits' ? first.limits[first.held.length]! : null;
      if (next === local) break;
      local.waiters.shift();
      nextInLine(local);
      next?.waiters.push(first);
    }
  }
  return service.served;
}

/** The store is asked anew for whoever comes first now. */
function nextInLine(local: LocalLimit): void {
  local.recalled = 0;
  local.told = false;
}

/** Takes of one limit after the other. Who comes new does so behind those who wait already. */
function advance(waiter: Waiter, service: Service): 'waits' | 'done' {
  const { limits, cost, held } = waiter;
  const { now } = service;
  if (now.monotonic >= waiter.until) return end(waiter, 'late', service);
  for (;;) {
    while (held.length < limits.length) {
      const local = limits[held.length]!;
      turn(local, now);
      const isFirst = local.waiters.length === 0 || local.waiters[0] === waiter;
      if (local.gone || (isFirst && spendable(local, now) >= cost)) held.push(taken(local, cost, now));
      else if (isFirst && isRefused(local, cost, now)) return end(waiter, 'refused', service);
      else return 'waits';
    }
    if (held.every((holding, i) => holding === null || isSpendable(limits[i]!, holding, now))) break;
    // While it waited, a window has ended of which it had units.
    goBack(waiter, service);
  }
  service.served.push({ waiter, outcome: { cost, held } });
  return 'done';
}

function isSpendable(local: LocalLimit, holding: Holding, now: Times): boolean {
  turn(local, now);
  const { heardAt, holding: current } = local.current;
  return current === holding && heardAt !== null && !isSilent(heardAt, now, lifeOf(local.limit));
}

function end(waiter: Waiter, outcome: 'refused' | 'late', service: Service): 'done' {
  goBack(waiter, service);
  service.served.push({ waiter, outcome });
  return 'done';
}

/** All that it held is idle again, for those who wait there. */
function goBack(waiter: Waiter, service: Service): void {
  const held = waiter.held.splice(0);
  for (const holding of held) if (holding !== null) settle(holding, waiter.cost, 0);
  service.touched.push(...waiter.limits.slice(0, held.length));
}

// ---- windows --------------------------------------------------------------------------------------------------------

/** Leaves windows that have ended, by the clocks of this process. */
export function turn(local: LocalLimit, now: Times): void {
  if (local.current.leave !== null && hasEnded(local.current.leave, now)) {
    const left = local.current;
    keepPast(local, left);
    local.current = local.next ?? after(local, left);
    local.next = null;
    // Whoever was away for longer asks the store which one it is.
    if (hasEnded(local.current.leave, now)) {
      keepPast(local, local.current);
      local.current = blank();
    }
    hope(local);
    local.recalled = 0;
  }
  const { heardAt } = local.current;
  // The store may have forgotten a lease that it has not heard of for long. With nothing out it is begun anew.
  if (heardAt !== null && isSilent(heardAt, now, windowLifeMs) && isSettled(local.current)) {
    local.current = blank(local.current.window, local.current.leave);
  }
}

/** The window after one, by the clocks: it is as long as it is. */
function after({ limit }: LocalLimit, { window, leave }: LocalWindow): LocalWindow {
  const next = window === null ? null : windowAfter(limit, window);
  if (next === null || next.ends === null || leave === null) return blank();
  const length = next.ends - next.label;
  return blank(next, { monotonic: leave.monotonic + length, wall: leave.wall + length });
}

const isSettled = ({ asking, doubtful, holding }: LocalWindow): boolean =>
  !asking &&
  !doubtful &&
  holding.flying === 0 &&
  heldBy(holding) === 0 &&
  holding.offered === 0 &&
  unreportedOf(holding) === 0;

function keepPast(local: LocalLimit, part: LocalWindow): void {
  if (!isSettled(part)) local.past.push(part);
}

/** Nothing would be lost if this process knew nothing of it. */
export const isForgettable = (local: LocalLimit, now: Times): boolean =>
  local.waiters.length === 0 &&
  local.past.length === 0 &&
  [local.current, local.next].every(part => part === null || isSettled(part)) &&
  now.monotonic - local.takenAt >= 2 * restMs;

// ---- asking ---------------------------------------------------------------------------------------------------------

/** Once a second: how much is taken, what is over, what comes. Then every part is asked whether it has something to say. */
export function tick(local: LocalLimit, now: Times, elapsedMs: Millis): void {
  turn(local, now);
  const demand = (local.taken * 1000) / Math.max(1, elapsedMs);
  local.demand =
    demand > 0 ? Math.max(demand, local.demand / 2) : now.monotonic - local.takenAt < restMs ? local.demand : 0;
  local.taken = 0;
  local.told = false;
  local.closed = false;
  local.past = local.past.filter(part => !isSettled(part));
  const { leave } = local.current;
  const isNear = leave !== null && leave.monotonic - now.monotonic <= prefetchMs;
  if (local.next === null && isNear && local.demand > 0) {
    const next = after(local, local.current);
    if (next.window !== null) local.next = next;
  }
}

/** Those that may have something to say. */
export const partsOf = (local: LocalLimit): LocalWindow[] => [
  ...local.past,
  local.current,
  ...(local.next === null ? [] : [local.next]),
];

/** So many units that the next two seconds, or the next many requests, need not wait. `cost` of the first that waits. */
const targetOf = ({ demand, limit }: LocalLimit, cost: number): number =>
  Math.min(capacityOf(limit), Math.max(usualUnits * Math.max(1, cost), 2 * Math.ceil(demand)));

/** Whether units ought to be asked for before they run out. On the hot path: a few comparisons. */
export const isLow = ({ gone, superseded, current }: LocalLimit): boolean =>
  !gone && !superseded && !current.asking && idleOf(current.holding) < current.mark;

/** What is to be said of a window now; null: nothing, or its claim is under way. Said with `sent`, if it is said. */
export function questionFor(local: LocalLimit, part: LocalWindow, process: string, now: Times): LimitClaim | null {
  if (part.asking) return null;
  const { holding } = part;
  const isPast = part !== local.current && part !== local.next;
  const first = part === local.current ? (local.waiters[0] ?? null) : null;
  // What was overdrawn can be said, and has to be, before anything more is taken; the answer tells how.
  const isMute = !holding.known && holding.overdrawn > 0;
  const isShort = first !== null && !isMute && !local.told && !local.gone && spendable(local, now) < first.cost;
  const need = isShort ? first.cost : 0;
  const idle = idleOf(holding);
  const isRecalled = local.suspicious || holding.recall > holding.answered;
  // Who takes units keeps the others, and asks for more; who has not taken any for a while gives back. Never both.
  const rest = now.monotonic - local.takenAt;
  const isIdle = isPast || isRecalled || local.gone || local.superseded || rest >= (holding.scarce ? tickMs : restMs);
  const back = need > 0 || isIdle ? idle : 0;
  const target = targetOf(local, first?.cost ?? 1);
  const isLean = !isIdle && !isMute && (idle < part.mark || (part === local.next && part.heardAt === null));
  const want = need > 0 || isLean ? Math.max(need, target - (idle - back)) : 0;
  const isDue = part.heardAt !== null && heldBy(holding) > 0 && isSilent(part.heardAt, now, refreshMs(local.limit));
  const says =
    back > 0 ||
    holding.offered > 0 ||
    want > 0 ||
    part.doubtful ||
    unreportedOf(holding) > 0 ||
    isDue ||
    (isRecalled && holding.number > 0);
  if (!says) return null;
  const recalled = need > 0 ? local.recalled : 0;
  const claim = claimOf(holding, process, { back, need, want, recalled, doubtful: part.doubtful });
  return { ledger: local.ledger, label: part.window?.label ?? null, claim };
}

const refreshMs = ({ algorithm }: Limit): Millis => (algorithm === 'bucket' ? bucketLifeMs / 2 : speakMs);

/** The claim has gone out. */
export function sent(local: LocalLimit, part: LocalWindow): void {
  part.asking = true;
  if (part === local.current) local.askedFor = local.waiters[0] ?? null;
  local.suspicious = false;
}

/** No answer: whether it has happened is not known, and the next claim will tell. */
export function unanswered(part: LocalWindow): void {
  part.asking = false;
  part.doubtful = true;
}

/**
 * The answer, and the store's own time in it, `now - behind`: a window that is held open lasts until that clock is at its
 * end. Afterwards `serve`, and ask again where there is something to say.
 */
export function answered(
  local: LocalLimit,
  part: LocalWindow,
  claim: Claim,
  sentAt: Times,
  answer: WindowAnswer | null,
  storeTime: Millis,
): void {
  part.asking = false;
  part.doubtful = false;
  if (answer === null) {
    vanished(local, part);
    return;
  }
  const known = [...local.past, local.next].find(other => other?.window?.label === answer.window.label) ?? null;
  if (part.window === null && known !== null) {
    // The store is still, or already, in a window that is known here: this was asked in vain.
    if (part === local.current) local.current = known;
    local.past = local.past.filter(other => other !== known);
    if (local.next === known) local.next = null;
    known.holding.overdrawn += part.holding.overdrawn;
    known.leave = leaveOf(answer, sentAt, storeTime);
    return;
  }
  part.window = answer.window;
  part.heardAt = sentAt;
  part.leave = leaveOf(answer, sentAt, storeTime);
  hear(part.holding, claim, answer.answer);
  if (claim.want > 0) part.mark = Math.floor(idleOf(part.holding) / 2);
  local.superseded = answer.capacity === null && !local.gone;
  if (part === local.current) {
    const { verdict } = answer.answer;
    // A window that is over is left for the next one.
    const { ends } = answer.window;
    if (verdict === 'closed') local.closed = ends === null || storeTime < ends;
    else if (claim.need > 0) local.closed = false;
  }
  if (part === local.current && claim.need > 0) verdict(local, claim, sentAt, answer);
}

function leaveOf({ window: { ends } }: WindowAnswer, { monotonic, wall }: Times, storeTime: Millis): Leave | null {
  if (ends === null) return null;
  const left = ends - storeTime;
  return { monotonic: monotonic + left, wall: wall + left };
}

function verdict(local: LocalLimit, claim: Claim, sentAt: Times, { answer }: WindowAnswer): void {
  const isFor = local.askedFor;
  if (local.superseded) {
    // What holds instead is heard of soon, or this process is cut off.
    local.told = true;
  } else if (answer.verdict === 'granted') {
    hope(local);
  } else if (isFor === null || isFor !== local.waiters[0]) {
    // Whom it is about has gone, or news came after it was given.
    return;
  } else if (answer.verdict === 'waiting') {
    local.told = true;
    if (claim.recalled === 0) local.recalled = answer.recall;
  } else if (answer.verdict === 'closed') {
    local.told = true;
  } else if (answer.verdict === 'refused') {
    local.recalled = 0;
    if (claim.need < local.refusedFrom) {
      const { limit } = local;
      local.refusedFrom = claim.need;
      const isDraining = limit.algorithm === 'bucket' && limit.per !== 'lifetime' && limit.max > 0;
      local.refusedUntil = isDraining
        ? sentAt.monotonic + Math.ceil(((claim.need - answer.remaining) * paceMs(limit.per)) / limit.max)
        : Number.POSITIVE_INFINITY;
    }
  }
}

/** The store knows nothing of it: the window is long over, or the limit. */
function vanished(local: LocalLimit, part: LocalWindow): void {
  if (part === local.current) {
    if (part.window === null) {
      local.superseded = !local.gone;
      local.told = true;
    } else {
      local.current = blank();
    }
  } else if (part === local.next) {
    local.next = null;
  } else {
    local.past = local.past.filter(other => other !== part);
  }
}

/**
 * Somebody asks for idle units, or units have come back. `lost`: notices may be missing, or the store is of another epoch:
 * whatever is held is said again. Then ask, and `serve`.
 */
export function noticed(
  local: LocalLimit,
  kind: 'recall' | 'heard' | 'news' | 'lost',
  label: Millis,
  recall: number,
): void {
  if (kind === 'lost') local.suspicious = true;
  if (kind === 'heard') local.told = false;
  else if (kind !== 'recall') hope(local);
  for (const part of partsOf(local)) {
    if (part.window?.label === label) part.holding.recall = Math.max(part.holding.recall, recall);
  }
}
