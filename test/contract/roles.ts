import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { mostRoles, type Role } from '../../src/core/token.ts';
import { anAccount, anAudit, aRole, aToken, changed, made, type OpenStore, type TestedStore } from './harness.ts';

/** What every adapter of the TokenStore port guarantees of roles. */
/** A suite of its own, or its hooks would open a store for every test of the other contracts as well. */
export function rolesContract(name: string, open: OpenStore): void {
  describe(name, () => suite(name, open));
}

function suite(name: string, open: OpenStore): void {
  let store: TestedStore;
  beforeEach(async () => {
    store = await open();
  });
  afterEach(() => store.dispose());

  const put = (role: Role, expected = role.version - 1) => store.tokens.putRole(role, expected, anAudit('put'));
  const make = async (...ids: string[]) => {
    for (const id of ids) await put(aRole(id));
  };
  const putAccount = (id: string, roles: readonly string[], more = {}) => {
    const account = anAccount(id, { roles, ...more });
    return store.tokens.putAccount(account, account.version - 1, anAudit('put'));
  };
  const order = async () => (await store.tokens.listRoles()).map(({ id }) => id);
  const rolesOf = async (id: string) => (await store.tokens.getOwner(id))?.roles.map(role => role.id);
  const audit = async (id: string) =>
    (await store.tokens.listEvents({ kind: 'role', id, limit: 100, after: null })).items;
  /** Runs something that must leave roles, their order, the feed and the audit trail as they are. */
  const unchanged = async (ids: readonly string[], act: () => Promise<unknown>) => {
    const look = async () => [
      await store.feed.head(),
      await store.tokens.listRoles(),
      ...(await Promise.all(ids.flatMap(id => [store.tokens.getRole(id), audit(id)]))),
    ];
    const before = await look();
    await act();
    expect(await look()).toEqual(before);
  };

  describe(`${name}: roles`, () => {
    test('a role is made once, reads back whole, and is replaced when its version is the expected one', async () => {
      const grants = [{ resources: ['a/*', '*'], actions: { 'b.c': true, 'a.*': false, 'a.b': true } }];
      const role = aRole('ops', { name: 'Ünïcode 🔑\n"quoted"', permissions: grants });
      expect((await put(role)).kind).toBe('done');
      const read = (await store.tokens.getRole('ops'))!;
      expect(read).toEqual(role);
      expect(Object.keys((read.permissions as typeof grants)[0]!.actions)).toEqual(['b.c', 'a.*', 'a.b']);
      const next = changed(role, { permissions: [] });
      await unchanged(['ops', 'other'], async () => {
        expect(await put(role)).toEqual({ kind: 'stale' });
        expect(await put(next, 2)).toEqual({ kind: 'stale' });
        expect(await put(aRole('other'), 1)).toEqual({ kind: 'stale' });
      });
      expect((await put(next)).kind).toBe('done');
      expect(await store.tokens.getRole('ops')).toEqual(next);
      expect(await store.tokens.listRoles()).toEqual([next]);
      expect(await store.tokens.getRole('other')).toBeNull();
    });

    test('of many makings of one role at once, exactly one is done', async () => {
      const kinds = (await Promise.all(Array.from({ length: 20 }, () => put(aRole('ops'))))).map(({ kind }) => kind);
      expect(kinds.sort()).toEqual(['done', ...Array(19).fill('stale')]);
      expect(await audit('ops')).toHaveLength(1);
    });

    test('every mutation leaves one event of the audit trail, that of the order under its name', async () => {
      await make('a', 'b');
      await put(changed(aRole('a'), { name: 'renamed' }));
      const changes = { roles: { from: ['a', 'b'], to: ['b', 'a'] } };
      await store.tokens.orderRoles(['b', 'a'], anAudit('order', { changes }));
      expect((await audit('a')).map(({ action }) => action)).toEqual(['put', 'put']);
      expect(await audit('b')).toHaveLength(1);
      expect(await audit('order')).toMatchObject([{ action: 'order', changes, actor: 'ops' }]);
    });

    test('new ones stand at the end of the order, one that was deleted and made again, too', async () => {
      await make('a', 'b', 'c');
      await put(changed(aRole('b'), { deleted: true }));
      expect(await order()).toEqual(['a', 'c']);
      expect(await store.tokens.getRole('b')).toMatchObject({ deleted: true, version: 2 });
      await unchanged(['b'], async () => {
        expect(await put(aRole('b'))).toEqual({ kind: 'stale' });
        expect(await put(aRole('b', { version: 2 }))).toEqual({ kind: 'stale' });
      });
      expect((await put(aRole('b', { version: 3 }))).kind).toBe('done');
      expect(await order()).toEqual(['a', 'c', 'b']);
      await put(aRole('a', { version: 2, name: 'renamed' }));
      await make('d');
      expect(await order()).toEqual(['a', 'c', 'b', 'd']);
    });

    test('are put in order when all of them are named, once each; else nothing changes', async () => {
      await make('a', 'b', 'c', 'gone');
      await put(changed(aRole('gone'), { deleted: true }));
      const stale = { kind: 'stale', ids: ['a', 'b', 'c'] };
      await unchanged(['a', 'order'], async () => {
        for (const ids of [
          [],
          ['a', 'b'],
          ['a', 'b', 'b'],
          ['a', 'b', 'c', 'c'],
          ['a', 'b', 'd'],
          ['a', 'b', 'c', 'gone'],
          ['a', 'b', 'c', 'order'],
        ]) {
          expect(await store.tokens.orderRoles(ids, anAudit('order'))).toEqual(stale);
        }
      });
      expect((await store.tokens.orderRoles(['c', 'a', 'b'], anAudit('order'))).kind).toBe('done');
      expect(await order()).toEqual(['c', 'a', 'b']);
      await make('d');
      expect(await order()).toEqual(['c', 'a', 'b', 'd']);
    });

    test('of which there are none can be put in order', async () => {
      expect((await store.tokens.orderRoles([], anAudit('order'))).kind).toBe('done');
      expect(await store.tokens.orderRoles(['a'], anAudit('order'))).toEqual({ kind: 'stale', ids: [] });
    });

    test('are not more than there may be; what is there can still be changed', async () => {
      const ids = Array.from({ length: mostRoles }, (_, i) => `r${i}`);
      await Promise.all(ids.map(id => put(aRole(id))));
      await unchanged(['more'], async () => {
        expect(await put(aRole('more'))).toEqual({ kind: 'full' });
      });
      expect((await put(changed(aRole('r0'), { name: 'renamed' }))).kind).toBe('done');
      await put(changed(aRole('r1'), { deleted: true }));
      expect((await put(aRole('more'))).kind).toBe('done');
      expect(await put(aRole('r1', { version: 3 }))).toEqual({ kind: 'full' });
      // An account may have all of them.
      const all = await order();
      expect((await putAccount('acme', all.toReversed())).kind).toBe('done');
      expect(await rolesOf('acme')).toEqual(all);
    }, 30_000);

    test('and their order are there when the store is opened again', async () => {
      await make('a', 'b');
      await store.tokens.orderRoles(['b', 'a'], anAudit('order'));
      await putAccount('acme', ['a', 'b']);
      store = await store.reopen();
      expect(await order()).toEqual(['b', 'a']);
      expect(await rolesOf('acme')).toEqual(['b', 'a']);
    });
  });

  describe(`${name}: accounts with roles`, () => {
    test('tokens are found with the roles of their owner as they are now, in the order of all roles', async () => {
      await make('a', 'b', 'c');
      await putAccount('acme', ['c', 'a', 'c']);
      await putAccount('none', []);
      await store.tokens.createToken(aToken('t1', { owner: 'acme' }), anAudit('create'), null);
      await store.tokens.createToken(aToken('t2', { owner: 'none' }), anAudit('create'), null);
      await store.tokens.createToken(aToken('t3'), anAudit('create'), null);
      const found = async (id: string) => (await store.tokens.find([`digest-of-${id}`]))?.roles;
      expect(await found('t1')).toEqual([aRole('a'), aRole('c')]);
      expect(await found('t2')).toEqual([]);
      expect(await found('t3')).toEqual([]);
      await store.tokens.orderRoles(['c', 'b', 'a'], anAudit('order'));
      const next = changed(aRole('a'), { permissions: ['x'] });
      await put(next);
      expect(await found('t1')).toEqual([aRole('c'), next]);
      const account = anAccount('acme', { roles: ['c', 'a', 'c'] });
      expect(await store.tokens.getOwner('acme')).toEqual({ account, roles: [aRole('c'), next] });
      expect(await store.tokens.getOwner('nobody')).toBeNull();
    });

    test('an account is not given roles that are not there, and the answer names them', async () => {
      await make('a', 'gone');
      await put(changed(aRole('gone'), { deleted: true }));
      expect(await putAccount('acme', ['b', 'a', 'gone', 'b'])).toEqual({ kind: 'no_role', ids: ['b', 'gone'] });
      expect(await store.tokens.getAccount('acme')).toBeNull();
      await putAccount('acme', ['a']);
      const head = await store.feed.head();
      for (const more of [{}, { enabled: false }, { revokedBefore: made }]) {
        const outcome = await putAccount('acme', ['a', 'b'], { version: 2, ...more });
        expect(outcome).toEqual({ kind: 'no_role', ids: ['b'] });
      }
      expect(await store.feed.head()).toEqual(head);
      expect(await putAccount('acme', ['b'], { version: 5 })).toEqual({ kind: 'stale' });
    });

    test('an account with roles can be disabled, marked and deleted', async () => {
      await make('a', 'b');
      await putAccount('acme', ['a', 'b']);
      expect((await putAccount('acme', ['a', 'b'], { version: 2, enabled: false })).kind).toBe('done');
      expect((await putAccount('acme', ['a', 'b'], { version: 3, revokedBefore: made })).kind).toBe('done');
      expect(await rolesOf('acme')).toEqual(['a', 'b']);
      expect((await putAccount('acme', ['a', 'b'], { version: 4, deleted: true })).kind).toBe('done');
    });

    test('a role that accounts have is not deleted, and the answer names some; it can be when none has it', async () => {
      await make('a', 'b');
      await putAccount('one', ['a']);
      await putAccount('two', ['a', 'b']);
      const tombstone = changed(aRole('a'), { deleted: true });
      await unchanged(['a'], async () => {
        expect(await put(tombstone)).toEqual({ kind: 'held', accounts: ['one', 'two'] });
      });
      await putAccount('one', [], { version: 2 });
      expect(await put(tombstone)).toEqual({ kind: 'held', accounts: ['two'] });
      await putAccount('two', ['b', 'a'], { version: 2, enabled: false });
      expect(await put(tombstone)).toEqual({ kind: 'held', accounts: ['two'] });
      await putAccount('two', ['b', 'a'], { version: 3, deleted: true });
      expect((await put(tombstone)).kind).toBe('done');
      expect((await put(changed(aRole('b'), { deleted: true }))).kind).toBe('done');
    });

    test('a deleted account has no role; made again it has those that are there', async () => {
      await make('a', 'b');
      await putAccount('acme', ['a', 'b']);
      await putAccount('acme', ['a', 'b'], { version: 2, deleted: true });
      expect(await rolesOf('acme')).toEqual([]);
      await put(changed(aRole('a'), { deleted: true }));
      expect(await putAccount('acme', ['a', 'b'], { version: 3 })).toEqual({ kind: 'no_role', ids: ['a'] });
      expect((await putAccount('acme', ['b'], { version: 3 })).kind).toBe('done');
      expect(await rolesOf('acme')).toEqual(['b']);
    });

    test('a role goes to an account or goes away: never both', async () => {
      for (let i = 0; i < 20; i++) {
        await make(`r${i}`);
        const [given, gone] = await Promise.all([
          putAccount(`a${i}`, [`r${i}`]),
          put(changed(aRole(`r${i}`), { deleted: true })),
        ]);
        expect(['done held', 'no_role done']).toContain(`${given.kind} ${gone.kind}`);
      }
    });
  });
}
