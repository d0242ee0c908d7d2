import type { Millis } from '../core/token.ts';
import type { Usage, UsageBucket } from '../core/usage.ts';

/**
 * Usage of tokens: totals, by hour and by day (UTC). A report carries the process's incarnation and a number that
 * grows; a number seen before changes nothing, so that a report whose answer was lost may be sent again.
 */
export interface UsageLedger {
  report(report: UsageReport): Promise<void>;
  /** Null when the token was never used. */
  total(tokenId: string): Promise<Usage | null>;
  totals(tokenIds: readonly string[]): Promise<ReadonlyMap<string, Usage>>;
  /** Buckets that start in `[from, to)`, oldest first; empty ones are left out. */
  series(tokenId: string, step: 'hour' | 'day', from: Millis, to: Millis): Promise<readonly UsageBucket[]>;
}

export interface UsageReport {
  readonly process: string;
  readonly number: number;
  readonly entries: readonly UsageEntry[];
}

export interface UsageEntry {
  readonly tokenId: string;
  /** Start of the hour (UTC) that this was used in. */
  readonly hour: Millis;
  readonly usage: Usage;
}
