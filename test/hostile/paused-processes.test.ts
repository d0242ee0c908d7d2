import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Program } from '../support/program.ts';
import { below, randomFrom, seed } from '../support/random.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { RedisServer } from '../support/redis.ts';
import { Served } from '../support/served.ts';
import { patience } from '../support/tiers.ts';

/**
 * Programs that share a limit, of which one stands still for longer than anybody waits for it, and then goes on as if
 * nothing had been. What it held was given up meanwhile; it may still use it, and nobody else ever does.
 */

const rounds = Number(process.env['POSTERN_PAUSES'] ?? 2);
const random = randomFrom(seed);
/** Milliseconds after which a process that says nothing is taken for gone. */
const bound = 1500;
const key = randomBytes(32).toString('hex');
const pepper = randomBytes(32).toString('hex');

const upstream = new RecordingUpstream();
let redis: RedisServer;
let fleet: Served[];

async function start(): Promise<Served> {
  const served = await Served.start({
    config: `
upstreams: { u: { url: "${upstream.url}" } }
routes: [{ path: /**, upstream: u }]
admin: { keys: [{ name: ops, role: admin, key: "${key}" }] }
store: { kind: redis, url: "redis://127.0.0.1:${redis.endpoint.port}/1", deadline: 400ms, mutation_deadline: 1s }
tokens: { peppers: [{ id: p1, key: "${pepper}" }] }
revocation: { bound: ${bound}ms }
limits: { wait: 3s }
guard: { failures: 0 }
log: { access: none }
`,
  });
  served.adminKey = key;
  return served;
}

beforeAll(async () => {
  await upstream.listen();
  redis = await RedisServer.start();
  fleet = await Promise.all([start(), start(), start()]);
});
afterAll(async () => {
  for (const { program } of fleet ?? []) program.signal('SIGCONT');
  await Promise.all((fleet ?? []).map(served => served.stop()));
  await Program.killAll();
  await RedisServer.stopAll();
  await upstream.close();
});

/** Resolves when it stands still: a signal takes a moment. */
async function suspend({ program }: Served): Promise<void> {
  program.signal('SIGSTOP');
  const isStill = (): boolean => /^State:\s+T/m.test(readFileSync(`/proc/${program.pid}/status`, 'utf8'));
  while (!isStill()) await pause(1);
}

interface Shared {
  readonly id: string;
  readonly secret: string;
  readonly target: string;
  readonly max: number;
}

let tokens = 0;
async function share(max: number): Promise<Shared> {
  const { id, secret } = await fleet[0]!.mint({ limits: [{ name: 'calls', max, per: 'lifetime' }] });
  return { id, secret, target: `/t${++tokens}`, max };
}

/** Requests of it that reached the upstream. Never more than the limit allows. */
function admitted({ target, max }: Shared): number {
  const count = upstream.requests.filter(request => request.target === target).length;
  expect(count).toBeLessThanOrEqual(max);
  return count;
}

const ask = (served: Served, { target, secret }: Shared): Promise<number> => served.status(target, secret);

/** Asks again and again until it is refused. 503: others may give something back, or the store was not asked in time. */
async function exhaust(served: Served, shared: Shared): Promise<void> {
  const code = async (): Promise<number> => {
    for (;;) {
      const status = await ask(served, shared);
      admitted(shared);
      if (status !== 200) return status;
    }
  };
  await expect.poll(code, { timeout: 20_000, interval: 50 }).toBe(429);
}

async function use(served: Served, { id }: Shared): Promise<{ used: number; remaining: number; burned: number }> {
  const { status, body, text } = await served.admin('GET', `/v1/tokens/${id}/usage`);
  expect(status, text).toBe(200);
  return (body['limits'] as { used: number; remaining: number; burned: number }[])[0]!;
}

const burnedBy = async (some: readonly Served[]): Promise<number> => {
  const counts = await Promise.all(some.map(served => served.metric('postern_lease_units_burned_total')));
  return counts.reduce((sum, count) => sum + count, 0);
};

describe(`a process that stands still for longer than the bound (${rounds} times, seed ${seed})`, () => {
  test(
    'uses what it held when it goes on, and nothing that others were given',
    async () => {
      for (let round = 0; round < rounds; round++) {
        const shared = await share(40 + below(random, 160));
        const still = fleet[below(random, fleet.length)]!;
        const others = fleet.filter(served => served !== still);
        const before = await burnedBy(others);
        // It takes the first lease, of which it uses a part.
        for (let i = 0; i < 3; i++) expect(await ask(still, shared)).toBe(200);
        for (const served of others) expect(await ask(served, shared)).toBe(200);
        await expect.poll(() => still.metric('postern_lease_units_outstanding')).toBeGreaterThan(0);
        const early = below(random, 2) === 0 ? ask(still, shared) : null;
        await suspend(still);
        await Promise.all(others.map(served => exhaust(served, shared)));
        const stood = admitted(shared);
        await expect.poll(async () => (await use(others[0]!, shared)).remaining, { timeout: 10_000 }).toBe(0);
        const { used, burned } = await use(others[0]!, shared);
        expect(used).toBe(shared.max);
        expect(burned).toBeGreaterThan(0);
        // What it has used without saying so was given up with the rest.
        expect(stood + burned).toBeGreaterThanOrEqual(shared.max);
        expect((await burnedBy(others)) - before).toBe(burned);

        still.program.signal('SIGCONT');
        if (early !== null) expect([200, 503]).toContain(await early);
        await Promise.all(fleet.map(served => exhaust(served, shared)));
        // Nobody holds anything any more, so that all of it was either used or is still given up.
        const end = async (): Promise<number> => admitted(shared) + (await use(still, shared)).burned;
        await expect.poll(end, { timeout: 15_000 }).toBe(shared.max);
        for (const served of fleet) expect(await use(served, shared)).toMatchObject({ used: shared.max, remaining: 0 });
      }
    },
    patience(60_000),
  );

  test(
    'and is killed there leaves what it held burned for good',
    async () => {
      const shared = await share(120);
      const still = fleet.pop()!;
      for (let i = 0; i < 3; i++) expect(await ask(still, shared)).toBe(200);
      for (const served of fleet) expect(await ask(served, shared)).toBe(200);
      await suspend(still);
      await Promise.all(fleet.map(served => exhaust(served, shared)));
      const { burned } = await use(fleet[0]!, shared);
      expect(burned).toBeGreaterThan(0);
      await still.program.kill();
      const next = await start();
      fleet.push(next);
      await Promise.all(fleet.map(served => exhaust(served, shared)));
      expect(await use(next, shared)).toEqual(expect.objectContaining({ used: 120, remaining: 0, burned }));
      expect(admitted(shared)).toBeLessThanOrEqual(120);
      expect(admitted(shared) + burned).toBeGreaterThanOrEqual(120);
    },
    patience(60_000),
  );
});
