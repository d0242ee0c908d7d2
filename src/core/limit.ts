import type { Millis } from './token.ts';

/** `lifetime` is one window without an end; the others are aligned in UTC. */
export const periods = ['lifetime', '1s', '1m', '1h', '1d', '1mo'] as const;
export type Period = (typeof periods)[number];

export const algorithms = ['window', 'bucket'] as const;
export type Algorithm = (typeof algorithms)[number];

/** Percents of what a limit allows; somebody is told when it passes one. */
export const thresholds = [80, 90, 100] as const;
export type Threshold = (typeof thresholds)[number];

/** How much may be used: `max` units in each window, or at that pace out of a bucket that holds `burst`. */
export interface Limit {
  /** Unlike every other of the same token or account. */
  readonly name: string;
  /** Units. 0: nothing. */
  readonly max: number;
  readonly per: Period;
  readonly algorithm: Algorithm;
  /** Units that a bucket holds when it is full; the same as `max` for windows. */
  readonly burst: number;
}

/** Most limits of one token or account, and most units: sums of them are exact. */
export const limitLimits = { count: 16, units: 1_000_000_000_000, name: 64 } as const;

/** A limit with another period or algorithm is another limit, whatever its name. */
export const ledgerName = ({ name, per, algorithm }: Pick<Limit, 'name' | 'per' | 'algorithm'>): string =>
  `${name}:${per}:${algorithm}`;

/** What is kept of a limit that is no more: nothing is granted, but holders report and give back. Null: no such name. */
export function formerLimit(ledger: string): Limit | null {
  const [, name, per, algorithm] = /^(.+):([^:]+):([^:]+)$/s.exec(ledger) ?? [];
  const period = periods.find(each => each === per);
  const kind = algorithms.find(each => each === algorithm);
  if (name === undefined || period === undefined || kind === undefined) return null;
  return { name, max: 0, per: period, algorithm: kind, burst: 0 };
}

/** The units that can be out at a time. */
export const capacityOf = ({ algorithm, max, burst }: Limit): number => (algorithm === 'bucket' ? burst : max);

const lengths: Readonly<Record<'1s' | '1m' | '1h' | '1d', Millis>> = {
  '1s': 1000,
  '1m': 60_000,
  '1h': 3_600_000,
  '1d': 86_400_000,
};

/** How long a bucket takes for `max` units. A month is 30 days there, which have one length. */
export function paceMs(per: Exclude<Period, 'lifetime'>): Millis {
  return per === '1mo' ? 30 * lengths['1d'] : lengths[per];
}

/** A window by its label, which is when it starts. `ends` null: never. */
export interface Window {
  readonly label: Millis;
  readonly ends: Millis | null;
}

const endless: Window = { label: 0, ends: null };

/** The window that an instant lies in. A bucket has one, which never ends. */
export function windowAt({ per, algorithm }: Pick<Limit, 'per' | 'algorithm'>, at: Millis): Window {
  if (algorithm === 'bucket' || per === 'lifetime') return endless;
  if (per === '1mo') {
    const date = new Date(at);
    const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()];
    return { label: Date.UTC(year, month), ends: Date.UTC(year, month + 1) };
  }
  const length = lengths[per];
  const label = Math.floor(at / length) * length;
  return { label, ends: label + length };
}

/** The window after this one; null when it never ends. */
export const windowAfter = (limit: Pick<Limit, 'per' | 'algorithm'>, { ends }: Window): Window | null =>
  ends === null ? null : windowAt(limit, ends);

/** What this process knows of a limit that a request was held against. */
export interface LimitView {
  readonly name: string;
  readonly scope: 'token' | 'account';
  readonly per: Period;
  readonly algorithm: Algorithm;
  /** Units of a window, or of a full bucket. */
  readonly capacity: number;
  /** Units that can still be used, the request's own taken off: from 0 to the capacity. */
  readonly left: number;
  /** When as many as the capacity are there again, on this process's wall clock; null: never. */
  readonly resetsAt: Millis | null;
  /** How long the window is, or an empty bucket takes to be full, in whole seconds; null: for ever. */
  readonly windowSeconds: number | null;
  /** The request was refused by this one. */
  readonly violated: boolean;
}
