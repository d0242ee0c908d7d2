import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Postern } from '../support/postern.ts';
import { randomFrom, seed } from '../support/random.ts';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream, type Scene, type Script } from '../support/recording-upstream.ts';
import { useRig } from '../support/rig.ts';

const H = 'Host: a\r\n';
let upstream: RecordingUpstream;
let stuck: StuckServer;
let postern: Postern;
let A = '';
const closers: (() => void)[] = [];

beforeAll(async () => {
  upstream = await new RecordingUpstream().listen();
  stuck = await StuckServer.start();
  const plain = createServer(socket => {
    socket.on('error', () => {});
    socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
  }).listen(0, '127.0.0.1');
  await once(plain, 'listening');
  const clear = plain.address() as { port: number };
  closers.push(() => plain.close());
  postern = await Postern.start({
    upstream: upstream.url,
    upstreamMembers: 'response_timeout: 400ms, idle_timeout: 500ms, max_connections: 4',
    upstreams: {
      gone: `url: "http://127.0.0.1:${await closedPort()}"`,
      nameless: 'url: "http://nowhere.invalid:80"',
      stuck: `url: "http://127.0.0.1:${stuck.port}", connect_timeout: 300ms`,
      clear: `url: "https://127.0.0.1:${clear.port}"`,
    },
    routes: `
  - { path: /api/**, require: api, upstream: u }
  - { path: /gone/**, require: api, upstream: gone }
  - { path: /nameless/**, require: api, upstream: nameless }
  - { path: /stuck/**, require: api, upstream: stuck }
  - { path: /clear/**, require: api, upstream: clear }`,
  });
  A = `Authorization: Bearer ${(await postern.mint({ permissions: ['api'] })).secret}\r\n`;
});
afterEach(async () => {
  await postern.assertInvariants(upstream);
  upstream.reset();
});
afterAll(async () => {
  await postern.stop();
  await upstream.close();
  stuck.end();
  for (const close of closers) close();
});

const get = (path: string, version = '1.1'): string => `GET ${path} HTTP/${version}\r\n${H}${A}\r\n`;

/** The last line of the log. */
async function lastLine(): Promise<Record<string, unknown>> {
  await postern.quiet();
  return (await postern.requestLines()).at(-1)!;
}

describe('a cut answer reaches the client as a broken message, with every byte that was sent', () => {
  const sent = Buffer.alloc(40_010, 'x');
  const framings = {
    length: { head: 'Content-Length: 100000\r\n', body: sent },
    chunked: { head: 'Transfer-Encoding: chunked\r\n', body: Buffer.concat([chunk(sent)]) },
    'chunked, in the middle of a chunk': {
      head: 'Transfer-Encoding: chunked\r\n',
      body: Buffer.concat([Buffer.from('186A0\r\n'), sent]),
    },
  };

  test.each(Object.keys(framings).flatMap(framing => ['FIN', 'RST'].map(end => [framing, end] as const)))(
    'framed by %s, ended by %s',
    async (framing, end) => {
      const { head, body } = framings[framing as keyof typeof framings];
      let socket: Socket | undefined;
      upstream.script = scene => {
        scene.write(`HTTP/1.1 200 OK\r\n${head}\r\n`);
        scene.write(body);
        socket = scene.socket;
      };
      const client = await RawClient.open(postern.port);
      client.write(get('/api/cut'));
      await client.until(() => bodyOf(client).length === sent.length, 'every byte that was sent');
      if (end === 'FIN') socket!.end();
      else socket!.resetAndDestroy();
      await client.until(() => client.closed || client.ended, 'the end');
      expect(bodyOf(client).equals(sent)).toBe(true);
      expect(isWhole(client)).toBe(false);
      expect(await lastLine()).toMatchObject({ status: 200, outcome: 'failed', reason: 'allowed' });
    },
  );

  test.each(['FIN', 'RST'])('to a client that does not read until it is over, ended by %s', async end => {
    // More than fits into the buffers on the way, so that the end stands behind bytes that nobody has taken yet.
    const long = Buffer.alloc(24 << 20, 'y');
    const client = await RawClient.open(postern.port);
    client.socket.pause();
    const stalled = Promise.withResolvers<Socket>();
    upstream.script = ({ socket, write }) => {
      write(`HTTP/1.1 200 OK\r\nContent-Length: ${long.length * 2}\r\n\r\n`);
      write(long);
      stalled.resolve(socket);
    };
    client.write(get('/api/held'));
    const socket = await stalled.promise;
    await steady(() => socket.bytesWritten - socket.writableLength);
    if (end === 'FIN') socket.end();
    else socket.resetAndDestroy();
    // The client begins to read once the end has had time to overtake what it stands behind.
    await postern.metric('postern_upstream_retries_total');
    client.socket.resume();
    await client.until(() => client.closed || client.ended, 'the end');
    const received = bodyOf(client);
    // A reset destroys what the network still holds; what arrives is a beginning all the same, and never looks whole.
    if (end === 'FIN') expect(received.length).toBe(long.length);
    expect(received.equals(long.subarray(0, received.length))).toBe(true);
    expect(received.length).toBeGreaterThan(0);
    expect(isWhole(client)).toBe(false);
  });

  test('a body that only the end of the connection delimits is whole after FIN, and broken after RST', async () => {
    for (const end of ['FIN', 'RST'] as const) {
      let socket: Socket | undefined;
      upstream.script = scene => {
        scene.write('HTTP/1.1 200 OK\r\n\r\n');
        scene.write(sent);
        socket = scene.socket;
      };
      const client = await RawClient.open(postern.port);
      client.write(get('/api/until-the-end'));
      await client.until(() => bodyOf(client).length === sent.length, 'every byte that was sent');
      if (end === 'FIN') socket!.end();
      else socket!.resetAndDestroy();
      if (end === 'FIN') await client.until(() => isWhole(client), 'the last chunk');
      else await client.untilClosed();
      expect(isWhole(client)).toBe(end === 'FIN');
      expect(bodyOf(client).equals(sent)).toBe(true);
      client.destroy();
    }
  });

  test('an HTTP/1.0 client, which knows no chunks, sees a reset and never an orderly end', () =>
    oldClientSeesReset(upstream, () => RawClient.open(postern.port), get('/api/old', '1.0')));

  test('a silence in the middle of a body ends it as a broken message', async () => {
    upstream.script = ({ write }) => write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf');
    const client = await RawClient.open(postern.port);
    client.write(get('/api/silent'));
    await client.untilClosed();
    expect(bodyOf(client).toString()).toBe('half');
    expect(await lastLine()).toMatchObject({ outcome: 'failed', fault: 'idle_timeout' });
  });
});

describe('over TLS', () => {
  const rig = useRig({ tls: true });

  test('an HTTP/1.0 client, which knows no chunks, sees a reset and never an orderly end', () =>
    oldClientSeesReset(rig.upstream, () => rig.open(), `GET /api/old HTTP/1.0\r\n${H}${rig.A}\r\n`));
});

async function oldClientSeesReset(from: RecordingUpstream, open: () => Promise<RawClient>, request: string) {
  const sent = Buffer.alloc(40_010, 'x');
  let socket: Socket | undefined;
  from.script = scene => {
    scene.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    scene.write(chunk(sent));
    socket = scene.socket;
  };
  const client = await open();
  client.write(request);
  await client.until(() => bodyOf(client).length === sent.length, 'every byte that was sent');
  expect(client.text).not.toMatch(/transfer-encoding/i);
  socket!.end();
  await client.until(() => client.closed || client.ended, 'the end');
  expect([client.ended, client.error?.code]).toEqual([false, 'ECONNRESET']);
}

describe('an upstream that does not answer is told from one that answers nonsense', () => {
  const cases: Record<string, { path: string; status: number; fault: string; script?: Script }> = {
    'refuses connections': { path: '/gone/x', status: 502, fault: 'refused' },
    'has a name that nobody knows': { path: '/nameless/x', status: 502, fault: 'dns' },
    'does not accept connections': { path: '/stuck/x', status: 504, fault: 'connect_timeout' },
    'speaks no TLS': { path: '/clear/x', status: 502, fault: 'tls' },
    'resets before a status': {
      path: '/api/x',
      status: 502,
      fault: 'reset',
      script: ({ socket }) => void socket.resetAndDestroy(),
    },
    'closes before a status': {
      path: '/api/x',
      status: 502,
      fault: 'reset',
      script: ({ socket }) => void socket.end(),
    },
    'sends no head in time': { path: '/api/x', status: 504, fault: 'head_timeout', script: () => {} },
    'greets as SSH': { path: '/api/x', status: 502, fault: 'protocol', script: ({ write }) => write('SSH-2.0-x\r\n') },
    'sends half a head and stops': {
      path: '/api/x',
      status: 504,
      fault: 'head_timeout',
      script: ({ write }) => write('HTTP/1.1 200 OK\r\nX-Half: '),
    },
  };

  test.each(Object.keys(cases))('it %s', async name => {
    const { path, status, fault, script } = cases[name]!;
    if (script !== undefined) upstream.script = script;
    const client = await RawClient.open(postern.port);
    client.write(`POST ${path} HTTP/1.1\r\n${H}${A}Content-Length: 2\r\n\r\nhi`);
    const answer = await client.answer();
    const code = status === 504 ? 'upstream_timeout' : 'upstream_failed';
    expect(answer.status).toBe(status);
    expect(answer.json()).toMatchObject({ code, status });
    expect(answer.body.toString()).not.toMatch(/127\.0\.0\.1|nowhere|ECONN|at \w+ \(/);
    expect(await lastLine()).toMatchObject({ status, code, fault, outcome: 'failed' });
    // A POST is never sent again.
    expect(upstream.requests.length).toBeLessThanOrEqual(1);
    // The connection goes on: the fault was not the client's.
    upstream.script = ({ write }) => write('HTTP/1.1 204 No Content\r\n\r\n');
    client.write(get('/api/after'));
    expect((await client.answer()).status).toBe(204);
    client.destroy();
  });
});

describe('a connection that the upstream closes while a request is on its way', () => {
  /** Answers the first request on a connection and closes under the second. */
  const closingUnder = (): ((scene: Scene) => void) => {
    const seen = new Map<number, number>();
    return ({ socket, request, write }) => {
      const count = (seen.get(request.connection) ?? 0) + 1;
      seen.set(request.connection, count);
      if (count === 1) write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      else socket.end();
    };
  };

  test.each([
    ['GET', '', 200],
    ['HEAD', '', 200],
    ['OPTIONS', '', 200],
    ['DELETE', '', 200],
    ['PUT', '', 200],
    ['PUT', 'x', 502],
    ['DELETE', 'x', 502],
    ['PATCH', '', 502],
    ['POST', '', 502],
    ['POST', 'x', 502],
  ])('%s with the body %j is answered %i: what may be repeated is sent again once', async (method, body, status) => {
    upstream.script = closingUnder();
    const client = await RawClient.open(postern.port);
    client.write(get('/api/first'));
    expect((await client.answer()).status).toBe(200);
    const length = body === '' ? '' : `Content-Length: ${body.length}\r\n`;
    client.write(`${method} /api/second HTTP/1.1\r\n${H}${A}${length}\r\n${body}`);
    const answer = await client.answer({ head: method === 'HEAD' });
    expect(answer.status).toBe(status);
    const again = upstream.requests.filter(({ target }) => target === '/api/second');
    expect(again).toHaveLength(status === 200 ? 2 : 1);
    expect(new Set(again.map(request => request.get('x-request-id'))).size).toBe(1);
    expect(await lastLine()).toMatchObject(status === 200 ? { retried: true } : { fault: 'reset' });
    client.destroy();
  });

  test('a fresh connection that dies is not tried again, and nothing is because of a status', async () => {
    for (const script of [
      ({ socket }: Scene) => void socket.end(),
      ({ write }: Scene) => write('HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: 0\r\n\r\n'),
    ]) {
      upstream.reset();
      upstream.script = script;
      // Connections of the tests before are gone once their end was seen.
      await expect.poll(() => postern.metric('postern_upstream_connections{upstream="u",state="idle"}')).toBe(0);
      const client = await RawClient.open(postern.port);
      client.write(get('/api/fresh'));
      expect((await client.answer()).status).toBeGreaterThanOrEqual(502);
      expect(upstream.requests).toHaveLength(1);
      client.destroy();
    }
  });

  test(`closed around the moment of reuse, no request is lost that may be repeated, and none is doubled (seed ${seed})`, async () => {
    const random = randomFrom(seed);
    const idleMs = 4;
    const timers = new Map<Socket, NodeJS.Timeout>();
    upstream.script = ({ socket, write }) => {
      clearTimeout(timers.get(socket));
      write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      timers.set(
        socket,
        setTimeout(() => socket.end(), idleMs),
      );
    };
    const methods = ['GET', 'PUT', 'POST', 'DELETE'];
    const lanes = Array.from({ length: 4 }, async (_, lane) => {
      const client = await RawClient.open(postern.port);
      for (let i = 0; i < 100; i++) {
        const method = methods[Math.floor(random() * methods.length)]!;
        const body = method === 'POST' || (method === 'PUT' && i % 2 === 0) ? 'b' : '';
        const length = body === '' ? '' : 'Content-Length: 1\r\n';
        client.write(`${method} /api/${lane}/${i} HTTP/1.1\r\n${H}${A}${length}\r\n${body}`);
        const { status } = await client.answer();
        const seen = upstream.requests.filter(({ target }) => target === `/api/${lane}/${i}`).length;
        if (body === '') expect([method, status]).toEqual([method, 200]);
        else expect([200, 502]).toContain(status);
        expect(seen, `${method} at the upstream`).toBeLessThanOrEqual(body === '' ? 2 : 1);
        await new Promise(resolve => setTimeout(resolve, idleMs - 1 + random() * 3));
      }
      client.destroy();
    });
    await Promise.all(lanes);
  });
});

describe('answers that two readers could frame differently never reach the client', () => {
  const ok = 'HTTP/1.1 200 OK\r\n';
  test.each([
    ['two lengths that differ', `${ok}Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc`],
    ['two equal lengths', `${ok}Content-Length: 2\r\nContent-Length: 2\r\n\r\nab`],
    ['a list of lengths', `${ok}Content-Length: 2, 2\r\n\r\nab`],
    ['a negative length', `${ok}Content-Length: -1\r\n\r\n`],
    ['a length with a sign', `${ok}Content-Length: +2\r\n\r\nab`],
    ['a length in hex', `${ok}Content-Length: 0x2\r\n\r\nab`],
    ['a length that overflows', `${ok}Content-Length: 18446744073709551617\r\n\r\na`],
    ['a length with chunks', `${ok}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['chunked twice', `${ok}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`],
    ['chunked in two fields', `${ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['another coding', `${ok}Transfer-Encoding: gzip\r\n\r\nxx`],
    ['another coding behind chunked', `${ok}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n`],
    ['a coding before chunked', `${ok}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
    ['a folded field', `${ok}X-Fold: a\r\n b\r\nContent-Length: 2\r\n\r\nab`],
    ['a bare LF behind a field', `${ok}X-Bare: a\nContent-Length: 2\r\n\r\nab`],
    ['bare LF everywhere', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nab'],
    ['a bare CR in a value', `${ok}X-Bare: a\rX-Evil: b\r\nContent-Length: 2\r\n\r\nab`],
    ['NUL in a value', `${ok}X-Nul: a\0b\r\nContent-Length: 2\r\n\r\nab`],
    ['a blank before the colon', `${ok}Content-Length : 2\r\n\r\nab`],
    ['a field without a name', `${ok}: x\r\nContent-Length: 2\r\n\r\nab`],
    ['a field over 16 KiB', `${ok}X-Big: ${'b'.repeat(17 << 10)}\r\nContent-Length: 2\r\n\r\nab`],
    ['ten thousand fields', `${ok}${'X: y\r\n'.repeat(10_000)}Content-Length: 2\r\n\r\nab`],
    ['a status of two digits', 'HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nab'],
    ['an unknown version', 'HTTP/3.0 200 OK\r\nContent-Length: 2\r\n\r\nab'],
    ['a switch that nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'],
    ['an unasked 100', `HTTP/1.1 100 Continue\r\n\r\n${ok}Content-Length: 2\r\n\r\nab`],
  ])('%s: 502, and the connection is not used again', async (_, bytes) => {
    upstream.script = ({ write }) => write(bytes);
    const client = await RawClient.open(postern.port);
    client.write(get('/api/odd'));
    const answer = await client.answer();
    expect(answer.status).toBe(502);
    expect(answer.json()['code']).toBe('upstream_failed');
    expect(client.length, 'bytes behind the answer').toBe(0);
    await upstream.until(() => upstream.sockets.size === 0, 'end of its connection');
    client.destroy();
  });

  test('chunks on HTTP/1.0, which RFC 9112 6.1 calls faulty, are the last thing on their connection', async () => {
    upstream.script = ({ write }) =>
      write('HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n');
    const client = await RawClient.open(postern.port);
    client.write(get('/api/odd'));
    await client.answer();
    await upstream.until(() => upstream.sockets.size === 0, 'end of its connection');
    client.destroy();
  });

  test.each([
    ['garbage', 'GARBAGE'],
    ['another answer', 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL'],
  ])(
    '%s behind a whole answer is nobody’s: the client sees exactly its bytes, the next one a fresh connection',
    async (_, surplus) => {
      upstream.script = ({ write }) => write(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok${surplus}`);
      const client = await RawClient.open(postern.port);
      client.write(get('/api/first'));
      expect((await client.answer()).body.toString()).toBe('ok');
      upstream.script = ({ write }) => write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine');
      client.write(get('/api/second'));
      expect((await client.answer()).body.toString()).toBe('mine');
      expect(client.length).toBe(0);
      const [first, second] = upstream.requests;
      expect(second!.connection).not.toBe(first!.connection);
      client.destroy();
    },
  );

  test('an answer that nobody asked for, on an idle connection, is given to nobody', async () => {
    upstream.script = ({ write }) => write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    const client = await RawClient.open(postern.port);
    client.write(get('/api/first'));
    expect((await client.answer()).body.toString()).toBe('ok');
    await postern.quiet();
    const [idle] = [...upstream.sockets];
    idle!.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL');
    client.write(get('/api/second'));
    expect((await client.answer()).body.toString()).toBe('ok');
    client.destroy();
  });
});

describe('event streams', () => {
  const event = (n: number): string => `data: ${n}\n\n`;

  test('every event is delivered as it is written, and silence longer than idle_timeout does not end the stream', async () => {
    const opened = Promise.withResolvers<Scene>();
    upstream.script = scene => {
      scene.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n');
      opened.resolve(scene);
    };
    const client = await RawClient.open(postern.port);
    client.write(get('/api/events'));
    // The head comes before the first event.
    await client.until(() => client.text.includes('\r\n\r\n'), 'head');
    const { write, socket } = await opened.promise;
    const delays: number[] = [];
    // Longer than idle_timeout, twice; and at once.
    for (const [n, silence] of [0, 0, 700, 0, 700].entries()) {
      await new Promise(resolve => setTimeout(resolve, silence));
      const at = performance.now();
      write(event(n));
      await client.until(() => client.text.includes(event(n)), `event ${n}`);
      delays.push(performance.now() - at);
    }
    expect(Math.max(...delays), 'milliseconds until an event was there').toBeLessThan(250);
    expect(await postern.metric('postern_streams_open{kind="event_stream"}')).toBe(1);
    socket.end();
    await client.until(() => isWhole(client), 'the end of the stream');
    client.destroy();
  });

  test('streams do not take the places of requests', async () => {
    const streams: RawClient[] = [];
    upstream.script = ({ request, write }) =>
      write(
        request.target === '/api/events'
          ? 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 0\n\n'
          : 'HTTP/1.1 204 No Content\r\n\r\n',
      );
    // As many as max_connections, and more.
    for (let i = 0; i < 9; i++) {
      const client = await RawClient.open(postern.port);
      client.write(get('/api/events'));
      await client.until(() => client.text.includes('data: 0'), 'event');
      streams.push(client);
    }
    const client = await RawClient.open(postern.port);
    client.write(get('/api/x'));
    expect((await client.answer()).status).toBe(204);
    for (const stream of streams) stream.destroy();
    client.destroy();
  });
});

describe('encoded bodies pass as they are', () => {
  test('a bomb, and a body said to be encoded a thousand times', async () => {
    const bomb = gzipSync(Buffer.alloc(64 << 20));
    const layers = Array.from({ length: 1000 }, () => 'gzip').join(', ');
    for (const [encoding, body] of [
      ['gzip', bomb],
      [layers, Buffer.from('not gzip at all')],
    ] as const) {
      upstream.script = ({ write }) => {
        write(`HTTP/1.1 200 OK\r\nContent-Encoding: ${encoding}\r\nContent-Length: ${body.length}\r\n\r\n`);
        write(body);
      };
      const client = await RawClient.open(postern.port);
      client.write(get('/api/bomb'));
      const answer = await client.answer();
      expect(answer.get('content-encoding')).toBe(encoding);
      expect(answer.body.equals(body)).toBe(true);
      client.destroy();
    }
  });
});

function chunk(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]);
}

/** What has come of the body so far, without the sizes of chunks. */
function bodyOf(client: RawClient): Buffer {
  const { bytes } = client;
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd === -1) return Buffer.alloc(0);
  const body = bytes.subarray(headEnd + 4);
  if (!/transfer-encoding: chunked/i.test(bytes.subarray(0, headEnd).toString('latin1'))) return body;
  const pieces: Buffer[] = [];
  for (let at = 0; ; ) {
    const line = body.indexOf('\r\n', at);
    if (line === -1) return Buffer.concat(pieces);
    const size = Number.parseInt(body.subarray(at, line).toString('latin1'), 16);
    pieces.push(body.subarray(line + 2, line + 2 + size));
    at = line + 2 + size + 2;
    if (size === 0 || at > body.length) return Buffer.concat(pieces);
  }
}

/** The message has come to the end that its head announces. */
function isWhole(client: RawClient): boolean {
  const { bytes } = client;
  const headEnd = bytes.indexOf('\r\n\r\n');
  const length = /content-length: (\d+)/i.exec(bytes.subarray(0, headEnd).toString('latin1'))?.[1];
  if (length === undefined) return bytes.subarray(-7).toString('latin1').endsWith('\r\n0\r\n\r\n');
  return bytes.length - headEnd - 4 >= Number(length);
}

/** Waits until a number has stopped growing: whoever moves it is held back. */
async function steady(read: () => number): Promise<void> {
  let last = -1;
  await expect
    .poll(
      () => {
        const grown = read() !== last;
        last = read();
        return grown;
      },
      { interval: 100, timeout: 10_000 },
    )
    .toBe(false);
}

async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

/** A server that listens and never accepts, with its queue full: connecting to it takes for ever. */
class StuckServer {
  readonly port: number;
  readonly #process: ChildProcess;
  readonly #fillers: Socket[];

  private constructor(port: number, process: ChildProcess, fillers: Socket[]) {
    this.port = port;
    this.#process = process;
    this.#fillers = fillers;
  }

  static async start(): Promise<StuckServer> {
    const script = `const server = require('node:net').createServer(() => {});
      server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(server.address().port));`;
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [said] = (await once(child.stdout!, 'data')) as [Buffer];
    const port = Number(said.toString());
    child.kill('SIGSTOP');
    const fillers: Socket[] = [];
    // Connections are taken into the queue until one is not.
    for (let full = false; !full; ) {
      const socket = connect({ port, host: '127.0.0.1' });
      socket.on('error', () => {});
      fillers.push(socket);
      full = await Promise.race([
        once(socket, 'connect').then(() => false),
        new Promise<boolean>(resolve => setTimeout(() => resolve(true), 150)),
      ]);
    }
    return new StuckServer(port, child, fillers);
  }

  end(): void {
    for (const socket of this.#fillers) socket.destroy();
    this.#process.kill('SIGKILL');
  }
}
