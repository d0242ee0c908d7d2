import { type Algorithm, type Limit, limitLimits, type Period } from './limit.ts';
import { pointerStep } from './strict-json.ts';
import { idPattern } from './token.ts';

/** A limit as people say it. `algorithm`: `window` by default; `burst`: of a bucket, `max` by default. */
export interface SaidLimit {
  readonly name: string;
  readonly max: number;
  readonly per: Period;
  readonly algorithm?: Algorithm;
  readonly burst?: number;
}

/** `index` of the limit, null for the list; `member` of it; what is wrong there, and what is allowed instead. */
export interface LimitFault {
  readonly index: number | null;
  readonly member: keyof SaidLimit | null;
  readonly what: string;
  readonly allowed: string;
}

const allowedName = 'up to 64 letters, digits, ".", "_" and "-", the first a letter or digit';
const allowedMax = `a whole number from 0 to ${limitLimits.units}`;
const allowedBurst = `a whole number from 1 to ${limitLimits.units}`;

/** Everything that is wrong with limits, in their order. */
export function limitFaults(said: readonly SaidLimit[]): readonly LimitFault[] {
  const { count } = limitLimits;
  const faults: LimitFault[] = [];
  if (said.length > count) {
    faults.push({ index: null, member: null, what: 'has too many limits', allowed: `at most ${count}` });
  }
  const names = new Set<string>();
  said.slice(0, count).forEach((limit, index) => {
    const add = (member: keyof SaidLimit, what: string, allowed: string) =>
      faults.push({ index, member, what, allowed });
    const { name, max, per, algorithm } = limit;
    if (!idPattern.test(name)) add('name', 'is no name of a limit', allowedName);
    else if (names.has(name)) add('name', 'is the name of another limit', 'a name of its own');
    names.add(name);
    if (!isUnits(max, 0)) add('max', 'is no number of units', allowedMax);
    if (algorithm === 'bucket' && per === 'lifetime') {
      add('per', 'is lifetime, in which no bucket fills again', 'another period, or the algorithm window');
    }
    const burst = burstFault(limit);
    if (burst !== null) add('burst', ...burst);
  });
  return faults;
}

function burstFault({ max, algorithm = 'window', burst }: SaidLimit): [what: string, allowed: string] | null {
  if (burst === undefined) return null;
  if (algorithm === 'window') return ['is for buckets alone', 'to leave it out, or the algorithm bucket'];
  // A bucket begins full: so many would pass of a limit that lets nothing pass.
  if (max === 0) return ['stands beside a max of 0, which lets nothing pass', 'to leave it out'];
  return isUnits(burst, 1) ? null : ['is no number of units', allowedBurst];
}

const isUnits = (value: number, least: number): boolean =>
  Number.isSafeInteger(value) && value >= least && value <= limitLimits.units;

/** Where a fault stands, as a JSON pointer within the list. */
export const limitPointer = ({ index, member }: LimitFault): string =>
  index === null ? '' : `${pointerStep(index)}${member === null ? '' : pointerStep(member)}`;

/** What has no faults, as it is kept. */
export const limitsOf = (said: readonly SaidLimit[]): readonly Limit[] =>
  said.map(({ name, max, per, algorithm = 'window', burst = max }) => ({ name, max, per, algorithm, burst }));

/** As limits are shown: what may be said again. The burst of a window means nothing. */
export const shownLimit = ({ burst, ...limit }: Limit): SaidLimit & Pick<Limit, 'algorithm'> =>
  limit.algorithm === 'bucket' && limit.max > 0 ? { ...limit, burst } : limit;

/** A limit that lets a request of this cost pass. */
export const raisedLimit = (limit: Limit, cost: number): Limit =>
  limit.algorithm === 'bucket' && limit.max > 0
    ? { ...limit, burst: Math.max(limit.burst, cost) }
    : { ...limit, max: Math.max(limit.max, cost), burst: Math.max(limit.burst, cost) };

/** Limits of `before` that bound less in `next`, or not at all. */
export function loosenedLimits(before: readonly Limit[], next: readonly Limit[]): readonly LoosenedLimit[] {
  const found: LoosenedLimit[] = [];
  for (const { name, max, per, algorithm, burst } of before) {
    const index = next.findIndex(limit => limit.name === name);
    const limit = next[index];
    // With another period or algorithm it is another limit, of which nothing is used.
    if (limit === undefined) found.push({ name, index: null, member: null });
    else if (limit.per !== per) found.push({ name, index, member: 'per' });
    else if (limit.algorithm !== algorithm) found.push({ name, index, member: 'algorithm' });
    else if (limit.max > max) found.push({ name, index, member: 'max' });
    else if (limit.algorithm === 'bucket' && limit.burst > burst) found.push({ name, index, member: 'burst' });
  }
  return found;
}

/** A limit that was taken away (`index` null), or a member by which it bounds less. */
export interface LoosenedLimit {
  readonly name: string;
  readonly index: number | null;
  readonly member: keyof SaidLimit | null;
}
