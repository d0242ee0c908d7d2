import { expect, test } from 'vitest';
import type { Limit } from '../../../src/core/limit.ts';
import { weighedWait } from '../../../src/core/limit-view.ts';

const now = 1_700_000_000_000;
const state = (limit: Limit, spent: number, ends: number | null = null) => ({
  limit,
  spent,
  burned: 0,
  leased: 0,
  remaining: 0,
  ends,
});
const bucket: Limit = { name: 'b', max: 10, per: '1m', algorithm: 'bucket', burst: 20 };
const window: Limit = { name: 'w', max: 10, per: '1m', algorithm: 'window', burst: 10 };

test('a bucket is waited for until it has the cost, and not until it is full', () => {
  expect(weighedWait(state(bucket, 20), 1, now)).toBe(6000);
  expect(weighedWait(state(bucket, 18), 5, now)).toBe(18_000);
  expect(weighedWait(state({ ...bucket, max: 0 }, 20), 1, now)).toBeNull();
});

test('a window is waited for until it ends; a lifetime, and a cost beyond what there ever is, are not', () => {
  expect(weighedWait(state(window, 10, now + 4321), 1, now)).toBe(4321);
  expect(weighedWait(state(window, 10, now - 1), 1, now)).toBe(0);
  expect(weighedWait(state({ ...window, per: 'lifetime' }, 10), 1, now)).toBeNull();
  expect(weighedWait(state(window, 0, now + 4321), 11, now)).toBeNull();
  expect(weighedWait(state(bucket, 0), 21, now)).toBeNull();
});
