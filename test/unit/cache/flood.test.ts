import { expect, test } from 'vitest';
import { CachedLookup } from '../../../src/cache/cached-lookup.ts';
import type { StoredToken } from '../../../src/core/token.ts';
import type { TokenStore } from '../../../src/ports/token-store.ts';
import { Mint } from '../../../src/secrets/mint.ts';
import { Peppers } from '../../../src/secrets/peppers.ts';
import { Reader } from '../../../src/secrets/reader.ts';
import { aToken } from '../../contract/harness.ts';
import { always } from '../../support/held-store.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { patience } from '../../support/tiers.ts';

const guesses = Number(process.env['POSTERN_GUESSES'] ?? 10_000);
const maxEntries = 1000;
const hot = 500;

/** A process with peppers, and tokens that are used all the time while others guess. */
function begun(keys: readonly string[]) {
  const peppers = new Peppers(
    keys.map(id => ({ id, key: Buffer.alloc(32, id) })),
    false,
  );
  const reader = new Reader(peppers, { prefix: 'pst', shapes: [], declared: new Set() });
  const mint = new Mint(peppers, 'pst');
  const tokens = new Map<string, StoredToken>();
  const good = Array.from({ length: hot }, (_, i) => {
    const { secret, digest } = mint.mint();
    tokens.set(digest, aToken(`t${i}`, { digest }));
    return secret;
  });
  const asked = { good: 0, bad: 0 };
  const store: Pick<TokenStore, 'find' | 'rekey'> = {
    find: async digests => {
      for (const [index, digest] of digests.entries()) {
        const token = tokens.get(digest);
        if (token === undefined) continue;
        asked.good++;
        return { token, account: null, roles: [], index };
      }
      asked.bad++;
      return null;
    },
    rekey: async () => {},
  };
  const options = { maxEntries, ttlMs: 60_000, negativeTtlMs: 5000, boundMs: 5000, cutOffMs: 5000 };
  const clock = new ManualClock();
  const cache = new CachedLookup(store as TokenStore, clock, { ...options, onlyWhileSeen: false, deadlineMs: 50 });
  cache.follow({ proven: always.answered, generation: 0 }, always);
  const present = async (secret: string): Promise<string> => {
    const presented = reader.read(secret);
    if (presented === null) return 'refused';
    const evidence = cache.peek(presented) ?? (await cache.load(presented));
    return evidence.kind;
  };
  return { cache, good, asked, present };
}

/** Presents guesses, and a token in use after each. */
async function flood(process: ReturnType<typeof begun>, guess: () => string, expected: string): Promise<void> {
  for (const secret of process.good) expect(await process.present(secret)).toBe('found');
  for (let i = 0; i < guesses; i++) {
    const answer = await process.present(guess());
    if (answer !== expected) expect.fail(`a guess was ${answer}`);
    const known = await process.present(process.good[i % hot]!);
    if (known !== 'found') expect.fail(`a good token was ${known}`);
  }
}

test('guesses of the right form push no token that is in use out of memory, and fill none without a bound', {
  timeout: patience(60_000),
}, async () => {
  const here = begun([]);
  // Without a pepper anybody can make a checksum.
  const anybody = new Mint(new Peppers([], false), 'pst');
  await flood(here, () => anybody.mint().secret, 'absent');
  expect(here.asked).toEqual({ good: hot, bad: guesses });
  expect(here.cache.size.positive).toBe(hot);
  expect(here.cache.size.negative).toBeLessThanOrEqual(maxEntries);
  expect(here.cache.results.hit).toBe(guesses);
});

test('with a pepper no guess reaches memory or store', { timeout: patience(60_000) }, async () => {
  const here = begun(['p']);
  const anybody = new Mint(new Peppers([], false), 'pst');
  await flood(here, () => anybody.mint().secret, 'refused');
  expect(here.asked).toEqual({ good: hot, bad: 0 });
  expect(here.cache.size).toEqual({ positive: hot, negative: 0 });
});
