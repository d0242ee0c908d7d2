import { describe, expect, test } from 'vitest';
import { denyLimit, type SpentLimit, secondsToEnough } from '../../../src/core/limit-denial.ts';
import type { LimitView } from '../../../src/core/rate-limit-fields.ts';
import { compileSubject } from '../../../src/core/token.ts';
import { anAccount, aToken } from '../../contract/harness.ts';

/** A refusal for a spent limit says which, and when to come again. */

const now = Date.UTC(2030, 0, 1);
const stored = aToken('tok_secretive', { owner: 'acc_secretive' });
const subject = compileSubject(stored, anAccount('acc_secretive'), [], stored.digest);
const spent = (name: string, more: Partial<SpentLimit> = {}): SpentLimit => ({
  name,
  scope: 'token',
  per: '1d',
  algorithm: 'window',
  capacity: 10,
  left: 0,
  resetsAt: now + 5000,
  windowSeconds: 86_400,
  enoughAt: now + 5000,
  ...more,
});
const denied = (cost: number, limits: readonly SpentLimit[], others: readonly LimitView[] = []) =>
  denyLimit(subject, cost, limits, [...limits, ...others], now);

describe('when to come again', () => {
  test.each<[string, number, readonly SpentLimit[], number | null]>([
    ['when the window ends', 1, [spent('a')], 5],
    ['not a moment before', 1, [spent('a', { enoughAt: now + 5001 })], 6],
    ['in a second at the least', 1, [spent('a', { enoughAt: now + 1 })], 1],
    ['in a second where it has come already', 1, [spent('a', { enoughAt: now - 5000 })], 1],
    ['when the last of them has enough', 1, [spent('a'), spent('b', { enoughAt: now + 60_000 })], 60],
    ['never, for a lifetime', 1, [spent('a'), spent('b', { enoughAt: null })], null],
    ['never, for more than there can be', 11, [spent('a')], null],
    ['as much as there can be comes', 10, [spent('a')], 5],
  ])('%s', (_, cost, limits, seconds) => {
    expect(secondsToEnough(limits, cost, now)).toBe(seconds);
    const { retryAfter } = denied(cost, limits);
    expect(retryAfter ?? null).toBe(seconds);
  });
});

test('names the limits that refuse, as the fields do, and all that there are beside them', () => {
  const account = spent('day', { scope: 'account' });
  const other = spent('day', { left: 4 });
  const denial = denied(5, [account], [other]);
  expect(denial).toMatchObject({
    code: 'limit_exceeded',
    violated: ['account:day'],
    limits: [account, other],
    subject,
  });
  expect(denied(1, [spent('a'), spent('b')]).violated).toEqual(['a', 'b']);
});

test('says in words whose limit it is, and no id', () => {
  const { detail } = denied(1, [spent('a'), spent('b', { scope: 'account' })]);
  expect(detail).toBe(`The limit "a" of the token is spent. The limit "b" of the token's account is spent.`);
  expect(denied(11, [spent('a')]).detail).toBe('The request costs more than the limit "a" of the token ever allows.');
  for (const cost of [1, 11]) {
    const { detail: text, compared } = denied(cost, [spent('a', { scope: 'account' })]);
    expect(text + JSON.stringify(compared)).not.toContain('secretive');
  }
});

test('keeps for whoever asks why what was held against what', () => {
  expect(denied(11, [spent('a')]).compared).toEqual({
    cost: 11,
    limits: [{ name: 'a', of: 'token', per: '1d', algorithm: 'window', most: 10, left: 0, enough_at: null }],
  });
  expect(denied(1, [spent('a')]).compared).toMatchObject({ limits: [{ enough_at: '2030-01-01T00:00:05.000Z' }] });
});
