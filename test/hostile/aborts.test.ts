import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { frame } from '../support/frames.ts';
import { Postern } from '../support/postern.ts';
import { randomFrom, seed } from '../support/random.ts';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream, type Script } from '../support/recording-upstream.ts';
import { patience } from '../support/tiers.ts';

const H = 'Host: a\r\n';
/** Well under a second: the upstream must not hear of it from a timer of its own or ours. */
const promptMs = 2000;
const piece = Buffer.alloc(64 << 10);
let upstream: RecordingUpstream;
let narrow: RecordingUpstream;
let mute: MuteServer;
let postern: Postern;
let A = '';

beforeAll(async () => {
  upstream = await new RecordingUpstream().listen();
  narrow = await new RecordingUpstream().listen();
  mute = await MuteServer.listen();
  postern = await Postern.start({
    upstream: upstream.url,
    upstreams: {
      narrow: `url: "${narrow.url}", max_connections: 1`,
      // Accepts connections and never shakes hands: connecting takes as long as it may.
      mute: `url: "https://127.0.0.1:${mute.port}", connect_timeout: 20s`,
    },
    routes: `
  - { path: /api/**, require: api, upstream: u }
  - { path: /narrow/**, require: api, upstream: narrow }
  - { path: /mute/**, require: api, upstream: mute }`,
    more: 'log: { access: all }',
  });
  A = `Authorization: Bearer ${(await postern.mint({ permissions: ['api'] })).secret}\r\n`;
});
afterEach(async () => {
  await RawClient.closeAll();
  await postern.assertInvariants(upstream);
  upstream.reset();
  narrow.reset();
});
afterAll(async () => {
  await postern.stop();
  await upstream.close();
  await narrow.close();
  mute.close();
});

const get = (path: string): string => `GET ${path} HTTP/1.1\r\n${H}${A}\r\n`;
const silent: Script = () => {};

/** How a client can go. */
const exits: Record<string, (client: RawClient) => void> = {
  'resets the connection': client => client.reset(),
  'closes the connection': client => client.destroy(),
  'closes its side of the connection': client => client.end(),
};
const ways = Object.keys(exits);

/** Brings a request to a stage; what it answers resolves when the upstream, or the queue, has seen the end of it. */
const stages: Record<string, (client: RawClient) => Promise<() => Promise<void>>> = {
  'while the upstream is connected to': async client => {
    const before = mute.sockets.size;
    client.write(get('/mute/x'));
    await expect.poll(() => mute.sockets.size, { interval: 5 }).toBe(before + 1);
    return () => mute.until(server => server.sockets.size <= before);
  },
  'while it waits in the queue': async client => {
    narrow.script = silent;
    const holder = await RawClient.open(postern.port);
    holder.write(get('/narrow/holder'));
    await narrow.until(({ requests }) => requests.length === 1);
    client.write(get('/narrow/queued'));
    const queued = 'postern_queue_length{upstream="narrow"}';
    await expect.poll(() => postern.metric(queued), { interval: 5 }).toBe(1);
    return async () => {
      await expect.poll(() => postern.metric(queued), { interval: 5 }).toBe(0);
      // Its place in the queue is gone, not only its answer.
      holder.destroy();
      await narrow.until(({ sockets }) => sockets.size === 0, 'end of the holder');
      expect(narrow.requests.map(({ target }) => target)).toEqual(['/narrow/holder']);
    };
  },
  'while it waits for the head': async client => {
    upstream.script = silent;
    client.write(get('/api/head'));
    await upstream.until(({ requests }) => requests.length === 1);
    return gone(1);
  },
  'in the middle of the body': async client => {
    upstream.script = ({ write }) => write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf');
    client.write(get('/api/body'));
    await client.until(({ text }) => text.endsWith('half'));
    return gone(1);
  },
  'in the middle of a body that it does not read': async client => {
    client.socket.pause();
    let written = 0;
    upstream.script = ({ write, socket }) => {
      write(`HTTP/1.1 200 OK\r\nContent-Length: ${1 << 30}\r\n\r\n`);
      const pump = (): void => {
        while (socket.writable && socket.write(piece)) written += piece.length;
        socket.once('drain', pump);
      };
      pump();
    };
    client.write(get('/api/unread'));
    // Every buffer on the way is full when no more is taken.
    for (let last = -1; last < written || written === 0; await new Promise(resolve => setTimeout(resolve, 100))) {
      last = written;
    }
    return gone(1);
  },
  'in the middle of an upload': async client => {
    client.write(`POST /api/upload HTTP/1.1\r\n${H}${A}Content-Length: 1000\r\n\r\nhalf`);
    await upstream.until(({ bytes }) => bytes.endsWith('half'), 'half of the body');
    return gone(1);
  },
  'in the middle of a chunked upload': async client => {
    client.write(`POST /api/upload HTTP/1.1\r\n${H}${A}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n`);
    await upstream.until(({ bytes }) => bytes.endsWith('half'), 'half of the body');
    return gone(1);
  },
  'in an event stream': async client => {
    upstream.script = ({ write }) => write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n');
    client.write(get('/api/events'));
    await client.until(({ text }) => text.includes('data: 1'));
    return gone(1);
  },
  'in a WebSocket': async client => {
    upstream.script = ({ write }) => {
      write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
      write(frame(10, false));
    };
    client.write(
      `GET /api/ws HTTP/1.1\r\n${H}${A}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
    );
    await client.until(({ bytes }) => bytes.includes(frame(10, false)));
    return gone(1);
  },
  'before a WebSocket is answered': async client => {
    upstream.script = silent;
    client.write(
      `GET /api/ws HTTP/1.1\r\n${H}${A}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
    );
    await upstream.until(({ requests }) => requests.length === 1);
    return gone(1);
  },
};

/** The upstream sees that one of its connections has ended. */
function gone(count: number): () => Promise<void> {
  const before = upstream.closedConnections;
  return () => upstream.until(({ closedConnections }) => closedConnections >= before + count, 'end of its connection');
}

describe('the upstream learns at once that the client has gone', () => {
  test.each(Object.keys(stages).flatMap(stage => ways.map(way => [way, stage] as const)))(
    'a client that %s %s',
    async (way, stage) => {
      const client = await RawClient.open(postern.port);
      const ended = await stages[stage]!(client);
      const at = performance.now();
      exits[way]!(client);
      await ended();
      expect(performance.now() - at, 'milliseconds').toBeLessThan(promptMs);
      await postern.quiet();
      const line = (await postern.requestLines()).findLast(({ path }) => path !== '/narrow/holder');
      // A WebSocket that a side has ended is over, not broken off.
      expect(line).toMatchObject(stage === 'in a WebSocket' ? { status: 101 } : { outcome: 'aborted' });
    },
  );
});

test('a client that goes while its token is looked up has nothing forwarded for it', async () => {
  // A token is looked up once; each of these is new.
  const secrets = await Promise.all(Array.from({ length: 20 }, () => postern.mint({ permissions: ['api'] })));
  for (const { secret } of secrets) {
    const client = await RawClient.open(postern.port);
    // The request and its end come in one turn of the event loop, before the store can have answered.
    client.write(`GET /api/unknown HTTP/1.1\r\n${H}Authorization: Bearer ${secret}\r\n\r\n`);
    client.end();
    await client.untilClosed();
  }
  await postern.quiet();
  // A look-up is under way without a stream: its end is a line.
  const linesOf = async () => (await postern.requestLines()).filter(({ path }) => path === '/api/unknown');
  await expect.poll(linesOf).toHaveLength(secrets.length);
  const lines = await linesOf();
  expect(new Set(lines.map(({ outcome }) => outcome))).toEqual(new Set(['aborted']));
});

test(
  `after thousands of aborts at any moment nothing is left behind (seed ${seed})`,
  async () => {
    const random = randomFrom(seed);
    upstream.script = ({ request, write }) => {
      switch (request.target) {
        case '/api/quick':
          return write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
        case '/api/half':
          return write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf');
        case '/api/events':
          return write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n');
      }
    };
    narrow.script = silent;
    const requests = [
      get('/api/quick'),
      get('/api/silent'),
      get('/api/half'),
      get('/api/events'),
      get('/narrow/x'),
      get('/mute/x'),
      get('/nowhere'),
      `POST /api/upload HTTP/1.1\r\n${H}${A}Content-Length: 100\r\n\r\nhalf`,
      `POST /api/upload HTTP/1.1\r\n${H}${A}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n`,
      `GET /api/half HTTP/1.1\r\n${H}`,
      `${get('/api/half')}${get('/api/half')}`,
    ];
    const before = sockets();
    const aborts = Number(process.env['POSTERN_ABORTS'] ?? 2000);
    const lanes = Array.from({ length: 50 }, async () => {
      for (let i = 0; i < aborts / 50; i++) {
        const client = await RawClient.open(postern.port);
        client.write(requests[Math.floor(random() * requests.length)]!);
        // Anything from at once to after the answer has begun.
        if (random() < 0.7) await new Promise(resolve => setTimeout(resolve, random() * 20));
        exits[ways[Math.floor(random() * ways.length)]!]!(client);
        client.socket.resume();
        if (random() < 0.5) client.destroy();
      }
    });
    await Promise.all(lanes);
    await RawClient.closeAll();
    await postern.quiet();
    upstream.reset();
    narrow.reset();
    await expect.poll(() => mute.sockets.size).toBe(0);
    await expect.poll(() => postern.metric('postern_connections{listener="proxy"}'), { timeout: 20_000 }).toBe(0);
    // Give or take those that scrape the metrics.
    await expect.poll(sockets, { timeout: 5000 }).toBeLessThan(before + 5);
    expect(await postern.metric('postern_queue_length{upstream="narrow"}')).toBe(0);
    // And it still works.
    const client = await RawClient.open(postern.port);
    client.write(get('/api/quick'));
    expect((await client.answer()).status).toBe(200);
  },
  patience(60_000),
);

/** How many sockets this process holds. */
const sockets = (): number => process.getActiveResourcesInfo().filter(name => name === 'TCPSocketWrap').length;

/** Accepts connections and says nothing. */
class MuteServer {
  readonly sockets = new Set<Socket>();
  readonly port: number;
  readonly #server: Server;
  #waiters: (() => void)[] = [];

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as { port: number }).port;
    server.on('connection', socket => {
      this.sockets.add(socket);
      socket.on('error', () => {});
      socket.resume();
      socket.on('close', () => {
        this.sockets.delete(socket);
        for (const wake of this.#waiters.splice(0)) wake();
      });
    });
  }

  static async listen(): Promise<MuteServer> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new MuteServer(server);
  }

  async until(condition: (server: MuteServer) => boolean): Promise<void> {
    while (!condition(this)) await new Promise<void>(resolve => this.#waiters.push(resolve));
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
    this.#server.close();
  }
}
