import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { StoredToken } from '../../src/core/token.ts';
import type { Idempotency } from '../../src/ports/token-store.ts';
import { anAccount, anAudit, aToken, changed, made, type OpenStore, type TestedStore } from './harness.ts';

/** What every adapter of the TokenStore port guarantees: tokens, accounts, their audit trail. */
/** A suite of its own, or its hooks would open a store for every test of the other contracts as well. */
export function tokenStoreContract(name: string, open: OpenStore): void {
  describe(name, () => suite(name, open));
}

function suite(name: string, open: OpenStore): void {
  let store: TestedStore;
  beforeEach(async () => {
    store = await open();
  });
  afterEach(() => store.dispose());

  const create = (token: StoredToken, idempotency: Idempotency | null = null) =>
    store.tokens.createToken(token, anAudit('create'), idempotency);
  const createAccount = (id: string, more = {}) => store.tokens.putAccount(anAccount(id, more), 0, anAudit('create'));
  const audit = (id: string, kind: 'token' | 'account' = 'token') =>
    store.tokens.listEvents({ kind, id, limit: 100, after: null });
  /** Runs something that must leave state, feed and audit trail of these tokens as they are. */
  const unchanged = async (ids: readonly string[], act: () => Promise<unknown>) => {
    const look = async () => [
      await store.feed.head(),
      ...(await Promise.all(ids.flatMap(id => [store.tokens.getToken(id), audit(id)]))),
    ];
    const before = await look();
    await act();
    expect(await look()).toEqual(before);
  };

  describe(`${name}: creating tokens`, () => {
    test('a created token reads back whole', async () => {
      const token = aToken('tok_1', {
        name: 'Ünïcode 🔑 "quoted"',
        permissions: { 'b.c': true, 'a.*': false, 'a.b': true },
        extra: { nested: { list: [1, null, 'x', { deep: true }] }, 'odd key': '\u2028' },
        tags: ['one', 'two'],
        notBefore: made - 1,
        expiresAt: made + 1,
        previous: { digest: 'older', until: made + 5 },
      });
      expect((await create(token)).kind).toBe('done');
      const read = await store.tokens.getToken('tok_1');
      expect(read).toEqual({ token, account: null });
      expect(Object.keys(read!.token.permissions)).toEqual(['b.c', 'a.*', 'a.b']);
    });

    test('a created token is found by its digest, which is named by its place in the list', async () => {
      await create(aToken('tok_1', { digest: 'd1' }));
      expect(await store.tokens.find(['d0', 'd1', 'd2'])).toMatchObject({ index: 1, token: { id: 'tok_1' } });
    });

    test('of several digests that are known, the first wins', async () => {
      await create(aToken('tok_1', { digest: 'd1' }));
      await create(aToken('tok_2', { digest: 'd2' }));
      expect(await store.tokens.find(['d2', 'd1'])).toMatchObject({ index: 0, token: { id: 'tok_2' } });
    });

    test('what was never created is absent', async () => {
      expect(await store.tokens.find(['nothing'])).toBeNull();
      expect(await store.tokens.find([])).toBeNull();
      expect(await store.tokens.getToken('nothing')).toBeNull();
    });

    test('a token created with an id that exists changes nothing', async () => {
      await create(aToken('tok_1', { digest: 'd1' }));
      await unchanged(['tok_1'], async () => {
        expect(await create(aToken('tok_1', { digest: 'd2' }))).toEqual({ kind: 'id_exists' });
      });
      expect(await store.tokens.find(['d2'])).toBeNull();
    });

    test('a token created with a digest that exists, current or previous, changes nothing', async () => {
      const until = store.clock.wall() + 1000;
      await create(aToken('tok_1', { digest: 'd1', previous: { digest: 'd0', until } }));
      await unchanged(['tok_1', 'tok_2'], async () => {
        expect(await create(aToken('tok_2', { digest: 'd1' }))).toEqual({ kind: 'digest_exists' });
        expect(await create(aToken('tok_2', { digest: 'd0' }))).toEqual({ kind: 'digest_exists' });
        const previous = { digest: 'd1', until };
        expect(await create(aToken('tok_2', { digest: 'd2', previous }))).toEqual({ kind: 'digest_exists' });
      });
    });

    test('a token whose owner does not exist, or was deleted, is not created', async () => {
      await createAccount('gone', { deleted: true });
      await unchanged(['tok_1'], async () => {
        expect(await create(aToken('tok_1', { owner: 'nobody' }))).toEqual({ kind: 'no_owner' });
        expect(await create(aToken('tok_1', { owner: 'gone' }))).toEqual({ kind: 'no_owner' });
      });
    });

    test("a token made not after its owner's mark is not created, and the answer names the mark", async () => {
      await createAccount('acme', { revokedBefore: made });
      await unchanged(['tok_1'], async () => {
        const token = aToken('tok_1', { owner: 'acme', createdAt: made });
        expect(await create(token)).toEqual({ kind: 'marked', until: made });
      });
      expect((await create(aToken('tok_1', { owner: 'acme', createdAt: made + 1 }))).kind).toBe('done');
    });

    test('of many creations of one id at once, exactly one is done', async () => {
      const outcomes = await Promise.all(
        Array.from({ length: 20 }, (_, i) => create(aToken('one', { digest: `d${i}` }))),
      );
      expect(outcomes.map(outcome => outcome.kind).sort()).toEqual(['done', ...Array(19).fill('id_exists')]);
    });
  });

  describe(`${name}: creations that may be asked for twice`, () => {
    const key = (more: Partial<Idempotency> = {}): Idempotency => ({
      key: 'k1',
      body: 'b1',
      expiresAt: store.clock.wall() + 1000,
      ...more,
    });

    test('are found by their key alone, while it lives', async () => {
      expect(await store.tokens.findCreation(key())).toBeNull();
      await create(aToken('tok_1'), key());
      expect(await store.tokens.findCreation(key())).toEqual({ kind: 'replayed', tokenId: 'tok_1', sameBody: true });
      expect(await store.tokens.findCreation(key({ body: 'b2' }))).toMatchObject({ sameBody: false });
      expect(await store.tokens.findCreation(key({ key: 'k2' }))).toBeNull();
      store.clock.advance(1000);
      expect(await store.tokens.findCreation(key())).toBeNull();
    });

    test('the same key and body answer with the token that was made, and make nothing', async () => {
      await create(aToken('tok_1'), key());
      await unchanged(['tok_1', 'tok_2'], async () => {
        const again = await create(aToken('tok_2'), key());
        expect(again).toEqual({ kind: 'replayed', tokenId: 'tok_1', sameBody: true });
      });
    });

    test('the same key with another body is told apart, and makes nothing', async () => {
      await create(aToken('tok_1'), key());
      await unchanged(['tok_1', 'tok_2'], async () => {
        const again = await create(aToken('tok_2'), key({ body: 'b2' }));
        expect(again).toEqual({ kind: 'replayed', tokenId: 'tok_1', sameBody: false });
      });
    });

    test('a key is free again when its time is over', async () => {
      await create(aToken('tok_1'), key());
      store.clock.advance(999);
      expect((await create(aToken('tok_2'), key())).kind).toBe('replayed');
      store.clock.advance(1);
      expect((await create(aToken('tok_2'), key())).kind).toBe('done');
      expect(await create(aToken('tok_3'), key())).toMatchObject({ kind: 'replayed', tokenId: 'tok_2' });
    });

    test('a creation that was refused leaves its key free', async () => {
      await create(aToken('tok_1'));
      expect((await create(aToken('tok_1', { digest: 'other' }), key())).kind).toBe('id_exists');
      expect((await create(aToken('tok_2'), key())).kind).toBe('done');
    });

    test('of creations with one key at once, one is done and the others are told of it', async () => {
      const outcomes = await Promise.all(Array.from({ length: 10 }, (_, i) => create(aToken(`tok_${i}`), key())));
      expect(outcomes.map(outcome => outcome.kind).sort()).toEqual(['done', ...Array(9).fill('replayed')]);
    });
  });

  describe(`${name}: replacing tokens`, () => {
    const replace = (token: StoredToken, expected: number) =>
      store.tokens.replaceToken(token, expected, anAudit('update'));

    test('a token is replaced when its version is the expected one, else nothing changes', async () => {
      const token = aToken('tok_1');
      await create(token);
      const next = changed(token, { name: 'renamed', state: 'disabled', tags: ['new'] });
      expect((await replace(next, 1)).kind).toBe('done');
      await unchanged(['tok_1', 'tok_2'], async () => {
        expect(await replace(changed(token, { name: 'late' }), 1)).toEqual({ kind: 'stale' });
        expect(await replace(aToken('tok_2'), 1)).toEqual({ kind: 'stale' });
      });
      expect(await store.tokens.getToken('tok_1')).toEqual({ token: next, account: null });
    });

    test('of many replacements of one version at once, exactly one is done', async () => {
      const token = aToken('tok_1');
      await create(token);
      const tries = Array.from({ length: 20 }, (_, i) => replace(changed(token, { name: `${i}` }), 1));
      const kinds = (await Promise.all(tries)).map(outcome => outcome.kind);
      expect(kinds.filter(kind => kind === 'done')).toHaveLength(1);
      expect(kinds.filter(kind => kind === 'stale')).toHaveLength(19);
    });

    test("another token's digest cannot be taken", async () => {
      await create(aToken('tok_1', { digest: 'd1', previous: { digest: 'd0', until: store.clock.wall() + 1 } }));
      const token = aToken('tok_2');
      await create(token);
      await unchanged(['tok_1', 'tok_2'], async () => {
        expect(await replace(changed(token, { digest: 'd1' }), 1)).toEqual({ kind: 'digest_exists' });
        expect(await replace(changed(token, { digest: 'd0' }), 1)).toEqual({ kind: 'digest_exists' });
      });
    });

    test("a token does not leave an owner's mark behind by changing owners", async () => {
      await createAccount('acme');
      await createAccount('other');
      const token = aToken('tok_1', { owner: 'acme' });
      await create(token);
      const marked = changed(anAccount('acme'), { revokedBefore: token.createdAt });
      await store.tokens.putAccount(marked, 1, anAudit('revoke_tokens'));
      await unchanged(['tok_1'], async () => {
        expect(await replace(changed(token, { owner: 'other' }), 1)).toEqual({ kind: 'stale' });
        expect(await replace(changed(token, { owner: null }), 1)).toEqual({ kind: 'stale' });
      });
      expect((await replace(changed(token, { state: 'disabled' }), 1)).kind).toBe('done');
    });

    test('a new owner has to exist; an owner that has gone can be kept', async () => {
      await createAccount('acme');
      const token = aToken('tok_1', { owner: 'acme' });
      await create(token);
      expect(await replace(changed(token, { owner: 'nobody' }), 1)).toEqual({ kind: 'no_owner' });
      await store.tokens.putAccount(changed(anAccount('acme'), { deleted: true }), 1, anAudit('delete'));
      expect((await replace(changed(token, { state: 'revoked' }), 1)).kind).toBe('done');
    });

    test('a previous digest leads to the token until its end, and not from then on', async () => {
      const token = aToken('tok_1', { digest: 'd1' });
      await create(token);
      const until = store.clock.wall() + 1000;
      await replace(changed(token, { digest: 'd2', previous: { digest: 'd1', until } }), 1);
      store.clock.advance(999);
      expect(await store.tokens.find(['d1'])).toMatchObject({ token: { id: 'tok_1', previous: { until } } });
      store.clock.advance(1);
      expect(await store.tokens.find(['d1'])).toBeNull();
      expect(await store.tokens.find(['d1', 'd2'])).toMatchObject({ index: 1, token: { id: 'tok_1' } });
    });

    test('a digest that was replaced leads nowhere, and another token can have it', async () => {
      const token = aToken('tok_1', { digest: 'd1' });
      await create(token);
      await replace(changed(token, { digest: 'd2' }), 1);
      expect(await store.tokens.find(['d1'])).toBeNull();
      expect((await create(aToken('tok_2', { digest: 'd1' }))).kind).toBe('done');
    });

    test('a token can go back to the digest before', async () => {
      const token = aToken('tok_1', { digest: 'd1' });
      const until = store.clock.wall() + 1000;
      const rotated = changed(token, { digest: 'd2', previous: { digest: 'd1', until } });
      await create(token);
      await replace(rotated, 1);
      expect((await replace(changed(rotated, { digest: 'd1', previous: { digest: 'd2', until } }), 2)).kind).toBe(
        'done',
      );
      store.clock.advance(1000);
      expect(await store.tokens.find(['d1'])).toMatchObject({ token: { id: 'tok_1' } });
      expect(await store.tokens.find(['d2'])).toBeNull();
    });
  });

  describe(`${name}: moving a token to another pepper's digest`, () => {
    const until = Date.UTC(2031, 0, 1);
    const token = aToken('tok_1', { digest: 'd1', previous: { digest: 'd0', until } });

    test('the digest is moved, current or previous; version, feed and audit trail stay', async () => {
      await create(token);
      const before = [await store.feed.head(), await audit('tok_1')];
      await store.tokens.rekey('tok_1', 'd1', 'e1');
      await store.tokens.rekey('tok_1', 'd0', 'e0');
      expect([await store.feed.head(), await audit('tok_1')]).toEqual(before);
      const moved = { ...token, digest: 'e1', previous: { digest: 'e0', until } };
      expect(await store.tokens.getToken('tok_1')).toEqual({ token: moved, account: null });
      expect(await store.tokens.find(['d0', 'd1'])).toBeNull();
      expect(await store.tokens.find(['e1'])).toMatchObject({ token: { id: 'tok_1' } });
      expect(await store.tokens.find(['e0'])).toMatchObject({ token: { id: 'tok_1' } });
      store.clock.advance(until - store.clock.wall());
      expect(await store.tokens.find(['e0'])).toBeNull();
    });

    test('a digest that the token has not, or that is taken, is not moved', async () => {
      await create(token);
      await create(aToken('tok_2', { digest: 'd2' }));
      await unchanged(['tok_1', 'tok_2'], async () => {
        await store.tokens.rekey('tok_1', 'd2', 'e2');
        await store.tokens.rekey('tok_1', 'd1', 'd2');
        await store.tokens.rekey('nothing', 'd1', 'e1');
      });
      expect(await store.tokens.find(['d2'])).toMatchObject({ token: { id: 'tok_2' } });
    });
  });

  describe(`${name}: accounts`, () => {
    test('an account is created once, and replaced when its version is the expected one', async () => {
      expect((await createAccount('acme')).kind).toBe('done');
      expect(await createAccount('acme')).toEqual({ kind: 'stale' });
      const next = changed(anAccount('acme'), { name: 'renamed', enabled: false });
      expect((await store.tokens.putAccount(next, 1, anAudit('update'))).kind).toBe('done');
      expect(await store.tokens.putAccount(next, 1, anAudit('update'))).toEqual({ kind: 'stale' });
      expect(await store.tokens.putAccount(anAccount('other'), 1, anAudit('update'))).toEqual({ kind: 'stale' });
      expect(await store.tokens.getAccount('acme')).toEqual(next);
      expect(await store.tokens.getAccount('other')).toBeNull();
      expect((await audit('acme', 'account')).items.map(event => event.action)).toEqual(['create', 'update']);
    });

    test("tokens come with their owner's account as it is now, when it was deleted too", async () => {
      await createAccount('acme');
      await create(aToken('tok_1', { owner: 'acme' }));
      const tombstone = changed(anAccount('acme'), { deleted: true, revokedBefore: made });
      await store.tokens.putAccount(tombstone, 1, anAudit('delete'));
      expect(await store.tokens.find(['digest-of-tok_1'])).toMatchObject({ account: tombstone });
      expect(await store.tokens.getToken('tok_1')).toMatchObject({ account: tombstone });
      const page = await store.tokens.listTokens({ limit: 10, after: null, state: 'revoked' });
      expect(page.items).toMatchObject([{ token: { id: 'tok_1' }, account: tombstone }]);
    });

    test('accounts are listed in the order of their creation, without those that were deleted', async () => {
      for (const id of ['c', 'a', 'd', 'b']) await createAccount(id);
      await store.tokens.putAccount(changed(anAccount('a'), { deleted: true }), 1, anAudit('delete'));
      await store.tokens.putAccount(changed(anAccount('c'), { name: 'renamed' }), 1, anAudit('update'));
      const first = await store.tokens.listAccounts({ limit: 2, after: null });
      expect(first.items.map(account => account.id)).toEqual(['c', 'd']);
      const second = await store.tokens.listAccounts({ limit: 2, after: first.next });
      expect(second.items.map(account => account.id)).toEqual(['b']);
      expect(second.next).toBeNull();
      expect(await store.tokens.getAccount('a')).toMatchObject({ deleted: true });
    });

    test("live tokens of an owner are those that neither are revoked nor stand under the account's mark", async () => {
      await createAccount('acme');
      await createAccount('other');
      await create(aToken('old', { owner: 'acme', createdAt: made }));
      await create(aToken('new', { owner: 'acme', createdAt: made + 1 }));
      await create(aToken('disabled', { owner: 'acme', createdAt: made + 1, state: 'disabled' }));
      await create(aToken('revoked', { owner: 'acme', createdAt: made + 1, state: 'revoked' }));
      await create(aToken('elsewhere', { owner: 'other' }));
      expect(await store.tokens.countLive('acme')).toBe(3);
      await store.tokens.putAccount(changed(anAccount('acme'), { revokedBefore: made }), 1, anAudit('revoke'));
      expect(await store.tokens.countLive('acme')).toBe(2);
      expect(await store.tokens.countLive('nobody')).toBe(0);
    });
  });

  describe(`${name}: the audit trail`, () => {
    test('every mutation leaves one event, oldest first, in pages; nobody else’s', async () => {
      const token = aToken('same');
      const changes = { name: { from: 'a', to: { deep: [1] } } };
      await store.tokens.createToken(token, anAudit('create', { at: made + 1, changes }), null);
      await createAccount('same');
      for (let version = 1; version < 5; version++) {
        const next = changed(token, { version: version + 1, name: `${version}` });
        await store.tokens.replaceToken(next, version, anAudit(`update ${version}`));
      }
      const query = { kind: 'token', id: 'same', limit: 3 } as const;
      const first = await store.tokens.listEvents({ ...query, after: null });
      const second = await store.tokens.listEvents({ ...query, after: first.next });
      expect(first.items[0]).toMatchObject({ at: made + 1, actor: 'ops', address: '192.0.2.1', changes });
      expect([...first.items, ...second.items].map(event => event.action)).toEqual([
        'create',
        'update 1',
        'update 2',
        'update 3',
        'update 4',
      ]);
      expect(second.next).toBeNull();
    });
  });

  describe(`${name}: checksum keys of peppers`, () => {
    const one = { id: 'p1', key: 'aa' };
    const two = { id: 'p2', key: 'bb' };
    test('are kept for good, whatever peppers are left, and answered with those that are added', async () => {
      expect(await store.keepChecksumKeys([])).toEqual({ kind: 'kept', keys: [] });
      expect(await store.keepChecksumKeys([one])).toEqual({ kind: 'kept', keys: ['aa'] });
      expect(await store.keepChecksumKeys([two])).toEqual({ kind: 'kept', keys: ['aa', 'bb'] });
      store = await store.reopen();
      expect(await store.keepChecksumKeys([])).toEqual({ kind: 'kept', keys: ['aa', 'bb'] });
      expect(await store.keepChecksumKeys([one, two])).toEqual({ kind: 'kept', keys: ['aa', 'bb'] });
    });
    test('do not change under an id; nothing is kept of what says so', async () => {
      await store.keepChecksumKeys([one]);
      const changed = [two, { id: 'p1', key: 'cc' }];
      expect(await store.keepChecksumKeys(changed)).toEqual({ kind: 'changed', id: 'p1' });
      expect(await store.keepChecksumKeys([])).toEqual({ kind: 'kept', keys: ['aa'] });
    });
  });

  describe(`${name}: what was answered stays`, () => {
    test('tokens, accounts, audit trail and idempotency keys are there when the store is opened again', async () => {
      await createAccount('acme');
      const token = aToken('tok_1', { owner: 'acme', digest: 'd1' });
      const key = { key: 'k', body: 'b', expiresAt: store.clock.wall() + 1000 };
      await create(token, key);
      const { identity } = store;
      store = await store.reopen();
      expect(store.identity).toBe(identity);
      expect(await store.tokens.find(['d1'])).toEqual({ token, account: anAccount('acme'), roles: [], index: 0 });
      expect(await create(aToken('tok_2'), key)).toMatchObject({ kind: 'replayed', tokenId: 'tok_1' });
      expect((await audit('tok_1')).items).toHaveLength(1);
      expect(await create(token)).toEqual({ kind: 'id_exists' });
    });
  });
}
