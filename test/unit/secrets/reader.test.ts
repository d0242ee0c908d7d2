import { describe, expect, test } from 'vitest';
import { longestSecret } from '../../../src/core/secret-form.ts';
import { Mint } from '../../../src/secrets/mint.ts';
import { type Pepper, Peppers, sha256Hex } from '../../../src/secrets/peppers.ts';
import { Reader, type SecretShapes } from '../../../src/secrets/reader.ts';

const pepper: Pepper = { id: 'p1', key: Buffer.alloc(32, 1) };
const keyed = new Peppers([pepper], false);
const unkeyed = new Peppers([], false);
const shapesOf = (more: Partial<SecretShapes> = {}): SecretShapes => ({
  prefix: 'pst',
  shapes: [],
  declared: new Set(),
  ...more,
});
const wrongSum = (secret: string): string => secret.slice(0, -1) + (secret.endsWith('0') ? '1' : '0');

describe.each([
  ['keyed', keyed],
  ['unkeyed', unkeyed],
])('with %s checksums', (_, peppers) => {
  const reader = new Reader(peppers, shapesOf());
  const { secret, digest } = new Mint(peppers, 'pst').mint();

  test('a secret of ours is looked up under every digest it may have', () => {
    const read = reader.read(secret)!;
    expect(read.key).toBe(sha256Hex(secret));
    expect(read.digests()).toEqual(peppers.digests(read.key));
    expect(read.digests()![0]).toBe(digest);
  });

  test('a wrong checksum yields no digests: nothing is looked up', () => {
    const read = reader.read(wrongSum(secret))!;
    expect(read.digests()).toBeNull();
  });

  test.each([
    ['too short', secret.slice(0, -1)],
    ['too long', `${secret}0`],
    ['of other characters', `${secret.slice(0, -1)}-`],
    ['the prefix alone', 'pst_'],
    ['with a line break', `${secret}\n`],
  ])('what has our prefix and not our form is not even hashed: %s', (_name, presented) => {
    expect(reader.read(presented)).toBeNull();
    expect(reader.isOurs(presented)).toBe(true);
  });

  test.each(['', 'foreign', 'pst', 'Pst_x', ` ${secret}`])(
    'what has no configured shape is not read: %j',
    presented => {
      expect(reader.read(presented)).toBeNull();
      expect(reader.isOurs(presented)).toBe(false);
    },
  );
});

describe('configured shapes', () => {
  const shapes = [/^sdpak_[A-Za-z0-9]{4}$/, /^old-/];
  const reader = new Reader(keyed, shapesOf({ shapes }));

  test('let strings of other forms be looked up, without a checksum', () => {
    for (const presented of ['sdpak_abcd', 'old-1']) {
      expect(reader.read(presented)?.digests()).toEqual(keyed.digests(sha256Hex(presented)));
    }
    expect(reader.read('sdpak_abcde')).toBeNull();
  });

  test('do not lend a form to what has our prefix', () => {
    const lax = new Reader(keyed, shapesOf({ shapes: [/./] }));
    expect(lax.read('pst_short')).toBeNull();
    expect(lax.read(wrongSum(new Mint(keyed, 'pst').mint().secret))?.digests()).toBeNull();
    expect(lax.read('anything')).not.toBeNull();
  });

  test('nothing is looked at beyond a length, whatever they say', () => {
    const lax = new Reader(keyed, shapesOf({ shapes: [/./] }));
    expect(lax.read('x'.repeat(longestSecret))).not.toBeNull();
    expect(lax.read('x'.repeat(longestSecret + 1))).toBeNull();
  });
});

describe('declared secrets', () => {
  const declared = new Set(['pst_short', 'any form', 'sdpak_abcd'].map(sha256Hex));
  const reader = new Reader(keyed, shapesOf({ declared, shapes: [/^sdpak_/] }));

  test('are read whatever their form', () => {
    for (const presented of ['pst_short', 'any form', 'sdpak_abcd']) {
      expect(reader.read(presented)?.digests()).toEqual(keyed.digests(sha256Hex(presented)));
    }
  });

  test('open the door to nothing else', () => {
    expect(reader.read('pst_other')).toBeNull();
    expect(reader.read('another form')).toBeNull();
    const { secret } = new Mint(keyed, 'pst').mint();
    expect(reader.read(secret)?.digests()).not.toBeNull();
    expect(reader.read(wrongSum(secret))?.digests()).toBeNull();
  });
});

describe('rotation of peppers', () => {
  const next: Pepper = { id: 'p2', key: Buffer.alloc(32, 2) };
  const minted = new Mint(keyed, 'pst').mint();
  const digestsOf = (...peppers: Pepper[]) =>
    new Reader(new Peppers(peppers, false), shapesOf()).read(minted.secret)?.digests() ?? null;

  test('while both are in force, an old token is found under the older digest', () => {
    const digests = digestsOf(next, pepper)!;
    expect(digests.indexOf(minted.digest)).toBe(1);
    expect(digests[0]).toBe(new Mint(new Peppers([next], false), 'pst').digest(sha256Hex(minted.secret)));
  });

  test('once the old one is gone, an old token that was not moved is not found', () => {
    expect(digestsOf(next) ?? []).not.toContain(minted.digest);
  });

  test('peppers set over plain digests find them last, and take their checksums only where that is said', () => {
    const plain = new Mint(unkeyed, 'pst').mint();
    const read = (acceptUnkeyed: boolean) =>
      new Reader(new Peppers([pepper], acceptUnkeyed), shapesOf()).read(plain.secret)!.digests();
    expect(read(true)?.at(-1)).toBe(plain.digest);
    expect(read(false)).toBeNull();
  });
});
