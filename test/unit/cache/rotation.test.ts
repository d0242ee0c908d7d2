import { expect, test } from 'vitest';
import { CachedLookup } from '../../../src/cache/cached-lookup.ts';
import type { Evidence } from '../../../src/core/decide.ts';
import type { StoredToken } from '../../../src/core/token.ts';
import type { TokenStore } from '../../../src/ports/token-store.ts';
import { Mint } from '../../../src/secrets/mint.ts';
import { type Pepper, Peppers } from '../../../src/secrets/peppers.ts';
import { Reader } from '../../../src/secrets/reader.ts';
import { aToken } from '../../contract/harness.ts';
import { settled } from '../../support/held-store.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const [p1, p2]: readonly [Pepper, Pepper] = [
  { id: 'p1', key: Buffer.alloc(32, 1) },
  { id: 'p2', key: Buffer.alloc(32, 2) },
];

/** A store that keeps tokens by digest, and moves them. */
function storeOf(tokens: Map<string, StoredToken>): TokenStore {
  const store: Pick<TokenStore, 'find' | 'rekey'> = {
    find: async digests => {
      const index = digests.findIndex(digest => tokens.has(digest));
      return index === -1 ? null : { token: tokens.get(digests[index]!)!, account: null, roles: [], index };
    },
    rekey: async (_id, from, to) => {
      const token = tokens.get(from)!;
      tokens.delete(from);
      tokens.set(to, { ...token, digest: to });
    },
  };
  return store as TokenStore;
}

/** A process that runs with these peppers over that store. */
function processWith(peppers: readonly Pepper[], tokens: Map<string, StoredToken>, acceptUnkeyed = false) {
  const reader = new Reader(new Peppers(peppers, acceptUnkeyed), { prefix: 'pst', shapes: [], declared: new Set() });
  const options = {
    maxEntries: 10,
    ttlMs: 60_000,
    negativeTtlMs: 5000,
    boundMs: 5000,
    cutOffMs: 5000,
    onlyWhileSeen: false,
    deadlineMs: 1000,
  };
  const cache = new CachedLookup(storeOf(tokens), new ManualClock(), options);
  return async (secret: string): Promise<Evidence['kind']> => {
    const presented = reader.read(secret)!;
    const evidence = cache.peek(presented) ?? (await cache.load(presented));
    await settled();
    return evidence.kind;
  };
}

/** Two tokens minted under these peppers. */
function minted(peppers: readonly Pepper[]) {
  const tokens = new Map<string, StoredToken>();
  const mint = new Mint(new Peppers(peppers, false), 'pst');
  const secrets = ['used', 'idle'].map(id => {
    const { secret, digest } = mint.mint();
    tokens.set(digest, aToken(id, { digest }));
    return secret;
  });
  return { tokens, used: secrets[0]!, idle: secrets[1]! };
}

test('while two peppers are in force a token of the older one works, and is moved under the newer when it is used', async () => {
  const { tokens, used, idle } = minted([p1]);
  const before = new Set(tokens.keys());
  const overlap = processWith([p2, p1], tokens);
  expect(await overlap(used)).toBe('found');
  expect([...tokens.values()].map(({ id, digest }) => [id, before.has(digest)])).toEqual([
    ['idle', true],
    ['used', false],
  ]);
  expect(await overlap(used)).toBe('found');
  expect(await overlap(idle)).toBe('found');
  expect([...tokens.keys()].filter(digest => before.has(digest))).toEqual([]);
});

test('once the older pepper is gone, a token that was never used meanwhile is refused', async () => {
  const { tokens, used, idle } = minted([p1]);
  await processWith([p2, p1], tokens)(used);
  expect(await processWith([p2], tokens)(idle)).not.toBe('found');
});

test('a token made without a pepper is moved under the first one that is set, where unkeyed checksums pass', async () => {
  const { tokens, used, idle } = minted([]);
  const keyed = processWith([p1], tokens, true);
  const before = new Set(tokens.keys());
  expect(await keyed(used)).toBe('found');
  expect([...tokens.values()].map(({ id, digest }) => [id, before.has(digest)])).toEqual([
    ['idle', true],
    ['used', false],
  ]);
  expect(await processWith([p1], tokens, false)(idle)).toBe('refused');
  expect(await processWith([p1], tokens, true)(used)).toBe('found');
});
