import { beforeAll, expect, test } from 'vitest';
import { H, useRig } from '../../support/rig.ts';

/** The room where it is mounted: bytes on both listeners, with sessions that were made here. */

const routes = `
  - { path: /public/**, access: public }
  - { path: /api/**, access: token, allow: [double_slash, encoded_slash, semicolon] }`;
const more = `
credentials: [{ header: authorization, scheme: Bearer }]
token_apis:
  - { api: access-keys, mount: /api, listen: proxy }
  - { api: access-keys, mount: / }
guard: { failures: 0 }`;
const rig = useRig({ routes, more });

const keys = '/api/auth/access-keys';
const sessions = new Map<string, string>();

beforeAll(async () => {
  const { postern } = rig;
  for (const [id, permissions] of [
    ['baldur', ['USE_PERSONAL_ACCESS_KEYS']],
    ['odin', ['ADMINISTRATOR']],
    ['loki', []],
  ] as const) {
    await postern.admin('POST', '/v1/accounts', { id, permissions });
    const made = await postern.admin('POST', '/v1/sessions', { account: id, ttl: '1h' });
    expect(made.status).toBe(201);
    const session = String(made.body['session']);
    postern.planted.push(session);
    sessions.set(id, session);
  }
});

const cookie = (member: string): string => `Cookie: storyden-session=${sessions.get(member)}\r\n`;
const json = 'Content-Type: application/json\r\n';
const sized = (body: string): string => `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

const post = (body: string, fields = cookie('baldur') + json): string =>
  `POST ${keys} HTTP/1.1\r\n${H}${fields}${sized(body)}`;
const bare = (method: string, target: string, fields: string): string =>
  `${method} ${target} HTTP/1.1\r\n${H}${fields}\r\n`;

async function make(name = 'ci'): Promise<{ readonly id: string; readonly secret: string }> {
  const answer = await rig.ask(post(JSON.stringify({ name })));
  expect(answer.status).toBe(200);
  const made = answer.json() as { id: string; secret: string };
  rig.postern.planted.push(made.secret, made.secret.slice(6));
  return made;
}

const names = async (member = 'baldur'): Promise<unknown[]> => {
  const { keys: all } = (await rig.ask(bare('GET', keys, cookie(member)))).json() as { keys: { name: string }[] };
  return all.map(({ name }) => name);
};

test('a key is made with a session of /v1, works on the proxy at once, and is in no sink', async () => {
  const { secret, id } = await make();
  const used = await rig.ask(bare('GET', '/api/threads', `Authorization: Bearer ${secret}\r\n`));
  expect(used.status).toBe(200);
  const removed = await rig.ask(bare('DELETE', `${keys}/${id}`, cookie('baldur') + json));
  expect([removed.status, removed.body.length, removed.get('content-type')]).toEqual([204, 0, undefined]);
  expect((await rig.ask(bare('GET', '/api/threads', `Authorization: Bearer ${secret}\r\n`))).status).toBe(401);
  expect(rig.upstream.requests.map(({ target }) => target)).toEqual(['/api/threads']);
});

test('the session itself opens no route, as a cookie or as a key', async () => {
  const session = sessions.get('odin')!;
  for (const fields of [cookie('odin'), `Authorization: Bearer ${session}\r\n`]) {
    expect((await rig.ask(bare('GET', '/api/threads', fields))).status).toBe(401);
  }
  expect(rig.upstream.requests).toEqual([]);
});

test('a key in the place of the session makes no keys, and lists none', async () => {
  const { secret } = await make();
  const before = await names();
  const shown = `Cookie: storyden-session=${secret}\r\n${json}`;
  expect((await rig.ask(post('{"name":"child"}', shown))).status).toBe(401);
  expect((await rig.ask(bare('GET', keys, shown))).status).toBe(401);
  const beside = `${shown}Authorization: Bearer ${secret}\r\n`;
  expect((await rig.ask(post('{"name":"child"}', beside))).status).toBe(403);
  expect(await names()).toEqual(before);
});

test('answers are whole: a length, the type named exactly, and nothing that is kept', async () => {
  const answer = await rig.ask(bare('GET', keys, cookie('baldur') + json));
  expect(answer.get('content-type')).toBe('application/json');
  expect(answer.get('cache-control')).toBe('no-store');
  expect(Number(answer.get('content-length'))).toBe(answer.body.length);
});

test('a body that is not looked at is no request behind it', async () => {
  const before = await names();
  const smuggled = post('{"name":"smuggled"}');
  const client = await rig.open();
  for (const method of ['GET', 'DELETE']) {
    const target = method === 'GET' ? keys : `${keys}/9m4e2mr0ui3e8a215n4g`;
    client.write(`${method} ${target} HTTP/1.1\r\n${H}${cookie('baldur')}${json}${sized(smuggled)}`);
    expect((await client.answer()).status).toBe(method === 'GET' ? 200 : 404);
  }
  expect(await names()).toEqual(before);
});

test('a chunked body is read like any other; one that is too large makes nothing', async () => {
  const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
  const head = `POST ${keys} HTTP/1.1\r\n${H}${cookie('baldur')}${json}Transfer-Encoding: chunked\r\n\r\n`;
  const answer = await rig.ask(`${head}${chunk('{"name":')}${chunk('"in pieces"}')}0\r\n\r\n`);
  expect(answer.json()).toMatchObject({ name: 'in pieces' });
  rig.postern.planted.push(String(answer.json()['secret']));
  const before = await names();
  const large = `{"name":"${'x'.repeat(70_000)}"}`;
  for (const sent of [post(large), `${head}${chunk(large)}0\r\n\r\n`]) {
    const refused = await rig.ask(sent);
    expect([refused.status, refused.get('content-type'), refused.json()]).toEqual([
      413,
      'application/json',
      { error: 'too_large', message: 'The body is over 65536 bytes.' },
    ]);
  }
  expect(await names()).toEqual(before);
});

test.each([
  ['Origin: https://evil.example\r\n'],
  ['Origin: null\r\n'],
  ['Sec-Fetch-Site: cross-site\r\n'],
  ['Sec-Fetch-Site: same-site\r\n'],
])('with %j the cookie makes nothing, not even from a form that says it is JSON', async from => {
  const before = await names();
  for (const type of [json, 'Content-Type: text/plain\r\n', '']) {
    const answer = await rig.ask(post('{"name":"theirs"}', cookie('baldur') + from + type));
    expect([answer.status, answer.json()['error']]).toEqual([403, 'cross_site']);
    expect(answer.get('access-control-allow-origin')).toBeUndefined();
  }
  expect(await names()).toEqual(before);
});

test('its own pages may', async () => {
  const answer = await rig.ask(post('{"name":"ours"}', `${cookie('baldur')}${json}Origin: http://a\r\n`));
  expect(answer.status).toBe(200);
  rig.postern.planted.push(String(answer.json()['secret']));
});

test('a preflight of another site is not granted', async () => {
  const asks = 'Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n';
  const answer = await rig.ask(bare('OPTIONS', keys, asks));
  expect(answer.status).toBe(405);
  expect(answer.fields.filter(([name]) => /^access-control/i.test(name))).toEqual([]);
});

test.each([
  '/api//auth/access-keys',
  '//api/auth/access-keys',
  '/api/auth%2Faccess-keys',
  '/api/auth/access-keys;a=b',
  '/api/;x/auth/access-keys',
  '/api/auth/access-keys%2F9m4e2mr0ui3e8a215n4g',
  '/api/auth/access-keys//9m4e2mr0ui3e8a215n4g',
  '/api/./auth/access-keys',
  '/api/x/../auth/access-keys',
  '/api/%2e%2e/api/auth/access-keys',
  '/public/../api/auth/access-keys',
  '/public/%2e%2e/api/auth/access-keys',
  '/api\\auth\\access-keys',
])('%s, which some server takes for its path, is 400 with any credential, and reaches nobody', async target => {
  const { secret } = await make();
  for (const method of ['GET', 'DELETE']) {
    const fields = `${cookie('odin')}Authorization: Bearer ${secret}\r\n`;
    expect((await rig.ask(bare(method, target, fields))).status).toBe(400);
  }
  expect(rig.upstream.requests).toEqual([]);
});

test('what is below its paths and not its own is judged by the routes: a session is nothing there', async () => {
  for (const target of [
    `${keys}/`,
    `${keys}/a/b`,
    '/api/auth',
    '/api/AUTH/access-keys',
    '/api/admin/access-keys/a/b',
  ]) {
    expect((await rig.ask(bare('GET', target, cookie('odin')))).status).toBe(401);
  }
  expect(rig.upstream.requests).toEqual([]);
});

test('an upgrade changes nothing of what it is', async () => {
  const upgrade =
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n';
  const answer = await rig.ask(bare('GET', keys, `${cookie('baldur')}${upgrade}Origin: https://evil.example\r\n`));
  expect(answer.status).toBeGreaterThanOrEqual(400);
  expect(rig.upstream.requests).toEqual([]);
});

test('on the admin listener it needs no admin key, and an admin key is no session', async () => {
  const ask = async (method: string, target: string, headers: Record<string, string>, body?: string) => {
    const url = `http://127.0.0.1:${rig.postern.app.ports.admin}${target}`;
    const response = await fetch(url, { method, headers, ...(body !== undefined && { body }) });
    return { status: response.status, body: JSON.parse((await response.text()) || 'null') };
  };
  const own = { cookie: `storyden-session=${sessions.get('baldur')}`, 'content-type': 'application/json' };
  const made = await ask('POST', '/auth/access-keys', own, '{\n  "name": "beside /v1"\n}');
  expect(made.status).toBe(200);
  rig.postern.planted.push(made.body.secret);
  expect((await ask('GET', '/auth/access-keys', { ...own })).status).toBe(200);
  expect((await ask('DELETE', `/auth/access-keys/${made.body.id}`, own)).status).toBe(204);
  const operator = { authorization: `Bearer ${rig.postern.app.generatedKey}` };
  for (const target of ['/auth/access-keys', '/admin/access-keys']) {
    expect(await ask('GET', target, operator)).toMatchObject({ status: 401, body: { error: 'unauthenticated' } });
  }
  const evil = { ...own, origin: 'https://evil.example' };
  expect((await ask('POST', '/auth/access-keys', evil, '{"name":"theirs"}')).status).toBe(403);
  expect((await ask('GET', '/v1/tokens', own)).status).toBe(401);
});

test('an account that may not, and one that lost its permission, get 403 whatever they ask', async () => {
  const { id, secret } = await make('lost');
  expect((await rig.ask(post('{', cookie('loki') + json))).status).toBe(403);
  await rig.postern.admin('PATCH', '/v1/accounts/baldur', { permissions: [] });
  try {
    for (const fields of [cookie('baldur'), `Authorization: Bearer ${secret}\r\n`]) {
      expect((await rig.ask(bare('GET', keys, fields))).status).toBe(403);
      expect((await rig.ask(bare('DELETE', `${keys}/${id}`, fields))).status).toBe(403);
    }
  } finally {
    await rig.postern.admin('PATCH', '/v1/accounts/baldur', { permissions: ['USE_PERSONAL_ACCESS_KEYS'] });
  }
});

test('a session that was ended in /v1 is nobody’s at once', async () => {
  const made = await rig.postern.admin('POST', '/v1/sessions', { account: 'baldur' });
  const session = String(made.body['session']);
  rig.postern.planted.push(session);
  const fields = `Cookie: storyden-session=${session}\r\n`;
  expect((await rig.ask(bare('GET', keys, fields))).status).toBe(200);
  expect((await rig.postern.admin('DELETE', made.headers.get('location')!)).status).toBe(200);
  expect((await rig.ask(bare('GET', keys, fields))).status).toBe(401);
});
