import { randomBytes, randomInt } from 'node:crypto';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { CommandCounter } from '../support/command-counter.ts';
import { Program } from '../support/program.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { RedisServer } from '../support/redis.ts';
import { Served } from '../support/served.ts';
import { patience } from '../support/tiers.ts';

/** One limit, several processes on one Redis, each in a process of its own. */

const processes = Number(process.env['POSTERN_LIMIT_PROCESSES'] ?? 3);
const offered = Number(process.env['POSTERN_LIMIT_OFFERED'] ?? 2000);
const runs = Number(process.env['POSTERN_LIMIT_RUNS'] ?? 1);
const max = offered / 10;
const steady = Number(process.env['POSTERN_LIMIT_STEADY'] ?? 10_000);

const upstream = new RecordingUpstream();
const key = randomBytes(32).toString('hex');
const pepper = randomBytes(32).toString('hex');
let redis: RedisServer;
let fleet: Served[] = [];

/** A process that was killed is gone after this. */
const boundMs = 1500;

const config = (bound = boundMs): string => `
upstreams: { u: { url: "${upstream.url}", queue: { size: 20000, timeout: 60s } } }
routes: [{ path: /x }]
admin: { keys: [{ name: ops, role: admin, key: "${key}" }] }
store: { kind: redis, url: "redis://127.0.0.1:${redis.endpoint.port}", deadline: 2s }
tokens: { peppers: [{ id: p1, key: "${pepper}" }] }
revocation: { bound: ${bound}ms }
limits: { wait: 20s }
log: { access: none }
`;

async function start(bound?: number): Promise<Served> {
  const served = await Served.start({ config: config(bound) });
  served.adminKey = key;
  return served;
}

beforeAll(async () => {
  await upstream.listen();
  redis = await RedisServer.start({ persistent: true });
});
afterEach(async () => {
  await Promise.all(fleet.map(served => served.stop()));
  fleet = [];
  upstream.reset();
});
afterAll(async () => {
  await RedisServer.stopAll();
  await Program.killAll();
  await upstream.close();
});

/** Asks a process on a kept connection, one request after the other, until it has had so many answers or is gone. */
function client(port: number, secret: string, requests: number, counts: Record<string, number>): Promise<void> {
  const text = `GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${secret}\r\n\r\n`;
  return new Promise(resolve => {
    let [left, rest] = [requests, ''];
    const socket = connect(port, '127.0.0.1', () => socket.write(text)).setEncoding('latin1');
    const over = (): void => {
      if (left > 0) counts['cut'] = (counts['cut'] ?? 0) + left;
      left = 0;
      resolve();
    };
    socket.on('error', over);
    socket.on('close', over);
    socket.on('data', piece => {
      rest += piece;
      const end = rest.indexOf('\r\n\r\n');
      const length = Number(/content-length: (\d+)/i.exec(rest)?.[1] ?? 0);
      if (end === -1 || rest.length < end + 4 + length) return;
      const status = rest.slice(9, 12);
      rest = rest.slice(end + 4 + length);
      counts[status] = (counts[status] ?? 0) + 1;
      if (--left > 0) socket.write(text);
      else socket.destroy();
    });
  });
}

/** Nine of ten requests go to one process. */
async function offer(secret: string, ports: readonly number[], counts: Record<string, number>): Promise<void> {
  const most = Math.floor(offered * 0.9);
  const others = Math.ceil((offered - most) / Math.max(1, ports.length - 1));
  const [connections, each] = [60, Math.ceil(most / 60)];
  await Promise.all([
    ...Array.from({ length: connections }, () => client(ports[0]!, secret, each, counts)),
    ...ports.slice(1).map(port => client(port, secret, others, counts)),
  ]);
}

async function use(served: Served, id: string): Promise<{ used: number; remaining: number; burned: number }> {
  const { status, body, text } = await served.admin('GET', `/v1/tokens/${id}/usage`);
  expect(status, text).toBe(200);
  return (body['limits'] as { used: number; remaining: number; burned: number }[])[0]!;
}

for (let run = 0; run < runs; run++) {
  test(`exactly ${max} of ${offered} requests pass at ${processes} processes (${run})`, {
    timeout: patience(120_000),
  }, async () => {
    fleet = await Promise.all(Array.from({ length: processes }, () => start()));
    const { id, secret } = await fleet[0]!.mint({ limits: [{ name: 'n', max, per: 'lifetime' }] });
    const counts: Record<string, number> = {};
    await offer(
      secret,
      fleet.map(({ ports }) => ports.proxy),
      counts,
    );
    expect(upstream.requests.length).toBe(max);
    expect(counts['200']).toBe(max);
    expect(
      Object.keys(counts)
        .filter(code => code !== 'cut')
        .toSorted(),
    ).toEqual(['200', '429']);
    await expect
      .poll(() => use(fleet[1]!, id), { timeout: 10_000 })
      .toEqual(expect.objectContaining({ used: max, remaining: 0, burned: 0 }));
  });

  test(`never more than ${max} pass while processes are killed, and what is missing stands as burned (${run})`, {
    timeout: patience(180_000),
  }, async () => {
    fleet = await Promise.all(Array.from({ length: processes }, () => start()));
    const { id, secret } = await fleet[0]!.mint({ limits: [{ name: 'n', max, per: 'lifetime' }] });
    const counts: Record<string, number> = {};
    let over = false;
    const killing = (async () => {
      for (let kills = 0; kills < processes * 2 && !over; kills++) {
        await pause(100);
        const at = randomInt(fleet.length);
        const victim = fleet[at]!;
        await victim.program.kill();
        fleet[at] = await start();
      }
    })();
    await offer(
      secret,
      fleet.map(({ ports }) => ports.proxy),
      counts,
    );
    over = true;
    await killing;
    // Until all that is left has been used, or is known to be lost.
    await expect
      .poll(
        async () => {
          await client(fleet[0]!.ports.proxy, secret, 50, counts);
          return (await use(fleet[0]!, id)).remaining;
        },
        { timeout: 60_000, interval: 100 },
      )
      .toBe(0);
    const { used, burned } = await use(fleet[0]!, id);
    expect(used).toBe(max);
    expect(upstream.requests.length).toBeLessThanOrEqual(max);
    expect(upstream.requests.length).toBeGreaterThanOrEqual(max - burned);
  });
}

test('a store that comes back without its last grants gives none twice, though their holder says nothing for a while', {
  timeout: patience(60_000),
}, async () => {
  const forgetful = await RedisServer.start();
  const text = config().replace(`:${redis.endpoint.port}"`, `:${forgetful.endpoint.port}"`);
  fleet = await Promise.all(
    ['a', 'b'].map(async () => {
      const served = await Served.start({ config: text });
      served.adminKey = key;
      return served;
    }),
  );
  const [a, b] = [fleet[0]!, fleet[1]!];
  const { id, secret } = await a.mint({ limits: [{ name: 'n', max: 100, per: 'lifetime' }] });
  // Its look-up is all that this process has done before.
  const other = await b.mint();
  expect(await b.status('/x', other.secret)).toBe(200);
  upstream.reset();
  await forgetful.client().save();
  const counts: Record<string, number> = {};
  await client(a.ports.proxy, secret, 80, counts);
  expect(counts).toEqual({ 200: 80 });
  expect((await use(a, id)).used).toBe(80);
  a.program.signal('SIGSTOP');
  await forgetful.restart();
  await b.said('the store is on another server, or its server began anew: limits grant nothing for 5 s');
  const early: Record<string, number> = {};
  // Until its look-ups are answered again, and then still.
  await expect.poll(() => b.status('/x', other.secret), { timeout: 10_000 }).toBe(200);
  upstream.reset();
  await client(b.ports.proxy, secret, 120, early);
  expect(early).toEqual({ 503: 120 });
  a.program.signal('SIGCONT');
  await expect
    .poll(
      async () => {
        await client(b.ports.proxy, secret, 10, early);
        return (await use(b, id)).remaining;
      },
      { timeout: 30_000, interval: 100 },
    )
    .toBe(0);
  await client(a.ports.proxy, secret, 100, early);
  expect(early['200']).toBe(20);
  expect(upstream.requests.length).toBe(20);
  expect((await use(b, id)).used).toBe(100);
});

test(`never more than ${max} pass while processes are stopped for longer than anybody waits for them`, {
  timeout: patience(180_000),
}, async () => {
  fleet = await Promise.all(Array.from({ length: processes }, () => start()));
  const { id, secret } = await fleet[0]!.mint({ limits: [{ name: 'n', max, per: 'lifetime' }] });
  // All of them hold units.
  const counts: Record<string, number> = {};
  await Promise.all(fleet.map(({ ports }) => client(ports.proxy, secret, 5, counts)));
  const [stopped, ...others] = fleet;
  stopped!.program.signal('SIGSTOP');
  const waiting = client(stopped!.ports.proxy, secret, max, counts);
  await Promise.all(others.map(({ ports }) => client(ports.proxy, secret, max, counts)));
  // It is gone by now: what it held is burned.
  await expect
    .poll(
      async () => {
        await client(others[0]!.ports.proxy, secret, 5, counts);
        return (await use(others[0]!, id)).burned;
      },
      { timeout: 30_000, interval: 100 },
    )
    .toBeGreaterThan(0);
  stopped!.program.signal('SIGCONT');
  await waiting;
  await expect
    .poll(
      async () => {
        await Promise.all(fleet.map(({ ports }) => client(ports.proxy, secret, 5, counts)));
        return use(others[0]!, id);
      },
      { timeout: 30_000, interval: 100 },
    )
    .toMatchObject({ used: max, remaining: 0, burned: 0 });
  // What it held was its own again when it was back.
  expect(upstream.requests.length).toBe(max);
});

test(`${steady} requests under limits far away cost the store two commands for a thousand, and three a second`, {
  timeout: patience(120_000),
}, async () => {
  // As it is by default.
  fleet = [await start(5000)];
  const [one] = fleet;
  const { body: owner } = await one!.admin('POST', '/v1/accounts', { limits: [{ name: 'all', max: 1e9, per: '1d' }] });
  const limits = [{ name: 'n', max: 1e8, per: '1mo' }];
  const spec = { limits, owner: owner['id'] };
  const secrets = await Promise.all(Array.from({ length: 10 }, async () => (await one!.mint(spec)).secret));
  const counts: Record<string, number> = {};
  for (const secret of secrets) await client(one!.ports.proxy, secret, 1, counts);
  const reported = () => one!.metric('postern_store_operations_total{operation="usage_report",result="ok"}');
  // Scripts are sent whole the first time.
  await expect.poll(reported).toBeGreaterThan(0);
  const counter = await CommandCounter.start(redis, '0');
  const began = performance.now();
  await Promise.all(secrets.map(secret => client(one!.ports.proxy, secret, steady / 10, counts)));
  const seconds = (performance.now() - began) / 1000;
  const commands = counter.end();
  expect(counts).toEqual({ 200: steady + 10 });
  const sum = Object.values(commands).reduce((a, b) => a + b, 0);
  // A tick or two may be under way.
  expect(sum, JSON.stringify({ commands, seconds })).toBeLessThanOrEqual((2 * steady) / 1000 + 3 * seconds + 6);
});
