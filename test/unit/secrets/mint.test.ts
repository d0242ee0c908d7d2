import { describe, expect, test } from 'vitest';
import { base62, secretForm } from '../../../src/core/secret-form.ts';
import { Mint, randomBase62 } from '../../../src/secrets/mint.ts';
import { type Pepper, Peppers, sha256Hex } from '../../../src/secrets/peppers.ts';

const pepper: Pepper = { id: 'p1', key: Buffer.alloc(32, 1) };

describe.each([
  ['a pepper', new Peppers([pepper], false)],
  ['no pepper', new Peppers([], false)],
])('with %s a new secret', (_, peppers) => {
  const mint = new Mint(peppers, 'pst');

  test('has our form, a checksum that verifies, and its digest under the first pepper', () => {
    for (let i = 0; i < 100; i++) {
      const { secret, digest } = mint.mint();
      expect(secretForm(secret, 'pst')).toBe('ours');
      expect(peppers.verifies(secret)).toBe(true);
      expect(digest).toBe(peppers.digest(sha256Hex(secret)));
      expect(digest).toBe(mint.digest(sha256Hex(secret)));
    }
  });

  test('is hinted at by its prefix and last four characters, and no more of it', () => {
    const { secret, hint } = mint.mint();
    expect(hint).toBe(`pst_…${secret.slice(-4)}`);
  });

  test('is never made twice', () => {
    expect(new Set(Array.from({ length: 10_000 }, () => mint.mint().secret)).size).toBe(10_000);
  });
});

/**
 * Characters of a uniform source differ from even counts by chi-square with 61 degrees of freedom: more than 140 is
 * rarer than one in ten million. A byte taken modulo 62 would exceed it a hundredfold.
 */
const rare = 140;

function chiSquare(text: string): number {
  const counts = new Map<string, number>([...base62].map(char => [char, 0]));
  for (const char of text) counts.set(char, counts.get(char)! + 1);
  const even = text.length / base62.length;
  return [...counts.values()].reduce((sum, count) => sum + (count - even) ** 2 / even, 0);
}

describe('random characters', () => {
  test('are uniform over the alphabet', () => {
    expect(chiSquare(randomBase62(200_000))).toBeLessThan(rare);
  });

  test('are uniform at every position of a secret, so that 32 of them are 190 bits', () => {
    const secrets = Array.from({ length: 20_000 }, () => randomBase62(32));
    for (let at = 0; at < 32; at++) {
      expect(chiSquare(secrets.map(secret => secret[at]).join('')), `position ${at}`).toBeLessThan(rare);
    }
    expect(32 * Math.log2(62)).toBeGreaterThan(190);
  });

  test('come in any number', () => {
    for (const length of [0, 1, 20, 32, 1000]) expect(randomBase62(length)).toHaveLength(length);
  });
});
