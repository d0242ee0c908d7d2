import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Program } from '../support/program.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { RedisServer } from '../support/redis.ts';
import { type Mode, RespProxy } from '../support/resp-proxy.ts';
import { Served } from '../support/served.ts';
import { patience } from '../support/tiers.ts';

/** Whole programs whose limits lie in a Redis that is away, or comes back without what it had acknowledged. */

const key = randomBytes(32).toString('hex');
const pepper = randomBytes(32).toString('hex');
/** Milliseconds. */
const boundMs = 1500;

const upstream = new RecordingUpstream();
beforeAll(async () => {
  await upstream.listen();
});
afterAll(async () => {
  await Program.killAll();
  await RedisServer.stopAll();
  await upstream.close();
});

async function start(port: number, limits: 'closed' | 'open', cachedFor = '60s'): Promise<Served> {
  const served = await Served.start({
    config: `
upstreams: { u: { url: "${upstream.url}" } }
routes: [{ path: /**, upstream: u }]
admin: { keys: [{ name: ops, role: admin, key: "${key}" }] }
store: { kind: redis, url: "redis://127.0.0.1:${port}/1", deadline: 300ms, mutation_deadline: 2s }
tokens: { peppers: [{ id: p1, key: "${pepper}" }] }
revocation: { bound: ${boundMs}ms }
outage: { limits: ${limits}, serve_cached_for: ${cachedFor} }
guard: { failures: 0 }
`,
  });
  served.adminKey = key;
  return served;
}

interface Shared {
  readonly id: string;
  readonly secret: string;
  readonly target: string;
  readonly max: number;
}

let tokens = 0;
async function share(served: Served, max: number): Promise<Shared> {
  const { id, secret } = await served.mint({ limits: [{ name: 'calls', max, per: 'lifetime' }] });
  return { id, secret, target: `/t${++tokens}`, max };
}

const admitted = ({ target }: Shared): number => upstream.requests.filter(each => each.target === target).length;

async function ask(served: Served, { target, secret }: Shared): Promise<number | string> {
  const response = await fetch(`${served.proxy}${target}`, { headers: { Authorization: `Bearer ${secret}` } });
  const text = await response.text();
  return response.status === 503 ? (JSON.parse(text) as { code: string }).code : response.status;
}

/** How many pass, one after the other, before one does not; and what that was told. */
async function passing(served: Served, shared: Shared): Promise<readonly [number, number | string]> {
  for (let passed = 0; ; passed++) {
    const told = await ask(served, shared);
    if (told !== 200) return [passed, told];
  }
}

/** Asks until it is refused for want of units. Answers what it was told before. */
async function exhaust(served: Served, shared: Shared): Promise<readonly (number | string)[]> {
  const told = new Set<number | string>();
  const next = async (): Promise<number | string> => {
    const [, last] = await passing(served, shared);
    told.add(last);
    return last;
  };
  await expect.poll(next, { timeout: 20_000, interval: 50 }).toBe(429);
  told.delete(429);
  return [...told];
}

async function use(served: Served, { id }: Shared): Promise<Record<string, number>> {
  const { status, body, text } = await served.admin('GET', `/v1/tokens/${id}/usage`);
  expect(status, text).toBe(200);
  return (body['limits'] as Record<string, number>[])[0]!;
}

const outstanding = (served: Served): Promise<number> => served.metric('postern_lease_units_outstanding');
const excess = (served: Served, cause: string): Promise<number> =>
  served.metric(`postern_limit_excess_units_total{cause="${cause}"}`);

describe('a store that is away', () => {
  let redis: RedisServer;
  let proxy: RespProxy;
  let near: Served;
  let closed: Served;
  let open: Served;
  beforeAll(async () => {
    redis = await RedisServer.start();
    const { port } = redis.endpoint;
    proxy = await RespProxy.start(port);
    [near, closed, open] = await Promise.all([
      start(port, 'closed'),
      start(proxy.port, 'closed'),
      start(proxy.port, 'open'),
    ]);
  });
  afterEach(async () => {
    await proxy.be({ kind: 'pass' });
    proxy.reset();
    for (const served of [closed, open]) {
      const fresh = await share(near, 1);
      await expect.poll(() => ask(served, fresh), { timeout: 20_000 }).toBe(200);
    }
    // All of them hear of changes again: what they know of tokens is proven.
    const acknowledged = async (): Promise<unknown> => {
      const { id } = await near.mint();
      const { body } = await near.admin('DELETE', `/v1/tokens/${id}?wait=1s`);
      return (body['acknowledged'] as readonly string[] | undefined)?.length;
    };
    await expect.poll(acknowledged, { timeout: 20_000 }).toBe(3);
  });
  afterAll(async () => {
    await Promise.all([near, closed, open].map(served => served?.stop()));
    await proxy.close();
  });

  const outages: readonly (readonly [string, Mode])[] = [
    ['refuses connections', { kind: 'refuse' }],
    ['has gone', { kind: 'swallow' }],
    ['is cut off', { kind: 'hold' }],
    ['answers too late', { kind: 'delay', ms: 3000 }],
  ];

  test.each(outages)(
    'and %s: what is held is spent, and then nothing passes; afterwards all that is left, and no more',
    async (_, mode) => {
      const shared = await share(near, 80);
      for (let i = 0; i < 3; i++) expect(await ask(closed, shared)).toBe(200);
      await expect.poll(() => outstanding(closed)).toBeGreaterThan(0);
      await proxy.be(mode);
      const [passed, told] = await passing(closed, shared);
      expect(passed).toBeGreaterThan(0);
      expect(passed).toBeLessThan(77);
      expect(told).toBe('store_unavailable');
      const more = await Promise.all(Array.from({ length: 10 }, () => ask(closed, shared)));
      expect([...new Set(more)]).toEqual(['store_unavailable']);
      expect(admitted(shared)).toBe(3 + passed);
      await proxy.be({ kind: 'pass' });
      proxy.reset();
      await exhaust(closed, shared);
      expect(admitted(shared)).toBe(80);
      await expect.poll(() => use(near, shared)).toMatchObject({ used: 80, remaining: 0, burned: 0 });
    },
    patience(60_000),
  );

  test.each(outages)(
    'and %s: where that leaves limits open all pass, are counted, and booked when it is back',
    async (_, mode) => {
      const shared = await share(near, 80);
      const before = await excess(open, 'outage');
      for (let i = 0; i < 3; i++) expect(await ask(open, shared)).toBe(200);
      await expect.poll(() => outstanding(open)).toBeGreaterThan(0);
      await proxy.be(mode);
      const offered = 120;
      const told: (number | string)[] = [];
      for (let left = offered; left > 0; left -= 10) {
        told.push(...(await Promise.all(Array.from({ length: 10 }, () => ask(open, shared)))));
      }
      expect([...new Set(told)]).toEqual([200]);
      expect(admitted(shared)).toBe(3 + offered);
      const overdrawn = (await excess(open, 'outage')) - before;
      expect(overdrawn).toBeGreaterThan(3 + offered - 80);
      expect(overdrawn).toBeLessThan(offered);
      await proxy.be({ kind: 'pass' });
      proxy.reset();
      for (const served of [open, near]) {
        await expect.poll(() => ask(served, shared), { timeout: 20_000 }).toBe(429);
      }
      // What was granted when it came back may have been spent before what was overdrawn was booked.
      expect(admitted(shared)).toBeLessThanOrEqual(3 + offered + 80 / 4);
      await expect
        .poll(() => use(near, shared), { timeout: 20_000 })
        .toMatchObject({ max: 80, used: admitted(shared), remaining: 0, burned: 0 });
    },
    patience(60_000),
  );
});

describe('a store that has lost what it had acknowledged', () => {
  let redis: RedisServer;
  let fleet: Served[];
  beforeAll(async () => {
    redis = await RedisServer.start();
    const { port } = redis.endpoint;
    fleet = await Promise.all([1, 2, 3].map(() => start(port, 'closed', '20s')));
  });
  afterAll(async () => {
    for (const { program } of fleet) program.signal('SIGCONT');
    await Promise.all(fleet.map(served => served.stop()));
  });

  /** It comes back with what it had saved. */
  async function crash(): Promise<void> {
    await redis.kill();
    await redis.restart();
  }

  test.each([
    ['and changes of tokens', true],
    ['of limits alone', false],
  ])(
    '%s is asked for nothing until all have said what they hold; then it goes on, and nothing was given twice',
    async (_, withChanges) => {
      const [one, two] = fleet as [Served, Served, Served];
      const shared = await share(one, 300);
      for (const served of fleet) expect(await ask(served, shared)).toBe(200);
      await redis.client().save();
      if (withChanges) await share(one, 1);
      // Leases grow, and all that is spent is reported.
      for (let i = 0; i < 80; i++) expect(await ask(i % 2 === 0 ? one : two, shared)).toBe(200);
      await Promise.all(fleet.map(served => use(served, shared)));
      const spent = admitted(shared);
      await crash();
      const told = await Promise.all(fleet.map(served => exhaust(served, shared)));
      // Meanwhile nobody is told that a limit is spent.
      const both = ['overloaded', 'store_unavailable'];
      for (const codes of told) expect(codes.length).toBeGreaterThan(0);
      expect(told.flat().filter(code => !both.includes(code as string))).toEqual([]);
      expect(spent).toBe(83);
      expect(admitted(shared)).toBe(300);
      await expect.poll(() => use(one, shared)).toMatchObject({ used: 300, remaining: 0, burned: 0 });
      for (const served of fleet) expect(await excess(served, 'lost_grants')).toBe(0);
    },
    patience(60_000),
  );

  test(
    'is asked for nothing by those who lost nothing either, while somebody who stood still has not said what it holds',
    async () => {
      const [holder, ...others] = fleet as [Served, Served, Served];
      const shared = await share(holder, 300);
      await redis.client().save();
      await share(holder, 1);
      for (let n = 0; n < 60; n++) expect(await ask(holder, shared)).toBe(200);
      await use(holder, shared);
      holder.program.signal('SIGSTOP');
      await crash();
      const exhausted = Promise.all(others.map(served => exhaust(served, shared)));
      await pause(2000);
      holder.program.signal('SIGCONT');
      await exhausted;
      await exhaust(holder, shared);
      expect(admitted(shared)).toBe(300);
      for (const served of fleet) expect(await excess(served, 'lost_grants')).toBe(0);
    },
    patience(60_000),
  );

  test(
    'and gives it to others before somebody who stood still says it: what is too much is counted',
    async () => {
      const [one, two] = fleet as [Served, Served, Served];
      const shared = await share(one, 60);
      expect(await ask(two, shared)).toBe(200);
      await redis.client().save();
      for (let i = 0; i < 10; i++) expect(await ask(one, shared)).toBe(200);
      await use(one, shared);
      await expect.poll(() => outstanding(one)).toBeGreaterThan(0);
      one.program.signal('SIGSTOP');
      await crash();
      // All that the store knows of is given to the other.
      await exhaust(two, shared);
      expect(await use(two, shared)).toMatchObject({ used: 60, remaining: 0 });
      one.program.signal('SIGCONT');
      await exhaust(one, shared);
      const total = admitted(shared);
      expect(total).toBeGreaterThan(60);
      await expect.poll(async () => (await use(two, shared))['used']).toBe(total);
      expect((await use(two, shared))['remaining']).toBe(0);
      const counted = (await excess(one, 'lost_grants')) + (await excess(two, 'lost_grants'));
      expect(counted).toBeGreaterThanOrEqual(total - 60);
    },
    patience(60_000),
  );
});
