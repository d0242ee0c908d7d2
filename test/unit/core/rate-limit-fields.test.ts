import { describe, expect, test } from 'vitest';
import { algorithms, type LimitView, periods } from '../../../src/core/limit.ts';
import {
  isRateLimitField,
  policyName,
  rateLimitFields,
  rateLimitModes,
  rateLimitNames,
  violatedPolicies,
} from '../../../src/core/rate-limit-fields.ts';
import { below, pick, randomFrom, seed, several } from '../../support/random.ts';
import { type Item, readList } from '../../support/structured-fields.ts';

/** What clients are told of limits. */

const now = Date.UTC(2030, 0, 1, 12);
const midnight = Date.UTC(2030, 0, 2);
const day: LimitView = {
  name: 'day',
  scope: 'token',
  per: '1d',
  algorithm: 'window',
  capacity: 5000,
  left: 4321,
  resetsAt: midnight,
  windowSeconds: 86_400,
  violated: false,
};
const pace: LimitView = {
  ...day,
  name: 'pace',
  per: '1s',
  algorithm: 'bucket',
  capacity: 50,
  left: 7,
  resetsAt: now + 4300,
  windowSeconds: 5,
};
const trial: LimitView = { ...day, name: 'trial', per: 'lifetime', left: 12, resetsAt: null, windowSeconds: null };
const month: LimitView = { ...day, name: 'month', scope: 'account', per: '1mo', capacity: 100_000, left: 9 };

const told = (views: readonly LimitView[], mode: (typeof rateLimitModes)[number], at = now, of: object = {}) => {
  const fields = rateLimitFields(views, mode, at, of);
  return Object.fromEntries(Array.from({ length: fields.length / 2 }, (_, i) => fields.slice(2 * i, 2 * i + 2)));
};

describe('the fields of the draft', () => {
  test('are the policies, which stay, and what is left of each', () => {
    expect(told([day, pace, month], 'draft')).toEqual({
      'RateLimit-Policy': '"day";q=5000;w=86400, "pace";q=50;w=5, "month";q=100000;w=86400',
      RateLimit: '"day";r=4321;t=43200, "pace";r=7;t=1, "month";r=9;t=43200',
    });
  });
  test('say no window and no time of what never begins again', () => {
    expect(told([trial], 'draft')).toEqual({ 'RateLimit-Policy': '"trial";q=5000', RateLimit: '"trial";r=12' });
  });
  test('say no time of a full bucket, nor of a limit that lets nothing pass', () => {
    for (const resetsAt of [null, now]) {
      expect(told([{ ...pace, left: 50, resetsAt }], 'draft')['RateLimit']).toBe('"pace";r=50');
    }
    expect(told([{ ...day, capacity: 0, left: 0 }], 'draft')['RateLimit']).toBe('"day";r=0');
  });
  test('say when the next unit of a bucket comes in, and not when it is full', () => {
    const slow = { ...pace, per: '1h', capacity: 4, windowSeconds: 14_400 } as const;
    expect(told([{ ...slow, left: 1, resetsAt: now + 3 * 3_600_000 }], 'draft')['RateLimit']).toBe('"pace";r=1;t=3600');
    expect(told([{ ...slow, left: 0, resetsAt: now + 14_400_000 }], 'draft')['RateLimit']).toBe('"pace";r=0;t=3600');
  });
  test('say that more comes in a second when it does in a millisecond, and now when it is late', () => {
    expect(told([day], 'draft', midnight - 1)['RateLimit']).toBe('"day";r=4321;t=1');
    expect(told([day], 'draft', midnight)['RateLimit']).toBe('"day";r=4321;t=0');
    expect(told([day], 'draft', midnight + 9000)['RateLimit']).toBe('"day";r=4321;t=0');
  });
  test('never say less than nothing, nor more than there can be, nor part of a unit', () => {
    for (const [left, r] of [
      [-1, 0],
      [5001, 5000],
      [0.9, 0],
      [12.5, 12],
    ] as const) {
      expect(told([{ ...day, left }], 'draft')['RateLimit']).toBe(`"day";r=${r};t=43200`);
    }
  });
  test('tell a limit of the account from one of the token with the same name', () => {
    const both = [day, { ...day, scope: 'account', capacity: 9 } as const];
    expect(told(both, 'draft')).toEqual({
      'RateLimit-Policy': '"day";q=5000;w=86400, "account:day";q=9;w=86400',
      RateLimit: '"day";r=4321;t=43200, "account:day";r=9;t=43200',
    });
    expect(both.map(view => policyName(view, both))).toEqual(['day', 'account:day']);
    const refusing = both.map((view, i) => ({ ...view, violated: i === 1 }));
    expect(violatedPolicies(refusing)).toEqual(['account:day']);
  });
  test('follow a definition, or a month, that comes into force while the token stays as it is known', () => {
    const token = {};
    expect(told([day], 'draft', now, token)['RateLimit-Policy']).toBe('"day";q=5000;w=86400');
    for (const next of [
      [{ ...day, capacity: 10 }],
      [{ ...day, windowSeconds: 60 }],
      [{ ...day, name: 'other' }],
      [{ ...day, scope: 'account' } as const, day],
      [day, pace],
      [day],
    ]) {
      expect(told(next, 'draft', now, token)).toEqual(told(next, 'draft'));
    }
  });
});

describe('the older fields', () => {
  test('are of the limit with the least left, with the instant in seconds since 1970', () => {
    expect(told([day, pace, month], 'legacy')).toEqual({
      'X-RateLimit-Limit': '50',
      'X-RateLimit-Remaining': '7',
      'X-RateLimit-Reset': String(now / 1000 + 1),
    });
    expect(told([trial], 'legacy')).toEqual({ 'X-RateLimit-Limit': '5000', 'X-RateLimit-Remaining': '12' });
  });
  test('are of the one that has more last, where several have as little left', () => {
    const spent = [day, pace, trial].map(view => ({ ...view, left: 0 }));
    const [first, second, third] = spent as [LimitView, LimitView, LimitView];
    expect(told([first, second], 'legacy')['X-RateLimit-Reset']).toBe(String(midnight / 1000));
    expect(told([second, first], 'legacy')['X-RateLimit-Reset']).toBe(String(midnight / 1000));
    for (const views of [spent, [third, second, first]]) {
      expect(told(views, 'legacy')).not.toHaveProperty('X-RateLimit-Reset');
    }
  });
});

test('modes: the one, the other, both, none; and nothing where there are no limits', () => {
  const both = told([day, pace], 'both');
  expect(both).toEqual({ ...told([day, pace], 'draft'), ...told([day, pace], 'legacy') });
  expect(Object.keys(both).sort()).toEqual([...rateLimitNames].sort());
  expect(told([day], 'none')).toEqual({});
  for (const mode of rateLimitModes) expect(told([], mode)).toEqual({});
});

test('every field of ours is one that an upstream may not send beside it', () => {
  for (const name of rateLimitNames) expect(isRateLimitField(name.toLowerCase())).toBe(true);
});

test(`whatever the limits are, a reader of structured fields understands them (seed ${seed})`, () => {
  const random = randomFrom(seed);
  const chars = [...'abcXYZ019._-'];
  const word = (): string => `${pick(random, [...'aZ0'])}${several(random, 0, 6, () => pick(random, chars)).join('')}`;
  const names = several(random, 3, 3, word);
  const number = (): number => pick(random, [0, 1, 10, 1e12, below(random, 1e12), random() * 1e6, -below(random, 100)]);
  const known: object[] = [{}, {}, {}];
  for (let i = 0; i < 3000; i++) {
    const seen = new Set<string>();
    const views = several(random, 1, 8, (): LimitView => {
      const per = pick(random, periods);
      return {
        name: random() < 0.5 ? pick(random, names) : word(),
        scope: pick(random, ['token', 'account'] as const),
        per,
        algorithm: pick(random, algorithms),
        capacity: Math.max(0, Math.floor(number())),
        left: number(),
        resetsAt: random() < 0.3 ? null : now + Math.floor((random() - 0.2) * 1e10),
        windowSeconds: per === 'lifetime' ? null : random() * 1e7,
        violated: random() < 0.5,
      };
    }).filter(({ name, scope }) => !seen.has(`${scope} ${name}`) && seen.add(`${scope} ${name}`));
    const { 'RateLimit-Policy': policy, RateLimit: rates, ...legacy } = told(views, 'both', now, pick(random, known));
    const policies = new Map(readList(policy!).map(({ value, parameters }) => [value, parameters]));
    const left: readonly Item[] = readList(rates!);
    expect(left.map(({ value }) => value)).toEqual([...policies.keys()]);
    expect(policies.size, 'names').toBe(views.length);
    for (const { value, parameters } of left) {
      const [q, w] = [policies.get(value)!.get('q') as number, policies.get(value)!.get('w')];
      const [r, t] = [parameters.get('r') as number, parameters.get('t')];
      expect(r >= 0 && r <= q && Number.isSafeInteger(r) && Number.isSafeInteger(q)).toBe(true);
      expect(w === undefined || (Number.isSafeInteger(w) && (w as number) >= 1)).toBe(true);
      expect(t === undefined || (Number.isSafeInteger(t) && (t as number) >= 0)).toBe(true);
    }
    const least = Math.min(...left.map(({ parameters }) => parameters.get('r') as number));
    expect(legacy['X-RateLimit-Remaining']).toBe(String(least));
  }
});
