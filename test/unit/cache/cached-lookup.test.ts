import { describe, expect, test } from 'vitest';
import { CachedLookup, type CacheOptions, type DeclaredTokens } from '../../../src/cache/cached-lookup.ts';
import { type Instant, instantOf } from '../../../src/cache/freshness.ts';
import type { Evidence } from '../../../src/core/decide.ts';
import type { Account, StoredToken } from '../../../src/core/token.ts';
import { StoreUnavailable } from '../../../src/errors.ts';
import type { PresentedSecret } from '../../../src/ports/token-lookup.ts';
import type { FeedEvent, FoundToken } from '../../../src/ports/token-store.ts';
import { anAccount, aRole, aToken } from '../../contract/harness.ts';
import { always, HeldStore, settled } from '../../support/held-store.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const options: CacheOptions = {
  maxEntries: 100,
  ttlMs: 60_000,
  negativeTtlMs: 2000,
  boundMs: 5000,
  cutOffMs: 5000,
  onlyWhileSeen: false,
  deadlineMs: 1000,
};

/** A secret that may be at rest under two digests. */
const secretOf = (name: string): PresentedSecret => ({
  key: `key-${name}`,
  digests: () => [`new-${name}`, `old-${name}`],
});
const A = secretOf('a');
const tokenA = (more: Partial<StoredToken> = {}): StoredToken => aToken('a', { digest: 'new-a', ...more });
const found = (token: StoredToken = tokenA(), account: Account | null = null, index = 0): FoundToken => ({
  token,
  account,
  roles: [],
  index,
});

let seq = 0;
const changed = (kind: FeedEvent['kind'], id: string, digests: string[] = []): FeedEvent => ({
  seq: ++seq,
  at: 0,
  kind,
  id,
  version: 2,
  digests,
  awaited: false,
});

function make(more: Partial<CacheOptions> = {}) {
  const clock = new ManualClock();
  const store = new HeldStore();
  const cache = new CachedLookup(store.port, clock, { ...options, ...more });
  const proof: { proven: Instant; generation: number } = { proven: instantOf(clock), generation: 1 };
  cache.follow(proof, always);
  /** The feed has just proved everything. */
  const prove = (): void => {
    proof.proven = instantOf(clock);
  };
  /** Looks a secret up and has the store answer. */
  const learn = async (secret: PresentedSecret, answer: FoundToken | null): Promise<Evidence> => {
    const evidence = cache.load(secret);
    (await store.finds.next()).answer(answer);
    return evidence;
  };
  return { clock, store, cache, proof, prove, learn };
}

const versionOf = (evidence: Evidence | undefined): number | string | undefined =>
  evidence?.kind === 'found' ? evidence.subject.token.version : evidence?.kind;

describe('a look-up', () => {
  test('is asked for once, and served from memory then', async () => {
    const { cache, store, learn } = make();
    expect(cache.peek(A)).toBeUndefined();
    expect(versionOf(await learn(A, found()))).toBe(1);
    expect(versionOf(cache.peek(A))).toBe(1);
    expect(store.finds.count).toBe(1);
    expect(cache.results).toMatchObject({ miss: 1, hit: 1 });
  });

  test('is one for all who ask meanwhile', async () => {
    const { cache, store } = make();
    const asking = [cache.load(A), cache.load(A), cache.load(A)];
    (await store.finds.next()).answer(found());
    expect((await Promise.all(asking)).map(versionOf)).toEqual([1, 1, 1]);
    expect(store.finds.count).toBe(1);
    expect(cache.results.miss).toBe(3);
  });

  test('goes out under every digest, first pepper first', async () => {
    const { cache, store } = make();
    void cache.load(A);
    expect((await store.finds.next()).question).toEqual(['new-a', 'old-a']);
  });

  test('does not go out for a wrong checksum', async () => {
    const { cache, store } = make();
    expect(await cache.load({ key: 'k', digests: () => null })).toEqual({ kind: 'refused', cause: 'checksum' });
    expect(store.finds.count).toBe(0);
    expect(cache.results.miss).toBe(0);
  });

  test('that fails is an outage, for all who asked, and is forgotten', async () => {
    const { cache, store, learn } = make();
    const asking = [cache.load(A), cache.load(A)];
    (await store.finds.next()).fail(new StoreUnavailable('gone'));
    expect((await Promise.all(asking)).map(versionOf)).toEqual(['unavailable', 'unavailable']);
    expect(cache.peek(A)).toBeUndefined();
    expect(versionOf(await learn(A, found()))).toBe(1);
  });

  test('whose answer took longer than the bound proves nothing any more, and is asked for again', async () => {
    const { cache, clock, store } = make();
    const evidence = cache.load(A);
    const late = await store.finds.next();
    clock.advance(options.boundMs + 1);
    late.answer(found());
    (await store.finds.next()).answer(found(tokenA({ version: 2 })));
    expect(versionOf(await evidence)).toBe(2);
  });

  test('whose answers all take longer than the bound is an outage', async () => {
    const { cache, clock, store } = make();
    const evidence = cache.load(A);
    let over = false;
    void evidence.then(() => {
      over = true;
    });
    while (!over) {
      const late = store.finds.open.shift();
      clock.advance(options.boundMs + 1);
      late?.answer(found());
      await settled();
    }
    expect(versionOf(await evidence)).toBe('unavailable');
    expect(cache.peek(A)).toBeUndefined();
  });
});

describe('an answer is used', () => {
  test('until the bound after its sending when nothing else proves it', async () => {
    const { cache, clock, proof, store } = make();
    proof.proven = { monotonic: Number.NEGATIVE_INFINITY, wall: Number.NEGATIVE_INFINITY };
    const evidence = cache.load(A);
    const look = await store.finds.next();
    clock.advance(1000);
    look.answer(found());
    await evidence;
    clock.advance(4000);
    expect(versionOf(cache.peek(A))).toBe(1);
    clock.advance(1);
    expect(cache.peek(A)).toBeUndefined();
  });

  test('until the bound after the last proof of the feed', async () => {
    const { cache, clock, prove, learn } = make();
    await learn(A, found());
    for (let i = 0; i < 5; i++) {
      clock.advance(5000);
      expect(versionOf(cache.peek(A))).toBe(1);
      prove();
    }
    clock.advance(5000);
    expect(versionOf(cache.peek(A))).toBe(1);
    clock.advance(1);
    expect(cache.peek(A)).toBeUndefined();
  });

  test('again when the feed goes on without a gap', async () => {
    const { cache, clock, prove, learn } = make();
    await learn(A, found());
    clock.advance(9000);
    expect(cache.peek(A)).toBeUndefined();
    prove();
    expect(versionOf(cache.peek(A))).toBe(1);
  });

  test('no longer after a gap, however new it is: the change may have been in it', async () => {
    const { cache, proof, prove, learn } = make();
    await learn(A, found());
    proof.generation++;
    prove();
    expect(cache.peek(A)).toBeUndefined();
    await learn(A, found(tokenA({ version: 2 })));
    expect(versionOf(cache.peek(A))).toBe(2);
  });

  test('no longer after the wall clock has leapt, and no longer for a wall clock set back', async () => {
    const { cache, clock, learn } = make();
    await learn(A, found());
    clock.stepWall(-3_600_000);
    expect(versionOf(cache.peek(A))).toBe(1);
    clock.advance(5001);
    expect(cache.peek(A)).toBeUndefined();
    await learn(A, found());
    clock.stepWall(3_600_000);
    expect(cache.peek(A)).toBeUndefined();
  });
});

describe('that there is no such token', () => {
  test('is remembered for its own time', async () => {
    const { cache, clock, learn } = make();
    expect(versionOf(await learn(A, null))).toBe('absent');
    clock.advance(2000);
    expect(versionOf(cache.peek(A))).toBe('absent');
    expect(cache.results.negative).toBe(1);
    clock.advance(1);
    expect(cache.peek(A)).toBeUndefined();
  });

  test('is not used beyond the bound, however long its time is', async () => {
    const { cache, clock, learn } = make({ negativeTtlMs: 60_000 });
    await learn(A, null);
    clock.advance(5001);
    expect(cache.peek(A)).toBeUndefined();
  });

  test('is forgotten when a token comes to be under one of its digests', async () => {
    for (const digest of ['new-a', 'old-a']) {
      const { cache, learn } = make();
      await learn(A, null);
      cache.apply([changed('token', 'b', ['x'])]);
      expect(versionOf(cache.peek(A))).toBe('absent');
      cache.apply([changed('token', 'a', [digest])]);
      expect(cache.peek(A)).toBeUndefined();
    }
  });

  test('never pushes a token out', async () => {
    const { cache, learn } = make({ maxEntries: 10 });
    await learn(A, found());
    for (let i = 0; i < 100; i++) await learn(secretOf(`none-${i}`), null);
    expect(cache.size).toEqual({ positive: 1, negative: 10 });
    expect(versionOf(cache.peek(A))).toBe(1);
  });

  test('is replaced by the token once it is found, and the other way round', async () => {
    const { cache, learn, clock } = make();
    await learn(A, null);
    clock.advance(2001);
    await learn(A, found());
    expect(versionOf(cache.peek(A))).toBe(1);
    expect(cache.size).toEqual({ positive: 1, negative: 0 });
    clock.advance(10_000);
    await learn(A, null);
    expect(versionOf(cache.peek(A))).toBe('absent');
    expect(cache.size).toEqual({ positive: 0, negative: 1 });
  });
});

test('tokens are bounded, and the one used least recently goes first', async () => {
  const { cache, learn } = make({ maxEntries: 3 });
  for (const name of ['a', 'b', 'c']) await learn(secretOf(name), found(aToken(name)));
  cache.peek(A);
  await learn(secretOf('d'), found(aToken('d')));
  expect(cache.size.positive).toBe(3);
  expect(['a', 'b', 'c', 'd'].map(name => versionOf(cache.peek(secretOf(name))))).toEqual([1, undefined, 1, 1]);
  // What left the cache left its indexes too.
  cache.apply([changed('token', 'b')]);
  expect(cache.size.positive).toBe(3);
});

describe('an older answer', () => {
  const old = { ttlMs: 1000 };

  test('is served and asked for again behind, once', async () => {
    const { cache, clock, store, learn } = make(old);
    await learn(A, found());
    clock.advance(1001);
    expect([cache.peek(A), cache.peek(A), cache.peek(A)].map(versionOf)).toEqual([1, 1, 1]);
    expect([store.finds.count, cache.results.stale]).toEqual([2, 3]);
    (await store.finds.next()).answer(found(tokenA({ version: 2 })));
    await settled();
    expect(versionOf(cache.peek(A))).toBe(2);
    expect(store.finds.count).toBe(2);
  });

  test('is not asked for again before its time', async () => {
    const { cache, clock, store, learn } = make(old);
    await learn(A, found());
    clock.advance(1000);
    cache.peek(A);
    expect(store.finds.count).toBe(1);
  });

  test('stays while it is proved when the store does not answer, and is asked for again, not with every request', async () => {
    const { cache, clock, store, learn } = make(old);
    await learn(A, found());
    clock.advance(1001);
    cache.peek(A);
    (await store.finds.next()).fail(new StoreUnavailable('gone'));
    await settled();
    for (let i = 0; i < 100; i++) expect(versionOf(cache.peek(A))).toBe(1);
    expect(store.finds.count).toBe(2);
    clock.advance(1000);
    expect(versionOf(cache.peek(A))).toBe(1);
    expect(store.finds.count).toBe(3);
  });

  test('goes when the token is gone', async () => {
    const { cache, clock, store, learn } = make(old);
    await learn(A, found());
    clock.advance(1001);
    cache.peek(A);
    (await store.finds.next()).answer(null);
    await settled();
    expect(versionOf(cache.peek(A))).toBe('absent');
  });

  test('shares its look-up with whoever asks for it meanwhile', async () => {
    const { cache, clock, store, learn } = make(old);
    await learn(A, found());
    clock.advance(1001);
    cache.peek(A);
    cache.apply([changed('token', 'a')]);
    const evidence = cache.load(A);
    // The change overtook the look-up, so that it is sent again.
    (await store.finds.next()).answer(found());
    (await store.finds.next()).answer(found(tokenA({ version: 2 })));
    expect(versionOf(await evidence)).toBe(2);
    expect(store.finds.count).toBe(3);
  });
});

describe('a change', () => {
  const owned = tokenA({ owner: 'acme' });

  test.each<[string, FeedEvent, boolean]>([
    ['of the token', changed('token', 'a'), true],
    ['of its account', changed('account', 'acme'), true],
    ['of another token', changed('token', 'b', ['new-b']), false],
    ['of another account', changed('account', 'a'), false],
    ['of a token named like the account', changed('token', 'acme'), false],
  ])('%s is applied at once: evicted %s', async (_, event, evicted) => {
    const { cache, learn } = make();
    await learn(A, found(owned, anAccount('acme')));
    cache.apply([event]);
    expect(cache.peek(A) === undefined).toBe(evicted);
  });

  test('evicts every secret of a token, and every token of an account', async () => {
    const { cache, learn } = make();
    const previous = { digest: 'old-secret', until: 1 };
    await learn(A, found(owned, anAccount('acme')));
    await learn(secretOf('b'), found({ ...owned, previous }, anAccount('acme')));
    await learn(secretOf('c'), found(aToken('c', { owner: 'acme' }), anAccount('acme')));
    cache.apply([changed('token', 'a')]);
    expect(['a', 'b', 'c'].map(name => versionOf(cache.peek(secretOf(name))))).toEqual([undefined, undefined, 1]);
    cache.apply([changed('account', 'acme')]);
    expect(cache.size.positive).toBe(0);
  });

  test('of an account that a token names and nobody made yet is applied too', async () => {
    const { cache, learn } = make();
    await learn(A, found(owned, null));
    cache.apply([changed('account', 'acme')]);
    expect(cache.peek(A)).toBeUndefined();
  });

  test('may be told twice', async () => {
    const { cache, learn } = make();
    await learn(A, found());
    const event = changed('token', 'a', ['new-a']);
    cache.apply([event, event]);
    expect(cache.size.positive).toBe(0);
  });
});

describe('an answer that a change overtook is never used', () => {
  test.each<[string, FeedEvent, FoundToken | null]>([
    ['of its digest', changed('token', 'z', ['new-a']), null],
    ['of its older digest', changed('token', 'z', ['old-a']), null],
    ['of the token', changed('token', 'a'), found()],
    ['of the account', changed('account', 'acme'), found(tokenA({ owner: 'acme' }), anAccount('acme'))],
  ])('%s: it is asked for again', async (_, event, answer) => {
    const { cache, store } = make();
    const evidence = cache.load(A);
    const look = await store.finds.next();
    cache.apply([event]);
    look.answer(answer);
    const again = await store.finds.next();
    expect(cache.peek(A)).toBeUndefined();
    again.answer(found(tokenA({ version: 2 })));
    expect(versionOf(await evidence)).toBe(2);
    expect(versionOf(cache.peek(A))).toBe(2);
  });

  test('nor one from before a gap', async () => {
    const { cache, proof, store } = make();
    const evidence = cache.load(A);
    const look = await store.finds.next();
    proof.generation++;
    look.answer(found());
    (await store.finds.next()).answer(null);
    expect(versionOf(await evidence)).toBe('absent');
  });

  test('changes of others do not hold it up', async () => {
    const { cache, store } = make();
    const evidence = cache.load(A);
    const look = await store.finds.next();
    cache.apply([changed('token', 'b', ['new-b']), changed('account', 'acme')]);
    look.answer(found());
    expect(versionOf(await evidence)).toBe(1);
    expect(store.finds.count).toBe(1);
  });

  test('a token that changes faster than it can be read is an outage, after a handful of tries', async () => {
    const { cache, store } = make();
    const evidence = cache.load(A);
    for (let i = 0; i < 5; i++) {
      const look = await store.finds.next();
      cache.apply([changed('token', 'a', ['new-a'])]);
      look.answer(found());
    }
    expect(versionOf(await evidence)).toBe('unavailable');
    expect(cache.peek(A)).toBeUndefined();
    expect(store.finds.count).toBe(5);
  });
});

describe('a secret at rest under an older pepper', () => {
  const old = found(tokenA({ digest: 'old-a' }), null, 1);

  test('is moved under the first when it is used, and works meanwhile', async () => {
    const { store, learn } = make();
    expect(versionOf(await learn(A, old))).toBe(1);
    expect(store.rekeyed).toEqual([['a', 'old-a', 'new-a']]);
  });

  test('is tried again at the next look-up when it could not be moved', async () => {
    const { cache, clock, store, learn } = make();
    store.rekey = () => Promise.reject(new StoreUnavailable('read-only'));
    await learn(A, old);
    clock.advance(10_000);
    expect(cache.peek(A)).toBeUndefined();
    await learn(A, old);
    expect(store.rekeyed).toHaveLength(2);
  });

  test('is left alone under the first', async () => {
    const { store, learn } = make();
    await learn(A, found());
    expect(store.rekeyed).toEqual([]);
  });
});

describe('a new configuration', () => {
  test('bounds what is in memory already', async () => {
    const { cache, clock, prove, learn } = make();
    await learn(A, found());
    await learn(secretOf('none'), null);
    clock.advance(1500);
    cache.configure({ ...options, boundMs: 1000, negativeTtlMs: 1000 });
    expect(cache.peek(A)).toBeUndefined();
    expect(cache.peek(secretOf('none'))).toBeUndefined();
    prove();
    expect(versionOf(cache.peek(A))).toBe(1);
    cache.configure({ ...options, ttlMs: 1000 });
    cache.peek(A);
    expect(cache.results.stale).toBe(1);
  });

  test('resizes, and loses nothing that a look-up under way must notice', async () => {
    const { cache, learn, store } = make();
    await learn(A, found());
    const evidence = cache.load(secretOf('b'));
    const look = await store.finds.next();
    cache.configure({ ...options, maxEntries: 1 });
    look.answer(found(aToken('b')));
    await evidence;
    expect(cache.size).toEqual({ positive: 0, negative: 0 });
    await learn(A, found());
    await learn(secretOf('b'), found(aToken('b')));
    expect([cache.size.positive, versionOf(cache.peek(secretOf('b')))]).toEqual([1, 1]);
    cache.apply([changed('token', 'b')]);
    expect(cache.size.positive).toBe(0);
  });
});

describe('a change of a role', () => {
  const B = secretOf('b');
  const C = secretOf('c');
  const ofOwner = (name: string, owner: string, ids: readonly string[]): FoundToken => ({
    token: aToken(name, { digest: `new-${name}`, owner }),
    account: anAccount(owner, { roles: ids }),
    roles: ids.map(id => aRole(id)),
    index: 0,
  });
  async function three() {
    const world = make();
    await world.learn(A, ofOwner('a', 'acme', ['r1', 'r2']));
    await world.learn(B, ofOwner('b', 'umbrella', ['r2']));
    await world.learn(C, ofOwner('c', 'initech', []));
    const known = () => [A, B, C].filter(secret => world.cache.peek(secret) !== undefined).map(({ key }) => key.at(-1));
    return { ...world, known };
  }

  test.each([
    ['r1', ['b', 'c']],
    ['r2', ['c']],
    ['order', ['c']],
    ['acme', ['a', 'b', 'c']],
    ['a', ['a', 'b', 'c']],
  ])('evicts the tokens of every account that has it, and no others: %s', async (id, left) => {
    const { cache, known } = await three();
    cache.apply([changed('role', id)]);
    expect(known()).toEqual(left);
  });

  test('evicts what was learned since the last one, and what an account was given later', async () => {
    const { cache, known, learn } = await three();
    cache.apply([changed('role', 'r2')]);
    await learn(A, ofOwner('a', 'acme', ['r1']));
    await learn(B, ofOwner('b', 'umbrella', ['r2']));
    cache.apply([changed('account', 'initech')]);
    await learn(C, ofOwner('c', 'initech', ['r2']));
    cache.apply([changed('role', 'r2')]);
    expect(known()).toEqual(['a']);
    cache.apply([changed('role', 'r1')]);
    expect(known()).toEqual([]);
  });

  test.each(['r1', 'order'])('overtakes an answer, which is asked for again: %s', async id => {
    const { cache, store } = make();
    const evidence = cache.load(A);
    const first = await store.finds.next();
    cache.apply([changed('role', id)]);
    first.answer(ofOwner('a', 'acme', ['r1']));
    const roles = [aRole('r1', { version: 2 })];
    (await store.finds.next()).answer({ ...ofOwner('a', 'acme', ['r1']), roles });
    expect(await evidence).toMatchObject({ kind: 'found', subject: { roles } });
    expect(store.finds.count).toBe(2);
  });

  test('does not overtake answers that it does not concern', async () => {
    const { cache, learn, store } = make();
    const evidence = cache.load(A);
    const first = await store.finds.next();
    cache.apply([changed('role', 'other')]);
    first.answer(ofOwner('a', 'acme', ['r1']));
    expect(versionOf(await evidence)).toBe(1);
    const absence = cache.load(B);
    const second = await store.finds.next();
    cache.apply([changed('role', 'order')]);
    second.answer(null);
    expect(versionOf(await absence)).toBe('absent');
    expect(store.finds.count).toBe(2);
    expect(versionOf(await learn(C, ofOwner('c', 'initech', [])))).toBe(1);
  });
});

describe('declared tokens', () => {
  const declared = (more: Partial<StoredToken> = {}): DeclaredTokens =>
    new Map([[A.key, tokenA({ kind: 'declared', ...more })]]);

  test('are found without the store, and are not moved in it', async () => {
    const { cache, store } = make();
    cache.declare(declared({ digest: 'old-a' }));
    expect(versionOf(await cache.load(A))).toBe(1);
    expect(versionOf(cache.peek(A))).toBe(1);
    expect([store.finds.count, store.rekeyed]).toEqual([0, []]);
  });

  test('work whatever the pepper under which their digest was made', async () => {
    for (const digest of ['new-a', 'old-a']) {
      const { cache } = make();
      cache.declare(declared({ digest }));
      expect(await cache.load(A)).toMatchObject({ kind: 'found', subject: { secretUntil: null } });
    }
  });

  test('with an owner depend on its account', async () => {
    const { cache, store } = make();
    cache.declare(declared({ owner: 'acme' }));
    const evidence = cache.load(A);
    const look = await store.owners.next();
    expect(look.question).toBe('acme');
    look.answer({ account: anAccount('acme', { enabled: false }), roles: [] });
    expect(await evidence).toMatchObject({ kind: 'found', subject: { account: { enabled: false } } });
    cache.apply([changed('account', 'acme')]);
    expect(cache.peek(A)).toBeUndefined();
  });

  test('with an owner depend on the roles of its account', async () => {
    const { cache, store } = make();
    cache.declare(declared({ owner: 'acme' }));
    const account = anAccount('acme', { roles: ['r1'] });
    const evidence = cache.load(A);
    const look = await store.owners.next();
    cache.apply([changed('role', 'r1')]);
    look.answer({ account, roles: [aRole('r1')] });
    const roles = [aRole('r1', { version: 2 })];
    (await store.owners.next()).answer({ account, roles });
    expect(await evidence).toMatchObject({ kind: 'found', subject: { roles } });
    cache.apply([changed('role', 'r1')]);
    expect(cache.peek(A)).toBeUndefined();
  });

  test('that are declared no more are forgotten at once', async () => {
    const { cache, store } = make();
    cache.declare(declared());
    await cache.load(A);
    cache.declare(new Map());
    expect(cache.peek(A)).toBeUndefined();
    const evidence = cache.load(A);
    (await store.finds.next()).answer(null);
    expect(versionOf(await evidence)).toBe('absent');
  });

  test('that are declared no more are not kept by a look-up that was under way', async () => {
    const { cache, store } = make();
    cache.declare(declared({ owner: 'acme' }));
    const before = cache.load(A);
    const look = await store.owners.next();
    cache.declare(new Map());
    const after = cache.load(A);
    look.answer({ account: anAccount('acme'), roles: [] });
    await before;
    expect(cache.peek(A)).toBeUndefined();
    (await store.finds.next()).answer(null);
    expect(versionOf(await after)).toBe('absent');
    expect(versionOf(cache.peek(A))).toBe('absent');
  });

  test('a look-up that was under way does not end the one that came after it', async () => {
    const { cache, store } = make();
    const before = cache.ask(A);
    const first = await store.finds.next();
    cache.clear();
    const after = cache.ask(A);
    first.answer(null);
    await before;
    expect(cache.ask(A)).toBe(after);
    (await store.finds.next()).answer(found());
    expect(versionOf(await after)).toBe(1);
    expect(store.finds.count).toBe(2);
  });
});

test('a look-up that was forgotten hears of changes all the same: nobody is let in after they were acknowledged', async () => {
  const { cache, store } = make();
  const evidence = cache.load(A);
  const first = await store.finds.next();
  cache.clear();
  cache.apply([changed('token', 'a', ['new-a'])]);
  first.answer(found());
  (await store.finds.next()).answer(null);
  expect((await evidence).kind).toBe('absent');
});
