import { hash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { frame } from '../support/frames.ts';
import { Program, postern } from '../support/program.ts';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream, type Scene } from '../support/recording-upstream.ts';
import { Served } from '../support/served.ts';
import { patience } from '../support/tiers.ts';

const restarts = Number(process.env['POSTERN_RESTARTS'] ?? 8);
const upstream = new RecordingUpstream();
const secret = 'a-secret-that-a-configuration-declares';
const H = `Host: a\r\nX-Api-Key: ${secret}\r\n`;

beforeAll(async () => {
  await upstream.listen();
});
afterEach(async () => {
  await RawClient.closeAll();
  await Program.killAll();
  upstream.reset();
});
afterAll(async () => {
  await upstream.close();
});

/** Every instance has a store of its own, and knows the same token. */
const start = (shutdown: string): Promise<Served> =>
  Served.start({
    config: `
upstreams: { u: { url: "${upstream.url}" } }
credentials: [{ header: x-api-key }]
routes: [{ path: /** }]
tokens: { declared: [{ id: known, secret_sha256: "${hash('sha256', secret)}" }] }
log: { access: none }
shutdown: ${shutdown}`,
  });

const get = (path: string): string => `GET ${path} HTTP/1.1\r\n${H}\r\n`;

/** What `/readyz` answers; null when nobody does. */
async function readiness(served: Served): Promise<{ status: number; missing: string[] } | null> {
  try {
    const response = await fetch(`${served.telemetry}/readyz`);
    return { status: response.status, missing: ((await response.json()) as { missing: string[] }).missing };
  } catch {
    return null;
  }
}

async function draining(served: Served): Promise<void> {
  const missing = async (): Promise<string[]> => (await readiness(served))?.missing ?? [];
  await expect.poll(missing, { interval: 10, timeout: 5000 }).toContain('draining');
  expect((await readiness(served))?.status).toBe(503);
}

const accepts = (port: number): Promise<boolean> =>
  RawClient.open(port).then(
    client => {
      client.destroy();
      return true;
    },
    () => false,
  );

const ends: Record<string, (served: Served) => Promise<void>> = {
  SIGTERM: async served => served.program.signal('SIGTERM'),
  'postern drain': async served => {
    const { code, stdout } = await postern(['drain', '--url', served.telemetry]);
    expect([code, JSON.parse(stdout)]).toEqual([0, { draining: true }]);
  },
};

describe('an orderly end', () => {
  test.each(Object.keys(ends))(
    '%s: not ready first, served meanwhile on connections that close, then gone with 0',
    async how => {
      const served = await start('{ delay: 1s, grace: 20s }');
      const kept = await RawClient.open(served.ports.proxy);
      kept.write(get('/before'));
      expect((await kept.answer()).get('connection')).not.toBe('close');
      expect(await readiness(served)).toEqual({ status: 200, missing: [] });

      await ends[how]!(served);
      await draining(served);
      const at = performance.now();
      for (const client of [kept, await RawClient.open(served.ports.proxy)]) {
        client.write(get('/during'));
        const answer = await client.answer();
        expect([answer.status, answer.body.toString(), answer.get('connection')]).toEqual([200, 'ok', 'close']);
        await client.untilClosed();
      }
      const refused = await RawClient.open(served.ports.proxy);
      refused.write('GET /during HTTP/1.1\r\nHost: a\r\n\r\n');
      const refusal = await refused.answer();
      expect([refusal.status, refusal.get('connection')]).toEqual([401, 'close']);
      expect(await served.metric('postern_draining')).toBe(1);
      expect(performance.now() - at, 'all that within the delay').toBeLessThan(1000);

      // Nothing is under way: it does not wait for the grace.
      expect(await served.program.exited(5000)).toEqual({ code: 0, signal: null });
      expect(served.program.stderr).toBe('');
      expect(await accepts(served.ports.proxy)).toBe(false);
      await served.remove();
    },
  );

  test('what is under way finishes, and nothing is waited for behind it', async () => {
    const served = await start('{ delay: 0s, grace: 20s }');
    const held = Promise.withResolvers<Scene>();
    upstream.script = held.resolve;
    const client = await RawClient.open(served.ports.proxy);
    client.write(get('/slow'));
    const { write } = await held.promise;
    write('HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf');
    await client.until(({ text }) => text.endsWith('half'));
    served.program.signal('SIGTERM');
    await draining(served);
    await expect.poll(() => accepts(served.ports.proxy), { interval: 20 }).toBe(false);
    write('half');
    expect((await client.answer()).body.toString()).toBe('halfhalf');
    expect(await served.program.exited(3000)).toEqual({ code: 0, signal: null });
    await served.remove();
  });

  test('a WebSocket is told 1001 after the grace, between two frames, and an event stream is cut', async () => {
    const served = await start('{ delay: 0s, grace: 600ms }');
    upstream.script = ({ request, write }) => {
      if (request.target === '/events') write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n');
      else write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
    };
    const upgrade = `GET /ws HTTP/1.1\r\n${H}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`;
    const socket = await RawClient.open(served.ports.proxy);
    socket.write(upgrade);
    await socket.until(({ text }) => text.includes('\r\n\r\n'));
    const [between] = [...upstream.sockets];
    // Half a frame is under way when the end comes.
    const whole = frame(1000, false);
    between!.write(whole.subarray(0, 500));
    const events = await RawClient.open(served.ports.proxy);
    events.write(get('/events'));
    await events.until(({ text }) => text.includes('data: 1'));
    const before = socket.length - 500;
    await socket.until(({ length }) => length >= before + 500);

    served.program.signal('SIGTERM');
    await draining(served);
    // Until the grace is over nothing happens to them.
    expect([socket.closed, socket.ended, events.closed, events.ended]).toEqual([false, false, false, false]);
    await events.untilClosed();
    between!.write(whole.subarray(500));
    await socket.untilClosed();
    expect(socket.bytes.subarray(-4)).toEqual(Buffer.from([0x88, 0x02, 0x03, 0xe9]));
    expect(socket.bytes.subarray(-4 - whole.length, -4).equals(whole)).toBe(true);
    expect(await served.program.exited(5000)).toEqual({ code: 0, signal: null });
    // The upstream was told as well, masked as a client's frames have to be.
    expect(upstream.tunnelled).toBe('\x88\x82\0\0\0\0\x03\xe9');
    await served.remove();
  });

  test('a second signal changes nothing', async () => {
    const served = await start('{ delay: 1s, grace: 20s }');
    served.program.signal('SIGTERM');
    await draining(served);
    for (const name of ['SIGTERM', 'SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      served.program.signal(name);
      const client = await RawClient.open(served.ports.proxy);
      client.write(get('/x'));
      expect((await client.answer()).status).toBe(200);
    }
    expect(await served.program.exited(5000)).toEqual({ code: 0, signal: null });
    expect(served.program.lines.filter(line => line['msg'] === 'draining')).toHaveLength(1);
    await served.remove();
  });

  test('SIGINT skips the delay', async () => {
    const served = await start('{ delay: 60s, grace: 60s }');
    const idle = await RawClient.open(served.ports.proxy);
    idle.write(get('/x'));
    await idle.answer();
    served.program.signal('SIGINT');
    expect(await served.program.exited(5000)).toEqual({ code: 0, signal: null });
    await idle.untilClosed();
    await served.remove();
  });

  test('when the upstream has gone before it, requests are told that the pair is going', async () => {
    const own = await new RecordingUpstream().listen();
    const served = await Served.start({
      config: `
upstreams: { u: { url: "${own.url}" } }
routes: [{ path: /**, access: public }]
shutdown: { delay: 1s, grace: 1s }`,
    });
    expect(await served.status('/x', null)).toBe(200);
    served.program.signal('SIGTERM');
    await draining(served);
    await own.close();
    const client = await RawClient.open(served.ports.proxy);
    client.write(get('/x'));
    const answer = await client.answer();
    expect([answer.status, answer.json()['code'], answer.get('connection')]).toEqual([503, 'overloaded', 'close']);
    expect(answer.get('retry-after')).toBe('1');
    expect(await served.program.exited(5000)).toEqual({ code: 0, signal: null });
    await served.remove();
  });
});

/** Instances behind a balancer that asks for their readiness, as Kubernetes does. */
class Balancer {
  readonly #all = new Set<Served>();
  ready: Served[] = [];
  #open = true;
  readonly #polling: Promise<void>;

  constructor() {
    this.#polling = (async () => {
      while (this.#open) {
        const asked = [...this.#all].map(async served => ({
          served,
          ready: (await readiness(served))?.status === 200,
        }));
        this.ready = (await Promise.all(asked)).filter(({ ready }) => ready).map(({ served }) => served);
        await pause(20);
      }
    })();
  }

  async add(served: Served): Promise<void> {
    this.#all.add(served);
    while (!this.ready.includes(served)) await pause(10);
  }

  remove(served: Served): void {
    this.#all.delete(served);
  }

  close(): Promise<void> {
    this.#open = false;
    return this.#polling;
  }
}

test(
  `${restarts} restarts under load cost clients that honour Connection: close not one error`,
  async () => {
    upstream.script = ({ request, write, socket }) => {
      const answer = `HTTP/1.1 200 OK\r\nContent-Length: ${request.target.length}\r\n\r\n${request.target}`;
      if (request.target === '/slow') setTimeout(() => write(answer), 150);
      else if (request.target === '/events') {
        write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n');
        let count = 0;
        const timer = setInterval(() => {
          write(`data: ${++count}\n\n`);
          if (count < 3) return;
          clearInterval(timer);
          socket.end();
        }, 40);
        socket.on('close', () => clearInterval(timer));
      } else write(answer);
    };
    const balancer = new Balancer();
    const shutdown = '{ delay: 400ms, grace: 10s }';
    let current = await start(shutdown);
    await balancer.add(current);

    let open = true;
    let answered = 0;
    const errors: string[] = [];
    const kinds = ['/quick', '/quick', '/upload', '/slow', '/quick', '/events', '/quick', '/upload'];
    const lanes = kinds.map(async (kind, lane) => {
      let on: Served | null = null;
      let client: RawClient | null = null;
      while (open) {
        // A connection to an instance that is not ready is not used again.
        if (on === null || client === null || client.closed || client.ended || !balancer.ready.includes(on)) {
          client?.destroy();
          on = balancer.ready[lane % balancer.ready.length] ?? null;
          client = on === null ? null : await RawClient.open(on.ports.proxy).catch(() => null);
          if (client === null) {
            errors.push(`${kind}: no connection`);
            continue;
          }
        }
        try {
          client.write(kind === '/upload' ? `POST ${kind} HTTP/1.1\r\n${H}Content-Length: 5\r\n\r\n12345` : get(kind));
          const answer = await client.answer({ ms: 5000 });
          const expected = kind === '/events' ? 'data: 1\n\ndata: 2\n\ndata: 3\n\n' : kind;
          if (answer.status !== 200 || answer.body.toString() !== expected) errors.push(`${kind}: ${answer.status}`);
          else answered++;
          if (answer.get('connection') === 'close') {
            client.destroy();
            client = null;
          }
        } catch (error) {
          errors.push(`${kind}: ${String(error)}`);
          client?.destroy();
          client = null;
        }
        await pause(5);
      }
      client?.destroy();
    });

    const gone: Promise<void>[] = [];
    for (let i = 0; i < restarts; i++) {
      const next = await start(shutdown);
      await balancer.add(next);
      const old = current;
      current = next;
      old.program.signal('SIGTERM');
      gone.push(
        old.program.exited().then(async ended => {
          balancer.remove(old);
          if (ended.code !== 0) errors.push(`an instance ended with ${JSON.stringify(ended)}`);
          await old.remove();
        }),
      );
    }
    await Promise.all(gone);
    open = false;
    await Promise.all(lanes);
    await balancer.close();
    await current.stop();
    console.log({ restarts, answered });
    expect(errors).toEqual([]);
    expect(answered).toBeGreaterThan(restarts * 50);
  },
  patience(120_000),
);
