import type { LimitView } from '../core/limit.ts';
import type { ChargeRefusal } from '../core/limit-denial.ts';
import type { Subject } from '../core/token.ts';

/** What the gate asks of the limits of a token and of its account. */
export interface Limits {
  /**
   * Charges a request to all of its limits or to none. Null: there is nothing to charge. At once where units are held for
   * it. `asker`: who waits; no longer than until it is answered.
   */
  charge(
    subject: Subject,
    cost: number,
    asker: { readonly answered: boolean },
  ): LimitCharge | LimitRefusal | null | Promise<LimitCharge | LimitRefusal>;
  /** What became of it, were a request charged now; nothing is. Rejects with `StoreUnavailable`. */
  weigh(
    subject: Subject,
    cost: number,
  ): Promise<{ readonly limits: readonly LimitView[]; readonly refusal: LimitRefusal | null }>;
}

/** Units that a request has taken. Whichever comes first, `spend` or `refund`, holds; all that follow change nothing. */
export interface LimitCharge {
  readonly kind: 'charged';
  /** The limits, the charge included. */
  views(): readonly LimitView[];
  /** So many are used, at most those that were taken. `excess`: more were, which nobody is charged for. */
  spend(units?: number, excess?: number): void;
  refund(): void;
}

/**
 * Nothing was charged. `busy`: other processes hold units, and have not said in time whether they use them; or too many
 * wait for that. `unavailable`: the store does not answer.
 */
export type LimitRefusal = ChargeRefusal;
