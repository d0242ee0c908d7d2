import type { Claim } from '../core/ledger.ts';
import type { Algorithm, LimitView, Threshold } from '../core/limit.ts';
import type { WindowAnswer } from '../core/limit-book.ts';

type Renewal = 'granted' | 'waiting' | 'refused' | 'closed' | 'unavailable';

/** Plain numbers, for whoever reports them. */
export class LeaseCounts {
  readonly #outstanding: () => number;
  readonly renewals: Record<Renewal, number> = { granted: 0, waiting: 0, refused: 0, closed: 0, unavailable: 0 };
  readonly refusals: Record<LimitView['scope'], Record<Algorithm, number>> = {
    token: { window: 0, bucket: 0 },
    account: { window: 0, bucket: 0 },
  };
  readonly thresholds: Record<Threshold, number> = { 80: 0, 90: 0, 100: 0 };
  readonly excess: Record<'outage' | 'lost_grants' | 'response', number> = { outage: 0, lost_grants: 0, response: 0 };
  burned = 0;
  clockBehindMs = 0;

  constructor(outstanding: () => number) {
    this.#outstanding = outstanding;
  }

  /** Units that are held now, and not used. */
  get outstanding(): number {
    return this.#outstanding();
  }

  answered({ need, want }: Claim, { answer }: WindowAnswer): void {
    const { verdict } = answer;
    // A stale number is asked with again: that one counts.
    if ((need > 0 || want > 0) && verdict !== 'stale') this.renewals[verdict]++;
    this.burned += answer.burned;
    this.excess.lost_grants += Math.max(0, answer.excess);
  }

  unanswered({ need, want }: Claim): void {
    if (need > 0 || want > 0) this.renewals.unavailable++;
  }

  refused(limits: readonly LimitView[]): void {
    for (const { violated, scope, algorithm } of limits) if (violated) this.refusals[scope][algorithm]++;
  }
}
