import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { TokenApi } from '../../src/config/config.ts';
import { Postern } from '../support/postern.ts';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { StubMount } from '../support/stub-mount.ts';

/** Token APIs on the admin listener: no admin key, content types of their own, and never in the way of `/v1`. */

const stubs = new Map<string, StubMount>();
const more = `
token_apis:
  - { api: access-keys, mount: /api }
  - { api: access-keys, mount: /on-the-proxy, listen: proxy }
  - { api: api-tokens, mount: /rpc }
  - { api: access-api, mount: / }
guard: { failures: 2, per: 1m }
shutdown: { grace: 100ms }`;
let upstream: RecordingUpstream;
let postern: Postern;
beforeAll(async () => {
  upstream = await new RecordingUpstream().listen();
  const mountOf = (api: TokenApi): StubMount => {
    const stub = new StubMount(api);
    stubs.set(api.path, stub);
    return stub;
  };
  postern = await Postern.start({ upstream: upstream.url, more, mountOf });
});
afterEach(() => RawClient.closeAll());
afterAll(async () => {
  await postern.stop();
  await upstream.close();
});

const request = (target: string, fields = '', method = 'GET', host = 'localhost'): string =>
  `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n${fields}\r\n`;
const form = 'Content-Type: application/x-www-form-urlencoded\r\n';
const post = (target: string, body: string, fields = form): string =>
  `${request(target, `${fields}Content-Length: ${body.length}\r\n`, 'POST')}${body}`;
const chunks = (...pieces: string[]): string =>
  `${pieces.map(piece => `${piece.length.toString(16)}\r\n${piece}\r\n`).join('')}0\r\n\r\n`;

async function send(bytes: string): Promise<RawClient> {
  const client = await RawClient.open(postern.app.ports.admin);
  client.write(bytes);
  return client;
}
const ask = async (bytes: string) => (await send(bytes)).answer();

describe('a token API on the admin listener', () => {
  test('answers without an admin key, in its own content types', async () => {
    const answer = await ask(post('/api/auth/access-keys', 'anything', 'Content-Type: text/plain\r\n'));
    expect(answer.json()).toEqual({
      api: 'access-keys',
      method: 'POST',
      path: '/api/auth/access-keys',
      client: '127.0.0.1',
      origin: 'http://localhost',
      body: 'anything',
    });
    expect([answer.get('cache-control'), answer.get('content-type')]).toEqual(['no-store', 'application/json']);
    const bytes = await ask(request('/rpc/v1/api-tokens/x?do=bytes'));
    expect([[...bytes.body], bytes.get('content-type')]).toEqual([[0, 255, 10, 128], 'application/msgpack']);
    expect((await ask(request('/rpc/v1/api-tokens/x?do=none'))).status).toBe(204);
  });

  test('is asked for none but its own requests, and the rest needs an admin key', async () => {
    for (const target of ['/api/auth/other', '/?cmd=db.get', '/v1/tokens', '/on-the-proxy/auth/access-keys']) {
      expect((await ask(request(target))).json()['code'], target).toBe('unauthenticated');
    }
    expect((await ask(post('/', 'cmd=db.get'))).json()['code']).toBe('unauthenticated');
    expect((await ask(post('/', 'cmd=access.add'))).json()).toMatchObject({
      api: 'access-api',
      body: 'cmd=access.add',
    });
    const elsewhere = `${request('/', `${form}Transfer-Encoding: chunked\r\n`, 'POST')}${chunks('cmd=acc', 'ess.get')}`;
    expect((await ask(elsewhere)).json()).toMatchObject({ api: 'access-api', body: 'cmd=access.get' });
  });

  test('does not answer to a Host that is not the listener’s, and sees to Origin itself', async () => {
    const elsewhere = await ask(request('/api/auth/access-keys', '', 'GET', 'evil.example'));
    expect([elsewhere.status, elsewhere.json()['code']]).toEqual([403, 'forbidden']);
    expect(stubs.get('/api')!.seen.requests.some(({ form: { host } }) => host === 'evil.example')).toBe(false);
    const origin = 'Origin: https://app.example\r\n';
    expect((await ask(request('/api/auth/access-keys', origin))).status).toBe(200);
    expect((await ask(request('/v1/tokens', origin))).status).toBe(403);
  });

  test('takes one doubled slash directly behind api-tokens, and no other odd path', async () => {
    expect((await ask(request('/rpc//v1/api-tokens/read'))).json()).toMatchObject({ api: 'api-tokens' });
    for (const target of ['/rpc///v1/api-tokens/read', '/api//auth/access-keys', '/api/auth/access-keys;x']) {
      expect((await ask(request(target))).json()['code'], target).toBe('malformed_request');
    }
  });

  test('answers itself what is over its bound, by length and in chunks; where the framing breaks it is 400', async () => {
    const target = '/rpc/v1/api-tokens/x?limit=10';
    const chunked = request(target, 'Transfer-Encoding: chunked\r\n', 'POST');
    for (const sent of [post(target, 'x'.repeat(11)), `${chunked}${chunks('x'.repeat(11))}`]) {
      const answer = await ask(sent);
      expect([answer.status, answer.body.toString()]).toEqual([413, 'too much']);
    }
    expect((await ask(`${chunked}zz\r\n`)).json()['code']).toBe('malformed_request');
    expect((await ask(post(target, 'x'.repeat(10)))).json()).toMatchObject({ body: 'x'.repeat(10) });
    const large = `cmd=access.add&x=${'x'.repeat(64 * 1024)}`;
    expect((await ask(post('/', large))).json()['code']).toBe('unauthenticated');
    const inChunks = `${request('/', `${form}Transfer-Encoding: chunked\r\n`, 'POST')}${chunks(large)}`;
    expect((await ask(inChunks)).json()['code']).toBe('unauthenticated');
  });

  test('answers pipelined requests in turn', async () => {
    const client = await send(post('/api/auth/access-keys', 'x') + post('/', 'cmd=access.add') + request('/v1/tokens'));
    expect((await client.answer()).json()).toMatchObject({ api: 'access-keys', body: 'x' });
    expect((await client.answer()).json()).toMatchObject({ body: 'cmd=access.add' });
    expect((await client.answer()).status).toBe(401);
  });

  test('that cannot reach the store is 503, and a fault of its own 500', async () => {
    expect((await ask(request('/rpc/v1/api-tokens/x?do=outage'))).json()['code']).toBe('store_unavailable');
    expect((await ask(request('/rpc/v1/api-tokens/x?do=throw'))).json()['code']).toBe('internal_error');
  });

  test('counts what is guessed with admin keys', async () => {
    for (let i = 0; i < 2; i++) expect((await ask(request('/rpc/v1/api-tokens/x?do=guess'))).status).toBe(403);
    const answer = await ask(request('/rpc/v1/api-tokens/x?do=guess'));
    expect([answer.status, answer.json()['code']]).toEqual([429, 'too_many_failures']);
    expect((await ask(request('/v1/tokens', 'Authorization: Bearer wrong\r\n'))).status).toBe(429);
  });
});

const handshake = (target: string): string =>
  request(
    target,
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n',
  );

describe('a WebSocket of a token API on the admin listener', () => {
  test('is the API’s from the first byte behind the handshake', async () => {
    const client = await send(`${handshake('/rpc')}early`);
    const answer = await client.answer({ head: true });
    expect([answer.status, answer.get('sec-websocket-accept')]).toEqual([101, 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=']);
    client.write('later');
    await client.until(({ text }) => text === 'earlylater');
    expect(await postern.metric('postern_streams_open{kind="websocket"}')).toBe(1);
    client.end();
    await client.untilClosed();
    await expect.poll(() => postern.metric('postern_streams_open{kind="websocket"}')).toBe(0);
    await expect.poll(() => stubs.get('/rpc')!.open.size).toBe(0);
  });

  test('is refused before the upgrade, and the connection ends', async () => {
    const client = await send(handshake('/rpc?do=refuse'));
    const answer = await client.answer();
    expect([answer.status, answer.get('connection')]).toEqual([403, 'close']);
    await client.untilClosed();
    const short = await ask(handshake('/rpc').replace('dGhlIHNhbXBsZSBub25jZQ==', 'short'));
    expect(short.json()['code']).toBe('malformed_request');
  });

  test('is none elsewhere: the offer is declined by answering', async () => {
    for (const target of ['/v1/tokens', '/api', '/rpc/v1/api-tokens/x']) {
      const answer = await ask(handshake(target));
      expect([answer.status, answer.get('upgrade')], target).toEqual([401, undefined]);
    }
  });

  test('behind a request that is not answered yet is refused', async () => {
    const client = await send(request('/v1/tokens') + handshake('/rpc'));
    expect((await client.answer()).status).toBe(401);
    expect((await client.answer()).json()['code']).toBe('malformed_request');
  });

  test('is told goodbye at shutdown', async () => {
    const client = await send(handshake('/rpc'));
    expect((await client.answer({ head: true })).status).toBe(101);
    await postern.stop();
    await client.untilClosed();
    expect([...client.bytes]).toEqual([0x88, 0x02, 0x03, 0xe9]);
  });
});
