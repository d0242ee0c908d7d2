import { createHash, createHmac, scryptSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { Scrypt } from '../../../src/secrets/scrypt.ts';
import { seal, unseal } from '../../../src/secrets/sealed-key.ts';
import { isSignatureOf, signatureOf } from '../../../src/secrets/signing.ts';
import { Vault } from '../../../src/secrets/vault.ts';
import { testKey } from '../../support/managed.ts';

describe('a sealed key', () => {
  const key = 'k'.repeat(40);
  test('is opened again for the same token, and looks like another each time', () => {
    const sealed = [seal(testKey, 't1', key), seal(testKey, 't1', key)];
    expect(sealed.map(text => unseal(testKey, 't1', text))).toEqual([key, key]);
    expect(sealed[0]).not.toBe(sealed[1]);
    expect(sealed.join()).not.toContain('kkkk');
  });
  test('opens for no other token, under no other key, and not when a bit of it differs', () => {
    const sealed = seal(testKey, 't1', key);
    expect(unseal(testKey, 't2', sealed)).toBeNull();
    expect(unseal(createHash('sha256').update('other').digest(), 't1', sealed)).toBeNull();
    const bytes = Buffer.from(sealed.slice(3), 'base64url');
    for (let i = 0; i < bytes.length; i++) {
      const damaged = Buffer.from(bytes);
      damaged[i]! ^= 1;
      expect(unseal(testKey, 't1', `v1.${damaged.toString('base64url')}`), `byte ${i}`).toBeNull();
    }
    for (const text of ['', 'v1.', 'v2.AAAA', key, `v1.${Buffer.alloc(27).toString('base64url')}`, `${sealed}=`]) {
      expect(unseal(testKey, 't1', text)).toBeNull();
    }
  });
  test('without a key to seal under there is none', () => {
    const vault = new Vault(null, new Scrypt());
    expect([vault.seals, vault.unseal('t1', seal(testKey, 't1', key))]).toEqual([false, null]);
  });
  test('new keys are random, and long enough to be said', () => {
    const vault = new Vault(testKey, new Scrypt());
    expect(vault.newKey()).toMatch(/^[0-9A-Za-z]{43}$/);
    expect(vault.newKey()).not.toBe(vault.newKey());
  });
});

test('a signature is HMAC-SHA-256 in base64url, and no other text is taken for it', () => {
  const expected = createHmac('sha256', 'key').update('GET\n/x\nq').digest('base64url');
  expect(signatureOf('key', 'GET\n/x\nq')).toBe(expected);
  expect(isSignatureOf(expected, 'key', 'GET\n/x\nq')).toBe(true);
  // The last character has two bits that a decoder overlooks.
  for (const last of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=') {
    expect(isSignatureOf(expected.slice(0, -1) + last, 'key', 'GET\n/x\nq')).toBe(expected.endsWith(last));
  }
  expect(isSignatureOf(`${expected}=`, 'key', 'GET\n/x\nq')).toBe(false);
});

describe('scrypt', () => {
  test('hashes are PHC strings of the cost that OWASP names, and are of their password alone', async () => {
    const scrypt = new Scrypt();
    const hash = await scrypt.hash('pässword');
    expect(hash).toMatch(/^\$scrypt\$ln=15,r=8,p=3\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    expect(await scrypt.matches('pässword', hash!, 'request')).toBe(true);
    expect(await scrypt.matches('password', hash!, 'request')).toBe(false);
    expect(await scrypt.matches('pässword', 'no hash', 'request')).toBe(false);
  });
  test('hashes that others made are checked (RFC 7914)', async () => {
    const salt = Buffer.from('NaClNaClNaCl');
    const derived = scryptSync('secret', salt, 32, { N: 1024, r: 8, p: 16, maxmem: 64 << 20 });
    const text = (bytes: Buffer) => bytes.toString('base64').replaceAll('=', '');
    const hash = `$scrypt$ln=10,r=8,p=16$${text(salt)}$${text(derived)}`;
    expect(await new Scrypt().matches('secret', hash, 'request')).toBe(true);
  });
  test('two at a time, the next in turn, and beyond the queue none', async () => {
    const scrypt = new Scrypt({ managing: 3 });
    const order: number[] = [];
    const asked = [1, 2, 3, 4, 5, 6, 7].map(async i => {
      const hash = await scrypt.hash(`${i}`);
      order.push(hash === null ? -i : i);
    });
    await Promise.all(asked);
    expect(scrypt.peak).toBe(2);
    expect(order.slice(0, 2)).toEqual([-6, -7]);
    expect(order.slice(2).toSorted()).toEqual([1, 2, 3, 4, 5]);
    expect(await scrypt.hash('again')).not.toBeNull();
  });
  test('requests and managers wait apart and take turns: neither keeps the other out', async () => {
    const scrypt = new Scrypt({ atOnce: 1, waiting: 3, managing: 3 });
    const salt = Buffer.from('NaClNaClNaCl').toString('base64').replaceAll('=', '');
    const cheap = `$scrypt$ln=10,r=8,p=1$${salt}$${'A'.repeat(43)}`;
    const order: string[] = [];
    const ask = async (asker: 'request' | 'manager', name: string) => {
      const matches = await scrypt.matches('x', cheap, asker);
      order.push(matches === null ? `no ${name}` : name);
    };
    const requests = ['r0', 'r1', 'r2', 'r3', 'r4'].map(name => ask('request', name));
    await Promise.all([...requests, ...['m1', 'm2', 'm3', 'm4'].map(name => ask('manager', name))]);
    expect(order).toEqual(['no r4', 'no m4', 'r0', 'm1', 'r1', 'm2', 'r2', 'm3', 'r3']);
  });
});
