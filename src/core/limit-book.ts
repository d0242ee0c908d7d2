import { type Answer, type Circumstances, type Claim, emptyLedger, exchange, keepMs, type Ledger } from './ledger.ts';
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

/** Windows of a second are too many to be kept for as long as others. */
const keptMs = ({ per }: Limit): Millis => (per === '1s' ? 60_000 : keepMs);

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
    const until = window.ends === null ? null : window.ends + keptMs(limit);
    entries.set(`${name} ${window.label}`, { ledger: name, label: window.label, state: ledger, until });
    return { window, capacity: defined === null ? null : capacityOf(defined), answer };
  });
  const behind = Math.max(0, now - storeTime);
  return { head, entries: [...entries.values()], answer: { now, behind, version: head.version, answers } };
}
