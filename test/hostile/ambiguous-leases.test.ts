import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Limit } from '../../src/core/limit.ts';
import type { LimitState } from '../../src/core/limit-book.ts';
import { compileSubject, type Subject } from '../../src/core/token.ts';
import type { LimitLedger } from '../../src/ports/limit-ledger.ts';
import type { LimitCharge } from '../../src/ports/limits.ts';
import { openRedisStore } from '../../src/stores/redis/open.ts';
import { defineLimits, exchangeLimits, settleLimits } from '../../src/stores/redis/scripts/exchange-limits.ts';
import type { Store } from '../../src/stores/store.ts';
import { Leases } from '../../src/usage/leases.ts';
import { aToken } from '../contract/harness.ts';
import { OtherProcess } from '../support/other-process.ts';
import { Program } from '../support/program.ts';
import { below, pick, randomFrom, seed } from '../support/random.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { RedisServer } from '../support/redis.ts';
import { RespProxy } from '../support/resp-proxy.ts';
import { Served } from '../support/served.ts';
import { patience } from '../support/tiers.ts';

/**
 * Leases behind a network that loses answers: the store has done what it was asked, and nobody here knows. Whatever is
 * lost, what is used is what was spent, and nothing stays out.
 */

/** How often an answer is cut off after its script was executed. */
const cuts = Number(process.env['POSTERN_CUTS'] ?? 120);

/** Milliseconds. An answer that is delayed comes after the deadline. */
const times = { deadline: 100, delay: 130 } as const;

const random = randomFrom(seed);
const asker = { answered: false };
const clock = { wall: () => Date.now(), monotonic: () => performance.now() };
const silent = { info: () => {}, warn: () => {}, error: () => {}, fault: (error: unknown) => faults.push(error) };
const faults: unknown[] = [];

const isAbout = (bytes: Buffer): boolean =>
  bytes.includes(exchangeLimits.sha) || bytes.includes(settleLimits.sha) || bytes.includes(defineLimits.sha);

let redis: RedisServer;
beforeAll(async () => {
  redis = await RedisServer.start();
});
afterAll(async () => {
  await Program.killAll();
  await RedisServer.stopAll();
});

/** A process that reaches the store through a network of its own. */
interface Far {
  readonly name: string;
  readonly proxy: RespProxy;
  readonly store: Store;
  leases: Leases;
}

const aLimit = (max: number): Limit => ({ name: 'calls', max, burst: max, per: 'lifetime', algorithm: 'window' });

let subjects = 0;
function subjectOf(max: number): Subject {
  const token = aToken(`tok_${++subjects}`, { limits: [aLimit(max)] });
  return compileSubject(token, null, [], token.digest);
}

/** Units of a subject that were taken and then used, as whoever used them knows. */
interface Use {
  readonly subject: Subject;
  spent: number;
}

describe(`leases whose answers are cut off after they were given (${cuts} times), or come late (seed ${seed})`, () => {
  const prefix = `postern:${randomBytes(6).toString('hex')}:`;
  const processes: Far[] = [];
  /** Who is not behind a network. */
  let near: Store;
  const heartbeats: OtherProcess[] = [];

  /** Claims that were not answered by what they said: asking for units, or giving some back while others are in use. */
  const lost = { asking: 0, giving: 0 };

  const watched = ({ limits }: Store): LimitLedger => ({
    exchange: async (questions, around) => {
      const answers = await limits.exchange(questions, around).catch((error: unknown) => {
        for (const { claim } of questions.flatMap(({ claims }) => claims)) {
          if (claim.need + claim.want > 0) lost.asking++;
          if (claim.back > 0 && claim.granted - claim.returned - claim.spent > claim.back) lost.giving++;
        }
        throw error;
      });
      return answers;
    },
    define: (...args) => limits.define(...args),
    read: (...args) => limits.read(...args),
    reset: (...args) => limits.reset(...args),
    listen: (...args) => limits.listen(...args),
  });

  const leasesOf = (name: string, store: Store): Leases => {
    const parts = { ledger: watched(store), registry: store.registry, clock, log: silent, process: name };
    const watch = { passed: () => {} };
    return new Leases({ ...parts, watch }, { waitMs: 1000, deadlineMs: 1000, outage: 'closed' });
  };

  beforeAll(async () => {
    const { endpoint } = redis;
    near = await openRedisStore({ endpoint, prefix, clock, deadlineMs: 10_000, mutationDeadlineMs: 10_000 });
    for (let i = 0; i < 3; i++) {
      const [name, proxy] = [`p${i}`, await RespProxy.start(endpoint.port)];
      const { host } = endpoint;
      const store = await openRedisStore({
        endpoint: { host, port: proxy.port },
        prefix,
        clock,
        mutationDeadlineMs: times.deadline,
      });
      // It lives, whatever becomes of its answers.
      heartbeats.push(await OtherProcess.start(near, name, 24 * 3_600_000));
      const leases = leasesOf(name, store);
      leases.start();
      processes.push({ name, proxy, store, leases });
    }
  });
  afterAll(async () => {
    for (const { leases, store, proxy } of processes) {
      await leases.stop();
      await store.close();
      await proxy.close();
    }
    await near?.close();
  });

  const seen = (): number => processes.reduce((sum, { proxy }) => sum + proxy.seen.cuts, 0);

  /** Cuts some of the answers about limits, from now on. */
  function cutting({ proxy }: Far, share: number): void {
    const match = (bytes: Buffer): boolean => {
      if (!isAbout(bytes)) return false;
      // It holds for one command, and then anew.
      queueMicrotask(() => cutting({ proxy } as Far, share));
      return random() < share;
    };
    proxy.cutAnswerOf(match);
  }

  async function read({ token: { id, version, limits } }: Subject): Promise<LimitState> {
    return (await near.limits.read({ kind: 'token', id }, version, limits))[0]!;
  }

  /** One request: what it takes is used, or not, after a while. */
  async function request(far: Far, use: Use, cost: number): Promise<string> {
    const outcome = await far.leases.charge(use.subject, cost, asker);
    if (outcome === null || outcome.kind !== 'charged') return outcome?.kind ?? 'free';
    await settled(outcome, use, cost);
    return 'charged';
  }

  async function settled(charge: LimitCharge, use: Use, cost: number): Promise<void> {
    // Some are under way for longer than it takes to ask again.
    if (random() < 0.5) await pause(below(random, 300));
    const units = random() < 0.2 ? 0 : random() < 0.2 ? below(random, cost + 1) : cost;
    charge.spend(units);
    use.spent += units;
  }

  test(
    'charge nothing twice and lose nothing; a small limit is spent to its end, and no further',
    async () => {
      const small: Use[] = [];
      const large = Array.from({ length: 4 }, (): Use => ({ subject: subjectOf(100_000_000), spent: 0 }));
      let going = true;
      const clients = processes
        .flatMap(far => Array.from({ length: 8 }, () => far))
        .map(async far => {
          while (going) {
            const use = (random() < 0.9 ? small.at(-1 - below(random, 4)) : undefined) ?? pick(random, large);
            await request(far, use, 1 + below(random, 12));
            await pause(below(random, 8));
          }
        });
      for (const far of processes) cutting(far, 0.5);
      while (seen() < cuts) {
        // Units that come back and few that remain: that is when processes ask most.
        small.push({ subject: subjectOf(100 + below(random, 300)), spent: 0 });
        const { proxy } = pick(random, processes);
        if (random() < 0.3) await proxy.be({ kind: 'delay', ms: times.delay });
        await pause(100);
        await proxy.be({ kind: 'pass' });
      }
      going = false;
      await Promise.all(clients);

      // Nobody comes again for what was granted last.
      const vain = Array.from({ length: 6 }, (): Use => ({ subject: subjectOf(50), spent: 0 }));
      for (const far of processes) {
        far.proxy.cutAnswerOf(() => false);
        const { id, version, limits } = vain[0]!.subject.token;
        const reaches = () => far.store.limits.define({ kind: 'token', id }, version, limits).then(() => true, String);
        await expect.poll(reaches, { timeout: 10_000 }).toBe(true);
        cutting(far, 1);
        expect(await Promise.all(vain.map(use => request(far, use, 3)))).toEqual(vain.map(() => 'unavailable'));
      }
      for (const { proxy } of processes) proxy.cutAnswerOf(() => false);
      for (const { subject } of vain) expect((await read(subject)).leased).toBeGreaterThanOrEqual(9);

      // The network is whole: what is left of the small ones is spent by whoever comes.
      for (const use of small) {
        for (const far of processes) {
          await expect
            .poll(
              async () => {
                for (;;) {
                  const outcome = await far.leases.charge(use.subject, 1, asker);
                  if (outcome?.kind !== 'charged') return outcome?.kind;
                  outcome.spend();
                  use.spent++;
                }
              },
              { timeout: 10_000, interval: 20 },
            )
            .toBe('refused');
        }
      }
      await Promise.all(processes.map(({ leases }) => leases.stop()));

      for (const use of [...small, ...large, ...vain]) {
        const { limit, ...state } = await read(use.subject);
        const { max } = limit;
        const wanted = { spent: use.spent, burned: 0, leased: 0, remaining: max - use.spent, ends: null };
        expect(state, `of ${use.subject.token.id}, which allows ${max}`).toEqual(wanted);
        if (small.includes(use)) expect(use.spent).toBe(max);
      }
      expect(seen()).toBeGreaterThanOrEqual(cuts);
      expect(small.length).toBeGreaterThan(5);
      expect(lost.asking).toBeGreaterThan(cuts / 2);
      expect(lost.giving).toBeGreaterThan(0);
      expect(faults).toEqual([]);
    },
    patience(60_000),
  );
});

describe('a program whose answers are cut off', () => {
  const upstream = new RecordingUpstream();
  let proxy: RespProxy;
  let served: Served;
  beforeAll(async () => {
    await upstream.listen();
    proxy = await RespProxy.start(redis.endpoint.port);
    const key = randomBytes(32).toString('hex');
    served = await Served.start({
      config: `
upstreams: { u: { url: "${upstream.url}" } }
routes: [{ path: /**, upstream: u }]
admin: { keys: [{ name: ops, role: admin, key: "${key}" }] }
store: { kind: redis, url: "redis://127.0.0.1:${proxy.port}/2", deadline: 1s, mutation_deadline: 1s }
tokens: { peppers: [{ id: p1, key: "${randomBytes(32).toString('hex')}" }] }
guard: { failures: 0 }
log: { access: none }
`,
    });
    served.adminKey = key;
  });
  afterAll(async () => {
    await served?.stop();
    await proxy?.close();
    await upstream.close();
  });

  test(
    'lets through exactly what a limit allows',
    async () => {
      const max = 60;
      const { id, secret } = await served.mint({ limits: [{ name: 'calls', max, per: 'lifetime' }] });
      const before = proxy.seen.cuts;
      const most = Math.max(5, Math.floor(cuts / 100));
      const cut = (): void =>
        proxy.cutAnswerOf(bytes => {
          if (!isAbout(bytes)) return false;
          queueMicrotask(cut);
          return proxy.seen.cuts - before < most && random() < 0.7;
        });
      cut();
      let passed = 0;
      const statuses = new Set<number>();
      const ask = async (): Promise<number> => {
        const status = await served.status('/x', secret);
        statuses.add(status);
        if (status === 200) passed++;
        return status;
      };
      // Reports are cut too: they go once a second.
      while (proxy.seen.cuts - before < most) {
        await ask();
        await served.admin('GET', `/v1/tokens/${id}/usage`);
        await pause(20);
        if (passed > max) break;
      }
      proxy.cutAnswerOf(() => false);
      await expect.poll(ask, { interval: 5, timeout: 20_000 }).toBe(429);
      expect([...statuses].filter(status => ![200, 429, 503].includes(status))).toEqual([]);
      expect([passed, upstream.requests.length]).toEqual([max, max]);
      await expect
        .poll(async () => (await served.admin('GET', `/v1/tokens/${id}/usage`)).body['limits'])
        .toMatchObject([{ used: max, burned: 0, remaining: 0 }]);
    },
    patience(40_000),
  );
});
