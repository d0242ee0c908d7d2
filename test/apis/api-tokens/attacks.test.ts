import { decode, encode } from '@msgpack/msgpack';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { apiTokenForm, kind } from '../../../src/apis/api-tokens/token-form.ts';
import { Refusal } from '../../../src/errors.ts';
import { decodeToken } from '../../support/api-token.ts';
import { ops } from '../../support/managed.ts';
import { NotClaimed } from '../transcript.ts';
import { type Office, openOffice, parsed } from './office.ts';

/** For what changes nothing. */
let shared: Office;
beforeAll(async () => {
  shared = await openOffice();
});
afterAll(async () => {
  await shared.managed.dispose();
  expect(shared.faults).toEqual([]);
});

let office: Office | null = null;
afterEach(async () => {
  await office?.managed.dispose();
  expect(office?.faults ?? []).toEqual([]);
  office = null;
});

const open = async (...args: Parameters<typeof openOffice>): Promise<Office> => {
  office = await openOffice(...args);
  return office;
};

const raw = (
  to: Office,
  method: string,
  body: string | Uint8Array,
  type = 'application/json',
  bearer = 'ann-session',
) =>
  to.call({
    method: 'POST',
    target: `/rpc/v1/api-tokens/${method}`,
    fields: ['Authorization', bearer, 'Content-Type', type],
    body,
  });

const notFound = { status: 404, reason: 'Not Found', exception: false };
const bad = { status: 400, reason: 'Bad Request', exception: false };

describe('what is no token of the caller is 404, in every form and for every method', () => {
  const ids: [string, unknown][] = [
    ['text', 'nobody'],
    ['empty text', ''],
    ['zero', 0],
    ['a negative number', -1],
    ['a fraction', 1.5],
    ['2^53', 2 ** 53],
    ['2^63', '9223372036854775808'],
    ['2^63 - 1', '9223372036854775807'],
    ['an endless number', '9'.repeat(100_000)],
    ['a number with a zero before it', '01'],
    ['null', null],
    ['true', true],
    ['a list', ['1']],
    ['an object', { toString: '1', id: '1' }],
    ['a path', '../tokens'],
    ['SQL', "1' OR '1'='1"],
    ['a native id', 'tok_00000000000000000000'],
    ['NUL', '1\0'],
    ['half a surrogate pair', '\ud800'],
  ];
  test.each(ids)('%s', async (_, id) => {
    const to = shared;
    for (const [method, ...more] of [
      ['delete'],
      ['get-permissions'],
      ['set-enabled', false],
      ['set-permissions', {}],
      ['update-permissions', {}],
    ] as const) {
      expect(await to.rpc('ann-session', method, id, ...more), method).toEqual(notFound);
    }
    expect(await to.rpc('ann-session', 'read', { id })).toEqual(notFound);
  });

  test('numbers of 64 bits, bytes, and numbers that are none, in MessagePack', async () => {
    const to = await open();
    const u64 = (high: number) => Uint8Array.of(0x91, 0xcf, high, 255, 255, 255, 255, 255, 255, 255);
    for (const body of [
      u64(0x7f),
      u64(0x80),
      u64(0xff),
      Uint8Array.of(0x91, 0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0),
      encode([Number.NaN]),
      encode([Number.POSITIVE_INFINITY]),
      encode([new Uint8Array([0x31])]),
    ]) {
      const answer = await raw(to, 'delete', body, 'application/msgpack');
      expect(decode(answer.body as Uint8Array)).toEqual(notFound);
    }
  });

  test('one of another account, another API, the configuration, or that is removed', async () => {
    const to = await open();
    const { data } = await to.rpc('bob-session', 'create', 'ci');
    const native = await to.managed.tokens.create(ops, {
      kind: 'native',
      owner: 'ann',
      form: { make: () => ({ id: '77', secret: 'x'.repeat(40), hint: 'x' }) },
    });
    const own = await to.rpc('ann-session', 'create', 'gone');
    await to.rpc('ann-session', 'delete', own.data.id);
    for (const id of [data.id, Number(data.id), native.token.id, 77, own.data.id]) {
      expect(await to.rpc('ann-session', 'delete', id)).toEqual(notFound);
      expect(await to.rpc('ann-session', 'set-enabled', id, true)).toEqual(notFound);
      expect(await to.rpc('ann-session', 'read', { id })).toEqual(notFound);
    }
    expect(await to.rpc('bob-session', 'read')).toMatchObject({ total: 1 });
    expect(await to.managed.tokens.get(ops, '77')).toMatchObject({ state: 'enabled' });
  });

  test('an id in MessagePack keeps its digits, however it is written', async () => {
    const to = await open();
    const { data } = await to.rpc('ann-session', 'create', 'ci');
    const body = Buffer.alloc(10, 0x91);
    body[1] = 0xd3;
    body.writeBigInt64BE(BigInt(data.id), 2);
    expect(decode((await raw(to, 'delete', body, 'application/msgpack')).body as Uint8Array)).toMatchObject({
      status: 200,
    });
  });
});

describe('nothing that a client says changes an envelope', () => {
  test.each([
    ['{"error":1}'],
    ['{"status":200}'],
    ['{"limit":1,"data":[]}'],
    ['{"where":{"__proto__":{"name":"x"}}}'],
    ['{"__proto__":{"limit":1}}'],
    ['{"constructor":{"prototype":{}}}'],
    ['{"where":{"hasOwnProperty":1}}'],
    ['{"where":{"name":["=","a","b"]}}'],
    ['{"where":{"name":["constructor","a"]}}'],
    ['{"where":[["name","=","x"]]}'],
    ['{"order_by":[["__proto__","asc"]]}'],
    ['{"order_by":[["name","constructor"]]}'],
    ['{"order_by":["name"]}'],
    ['{"order_by":[["name"],["name"],["name"],["name"],["name"]]}'],
    ['{"limit":-1}'],
    ['{"limit":"1e3"}'],
    ['{"limit":1.5}'],
    ['{"offset":"99999999999999999999"}'],
    [`{"where":{"name":["like","${'%a'.repeat(100)}"]}}`],
    [`{"where":{"name":["in",${JSON.stringify(new Array(101).fill('a'))}]}}`],
    ['{"limit":1,"limit":2}'],
    ['"name"'],
    ['[[]]'],
    ['\ufeff[]'],
    ['[]garbage'],
    ['['.repeat(65) + ']'.repeat(65)],
  ])('%s', async body => {
    const to = shared;
    expect(parsed(await raw(to, 'read', body))).toEqual(bad);
    expect(({} as Record<string, unknown>)['limit']).toBeUndefined();
  });

  test('names and permissions that look like members of it stay data', async () => {
    const to = await open();
    const name = '","error":{"code":1},"status":500,"x":"';
    const created = await to.rpc('ann-session', 'create', name);
    expect(Object.keys(created)).toEqual(['status', 'reason', 'exception', 'data']);
    const { data } = await to.rpc('ann-session', 'read', { id: created.data.id });
    expect(data.name).toBe(name);
    for (const permission of ['error', 'constructor', 'toString', '"', '*', 'db.*', '*.get', 'db', '1', '', 'DB.GET']) {
      expect(await to.rpc('ann-session', 'set-permissions', data.id, { [permission]: true })).toEqual({
        status: 400,
        reason: `Token permission "${permission}" is not valid`,
        exception: false,
      });
    }
    const long = 'x'.repeat(100_000);
    const { reason } = await to.rpc('ann-session', 'set-permissions', data.id, { [long]: false });
    expect(reason.length).toBeLessThan(400);
    expect(parsed(await raw(to, 'set-permissions', `["${data.id}",{"__proto__":{"db.get":true}}]`))).toEqual(bad);
    expect(await to.rpc('ann-session', 'read', { id: data.id })).toMatchObject({ data: { permissions: {} } });
  });

  test('names that are no printable text, and arguments of every other kind', async () => {
    const to = await open();
    for (const name of ['a\nb', 'x'.repeat(257), '\u202e', null, [], {}, 1.5, ['x']]) {
      expect(await to.rpc('ann-session', 'create', name)).toEqual(bad);
    }
    expect(await to.rpc('ann-session', 'read')).toMatchObject({ total: 0 });
  });
});

describe('rights', () => {
  test('no name gets a token more than its user has, and what the user loses the token loses', async () => {
    const to = await open();
    const { data } = await to.rpc('ann-session', 'create', 'ci');
    expect(await to.rpc('ann-session', 'set-permissions', data.id, { 'db.get': true, 'db.add': true })).toMatchObject({
      status: 200,
    });
    await to.managed.accounts.patch({ actor: ops, id: 'ann' }, { permissions: { 'db.add': null } });
    const { data: row } = await to.rpc('ann-session', 'read', { id: data.id });
    expect(row.permissions).toEqual({ 'db.get': true });
    expect(await to.rpc('ann-session', 'update-permissions', data.id, { 'db.add': true })).toMatchObject({
      status: 400,
    });
  });

  test('what a pattern of the user permits can be given by its name, and is shown then', async () => {
    const to = await open();
    await to.managed.accounts.patch({ actor: ops, id: 'eve' }, { permissions: { 'db.*': true, 'db.drop': false } });
    const { data } = await to.rpc('eve-session', 'create', 'ci');
    expect(await to.rpc('eve-session', 'set-permissions', data.id, { 'db.get': true })).toMatchObject({ status: 200 });
    expect(await to.rpc('eve-session', 'set-permissions', data.id, { 'db.drop': true })).toMatchObject({ status: 400 });
    expect(await to.rpc('eve-session', 'read', { id: data.id })).toMatchObject({
      data: { permissions: { 'db.get': true } },
    });
    expect((await to.rpc('eve-session', 'get-permissions', data.id)).data).toEqual([
      { id: 'db.get', name: 'db.get', description: '', enabled: true },
    ]);
  });

  test('a map of more names than there may be is not gone through', async () => {
    const to = await open();
    const { data } = await to.rpc('ann-session', 'create', 'ci');
    const many = Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`p${i}`, true]));
    expect(await to.rpc('ann-session', 'set-permissions', data.id, many)).toEqual(bad);
  });

  test('tokens of other APIs, and their secrets, say nothing here', async () => {
    const to = await open();
    const { secret } = await to.managed.tokens.create(ops, { kind: 'native', owner: 'ann' });
    expect(await to.rpc(secret!, 'read')).toMatchObject({ status: 403, reason: 'Insufficient permissions' });
  });

  test('the token that is answered carries the id beside it, and the type', async () => {
    const to = await open();
    const { data } = await to.rpc('ann-session', 'create', 'ci');
    expect(decodeToken(data.token)).toEqual({ id: BigInt(data.id), type: 2 });
  });

  test('secrets are never answered again', async () => {
    const to = await open();
    const { data } = await to.rpc('ann-session', 'create', 'ci');
    for (const method of ['read', 'get-permissions']) {
      expect(
        JSON.stringify(await to.rpc('ann-session', method, ...(method === 'read' ? [] : [data.id]))),
      ).not.toContain(data.token);
    }
  });
});

describe('what happens while a call is under way', () => {
  test.each(['set-enabled', 'set-permissions', 'update-permissions'])(
    '%s of a token that is removed is 404',
    async method => {
      let to: Office | null = null;
      const removed = async (id: string): Promise<void> => {
        await to!.managed.tokens.revoke({ actor: ops, id });
      };
      to = await open('result', '/rpc', {
        disable: async request => {
          await removed(request.id);
          return to!.managed.tokens.disable(request);
        },
        replacePermissions: async (request, permissions) => {
          await removed(request.id);
          return to!.managed.tokens.replacePermissions(request, permissions);
        },
        mergePermissions: async (request, patch) => {
          await removed(request.id);
          return to!.managed.tokens.mergePermissions(request, patch);
        },
      });
      const { data } = await to.rpc('ann-session', 'create', 'ci');
      const said = method === 'set-enabled' ? false : { 'db.get': true };
      expect(await to.rpc('ann-session', method, data.id, said)).toEqual(notFound);
    },
  );

  test('a change that is overtaken again and again may be asked for again', async () => {
    const overtaken = () => Promise.reject(new Refusal('conflict', 'Others keep changing it at the same time.'));
    const to = await open('result', '/rpc', { disable: overtaken, create: overtaken });
    const { token } = await to.managed.tokens.create(ops, { kind, owner: 'ann', form: apiTokenForm });
    const again = { status: 503, reason: 'Service Unavailable', exception: true };
    expect(await to.rpc('ann-session', 'set-enabled', token.id, false)).toEqual(again);
    expect(await to.rpc('ann-session', 'create', 'ci')).toEqual(again);
  });

  test('what was given elsewhere and is no map of flags is not merged into, and can be replaced', async () => {
    const to = await open();
    const { data } = await to.rpc('ann-session', 'create', 'ci');
    const request = { actor: ops, id: data.id };
    for (const permissions of [
      'inherit',
      ['db.get'],
      [{ resources: ['db/1'], actions: { 'db.get': true } }],
    ] as const) {
      await to.managed.tokens.replacePermissions(request, permissions);
      expect(await to.rpc('ann-session', 'update-permissions', data.id, { 'db.add': true })).toEqual({
        status: 400,
        reason: 'Token permissions cannot be updated, set them',
        exception: false,
      });
      expect((await to.managed.tokens.get(ops, data.id)).permissions).toEqual(permissions);
    }
    expect(await to.rpc('ann-session', 'set-permissions', data.id, { 'db.add': true })).toMatchObject({ status: 200 });
    expect(await to.rpc('ann-session', 'update-permissions', data.id, { 'db.get': true })).toMatchObject({
      status: 200,
    });
    const { data: row } = await to.rpc('ann-session', 'read', { id: data.id });
    expect(row.permissions).toEqual({ 'db.get': true, 'db.add': true });
  });

  test('more flags than a token may have are refused as a whole', async () => {
    const to = await open();
    const names = (from: number) => Object.fromEntries(Array.from({ length: 600 }, (_, i) => [`p${from + i}`, true]));
    await to.managed.accounts.patch({ actor: ops, id: 'eve' }, { permissions: names(0) });
    await to.managed.roles.create(ops, { id: 'more', name: 'More', permissions: names(600) });
    await to.managed.accounts.patch({ actor: ops, id: 'eve' }, { roles: ['more'] });
    const { data } = await to.rpc('eve-session', 'create', 'ci');
    expect(await to.rpc('eve-session', 'set-permissions', data.id, names(0))).toMatchObject({ status: 200 });
    expect(await to.rpc('eve-session', 'update-permissions', data.id, names(600))).toEqual(bad);
  });
});

describe('who calls', () => {
  test('a cookie says nothing, whichever site sends it and whatever the body calls itself', async () => {
    const to = await open();
    for (const type of [[], ['Content-Type', 'text/plain'], ['Content-Type', 'application/x-www-form-urlencoded']]) {
      const answer = await to.call({
        method: 'POST',
        target: '/rpc/v1/api-tokens/create',
        fields: ['Cookie', 'session=ann-session', 'Origin', 'https://evil.example', ...type],
        body: '["ci"]',
      });
      expect(parsed(answer).status).toBeGreaterThanOrEqual(403);
    }
    expect(to.shown).toEqual([]);
    expect(await to.rpc('ann-session', 'read')).toMatchObject({ total: 0 });
  });

  test.each([
    [['Authorization', 'Bearer ann-session', 'Authorization', 'Bearer ann-session']],
    [['Authorization', 'Bearer  ']],
    [['Authorization', '']],
    [['Authorization', 'Bearer ann-session, Bearer bob-session']],
    [['Authorization', 'Bearer ann-session bob-session']],
    [['Authorization', 'Basic ann-session']],
    [['Authorization', 'Bearer\tann-session']],
  ])('%j is nobody', async fields => {
    const to = await open();
    const answer = await to.call({ method: 'POST', target: '/rpc/v1/api-tokens/read', fields });
    expect(parsed(answer)).toEqual({ status: 403, reason: 'Insufficient permissions', exception: false });
    expect(to.shown).toEqual([]);
  });

  test('guesses are told apart from nothing', async () => {
    const to = await open();
    const target = '/rpc/v1/api-tokens/read';
    expect(await to.call({ method: 'POST', target })).not.toHaveProperty('guessed');
    expect(await to.call({ method: 'POST', target, fields: ['Authorization', 'x'] })).toMatchObject({ guessed: true });
  });

  test('nobody is read a body, and nobody sends more than a mebibyte', async () => {
    const to = await open();
    const large = JSON.stringify(['x'.repeat(1024 * 1024)]);
    expect(parsed(await raw(to, 'create', large, 'application/json', 'nobody'))).toMatchObject({ status: 403 });
    expect(parsed(await raw(to, 'create', large))).toEqual({
      status: 413,
      reason: 'Payload Too Large',
      exception: false,
    });
  });
});

describe('the query and the path', () => {
  test.each(['limit=1&limit=2', 'limit=%ff', '__proto__=1', '=1', 'limit=1&%6cimit=2', 'a=1', 'where[name]=x'])(
    'GET with %s is 400',
    async query => {
      const to = shared;
      const answer = await to.call({
        method: 'GET',
        target: `/rpc/v1/api-tokens/read?${query}`,
        fields: ['Authorization', 'Bearer ann-session'],
      });
      expect(parsed(answer)).toEqual(bad);
    },
  );

  test('GET changes nothing, whatever its query', async () => {
    const to = await open();
    const { data } = await to.rpc('ann-session', 'create', 'ci');
    for (const target of [
      `create?name=x`,
      `delete?tokenId=${data.id}`,
      `set-enabled?tokenId=${data.id}&enabled=0`,
      'create',
    ]) {
      const answer = await to.call({
        method: 'GET',
        target: `/rpc/v1/api-tokens/${target}`,
        fields: ['Authorization', 'Bearer ann-session'],
      });
      expect(parsed(answer).status).toBeGreaterThanOrEqual(400);
    }
    expect(await to.rpc('ann-session', 'read')).toMatchObject({ total: 1, data: [{ enabled: true }] });
  });

  test.each([
    '/rpc///v1/api-tokens/read',
    '/rpc/v1//api-tokens/read',
    '/rpc/v1/api-tokens//read',
    '/rpc/v1/api-tokens/read/',
    '/rpc/v1/api-tokens/',
    '/rpc/v1/api-tokens',
    '/rpcv1/api-tokens/read',
    '/RPC/v1/api-tokens/read',
    '/rpc/V1/api-tokens/read',
    '/rpc/v1%2fapi-tokens/read',
    '//rpc/v1/api-tokens/read',
  ])('%s is not of this API', async target => {
    const to = shared;
    await expect(to.call({ method: 'POST', target })).rejects.toThrow(NotClaimed);
  });

  test('an encoded letter is no way around it, and names of objects are no methods', async () => {
    const to = await open();
    const fields = ['Authorization', 'Bearer ann-session'];
    const read = await to.call({ method: 'POST', target: '/rpc/v1/api-token%73/%72ead', fields });
    expect(parsed(read)).toMatchObject({ status: 200 });
    for (const name of ['constructor', '__proto__', 'toString', 'READ']) {
      const answer = await to.call({ method: 'POST', target: `/rpc/v1/api-tokens/${name}`, fields });
      expect(parsed(answer)).toEqual(notFound);
    }
  });

  test('a mount at the root has the same paths', async () => {
    const to = await open('result', '');
    for (const target of ['/v1/api-tokens/read', '//v1/api-tokens/read']) {
      const answer = await to.call({ method: 'POST', target, fields: ['Authorization', 'ann-session'] });
      expect(parsed(answer)).toMatchObject({ status: 200 });
    }
    await expect(to.shake([], { target: '/x' })).rejects.toThrow(NotClaimed);
    expect(await to.shake(['Sec-WebSocket-Protocol', 'rpc, ann-session'])).toHaveProperty('run');
  });
});

test('bodies in MessagePack that are bombs are 400, at once', async () => {
  const to = await open();
  const header = Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff);
  for (const body of [
    new Uint8Array(1_000_000).fill(0x91),
    header,
    Buffer.concat(new Array(60).fill(header)),
    Buffer.concat([Uint8Array.of(0xdd, 0, 0x0f, 0, 0), new Uint8Array(0x0f0000).fill(0x90)]),
    Uint8Array.of(0xdb, 0xff, 0xff, 0xff, 0xff),
    Uint8Array.of(0xc7, 0, 1),
    Uint8Array.of(0x82, 0xa1, 0x61, 1, 0xa1, 0x61, 2),
    Uint8Array.of(0x90, 0x90),
  ]) {
    const answer = await raw(to, 'read', body, 'application/msgpack');
    expect(decode(answer.body as Uint8Array)).toEqual(bad);
  }
});

test.each([
  ['Content-Type', 'application/json; charset=utf-16'],
  ['Content-Type', 'application/msgpack, application/json'],
  ['Content-Type', 'multipart/form-data; boundary=x'],
  ['Content-Encoding', 'gzip'],
])('a body with %s: %s is 415', async (name, value) => {
  const to = shared;
  const answer = await to.call({
    method: 'POST',
    target: '/rpc/v1/api-tokens/create',
    fields: ['Authorization', 'ann-session', name, value],
    body: '["ci"]',
  });
  expect(parsed(answer)).toMatchObject({ status: 415 });
});
