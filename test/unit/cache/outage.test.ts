import { describe, expect, test } from 'vitest';
import { CachedLookup, type CacheOptions } from '../../../src/cache/cached-lookup.ts';
import { ageOf, type Instant, instantOf } from '../../../src/cache/freshness.ts';
import { Recall } from '../../../src/cache/recall.ts';
import type { Evidence } from '../../../src/core/decide.ts';
import { StoreUnavailable } from '../../../src/errors.ts';
import type { PresentedSecret } from '../../../src/ports/token-lookup.ts';
import type { FoundToken } from '../../../src/ports/token-store.ts';
import { anAccount, aRole, aToken } from '../../contract/harness.ts';
import { HeldStore } from '../../support/held-store.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const bound = 5000;
const cutOff = 60_000;

const secretOf = (name: string): PresentedSecret => ({ key: `key-${name}`, digests: () => [`new-${name}`] });
const foundOf = (name: string): FoundToken => ({
  token: aToken(name, { digest: `new-${name}` }),
  account: null,
  roles: [],
  index: 0,
});
const A = secretOf('a');
const away = new StoreUnavailable('away');

function make(more: Partial<CacheOptions> = {}) {
  const clock = new ManualClock();
  const store = new HeldStore();
  const options: CacheOptions = {
    maxEntries: 100,
    ttlMs: 60_000,
    negativeTtlMs: 2000,
    boundMs: bound,
    cutOffMs: cutOff,
    onlyWhileSeen: false,
    deadlineMs: 1000,
    ...more,
  };
  const cache = new CachedLookup(store.port, clock, options);
  const proof: { proven: Instant; generation: number } = { proven: instantOf(clock), generation: 0 };
  const seen: { answered: Instant; reckonedMs: number } = { answered: instantOf(clock), reckonedMs: options.cutOffMs };
  cache.follow(proof, seen);
  /** The feed and the heartbeat have just been answered. */
  const live = (): void => {
    proof.proven = instantOf(clock);
    seen.answered = instantOf(clock);
  };
  const loading = async (secret: PresentedSecret, answer: FoundToken | null | Error): Promise<Evidence> => {
    const evidence = cache.load(secret);
    const look = await store.finds.next();
    if (answer instanceof Error) look.fail(answer);
    else look.answer(answer);
    return evidence;
  };
  return { clock, store, cache, options, proof, seen, live, loading };
}

describe('a process that neither the feed nor the store answers', () => {
  test('serves what it knows until the cut-off bound, and not a moment longer', async () => {
    const { cache, clock, loading } = make();
    await loading(A, foundOf('a'));
    clock.advance(bound + 1);
    expect(cache.peek(A)).toBeUndefined();
    expect((await loading(A, away)).kind).toBe('found');
    expect(cache.results.stale).toBe(1);
    clock.advance(cutOff - bound - 1);
    expect((await loading(A, away)).kind).toBe('found');
    clock.advance(1);
    expect((await loading(A, away)).kind).toBe('unavailable');
  });

  test('counts the cut-off bound by both clocks', async () => {
    const { clock, loading } = make();
    await loading(A, foundOf('a'));
    clock.advance(bound + 1);
    clock.stepWall(cutOff);
    expect((await loading(A, away)).kind).toBe('unavailable');
  });

  test('does not know who is nobody: an unknown secret is unavailable, never absent', async () => {
    const { clock, loading } = make();
    await loading(A, null);
    clock.advance(bound + 1);
    expect((await loading(A, away)).kind).toBe('unavailable');
    expect((await loading(secretOf('b'), away)).kind).toBe('unavailable');
  });

  test('asks the store before it serves what is older than the bound', async () => {
    const { cache, clock, loading } = make();
    await loading(A, foundOf('a'));
    clock.advance(bound + 1);
    expect((await loading(A, null)).kind).toBe('absent');
    expect(cache.results.stale).toBe(0);
  });

  test('says so to whoever wants to hear it from the store alone', async () => {
    const { cache, clock, loading, store } = make();
    await loading(A, foundOf('a'));
    clock.advance(bound + 1);
    const asked = cache.ask(A);
    (await store.finds.next()).fail(away);
    expect((await asked).kind).toBe('unavailable');
  });
});

test('a process that hears from the feed serves nothing that the feed does not prove', async () => {
  const { clock, live, loading, proof } = make();
  await loading(A, foundOf('a'));
  clock.advance(10);
  live();
  proof.generation++;
  expect((await loading(A, away)).kind).toBe('unavailable');
  // Nor when it is cut off afterwards: others were told that it has come over the gap.
  clock.advance(bound + 1);
  expect((await loading(A, away)).kind).toBe('unavailable');
});

test('a cut-off bound that was raised holds only when others have heard of it', async () => {
  const { cache, clock, seen, loading, options } = make({ cutOffMs: bound });
  await loading(A, foundOf('a'));
  cache.configure({ ...options, boundMs: cutOff, cutOffMs: cutOff });
  clock.advance(bound + 1);
  expect(cache.peek(A)).toBeUndefined();
  expect((await loading(A, away)).kind).toBe('unavailable');
  seen.reckonedMs = cutOff;
  expect(cache.peek(A)?.kind).toBe('found');
});

describe('a process that others do not see', () => {
  test('asks the store each time: nobody waits for it to hear of a revocation', async () => {
    const { cache, clock, proof, loading } = make({ cutOffMs: bound });
    await loading(A, foundOf('a'));
    clock.advance(bound + 1);
    proof.proven = instantOf(clock);
    expect(cache.peek(A)).toBeUndefined();
    expect((await loading(A, foundOf('a'))).kind).toBe('found');
    expect(cache.peek(A)).toBeUndefined();
  });

  test('does not believe the store either, where that may have been cut in two', async () => {
    const { clock, proof, seen, loading } = make({ cutOffMs: bound, onlyWhileSeen: true });
    clock.advance(bound + 1);
    proof.proven = instantOf(clock);
    expect((await loading(A, foundOf('a'))).kind).toBe('unavailable');
    seen.answered = instantOf(clock);
    expect((await loading(A, foundOf('a'))).kind).toBe('found');
  });
});

test('a store that fails again and again is not waited for by every request', async () => {
  const { cache, clock, store, loading } = make();
  await loading(A, foundOf('a'));
  clock.advance(bound + 1);
  for (let i = 0; i < 5; i++) await loading(secretOf(`x${i}`), away);
  const { count } = store.finds;
  for (let i = 0; i < 100; i++) expect((await cache.load(secretOf(`y${i}`))).kind).toBe('unavailable');
  expect((await cache.load(A)).kind).toBe('found');
  expect(store.finds.count).toBe(count);
  clock.advance(250);
  expect((await loading(secretOf('z'), foundOf('z'))).kind).toBe('found');
  expect((await loading(secretOf('y1'), null)).kind).toBe('absent');
});

describe('what an earlier process knew', () => {
  const { digest, previous: _, ...token } = aToken('a', { digest: 'new-a', owner: 'acme' });
  const acme = { account: anAccount('acme', { roles: ['r2', 'r1'] }), roles: [aRole('r1'), aRole('r2')] };
  const recalled = (clock: ManualClock) =>
    new Recall(instantOf(clock), cutOff, [acme], [{ digest, token, account: 'acme', secretUntil: null }]);

  /** A process that has begun with a snapshot, and has heard of nothing yet. */
  function begun() {
    const parts = make();
    const never = { monotonic: Number.NEGATIVE_INFINITY, wall: Number.NEGATIVE_INFINITY };
    parts.proof.proven = never;
    parts.seen.answered = never;
    parts.cache.remember(recalled(parts.clock));
    return parts;
  }

  test('is served when the store does not answer, until the cut-off bound after it was proved', async () => {
    const { cache, clock, loading } = begun();
    expect(cache.peek(A)).toBeUndefined();
    expect(await loading(A, away)).toMatchObject({
      kind: 'found',
      subject: { account: { id: 'acme' }, roles: acme.roles },
    });
    expect((await loading(secretOf('b'), away)).kind).toBe('unavailable');
    expect(cache.serves).toBe(true);
    clock.advance(cutOff + 1);
    expect((await loading(A, away)).kind).toBe('unavailable');
    expect(cache.serves).toBe(false);
  });

  test('is not proved by a feed that is heard where nobody else sees this process', async () => {
    const { cache, clock, proof, loading } = begun();
    for (let ms = 0; ms <= cutOff; ms += bound) {
      clock.advance(bound);
      proof.proven = instantOf(clock);
    }
    clock.advance(bound + 1);
    expect((await loading(A, away)).kind).toBe('unavailable');
    expect(cache.serves).toBe(false);
  });

  test('is not served for longer than others reckon with that process, whatever this one may do', async () => {
    const { cache, clock, loading, options } = begun();
    cache.configure({ ...options, cutOffMs: 2 * cutOff });
    clock.advance(cutOff + 1);
    expect((await loading(A, away)).kind).toBe('unavailable');
  });

  test('gives way to what the store says', async () => {
    const { clock, loading } = begun();
    expect((await loading(A, null)).kind).toBe('absent');
    clock.advance(bound + 1);
    expect((await loading(A, away)).kind).toBe('unavailable');
  });

  test.each([
    ['the token', { kind: 'token', id: 'a' }],
    ['its owner', { kind: 'account', id: 'acme' }],
    ['a role of its owner', { kind: 'role', id: 'r2' }],
    ['the order of roles', { kind: 'role', id: 'order' }],
  ] as const)('is forgotten with a change of %s', async (_, changed) => {
    const { cache, loading } = begun();
    cache.apply([{ seq: 1, at: 0, version: 2, digests: [], awaited: false, ...changed }]);
    expect((await loading(A, away)).kind).toBe('unavailable');
  });

  test('stays with a change of another role', async () => {
    const { cache, loading } = begun();
    cache.apply([{ seq: 1, at: 0, version: 2, digests: [], awaited: false, kind: 'role', id: 'other' }]);
    expect((await loading(A, away)).kind).toBe('found');
  });

  test('of the owner of a declared token has its roles, and is forgotten with them', async () => {
    const { cache, store } = begun();
    const declared = aToken('d', { digest: 'new-d', owner: 'acme', kind: 'declared' });
    const D = secretOf('d');
    cache.declare(new Map([[D.key, declared]]));
    const ask = async () => {
      const evidence = cache.load(D);
      (await store.owners.next()).fail(away);
      return evidence;
    };
    expect(await ask()).toMatchObject({ kind: 'found', subject: { roles: acme.roles } });
    cache.apply([{ seq: 1, at: 0, version: 2, digests: [], awaited: false, kind: 'role', id: 'r1' }]);
    expect((await ask()).kind).toBe('unavailable');
  });

  test('is forgotten at a gap', async () => {
    const { cache, proof, loading } = begun();
    proof.generation++;
    cache.missed();
    expect((await loading(A, away)).kind).toBe('unavailable');
  });

  test('is proved anew by a feed that goes on from there, and handed to the next process', async () => {
    const { cache, clock, live, loading } = begun();
    clock.advance(cutOff - 1);
    live();
    clock.advance(bound + 1);
    expect((await loading(A, away)).kind).toBe('found');
    live();
    expect(cache.knowledge()?.tokens.map(({ digest: one }) => one)).toEqual(['new-a']);
    expect(cache.knowledge()?.owners).toEqual([acme]);
  });
});

describe('what the next process may know', () => {
  test('is what is proved, and nothing while that is not told', async () => {
    const { cache, clock, live, loading, proof } = make();
    await loading(A, foundOf('a'));
    await loading(secretOf('none'), null);
    expect(cache.knowledge()?.tokens).toMatchObject([{ digest: 'new-a', token: { id: 'a' }, account: null }]);
    expect(JSON.stringify(cache.knowledge())).not.toContain('key-a');
    clock.advance(bound + 1);
    expect(cache.knowledge()).toBeNull();
    live();
    proof.generation++;
    expect(cache.knowledge()?.tokens).toEqual([]);
    expect(ageOf(proof.proven, instantOf(clock))).toBe(0);
  });
});
