import { describe, expect, test } from 'vitest';
import { type Limit, limitLimits } from '../../../src/core/limit.ts';
import {
  limitFaults,
  limitPointer,
  limitsOf,
  loosenedLimits,
  type SaidLimit,
  shownLimit,
} from '../../../src/core/limit-form.ts';

const day: SaidLimit = { name: 'day', max: 10, per: '1d' };
const pace: SaidLimit = { name: 'pace', max: 10, per: '1s', algorithm: 'bucket' };
const { units } = limitLimits;

const told = (said: readonly SaidLimit[]): string[] =>
  limitFaults(said).map(fault => `${limitPointer(fault)} ${fault.what}; allowed: ${fault.allowed}`);

describe('limits as they are said', () => {
  test.each<[string, SaidLimit[]]>([
    ['none at all', []],
    ['a window', [day]],
    ['a bucket', [pace]],
    ['a bucket with a burst below its max', [{ ...pace, burst: 1 }]],
    ['a bucket with the largest burst', [{ ...pace, burst: units }]],
    ['one that lets nothing pass', [{ ...day, max: 0 }]],
    ['a bucket that lets nothing pass', [{ ...pace, max: 0 }]],
    ['the largest', [{ ...day, max: units }]],
    ['as many as there may be', Array.from({ length: 16 }, (_, i) => ({ ...day, name: `n${i}` }))],
    ['a name of 64 characters', [{ ...day, name: `A${'._-9'.repeat(16)}`.slice(0, 64) }]],
  ])('are taken: %s', (_, said) => {
    expect(told(said)).toEqual([]);
  });

  test.each<[string, SaidLimit[], string[]]>([
    [
      'one too many',
      Array.from({ length: 17 }, (_, i) => ({ ...day, name: `n${i}` })),
      [' has too many limits; allowed: at most 16'],
    ],
    [
      'the same name twice',
      [day, { ...pace, name: 'day' }],
      ['/1/name is the name of another limit; allowed: a name of its own'],
    ],
    [
      'a negative max',
      [{ ...day, max: -1 }],
      ['/0/max is no number of units; allowed: a whole number from 0 to 1000000000000'],
    ],
    [
      'half a unit',
      [{ ...day, max: 1.5 }],
      ['/0/max is no number of units; allowed: a whole number from 0 to 1000000000000'],
    ],
    [
      'too many units',
      [{ ...day, max: units + 1 }],
      ['/0/max is no number of units; allowed: a whole number from 0 to 1000000000000'],
    ],
    [
      'no number',
      [{ ...day, max: Number.NaN }],
      ['/0/max is no number of units; allowed: a whole number from 0 to 1000000000000'],
    ],
    [
      'a bucket for a lifetime',
      [{ ...pace, per: 'lifetime' }],
      ['/0/per is lifetime, in which no bucket fills again; allowed: another period, or the algorithm window'],
    ],
    [
      'a burst of a window, even its max',
      [
        { ...day, burst: 10 },
        { ...day, name: 'b', algorithm: 'window', burst: 1 },
      ],
      ['/0/burst', '/1/burst'].map(
        at => `${at} is for buckets alone; allowed: to leave it out, or the algorithm bucket`,
      ),
    ],
    [
      'a burst of nothing',
      [{ ...pace, burst: 0 }],
      ['/0/burst is no number of units; allowed: a whole number from 1 to 1000000000000'],
    ],
    [
      'a burst where nothing may pass',
      [{ ...pace, max: 0, burst: 5 }],
      ['/0/burst stands beside a max of 0, which lets nothing pass; allowed: to leave it out'],
    ],
  ])('are refused with the place and what is allowed: %s', (_, said, faults) => {
    expect(told(said)).toEqual(faults);
  });

  test.each(['', ' ', 'a b', '.a', '-a', 'a/b', 'a:b', 'ä', `a${'b'.repeat(64)}`, '__proto__'])(
    'have names as ids are: not %j',
    name => {
      expect(told([{ ...day, name }])).toEqual([
        expect.stringMatching(/^\/0\/name is no name of a limit; allowed: up to 64 /),
      ]);
    },
  );

  test('names that objects inherit are names like others', () => {
    expect(
      told([
        { ...day, name: 'constructor' },
        { ...day, name: 'toString' },
      ]),
    ).toEqual([]);
  });

  test('are kept with their defaults: windows, and a burst of max', () => {
    expect(limitsOf([day, pace, { ...pace, name: 'b', burst: 3 }])).toEqual([
      { name: 'day', max: 10, per: '1d', algorithm: 'window', burst: 10 },
      { name: 'pace', max: 10, per: '1s', algorithm: 'bucket', burst: 10 },
      { name: 'b', max: 10, per: '1s', algorithm: 'bucket', burst: 3 },
    ]);
  });

  test('are shown as they can be said again, and are the same then', () => {
    const kept = limitsOf([
      day,
      { ...day, name: 'zero', max: 0 },
      { ...pace, burst: 3 },
      { ...pace, name: 'none', max: 0 },
    ]);
    const shown = kept.map(shownLimit);
    expect(told(shown)).toEqual([]);
    expect(limitsOf(shown)).toEqual(kept);
    expect(shown[0]).toEqual({ name: 'day', max: 10, per: '1d', algorithm: 'window' });
    expect(shown[2]).toEqual({ ...pace, burst: 3 });
  });
});

describe('limits bound less', () => {
  const before: readonly Limit[] = limitsOf([day, { ...pace, burst: 5 }]);
  const [window, bucket] = before as [Limit, Limit];

  test.each<[string, readonly Limit[], unknown[]]>([
    ['the same', before, []],
    ['in another order', [bucket, window], []],
    [
      'lower',
      [
        { ...window, max: 9 },
        { ...bucket, max: 0, burst: 0 },
      ],
      [],
    ],
    ['with another beside them', [...before, { ...window, name: 'more' }], []],
    ['without one', [bucket], [{ name: 'day', index: null, member: null }]],
    [
      'without any',
      [],
      [
        { name: 'day', index: null, member: null },
        { name: 'pace', index: null, member: null },
      ],
    ],
    ['under another name', [{ ...window, name: 'd' }, bucket], [{ name: 'day', index: null, member: null }]],
    ['raised', [bucket, { ...window, max: 11, burst: 11 }], [{ name: 'day', index: 1, member: 'max' }]],
    ['for a longer window', [{ ...window, per: '1mo' }, bucket], [{ name: 'day', index: 0, member: 'per' }]],
    [
      'with another algorithm',
      [{ ...window, algorithm: 'bucket' }, bucket],
      [{ name: 'day', index: 0, member: 'algorithm' }],
    ],
    ['with a greater burst', [window, { ...bucket, burst: 6 }], [{ name: 'pace', index: 1, member: 'burst' }]],
  ])('%s', (_, next, loosened) => {
    expect(loosenedLimits(before, next)).toEqual(loosened);
  });
});
