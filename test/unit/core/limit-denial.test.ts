import { expect, test } from 'vitest';
import type { Limit, LimitView } from '../../../src/core/limit.ts';
import { denyCharge } from '../../../src/core/limit-denial.ts';
import { compileSubject } from '../../../src/core/token.ts';
import { anAccount, aToken } from '../../contract/harness.ts';

/** A refusal by a limit says which, and when to come again. */

const now = Date.UTC(2030, 0, 1);
const a: Limit = { name: 'a', max: 10, per: '1d', algorithm: 'window', burst: 10 };
const [b, c] = [
  { ...a, name: 'b' },
  { ...a, name: 'c' },
] as const;
const stored = aToken('tok_secretive', { owner: 'acc_secretive', limits: [a, b, c] });
const subject = compileSubject(stored, anAccount('acc_secretive', { limits: [b, a] }), [], stored.digest);
const spent = (name: string, more: Partial<LimitView> = {}): LimitView => ({
  name,
  scope: 'token',
  per: '1d',
  algorithm: 'window',
  capacity: 10,
  left: 0,
  resetsAt: now + 5000,
  windowSeconds: 86_400,
  violated: true,
  ...more,
});
const denied = (cost: number, limits: readonly LimitView[], retryAfter: number | null = 5) =>
  denyCharge(subject, cost, { kind: 'refused', limits, retryAfter });

test.each<[string, number, readonly LimitView[], number | null, number | undefined]>([
  ['when the window ends', 1, [spent('a')], 5, 5],
  ['in whole seconds, and not a moment before', 1, [spent('a')], 5.001, 6],
  ['in a second at the least', 1, [spent('a')], 0, 1],
  ['never, where waiting does not help', 1, [spent('a')], null, undefined],
  ['never, of a lifetime, whatever else comes sooner', 1, [spent('a'), spent('b', { per: 'lifetime' })], 5, undefined],
  ['never, for more than there can be', 11, [spent('a')], 5, undefined],
  ['as much as there can be comes', 10, [spent('a')], 5, 5],
  [
    'of a lifetime that does not refuse nothing is said',
    1,
    [spent('a'), spent('b', { per: 'lifetime', violated: false })],
    5,
    5,
  ],
])('when to come again: %s', (_, cost, limits, retryAfter, told) => {
  expect(denied(cost, limits, retryAfter).retryAfter).toBe(told);
});

test('says in words which limits refuse and whose they are, and no id', () => {
  expect(denied(1, [spent('a'), spent('b', { scope: 'account' }), spent('c', { violated: false })]).detail).toBe(
    `The limit "a" of the token is spent. The limit "b" of the token's account is spent.`,
  );
  expect(denied(11, [spent('a')]).detail).toBe('The request costs more than the limit "a" of the token ever allows.');
  expect(denied(5, [spent('a', { left: 4 })]).detail).toBe(
    'The request costs more than is left of the limit "a" of the token.',
  );
  expect(denied(1, [spent('a', { scope: 'account' }), spent('b', { scope: 'account' }), spent('c')]).detail).toMatch(
    /"c" of the token .*"b" of the token's account .*"a" of the token's account /,
  );
  for (const cost of [1, 11]) {
    const { detail, compared } = denied(cost, [spent('a', { scope: 'account' })]);
    expect(detail + JSON.stringify(compared)).not.toContain('secretive');
  }
});

test('keeps what was held against what for whoever asks why, and all limits for the fields', () => {
  const limits = [spent('a'), spent('b', { violated: false })];
  expect(denied(1, limits)).toMatchObject({
    code: 'limit_exceeded',
    subject,
    limits,
    compared: {
      cost: 1,
      limits: [
        {
          ...{ name: 'a', of: 'token', per: '1d', algorithm: 'window', most: 10, left: 0 },
          resets_at: '2030-01-01T00:00:05.000Z',
        },
      ],
    },
  });
});

test.each([
  ['busy', 'overloaded'],
  ['unavailable', 'store_unavailable'],
] as const)('nobody is blamed for limits that are %s: 503, and again in a second', (kind, code) => {
  const denial = denyCharge(subject, 1, { kind });
  expect(denial).toMatchObject({ code, retryAfter: 1, subject });
  expect(denial).not.toHaveProperty('limits');
});
