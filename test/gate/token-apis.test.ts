import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import path from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import type { TokenApi } from '../../src/config/config.ts';
import { Postern } from '../support/postern.ts';
import { below, randomFrom, seed, several } from '../support/random.ts';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { H, useRig } from '../support/rig.ts';
import { StubMount } from '../support/stub-mount.ts';

/** Token APIs on the proxy listener: what is theirs is answered here, and what is not goes on as it came. */

const stubs = new Map<string, StubMount>();
const routes = `
  - { path: /public/**, access: public }
  - { path: /legacy, access: public }
  - { path: /small, access: public, max_body: 10B }
  - { path: /rights, require: api }
  - { path: /large, require: "{param.act}", inspect_body: 256KiB }
  - { path: /inspected, require: "{param.act}", inspect_body: 1KiB }
  - { path: "/**", require: api, allow: [double_slash, semicolon, encoded_slash, encoded_percent] }`;
const more = `
token_apis:
  - { api: access-keys, mount: /api, listen: proxy }
  - { api: api-tokens, mount: /rpc, listen: proxy }
  - { api: access-api, mount: /legacy, listen: proxy }
  - { api: access-api, mount: /small, listen: proxy }
  - { api: access-api, mount: /inspected, listen: proxy }
  - { api: access-api, mount: /large, listen: proxy }
  - { api: access-api, mount: /rights, listen: proxy }
guard: { failures: 3, per: 1m }`;
const mountOf = (api: TokenApi): StubMount => {
  const stub = new StubMount(api);
  stubs.set(api.path, stub);
  return stub;
};
const rig = useRig({ routes, more, mountOf, proxyMembers: 'body_timeout: 500ms' });

const stub = (at: string): StubMount => stubs.get(at)!;
beforeEach(() => {
  for (const { seen } of stubs.values()) {
    seen.bodies.length = 0;
    seen.requests.length = 0;
  }
});

const form = 'Content-Type: application/x-www-form-urlencoded\r\n';
const chunked = 'Transfer-Encoding: chunked\r\n';
const chunks = (...pieces: string[]): string =>
  `${pieces.map(piece => `${piece.length.toString(16)}\r\n${piece}\r\n`).join('')}0\r\n\r\n`;
const request = (target: string, fields = '', method = 'GET'): string =>
  `${method} ${target} HTTP/1.1\r\n${H}${fields}\r\n`;
const post = (target: string, body: string, fields = form): string =>
  `${request(target, `${fields}Content-Length: ${body.length}\r\n`, 'POST')}${body}`;
const bytesUpstream = (): string => rig.upstream.bytes;
const lastLine = async (): Promise<Record<string, unknown>> => (await rig.postern.requestLines()).at(-1)!;

describe('what is of a token API', () => {
  test('is answered by it, without a token, and no byte of it reaches an upstream', async () => {
    const answer = await rig.ask(post('/api/auth/access-keys', '{"name":"ci"}', 'Content-Type: application/json\r\n'));
    expect([answer.status, answer.get('content-type'), answer.get('cache-control')]).toEqual([
      200,
      'application/json',
      'no-store',
    ]);
    expect(answer.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(answer.json()).toEqual({
      api: 'access-keys',
      method: 'POST',
      path: '/api/auth/access-keys',
      client: '127.0.0.1',
      origin: 'http://a',
      body: '{"name":"ci"}',
    });
    expect(bytesUpstream()).toBe('');
  });

  test('is recorded by its mount, and charged to nobody', async () => {
    const before = await rig.postern.metric(
      'postern_requests_total{route="/api",method="GET",code="200",outcome="allowed"}',
    );
    await rig.ask(request('/api/auth/access-keys', rig.A));
    await expect.poll(lastLine).toMatchObject({
      route: '/api',
      reason: 'public',
      outcome: 'allowed',
      status: 200,
      token_id: null,
      upstream: null,
    });
    const counted = 'postern_requests_total{route="/api",method="GET",code="200",outcome="allowed"}';
    expect(await rig.postern.metric(counted)).toBe(before + 1);
  });

  test('is logged without its path where a token stands in that', async () => {
    const { secret } = await rig.postern.mint();
    for (const shown of [secret, `sdpak_${'a1'.repeat(22)}`]) {
      await rig.ask(request(`/rpc/v1/api-tokens/${shown}`));
      await expect.poll(lastLine).toMatchObject({ route: '/rpc', path: '/rpc' });
    }
  });

  test('may be answered with bytes, and without a body', async () => {
    const bytes = await rig.ask(request('/rpc/v1/api-tokens/x?do=bytes'));
    expect([bytes.get('content-type'), bytes.get('content-length'), [...bytes.body]]).toEqual([
      'application/msgpack',
      '4',
      [0, 255, 10, 128],
    ]);
    const none = await rig.ask(request('/rpc/v1/api-tokens/x?do=none'));
    expect([none.status, none.get('content-length'), none.body.length]).toEqual([204, undefined, 0]);
    const head = await rig.ask(request('/rpc/v1/api-tokens/x?do=bytes', '', 'HEAD'), { head: true });
    expect([head.status, head.get('content-length')]).toEqual([200, '4']);
  });

  test('leaves the connection in step, also where its body was not read, and pipelined requests in turn', async () => {
    const client = await rig.send(
      post('/api/auth/access-keys?do=unread', 'x'.repeat(1000)) +
        post('/legacy?x=1', 'cmd=access.add') +
        post('/legacy', 'cmd=db.get&auth_token=1') +
        request('/public/x') +
        request('/api/auth/access-keys'),
    );
    expect((await client.answer()).body.toString()).toBe('unread');
    expect((await client.answer()).json()).toMatchObject({ api: 'access-api', body: 'cmd=access.add' });
    for (let i = 0; i < 2; i++) expect((await client.answer()).get('x-request-id')).toBeDefined();
    expect((await client.answer()).json()).toMatchObject({ api: 'access-keys' });
    expect(rig.upstream.requests.map(({ target }) => target)).toEqual(['/legacy', '/public/x']);
  });

  test('waits for its turn: nothing behind it is begun before it is answered', async () => {
    let release: () => void = () => {};
    stub('/api').held = new Promise(resolve => {
      release = resolve;
    });
    const client = await rig.send(request('/api/auth/access-keys') + request('/public/behind'));
    await expect.poll(() => stub('/api').seen.requests.length).toBe(1);
    expect(bytesUpstream()).toBe('');
    release();
    stub('/api').held = Promise.resolve();
    expect((await client.answer()).json()).toMatchObject({ api: 'access-keys' });
    expect((await client.answer()).status).toBe(200);
  });

  test('is asked for its body when the client waits for that', async () => {
    const client = await rig.send(
      request('/api/auth/access-keys', 'Expect: 100-continue\r\nContent-Length: 2\r\n', 'POST'),
    );
    expect((await client.answer()).status).toBe(100);
    client.write('ab');
    expect((await client.answer()).json()).toMatchObject({ body: 'ab' });
  });

  test('never goes to a route where it failed', async () => {
    const answer = await rig.ask(request('/rpc/v1/api-tokens/x?do=outage'));
    expect([answer.status, answer.json()['code'], answer.get('retry-after')]).toEqual([503, 'store_unavailable', '1']);
    expect(bytesUpstream()).toBe('');
  });
});

describe('a body of a token API', () => {
  test('over what it takes is the API’s to answer, by length and in chunks, and ends the connection', async () => {
    const target = '/rpc/v1/api-tokens/x?limit=10';
    const inChunks = `${request(target, chunked, 'POST')}${chunks('x'.repeat(6), 'x'.repeat(5))}`;
    for (const sent of [post(target, 'x'.repeat(11)), inChunks]) {
      const answer = await rig.ask(sent);
      expect([answer.status, answer.body.toString(), answer.get('connection')]).toEqual([413, 'too much', 'close']);
    }
    expect(bytesUpstream()).toBe('');
    expect((await rig.ask(post(target, 'x'.repeat(10)))).json()).toMatchObject({ body: 'x'.repeat(10) });
  });

  test('that comes too slowly is 408', async () => {
    await rig.refuses(request('/rpc/v1/api-tokens/x', 'Content-Length: 10\r\n', 'POST'), 'request_timeout');
    await rig.refuses(request('/legacy', `${form}Content-Length: 10\r\n`, 'POST'), 'request_timeout');
  });

  test('whose framing breaks is 400', async () => {
    for (const target of ['/rpc/v1/api-tokens/x', '/legacy']) {
      await rig.refuses(`${request(target, form + chunked, 'POST')}zz\r\n`, 'malformed_request');
    }
  });

  test('whose client goes is an abort', async () => {
    for (const target of ['/rpc/v1/api-tokens/x', '/legacy']) {
      const before = (await rig.postern.requestLines()).length;
      const client = await rig.send(`${request(target, `${form}Content-Length: 10\r\n`, 'POST')}x`);
      client.reset();
      await expect.poll(async () => (await rig.postern.requestLines()).length).toBe(before + 1);
      expect(await lastLine()).toMatchObject({ status: 499, outcome: 'aborted' });
    }
  });
});

test('large answers that clients do not take are bounded by network, and room comes back when they have gone', async () => {
  const target = request('/api/auth/access-keys?do=large');
  const ask = async (): Promise<number> => {
    const client = await RawClient.open(rig.postern.port);
    client.write(target);
    const { status } = await client.answer();
    client.destroy();
    return status;
  };
  let unread: Socket | null = null;
  // Whoever does not read is cut off after a while: on a busy machine that may come first.
  await expect
    .poll(
      async () => {
        unread?.destroy();
        unread = connect(rig.postern.port, '127.0.0.1');
        unread.write(target);
        // The head is there, and nothing of it is read.
        await once(unread, 'readable');
        return ask();
      },
      { timeout: 10_000 },
    )
    .toBe(503);
  expect((await lastLine())['reason']).toBe('overloaded');
  (unread as Socket | null)?.destroy();
  await expect.poll(ask, { timeout: 5000 }).toBe(200);
});

describe('a body that tells whose a request is', () => {
  test.each([
    ['by length', (body: string) => post('/legacy', body)],
    [
      'in chunks',
      (body: string) => `${request('/legacy', form + chunked, 'POST')}${chunks(body.slice(0, 3), body.slice(3))}`,
    ],
  ])('is forwarded byte for byte where it is nobody’s, %s', async (framing, made) => {
    const body = 'cmd=db.get&auth_token=%41+b&x=\u00ff';
    expect((await rig.ask(made(body))).status).toBe(200);
    const { only } = rig.upstream;
    expect(only.body.toString('latin1')).toBe(body);
    expect([only.get('content-length'), only.get('transfer-encoding')]).toEqual(
      framing === 'by length' ? [String(body.length), undefined] : [undefined, 'chunked'],
    );
    expect(stub('/legacy').seen.bodies).toHaveLength(1);
  });

  test('is the API’s, where it says so, and none of it reaches the upstream', async () => {
    const inChunks = `${request('/legacy', form + chunked, 'POST')}${chunks('cm', 'd=access.add')}`;
    for (const bytes of [post('/legacy', 'cmd=access.add'), inChunks]) {
      expect((await rig.ask(bytes)).json()).toMatchObject({ api: 'access-api', body: 'cmd=access.add' });
    }
    expect(bytesUpstream()).toBe('');
  });

  test('is one of 64 KiB at most: a larger one goes on to the routes, by length and in chunks, whatever it says', async () => {
    const most = `cmd=access.add&x=${'x'.repeat(64 * 1024 - 17)}`;
    const inChunks = (body: string) => `${request('/legacy', form + chunked, 'POST')}${chunks(body)}`;
    for (const made of [(body: string) => post('/legacy', body), inChunks]) {
      expect((await rig.ask(made(most))).json()).toMatchObject({ body: most });
      expect(bytesUpstream()).toBe('');
      expect((await rig.ask(made(`${most}x`))).status).toBe(200);
      expect(rig.upstream.only.body.toString('latin1')).toBe(`${most}x`);
      const framing = ['content-length', 'transfer-encoding'].map(name => rig.upstream.only.get(name));
      expect(framing).toEqual(made === inChunks ? [undefined, 'chunked'] : [String(most.length + 1), undefined]);
      rig.upstream.forget();
    }
    await rig.denies(`${request('/rights', form + chunked, 'POST')}${chunks(`${most}x`)}`, 'missing_token');
  });

  test(`of a megabyte in chunks of every size is forwarded byte for byte, and the connection stays in step (seed ${seed})`, async () => {
    const random = randomFrom(seed);
    const noise = Buffer.from(several(random, 1024 * 1024, 1024 * 1024, () => below(random, 256)));
    const body = Buffer.concat([Buffer.from('cmd=access.get&x='), noise]);
    for (const expects of ['', 'Expect: 100-continue\r\n']) {
      const client = await rig.send(request('/legacy', form + chunked + expects, 'POST'));
      if (expects !== '') expect((await client.answer()).status).toBe(100);
      for (let at = 0; at < body.length; ) {
        const piece = body.subarray(at, at + 1 + below(random, at < 200_000 ? 9000 : 200_000));
        at += piece.length;
        client.write(`${piece.length.toString(16)}\r\n`);
        client.write(piece);
        client.write('\r\n');
      }
      client.write('0\r\n\r\n');
      client.write(request('/api/auth/access-keys'));
      expect((await client.answer()).status).toBe(200);
      const sum = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
      expect(sum(rig.upstream.only.body)).toBe(sum(body));
      expect((await client.answer()).json()).toMatchObject({ api: 'access-keys' });
      await expect.poll(lastLine).toMatchObject({ route: '/api' });
      const lines = await rig.postern.requestLines();
      expect(lines.at(-2)).toMatchObject({ route: '/legacy', bytes_in: body.length });
      rig.upstream.forget();
    }
  });

  test('of more than 64 KiB that breaks off is what it is elsewhere', async () => {
    const begun = request('/legacy', form + chunked, 'POST') + chunks('x'.repeat(70_000)).slice(0, -5);
    const slow = await rig.send(begun);
    expect((await slow.answer()).status).toBe(408);
    const broken = await rig.send(`${begun}zz\r\n`);
    expect((await broken.answer()).status).toBe(400);
    const before = (await rig.postern.requestLines()).length;
    const gone = await rig.send(begun);
    await expect.poll(() => rig.upstream.unfinished.length).toBe(1);
    gone.reset();
    await expect.poll(async () => (await rig.postern.requestLines()).length).toBe(before + 1);
    expect(await lastLine()).toMatchObject({ route: '/legacy', status: 499, outcome: 'aborted' });
  });

  test('of more than 64 KiB is held back while the upstream takes nothing', async () => {
    const held: Socket[] = [];
    rig.upstream.onConnect = socket => held.push(socket.pause());
    // On a connection of its own.
    const elsewhere = await rig.send(request('/public/keep-busy'));
    await expect.poll(() => held.length).toBeGreaterThan(0);
    const client = await rig.send(request('/legacy', form + chunked, 'POST'));
    const piece = Buffer.alloc(1024 * 1024, 'x');
    const all = 64 * piece.length;
    for (let i = 0; i < 64; i++) client.write(Buffer.concat([Buffer.from('100000\r\n'), piece, Buffer.from('\r\n')]));
    const sent = () => client.socket.bytesWritten - client.socket.writableLength;
    await expect.poll(sent).toBeGreaterThan(128 * 1024);
    let last = -1;
    const stands = () => {
      const before = last;
      last = sent();
      return last === before;
    };
    await expect.poll(stands, { interval: 200, timeout: 20_000 }).toBe(true);
    expect(last).toBeLessThan(all / 2);
    rig.upstream.onConnect = null;
    client.reset();
    elsewhere.destroy();
    for (const socket of held) socket.destroy();
  });

  test('of more than 64 KiB is read whole by a route that looks into it', async () => {
    const body = `x=${'x'.repeat(100_000)}&act=`;
    const ask = (act: string) =>
      rig.ask(
        `${request('/large', form + chunked + rig.A, 'POST')}${chunks(body.slice(0, 50_000), body.slice(50_000), act)}`,
      );
    expect((await ask('api')).status).toBe(200);
    expect(rig.upstream.only.body.toString()).toBe(`${body}api`);
    expect((await ask('admin')).status).toBe(403);
    expect((await ask('a'.repeat(200_000))).status).toBe(413);
  });

  test('is held to the bound of the route that it goes on to', async () => {
    for (const body of ['cmd=db.get&x=1', `x=${'x'.repeat(100_000)}`]) {
      await rig.refuses(`${request('/small', form + chunked, 'POST')}${chunks(body)}`, 'body_too_large');
    }
    expect((await rig.ask(`${request('/small', form + chunked, 'POST')}${chunks('cmd=db.get')}`)).status).toBe(200);
  });

  test('is inspected by the route that it goes on to', async () => {
    const ask = (body: string) => rig.ask(post('/inspected', body, `${form}${rig.A}`));
    expect((await ask('cmd=db.get&act=api')).status).toBe(200);
    expect(rig.upstream.only.body.toString()).toBe('cmd=db.get&act=api');
    expect((await ask('cmd=db.get&act=admin')).status).toBe(403);
    expect((await ask(`act=api&x=${'x'.repeat(1024)}`)).status).toBe(413);
  });

  test('is asked for once when the client waits for that', async () => {
    const client = await rig.send(request('/legacy', `${form}Expect: 100-continue\r\nContent-Length: 10\r\n`, 'POST'));
    expect((await client.answer()).status).toBe(100);
    client.write('cmd=db.get');
    expect((await client.answer()).status).toBe(200);
    expect(rig.upstream.only.body.toString()).toBe('cmd=db.get');
  });
});

describe('a path', () => {
  test.each([
    '/api//auth/access-keys',
    '/api/auth/access-keys;x',
    '/api/auth%2Faccess-keys',
    '/api/auth/access%252Dkeys',
    '/rpc///v1/api-tokens/create',
    '/rpc/v1//api-tokens/create',
    '/legacy//?cmd=access.add',
  ])('%s gets past no mount, though a route allows its spelling', async target => {
    const answer = await rig.refuses(request(target, rig.A, 'POST'), 'malformed_request');
    expect(answer.json()['detail']).toBe('The path could be read as one of a token API.');
  });

  test('with one slash doubled directly after api-tokens is its own', async () => {
    const answer = await rig.ask(post('/rpc//v1/api-tokens/create', '[]'));
    expect(answer.json()).toMatchObject({ api: 'api-tokens', path: '/rpc/v1/api-tokens/create' });
    expect(bytesUpstream()).toBe('');
  });

  test('with letters encoded is what it is decoded', async () => {
    expect((await rig.ask(request('/%61pi/auth/access-keys'))).json()).toMatchObject({ api: 'access-keys' });
    expect(bytesUpstream()).toBe('');
  });

  test('in another case, or beside a mount, is judged by the routes', async () => {
    for (const target of ['/API/auth/access-keys', '/api/auth/access-keys/', '/rpc/v1/api-token/x', '/a//b']) {
      expect((await rig.ask(request(target))).status, target).toBe(401);
      expect((await rig.ask(request(target, rig.A))).status, target).toBe(200);
    }
  });

  test('of a mount is refused like any other where the request is malformed', async () => {
    await rig.refuses(request('/api/./auth/access-keys'), 'malformed_request');
    await rig.refuses(`GET /api/auth/access-keys HTTP/1.1\r\n${H}${H}\r\n`, 'malformed_request');
    await rig.denies(`TRACE /api/auth/access-keys HTTP/1.1\r\n${H}\r\n`, 'method_not_allowed');
  });
});

describe('explain', () => {
  const explain = async (target: string, more: object = {}) => {
    const { secret } = await rig.postern.mint();
    const asked = { secret, request: { method: 'POST', target, ...more } };
    return (await rig.postern.admin('POST', '/v1/explain', asked)).body;
  };

  test('tells whose a request is, and asks nobody', async () => {
    expect(await explain('/api/auth/access-keys')).toMatchObject({
      allow: true,
      code: null,
      steps: [
        { phase: 'form', outcome: 'passed' },
        { phase: 'mount', outcome: 'passed', compared: { api: 'access-keys', path: '/api' } },
      ],
    });
    expect(stub('/api').seen.requests).toEqual([]);
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
    const body = await explain('/legacy', { headers, body: 'cmd=access.add' });
    expect((body['steps'] as { phase: string }[]).map(({ phase }) => phase)).toEqual(['form', 'mount']);
  });

  test('tells why a path was refused', async () => {
    expect(await explain('/api//auth/access-keys')).toMatchObject({
      allow: false,
      code: 'malformed_request',
      steps: [{ phase: 'form' }, { phase: 'mount', outcome: 'failed' }],
    });
  });
});

const handshake = (target: string, fields = ''): string =>
  request(
    target,
    `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${fields}`,
  );

describe('a WebSocket of a token API', () => {
  const connected = async (): Promise<RawClient> => {
    const client = await rig.send(`${handshake('/rpc')}early`);
    const answer = await client.answer({ head: true });
    expect(answer.status).toBe(101);
    // RFC 6455 1.3.
    expect(answer.get('sec-websocket-accept')).toBe('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
    expect([answer.get('upgrade'), answer.get('sec-websocket-protocol')]).toEqual(['websocket', 'rpc']);
    return client;
  };

  test('is the API’s from the first byte behind the handshake, and counted at its end', async () => {
    const client = await connected();
    client.write('later');
    await client.until(({ text }) => text === 'earlylater');
    expect(await rig.postern.metric('postern_streams_open{kind="websocket"}')).toBe(1);
    client.end();
    await client.untilClosed();
    await expect.poll(() => rig.postern.metric('postern_streams_open{kind="websocket"}')).toBe(0);
    await expect
      .poll(lastLine)
      .toMatchObject({ route: '/rpc', status: 101, reason: 'public', outcome: 'allowed', bytes_in: 10, bytes_out: 10 });
    expect(bytesUpstream()).toBe('');
  });

  test('is refused before the upgrade', async () => {
    const answer = await rig.ask(handshake('/rpc?do=refuse'));
    expect([answer.status, answer.get('connection'), answer.get('upgrade')]).toEqual([403, 'close', undefined]);
    for (const [name, other] of [
      ['Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Key: short'],
      ['Sec-WebSocket-Version: 13', 'Sec-WebSocket-Version: 8'],
    ]) {
      await rig.refuses(handshake('/rpc').replace(name!, other!), 'malformed_request');
    }
    expect(stub('/rpc').open.size).toBe(0);
  });

  test('is refused when its mount goes while it is asked for', async () => {
    const rpc = stub('/rpc');
    const { promise, resolve } = Promise.withResolvers<void>();
    rpc.held = promise;
    const before = rpc.seen.requests.length;
    const client = await RawClient.open(rig.postern.port);
    client.write(handshake('/rpc'));
    await expect.poll(() => rpc.seen.requests.length).toBe(before + 1);
    const file = path.join(rig.postern.folder, 'postern.yaml');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace('mount: /rpc,', 'mount: /other,'));
    expect(await rig.postern.app.reload()).toBe(true);
    resolve();
    expect((await client.answer()).status).toBe(404);
    expect(rpc.open.size).toBe(0);
    client.destroy();
    await writeFile(file, text);
    expect(await rig.postern.app.reload()).toBe(true);
  });

  test('is told goodbye when its mount is gone after a reload, and stays when it is not', async () => {
    const client = await connected();
    const rpc = stub('/rpc');
    const file = path.join(rig.postern.folder, 'postern.yaml');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace('mount: /small,', 'mount: /little,'));
    expect(await rig.postern.app.reload()).toBe(true);
    expect(stub('/rpc')).toBe(rpc);
    expect((await rig.ask(post('/little', 'cmd=access.add'))).json()).toMatchObject({ api: 'access-api' });
    expect(rpc.open.size).toBe(1);
    await writeFile(file, text.replace('mount: /rpc,', 'mount: /other,'));
    expect(await rig.postern.app.reload()).toBe(true);
    await client.untilClosed();
    expect([...client.bytes.subarray(-4)]).toEqual([0x88, 0x02, 0x03, 0xe9]);
    expect((await rig.ask(request('/rpc/v1/api-tokens/create'))).status).toBe(401);
    expect((await rig.ask(request('/other/v1/api-tokens/create'))).json()).toMatchObject({ api: 'api-tokens' });
    await writeFile(file, text);
    expect(await rig.postern.app.reload()).toBe(true);
  });
});

test('at shutdown its connections are told goodbye, once the grace is over', async () => {
  const upstream = await new RecordingUpstream().listen();
  const config = 'token_apis: [{ api: api-tokens, mount: /rpc, listen: proxy }]\nshutdown: { grace: 100ms }';
  const postern = await Postern.start({ upstream: upstream.url, more: config, mountOf: api => new StubMount(api) });
  const client = await RawClient.open(postern.port);
  client.write(handshake('/rpc'));
  expect((await client.answer({ head: true })).status).toBe(101);
  await postern.stop();
  await client.untilClosed();
  expect([...client.bytes]).toEqual([0x88, 0x02, 0x03, 0xe9]);
  await upstream.close();
});

// The last: it takes a minute until they are forgotten.
describe('failed credentials', () => {
  test('count with those of tokens, and over the bound are 429', async () => {
    const guess = request('/api/auth/access-keys?do=guess');
    for (let i = 0; i < 3; i++) expect((await rig.ask(guess)).status).toBe(403);
    const answer = await rig.ask(guess);
    expect([answer.status, answer.json()['code']]).toEqual([429, 'too_many_failures']);
    expect(Number(answer.get('retry-after'))).toBeGreaterThan(0);
    expect((await rig.ask(request('/public/../x'))).status).toBe(400);
    const unknown = await rig.ask(request('/x', `Authorization: Bearer ${rig.tA.slice(0, -1)}\r\n`));
    expect(unknown.status).toBe(429);
    // What is no guess is answered.
    expect((await rig.ask(request('/api/auth/access-keys'))).status).toBe(200);
  });
});
