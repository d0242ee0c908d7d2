import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Admin, openAdmin, pointersOf, type Reply } from './harness.ts';

/** Accounts, roles and permissions on the wire. */

let admin: Admin;
beforeEach(async () => {
  admin = await openAdmin();
});
afterEach(() => admin.dispose());

const ask = (method: string, path: string, json?: unknown): Promise<Reply> =>
  admin.ask(method, path, json === undefined ? {} : { json });
const role = (id: string, permissions: unknown = []) => ask('POST', '/v1/roles', { id, permissions });
const grants = [
  { resources: ['db/sales', 'db/*'], actions: { 'db.*': true, 'db.drop': false } },
  { resources: ['*'], actions: { 'db.list': true } },
];

describe('roles', () => {
  test('a role has these members, always, and no other', async () => {
    const { status, json, fields } = await ask('POST', '/v1/roles', { id: 'viewer', name: 'V', permissions: grants });
    const at = new Date(admin.managed.clock.wall()).toISOString();
    expect([status, fields.etag, fields.location]).toEqual([201, '"1"', '/v1/roles/viewer']);
    const viewer = {
      id: 'viewer',
      name: 'V',
      permissions: grants,
      position: 0,
      created_at: at,
      updated_at: at,
      version: 1,
    };
    expect(json).toEqual(viewer);
    expect((await ask('GET', '/v1/roles/viewer')).json).toEqual(viewer);
    expect((await ask('GET', '/v1/roles')).json).toEqual({ roles: [viewer], next_cursor: null });
    expect((await ask('POST', '/v1/roles', {})).json['id']).toMatch(/^role_[0-9A-Za-z]{20}$/);
    expect((await role('viewer')).status).toBe(409);
  });

  test('they are declared, patched, deleted, and deleted again', async () => {
    expect((await ask('PUT', '/v1/roles/a', { permissions: { x: true, y: true } })).status).toBe(201);
    expect((await ask('PATCH', '/v1/roles/a', { name: 'A', permissions: { x: null } })).json).toMatchObject({
      name: 'A',
      permissions: { y: true },
      version: 2,
    });
    expect((await ask('PUT', '/v1/roles/a', {})).json).toMatchObject({ name: '', permissions: [], version: 3 });
    for (const method of ['PUT', 'PATCH', 'DELETE']) {
      const stale = await admin.ask(method, '/v1/roles/a', {
        ...(method === 'DELETE' ? {} : { json: {} }),
        fields: { 'if-match': '"2"' },
      });
      expect([stale.status, stale.json['code']]).toEqual([412, 'version_mismatch']);
    }
    const gone = await ask('DELETE', '/v1/roles/a');
    expect([gone.status, gone.json['position']]).toEqual([200, null]);
    expect((await ask('DELETE', '/v1/roles/a')).json).toEqual(gone.json);
    for (const method of ['GET', 'HEAD']) expect((await ask(method, '/v1/roles/a')).status).toBe(404);
    expect((await ask('DELETE', '/v1/roles/b')).status).toBe(404);
    expect((await ask('PATCH', '/v1/roles/a', {})).status).toBe(404);
  });

  test('one that accounts have is kept, and they are named', async () => {
    await role('a');
    await ask('POST', '/v1/accounts', { id: 'acme', roles: ['a'] });
    const { status, json } = await ask('DELETE', '/v1/roles/a');
    expect([status, json['code'], json['detail']]).toEqual([409, 'conflict', expect.stringContaining('acme')]);
    await ask('DELETE', '/v1/accounts/acme');
    expect((await ask('DELETE', '/v1/roles/a')).status).toBe(200);
  });

  test('what is ours, unknown or wrong is refused with its place; "order" is no role', async () => {
    const json = {
      id: 'order',
      position: 1,
      created_at: 'x',
      version: 2,
      limits: [],
      actions: {},
      permissions: 'inherit',
    };
    const reply = await ask('POST', '/v1/roles', json);
    expect([reply.status, reply.json['code']]).toEqual([422, 'validation_failed']);
    expect(pointersOf(reply).toSorted()).toEqual(
      Object.keys(json)
        .map(name => `/${name}`)
        .toSorted(),
    );
    expect(pointersOf(await ask('PUT', '/v1/roles/a', { id: 'a' }))).toEqual(['/id']);
    for (const method of ['GET', 'PUT', 'DELETE']) {
      const other = await ask(method, '/v1/roles/order', method === 'PUT' ? {} : undefined);
      expect([other.status, other.fields.allow]).toEqual([405, 'PATCH']);
    }
    expect((await ask('GET', '/v1/roles')).json['roles']).toEqual([]);
  });

  test('the order is a list, bare or as a member, that names every role once; what it does not is listed', async () => {
    for (const id of ['a', 'b', 'c']) await role(id);
    const order = (json: unknown) => ask('PATCH', '/v1/roles/order', json);
    const idsOf = ({ json }: Reply) => (json['roles'] as unknown as { id: string }[]).map(({ id }) => id);
    const done = await order({ order: ['c', 'a', 'b'] });
    expect([done.status, idsOf(done), done.json['next_cursor']]).toEqual([200, ['c', 'a', 'b'], null]);
    expect(idsOf(await order(['b', 'c', 'a']))).toEqual(['b', 'c', 'a']);
    const bad = await order({ order: ['c', 'x', 'c'] });
    expect([bad.status, bad.json['errors']]).toEqual([
      422,
      [
        { pointer: '/order/1', detail: 'is no role' },
        { pointer: '/order/2', detail: 'names "c" again' },
        { pointer: '/order', detail: 'does not name b, a' },
      ],
    ]);
    expect(pointersOf(await order(['c', 'x', 'c']))).toEqual(['/1', '/2', '']);
    for (const [json, pointers] of [
      [{}, ['/order']],
      [{ order: 'a' }, ['/order']],
      [{ order: ['a', 7, '/'] }, ['/order/1', '/order/2']],
      [{ order: ['a', 'b', 'c'], also: 1 }, ['/also']],
      ['a', ['']],
      [['a', null], ['/1']],
    ] as const) {
      const reply = await order(json);
      expect([reply.status, pointersOf(reply)], JSON.stringify(json)).toEqual([422, pointers]);
    }
    expect(idsOf(await ask('GET', '/v1/roles'))).toEqual(['b', 'c', 'a']);
    const merge = { body: '["a","b","c"]', fields: { 'content-type': 'application/merge-patch+json' } };
    expect(idsOf(await admin.ask('PATCH', '/v1/roles/order', merge))).toEqual(['a', 'b', 'c']);
  });

  test('a position is never answered as it was before the order changed', async () => {
    for (const id of ['a', 'b']) await role(id);
    const { fields } = await ask('GET', '/v1/roles/a');
    await ask('PATCH', '/v1/roles/order', ['b', 'a']);
    const again = await admin.ask('GET', '/v1/roles/a', { fields: { 'if-none-match': fields.etag! } });
    expect([again.status, again.json['position']]).toEqual([200, 1]);
  });
});

describe('accounts', () => {
  test('show their roles, permissions and what they own, and take what they show', async () => {
    await role('a');
    await role('b');
    const made = await ask('POST', '/v1/accounts', { id: 'acme' });
    expect(made.json).toMatchObject({ roles: [], permissions: null, owns: null });
    const said = { name: 'x', enabled: false, roles: ['b', 'a'], permissions: grants, owns: ['db/*', 'x'] };
    expect((await ask('PUT', '/v1/accounts/acme', said)).json).toMatchObject(said);
    expect((await ask('GET', '/v1/accounts/acme')).json).toMatchObject(said);
    const { name, enabled, roles, permissions, owns } = (await ask('POST', '/v1/accounts', { id: 'new' })).json;
    const again = await ask('PUT', '/v1/accounts/new', { name, enabled, roles, permissions, owns });
    expect([again.status, again.json['version']]).toEqual([200, 1]);
    const listed = (await ask('GET', '/v1/accounts')).json['accounts'] as unknown as object[];
    expect(listed).toMatchObject([
      { id: 'acme', ...said },
      { id: 'new', permissions: null },
    ]);
  });

  test('stay bound once they had roles or permissions', async () => {
    await ask('POST', '/v1/accounts', { id: 'acme', permissions: { a: true } });
    expect((await ask('PATCH', '/v1/accounts/acme', { permissions: null })).json['permissions']).toEqual([]);
    expect((await ask('PUT', '/v1/accounts/acme', { permissions: null })).json['permissions']).toEqual([]);
  });

  test('unknown and repeated roles, other forms and inherit are refused with their places', async () => {
    await role('a');
    for (const [json, pointers] of [
      [{ roles: ['a', 'x'] }, ['/roles/1']],
      [{ roles: ['a', 'a', 'y'] }, ['/roles/1', '/roles/2']],
      [{ roles: 'a' }, ['/roles']],
      [{ roles: ['/', 1] }, ['/roles/0', '/roles/1']],
      [{ permissions: 'inherit' }, ['/permissions']],
      [
        { permissions: [{ resources: ['a'], actions: { b: true }, role: 1 }, 'x'] },
        ['/permissions/0/role', '/permissions/1'],
      ],
      [{ owns: ['a', ''] }, ['/owns/1']],
      [{ owns: 'a' }, ['/owns']],
      [{ owns: [1] }, ['/owns/0']],
      [{ limits: {} }, ['/limits']],
    ] as const) {
      for (const [method, path] of [
        ['POST', '/v1/accounts'],
        ['PUT', '/v1/accounts/acme'],
      ] as const) {
        const reply = await ask(method, path, json);
        expect([reply.status, pointersOf(reply)], `${method} ${JSON.stringify(json)}`).toEqual([422, pointers]);
      }
    }
    expect((await ask('GET', '/v1/accounts')).json['accounts']).toEqual([]);
  });
});

describe('permissions of tokens', () => {
  const forms = [grants, ['a:*'], { 'a:*': true, 'a:b': false }, [], {}, 'inherit'];

  test('in every form come back as they were given, with the token and by themselves', async () => {
    await ask('POST', '/v1/accounts', { id: 'acme' });
    for (const permissions of forms) {
      const { id } = await admin.make({ owner: 'acme', permissions });
      expect((await ask('GET', `/v1/tokens/${id}`)).json['permissions']).toEqual(permissions);
      expect((await ask('GET', `/v1/tokens/${id}/permissions`)).text).toBe(JSON.stringify(permissions));
      for (const other of forms) {
        expect((await ask('PUT', `/v1/tokens/${id}/permissions`, other)).json).toEqual(other);
        const secret_sha256 = 'a'.repeat(64);
        const put = await ask('PUT', `/v1/tokens/ci`, { secret_sha256, owner: 'acme', permissions: other });
        expect(put.json['permissions']).toEqual(other);
      }
    }
  });

  test('a patch of the token replaces what is no map; by themselves only maps are merged', async () => {
    await ask('POST', '/v1/accounts', { id: 'acme' });
    for (const permissions of [grants, ['a'], 'inherit']) {
      const { id } = await admin.make({ owner: 'acme', permissions });
      const merged = await ask('PATCH', `/v1/tokens/${id}/permissions`, { b: true });
      expect([merged.status, merged.json['code']]).toEqual([409, 'conflict']);
      const patched = await ask('PATCH', `/v1/tokens/${id}`, { permissions: { b: true, c: null } });
      expect(patched.json['permissions']).toEqual({ b: true });
      expect((await ask('PATCH', `/v1/tokens/${id}`, { permissions })).json['permissions']).toEqual(permissions);
    }
  });

  test('inherit needs an owner, also when the owner is taken away', async () => {
    await ask('POST', '/v1/accounts', { id: 'acme' });
    const { id } = await admin.make({ owner: 'acme', permissions: 'inherit' });
    const { id: alone } = await admin.make();
    for (const [method, path, json, pointer] of [
      ['POST', '/v1/tokens', { permissions: 'inherit' }, '/permissions'],
      ['PATCH', `/v1/tokens/${id}`, { owner: null }, '/permissions'],
      ['PATCH', `/v1/tokens/${alone}`, { permissions: 'inherit' }, '/permissions'],
      ['PUT', `/v1/tokens/${alone}/permissions`, 'inherit', ''],
    ] as const) {
      const reply = await ask(method, path, json);
      expect([reply.status, reply.json['code'], pointersOf(reply)]).toEqual([422, 'validation_failed', [pointer]]);
    }
  });

  test('what is no grant is refused with its place, whatever it is called', async () => {
    const reply = await ask('POST', '/v1/tokens', {
      permissions: [
        { resources: ['db//a', 7], actions: { 'db.get': 'yes', 'a b': true }, effect: 'deny', constructor: 1 },
        { resources: {}, actions: [] },
        {},
        'db.get',
        null,
      ],
    });
    expect(reply.status).toBe(422);
    expect(pointersOf(reply)).toEqual([
      '/permissions/0/resources/1',
      '/permissions/0/actions/db.get',
      '/permissions/0/effect',
      '/permissions/0/constructor',
      '/permissions/1/resources',
      '/permissions/1/actions',
      '/permissions/2/resources',
      '/permissions/2/actions',
      '/permissions/3',
      '/permissions/4',
    ]);
  });

  test('the mode is said, shown, changed and taken back', async () => {
    const { id } = await admin.make({ mode: 'shadow' });
    expect((await ask('GET', `/v1/tokens/${id}`)).json['mode']).toBe('shadow');
    expect((await ask('PATCH', `/v1/tokens/${id}`, { mode: null })).json['mode']).toBe('enforce');
    expect(pointersOf(await ask('PATCH', `/v1/tokens/${id}`, { mode: 'off' }))).toEqual(['/mode']);
    const put = { secret_sha256: 'b'.repeat(64), mode: 'shadow' };
    expect((await ask('PUT', '/v1/tokens/ci', put)).json['mode']).toBe('shadow');
    const again = await ask('PUT', '/v1/tokens/ci', { secret_sha256: put.secret_sha256 });
    expect(again.json['mode']).toBe('enforce');
  });
});
