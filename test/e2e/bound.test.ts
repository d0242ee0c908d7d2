import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { beat } from '../../src/stores/redis/scripts/processes.ts';
import { readFeed } from '../../src/stores/redis/scripts/read-feed.ts';
import { allOver, BoundFleet, type Place } from '../support/bound-fleet.ts';
import { below, pick, randomFrom, seed, several } from '../support/random.ts';
import { RedisServer } from '../support/redis.ts';
import { type Mode, RespProxy } from '../support/resp-proxy.ts';
import { patience } from '../support/tiers.ts';

/**
 * Revocations while processes are cut off, stand still, or die and come back, at random moments. Each is judged by what
 * its own answer promised, and by when requests were sent: whatever was admitted then was judged later than that.
 */

/** How many tokens are revoked, and how many of them while the same processes are in trouble. */
const trials = Number(process.env['POSTERN_TRIALS'] ?? 16);
const together = 8;

type Fault =
  | { readonly kind: 'network'; readonly mode: Mode; readonly name: string }
  | { readonly kind: 'stop' }
  /** `alone`: it starts again without the store. */
  | { readonly kind: 'kill'; readonly alone: boolean };

interface Trouble {
  readonly place: number;
  readonly fault: Fault;
  readonly afterMs: number;
  readonly forMs: number;
}

interface Revocation {
  readonly by: number;
  readonly afterMs: number;
  readonly wait: string | null;
}

interface Plan {
  readonly troubles: readonly Trouble[];
  readonly revocations: readonly Revocation[];
}

const network = (name: string, mode: Mode): Fault => ({ kind: 'network', mode, name });

function faultOf(random: () => number): Fault {
  return pick<Fault>(random, [
    network('hold', { kind: 'hold' }),
    network('swallow', { kind: 'swallow' }),
    network('refuse', { kind: 'refuse' }),
    network('delay', { kind: 'delay', ms: below(random, 700) }),
    // It hears of everything, and nobody hears of it; or the other way round.
    network('hold heartbeats', { kind: 'hold-from', match: bytes => bytes.includes(beat.sha) }),
    network('hold the feed', { kind: 'hold-from', match: bytes => bytes.includes(readFeed.sha) }),
    { kind: 'stop' },
    { kind: 'stop' },
    { kind: 'stop' },
    { kind: 'kill', alone: random() < 0.7 },
    { kind: 'kill', alone: random() < 0.7 },
  ]);
}

function planOf(random: () => number, places: readonly Place[]): Plan {
  const troubles = places.slice(1).flatMap(({ cutOffMs }, i): Trouble[] => {
    const fault = faultOf(random);
    // A process that is killed has had the time to write a snapshot.
    const afterMs = below(random, 300) + (fault.kind === 'kill' ? 1200 : 0);
    // Mostly for longer than it may serve what it knows.
    const forMs = Math.floor((0.4 + 1.4 * random()) * cutOffMs);
    return random() < 0.75 ? [{ place: i + 1, fault, afterMs, forMs }] : [];
  });
  const moments = troubles.flatMap(({ afterMs, forMs }) => [afterMs, afterMs, afterMs, afterMs + forMs]);
  const revocations = several(random, together, together, () => ({
    // Mostly by the one that nothing happens to.
    by: random() < 0.7 ? 0 : below(random, places.length),
    afterMs: Math.max(0, pick(random, [...moments, 200]) - 150 + below(random, 450)),
    wait: pick(random, [null, '100ms', '1s', '3s']),
  }));
  return { troubles, revocations };
}

/** The first one nothing happens to; the others serve for longer and longer, when the store is away. */
const habits = [
  { serveMs: 0, snapshots: false },
  { serveMs: 0, snapshots: false },
  { serveMs: 1200, snapshots: false },
  { serveMs: 3000, snapshots: true },
];

let redis: RedisServer;
let fleet: BoundFleet;
const networks: RespProxy[] = [];
beforeAll(async () => {
  redis = await RedisServer.start();
  for (const _ of habits) networks.push(await RespProxy.start(redis.endpoint.port));
  const stores = networks.map(
    ({ port }) => `{ kind: redis, url: "redis://127.0.0.1:${port}", deadline: 100ms, mutation_deadline: 1s }`,
  );
  fleet = await BoundFleet.start(
    500,
    habits.map((habit, i) => ({ ...habit, store: stores[i]! })),
  );
}, patience(60_000));
afterAll(async () => {
  await fleet.stop();
  await Promise.all(networks.map(one => one.close()));
  await redis.stop();
});

const faults: Record<string, number> = {};
const count = (what: string): void => {
  faults[what] = (faults[what] ?? 0) + 1;
};

async function suffer({ place: index, fault, afterMs, forMs }: Trouble): Promise<void> {
  const [place, link] = [fleet.places[index]!, networks[index]!];
  count(fault.kind === 'network' ? fault.name : fault.kind);
  await pause(afterMs);
  switch (fault.kind) {
    case 'network':
      await link.be(fault.mode);
      await pause(forMs);
      await link.be({ kind: 'pass' });
      return;
    case 'stop':
      place.served.program.signal('SIGSTOP');
      await pause(forMs);
      place.served.program.signal('SIGCONT');
      return;
    case 'kill':
      if (fault.alone) await link.be({ kind: 'refuse' });
      await place.served.program.kill();
      await place.start(fleet.key);
      await pause(forMs);
      if ((await place.served.metric('postern_cache_lookups_total{result="stale"}')) > 0)
        count('served from a snapshot');
      await link.be({ kind: 'pass' });
  }
}

async function round(number: number): Promise<void> {
  const plan = planOf(randomFrom(seed + number), fleet.places);
  const [good, ...tokens] = await fleet.mint(1 + together);
  const secrets = [good!, ...tokens].map(({ secret }) => secret);
  const troubles = Promise.all(plan.troubles.map(suffer));
  const revocations = Promise.all(
    plan.revocations.map(async ({ by, afterMs, wait }, i) => {
      await pause(afterMs);
      return fleet.revoke(tokens[i]!.id, by, wait);
    }),
  );
  const over = Promise.all([revocations, troubles]).then(([answers]) => allOver(answers));
  const strikes = await fleet.hammer.strike(() => fleet.ports, secrets, over);
  // Everybody's name is known then.
  await fleet.united();
  const revoked = new Map((await revocations).map((answered, i) => [tokens[i]!.secret, answered]));
  fleet.judge(strikes, good!.secret, revoked, `POSTERN_SEED=${seed}, round ${number}: ${JSON.stringify(plan)}`);
}

test(
  `a revoked token is admitted by nobody who acknowledged it, and by nobody else after the time that was printed (seed ${seed})`,
  async () => {
    const { seen } = fleet;
    for (let i = 0; i * together < trials; i++) {
      await round(i);
      if (i % 25 === 24) console.log(`after ${i + 1} rounds`, seen, faults);
    }
    console.log(`POSTERN_SEED=${seed} POSTERN_TRIALS=${trials}`, seen, faults);
    expect(seen.revoked).toBeGreaterThanOrEqual(trials);
    for (const count of [seen.afterwards, seen.good]) expect(count).toBeGreaterThan(trials);
  },
  patience(90_000),
);
