import type { Threshold } from '../core/limit.ts';
import type { Millis } from '../core/token.ts';
import type { LimitedSubject } from './limit-ledger.ts';

/** A limit of which this process has found that a share is used, once in each window. */
export interface PassedThreshold {
  readonly at: Millis;
  readonly subject: LimitedSubject;
  /** Of a token: the account that owns it. */
  readonly owner: string | null;
  readonly limit: string;
  readonly percent: Threshold;
  readonly max: number;
  readonly used: number;
  /** When the window ends; null: never. */
  readonly ends: Millis | null;
}

/** Whoever watches limits. */
export interface LimitWatch {
  passed(threshold: PassedThreshold): void;
}
