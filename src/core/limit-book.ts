import {
  type Answer,
  type Circumstances,
  type Claim,
  emptyLedger,
  exchange,
  keepMs,
  type Ledger,
  passed,
  remainingOf,
  reset,
  sums,
  usedOf,
} from './ledger.ts';
import { capacityOf, formerLimit, type Limit, ledgerName, type Window, windowAfter, windowAt } from './limit.ts';
import type { Millis } from './token.ts';

/**
 * What the store keeps for all limits of one token or account: their definitions, of the highest version that anybody
 * has shown, and a clock that never goes back.
 */
export interface Head {
  /** Of the token or account; 0 for one that the configuration declares. */
  readonly version: number;
  readonly limits: readonly Limit[];
  readonly clock: Millis;
}

/** One call of a process about the limits of one token or account. */
export interface LimitQuestion {
  /** As the caller knows them. */
  readonly version: number;
  readonly limits: readonly Limit[];
  readonly claims: readonly LimitClaim[];
}

export interface LimitClaim {
  /** See `ledgerName`. */
  readonly ledger: string;
  /** Label of the window that the lease is of; null: the one that the store is in. */
  readonly label: Millis | null;
  readonly claim: Claim;
}

export interface LimitAnswer {
  /** The store's time when it was answered. */
  readonly now: Millis;
  /** How far the store's own clock is behind what it said before, in milliseconds. */
  readonly behind: Millis;
  readonly version: number;
  /** In the order of the claims. Null: there is no such limit, or no such window. */
  readonly answers: readonly (WindowAnswer | null)[];
}

export interface WindowAnswer {
  readonly window: Window;
  /** What the limit comes to now: `max`, or `burst`. Null: there is no such limit any more; reports are taken. */
  readonly capacity: number | null;
  readonly answer: Answer;
}

/** A ledger of one limit in one window, and when it may be forgotten; null: never. */
export interface Entry {
  readonly ledger: string;
  readonly label: Millis;
  readonly state: Ledger;
  readonly until: Millis | null;
}

/** When the ledger of a window may be forgotten; null: never. Windows of a second are too many to be kept as long as others. */
export const untilOf = ({ per }: Pick<Limit, 'per'>, { ends }: Window): Millis | null =>
  ends === null ? null : ends + (per === '1s' ? 60_000 : keepMs);

/** The definitions that hold, and the time: neither goes back. */
export function headAfter(
  before: Head | null,
  said: Pick<LimitQuestion, 'version' | 'limits'>,
  storeTime: Millis,
): Head {
  if (before === null) return { version: said.version, limits: said.limits, clock: storeTime };
  const clock = Math.max(before.clock, storeTime);
  // The configuration has no versions: whoever speaks last is heard.
  const newer = said.version > before.version || (said.version === 0 && before.version === 0);
  return newer ? { version: said.version, limits: said.limits, clock } : { ...before, clock };
}

/**
 * Answers a process. `find`: the ledger that is kept; null for none. Nothing is done by halves: what has changed is in
 * `entries`, and is to be kept with the head.
 */
export function answerQuestion(
  kept: Head | null,
  find: (ledger: string, label: Millis) => Ledger | null,
  question: LimitQuestion,
  { storeTime, roll, processes }: Pick<Circumstances, 'roll' | 'processes'> & { readonly storeTime: Millis },
): { readonly head: Head; readonly entries: readonly Entry[]; readonly answer: LimitAnswer } {
  const head = headAfter(kept, question, storeTime);
  const now = head.clock;
  const entries = new Map<string, Entry>();
  const answers = question.claims.map(({ ledger: name, label, claim }): WindowAnswer | null => {
    const defined = head.limits.find(each => ledgerName(each) === name) ?? null;
    const limit = defined ?? formerLimit(name);
    if (limit === null) return null;
    const current = windowAt(limit, now);
    const window = label === null ? current : windowAt(limit, label);
    const known = entries.get(`${name} ${window.label}`)?.state ?? find(name, window.label);
    const isOpen = window.label === current.label || window.label === windowAfter(limit, current)?.label;
    if (known === null && (!isOpen || defined === null)) return null;
    const { ledger, answer } = exchange(known ?? emptyLedger(now), limit, window, claim, { now, roll, processes });
    const until = untilOf(limit, window);
    entries.set(`${name} ${window.label}`, { ledger: name, label: window.label, state: ledger, until });
    return { window, capacity: defined === null ? null : capacityOf(defined), answer };
  });
  const behind = Math.max(0, now - storeTime);
  return { head, entries: [...entries.values()], answer: { now, behind, version: head.version, answers } };
}

/** What became of a limit in one window. */
export interface LimitState {
  readonly limit: Limit;
  readonly spent: number;
  readonly burned: number;
  readonly leased: number;
  readonly remaining: number;
  /** When the window ends on the store's clock; null: never. */
  readonly ends: Millis | null;
}

/** What of the limits is used in the present windows. */
export function readBook(
  kept: Head | null,
  find: (ledger: string, label: Millis) => Ledger | null,
  said: Pick<LimitQuestion, 'version' | 'limits'>,
  storeTime: Millis,
): readonly LimitState[] {
  const { limits, clock } = headAfter(kept, said, storeTime);
  return limits.map(limit => {
    const window = windowAt(limit, clock);
    return stateOf(find(ledgerName(limit), window.label) ?? emptyLedger(clock), limit, window, clock);
  });
}

/** Begins the present window of a limit anew. Null: there is no such limit. */
export function resetBook(
  kept: Head | null,
  find: (ledger: string, label: Millis) => Ledger | null,
  name: string,
  storeTime: Millis,
): { readonly head: Head; readonly entry: Entry; readonly state: LimitState; readonly notice: BookNotice } | null {
  const limit = kept?.limits.find(each => ledgerName(each) === name);
  if (kept === null || limit === undefined) return null;
  const clock = Math.max(kept.clock, storeTime);
  const window = windowAt(limit, clock);
  const { label } = window;
  const ledger = reset(find(name, label) ?? emptyLedger(clock), limit, clock);
  return {
    head: { ...kept, clock },
    entry: { ledger: name, label, state: ledger, until: untilOf(limit, window) },
    state: stateOf(ledger, limit, window, clock),
    notice: { kind: 'news', ledger: name, label, recall: ledger.recall },
  };
}

function stateOf(before: Ledger, limit: Limit, { ends }: Window, now: Millis): LimitState {
  const ledger = passed(before, limit, now);
  const { burned, leased } = sums(ledger);
  const spent = usedOf(ledger, limit) - burned;
  return { limit, spent, burned, leased, remaining: remainingOf(ledger, limit), ends };
}

/** Units are asked for, a recall was answered, or units have come back. */
export interface BookNotice {
  readonly kind: 'recall' | 'heard' | 'news';
  readonly ledger: string;
  readonly label: Millis;
  readonly recall: number;
}

/** What others have to hear of after an answer. */
export const noticesOf = ({ claims }: LimitQuestion, { answers }: LimitAnswer): readonly BookNotice[] =>
  claims.flatMap(({ ledger, claim }, i): BookNotice[] => {
    const answer = answers[i] ?? null;
    if (answer === null) return [];
    const { verdict, recall, news, heard } = answer.answer;
    const about = { ledger, label: answer.window.label, recall };
    const asks = verdict === 'waiting' && claim.recalled === 0;
    return [
      ...(asks ? [{ kind: 'recall' as const, ...about }] : []),
      ...(news ? [{ kind: 'news' as const, ...about }] : []),
      ...(heard ? [{ kind: 'heard' as const, ...about }] : []),
    ];
  });

/**
 * Makes definitions hold. Of a limit that was lowered idle units are recalled, in its present window and in the next one,
 * of which processes may have some already; who was refused by one that was raised has to hear of it.
 */
export function defineBook(
  kept: Head | null,
  find: (ledger: string, label: Millis) => Ledger | null,
  said: Pick<LimitQuestion, 'version' | 'limits'>,
  storeTime: Millis,
): { readonly head: Head; readonly entries: readonly Entry[]; readonly notices: readonly BookNotice[] } {
  const head = headAfter(kept, said, storeTime);
  const entries: Entry[] = [];
  const notices: BookNotice[] = [];
  for (const limit of head.limits) {
    const name = ledgerName(limit);
    const old = kept?.limits.find(each => ledgerName(each) === name);
    if (old === undefined) continue;
    const isLower = limit.max < old.max || limit.burst < old.burst;
    const isHigher = limit.max > old.max || limit.burst > old.burst;
    const current = windowAt(limit, head.clock);
    for (const window of [current, windowAfter(limit, current)]) {
      const ledger = window === null ? null : find(name, window.label);
      if (window === null || ledger === null) continue;
      const { label } = window;
      const recall = ledger.recall + (isLower ? 1 : 0);
      const about = { ledger: name, label, recall };
      if (isLower) {
        entries.push({ ledger: name, label, state: { ...ledger, recall }, until: untilOf(limit, window) });
        notices.push({ kind: 'recall', ...about });
      }
      if (isHigher) notices.push({ kind: 'news', ...about });
    }
  }
  return { head, entries, notices };
}
