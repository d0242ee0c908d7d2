import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { RedisServer } from '../support/redis.ts';
import { redisFleet, times, until } from '../support/redis-fleet.ts';

/** The whole program on a Redis that answers, but not as it should. */

// What a restart takes is a snapshot, whose loading can be made slow.
const fleet = redisFleet({ persistent: false });

const mint = () => fleet.near.mint({ permissions: ['api'] });
const get = (token: { readonly secret: string }) => fleet.far.status('/api/x', token.secret);
const statuses = async (ms: number, secrets: Readonly<Record<string, string>>): Promise<number[]> => {
  const asked = await fleet.ask(secrets, ms, 100);
  return [...new Set(asked.map(({ status }) => status))].sort();
};

describe('a Redis that refuses writes', () => {
  test('because it is a replica now answers reads; changes are 503 and have not happened; it goes on as a master', async () => {
    const { far, redis } = fleet;
    const [known, unknown] = [await mint(), await mint()];
    expect(await get(known)).toBe(200);
    const client = redis.client();
    await client.replicaof('127.0.0.1', '1');
    const refused = await fleet.create('refused');
    expect(refused.status).toBe(503);
    expect(refused.body).not.toHaveProperty('outcome');
    expect((await far.admin('DELETE', `/v1/tokens/${known.id}`)).status).toBe(503);
    // Connections are made anew, in case somebody else is the master.
    await until(() => get(unknown), 200);
    expect(await statuses(1.5 * times.bound, { known: known.secret, unknown: unknown.secret })).toEqual([200]);
    await client.replicaof('NO', 'ONE');
    await until(async () => (await fleet.create(fleet.fresh('after'))).status, 201);
    expect((await fleet.named()).has('refused')).toBe(false);
  });

  test('for want of memory answers reads and revokes', async () => {
    const { far, near, redis } = fleet;
    await far.admin('POST', '/v1/accounts', { id: 'acme' });
    const owned = await near.mint({ owner: 'acme', permissions: ['api'] });
    const [known, unknown, revoked, disabled] = [await mint(), await mint(), await mint(), await mint()];
    for (const token of [known, revoked, disabled, owned]) expect(await get(token)).toBe(200);
    await redis.client().config('SET', 'maxmemory', '1');
    const refused = await fleet.create('refused');
    expect(refused.status).toBe(503);
    expect(refused.body).not.toHaveProperty('outcome');
    expect((await far.admin('PATCH', `/v1/tokens/${known.id}`, { name: 'renamed' })).status).toBe(503);
    expect((await far.admin('DELETE', `/v1/tokens/${revoked.id}?wait=2s`)).status).toBe(200);
    expect((await near.admin('PATCH', `/v1/tokens/${disabled.id}`, { state: 'disabled' })).status).toBe(200);
    expect((await near.admin('DELETE', '/v1/tokens?owner=acme&wait=2s')).status).toBe(200);
    expect(await get(revoked)).toBe(401);
    for (const token of [disabled, owned]) await until(() => get(token), 401, times.bound + 1500);
    expect(await statuses(1.5 * times.bound, { known: known.secret, unknown: unknown.secret })).toEqual([200]);
    await redis.client().config('SET', 'maxmemory', '0');
    await until(async () => (await fleet.create(fleet.fresh('after'))).status, 201);
    expect((await fleet.named()).has('refused')).toBe(false);
  });
});

describe('a Redis', () => {
  test('that is still loading is away, and nobody is refused', async () => {
    const { redis } = fleet;
    const [known, unknown] = [await mint(), await mint()];
    expect(await get(known)).toBe(200);
    const client = redis.client();
    for (let i = 0; i < 300; i++) await client.set(`filler:${i}`, 'x'.repeat(1000));
    await client.save();
    const back = redis.restart([
      ['key-load-delay', '10000'],
      ['loading-process-events-interval-bytes', '1024'],
    ]);
    const during: number[] = [];
    let loading = true;
    void back.finally(() => {
      loading = false;
    });
    while (loading) {
      during.push(await get(unknown));
      await pause(50);
    }
    expect(during.length).toBeGreaterThan(10);
    expect([...new Set(during.slice(0, -1))]).toEqual([503]);
    await until(() => get(known), 200);
    await until(() => get(unknown), 200);
    await until(async () => (await fleet.create(fleet.fresh('after'))).status, 201);
  });

  test('in whose place an empty one answers is unavailable, never empty; nothing is written to the other', async () => {
    const { far, proxy, redis } = fleet;
    const [known, unknown] = [await mint(), await mint()];
    expect(await get(known)).toBe(200);
    const other = await RedisServer.start();
    proxy.target = other.endpoint.port;
    proxy.reset();
    const asked = await fleet.ask({ known: known.secret, unknown: unknown.secret }, times.bound + 1200, 50);
    expect([...new Set(asked.map(({ status }) => status))].sort()).toEqual([200, 503]);
    expect(asked.filter(({ what, status }) => what === 'unknown' && status !== 503)).toEqual([]);
    expect(await get(known)).toBe(503);
    expect((await fleet.create('elsewhere')).status).toBe(503);
    expect((await far.admin('DELETE', `/v1/tokens/${known.id}`)).status).toBe(503);
    expect((await fetch(`${far.telemetry}/readyz`)).status).toBe(503);
    const client = other.client();
    await client.select(1);
    expect(await client.dbsize()).toBe(0);
    proxy.target = redis.endpoint.port;
    proxy.reset();
    await until(() => get(known), 200);
    await until(() => get(unknown), 200);
    await until(async () => (await fleet.create(fleet.fresh('after'))).status, 201);
    expect((await fleet.named()).has('elsewhere')).toBe(false);
  });

  test('that is stopped where it stands is waited for no longer than the deadline, and does nothing late', async () => {
    const { far, near, redis } = fleet;
    const [known, unknown, revoked] = [await mint(), await mint(), await mint()];
    for (const token of [known, revoked]) expect(await get(token)).toBe(200);
    await fleet.create('warm');
    await near.admin('DELETE', `/v1/tokens/${revoked.id}`);
    await redis.suspend();
    const creating = Promise.all(Array.from({ length: 10 }, (_, i) => fleet.create(`late-${i}`)));
    const secrets = { known: known.secret, unknown: unknown.secret, revoked: revoked.secret };
    const began = performance.now();
    const asked = await fleet.ask(secrets, times.bound + 1500, 50);
    for (const { status, body } of await creating) {
      expect([status, body['code']]).toEqual([503, 'store_unavailable']);
    }
    for (const { what, sent, status } of asked) {
      if (what === 'unknown') expect(status).toBe(503);
      if (sent > began + times.bound) expect(status).toBe(503);
      // It was revoked before: found out, or not known to be.
      if (what === 'known') expect([200, 503]).toContain(status);
    }
    redis.resume();
    await until(() => get(known), 200);
    await until(() => get(unknown), 200);
    expect(await get(revoked)).toBe(401);
    await until(async () => (await far.admin('POST', '/v1/tokens', { name: fleet.fresh('after') })).status, 201);
    await pause(300);
    const names = [...(await fleet.named()).keys()];
    expect(names.filter(name => name.startsWith('late-'))).toEqual([]);
  });
});
