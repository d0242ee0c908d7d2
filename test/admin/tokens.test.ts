import { hash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { aDeclaredToken } from '../support/managed.ts';
import { type Admin, openAdmin, pointersOf } from './harness.ts';

let admin: Admin;
beforeAll(async () => {
  admin = await openAdmin();
  await admin.ask('POST', '/v1/accounts', { json: { id: 'acme' } });
});
afterAll(() => admin.dispose());

const iso = (at: number) => new Date(at).toISOString();

describe('a token on the wire', () => {
  test('it has every member of the contract, always, times in UTC with milliseconds, and nothing else', async () => {
    const now = admin.managed.clock.wall();
    const { status, json, fields } = await admin.ask('POST', '/v1/tokens', { json: {} });
    expect(status).toBe(201);
    expect(Object.keys(json)).toEqual(['token', 'secret']);
    const { token, secret } = json;
    expect(secret).toMatch(/^pst_[0-9A-Za-z]{38}$/);
    expect(token).toEqual({
      id: expect.stringMatching(/^tok_[0-9A-Za-z]{20}$/),
      name: '',
      owner: null,
      kind: 'native',
      hint: `pst_…${(secret as string).slice(-4)}`,
      state: 'enabled',
      mode: 'enforce',
      created_at: iso(now),
      updated_at: iso(now),
      last_used_at: null,
      not_before: null,
      expires_at: null,
      permissions: [],
      limits: [],
      constraints: {},
      rewrite: [],
      notify: [],
      extra: {},
      tags: [],
      version: 1,
    });
    expect(fields).toMatchObject({ etag: '"1"', location: `/v1/tokens/${token!['id']!}`, 'cache-control': 'no-store' });
    expect((await admin.ask('GET', fields.location!)).json).toEqual(token);
  });

  test('what was given comes back as it was given', async () => {
    const json = {
      name: 'Ünïcode 🔑 "quoted"',
      owner: 'acme',
      state: 'disabled',
      not_before: '2030-06-01T00:00:00.250Z',
      expires_at: '2031-06-01T00:00:00.000Z',
      permissions: { 'b.c': true, 'a.*': false, 'a.b': true },
      extra: { nested: [1, null, 1.5, 'x', { deep: true }], 'odd key': '\u2028' },
      tags: ['one', 'zwei', 'três'],
    };
    const { id } = await admin.make({ ...json, not_before: '2030-06-01T02:00:00.25+02:00' });
    const reply = await admin.ask('GET', `/v1/tokens/${id}`);
    expect(reply.json).toMatchObject(json);
    expect(Object.keys(reply.json['permissions']!)).toEqual(['b.c', 'a.*', 'a.b']);
  });

  test('the last use is shown, and changes neither version nor ETag', async () => {
    const { id } = await admin.make();
    const at = admin.managed.clock.wall();
    admin.managed.use(id, { allowed: 1 });
    const reply = await admin.ask('GET', `/v1/tokens/${id}`);
    expect(reply.json).toMatchObject({ last_used_at: iso(at), version: 1 });
    expect(reply.fields.etag).toBe('"1"');
  });

  test('a declared token is shown like any other, and every change of it is a conflict that says why', async () => {
    admin.managed.declared.set('conf', aDeclaredToken('conf', { permissions: ['a'] }));
    expect((await admin.ask('GET', '/v1/tokens/conf')).json).toMatchObject({
      id: 'conf',
      kind: 'declared',
      hint: null,
    });
    const secret_sha256 = 'e'.repeat(64);
    for (const [method, path, json] of [
      ['PUT', '', { secret_sha256 }],
      ['PATCH', '', {}],
      ['DELETE', '', undefined],
      ['POST', '/enable', undefined],
      ['POST', '/disable', undefined],
      ['POST', '/rotate', undefined],
      ['PUT', '/permissions', []],
      ['PATCH', '/permissions', {}],
    ] as const) {
      const reply = await admin.ask(method, `/v1/tokens/conf${path}`, json === undefined ? {} : { json });
      expect(reply.status, `${method} ${path}`).toBe(409);
      expect(reply.json).toMatchObject({ code: 'conflict', detail: expect.stringContaining('configuration') });
    }
    admin.managed.declared.clear();
  });
});

describe('members', () => {
  test('one that is unknown is answered with those that there are, where it stands', async () => {
    const json = {
      permisions: [],
      permissions: [{ resources: ['a'], actions: {}, action: 'x' }],
      constraints: { network: [], signature: { secret: 'x' } },
    };
    const made = await admin.ask('POST', '/v1/tokens', { json });
    const { id } = await admin.make();
    const patched = await admin.ask('PATCH', `/v1/tokens/${id}`, { json: { constraints: json.constraints } });
    const told = [made, patched].map(
      ({ json: { errors } }) =>
        new Map((errors as unknown as { pointer: string; detail: string }[]).map(each => [each.pointer, each.detail])),
    );
    const allowed = (names: string): string => `is not a member of this; allowed: ${names}`;
    expect(told[0]!.get('/permisions')).toMatch(/^is not a member of this; allowed: .*\bpermissions\b/);
    expect(told[0]!.get('/permissions/0/action')).toBe('is not a member of a grant; allowed: resources, actions');
    for (const at of told) {
      expect(at.get('/constraints/network')).toBe(
        allowed('networks, methods, paths, params, origins, signature, basic'),
      );
      expect(at.get('/constraints/signature/secret')).toBe(allowed('key'));
    }
  });

  test('unknown members and those that are ours are refused, all at once, with their places', async () => {
    const json = {
      id: 'x',
      kind: 'x',
      hint: 'x',
      created_at: '2020-01-01T00:00:00Z',
      updated_at: '2020-01-01T00:00:00Z',
      last_used_at: null,
      version: 7,
      hash: 'x',
      digest: 'x',
      previous: null,
      sealed: null,
      secret: 'pst_x',
      usage: {},
      used: 0,
      isAdmin: true,
      scopes: ['*'],
      revoked_before: null,
      constructor: { prototype: { x: 1 } },
      toString: 1,
      'odd/~name': 1,
      '': 1,
    };
    const reply = await admin.ask('POST', '/v1/tokens', { json });
    expect(reply.status).toBe(422);
    expect(reply.json['code']).toBe('validation_failed');
    const expected = Object.keys(json).map(name => `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`);
    expect(pointersOf(reply)).toEqual(expected);
    expect(reply.text).not.toMatch(/Zod|at .*\.ts/);
    const patch = await admin.ask('PATCH', `/v1/tokens/${(await admin.make()).id}`, { json });
    expect(pointersOf(patch)).toEqual(expected);
  });

  test('members that nothing enforces yet are refused as such, never stored and ignored', async () => {
    const { id } = await admin.make();
    for (const [json, pointers] of [
      [{ rewrite: [] }, ['/rewrite']],
      [{ notify: [] }, ['/notify']],
      [{ notify: [{ url: 'a' }], name: 7, id: 'x', mode: 'shade' }, ['/notify', '/name', '/id', '/mode']],
    ] as const) {
      for (const [method, path, body] of [
        ['POST', '/v1/tokens', json],
        ['PATCH', `/v1/tokens/${id}`, json],
        ['PUT', `/v1/tokens/${id}`, { ...json, secret_sha256: 'f'.repeat(64) }],
      ] as const) {
        const reply = await admin.ask(method, path, { json: body });
        expect([reply.status, reply.json['code']], `${method} ${JSON.stringify(json)}`).toEqual([
          422,
          'unsupported_member',
        ]);
        expect(pointersOf(reply)).toEqual(pointers);
      }
    }
    expect((await admin.ask('GET', `/v1/tokens/${id}`)).json['version']).toBe(1);
  });

  test('wrong kinds of values are refused with everything else that is wrong', async () => {
    const reply = await admin.ask('POST', '/v1/tokens', {
      json: {
        name: 5,
        owner: 'no/body',
        state: 'revoked',
        not_before: '2030-02-30T00:00:00Z',
        expires_at: 1893456000,
        permissions: ['ok', 7, 'a b'],
        extra: 'text',
        tags: ['ok', null],
        huge: 1,
      },
    });
    expect(reply.status).toBe(422);
    expect(pointersOf(reply)).toEqual([
      '/name',
      '/owner',
      '/state',
      '/not_before',
      '/expires_at',
      '/permissions/1',
      '/extra',
      '/tags/1',
      '/huge',
    ]);
  });

  test('what is wrong in kind and what is wrong in substance are told together', async () => {
    const json = { name: 5, expires_at: '2020-01-01T00:00:00Z', owner: 'nobody', tags: ['a', 'a'] };
    expect(pointersOf(await admin.ask('POST', '/v1/tokens', { json }))).toEqual([
      '/name',
      '/tags/1',
      '/expires_at',
      '/owner',
    ]);
  });

  test('a PATCH with null takes members back, and none of ours away', async () => {
    const { id } = await admin.make({ name: 'x', owner: 'acme', tags: ['a'], extra: { a: 1 } });
    const reply = await admin.ask('PATCH', `/v1/tokens/${id}`, {
      json: { name: null, owner: null, tags: null, extra: null },
    });
    expect(reply.json).toMatchObject({ name: '', owner: null, tags: [], extra: {} });
    const ours = await admin.ask('PATCH', `/v1/tokens/${id}`, { json: { id: null, version: null, created_at: null } });
    expect(pointersOf(ours)).toEqual(['/id', '/version', '/created_at']);
  });

  test('names that objects inherit change nothing that is inherited, wherever they stand', async () => {
    const hostile =
      '{"__proto__":{"scopes":["admin"]},"extra":{"constructor":{"prototype":{"x":1}},"__proto__":{"x":1}}}';
    const { id } = await admin.make();
    for (const [method, path] of [
      ['POST', '/v1/tokens'],
      ['PATCH', `/v1/tokens/${id}`],
      ['PUT', `/v1/tokens/${id}`],
      ['POST', '/v1/accounts'],
    ] as const) {
      const reply = await admin.ask(method, path, { body: hostile });
      expect(reply.status).toBe(422);
      expect(pointersOf(reply)).toContain('/__proto__');
    }
    const permissions = await admin.ask('PUT', `/v1/tokens/${id}/permissions`, { body: '{"__proto__":true,"a":true}' });
    expect(pointersOf(permissions)).toEqual(['/__proto__']);
    const fine = await admin.ask('PATCH', `/v1/tokens/${id}`, {
      json: { extra: { constructor: { prototype: { x: 1 } }, toString: { y: null } } },
    });
    expect(fine.json['extra']).toEqual({ constructor: { prototype: { x: 1 } }, toString: {} });
    const probe = {} as { scopes?: unknown; x?: unknown };
    expect([probe.scopes, probe.x]).toEqual([undefined, undefined]);
  });

  test.each(['toString', 'constructor', 'valueOf', 'hasOwnProperty'])(
    'a token and an account named %s are things like any other',
    async id => {
      expect((await admin.ask('GET', `/v1/tokens/${id}`)).status).toBe(404);
      const json = { secret_sha256: hash('sha256', id, 'hex') };
      expect((await admin.ask('PUT', `/v1/tokens/${id}`, { json })).status).toBe(201);
      expect((await admin.ask('GET', `/v1/tokens/${id}`)).json['id']).toBe(id);
      expect((await admin.ask('GET', `/v1/accounts/${id}`)).status).toBe(404);
    },
  );
});

describe('calls', () => {
  test('a creation is answered again by its Idempotency-Key, without the secret', async () => {
    const ask = (json: object, key: string | string[] = 'once') =>
      admin.ask('POST', '/v1/tokens', { json, fields: { 'idempotency-key': key } });
    const first = await ask({ name: 'a', tags: ['t'] });
    expect(first.fields).not.toHaveProperty('idempotency-replayed');
    const again = await ask({ tags: ['t'], name: 'a' });
    expect(again.status).toBe(201);
    expect(again.fields['idempotency-replayed']).toBe('true');
    expect(again.json).toEqual({ token: first.json['token'] });
    const other = await ask({ name: 'b' });
    expect([other.status, other.json['code']]).toEqual([422, 'validation_failed']);
    for (const key of ['', 'x'.repeat(256), 'a b', 'é', ['a', 'b']]) expect((await ask({}, key)).status).toBe(400);
    expect((await ask({}, 'x'.repeat(255))).status).toBe(201);
  });

  test('rotating takes a grace, none by default, at most 30 days', async () => {
    const { id, secret } = await admin.make();
    const rotate = (json?: unknown) => admin.ask('POST', `/v1/tokens/${id}/rotate`, json === undefined ? {} : { json });
    const found = async (text: string) =>
      (await admin.managed.store.tokens.find([hash('sha256', text, 'hex')]))?.token.id ?? null;
    const first = await rotate({ grace: '1m' });
    expect(first.status).toBe(200);
    expect(Object.keys(first.json)).toEqual(['token', 'secret']);
    expect([await found(secret), await found(first.json['secret']!)]).toEqual([id, id]);
    const second = await rotate();
    expect([await found(first.json['secret']!), await found(second.json['secret']!)]).toEqual([null, id]);
    expect(second.json['token']).toMatchObject({
      version: 3,
      hint: `pst_…${(second.json['secret'] as string).slice(-4)}`,
    });
    for (const grace of ['31d', '-1s', '1', 5, null, '1 h']) {
      expect(pointersOf(await rotate({ grace }))).toEqual(['/grace']);
    }
    expect(pointersOf(await rotate({ gracious: '1s' }))).toEqual(['/gracious']);
  });

  test('revoking answers who has applied it, again and again, and leaves a tombstone', async () => {
    const { id } = await admin.make();
    const first = await admin.ask('DELETE', `/v1/tokens/${id}?wait=2s`);
    expect(first.status).toBe(200);
    expect(first.json).toMatchObject({
      token: { id, state: 'revoked', version: 2 },
      acknowledged: ['p1'],
      pending: [],
    });
    expect((await admin.ask('DELETE', `/v1/tokens/${id}`)).json).toEqual(first.json);
    expect((await admin.ask('GET', `/v1/tokens/${id}`)).json['state']).toBe('revoked');
    expect((await admin.ask('POST', `/v1/tokens/${id}/enable`)).status).toBe(409);
    expect((await admin.ask('PUT', `/v1/tokens/${id}`, { json: { secret_sha256: '1'.repeat(64) } })).status).toBe(409);
    expect(pointersOf(await admin.ask('DELETE', `/v1/tokens/${id}?wait=soon`))).toEqual(['?wait']);
    expect((await admin.ask('DELETE', '/v1/tokens/nothing')).status).toBe(404);
  });

  test("all of an owner's tokens are revoked with one call, which names its owner", async () => {
    await admin.ask('POST', '/v1/accounts', { json: { id: 'many' } });
    const made = [await admin.make({ owner: 'many' }), await admin.make({ owner: 'many' })];
    const at = iso(admin.managed.clock.wall());
    const reply = await admin.ask('DELETE', '/v1/tokens?owner=many');
    expect(reply.json).toEqual({
      owner: 'many',
      revoked: 2,
      revoked_before: at,
      acknowledged: [expect.any(String)],
      pending: [],
    });
    for (const { id } of made) expect((await admin.ask('GET', `/v1/tokens/${id}`)).json['state']).toBe('revoked');
    expect((await admin.ask('DELETE', '/v1/tokens?owner=many')).json['revoked']).toBe(0);
    expect((await admin.ask('DELETE', '/v1/tokens')).status).toBe(400);
    expect((await admin.ask('DELETE', '/v1/tokens?owner=')).status).toBe(422);
    expect((await admin.ask('DELETE', '/v1/tokens?owner=nobody')).status).toBe(404);
  });

  test('permissions are read, replaced and merged by themselves, as bare values, under the ETag of the token', async () => {
    const { id } = await admin.make({ permissions: { a: true } });
    const at = `/v1/tokens/${id}/permissions`;
    const read = await admin.ask('GET', at);
    expect([read.json, read.fields.etag]).toEqual([{ a: true }, '"1"']);
    const merged = await admin.ask('PATCH', at, { json: { b: false, a: null } });
    expect([merged.json, merged.fields.etag]).toEqual([{ b: false }, '"2"']);
    const replaced = await admin.ask('PUT', at, { json: ['x', 'y'] });
    expect([replaced.json, replaced.fields.etag]).toEqual([['x', 'y'], '"3"']);
    expect((await admin.ask('PATCH', at, { json: { b: true } })).status).toBe(409);
    expect((await admin.ask('PATCH', at, { json: ['b'] })).status).toBe(409);
    for (const json of [null, 'text', 7, true]) expect((await admin.ask('PUT', at, { json })).status).toBe(422);
  });

  test('use is answered as the contract has it', async () => {
    const { id } = await admin.make();
    const at = admin.managed.clock.wall();
    admin.managed.use(id, {
      allowed: 2,
      refused: { insufficient_scope: 1 },
      status: { '2xx': 2, '4xx': 1 },
      bytesIn: 3,
      bytesOut: 4,
    });
    const { json } = await admin.ask('GET', `/v1/tokens/${id}/usage`);
    const use = {
      allowed: 2,
      refused: { insufficient_scope: 1 },
      status: { '2xx': 2, '4xx': 1 },
      bytes_in: 3,
      bytes_out: 4,
      last_used_at: iso(at),
    };
    expect(json).toEqual({
      token_id: id,
      from: iso(at - 86_400_000),
      to: iso(at),
      step: '1h',
      total: use,
      limits: [],
      series: [{ at: iso(at), ...use }],
    });
    const none = await admin.ask('GET', `/v1/tokens/${(await admin.make()).id}/usage`);
    expect(none.json['total']).toEqual({
      allowed: 0,
      refused: {},
      status: {},
      bytes_in: 0,
      bytes_out: 0,
      last_used_at: null,
    });
    expect(pointersOf(await admin.ask('GET', `/v1/tokens/${id}/usage?from=2029-01-01T00:00:00Z`))).toEqual(['?step']);
  });

  test('events name the key and the address that changed something', async () => {
    const { id } = await admin.make({ name: 'a' });
    await admin.ask('PATCH', `/v1/tokens/${id}`, { json: { name: 'b' } });
    const { json } = await admin.ask('GET', `/v1/tokens/${id}/events`);
    expect(json['next_cursor']).toBeNull();
    expect(json['events']![1]).toEqual({
      id: expect.any(Number),
      at: iso(admin.managed.clock.wall()),
      actor: 'ops',
      address: '127.0.0.1',
      action: 'update',
      changes: { name: { from: 'a', to: 'b' } },
    });
  });

  test('accounts are made, changed, deleted and made again', async () => {
    const made = await admin.ask('POST', '/v1/accounts', { json: { name: 'X' } });
    expect([made.status, made.fields.location]).toEqual([201, `/v1/accounts/${made.json['id']!}`]);
    expect(made.json['id']).toMatch(/^acc_[0-9A-Za-z]{20}$/);
    const at = `/v1/accounts/${made.json['id']!}`;
    expect((await admin.ask('PATCH', at, { json: { enabled: false } })).json).toMatchObject({
      name: 'X',
      enabled: false,
    });
    expect((await admin.ask('PUT', at, { json: {} })).json).toMatchObject({ name: '', enabled: true, version: 3 });
    const gone = await admin.ask('DELETE', at);
    expect(gone.json).toMatchObject({ account: { id: made.json['id'] }, acknowledged: ['p1'], pending: [] });
    expect((await admin.ask('GET', at)).status).toBe(404);
    expect((await admin.ask('DELETE', at)).json).toEqual(gone.json);
    const again = await admin.ask('PUT', at, { json: {} });
    expect(again.status).toBe(201);
    expect(again.json['revoked_before']).toBe(gone.json['account']!['revoked_before']);
    const refused = await admin.ask('POST', '/v1/accounts', {
      json: { rewrite: [], id: 'a b' },
    });
    expect(refused.json['code']).toBe('validation_failed');
    expect(pointersOf(refused)).toEqual(['/rewrite', '/id']);
    const ours = await admin.ask('PATCH', at, { json: { id: 'x', revoked_before: null, deleted: false } });
    expect(pointersOf(ours)).toEqual(['/id', '/revoked_before', '/deleted']);
  });

  test('a token is answered as it was, with its hint and no entity tag', async () => {
    const { id } = await admin.make({ name: 'before', tags: ['a'] });
    const made = new Date(admin.managed.clock.wall()).toISOString();
    admin.managed.clock.advance(1000);
    await admin.ask('PATCH', `/v1/tokens/${id}`, { json: { name: 'after' } });
    const then = await admin.ask('GET', `/v1/tokens/${id}?at=${made}`);
    expect([then.status, then.fields.etag]).toEqual([200, undefined]);
    expect(then.json).toMatchObject({ id, name: 'before', tags: ['a'], version: 1, state: 'enabled' });
    expect((await admin.ask('GET', `/v1/tokens/${id}?at=2001-01-01T00:00:00Z`)).status).toBe(404);
    expect((await admin.ask('GET', `/v1/tokens/${id}?at=yesterday`)).status).toBe(422);
  });
});
