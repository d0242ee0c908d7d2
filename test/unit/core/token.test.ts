import { describe, expect, test } from 'vitest';
import {
  type Account,
  compileSubject,
  type InvalidCause,
  idPattern,
  isRevoked,
  namePattern,
  type StoredToken,
  subjectFault,
} from '../../../src/core/token.ts';
import { anAccount, aToken } from '../../contract/harness.ts';

const now = Date.UTC(2030, 0, 1);

function faultOf(token: Partial<StoredToken>, account: Account | null = null, digest = 'current'): InvalidCause | null {
  const stored = aToken('t1', { digest: 'current', createdAt: now - 1000, ...token });
  return subjectFault(compileSubject(stored, account, [], digest), now);
}

const owned = (account: Partial<Account> | null, token: Partial<StoredToken> = {}): InvalidCause | null =>
  faultOf({ owner: 'acme', ...token }, account === null ? null : anAccount('acme', account));

describe('a token is good', () => {
  test('when it is enabled and in force, with or without an owner', () => {
    expect(faultOf({})).toBeNull();
    expect(owned({})).toBeNull();
  });

  test('from its beginning, to just before its end', () => {
    expect(faultOf({ notBefore: now + 1 })).toBe('not_yet_valid');
    expect(faultOf({ notBefore: now })).toBeNull();
    expect(faultOf({ expiresAt: now + 1 })).toBeNull();
    expect(faultOf({ expiresAt: now })).toBe('expired');
    expect(faultOf({ expiresAt: 0 })).toBe('expired');
  });
});

describe('a token is refused', () => {
  test.each([
    ['disabled', 'disabled'],
    ['revoked', 'revoked'],
  ] as const)('when it is %s', (state, cause) => {
    expect(faultOf({ state })).toBe(cause);
  });

  test('when its owner is disabled, deleted or unknown', () => {
    expect(owned({ enabled: false })).toBe('account_disabled');
    expect(owned({ deleted: true })).toBe('account_disabled');
    expect(owned(null)).toBe('account_disabled');
  });

  test("when it was made at or before its owner's mark", () => {
    expect(owned({ revokedBefore: now - 1000 })).toBe('revoked');
    expect(owned({ revokedBefore: now - 1001 })).toBeNull();
    expect(owned({ revokedBefore: now - 999 })).toBe('revoked');
    expect(owned({ revokedBefore: 0 }, { createdAt: 0 })).toBe('revoked');
  });

  test("an old secret works until the end of its grace, and never with the new one's end", () => {
    const previous = (until: number) => ({ digest: 'old', until });
    expect(faultOf({ previous: previous(now + 1) }, null, 'old')).toBeNull();
    expect(faultOf({ previous: previous(now) }, null, 'old')).toBe('expired');
    expect(faultOf({ previous: previous(now - 1) }, null, 'current')).toBeNull();
    expect(faultOf({ previous: previous(now + 1), expiresAt: now }, null, 'old')).toBe('expired');
  });

  test('under a digest that is none of its own', () => {
    expect(faultOf({}, null, 'another')).toBe('expired');
    expect(faultOf({}, null, '')).toBe('expired');
  });

  test('for the gravest cause, when there are several', () => {
    const all = { notBefore: now + 1, expiresAt: now - 1 };
    expect(owned({ enabled: false, revokedBefore: now }, { state: 'disabled', ...all })).toBe('revoked');
    expect(owned({ enabled: false }, { state: 'disabled', ...all })).toBe('disabled');
    expect(owned({ enabled: false }, all)).toBe('account_disabled');
    expect(owned({}, all)).toBe('not_yet_valid');
  });
});

test('a subject carries no digest', () => {
  const stored = aToken('t1', { digest: 'secret-digest', previous: { digest: 'older-digest', until: 1 } });
  const subject = compileSubject(stored, anAccount('acme'), [], 'secret-digest');
  expect(JSON.stringify(subject)).not.toMatch(/digest/);
  expect(subject.token.id).toBe('t1');
});

test('a mark on an account that is no owner revokes nothing', () => {
  expect(isRevoked(aToken('t1'), null)).toBe(false);
});

test.each([
  ['a', true],
  ['A.b_c-9', true],
  ['a'.repeat(64), true],
  ['a'.repeat(65), false],
  ['', false],
  ['.a', false],
  ['-a', false],
  ['a b', false],
  ['a\n', false],
  ['a/b', false],
  ['é', false],
])('%j as an id: %s', (id, good) => {
  expect(idPattern.test(id)).toBe(good);
});

test.each([
  ['Ada’s token 😀', true],
  ['x'.repeat(256), true],
  ['😀'.repeat(256), true],
  ['x'.repeat(257), false],
  ['', false],
  ['a\nb', false],
  ['a\u001b[31m', false],
  ['a\u202eb', false],
  ['a\ud800', false],
])('%j as a name: %s', (name, good) => {
  expect(namePattern.test(name)).toBe(good);
});
