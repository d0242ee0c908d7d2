import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Postern } from '../support/postern.ts';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';

const H = 'Host: a\r\n';
const headMs = 500;
const bodyMs = 500;
const most = 400;
let upstream: RecordingUpstream;
let postern: Postern;
let A = '';

beforeAll(async () => {
  upstream = await new RecordingUpstream().listen();
  postern = await Postern.start({
    upstream: upstream.url,
    upstreamMembers: 'idle_timeout: 500ms',
    proxyMembers: `head_timeout: ${headMs}ms, body_timeout: ${bodyMs}ms, max_connections: ${most}`,
  });
  A = `Authorization: Bearer ${(await postern.mint({ permissions: ['api'] })).secret}\r\n`;
});
afterEach(async () => {
  await RawClient.closeAll();
  await postern.assertInvariants(upstream);
  upstream.reset();
});
afterAll(async () => {
  await postern.stop();
  await upstream.close();
});

const get = (path: string): string => `GET ${path} HTTP/1.1\r\n${H}${A}\r\n`;

/** Writes one byte at a time for as long as the connection takes them. */
async function trickle(client: RawClient, text: string, everyMs: number): Promise<void> {
  for (const byte of text) {
    if (client.closed || client.ended) return;
    client.write(byte);
    await pause(everyMs);
  }
}

describe('slow heads', () => {
  test('hundreds of clients that send theirs byte by byte are told 408 at its deadline, and others are served meanwhile', async () => {
    const slow = await Promise.all(Array.from({ length: 300 }, () => RawClient.open(postern.port)));
    const at = performance.now();
    const told = slow.map(async client => {
      void trickle(client, `GET /api/x HTTP/1.1\r\n${H}X-Slow: ${'a'.repeat(1000)}`, 50);
      const answer = await client.answer();
      expect(answer.status).toBe(408);
      expect(answer.json()['code']).toBe('request_timeout');
      expect(answer.get('connection')).toBe('close');
      await client.untilClosed();
      return performance.now() - at;
    });
    const other = await RawClient.open(postern.port);
    let served = 0;
    let open = true;
    const serving = (async () => {
      while (open) {
        other.write(get('/api/other'));
        expect((await other.answer({ ms: 2000 })).status).toBe(200);
        served++;
      }
    })();
    const times = await Promise.all(told);
    open = false;
    await serving;
    expect(Math.min(...times)).toBeGreaterThan(headMs * 0.9);
    expect(Math.max(...times), 'milliseconds until the last one was told').toBeLessThan(headMs + 2000);
    expect(served).toBeGreaterThan(10);
  });

  test('a client that says nothing at all is closed at the same deadline, without an answer', async () => {
    const client = await RawClient.open(postern.port);
    await client.untilClosed(headMs + 2000);
    expect(client.length).toBe(0);
  });

  test('the deadline holds for every request of a connection', async () => {
    const client = await RawClient.open(postern.port);
    client.write(get('/api/first'));
    expect((await client.answer()).status).toBe(200);
    client.write('GET /api/second HT');
    expect((await client.answer({ ms: headMs + 2000 })).status).toBe(408);
    await client.untilClosed();
  });
});

describe('the number of connections', () => {
  test('those beyond max_connections are closed at once and counted, and a place that becomes free is given away', async () => {
    await expect.poll(() => postern.metric('postern_connections{listener="proxy"}'), { timeout: 5000 }).toBe(0);
    const first = await Promise.all(
      Array.from({ length: most }, async () => {
        const client = await RawClient.open(postern.port);
        client.write(get('/api/x'));
        expect((await client.answer()).status).toBe(200);
        return client;
      }),
    );
    const rejected = 'postern_connections_rejected_total{reason="limit"}';
    const before = await postern.metric(rejected);
    for (let i = 0; i < 5; i++) {
      // It may be accepted by the kernel, and is closed before a byte is read.
      const client = await RawClient.open(postern.port);
      await client.untilClosed(2000);
      expect(client.length).toBe(0);
    }
    expect(await postern.metric(rejected)).toBe(before + 5);
    expect(await postern.metric('postern_connections{listener="proxy"}')).toBe(most);
    first[0]!.destroy();
    await expect.poll(() => postern.metric('postern_connections{listener="proxy"}')).toBe(most - 1);
    const next = await RawClient.open(postern.port);
    next.write(get('/api/x'));
    expect((await next.answer()).status).toBe(200);
  });
});

describe('slow bodies', () => {
  test.each([
    ['stops', 0],
    ['trickles', 50],
  ])('an upload that %s is told 408, and its upstream connection ends without a whole request', async (_, everyMs) => {
    const client = await RawClient.open(postern.port);
    client.write(`POST /api/slow HTTP/1.1\r\n${H}${A}Content-Length: 1048576\r\n\r\nbegin`);
    if (everyMs > 0) void trickle(client, 'x'.repeat(1000), everyMs);
    const answer = await client.answer({ ms: bodyMs + 2000 });
    expect([answer.status, answer.json()['code']]).toEqual([408, 'request_timeout']);
    expect(answer.get('connection')).toBe('close');
    await upstream.until(({ sockets }) => sockets.size === 0, 'end of its connection');
    expect(upstream.requests.map(({ complete }) => complete)).toEqual([false]);
    await client.untilClosed();
    await postern.quiet();
    expect((await postern.requestLines()).at(-1)).toMatchObject({ status: 408, fault: 'client_slow' });
  });

  test('an upload that takes long, but not too slowly, arrives whole', async () => {
    const piece = 'y'.repeat(2048);
    const pieces = Math.ceil((3 * bodyMs) / 100);
    const client = await RawClient.open(postern.port);
    client.write(`POST /api/steady HTTP/1.1\r\n${H}${A}Content-Length: ${piece.length * pieces}\r\n\r\n`);
    for (let i = 0; i < pieces; i++) {
      client.write(piece);
      await pause(100);
    }
    expect((await client.answer()).status).toBe(200);
    expect(upstream.requests[0]!.body.toString()).toBe(piece.repeat(pieces));
  });

  test('an upstream that is slow to take a body does not cost the client its patience', async () => {
    const size = 24 << 20;
    let takes = false;
    upstream.onConnect = socket => {
      socket.pause();
      // Longer than the client may be silent.
      setTimeout(() => {
        takes = true;
        socket.resume();
      }, bodyMs * 3);
    };
    upstream.early = true;
    upstream.script = () => {};
    const client = await RawClient.open(postern.port);
    client.write(`POST /api/held HTTP/1.1\r\n${H}${A}Content-Length: ${size}\r\n\r\n`);
    client.write(Buffer.alloc(size));
    await pause(bodyMs * 2);
    expect([takes, client.length, client.closed]).toEqual([false, 0, false]);
    await upstream.until(() => takes, 'wish for more');
    expect(client.closed).toBe(false);
  });
});

describe('slow readers', () => {
  test('one that takes nothing of a long answer loses it after idle_timeout, and the upstream is free', async () => {
    const piece = Buffer.alloc(64 << 10);
    upstream.script = ({ socket, write }) => {
      write(`HTTP/1.1 200 OK\r\nContent-Length: ${1 << 30}\r\n\r\n`);
      const pump = (): void => {
        while (socket.writable && socket.write(piece));
        socket.once('drain', pump);
      };
      pump();
    };
    const client = await RawClient.open(postern.port);
    client.socket.pause();
    client.write(get('/api/long'));
    await upstream.until(({ requests }) => requests.length === 1);
    await upstream.until(({ sockets }) => sockets.size === 0, 'end of its connection', 5000);
    await postern.quiet();
    expect((await postern.requestLines()).at(-1)).toMatchObject({
      status: 200,
      outcome: 'aborted',
      fault: 'client_slow',
    });
  });

  test('one that takes nothing of the end of an answer is not waited for, although the upstream has done its part', async () => {
    // Short enough to be taken from the upstream whole; many enough to fill what is between us and the client.
    const body = Buffer.alloc(32 << 10, 'z');
    upstream.script = ({ write }) => {
      write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`);
      write(body);
    };
    const client = await RawClient.open(postern.port);
    client.socket.pause();
    client.write(get('/api/tail').repeat(300));
    await expect.poll(() => postern.metric('postern_connections{listener="proxy"}'), { timeout: 8000 }).toBe(0);
    await postern.quiet();
    expect((await postern.requestLines()).at(-1)).toMatchObject({ outcome: 'aborted', fault: 'client_slow' });
  });
});

test('one that takes none of our own answers loses its connection too', async () => {
  const client = await RawClient.open(postern.port);
  client.socket.pause();
  client.write(`GET /api/x HTTP/1.1\r\n${H}\r\n`.repeat(40_000));
  await expect.poll(() => postern.metric('postern_connections{listener="proxy"}'), { timeout: 8000 }).toBe(1);
  await expect.poll(() => postern.metric('postern_connections{listener="proxy"}'), { timeout: 8000 }).toBe(0);
  expect((await postern.requestLines()).length).toBeLessThan(40_000);
});

test('the defaults take thousands of connections from one peer', async () => {
  const most = 3000;
  const own = await new RecordingUpstream().listen();
  const generous = await Postern.start({ upstream: own.url });
  const clients: RawClient[] = [];
  for (let i = 0; i < most; i += 250) {
    clients.push(...(await Promise.all(Array.from({ length: 250 }, () => RawClient.open(generous.port)))));
  }
  await expect.poll(() => generous.metric('postern_connections{listener="proxy"}')).toBe(most);
  for (let i = 0; i < most; i += 250) {
    const asked = clients.slice(i, i + 250).map(async client => {
      client.write(`GET /public/x HTTP/1.1\r\n${H}\r\n`);
      return (await client.answer()).status;
    });
    expect(new Set(await Promise.all(asked))).toEqual(new Set([200]));
  }
  expect(await generous.metric('postern_connections{listener="proxy"}')).toBe(most);
  await RawClient.closeAll();
  await generous.assertInvariants(own);
  await generous.stop();
  await own.close();
});
