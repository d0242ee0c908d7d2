import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { Program } from '../support/program.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { RedisServer } from '../support/redis.ts';
import { RespProxy } from '../support/resp-proxy.ts';
import { Served } from '../support/served.ts';

/**
 * Starts without the store, and outages that last: what the table of outages promises, from outside. Much of it is waiting,
 * so that tests run beside each other, each with a store of its own.
 */

const upstream = new RecordingUpstream();
const key = randomBytes(32).toString('hex');
const pepper = randomBytes(32).toString('hex');

interface Settings {
  readonly port: number;
  readonly outage?: string;
  readonly folder?: string;
  readonly peppers?: readonly string[];
}

/** Peppers, the first of which makes new secrets. */
const peppersOf = (ids: readonly string[]): string =>
  ids.map(id => `{ id: ${id}, key: "${createHash('sha256').update(`${pepper} ${id}`).digest('hex')}" }`).join(', ');

async function start({ port, outage = '', folder, peppers = ['p1'] }: Settings): Promise<Served> {
  const served = await Served.start({
    ...(folder === undefined ? {} : { folder }),
    config: `
upstreams: { u: { url: "${upstream.url}" } }
routes: [{ path: /api/**, require: api }]
admin: { keys: [{ name: ops, role: admin, key: "${key}" }] }
store: { kind: redis, url: "redis://127.0.0.1:${port}/1", deadline: 300ms, mutation_deadline: 1s }
tokens: { peppers: [${peppersOf(peppers)}] }
revocation: { bound: 1500ms }
guard: { failures: 0 }
${outage}
`,
  });
  served.adminKey = key;
  return served;
}

const snapshots = 'outage: { serve_cached_for: 10m, snapshot: { path: ./snapshot, interval: 1s } }';

/** Tests beside each other cannot share `expect.poll`. */
const until = (what: () => unknown, wanted: unknown): Promise<unknown> =>
  vi.waitFor(async () => expect(await what()).toEqual(wanted), { interval: 25, timeout: 15_000 });

const ready = async (served: Served): Promise<number> => (await fetch(`${served.telemetry}/readyz`)).status;

/** Waits until the snapshot holds as many tokens. */
const snapshotOf = (served: Served, tokens: number): Promise<unknown> => {
  const file = path.join(served.folder, 'snapshot/snapshot');
  const count = (): number => (existsSync(file) ? readFileSync(file, 'utf8').split('{"token":').length - 1 : 0);
  return until(count, tokens);
};

beforeAll(async () => {
  await upstream.listen();
});
afterAll(async () => {
  await Program.killAll();
  await RedisServer.stopAll();
  await upstream.close();
});

const store = async (): Promise<{ readonly redis: RedisServer; readonly port: number }> => {
  const redis = await RedisServer.start({ persistent: true });
  return { redis, port: redis.endpoint.port };
};

describe.concurrent('a store that is not there at the start', () => {
  test('has not said which peppers there were: a secret of one of them is not told from a good one', async () => {
    const { redis, port } = await store();
    const first = await start({ port });
    const { secret } = await first.mint({ permissions: ['api'] });
    await first.stop();
    const second = await start({ port, peppers: ['p2', 'p1'] });
    expect(await second.status('/api/x', secret)).toBe(200);
    await second.stop();
    await redis.kill();

    const served = await start({ port, peppers: ['p2'] });
    expect(await served.status('/api/x', secret)).toBe(503);
    await redis.restart();
    await until(() => served.status('/api/x', secret), 200);
    expect(await served.status('/api/x', `${secret.slice(0, -1)}${secret.endsWith('0') ? '1' : '0'}`)).toBe(401);
  });

  test('is waited for by a process that lives and is not ready: 503 at once, and all is well when it comes', async () => {
    const { redis, port } = await store();
    const first = await start({ port });
    const { secret } = await first.mint({ permissions: ['api'] });
    await first.stop({ keep: true });
    await redis.kill();

    const served = await start({ port });
    expect((await fetch(`${served.telemetry}/livez`)).status).toBe(200);
    const notReady = await fetch(`${served.telemetry}/readyz`);
    expect([notReady.status, await notReady.text()]).toEqual([503, expect.stringContaining('store')]);
    const began = performance.now();
    const refused = await fetch(`${served.proxy}/api/x`, { headers: { Authorization: `Bearer ${secret}` } });
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await refused.json()).toMatchObject({ code: 'store_unavailable' });
    expect(performance.now() - began).toBeLessThan(1500);
    expect(await served.status('/api/x', null)).toBe(401);
    expect((await served.admin('POST', '/v1/tokens', {})).status).toBe(503);
    await served.said('the store cannot be opened yet');

    await redis.restart();
    await until(() => ready(served), 200);
    expect(await served.status('/api/x', secret)).toBe(200);
    expect((await served.admin('POST', '/v1/tokens', {})).status).toBe(201);
    await served.said('the store is open');
    expect(await served.stop()).toBe(0);
  });

  test('may also say nothing at all; the program ends when it is told to', async () => {
    const { port } = await store();
    const proxy = await RespProxy.start(port);
    await proxy.be({ kind: 'swallow' });
    const served = await start({ port: proxy.port });
    expect(await ready(served)).toBe(503);
    await proxy.be({ kind: 'pass' });
    await until(() => ready(served), 200);
    await served.mint();
    await served.stop({ keep: true });
    await proxy.be({ kind: 'swallow' });
    const other = await start({ port: proxy.port });
    const began = performance.now();
    expect(await other.stop()).toBe(0);
    expect(performance.now() - began).toBeLessThan(10_000);
    await proxy.close();
  });
});

describe.concurrent('a snapshot', () => {
  test('lets known tokens pass when the store is away at the start, and nobody who was revoked', async () => {
    const { redis, port } = await store();
    const served = await start({ port, outage: snapshots });
    const [known, early, late, unknown] = await Promise.all(
      Array.from({ length: 4 }, () => served.mint({ permissions: ['api'] })),
    );
    for (const { secret } of [known!, early!, late!]) expect(await served.status('/api/x', secret)).toBe(200);
    await snapshotOf(served, 3);
    expect((await served.admin('DELETE', `/v1/tokens/${early!.id}?wait=5s`)).status).toBe(200);
    await snapshotOf(served, 2);
    // This one is in the snapshot, and on disk beside it.
    expect((await served.admin('DELETE', `/v1/tokens/${late!.id}?wait=5s`)).status).toBe(200);
    await served.program.kill();
    await redis.kill();

    const again = await start({ port, outage: snapshots, folder: served.folder });
    expect(await ready(again)).toBe(200);
    expect(await again.status('/api/x', known!.secret)).toBe(200);
    expect(await again.status('/api/x', early!.secret)).toBe(503);
    expect(await again.status('/api/x', late!.secret)).toBe(503);
    expect(await again.status('/api/x', unknown!.secret)).toBe(503);
    // What is made up is still told apart from what may be good: nobody asks the store for it.
    expect(await again.status('/api/x', `pst_${'x'.repeat(38)}`)).toBe(401);

    await redis.restart();
    await until(() => again.status('/api/x', unknown!.secret), 200);
    expect(await again.status('/api/x', known!.secret)).toBe(200);
    for (const { secret } of [early!, late!]) expect(await again.status('/api/x', secret)).toBe(401);
    expect(await again.stop()).toBe(0);
  });

  test('that is too old is not served from', async () => {
    const { redis, port } = await store();
    const outage = 'outage: { serve_cached_for: 2s, snapshot: { path: ./snapshot, interval: 1s } }';
    const served = await start({ port, outage });
    const { secret } = await served.mint({ permissions: ['api'] });
    expect(await served.status('/api/x', secret)).toBe(200);
    await snapshotOf(served, 1);
    await served.program.kill();
    await redis.kill();
    await pause(2500);
    const again = await start({ port, outage, folder: served.folder });
    expect(await ready(again)).toBe(503);
    expect(await again.status('/api/x', secret)).toBe(503);
  });

  test('knows its store: an empty one in its place is unavailable, and stays empty', async () => {
    const { redis, port } = await store();
    const served = await start({ port, outage: snapshots });
    const [known, other] = [await served.mint({ permissions: ['api'] }), await served.mint({ permissions: ['api'] })];
    expect(await served.status('/api/x', known.secret)).toBe(200);
    await snapshotOf(served, 1);
    await served.stop({ keep: true });
    await redis.client().flushall();

    const again = await start({ port, outage: snapshots, folder: served.folder });
    expect(await again.status('/api/x', known.secret)).toBe(200);
    expect(await again.status('/api/x', other.secret)).toBe(503);
    expect((await again.admin('POST', '/v1/tokens', {})).status).toBe(503);
    await again.said('the store cannot be opened yet');
    expect(await redis.client().dbsize()).toBe(0);
  });

  test('outlives its process: others reckon with it until it is too old, or the next process has taken over', async () => {
    const { port } = await store();
    const [one, two] = await Promise.all([
      start({ port, outage: 'outage: { serve_cached_for: 20s, snapshot: { path: ./snapshot, interval: 1s } }' }),
      start({ port }),
    ]);
    const token = await one.mint({ permissions: ['api'] });
    expect(await one.status('/api/x', token.secret)).toBe(200);
    await snapshotOf(one, 1);
    expect(await one.stop({ keep: true })).toBe(0);
    const revoked = await two.admin('DELETE', `/v1/tokens/${token.id}?wait=500ms`);
    expect(revoked.status).toBe(202);
    const [gone] = revoked.body['pending'] as { process: string; may_serve_until: string }[];
    expect(Date.parse(gone!.may_serve_until) - Date.now()).toBeGreaterThan(5000);

    const again = await start({
      port,
      outage: 'outage: { serve_cached_for: 20s, snapshot: { path: ./snapshot, interval: 1s } }',
      folder: one.folder,
    });
    expect(await again.status('/api/x', token.secret)).toBe(401);
    await until(async () => (await two.admin('DELETE', `/v1/tokens/${token.id}?wait=500ms`)).status, 200);
    await Promise.all([again.stop(), two.stop()]);
  });
});

test('known tokens are served for as long as is configured, and counted as stale; then they are 503', async () => {
  const { redis, port } = await store();
  const served = await start({ port, outage: 'outage: { serve_cached_for: 4s }' });
  expect(await served.metric('postern_revocation_bound_seconds{kind="cut_off"}')).toBe(4);
  const { secret } = await served.mint({ permissions: ['api'] });
  expect(await served.status('/api/x', secret)).toBe(200);
  const died = performance.now();
  await redis.kill();
  let stale = 0;
  for (let status = 200; status === 200; await pause(50)) {
    const asked = performance.now();
    status = await served.status('/api/x', secret);
    const age = asked - died;
    if (status !== 200) {
      expect(status).toBe(503);
      expect(age).toBeGreaterThan(2500);
      break;
    }
    expect(age).toBeLessThan(4500);
    if (age > 2000) stale++;
    if (age > 2000 && age < 2500) expect(await ready(served)).toBe(200);
  }
  expect(stale).toBeGreaterThan(0);
  expect(await served.metric('postern_cache_lookups_total{result="stale"}')).toBeGreaterThanOrEqual(stale);
  expect(await ready(served)).toBe(503);
  await redis.restart();
  await until(() => served.status('/api/x', secret), 200);
  await until(() => ready(served), 200);
  expect(await served.stop()).toBe(0);
});

test('a process that is cut off is waited for, whoever is started in its folder meanwhile', async () => {
  const { port } = await store();
  const proxy = await RespProxy.start(port);
  const first = await start({ outage: snapshots, port: proxy.port });
  const { id, secret } = await first.mint({ permissions: ['api'] });
  expect(await first.status('/api/x', secret)).toBe(200);
  await snapshotOf(first, 1);
  await proxy.be({ kind: 'swallow' });
  const second = await start({ port, outage: snapshots, folder: first.folder });
  await until(() => ready(second), 200);
  const { status, body } = await second.admin('DELETE', `/v1/tokens/${id}?wait=200ms`);
  expect(status).toBe(202);
  expect(body['pending']).toHaveLength(1);
  await proxy.close();
});
