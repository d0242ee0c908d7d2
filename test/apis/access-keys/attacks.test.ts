import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { MountAnswer } from '../../../src/ports/mount.ts';
import { asker } from '../../support/asker.ts';
import { ops } from '../../support/managed.ts';
import { NotClaimed } from '../transcript.ts';
import { type Forum, json, makeKey, openForum } from './forum.ts';

const keys = '/api/auth/access-keys';

let forum: Forum;
beforeEach(async () => {
  forum = await openForum();
});
afterEach(async () => {
  const { faults } = forum;
  await forum.managed.dispose();
  expect(faults).toEqual([]);
});

const create = (body: unknown): Promise<MountAnswer> => forum.as('baldur', 'POST', keys, body);

const listed = async (member = 'baldur'): Promise<{ id: string; name: string; enabled: boolean }[]> =>
  json(await forum.as(member, 'GET', keys)).keys;

const stored = (id: string) => forum.managed.tokens.get(ops, id);

test('a foreign key, a key of another API and a free id are answered alike, byte for byte', async () => {
  const { id } = await makeKey(forum, 'freya');
  const native = await forum.managed.tokens.create(ops, { kind: 'native', name: 'mine', owner: 'baldur' });
  const own = await forum.managed.tokens.create(ops, {
    kind: 'api-tokens',
    owner: 'baldur',
    form: { make: () => ({ id: '9m4e2mr0ui3e8a215n4g', secret: 'x'.repeat(50), hint: 'x' }) },
  });
  const answers = await Promise.all(
    [id, native.token.id, own.token.id, '9m4e2mr0ui3e8a215n40'].map(each =>
      forum.as('baldur', 'DELETE', `${keys}/${each}`),
    ),
  );
  expect(new Set(answers.map(answer => JSON.stringify(answer))).size).toBe(1);
  expect(answers[0]!.status).toBe(404);
  for (const each of [id, native.token.id, own.token.id]) expect((await stored(each)).state).toBe('enabled');
});

test('whoever may do everything with what is its own is no administrator of what is not', async () => {
  const { id } = await makeKey(forum, 'baldur');
  await forum.managed.accounts.patch({ actor: ops, id: 'loki' }, { permissions: ['*'], owns: ['db/1'] });
  expect((await forum.as('loki', 'GET', '/api/admin/access-keys')).status).toBe(403);
  expect((await forum.as('loki', 'DELETE', `/api/admin/access-keys/${id}`)).status).toBe(403);
  expect((await stored(id)).state).toBe('enabled');
});

test('an administrator disables keys, and no tokens of another kind', async () => {
  const own = await forum.managed.tokens.create(ops, {
    kind: 'native',
    owner: 'baldur',
    form: { make: () => ({ id: '9m4e2mr0ui3e8a215n4g', secret: 'x'.repeat(50), hint: 'x' }) },
  });
  expect((await forum.as('odin', 'DELETE', `/api/admin/access-keys/${own.token.id}`)).status).toBe(404);
  expect((await stored(own.token.id)).state).toBe('enabled');
  expect(json(await forum.as('odin', 'GET', '/api/admin/access-keys'))).toEqual({ keys: [] });
});

test.each(['/%2e%2e/admin/access-keys', '/../../admin/access-keys', '/./', '/..%2f..%2fadmin', '/%00', '/a\\b'])(
  '%s behind the path is malformed, and reaches nothing',
  async tail => {
    await expect(forum.as('odin', 'DELETE', keys + tail)).rejects.toThrow('the path');
  },
);

test.each([
  `${keys}/`,
  `${keys}//`,
  '/api//auth/access-keys',
  '//api/auth/access-keys',
  '/api/auth//access-keys',
  '/API/auth/access-keys',
  '/api/auth/Access-Keys',
  '/api/auth/access-keys;x',
  '/api/auth/access-keys.json',
  '/api/auth%2Faccess-keys',
  '/apix/auth/access-keys',
  '/auth/access-keys',
  `${keys}/9m4e2mr0ui3e8a215n4g/`,
  `${keys}/9m4e2mr0ui3e8a215n4g/9m4e2mr0ui3e8a215n4g`,
  '/api/admin/auth/access-keys',
  '/',
])('%s is not its own', async target => {
  await expect(forum.as('odin', 'GET', target)).rejects.toThrow(NotClaimed);
  expect(forum.shown).toEqual([]);
});

test('a path that is spelled in another way is its own when it means the same to everybody', async () => {
  const { id } = await makeKey(forum, 'baldur');
  expect((await forum.as('baldur', 'DELETE', `/api/%61uth/access%2Dkeys/${id}`)).status).toBe(204);
});

test.each([
  '9M4E2MR0UI3E8A215N4G',
  '9m4e2mr0ui3e8a215n4',
  '9m4e2mr0ui3e8a215n4gg',
  '9m4e2mr0ui3e8a215n4z',
  '%20',
  'a%2Fb',
  '__proto__',
  'constructor',
  "'%20OR%201=1",
  '*',
  'null',
  'x'.repeat(4000),
])('the id %s names no key', async id => {
  await makeKey(forum, 'baldur');
  expect(await forum.as('baldur', 'DELETE', `${keys}/${id}`)).toMatchObject({ status: 404 });
  expect(await forum.as('odin', 'DELETE', `/api/admin/access-keys/${id}`)).toMatchObject({ status: 404 });
  expect((await listed()).map(({ enabled }) => enabled)).toEqual([true]);
});

test.each([
  'null',
  '7',
  '"ci"',
  '[]',
  '[{"name":"ci"}]',
  '{}',
  '{"name":null}',
  '{"name":true}',
  '{"name":1}',
  '{"name":["ci"]}',
  '{"name":{"$ne":null}}',
  '{"Name":"ci"}',
  '{"name":"\\ud800"}',
  '{"name":"a\\u0000b"}',
  '{"name":"a\\u202eb"}',
  `{"name":"${'x'.repeat(257)}"}`,
  '{"name":"ci","expires_at":0}',
  '{"name":"ci","expires_at":1893456000000}',
  '{"name":"ci","expires_at":1e400}',
  '{"name":"ci","expires_at":false}',
  '{"name":"ci","expires_at":["2031-01-01T00:00:00Z"]}',
  '{"name":"ci","expires_at":{}}',
  '{"name":"ci","expires_at":""}',
  '{"name":"ci","expires_at":"null"}',
  '{"name":"ci","expires_at":"2031-01-01"}',
  '{"name":"ci","expires_at":"2031-01-01T00:00:00"}',
  '{"name":"ci","expires_at":"2031-02-29T00:00:00Z"}',
  '{"name":"ci","expires_at":"2031-01-01T00:00:60Z"}',
  '{"name":"ci","expires_at":"10000-01-01T00:00:00Z"}',
  '{"name":"ci","expires_at":"9999-12-31T23:59:59-01:00"}',
  '{"name":"ci","expires_at":"+12031-01-01T00:00:00Z"}',
  '{"name":"ci","expires_at":"2030-01-01T00:00:01Z"}',
  '{"name":"ci","expires_at":"0001-01-01T00:00:00Z"}',
  '{"name":"ci","name":"ci"}',
  '{"name":"ci","n\\u0061me":"ci"}',
  '{"name":"ci","__proto__":{"isAdmin":true}}',
  '{"name":"ci"}{"name":"ci"}',
  '\ufeff{"name":"ci"}',
  "{'name':'ci'}",
  '{"name":"ci",}',
  'name=ci',
  `${'['.repeat(5000)}`,
  `{"name":"ci","x":${'['.repeat(100)}${']'.repeat(100)}}`,
])('%s is 400 in the form of this API, and makes nothing', async body => {
  const answer = await create(body);
  expect(answer).toMatchObject({ status: 400, fields: ['Content-Type', 'application/json'] });
  expect(Object.keys(json(answer)).filter(name => !['error', 'message', 'metadata'].includes(name))).toEqual([]);
  expect(await listed()).toEqual([]);
});

test('a leap day that there is, and the last second of all, are taken', async () => {
  for (const at of ['2032-02-29T00:00:00Z', '9999-12-31T23:59:59.999Z']) {
    expect(json(await create({ name: 'ci', expires_at: at })).expires_at).toBe(new Date(at).toISOString());
  }
});

test.each([
  'text/plain',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'application/json, text/plain',
  'application/jsonp',
  '',
])('a body said to be %j is not looked at', async type => {
  const fields = ['Cookie', 'storyden-session=baldur-session', 'Content-Type', type];
  const answer = await forum.call({ method: 'POST', target: keys, fields, body: '{"name":"ci"}' });
  expect(answer.status).toBe(400);
  expect(await listed()).toEqual([]);
});

test('a body that is not UTF-8, encoded or said to be of two types is 400, one that is too large 413', async () => {
  const fields = ['Cookie', 'storyden-session=baldur-session', 'Content-Type', 'application/json'];
  const post = (more: readonly string[], body: string | Uint8Array) =>
    forum.call({ method: 'POST', target: keys, fields: [...fields, ...more], body });
  const bytes = Buffer.concat([Buffer.from('{"name":"'), Buffer.from([0xc0, 0xaf]), Buffer.from('"}')]);
  expect((await post([], bytes)).status).toBe(400);
  expect((await post(['Content-Encoding', 'gzip'], '{"name":"ci"}')).status).toBe(400);
  expect((await post(['Content-Type', 'application/json'], '{"name":"ci"}')).status).toBe(400);
  const large = await post([], `{"name":"${'x'.repeat(70_000)}"}`);
  expect([large.status, json(large)]).toEqual([413, { error: 'too_large', message: 'The body is over 65536 bytes.' }]);
  expect(await listed()).toEqual([]);
});

test('members that are not the client’s to set are ignored: it gets a key like any other', async () => {
  const answer = await create({
    name: 'ci',
    id: '9m4e2mr0ui3e8a215n4g',
    secret: `sdpak_${'a'.repeat(44)}`,
    enabled: false,
    owner: 'odin',
    account: 'odin',
    created_by: { id: 'odin' },
    kind: 'native',
    permissions: ['ADMINISTRATOR'],
    roles: ['admin'],
    mode: 'shadow',
    state: 'revoked',
    createdAt: '2000-01-01T00:00:00Z',
    extra: { admin: true },
    constructor: { prototype: { admin: true } },
  });
  const { id, secret, enabled, createdAt } = json(answer);
  expect(answer.status).toBe(200);
  expect(Object.keys(json(answer))).toEqual(['id', 'createdAt', 'updatedAt', 'name', 'enabled', 'secret']);
  expect({ enabled, createdAt }).toEqual({ enabled: true, createdAt: '2030-01-01T00:00:01.000Z' });
  expect(id).not.toBe('9m4e2mr0ui3e8a215n4g');
  expect(secret).not.toContain('aaaaaaaa');
  expect(await stored(id)).toMatchObject({
    owner: 'baldur',
    kind: 'access-keys',
    permissions: 'inherit',
    state: 'enabled',
    mode: 'enforce',
    constraints: {},
    extra: {},
  });
});

test('what a client writes stays in the member where it belongs', async () => {
  const name = '","enabled":false,"secret":"sdpak_x"},{"id":"</script>';
  const { id } = json(await create({ name }));
  expect(await listed()).toEqual([
    { id, name, enabled: true, createdAt: expect.any(String), updatedAt: expect.any(String) },
  ]);
  const refused = await create(`{"name":"ci","expires_at":"\\"}],\\"keys\\":[{\\"secret\\":1"}`);
  expect(Object.keys(json(refused))).toEqual(['error', 'message', 'metadata']);
});

test('no list and no refusal shows a secret, or anything that it is kept as', async () => {
  const { id, secret } = await makeKey(forum, 'baldur');
  const found = await forum.managed.parts.store.getToken(id);
  const answers = [
    await forum.as('baldur', 'GET', keys),
    await forum.as('odin', 'GET', '/api/admin/access-keys'),
    await forum.call({ method: 'POST', target: keys, fields: ['Authorization', `Bearer ${secret}`] }),
    await forum.call({ method: 'GET', target: keys, fields: ['Authorization', `Basic ${secret}`] }),
    await forum.as('baldur', 'DELETE', `${keys}/${secret}`),
  ];
  for (const { body, fields } of answers) {
    expect(String(body)).not.toContain(secret.slice(6));
    expect(String(body)).not.toContain(found!.token.digest);
    expect(fields.join('\n')).not.toContain(secret.slice(6));
  }
});

test('only the one who is believed is shown: the cookie without the key, and the key without the cookie', async () => {
  const { secret } = await makeKey(forum, 'baldur');
  forum.shown.length = 0;
  const fields = ['Cookie', 'a=b; storyden-session=over', 'Cookie', 'c=d', 'Authorization', `Bearer ${secret}`];
  expect((await forum.call({ method: 'GET', target: keys, fields })).status).toBe(200);
  expect(forum.shown).toEqual([
    {
      asker,
      cookie: 'a=b; storyden-session=over; c=d',
      cookieValue: 'over',
      authorization: null,
      bearer: null,
      parameter: null,
    },
    { asker, cookie: null, cookieValue: null, authorization: `Bearer ${secret}`, bearer: secret, parameter: null },
  ]);
});

test('a key of an administrator beside the session of a member gives the member nothing', async () => {
  const { secret } = await makeKey(forum, 'odin');
  const fields = ['Cookie', 'storyden-session=baldur-session', 'Authorization', `Bearer ${secret}`];
  expect((await forum.call({ method: 'GET', target: '/api/admin/access-keys', fields })).status).toBe(403);
});

test('a session that is over lends a key no right to make keys', async () => {
  const { secret } = await makeKey(forum, 'odin');
  const fields = ['Cookie', 'storyden-session=over', 'Authorization', `Bearer ${secret}`];
  const body = '{"name":"child"}';
  const answer = await forum.call({
    method: 'POST',
    target: keys,
    fields: [...fields, 'Content-Type', 'application/json'],
    body,
  });
  expect(answer.status).toBe(403);
  expect(await listed('odin')).toHaveLength(1);
});

test.each([
  ['twice', ['Cookie', 'storyden-session=baldur-session; storyden-session=baldur-session']],
  ['in two lines', ['Cookie', 'storyden-session=baldur-session', 'Cookie', 'storyden-session=odin-session']],
  ['behind one of another', ['Cookie', 'storyden-session=x; a=b; storyden-session=baldur-session']],
])('the cookie %s is ambiguous, and nobody is asked', async (_, fields) => {
  expect((await forum.call({ method: 'GET', target: keys, fields })).status).toBe(400);
  expect(forum.shown).toEqual([]);
});

test('two keys are ambiguous', async () => {
  const { secret } = await makeKey(forum, 'baldur');
  const fields = ['Authorization', `Bearer ${secret}`, 'Authorization', `Bearer ${secret}`];
  expect((await forum.call({ method: 'GET', target: keys, fields })).status).toBe(400);
});

test.each([
  'storyden-Session=baldur-session',
  'x-storyden-session=baldur-session',
  '$storyden-session=baldur-session',
  'theme="storyden-session=baldur-session"',
])('the cookie %s is not the session', async cookie => {
  expect((await forum.call({ method: 'GET', target: keys, fields: ['Cookie', cookie] })).status).toBe(401);
});

test.each([['Token'], ['ApiKey'], ['Basic'], ['Bearer,'], ['Bearer:'], ['Bearer '], ['Bearer Bearer'], ['']])(
  'a key as %j is none',
  async scheme => {
    const { secret } = await makeKey(forum, 'baldur');
    const fields = ['Authorization', `${scheme} ${secret}`.trim()];
    expect((await forum.call({ method: 'GET', target: keys, fields })).status).toBe(401);
  },
);

test('a key elsewhere than in Authorization is none', async () => {
  const { secret } = await makeKey(forum, 'baldur');
  for (const [target, fields] of [
    [`${keys}?access_token=${secret}`, []],
    [keys, ['X-Api-Key', secret]],
    [keys, ['Cookie', `storyden-session=${secret}`]],
    [keys, ['Proxy-Authorization', `Bearer ${secret}`]],
  ] as const) {
    expect((await forum.call({ method: 'GET', target, fields })).status).toBe(401);
  }
});

test.each([
  ['Origin', 'https://evil.example'],
  ['Origin', 'null'],
  ['Origin', 'http://forum.example'],
  ['Origin', 'https://forum.example.evil.example'],
  ['Origin', 'https://forum.example:8443'],
  ['Origin', ''],
  ['Sec-Fetch-Site', 'cross-site'],
  ['Sec-Fetch-Site', 'same-site'],
  ['Sec-Fetch-Site', ''],
])('with %s: %s the cookie makes and removes nothing, even beside a good key', async (name, value) => {
  const { id, secret } = await makeKey(forum, 'baldur');
  const cookie = ['Cookie', 'storyden-session=baldur-session', 'Content-Type', 'application/json', name, value];
  for (const fields of [cookie, [...cookie, 'Authorization', `Bearer ${secret}`]]) {
    expect((await forum.call({ method: 'POST', target: keys, fields, body: '{"name":"theirs"}' })).status).toBe(403);
    expect((await forum.call({ method: 'DELETE', target: `${keys}/${id}`, fields })).status).toBe(403);
    const admin = fields.with(1, 'storyden-session=odin-session');
    expect((await forum.call({ method: 'DELETE', target: `/api/admin/access-keys/${id}`, fields: admin })).status).toBe(
      403,
    );
  }
  expect((await listed()).map(({ enabled }) => enabled)).toEqual([true]);
});

test('a key alone may be used from everywhere: nobody else can send it', async () => {
  const { id, secret } = await makeKey(forum, 'baldur');
  const fields = ['Authorization', `Bearer ${secret}`, 'Origin', 'https://elsewhere.example'];
  expect((await forum.call({ method: 'DELETE', target: `${keys}/${id}`, fields })).status).toBe(204);
});

test('a bot is a bot by its role, not by its word, and has no more than its roles', async () => {
  const bot = await makeKey(forum, 'huginn', { kind: 'sdpak', bot: false });
  const person = await makeKey(forum, 'baldur', { kind: 'sdbak', bot: true });
  expect([bot.secret.slice(0, 6), person.secret.slice(0, 6)]).toEqual(['sdbak_', 'sdpak_']);
  const fields = ['Authorization', `Bearer ${bot.secret}`];
  expect((await forum.call({ method: 'GET', target: '/api/admin/access-keys', fields })).status).toBe(403);
});

test('an administrator who is disabled or gone reaches nothing, whatever the session says', async () => {
  const { id } = await makeKey(forum, 'baldur');
  await forum.managed.accounts.patch({ actor: ops, id: 'odin' }, { enabled: false });
  for (const [method, target] of [
    ['GET', '/api/admin/access-keys'],
    ['DELETE', `/api/admin/access-keys/${id}`],
    ['GET', keys],
    ['POST', keys],
  ] as const) {
    expect((await forum.as('odin', method, target, method === 'POST' ? { name: 'ci' } : undefined)).status).toBe(403);
  }
  expect((await stored(id)).state).toBe('enabled');
});

test('keys of an account that is gone are shown to administrators, by its id', async () => {
  const { id } = await makeKey(forum, 'freya');
  await forum.managed.accounts.remove({ actor: ops, id: 'freya' });
  const [key] = json(await forum.as('odin', 'GET', '/api/admin/access-keys')).keys;
  expect(key).toMatchObject({
    id,
    enabled: false,
    created_by: { id: 'freya', handle: 'freya', name: 'freya', roles: [] },
  });
});

test('a failed credential is said to be one, and a request without any is none', async () => {
  const answers = await Promise.all([
    forum.call({ method: 'GET', target: keys, fields: ['Authorization', `Bearer sdpak_${'a'.repeat(44)}`] }),
    forum.call({ method: 'GET', target: keys, fields: ['Cookie', 'storyden-session=guess'] }),
    forum.call({ method: 'GET', target: keys }),
    forum.as('baldur', 'GET', keys),
  ]);
  expect(answers.map(({ guessed = false }) => guessed)).toEqual([true, true, false, false]);
});

test('an outage of the sessions is no "nobody", and no way around the cookie', async () => {
  const { secret } = await makeKey(forum, 'baldur');
  forum.sessionsOut = true;
  const key = ['Authorization', `Bearer ${secret}`];
  const both = ['Cookie', 'storyden-session=odin-session', ...key];
  expect((await forum.call({ method: 'GET', target: keys, fields: both })).status).toBe(503);
  // Who shows only a key that is known here needs no session.
  expect((await forum.call({ method: 'GET', target: keys, fields: key })).status).toBe(200);
});

test('every key of many is listed once, in the order of creation, whatever became of it', async () => {
  const made: string[] = [];
  for (let i = 0; i < 60; i++) {
    made.push((await makeKey(forum, i % 2 === 0 ? 'baldur' : 'freya', { name: `k${i}` })).id);
    forum.managed.clock.advance(1);
  }
  await forum.managed.tokens.revoke({ actor: ops, id: made[4]! });
  await forum.managed.accounts.revokeTokens({ actor: ops, id: 'freya' });
  const all: { id: string; enabled: boolean }[] = json(await forum.as('odin', 'GET', '/api/admin/access-keys')).keys;
  expect(all.map(({ id }) => id)).toEqual(made);
  expect(all.filter(({ enabled }) => enabled)).toHaveLength(29);
  expect((await listed()).map(({ id }) => id)).toEqual(made.filter((_, i) => i % 2 === 0));
});

test('what is done is in the audit trail, by whom and from where', async () => {
  const { id } = await makeKey(forum, 'baldur');
  await forum.as('odin', 'DELETE', `/api/admin/access-keys/${id}`);
  const { items } = await forum.managed.tokens.events(ops, id, { limit: 10, after: null });
  expect(items.map(({ action, actor, address }) => [action, actor, address])).toEqual([
    ['create', 'access-keys:baldur', '192.0.2.7'],
    ['disable', 'access-keys:odin', '192.0.2.7'],
  ]);
});

test('a key that is revoked for good while it is being disabled is gone all the same', async () => {
  const { id } = await makeKey(forum, 'baldur');
  const { tokens, store } = forum.managed;
  const { replaceToken } = store.tokens;
  let first = true;
  store.tokens.replaceToken = async (...args) => {
    if (first) {
      first = false;
      await tokens.revoke({ actor: ops, id });
    }
    return replaceToken.apply(store.tokens, args);
  };
  expect(await forum.as('baldur', 'DELETE', `${keys}/${id}`)).toMatchObject({ status: 204 });
  expect((await stored(id)).state).toBe('revoked');
});

test('an account has 1000 enabled keys at most: all are listed, in order, and for one more one has to be deleted', async () => {
  const ids: string[] = [];
  for (let i = 0; i < 1000; i++) {
    const { token } = await forum.managed.tokens.create(ops, {
      kind: 'access-keys',
      owner: 'baldur',
      name: `key ${i}`,
      form: { make: () => ({ id: `${i}`.padStart(20, '0'), secret: `sdpak_${`${i}`.padStart(44, '0')}`, hint: 'x' }) },
    });
    ids.push(token.id);
  }
  const refused = await create({ name: 'one more' });
  expect([refused.status, json(refused).error]).toEqual([403, 'too_many_keys']);
  expect((await listed()).map(({ id }) => id)).toEqual(ids);
  expect((await forum.as('freya', 'POST', keys, { name: 'hers' })).status).toBe(200);
  expect((await forum.as('baldur', 'DELETE', `${keys}/${ids[500]}`)).status).toBe(204);
  expect((await create({ name: 'one more' })).status).toBe(200);
  expect((await create({ name: 'two more' })).status).toBe(403);
  expect((await listed()).map(({ enabled }) => enabled)).toEqual(Array.from({ length: 1001 }, (_, i) => i !== 500));
});

test('a list that would fill the memory is refused, not cut short', async () => {
  const { id } = await makeKey(forum, 'baldur', { name: 'x'.repeat(256) });
  const token = await stored(id);
  let pages = 0;
  const list = vi.spyOn(forum.managed.tokens, 'list').mockImplementation(async (_actor, _filter, limit, next) => {
    pages++;
    return { tokens: Array.from({ length: limit }, (_, i) => ({ ...token, id: `${pages} ${i}` })), next };
  });
  for (const [member, target] of [
    ['baldur', keys],
    ['odin', '/api/admin/access-keys'],
  ] as const) {
    pages = 0;
    const answer = await forum.as(member, 'GET', target);
    expect([answer.status, json(answer)]).toEqual([
      500,
      { error: 'too_many_keys', message: 'There are too many access keys for one list.' },
    ]);
    expect(pages).toBeLessThan(500);
  }
  list.mockRestore();
});
