import { capacityOf, type Limit, ledgerName } from '../core/limit.ts';
import { limitFaults, limitPointer, limitsOf, type SaidLimit } from '../core/limit-form.ts';
import type { Account, Millis, Token } from '../core/token.ts';
import { Refusal, StoreUnavailable } from '../errors.ts';
import type { LimitedSubject, LimitLedger } from '../ports/limit-ledger.ts';
import type { Faults } from './faults.ts';

/** Limits of tokens and accounts, as managers say, see and reset them. */

/** What services ask of the ledgers. */
export type ManagedLedger = Pick<LimitLedger, 'define' | 'read' | 'reset'>;

/** How much of a limit is used in its present window. */
export interface LimitUse {
  readonly name: string;
  readonly max: number;
  /** Units, those that were burned included. */
  readonly used: number;
  /** Units that can still be used: nobody has them, or a process holds them for requests to come. */
  readonly remaining: number;
  /** Units that processes held when they ended without a word. */
  readonly burned: number;
  /** When the window ends; null: never, or it is a bucket, which fills all the time. */
  readonly resetsAt: Millis | null;
}

/** Limits as they are kept; none where something is wrong with them, which the faults tell. */
export function readLimits(said: readonly SaidLimit[], faults: Faults): readonly Limit[] {
  const found = limitFaults(said);
  for (const fault of found) faults.add(`/limits${limitPointer(fault)}`, `${fault.what}; allowed: ${fault.allowed}`);
  return found.length === 0 ? limitsOf(said) : [];
}

/** Members with their limits as they are kept; those that are not said stay so, and null too. */
export function withReadLimits<M extends { readonly limits?: readonly SaidLimit[] | null }>(
  { limits, ...members }: M,
  faults: Faults,
): Omit<M, 'limits'> & { readonly limits?: Kept<M> } {
  if (limits === undefined) return members;
  return { ...members, limits: (limits === null ? null : readLimits(limits, faults)) as Kept<M> };
}

type Kept<M extends { readonly limits?: readonly SaidLimit[] | null }> = readonly Limit[] | Extract<M['limits'], null>;

export const tokenSubject = ({ id }: Pick<Token, 'id'>): LimitedSubject => ({ kind: 'token', id });
export const accountSubject = ({ id }: Pick<Account, 'id'>): LimitedSubject => ({ kind: 'account', id });

/**
 * Makes limits hold that were said with a change, which is made already. Also where the change said nothing new: it may
 * have been made by a call whose answer was lost before the ledgers knew.
 */
export async function defineLimits(
  ledger: ManagedLedger,
  subject: LimitedSubject,
  version: number,
  before: readonly Limit[],
  next: readonly Limit[],
): Promise<void> {
  if (before.length === 0 && next.length === 0) return;
  await behindChange(ledger.define(subject, version, next));
}

/** Begins the present window of a limit anew, behind the change that tells of it. */
export async function resetLimit(
  ledger: ManagedLedger,
  subject: LimitedSubject,
  version: number,
  limits: readonly Limit[],
  limit: Limit,
): Promise<void> {
  await behindChange(ledger.define(subject, version, limits));
  await behindChange(ledger.reset(subject, ledgerName(limit)));
}

/** What was written before stands: whoever is told that this failed must not take it for undone. */
async function behindChange<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (cause) {
    if (cause instanceof StoreUnavailable) throw new StoreUnavailable(cause.message, { sent: true, cause });
    throw cause;
  }
}

export async function limitUses(
  ledger: ManagedLedger,
  subject: LimitedSubject,
  version: number,
  limits: readonly Limit[],
): Promise<readonly LimitUse[]> {
  return limits.length === 0 ? [] : (await ledger.read(subject, version, limits)).map(useOf);
}

type LimitState = Awaited<ReturnType<ManagedLedger['read']>>[number];

/** What processes hold can be used: it counts as remaining. More may be used than a limit has come to since. */
function useOf({ limit, spent, burned, ends: resetsAt }: LimitState): LimitUse {
  const { name, max } = limit;
  const used = spent + burned;
  return { name, max, used, remaining: Math.max(0, capacityOf(limit) - used), burned, resetsAt };
}

export function namedLimit(limits: readonly Limit[], name: string): Limit {
  const limit = limits.find(each => each.name === name);
  if (limit === undefined) throw new Refusal('not_found', 'There is no such limit.');
  return limit;
}
