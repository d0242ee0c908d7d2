import { expect, test } from 'vitest';
import { addUsage, dayOf, hourOf, noUsage, type Usage } from '../../../src/core/usage.ts';
import { codes } from '../../../src/errors.ts';
import { below, pick, randomFrom, seed, several } from '../../support/random.ts';

const one: Usage = {
  allowed: 1,
  refused: { invalid_token: 2 },
  status: { '2xx': 1, '4xx': 2 },
  bytesIn: 10,
  bytesOut: 20,
  lastUsedAt: 5,
};

test('counts add up, and the last use is the later one', () => {
  const other: Usage = { ...one, refused: { limit_exceeded: 1 }, status: { '2xx': 3 }, lastUsedAt: 4 };
  expect(addUsage(one, other)).toEqual({
    allowed: 2,
    refused: { invalid_token: 2, limit_exceeded: 1 },
    status: { '2xx': 4, '4xx': 2 },
    bytesIn: 20,
    bytesOut: 40,
    lastUsedAt: 5,
  });
});

test('adding changes neither', () => {
  const before = structuredClone(one);
  addUsage(one, one);
  expect(one).toEqual(before);
});

test(`usage adds up in any order and grouping (seed ${seed})`, () => {
  const random = randomFrom(seed);
  const names = Object.keys(codes) as (keyof typeof codes)[];
  const any = (): Usage => ({
    allowed: below(random, 9),
    refused: Object.fromEntries(several(random, 0, 3, () => [pick(random, names), below(random, 9)])),
    status: Object.fromEntries(several(random, 0, 3, () => [`${1 + below(random, 5)}xx`, below(random, 9)])),
    bytesIn: below(random, 2 ** 40),
    bytesOut: below(random, 2 ** 40),
    lastUsedAt: below(random, 2 ** 40),
  });
  for (let i = 0; i < 500; i++) {
    const [a, b, c] = [any(), any(), any()];
    expect(addUsage(a, b)).toEqual(addUsage(b, a));
    expect(addUsage(addUsage(a, b), c)).toEqual(addUsage(a, addUsage(b, c)));
    expect(addUsage(a, noUsage)).toEqual(a);
  }
});

test('hours and days begin in UTC', () => {
  const at = Date.UTC(2030, 1, 3, 4, 5, 6, 7);
  expect(hourOf(at)).toBe(Date.UTC(2030, 1, 3, 4));
  expect(dayOf(at)).toBe(Date.UTC(2030, 1, 3));
  for (const edge of [hourOf(at), dayOf(at)])
    expect([hourOf(edge), hourOf(edge - 1)]).toEqual([edge, edge - 3_600_000]);
});
