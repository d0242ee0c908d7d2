import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { CommandCounter } from '../support/command-counter.ts';
import { EventStream } from '../support/event-stream.ts';
import { Program } from '../support/program.ts';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { RedisServer } from '../support/redis.ts';
import { Served } from '../support/served.ts';

/** Several processes, one Redis: each in a process of its own, as they are run. One fleet for all tests. */

const upstream = new RecordingUpstream();
const key = randomBytes(32).toString('hex');
const pepper = randomBytes(32).toString('hex');
const boundMs = 3000;
/** WebSockets that are closed by a revocation. */
const closings = 5;
const websocket =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n';

let redis: RedisServer;
let one: Served;
let two: Served;

const config = (): string => `
upstreams: { u: { url: "${upstream.url}" } }
routes: [{ path: /api/**, require: api }]
admin: { keys: [{ name: ops, role: admin, key: "${key}" }] }
store: { kind: redis, url: "redis://127.0.0.1:${redis.endpoint.port}/1", deadline: 1s }
tokens: { peppers: [{ id: p1, key: "${pepper}" }] }
revocation: { bound: ${boundMs}ms }
guard: { failures: 0 }
`;

async function start(): Promise<Served> {
  const served = await Served.start({ config: config() });
  served.adminKey = key;
  return served;
}

beforeAll(async () => {
  await upstream.listen();
  redis = await RedisServer.start({ persistent: true });
  [one, two] = await Promise.all([start(), start()]);
});
beforeEach(() => upstream.reset());
afterAll(async () => {
  await Promise.all([one.stop(), two.stop()]);
  await RedisServer.stopAll();
  await Program.killAll();
  await upstream.close();
});

const until = (what: () => Promise<unknown>, wanted: unknown, ms = 10_000): Promise<unknown> =>
  expect.poll(what, { interval: 20, timeout: ms }).toEqual(wanted);

describe('tokens of a fleet', () => {
  // First: nothing from before is on its way any more.
  test('are watched from any process: changes of all once and in order, refusals where they happen', async () => {
    const [here, there] = [await EventStream.open(one.ports.admin, key), await EventStream.open(two.ports.admin, key)];
    const made: string[] = [];
    for (const served of [one, two, one, two]) made.push((await served.mint()).id);
    expect(await one.status('/api/x', null)).toBe(401);
    for (const stream of [here, there]) {
      await stream.until(() => stream.of('change').length === 4, 'four changes');
      expect(stream.of('change').map(({ id }) => id)).toEqual(made);
    }
    expect(here.lastId).toBe(there.lastId);
    await here.until(() => here.of('refusal').length === 1, 'refusal');

    // Who was at one process goes on at the other.
    here.leave();
    const more = [await one.mint(), await two.mint()].map(({ id }) => id);
    const back = await EventStream.open(two.ports.admin, key, { lastId: here.lastId });
    more.push((await one.mint()).id);
    await back.until(({ events }) => events.length === 3, 'what came meanwhile');
    expect(back.of('change').map(({ id }) => id)).toEqual(more);
    // An id that nobody was given takes nothing away from the fleet.
    const [epoch] = here.lastId!.split(':');
    const lost = await EventStream.open(two.ports.admin, key, { lastId: `${epoch}:999999` });
    await lost.until(({ events }) => events.length === 1, 'gap');
    await there.until(() => there.of('change').length === 7, 'all changes');
    expect([lost.of('gap').length, lost.lastId, there.of('gap').length]).toEqual([1, back.lastId, 0]);
    EventStream.leaveAll();
  });

  test('work on every process as soon as one has made them, and stop on every process once one has revoked them', async () => {
    const { id, secret } = await one.mint({ permissions: ['api'] });
    // Also where it was asked for in vain before.
    for (const served of [two, one]) expect(await served.status('/api/x', secret)).toBe(200);
    expect((await one.admin('DELETE', `/v1/tokens/${id}?wait=5s`)).status).toBe(200);
    for (const served of [one, two]) expect(await served.status('/api/x', secret)).toBe(401);
    expect((await two.admin('GET', `/v1/tokens/${id}`)).body).toMatchObject({ state: 'revoked' });
  });

  test('follow changes of their account, wherever those are made', async () => {
    await one.admin('POST', '/v1/accounts', { id: 'acme' });
    const { secret } = await two.mint({ owner: 'acme', permissions: ['api'] });
    for (const served of [one, two]) expect(await served.status('/api/x', secret)).toBe(200);
    const disabled = await two.admin('PATCH', '/v1/accounts/acme', { enabled: false });
    expect(disabled.status).toBe(200);
    await until(() => one.status('/api/x', secret), 401, boundMs);
    await one.admin('PATCH', '/v1/accounts/acme', { enabled: true });
    await until(() => two.status('/api/x', secret), 200, boundMs);
    await one.admin('DELETE', '/v1/tokens?owner=acme');
    await until(() => two.status('/api/x', secret), 401, boundMs);
  });

  test('take their open WebSockets along within a second, on another process', async () => {
    upstream.script = ({ write }) =>
      write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
    const kept = await one.mint({ permissions: ['api'] });
    const open = async (secret: string): Promise<RawClient> => {
      const client = await RawClient.open(two.ports.proxy);
      client.write(`GET /api/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${secret}\r\n${websocket}\r\n`);
      expect((await client.answer()).status).toBe(101);
      return client;
    };
    const theirs = await open(kept.secret);
    const took: number[] = [];
    for (let i = 0; i < closings; i++) {
      const { id, secret } = await one.mint({ permissions: ['api'] });
      const mine = await open(secret);
      const began = performance.now();
      await one.admin('DELETE', `/v1/tokens/${id}`);
      await mine.untilClosed();
      took.push(performance.now() - began);
      // Close, 1008: a violated policy.
      expect(mine.bytes).toEqual(Buffer.from([0x88, 2, 0x03, 0xf0]));
    }
    // A busy machine may stop for a moment, but not most of the time.
    expect(took.sort((a, b) => a - b)[closings >> 1]).toBeLessThan(1000);
    await until(() => two.metric('postern_streams_closed_total{reason="revoked"}'), closings);
    expect([theirs.ended, theirs.closed, theirs.length]).toEqual([false, false, 0]);
    await RawClient.closeAll();
  });

  test('are counted together', async () => {
    const { id, secret } = await one.mint({ permissions: ['api'] });
    for (let i = 0; i < 7; i++) expect(await one.status('/api/x', secret)).toBe(200);
    for (let i = 0; i < 5; i++) expect(await two.status('/api/x', secret)).toBe(200);
    const total = async (): Promise<unknown> => {
      const { body } = await one.admin('GET', `/v1/tokens/${id}/usage`);
      return (body['total'] as { allowed: number }).allowed;
    };
    await until(total, 12);
  });

  test('cost the store nothing while they are known: requests cause no command but reports of usage', async () => {
    const secrets = await Promise.all(
      Array.from({ length: 10 }, async () => (await one.mint({ permissions: ['api'] })).secret),
    );
    for (const secret of secrets) expect(await one.status('/api/x', secret)).toBe(200);
    const reported = () => one.metric('postern_store_operations_total{operation="usage_report",result="ok"}');
    // Scripts are sent whole the first time.
    await until(async () => (await reported()) > 0, true);
    const before = await reported();
    const counter = await CommandCounter.start(redis, '1');
    const began = performance.now();
    // Where nothing was used nothing is reported.
    for (let i = 0; i < 300 || (await reported()) < before + 2; i++) {
      expect(await one.status('/api/x', secrets[i % 10]!)).toBe(200);
    }
    const seconds = (performance.now() - began) / 1000;
    // What MONITOR tells may come behind the answer.
    await until(async () => (counter.counts['usage'] ?? 0) > 0, true);
    const counts = counter.end();
    const { feed = 0, heartbeat = 0, usage = 0, connecting: _, ...others } = counts;
    expect(others).toEqual({});
    // A part for each token and three for the report, once a second; the rest goes on whether there are requests or not.
    expect(usage).toBeGreaterThan(0);
    expect(usage).toBeLessThanOrEqual(((await reported()) - before + 1) * (secrets.length + 3));
    for (const count of [feed, heartbeat]) expect(count).toBeGreaterThan(0);
    expect(feed + heartbeat).toBeLessThan(50 + 30 * seconds);
  });
});

test('a store that is away is not an answer: known tokens work for the bound, then 503; it comes back without a restart', async () => {
  const known = await one.mint({ permissions: ['api'] });
  const unknown = await two.mint({ permissions: ['api'] });
  const revoked = await two.mint({ permissions: ['api'] });
  await two.admin('DELETE', `/v1/tokens/${revoked.id}`);
  expect(await one.status('/api/x', known.secret)).toBe(200);

  await redis.kill();
  expect(await one.status('/api/x', known.secret)).toBe(200);
  expect(await one.status('/api/x', unknown.secret)).toBe(503);
  expect((await one.admin('POST', '/v1/tokens', { permissions: ['api'] })).status).toBe(503);
  await until(() => one.status('/api/x', known.secret), 503);
  expect(await one.metric('postern_store_up')).toBe(0);
  expect((await fetch(`${one.telemetry}/readyz`)).status).toBe(503);
  expect(await one.status('/api/x', revoked.secret)).toBe(503);

  await redis.restart();
  await until(() => one.status('/api/x', known.secret), 200);
  // What is known is proved by the feed; look-ups that have failed are tried again a moment later.
  await until(() => one.status('/api/x', unknown.secret), 200);
  expect(await one.status('/api/x', revoked.secret)).toBe(401);
  await until(async () => (await fetch(`${one.telemetry}/readyz`)).status, 200);
});

test('a Redis that may drop keys is refused at the start, with the remedy', async () => {
  await redis.client().config('SET', 'maxmemory-policy', 'allkeys-lru');
  const program = Program.postern(['serve', '--config', one.file]);
  expect((await program.exited()).code).toBe(1);
  await redis.client().config('SET', 'maxmemory-policy', 'noeviction');
  expect(program.stderr).toMatch(/allkeys-lru.*noeviction/);
  expect(program.stderr).not.toContain(key);
});

test('DEBUG in the environment makes no library print what it sends', async () => {
  const served = await Served.start({ config: config(), env: { DEBUG: '*' } });
  served.adminKey = key;
  const { secret } = await served.mint({ permissions: ['api'] });
  expect(await served.status('/api/x', secret)).toBe(200);
  expect(served.program.stderr).toBe('');
  await served.stop();
});

test('secrets are not in the store', async () => {
  const { secret } = await one.mint({ permissions: ['api'] });
  expect(await two.status('/api/x', secret)).toBe(200);
  const client = redis.client();
  await client.select(1);
  const texts: string[] = [];
  for (const name of await client.keys('*')) texts.push(name, String(await client.dump(name)));
  expect(texts.length).toBeGreaterThan(4);
  for (const part of [secret, secret.slice(4, 24), secret.slice(20), pepper, key]) {
    expect(texts.some(text => text.includes(part))).toBe(false);
  }
});

// Last: this store is none any more.
test('a store that was emptied is not an empty one: after FLUSHALL nobody is refused for an unknown token, and nothing is made', async () => {
  const { secret } = await one.mint({ permissions: ['api'] });
  expect(await one.status('/api/x', secret)).toBe(200);
  await redis.client().flushall();
  expect(await two.status('/api/x', secret)).toBe(503);
  await until(() => one.status('/api/x', secret), 503);
  expect((await one.admin('POST', '/v1/tokens', {})).status).toBe(503);
});
