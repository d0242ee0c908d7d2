import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { SecretRecovery } from '../../../src/secrets/recovery.ts';
import { seal, unseal } from '../../../src/secrets/sealed-key.ts';

const key = randomBytes(32);
const recovery = new SecretRecovery(key);

test('a sealed secret opens for its token, and looks different each time', () => {
  const sealed = recovery.seal('pst_secret', 'tok_1');
  expect(recovery.open(sealed, 'tok_1')).toBe('pst_secret');
  expect(sealed).not.toContain('pst_secret');
  expect(recovery.seal('pst_secret', 'tok_1')).not.toBe(sealed);
});

test('it opens for no other token, under no other key, not changed, and not as anything else', () => {
  const sealed = recovery.seal('pst_secret', 'tok_1');
  expect(recovery.open(sealed, 'tok_2')).toBeNull();
  expect(new SecretRecovery(randomBytes(32)).open(sealed, 'tok_1')).toBeNull();
  const bytes = Buffer.from(sealed.slice(3), 'base64url');
  for (let i = 0; i < bytes.length; i++) {
    const other = Buffer.from(bytes);
    other[i]! ^= 1;
    expect(recovery.open(`v1.${other.toString('base64url')}`, 'tok_1')).toBeNull();
  }
  for (const text of ['', 'v1.', 'v2.AAAA', `${sealed.slice(0, -4)}`, 'pst_secret']) {
    expect(recovery.open(text, 'tok_1')).toBeNull();
  }
  expect(unseal(key, 'tok_1', sealed)).toBeNull();
  expect(recovery.open(seal(key, 'tok_1', 'a key'), 'tok_1')).toBeNull();
});

test('a key of another length is none', () => {
  for (const length of [0, 16, 31, 33]) expect(() => new SecretRecovery(Buffer.alloc(length))).toThrow();
});
