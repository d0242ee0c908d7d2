import { describe, expect, test } from 'vitest';
import type { RawClient } from '../support/raw-client.ts';
import type { Scene } from '../support/recording-upstream.ts';
import { H, type Rig, useRig } from '../support/rig.ts';

/** Messages: what has a body and what has none, informational answers, HTTP/1.0, connections that are used again. */

const head = (line: string, fields = '', version = '1.1') =>
  `${line} HTTP/${version}\r\n${version === '1.1' ? H : ''}${fields}\r\n`;
const get = (target: string, fields = '', version = '1.1') => head(`GET ${target}`, fields, version);

describe('answers without a body', () => {
  const rig = useRig({ upstreamMembers: 'max_connections: 1' });

  test.each([
    ['a length', 'Content-Length: 100\r\n', '100'],
    ['chunks', 'Transfer-Encoding: chunked\r\n', undefined],
    ['neither', '', undefined],
  ])('HEAD, where GET would have %s: the head alone, and the connection is used again', async (_, fields, length) => {
    rig.upstream.script = ({ write }) =>
      write(`HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nETag: "x"\r\n${fields}\r\n`);
    const client = await rig.open();
    for (let i = 0; i < 3; i++) {
      client.write(head('HEAD /public/x'));
      const answer = await client.answer({ head: true });
      expect([answer.status, answer.get('content-length'), answer.get('etag')]).toEqual([200, length, '"x"']);
      expect(answer.get('transfer-encoding')).toBeUndefined();
      expect(client.text).toBe('');
    }
    expect(new Set(rig.upstream.requests.map(({ connection }) => connection)).size).toBe(1);
  });
  test.each([
    ['204', 'HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n'],
    ['204 with a length', 'HTTP/1.1 204 No Content\r\nX: 1\r\nContent-Length: 0\r\n\r\n'],
    ['304', 'HTTP/1.1 304 Not Modified\r\nX: 1\r\n\r\n'],
    ['304 with the length that a body would have', 'HTTP/1.1 304 Not Modified\r\nX: 1\r\nContent-Length: 100\r\n\r\n'],
  ])('%s, and the connection stays in step', async (what, bytes) => {
    rig.upstream.script = ({ write }) => write(bytes);
    const client = await rig.send(get('/public/x') + get('/public/y'));
    for (let i = 0; i < 2; i++) {
      const answer = await client.answer();
      expect([answer.status, answer.get('x')]).toEqual([Number(what.slice(0, 3)), '1']);
      expect(answer.get('transfer-encoding')).toBeUndefined();
      expect(answer.get('content-length')).toBe(what.startsWith('304 with') ? '100' : undefined);
      expect(client.text.startsWith('HTTP/1.1') || client.text === '').toBe(true);
    }
  });
  test('200 with length 0, and with chunks of nothing', async () => {
    rig.upstream.script = ({ write, request }) =>
      write(
        request.target === '/public/x'
          ? 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'
          : 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      );
    const client = await rig.send(get('/public/x') + get('/public/y'));
    expect((await client.answer()).body).toHaveLength(0);
    expect((await client.answer()).body).toHaveLength(0);
  });
});

describe('informational answers', () => {
  const rig = useRig();
  const hints = 'HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nLink: </b.js>\r\n\r\n';
  const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

  test('are relayed to HTTP/1.1 clients as they come', async () => {
    const scenes: Scene[] = [];
    rig.upstream.script = scene => {
      scenes.push(scene);
      scene.write(hints);
    };
    const client = await rig.send(get('/public/x'));
    const first = await client.answer();
    expect([first.status, first.all('link')]).toEqual([103, ['</a.css>', '</b.js>']]);
    scenes[0]!.write(`HTTP/1.1 102 Processing\r\n\r\n${hints}${ok}`);
    expect((await client.answer()).status).toBe(102);
    expect((await client.answer()).status).toBe(103);
    expect((await client.answer()).body.toString()).toBe('ok');
  });
  test('are not relayed to HTTP/1.0 clients', async () => {
    rig.upstream.script = ({ write }) => write(hints + ok);
    const answer = await rig.ask(get('/public/x', '', '1.0'));
    expect([answer.status, answer.body.toString()]).toEqual([200, 'ok']);
  });
  test('behind a body that is still being sent', async () => {
    rig.upstream.early = true;
    rig.upstream.script = ({ write }) => write(hints);
    const client = await rig.send(`${head('POST /public/x', 'Content-Length: 10\r\n')}hello`);
    expect((await client.answer()).status).toBe(103);
    for (const socket of rig.upstream.sockets) socket.write(ok);
    expect((await client.answer()).status).toBe(200);
  });
  test.each([
    ['an unasked 100', 'HTTP/1.1 100 Continue\r\n\r\n'],
    ['a 101 that nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\n\r\n'],
    ['a 101 with a protocol', 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'],
  ])('%s is a failure', async (_, bytes) => {
    rig.upstream.script = ({ write }) => write(bytes + ok);
    const answer = await rig.ask(get('/public/x'));
    expect([answer.status, answer.json()['code']]).toEqual([502, 'upstream_failed']);
  });
  test('a failure behind one is still answered', async () => {
    rig.upstream.script = ({ write, socket }) => {
      write(hints);
      socket.end();
    };
    const client = await rig.send(get('/public/x'));
    expect((await client.answer()).status).toBe(103);
    expect((await client.answer()).status).toBe(502);
  });
});

for (const tls of [false, true]) {
  describe(`HTTP/1.0 clients${tls ? ', over TLS' : ''}`, () => {
    const rig = useRig({ tls });
    oldClients(rig);
  });
}

function oldClients(rig: Rig): void {
  const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';

  test('get no chunks: the end of the connection ends the body', async () => {
    rig.upstream.script = ({ write }) => write(`${chunked}5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n`);
    const answer = await rig.ask(get('/public/x', '', '1.0'));
    expect([answer.framing, answer.body.toString(), answer.get('connection')]).toEqual([
      'close',
      'hello world',
      'close',
    ]);
  });
  test('get no chunks either when they ask for the connection to stay', async () => {
    rig.upstream.script = ({ write }) => write(`${chunked}5\r\nhello\r\n0\r\n\r\n`);
    const answer = await rig.ask(get('/public/x', 'Connection: keep-alive\r\n', '1.0'));
    expect([answer.framing, answer.body.toString(), answer.get('connection')]).toEqual(['close', 'hello', 'close']);
  });
  test('keep the connection where they ask, and a length says where the answer ends', async () => {
    const client = await rig.send(get('/public/x', 'Connection: keep-alive\r\n', '1.0'));
    const answer = await client.answer();
    expect([answer.framing, answer.get('connection')]).toEqual(['length', 'keep-alive']);
    client.write(get('/public/y', '', '1.0'));
    expect((await client.answer()).get('connection')).toBe('close');
    await client.untilClosed();
  });
  test('get refusals with a length, and an end', async () => {
    const answer = await rig.ask(get('/api/x', '', '1.0'));
    expect([answer.status, answer.framing, answer.get('connection')]).toEqual([401, 'length', 'close']);
  });
  test.each([
    ['in chunks', `${chunked}5\r\nhello\r\n`],
    ['until the end', 'HTTP/1.1 200 OK\r\n\r\nhello'],
  ])('see an answer that breaks off, %s, as broken, not as whole', async (_, bytes) => {
    const scenes: Scene[] = [];
    rig.upstream.script = scene => {
      scenes.push(scene);
      scene.write(bytes);
    };
    const client = await rig.send(get('/public/x', '', '1.0'));
    await client.until(({ text }) => text.endsWith('hello'));
    scenes[0]!.socket.resetAndDestroy();
    await client.until(({ closed }) => closed, 'end of the connection');
    expect(client.ended && client.error === null, 'an orderly end').toBe(false);
    expect((await rig.postern.requestLines()).at(-1)).toMatchObject({ outcome: 'failed', status: 200 });
  });
  test('see a broken answer with a length by its length', async () => {
    rig.upstream.script = ({ write, socket }) => {
      write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello');
      socket.end();
    };
    const client = await rig.send(get('/public/x', '', '1.0'));
    await client.untilClosed();
    expect(client.text).toMatch(/\r\nContent-Length: 10\r\n[\s\S]*\r\n\r\nhello$/);
  });
  test('speak of themselves as 1.0 in Via', async () => {
    await rig.ask(get('/public/x', '', '1.0'));
    expect(rig.upstream.only.get('via')).toMatch(/^1\.0 postern-[0-9a-f]{8}$/);
  });
}

describe('connections', () => {
  const rig = useRig({ upstreamMembers: 'max_connections: 1', proxyMembers: 'keep_alive: 400ms, head_timeout: 300ms' });

  test('are used again until one side says otherwise', async () => {
    const client = await rig.open();
    for (let i = 0; i < 20; i++) {
      client.write(get(i % 2 === 0 ? '/public/x' : '/api/x'));
      const answer = await client.answer();
      expect([answer.status, answer.get('connection')]).toEqual([i % 2 === 0 ? 200 : 401, 'keep-alive']);
    }
    client.write(get('/public/x', 'Connection: close\r\n'));
    expect((await client.answer()).get('connection')).toBe('close');
    await client.untilClosed();
    expect(new Set(rig.upstream.requests.map(({ connection }) => connection)).size).toBe(1);
  });
  test('an upstream that closes says nothing about the client’s', async () => {
    rig.upstream.script = ({ write, socket }) => {
      write('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok');
      socket.end();
    };
    const client = await rig.open();
    for (let i = 0; i < 3; i++) {
      client.write(get('/public/x'));
      expect((await client.answer()).get('connection')).toBe('keep-alive');
    }
  });
  test('a POST and a GET in one packet reach the upstream in order, one at a time', async () => {
    const scenes: Scene[] = [];
    rig.upstream.script = scene => scenes.push(scene);
    const client = await rig.send(
      `${head('POST /public/1', 'Content-Length: 5\r\n')}hello${get('/public/2')}${get('/public/3')}`,
    );
    for (let i = 0; i < 3; i++) {
      await rig.upstream.until(({ requests }) => requests.length === i + 1);
      // The next one does not come before this one is answered.
      await rig.postern.metrics();
      expect(rig.upstream.requests).toHaveLength(i + 1);
      scenes[i]!.write(`HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${i}`);
      expect((await client.answer()).body.toString()).toBe(String(i));
    }
    expect(rig.upstream.requests.map(({ target, body }) => [target, body.toString()])).toEqual([
      ['/public/1', 'hello'],
      ['/public/2', ''],
      ['/public/3', ''],
    ]);
  });
  test('the order holds where the one in front waits for the client', async () => {
    const client = await rig.send(`${head('POST /public/1', 'Content-Length: 10\r\n')}hello`);
    await rig.upstream.until(({ requests }) => requests.length === 1);
    client.write(`world${get('/public/2')}`);
    expect((await client.answer()).status).toBe(200);
    expect((await client.answer()).status).toBe(200);
    expect(rig.upstream.requests[0]!.body.toString()).toBe('helloworld');
  });
  test('a flood of requests stays with the client while the first one waits', async () => {
    const scenes: Scene[] = [];
    rig.upstream.script = scene => scenes.push(scene);
    const client = await rig.send(get('/public/1'));
    await rig.upstream.until(({ requests }) => requests.length === 1);
    // Far more than the buffers of two sockets hold.
    client.write(get('/api/x', `X: ${'x'.repeat(8000)}\r\n`).repeat(4000));
    await rig.postern.metrics();
    await rig.postern.metrics();
    expect(client.socket.writableLength).toBeGreaterThan(10 << 20);
    client.destroy();
    scenes[0]!.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  });
  test('one that says nothing is ended without a word; half a head is told why', async () => {
    const silent = await rig.open();
    const half = await rig.send('GET /public/x HTTP/1.1\r\nHos');
    const idle = await rig.send(get('/public/x'));
    expect((await idle.answer()).status).toBe(200);
    await silent.untilClosed(3000);
    expect(silent.text).toBe('');
    await rig.refused(half, 'request_timeout');
    await idle.untilClosed(3000);
    expect(idle.text).toBe('');
  });
});

describe('SSE', () => {
  const rig = useRig({ upstreamMembers: 'idle_timeout: 200ms' });
  const stream =
    'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n';
  const event = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;

  const open = async (): Promise<{ client: RawClient; scene: Scene }> => {
    const scenes: Scene[] = [];
    rig.upstream.script = scene => {
      scenes.push(scene);
      scene.write(stream);
    };
    const client = await rig.send(get('/public/x'));
    // The head comes before the first event.
    await client.until(({ text }) => text.includes('\r\n\r\n'));
    return { client, scene: scenes[0]! };
  };

  test('every piece is delivered when it is written, as it is written', async () => {
    const { client, scene } = await open();
    for (let i = 0; i < 50; i++) {
      const text = `id: ${i}\ndata: ${'x'.repeat(i)}\n\n`;
      const before = client.length;
      scene.write(event(text));
      await client.until(({ length }) => length > before);
      expect(client.text.endsWith(event(text))).toBe(true);
    }
    expect(await rig.postern.metric('postern_streams_open{kind="event_stream"}')).toBe(1);
    scene.write('0\r\n\r\n');
    expect((await client.answer()).status).toBe(200);
  });
  test('silence is no reason to end one, as it is for another answer', async () => {
    const { client, scene } = await open();
    const other = await rig.open();
    rig.upstream.script = ({ write }) => write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello');
    other.write(get('/public/y'));
    await other.untilClosed(3000);
    expect(other.text).toMatch(/hello$/);
    expect(client.closed || client.ended).toBe(false);
    scene.write(event('data: 1\n\n'));
    await client.until(({ text }) => text.includes('data: 1'));
  });
  test('a client that goes ends it for the upstream', async () => {
    const { client, scene } = await open();
    client.reset();
    await expect.poll(() => scene.socket.destroyed, { interval: 5 }).toBe(true);
  });
});
