import { emptyLedger, type Lease, type Ledger, sums } from '../core/ledger.ts';
import { formerLimit, windowAt } from '../core/limit.ts';
import { type Entry, untilOf } from '../core/limit-book.ts';
import type { Millis } from '../core/token.ts';
import type { LimitedSubject, SubjectQuestion } from '../ports/limit-ledger.ts';
import type { StoreRecord } from '../ports/store-transfer.ts';

/** What both stores do with ledgers beside what `core` says. */

/** Most claims in one script or transaction. */
export const claimsAtOnce = 500;

/** Cuts questions into parts of at most so many claims. A question stays whole. */
export function partsOf<Question extends SubjectQuestion>(
  questions: readonly Question[],
): readonly (readonly Question[])[] {
  const parts: Question[][] = [];
  let weight = Number.POSITIVE_INFINITY;
  for (const question of questions) {
    const own = Math.max(1, question.claims.length);
    if (weight + own > claimsAtOnce) {
      parts.push([]);
      weight = 0;
    }
    parts.at(-1)!.push(question);
    weight += own;
  }
  return parts;
}

/** A window for a copy: what is out may be spent, and nobody comes there to say otherwise. */
export function limitWindowRecord(
  { subject, ledger, label }: { readonly subject: LimitedSubject; readonly ledger: string; readonly label: Millis },
  state: Ledger,
): StoreRecord {
  const { spent, burned, leased } = sums(state);
  const used = formerLimit(ledger)?.algorithm === 'bucket' ? state.level : spent;
  return { kind: 'limit_window', subject, ledger, label, settled: burned + leased + used, at: state.at };
}

/** The ledger of a copy, and when it may be forgotten. Throws when its name is none. */
export function windowIn(ledger: string, label: Millis, settled: number, at: Millis): Pick<Entry, 'state' | 'until'> {
  const kind = formerLimit(ledger);
  if (kind === null) throw new Error(`${ledger} is no name of a ledger`);
  const empty = emptyLedger(at);
  return {
    state: kind.algorithm === 'bucket' ? { ...empty, level: settled } : { ...empty, settled },
    until: untilOf(kind, windowAt(kind, label)),
  };
}

/** Whether a window of this name has not ended. */
export function isOpen({ ledger, label }: { readonly ledger: string; readonly label: Millis }, now: Millis): boolean {
  const kind = formerLimit(ledger);
  const ends = kind === null ? null : windowAt(kind, label).ends;
  return ends === null || ends > now;
}

const counts = ['generation', 'settled', 'lost', 'waived', 'recall'] as const;
const ofLease = ['number', 'granted', 'returned', 'spent', 'overdrawn', 'answered'] as const;

/** What cannot be in a ledger; null when it is sound. */
export function faultIn(ledger: Ledger): string | null {
  for (const name of counts) if (!isCount(ledger[name])) return `${name} is no count`;
  for (const name of ['level', 'at', 'closedUntil'] as const) {
    if (!(Number.isFinite(ledger[name]) && ledger[name] >= 0)) return `${name} is no number`;
  }
  for (const [process, lease] of Object.entries(ledger.leases)) {
    if (!isSound(lease)) return `the lease of ${process} has more spent and returned than granted, or no counts`;
  }
  return null;
}

const isSound = (lease: Lease): boolean =>
  ofLease.every(name => isCount(lease[name])) &&
  Number.isFinite(lease.seen) &&
  Number.isFinite(lease.gone) &&
  lease.returned + lease.spent <= lease.granted;

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;
