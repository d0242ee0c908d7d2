import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Refusal } from '../../../src/errors.ts';
import { AccountService } from '../../../src/manage/account-service.ts';
import { TokenService } from '../../../src/manage/token-service.ts';
import { type Managed, openManaged, ops } from '../../support/managed.ts';

let managed: Managed;
beforeEach(async () => {
  managed = await openManaged();
});
afterEach(() => managed.dispose());

const code = async (call: Promise<unknown>): Promise<string> => {
  const error = await call.then(
    () => new Error('it was not refused'),
    (thrown: unknown) => thrown,
  );
  if (error instanceof Refusal) return error.problem.code;
  throw error;
};
const create = (id: string) => managed.accounts.create(ops, { id });
const token = async (owner: string) => (await managed.tokens.create(ops, { kind: 'native', owner })).token;
const stateOf = async (id: string) => (await managed.tokens.get(ops, id)).state;
const audit = async (id: string) =>
  (await managed.store.tokens.listEvents({ kind: 'account', id, limit: 100, after: null })).items;

async function unchanged<T>(id: string, act: () => Promise<T>): Promise<T> {
  const look = async () => [
    await managed.store.tokens.getAccount(id),
    await managed.store.feed.head(),
    await audit(id),
  ];
  const before = await look();
  const result = await act();
  expect(await look()).toEqual(before);
  return result;
}

describe('accounts', () => {
  test('an account is made with an id that is given, or one of ours', async () => {
    expect(await create('acme')).toMatchObject({
      id: 'acme',
      name: '',
      enabled: true,
      revokedBefore: null,
      version: 1,
    });
    const made = await managed.accounts.create(ops, { name: 'Acme', enabled: false });
    expect(made).toMatchObject({ name: 'Acme', enabled: false });
    expect(made.id).toMatch(/^acc_[0-9A-Za-z]{20}$/);
    expect(managed.applied.map(({ kind, id }) => `${kind} ${id}`)).toEqual(['account acme', `account ${made.id}`]);
    expect(await code(create('acme'))).toBe('conflict');
    expect(await code(create('a/b'))).toBe('validation_failed');
    expect(await code(managed.accounts.create(ops, { name: '\u0007' }))).toBe('validation_failed');
  });

  test('a declaration makes or replaces it, and the same again changes nothing', async () => {
    const put = (said: object) => managed.accounts.put({ actor: ops, id: 'acme' }, said);
    expect(await put({ name: 'A', enabled: false })).toMatchObject({ created: true, account: { version: 1 } });
    await unchanged('acme', () => put({ name: 'A', enabled: false }));
    expect(await put({})).toMatchObject({ created: false, account: { name: '', enabled: true, version: 2 } });
  });

  test('a patch changes what it says; null takes it back', async () => {
    await managed.accounts.create(ops, { id: 'acme', name: 'A', enabled: false });
    const patch = (said: object) => managed.accounts.patch({ actor: ops, id: 'acme' }, said);
    expect(await patch({ name: 'B' })).toMatchObject({ name: 'B', enabled: false, version: 2 });
    expect(await patch({ name: null, enabled: null })).toMatchObject({ name: '', enabled: true, version: 3 });
    await unchanged('acme', () => patch({}));
    expect(await code(managed.accounts.patch({ actor: ops, id: 'nobody' }, {}))).toBe('not_found');
    expect((await audit('acme'))[1]!.changes).toEqual({ name: { from: 'A', to: 'B' } });
  });

  test('twenty changes at once are all made', async () => {
    await create('acme');
    const flips = Array.from({ length: 20 }, (_, i) => ({ name: `n${i}` }));
    await Promise.all(flips.map(said => managed.accounts.patch({ actor: ops, id: 'acme' }, said)));
    expect((await managed.accounts.get(ops, 'acme')).version).toBe(21);
  });

  test('a condition on the version holds for every change', async () => {
    await create('acme');
    const request = { actor: ops, id: 'acme', precondition: (version: number | null) => version === 7 };
    const calls: (() => Promise<unknown>)[] = [
      () => managed.accounts.patch(request, { name: 'x' }),
      () => managed.accounts.put(request, { name: 'x' }),
      () => managed.accounts.remove(request),
      () => managed.accounts.revokeTokens(request),
    ];
    for (const call of calls) {
      expect(await code(unchanged('acme', call))).toBe('version_mismatch');
    }
    const anew = { ...request, precondition: (version: number | null) => version !== null };
    expect(await code(managed.accounts.put({ ...anew, id: 'other' }, {}))).toBe('version_mismatch');
  });
});

describe('what an account may do', () => {
  const patch = (said: Parameters<AccountService['patch']>[1], id = 'acme') =>
    managed.accounts.patch({ actor: ops, id }, said);
  const role = (id: string) => managed.roles.create(ops, { id });
  const errors = async (call: Promise<unknown>) => {
    const error = await call.then(() => null).catch((thrown: unknown) => thrown);
    return (error as Refusal | null)?.problem.errors?.map(({ pointer, detail }) => `${pointer} ${detail}`);
  };

  test('is nothing it was ever given, until it is given roles or permissions', async () => {
    expect(await create('acme')).toMatchObject({ roles: [], permissions: null, owns: null });
    await unchanged('acme', () => patch({ permissions: null, roles: null, owns: null }));
    expect(await patch({ name: 'x', owns: ['db/*'], roles: [] })).toMatchObject({ permissions: null, owns: ['db/*'] });
  });

  test.each([
    ['roles', { roles: ['r'] }, { roles: [] }],
    ['permissions', { permissions: ['a'] }, { permissions: null }],
    ['an empty list of permissions', { permissions: [] }, { permissions: null }],
    ['an empty map of permissions', { permissions: {} }, { permissions: null }],
  ] as const)('once it was given %s it is bound for good', async (_what, given, taken) => {
    await role('r');
    const bound = (account: object) => expect(account).toMatchObject({ roles: [], permissions: [] });
    for (const [id, give] of [
      ['made', () => managed.accounts.create(ops, { id: 'made', ...given })],
      ['put', () => managed.accounts.put({ actor: ops, id: 'put' }, given)],
      ['patched', async () => (await create('patched')) && patch(given, 'patched')],
      [
        'put-again',
        async () => (await create('put-again')) && managed.accounts.put({ actor: ops, id: 'put-again' }, given),
      ],
    ] as const) {
      await give();
      expect((await managed.accounts.get(ops, id)).permissions, id).not.toBeNull();
      bound(await patch(taken, id));
      bound(await patch({ roles: null, permissions: null }, id));
      bound((await managed.accounts.put({ actor: ops, id }, {})).account);
      await managed.accounts.revokeTokens({ actor: ops, id });
      bound(await managed.accounts.get(ops, id));
    }
  });

  test('an account that is made again begins anew, without the roles that it had', async () => {
    await role('r');
    await managed.accounts.create(ops, { id: 'acme', roles: ['r'], permissions: ['a'], owns: ['x'] });
    await managed.accounts.remove({ actor: ops, id: 'acme' });
    await managed.roles.remove({ actor: ops, id: 'r' });
    await unchanged('acme', () => managed.accounts.remove({ actor: ops, id: 'acme' }));
    expect(await create('acme')).toMatchObject({ roles: [], permissions: null, owns: null });
  });

  test('roles exist, and stand once', async () => {
    await role('a');
    await role('gone');
    await managed.roles.remove({ actor: ops, id: 'gone' });
    await create('acme');
    const said = { roles: ['a', 'b', 'a', 'gone'] };
    const places = ['/roles/1 does not exist', '/roles/3 does not exist'];
    expect(await errors(patch({ roles: ['a', 'b', 'gone'] }))).toEqual([
      '/roles/1 does not exist',
      '/roles/2 does not exist',
    ]);
    for (const call of [
      () => managed.accounts.create(ops, { id: 'new', ...said }),
      () => managed.accounts.put({ actor: ops, id: 'new' }, said),
      () => patch(said),
    ]) {
      expect(await errors(call())).toEqual(['/roles/2 stands twice', ...places]);
    }
    expect(await code(managed.accounts.get(ops, 'new'))).toBe('not_found');
    const many = Array.from({ length: 501 }, (_, i) => `r${i}`);
    expect((await errors(patch({ roles: many })))![0]).toBe('/roles has more than 500 roles');
  });

  test('grants and what it owns are held against their rules, all at once', async () => {
    const said = {
      name: '\u0007',
      permissions: [{ resources: ['/'], actions: { '': true } }],
      owns: ['a//b', 'ok', '*x'],
    };
    const places = (await errors(managed.accounts.create(ops, { id: 'acme', ...said })))!.map(
      line => line.split(' ')[0],
    );
    expect(places).toEqual(['/name', '/permissions/0/resources/0', '/permissions/0/actions/', '/owns/0', '/owns/2']);
  });

  test('a patch merges a map into a map, and replaces everything else', async () => {
    await managed.accounts.create(ops, { id: 'acme', permissions: { a: true, b: true } });
    expect((await patch({ permissions: { a: null, c: false } })).permissions).toEqual({ b: true, c: false });
    const grants = [{ resources: ['x'], actions: { a: true } }];
    expect((await patch({ permissions: grants })).permissions).toEqual(grants);
    expect((await patch({ permissions: { d: true, e: null } })).permissions).toEqual({ d: true });
    await create('other');
    expect((await patch({ permissions: { d: true, e: null } }, 'other')).permissions).toEqual({ d: true });
  });

  test('every change is in the audit trail', async () => {
    await role('a');
    await managed.accounts.create(ops, { id: 'acme' });
    await patch({ roles: ['a'], owns: ['db/*'] });
    await patch({ permissions: ['x'], owns: null });
    expect((await audit('acme')).map(({ changes }) => changes).slice(1)).toEqual([
      { roles: { from: [], to: ['a'] }, permissions: { from: null, to: [] }, owns: { from: null, to: ['db/*'] } },
      { permissions: { from: [], to: ['x'] }, owns: { from: ['db/*'], to: null } },
    ]);
  });
});

describe('revoking the tokens of an owner', () => {
  const revoke = (id = 'acme') => managed.accounts.revokeTokens({ actor: ops, id });

  test('one mark revokes all that there are, and none of anybody else', async () => {
    await create('acme');
    await create('other');
    const mine = [await token('acme'), await token('acme')];
    const theirs = await token('other');
    await managed.tokens.revoke({ actor: ops, id: mine[1]!.id });
    managed.applied.length = 0;
    expect(await revoke()).toEqual({
      owner: 'acme',
      revoked: 1,
      revokedBefore: managed.clock.wall(),
      acknowledged: ['p1'],
      pending: [],
      complete: true,
    });
    expect(managed.applied.map(({ kind, id }) => `${kind} ${id}`)).toEqual(['account acme']);
    expect([await stateOf(mine[0]!.id), await stateOf(mine[1]!.id)]).toEqual(['revoked', 'revoked']);
    expect(await stateOf(theirs.id)).toBe('enabled');
    expect(await code(revoke('nobody'))).toBe('not_found');
  });

  test('again, with nothing made since, it changes nothing', async () => {
    await create('acme');
    await token('acme');
    const first = await revoke();
    managed.clock.advance(1000);
    expect(await unchanged('acme', () => revoke())).toEqual({ ...first, revoked: 0 });
  });

  test('tokens made within one millisecond of several marks are revoked by the mark that follows them', async () => {
    await create('acme');
    for (let round = 0; round < 3; round++) {
      const { id } = await token('acme');
      expect(await stateOf(id)).toBe('enabled');
      expect((await revoke()).revoked).toBe(1);
      expect(await stateOf(id)).toBe('revoked');
    }
  });

  test('tokens that a clock ahead of ours has made are revoked too', async () => {
    await create('acme');
    const ahead = { ...managed.parts, clock: { wall: () => managed.clock.wall() + 60_000, monotonic: () => 0 } };
    const { token: early } = await new TokenService(ahead).create(ops, { kind: 'native', owner: 'acme' });
    await revoke();
    expect(await stateOf(early.id)).toBe('revoked');
    const next = await token('acme');
    expect(await stateOf(next.id)).toBe('enabled');
  });

  test('a token that is made at the same time lives or is revoked, and is counted on the next time', async () => {
    await create('acme');
    const making = Array.from({ length: 10 }, () => token('acme'));
    await revoke();
    const states = await Promise.all((await Promise.all(making)).map(({ id }) => stateOf(id)));
    const live = states.filter(state => state === 'enabled').length;
    expect((await revoke()).revoked).toBe(live);
  });
});

describe('deleting accounts', () => {
  const remove = (id = 'acme') => managed.accounts.remove({ actor: ops, id });

  test('all its tokens stop, it is gone, and deleting it again changes nothing', async () => {
    await create('acme');
    const { id } = await token('acme');
    const done = await remove();
    expect(done).toMatchObject({ account: { id: 'acme', deleted: true }, acknowledged: ['p1'], pending: [] });
    expect(await stateOf(id)).toBe('revoked');
    expect(await code(managed.accounts.get(ops, 'acme'))).toBe('not_found');
    expect(await code(managed.accounts.patch({ actor: ops, id: 'acme' }, {}))).toBe('not_found');
    expect((await managed.accounts.list(ops, { limit: 10, after: null })).items).toEqual([]);
    expect(await unchanged('acme', () => remove())).toEqual(done);
    expect(await code(remove('nobody'))).toBe('not_found');
  });

  test.each(['POST', 'PUT'] as const)(
    'made again with %s, it keeps its mark: what was revoked stays revoked',
    async how => {
      await create('acme');
      const { id } = await token('acme');
      const { account: gone } = await remove();
      const made =
        how === 'POST'
          ? await create('acme')
          : (await managed.accounts.put({ actor: ops, id: 'acme' }, { name: '' })).account;
      expect(made).toMatchObject({ deleted: false, revokedBefore: gone.revokedBefore, version: gone.version + 1 });
      expect(await stateOf(id)).toBe('revoked');
      expect(await stateOf((await token('acme')).id)).toBe('enabled');
    },
  );

  test('tokens that a clock ahead of ours has made stay revoked when the account is made again', async () => {
    await create('acme');
    const ahead = { ...managed.parts, clock: { wall: () => managed.clock.wall() + 60_000, monotonic: () => 0 } };
    const { token: early } = await new TokenService(ahead).create(ops, { kind: 'native', owner: 'acme' });
    await remove();
    await create('acme');
    expect(await stateOf(early.id)).toBe('revoked');
  });

  test('a clock that steps back makes marks no younger', async () => {
    await create('acme');
    await token('acme');
    const { revokedBefore } = await managed.accounts.revokeTokens({ actor: ops, id: 'acme' });
    const behind = { ...managed.parts, clock: { wall: () => managed.clock.wall() - 60_000, monotonic: () => 0 } };
    const { account } = await new AccountService(behind).remove({ actor: ops, id: 'acme' });
    expect(account.revokedBefore).toBeGreaterThan(revokedBefore);
  });
});
