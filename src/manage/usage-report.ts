import type { Millis } from '../core/token.ts';
import { addUsage, dayOf, hourOf, noUsage, type Usage, type UsageBucket } from '../core/usage.ts';
import type { UsageLedger } from '../ports/usage-ledger.ts';
import type { Faults } from './faults.ts';
import type { LimitUse } from './limits.ts';

export const usageSteps = ['1h', '1d'] as const;
export type UsageStep = (typeof usageSteps)[number];

export interface UsageRange {
  /** Absent: a day before the end. */
  readonly from?: Millis;
  /** Absent: now. */
  readonly to?: Millis;
  readonly step: UsageStep;
}

export interface UsageReport {
  readonly tokenId: string;
  /** The beginning of the first bucket. */
  readonly from: Millis;
  readonly to: Millis;
  readonly step: UsageStep;
  /** Of the buckets when a range was asked for; else of all time. */
  readonly total: Usage;
  /** Of all limits, whatever the range: in their present windows. */
  readonly limits: readonly LimitUse[];
  /** Buckets in which something happened, oldest first. */
  readonly series: readonly UsageBucket[];
}

/** Most buckets in one report. */
const mostBuckets = 1000;

const steps = {
  '1h': { name: 'hour', ms: 3_600_000, startOf: hourOf },
  '1d': { name: 'day', ms: 86_400_000, startOf: dayOf },
} as const;

/** The buckets that a range touches; faults name the query's parameters. */
export function planUsage(range: UsageRange, now: Millis, faults: Faults): { from: Millis; to: Millis } {
  const { ms, startOf } = steps[range.step];
  const to = range.to ?? now;
  const from = startOf(range.from ?? to - steps['1d'].ms);
  if (range.from !== undefined && range.from >= to) faults.add('?from', 'is not before to');
  else if ((to - from) / ms > mostBuckets) faults.add('?step', `makes more than ${mostBuckets} buckets of this range`);
  return { from, to };
}

export async function readUsage(
  ledger: UsageLedger,
  tokenId: string,
  range: UsageRange,
  { from, to }: { readonly from: Millis; readonly to: Millis },
): Promise<Omit<UsageReport, 'limits'>> {
  const { step } = range;
  // "Now" includes the bucket that begins at this very millisecond.
  const series = await ledger.series(tokenId, steps[step].name, from, range.to ?? to + 1);
  const ranged = range.from !== undefined || range.to !== undefined;
  const total = ranged
    ? series.reduce((sum, bucket) => addUsage(sum, bucket.usage), noUsage)
    : ((await ledger.total(tokenId)) ?? noUsage);
  return { tokenId, from, to, step, total, series };
}
