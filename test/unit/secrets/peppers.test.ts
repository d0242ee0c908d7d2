import { createHash, createHmac } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { checksumText } from '../../../src/core/secret-form.ts';
import { type Pepper, Peppers, sha256Hex } from '../../../src/secrets/peppers.ts';

const pepper = (id: string): Pepper => ({ id, key: Buffer.alloc(32, id) });
const [p1, p2] = [pepper('p1'), pepper('p2')];
const sha = sha256Hex('a secret');
const underPepper = ({ key }: Pepper): string =>
  createHmac('sha256', key).update(Buffer.from(sha, 'hex')).digest('hex');
const body = `pst_${'a'.repeat(32)}`;
const signed = (peppers: Peppers): string => body + peppers.checksum(body);

test('a secret is hashed with SHA-256 over its bytes', () => {
  expect(sha).toBe(createHash('sha256').update('a secret').digest('hex'));
});

describe('digests at rest', () => {
  test('are HMAC-SHA-256 of the SHA-256 under the first pepper', () => {
    expect(new Peppers([p2, p1], false).digest(sha)).toBe(underPepper(p2));
  });

  test('are looked for under every pepper, newest first, and plain last', () => {
    expect(new Peppers([p2, p1], false).digests(sha)).toEqual([underPepper(p2), underPepper(p1), sha]);
  });

  test('are plain SHA-256 without a pepper', () => {
    expect(new Peppers([], false).digest(sha)).toBe(sha);
    expect(new Peppers([], false).digests(sha)).toEqual([sha]);
  });
});

describe('checksums', () => {
  test('are CRC-32 without a pepper, keyed with one', () => {
    expect(signed(new Peppers([], false))).toBe(body + checksumText(crc32(body)));
    const sums = [new Peppers([], false), new Peppers([p1], false), new Peppers([p2], false)].map(signed);
    expect(new Set(sums).size).toBe(3);
    for (const secret of sums) expect(secret).toMatch(/^pst_a{32}[0-9A-Za-z]{6}$/);
  });

  test('verify under each pepper in force and no other', () => {
    const old = signed(new Peppers([p1], false));
    expect(new Peppers([p1], false).verifies(old)).toBe(true);
    expect(new Peppers([p2, p1], false).verifies(old)).toBe(true);
    expect(new Peppers([p1, p2], false).verifies(old)).toBe(true);
    expect(new Peppers([p2], false).verifies(old)).toBe(false);
    expect(new Peppers([], true).verifies(old)).toBe(false);
  });

  test('without a key pass once a pepper is set only where that is said', () => {
    const unkeyed = signed(new Peppers([], false));
    expect(new Peppers([], false).verifies(unkeyed)).toBe(true);
    expect(new Peppers([p1], false).verifies(unkeyed)).toBe(false);
    expect(new Peppers([p1], true).verifies(unkeyed)).toBe(true);
  });

  test('depend on every character before them', () => {
    for (const peppers of [new Peppers([], false), new Peppers([p1], false)]) {
      const secret = signed(peppers);
      for (let i = 0; i < secret.length; i++) {
        const other = `${secret.slice(0, i)}${secret[i] === 'b' ? 'c' : 'b'}${secret.slice(i + 1)}`;
        expect(peppers.verifies(other), other).toBe(false);
      }
    }
  });

  test('tell nothing of a digest made with the same key', () => {
    const mac = createHmac('sha256', p1.key).update(body).digest();
    expect(new Peppers([p1], false).checksum(body)).not.toBe(checksumText(mac.readUIntBE(0, 6) % 62 ** 6));
  });
});
