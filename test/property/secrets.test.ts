import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { base62 } from '../../src/core/secret-form.ts';
import { Mint } from '../../src/secrets/mint.ts';
import { checksumKeyOf, type Pepper, Peppers, sha256Hex } from '../../src/secrets/peppers.ts';
import { Reader, type SecretShapes } from '../../src/secrets/reader.ts';
import { below, pick, randomFrom, seed, several } from '../support/random.ts';

const pepper = (id: string): Pepper => ({ id, key: randomBytes(32) });
const [p1, p2, p3] = [pepper('p1'), pepper('p2'), pepper('p3')];
const shapes: SecretShapes = { prefix: 'pst', shapes: [/^other-/], declared: new Set() };

const settings: readonly (readonly [string, Peppers])[] = [
  ['no pepper', new Peppers([], false)],
  ['a pepper', new Peppers([p1], false)],
  ['two peppers', new Peppers([p2, p1], false)],
  ['a pepper over unkeyed tokens', new Peppers([p1], true)],
];

/** A secret that was tampered with, or made up: it has our prefix. */
function forged(random: () => number, secret: string): string {
  const chars = [...secret];
  const at = 4 + below(random, chars.length - 4);
  switch (below(random, 6)) {
    case 0:
      chars[at] = pick(
        random,
        [...base62].filter(char => char !== chars[at]),
      );
      break;
    case 1:
      chars.splice(at, 1);
      break;
    case 2:
      chars.splice(at, 0, pick(random, [...base62]));
      break;
    case 3: {
      const other = 4 + below(random, chars.length - 4);
      [chars[at], chars[other]] = [chars[other]!, chars[at]!];
      break;
    }
    case 4:
      chars[at] = pick(random, ['_', '-', ' ', '\n', 'é', '\0', '=']);
      break;
    default:
      return `pst_${several(random, 38, 38, () => pick(random, [...base62])).join('')}`;
  }
  return chars.join('');
}

test.each(settings)(
  `with %s, what has our prefix and not our checksum is never looked up (seed ${seed})`,
  (_, peppers) => {
    const random = randomFrom(seed);
    const reader = new Reader(peppers, shapes);
    const mint = new Mint(peppers, 'pst');
    for (let i = 0; i < 3000; i++) {
      const { secret, digest } = mint.mint();
      expect(reader.read(secret)?.digests()?.[0]).toBe(digest);
      const other = forged(random, secret);
      if (other === secret) continue;
      const digests = reader.read(other)?.digests() ?? null;
      if (digests !== null) expect.fail(`${other} of ${secret} would be looked up`);
    }
  },
);

/** Peppers come and go; a token knows the one that it is at rest under, and the one that made its checksum. */
test(`through any rotation a token is asked for while its checksum's pepper is in force, or was (seed ${seed})`, () => {
  const random = randomFrom(seed + 1);
  const all = [p1, p2, p3];
  for (let round = 0; round < 500; round++) {
    const made = random() < 0.2 ? [] : several(random, 1, 2, () => pick(random, all));
    const { secret, digest } = new Mint(new Peppers(made, false), 'pst').mint();
    const inForce = several(random, 0, 3, () => pick(random, all));
    const acceptUnkeyed = random() < 0.5;
    const retired = several(random, 0, 3, () => pick(random, all));
    const peppers = new Peppers(inForce, acceptUnkeyed, retired.map(checksumKeyOf));
    const digests = new Reader(peppers, shapes).read(secret)?.digests() ?? null;
    const first = made[0];
    const good =
      first === undefined ? acceptUnkeyed || inForce.length === 0 : inForce.includes(first) || retired.includes(first);
    if ((digests !== null) !== good) expect.fail(`${made.map(({ id }) => id)} under ${inForce.map(({ id }) => id)}`);
    if (digests === null) continue;
    // A retired pepper's checksum leads on to a look-up, its digest to nothing.
    expect(digests.includes(digest)).toBe(first === undefined || inForce.includes(first));
    expect(digests[0]).toBe(peppers.digest(sha256Hex(secret)));
    expect(digests.at(-1)).toBe(sha256Hex(secret));
  }
});

test(`strings that are not ours are looked up only in a configured shape (seed ${seed})`, () => {
  const random = randomFrom(seed + 2);
  const reader = new Reader(new Peppers([p1], false), shapes);
  for (let i = 0; i < 5000; i++) {
    const text = several(random, 0, 6, () =>
      pick(random, ['pst', '_', 'other-', 'x', '-', 'é', ' ', '\0', base62]),
    ).join('');
    const read = reader.read(text);
    if (text.startsWith('other-') && /^[ -~]+$/.test(text)) expect(read).not.toBeNull();
    else if ((read?.digests() ?? null) !== null) expect.fail(text);
  }
});
