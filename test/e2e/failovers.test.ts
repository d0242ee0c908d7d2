import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { type Answered, allOver, BoundFleet } from '../support/bound-fleet.ts';
import { RedisServer } from '../support/redis.ts';
import { isReplica, RedisCluster } from '../support/redis-cluster.ts';
import { eventually, SentinelTrio } from '../support/redis-sentinel.ts';
import { patience } from '../support/tiers.ts';

/**
 * Two processes under requests while the master stands still, is replaced, wakes up, and is emptied in the end. What is
 * revoked meanwhile is judged by its own answer.
 */

const mebibyte = 1 << 20;

interface Topology {
  readonly store: string;
  /** The master of the tokens stands still until another one is in its place. */
  standStill(): Promise<void>;
  /** The former master wakes up, and learns what has become of it. */
  wake(): Promise<void>;
  master(): Promise<RedisServer>;
}

const list = (servers: readonly RedisServer[]): string =>
  servers.map(({ endpoint }) => `"${endpoint.host}:${endpoint.port}"`).join(', ');

async function sentinels(): Promise<Topology> {
  const trio = await SentinelTrio.start();
  const former = await trio.master();
  return {
    store: `sentinels: [${list(trio.sentinels)}], master: mymaster`,
    standStill: async () => {
      await former.suspend();
      await trio.replaced(former);
    },
    wake: async () => former.resume(),
    master: () => trio.master(),
  };
}

async function cluster(): Promise<Topology> {
  const nodes = await RedisCluster.start();
  const { master: former, replica } = nodes.shardOf('postern:{s}:meta');
  return {
    store: `cluster: [${list(nodes.servers.slice(0, 2))}]`,
    standStill: async () => {
      await former.suspend();
      await eventually(async () => !(await isReplica(replica)));
    },
    // Two have to have a change, and there are no others: it waits for this one to follow.
    wake: async () => former.resume(),
    master: async () => replica,
  };
}

let fleet: BoundFleet | null = null;
afterEach(async () => {
  await fleet?.stop();
  await RedisServer.stopAll();
});

const topologies: [string, () => Promise<Topology>][] = [
  ['sentinels', sentinels],
  ['a cluster', cluster],
];

// On every submission one of them has to do; `topologies.test.ts` has both lose a master.
test.each(process.env['POSTERN_LONG'] === undefined ? topologies.slice(0, 1) : topologies)(
  'of %s, a master that stands still costs no good token and no bound, and an emptied one is no empty store',
  async (name, start) => {
    const topology = await start();
    const store = `{ kind: redis, deadline: 300ms, mutation_deadline: 1s, ${topology.store} }`;
    fleet = await BoundFleet.start(1000, [
      { store, serveMs: 0, snapshots: false },
      { store, serveMs: 2500, snapshots: false },
    ]);
    const { hammer, places } = fleet;
    const [good, ...tokens] = await fleet.mint(4);
    const secrets = [good!, ...tokens].map(({ secret }) => secret);
    const memory = places.map(({ served }) => served.program.memory.now);
    const revoked = new Map<string, Answered>();
    const revoke = async (i: number, by: number, wait: string | null): Promise<void> => {
      const { id, secret } = tokens[i]!;
      revoked.set(secret, await fleet!.revoke(id, by, wait));
    };

    const through = async (): Promise<void> => {
      await revoke(0, 0, null);
      const first = revoke(1, 1, '1s');
      await topology.standStill();
      await topology.wake();
      // Without a restart.
      await Promise.all([first, revoke(2, 1, '1s')]);
      await fleet!.united();
      await allOver([...revoked.values()]);
    };
    const strikes = await hammer.strike(() => fleet!.ports, secrets, through());
    fleet.judge(strikes, good!.secret, revoked, `a failover of ${name}`);
    expect(revoked.size).toBe(3);
    for (const [i, { served }] of places.entries()) {
      expect(served.program.memory.now - memory[i]!).toBeLessThan(100 * mebibyte);
      expect(await served.status('/api/x', good!.secret)).toBe(200);
      for (const { secret } of tokens) expect(await served.status('/api/x', secret)).toBe(401);
    }

    await (await topology.master()).client().flushall();
    const after = await hammer.strike(() => fleet!.ports, secrets, pause(3000));
    fleet.judge(after, good!.secret, revoked, `an emptied master of ${name}`);
    for (const { served } of places) {
      // Neither the good nor the revoked is known to be what it was, and nothing is made.
      for (const secret of secrets) expect(await served.status('/api/x', secret)).toBe(503);
      expect((await served.admin('POST', '/v1/tokens', {})).status).toBe(503);
      expect((await fetch(`${served.telemetry}/readyz`)).status).toBe(503);
    }
  },
  patience(90_000),
);
