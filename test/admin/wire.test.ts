import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Mounts } from '../../src/core/mounts.ts';
import { RawClient } from '../support/raw-client.ts';
import { type Admin, keys, openAdmin } from './harness.ts';

/** Bytes on the admin socket: who is answered at all, and that nothing is ever answered by Node itself. */

let admin: Admin;
const clients: RawClient[] = [];
beforeAll(async () => {
  admin = await openAdmin();
});
afterEach(() => {
  for (const client of clients.splice(0)) client.destroy();
});
afterAll(() => admin.dispose());

async function open(port = admin.port): Promise<RawClient> {
  const client = await RawClient.open(port);
  clients.push(client);
  return client;
}
async function exchange(bytes: string) {
  const client = await open();
  client.write(bytes);
  const answer = await client.answer();
  return { client, answer, code: answer.get('content-type')?.includes('problem') ? answer.json()['code'] : null };
}
const host = 'Host: localhost\r\n';
const auth = `Authorization: Bearer ${keys.admin}\r\n`;
const get = (fields: string, path = '/v1/tokens') => `GET ${path} HTTP/1.1\r\n${fields}\r\n`;

describe('Host and Origin', () => {
  test.each([
    'localhost',
    'LOCALHOST',
    'localhost.',
    'localhost:9999',
    '127.0.0.1',
    '127.0.0.1:80',
    '[::1]',
    '[::1]:8081',
  ])('Host %s is answered', async value => {
    expect((await exchange(get(`Host: ${value}\r\n${auth}`))).answer.status).toBe(200);
  });

  test.each([
    'evil.tld',
    'evil.tld:9901',
    'localhost.evil.tld',
    'xlocalhost',
    '127.0.0.1.evil.tld',
    '10.0.0.1',
    '[::2]',
    '0',
    '2130706433',
  ])('Host %s is not, with the right key too', async value => {
    const { answer, code } = await exchange(get(`Host: ${value}\r\n${auth}`));
    expect([answer.status, code]).toEqual([403, 'forbidden']);
  });

  test.each([
    ['none', ''],
    ['two', 'Host: localhost\r\nHost: localhost\r\n'],
    ['two of two spellings', 'Host: localhost\r\nhOST: evil.tld\r\n'],
    ['an empty one', 'Host:\r\n'],
    ['a user', 'Host: localhost@evil.tld\r\n'],
    ['a list', 'Host: localhost, evil.tld\r\n'],
    ['a port beyond all', 'Host: localhost:99999\r\n'],
    ['a space', 'Host: local host\r\n'],
  ])('%s is malformed', async (_what, fields) => {
    const { answer, code } = await exchange(get(fields + auth));
    expect([answer.status, code]).toEqual([400, 'malformed_request']);
  });

  test.each([
    'http://localhost',
    'https://localhost:8443',
    'http://127.0.0.1:8081',
    'http://[::1]:1',
    'HTTP://LOCALHOST',
  ])('Origin %s is answered', async origin => {
    const { answer } = await exchange(get(`${host}Origin: ${origin}\r\n${auth}`));
    expect(answer.status).toBe(200);
  });

  test.each([
    'http://evil',
    'null',
    'https://localhost.evil.tld',
    'ftp://localhost',
    'localhost',
    'http://localhost/x',
    'http://evil@localhost',
    'http://',
    '',
  ])('Origin %j is not, whatever else is right', async origin => {
    const { answer, code } = await exchange(get(`${host}Origin: ${origin}\r\n${auth}`));
    expect([answer.status, code]).toEqual([403, 'forbidden']);
  });

  test('a page of another site gets nothing done by a form, a text or a preflight, and reads nothing', async () => {
    const before = await admin.managed.store.feed.head();
    const site = `${host}Origin: http://evil.tld\r\n`;
    for (const [line, rest] of [
      ['POST /v1/tokens', `${site}Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}`],
      ['POST /v1/tokens', `${site}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=b`],
      ['POST /v1/tokens/x/disable', `${site}Content-Length: 0\r\n\r\n`],
      ['OPTIONS /v1/tokens', `${site}Access-Control-Request-Method: POST\r\n\r\n`],
      ['POST /v1/tokens', `Host: evil.tld:9901\r\n${auth}Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}`],
    ]) {
      const { answer } = await exchange(`${line} HTTP/1.1\r\n${rest}`);
      expect(answer.status).toBe(403);
      const names = answer.fields.map(([name]) => name.toLowerCase());
      expect(names.filter(name => name.startsWith('access-control') || name === 'set-cookie')).toEqual([]);
    }
    const text = await exchange(
      `POST /v1/tokens HTTP/1.1\r\n${host}${auth}Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}`,
    );
    expect(text.answer.status).toBe(415);
    expect(await admin.managed.store.feed.head()).toEqual(before);
  });

  test('configured hosts are answered, and no others', async () => {
    const named = await openAdmin({ policy: { hosts: ['admin.internal', '[2001:DB8::1]'] } });
    const ask = async (value: string) => (await named.ask('GET', '/v1/tokens', { fields: { host: value } })).status;
    expect(await ask('admin.internal:8081')).toBe(200);
    expect(await ask('ADMIN.internal.')).toBe(200);
    expect(await ask('[2001:db8::1]')).toBe(200);
    expect(await ask('localhost')).toBe(403);
    named.listener.policy = {
      keys: [],
      hosts: ['localhost'],
      guard: { peek: () => 0, failed: () => 0 },
      mounts: new Mounts([]),
    };
    expect([await ask('localhost'), await ask('admin.internal')]).toEqual([401, 403]);
    await named.dispose();
  });
});

describe('credentials', () => {
  test.each([
    ['two of them', `${auth}${auth}`, 400],
    ['a key and a scheme', `${auth}authorization: Basic eA==\r\n`, 400],
    ['another scheme', `Authorization: Basic ${Buffer.from(keys.admin).toString('base64')}\r\n`, 401],
    ['no scheme', `Authorization: ${keys.admin}\r\n`, 401],
    ['two spaces', `Authorization: Bearer  ${keys.admin}\r\n`, 401],
    ['a quote', `Authorization: Bearer "${keys.admin}"\r\n`, 401],
    ['something behind', `Authorization: Bearer ${keys.admin} x\r\n`, 401],
    ['nothing', 'Authorization: Bearer\r\n', 401],
    ['another field', `X-Api-Key: ${keys.admin}\r\n`, 401],
    ['a cookie', `Cookie: key=${keys.admin}\r\n`, 401],
    ['the scheme in capitals', `Authorization: BEARER ${keys.admin}\r\n`, 200],
  ])('%s', async (_what, fields, status) => {
    expect((await exchange(get(host + fields))).answer.status).toBe(status);
  });

  test('a key in the query is no key', async () => {
    expect((await exchange(get(host, `/v1/tokens?key=${keys.admin}&access_token=${keys.admin}`))).answer.status).toBe(
      401,
    );
  });
});

describe('the path', () => {
  test.each([
    ['//v1/tokens', 404],
    ['/v1//tokens', 404],
    ['/v1/tokens/', 404],
    ['/v1/tokens;x', 404],
    ['/V1/tokens', 404],
    ['/v1/tokens/a%2Fb', 404],
    ['/v1/tokens/a%25b', 404],
    ['/v1/tokens/%61/%70ermissions', 404],
    ['/v1/tokens/.hidden', 404],
    ['/v1/tokens/-x', 404],
    [`/v1/tokens/${'x'.repeat(65)}`, 404],
    ['/v1/tokens/caf%C3%A9', 404],
    ['/v1/tokens/__proto__', 404],
    ['/v1/%74okens', 200],
    ['/v1/./tokens', 400],
    ['/v1/x/../tokens', 400],
    ['/v1/%2e%2e/v1/tokens', 400],
    ['/v1\\tokens', 400],
    ['/v1/tokens/%00', 400],
    ['/v1/tokens/%', 400],
    ['/v1/tokens/%252e', 400],
    ['/v1/tokens#x', 400],
    ['http://localhost/v1/tokens', 400],
  ])('%s is answered with %i', async (path, status) => {
    expect((await exchange(get(host + auth, path))).answer.status).toBe(status);
  });
});

describe('what is not HTTP, or too much of it', () => {
  test.each([
    ['HTTP/2 without asking', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505],
    ['HTTP/0.9', 'GET /\r\n\r\n', 505],
    ['HTTP/3.0', `GET / HTTP/3.0\r\n${host}\r\n`, 505],
    ['TLS on a plain port', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
    [
      'a length and an encoding',
      `POST /v1/tokens HTTP/1.1\r\n${host}${auth}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
    ],
    [
      'two encodings',
      `POST /v1/tokens HTTP/1.1\r\n${host}${auth}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
      400,
    ],
    [
      'an encoding on 1.0',
      `POST /v1/tokens HTTP/1.0\r\n${host}${auth}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
    ],
    ['101 fields', get(host + auth + 'X: y\r\n'.repeat(99)), 431],
    ['a long field', get(`${host}${auth}X: ${'y'.repeat(17_000)}\r\n`), 431],
    ['a long line', get(host + auth, `/${'y'.repeat(17_000)}`), 431],
    ['an expectation', get(`${host}${auth}Expect: tea\r\n`), 417],
    ['CONNECT without a key', `CONNECT x:443 HTTP/1.1\r\n${host}\r\n`, 401],
    ['CONNECT', `CONNECT x:443 HTTP/1.1\r\n${host}${auth}\r\n`, 405],
    ['TRACE', `TRACE /v1/tokens HTTP/1.1\r\n${host}${auth}\r\n`, 405],
    ['OPTIONS of everything', `OPTIONS * HTTP/1.1\r\n${host}${auth}\r\n`, 405],
    [
      'an upgrade',
      get(
        `${host}${auth}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n`,
        '/x',
      ),
      404,
    ],
  ])('%s is answered with a problem and an id', async (_what, bytes, status) => {
    const { answer } = await exchange(bytes);
    expect(answer.status).toBe(status);
    expect(answer.get('content-type')).toBe('application/problem+json');
    expect(answer.get('cache-control')).toBe('no-store');
    expect(answer.get('x-request-id')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
    expect(answer.json()).toMatchObject({ status, request_id: answer.get('x-request-id') });
  });

  test('an upgrade is declined by answering the request', async () => {
    const { answer } = await exchange(get(`${host}${auth}Connection: Upgrade\r\nUpgrade: h2c\r\n`));
    expect(answer.status).toBe(200);
  });

  test('a body whose framing breaks is refused once, and changes nothing', async () => {
    const before = await admin.managed.store.feed.head();
    const client = await open();
    client.write(
      `POST /v1/tokens HTTP/1.1\r\n${host}${auth}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nZZ\r\n`,
    );
    expect((await client.answer()).status).toBe(400);
    await client.untilClosed();
    expect(client.text).toBe('');
    expect(await admin.managed.store.feed.head()).toEqual(before);
  });

  test('garbage behind a whole request leaves its answer whole, and is never a request', async () => {
    const client = await open();
    client.write(`${get(host + auth)}GARBAGE\r\n\r\n`);
    const answer = await client.answer();
    expect([200, 400]).toContain(answer.status);
    await client.untilClosed();
    expect(client.text.match(/HTTP\/1\.1 2/g)).toBeNull();
  });

  test('what is refused before its body came is answered whole, and its body is never a request', async () => {
    const client = await open();
    const inner = get(host + auth, '/v1/openapi.json');
    client.write(`POST /v1/tokens HTTP/1.1\r\n${host}Content-Length: ${1024 * 1024}\r\n\r\n${inner}`);
    const answer = await client.answer();
    expect([answer.status, answer.get('connection')]).toEqual([401, 'close']);
    client.write(inner.repeat(10));
    await client.untilClosed();
    expect(client.text).toBe('');
  });

  test('a body that nobody asked for is swallowed, and the answer is the one to its request', async () => {
    const client = await open();
    client.write(`GET /v1/openapi.json HTTP/1.1\r\n${host}${auth}Content-Length: 5\r\n\r\nhello`);
    expect((await client.answer()).status).toBe(200);
  });

  test('a client that waits to be asked for its body is asked', async () => {
    const client = await open();
    client.write(
      `POST /v1/tokens HTTP/1.1\r\n${host}${auth}Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n`,
    );
    expect((await client.answer()).status).toBe(100);
    client.write('{}');
    expect((await client.answer()).status).toBe(201);
  });

  test('and is not asked when its request is refused', async () => {
    const client = await open();
    client.write(
      `POST /v1/tokens HTTP/1.1\r\n${host}Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n`,
    );
    expect((await client.answer()).status).toBe(401);
    await client.untilClosed();
  });

  test('requests on one connection are answered in their order', async () => {
    const client = await open();
    client.write(get(host + auth, '/v1/tokens/nothing') + get(host + auth) + get(host, '/v1/tokens'));
    const statuses = [await client.answer(), await client.answer(), await client.answer()].map(({ status }) => status);
    expect(statuses).toEqual([404, 200, 401]);
  });

  test('HEAD and 304 have no body on the wire: what follows is the next answer', async () => {
    const { id } = await admin.make();
    const client = await open();
    const at = `/v1/tokens/${id}`;
    const known = `${host}${auth}If-None-Match: "1"\r\n`;
    client.write(
      `HEAD ${at} HTTP/1.1\r\n${host}${auth}\r\nHEAD ${at}x HTTP/1.1\r\n${host}${auth}\r\n${get(known, at)}${get(host + auth, at)}`,
    );
    const heads = [await client.answer({ head: true }), await client.answer({ head: true })];
    expect(heads.map(({ status }) => status)).toEqual([200, 404]);
    expect((await client.answer()).status).toBe(304);
    const whole = await client.answer();
    expect([whole.status, whole.json()['id']]).toEqual([200, id]);
    expect(heads[0]!.get('content-length')).toBe(String(whole.body.length));
  });

  test('HTTP/1.0 is served, and its connection ends', async () => {
    const { answer, client } = await exchange(`GET /v1/tokens HTTP/1.0\r\n${host}${auth}\r\n`);
    expect(answer.status).toBe(200);
    await client.untilClosed();
  });

  test('clients that go in the middle of a body leave nothing behind', async () => {
    const before = await admin.managed.store.feed.head();
    for (let i = 0; i < 20; i++) {
      const client = await open();
      client.write(
        `POST /v1/tokens HTTP/1.1\r\n${host}${auth}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"na`,
      );
      if (i % 2 === 0) client.reset();
      else client.end();
    }
    expect((await admin.ask('GET', '/v1/openapi.json')).status).toBe(200);
    expect(await admin.managed.store.feed.head()).toEqual(before);
    expect(admin.log).toEqual([]);
  });
});

describe('slow clients', () => {
  let impatient: Admin;
  beforeAll(async () => {
    impatient = await openAdmin({ options: { headTimeoutMs: 200, requestTimeoutMs: 400 } });
  });
  afterAll(() => impatient.dispose());

  test('a head that comes too slowly is cut off', async () => {
    const client = await open(impatient.port);
    client.write('GET /v1/tokens HTTP/1.1\r\nHos');
    expect((await client.answer()).status).toBe(408);
    await client.untilClosed();
  });

  test('a body that comes too slowly is cut off, and its request is refused once', async () => {
    const client = await open(impatient.port);
    client.write(
      `POST /v1/tokens HTTP/1.1\r\n${host}${auth}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{`,
    );
    const answer = await client.answer();
    expect([answer.status, answer.json()['code'], answer.get('connection')]).toEqual([408, 'request_timeout', 'close']);
    await client.untilClosed();
    expect(client.text).toBe('');
  });
});

test('answers are counted by their status, those to what was no request too', async () => {
  const counted = await openAdmin();
  await counted.ask('GET', '/v1/tokens');
  await counted.ask('GET', '/v1/tokens', { key: null });
  await counted.ask('GET', '/v1/tokens/nothing');
  const client = await RawClient.open(counted.port);
  client.write('nonsense\r\n\r\n');
  await client.untilClosed();
  expect(Object.fromEntries(counted.listener.counts)).toEqual({ 200: 1, 400: 1, 401: 1, 404: 1 });
  await counted.dispose();
});

test('closing answers what is under way, and then nothing', async () => {
  const closing = await openAdmin();
  const client = await RawClient.open(closing.port);
  client.write(
    `POST /v1/tokens HTTP/1.1\r\n${host}${auth}Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n`,
  );
  expect((await client.answer()).status).toBe(100);
  const closed = closing.listener.close();
  client.write('{}');
  const answer = await client.answer();
  expect([answer.status, answer.get('connection')]).toEqual([201, 'close']);
  await client.untilClosed();
  client.destroy();
  await closed;
  expect([closing.listener.listening, closing.listener.connections]).toEqual([false, 0]);
  await expect(RawClient.open(closing.port)).rejects.toThrow();
  await closing.dispose();
});
