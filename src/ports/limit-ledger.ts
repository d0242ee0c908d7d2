import type { Circumstances } from '../core/ledger.ts';
import type { Limit } from '../core/limit.ts';
import type { LimitAnswer, LimitQuestion, LimitState } from '../core/limit-book.ts';
import type { Millis } from '../core/token.ts';

/** Whose limits they are. All limits of one lie together. */
export interface LimitedSubject {
  readonly kind: 'token' | 'account';
  readonly id: string;
}

/**
 * The ledgers of limits. Each question is answered whole or not at all, and questions of one call in one round trip.
 * Rejects with `StoreUnavailable`; whether something was done is not known then, and need not be: the same claims may be
 * sent again (see `core/ledger.ts`).
 */
export interface LimitLedger {
  /** Answers in the order of the questions; null where one subject's part of the store did not answer. */
  exchange(
    questions: readonly SubjectQuestion[],
    circumstances: Pick<Circumstances, 'roll' | 'processes'>,
  ): Promise<readonly (LimitAnswer | null)[]>;
  /** Makes definitions hold, before whoever changed them is answered. An older version changes nothing. */
  define(subject: LimitedSubject, version: number, limits: readonly Limit[]): Promise<void>;
  /** What of the limits is used in the present window; nothing is changed. */
  read(subject: LimitedSubject, version: number, limits: readonly Limit[]): Promise<readonly LimitState[]>;
  /** Begins the present window of a limit anew. Null: there is no such limit. */
  reset(subject: LimitedSubject, ledger: string): Promise<LimitState | null>;
  /** Calls whenever units of somebody have come back, or somebody asks for idle units, until `signal` aborts. */
  listen(hear: (notice: LimitNotice) => void, signal: AbortSignal): void;
}

export interface SubjectQuestion extends LimitQuestion {
  readonly subject: LimitedSubject;
}

/**
 * Something may be missed: then `kind` is `lost`, and every holder and everybody who waits asks for themselves. `deaf`: nothing
 * can be heard, because the store does not let us, until the next `lost`.
 */
export type LimitNotice =
  | {
      /** Idle units are asked for; a recall was answered; units have come back, or a limit has changed. */
      readonly kind: 'recall' | 'heard' | 'news';
      readonly subject: LimitedSubject;
      readonly ledger: string;
      readonly label: Millis;
      /** The last recall of that window. */
      readonly recall: number;
    }
  | { readonly kind: 'lost' }
  | { readonly kind: 'deaf' };
