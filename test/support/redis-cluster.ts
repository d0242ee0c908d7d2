import type { ClusterPlace } from '../../src/stores/redis/settings.ts';
import { slotCount, slotOf } from '../../src/stores/redis/topology/slots.ts';
import { freePort } from './ports.ts';
import { RedisServer } from './redis.ts';
import { eventually, says } from './redis-sentinel.ts';

/** A master with its replica. */
export interface ClusterShard {
  readonly first: number;
  readonly last: number;
  readonly master: RedisServer;
  readonly replica: RedisServer;
}

/** Three masters with a replica each; a master that is away for half a second is replaced by its replica. */
export class RedisCluster {
  readonly shards: readonly ClusterShard[];

  private constructor(shards: readonly ClusterShard[]) {
    this.shards = shards;
  }

  static async start(): Promise<RedisCluster> {
    const buses = new Map<RedisServer, number>();
    const server = async (): Promise<RedisServer> => {
      // The default, ten thousand above the port, need not be free, or there at all.
      const bus = await freePort();
      const settings = [
        ['cluster-enabled', 'yes'],
        ['cluster-port', String(bus)],
        ['cluster-node-timeout', '500'],
        ['cluster-replica-validity-factor', '0'],
        // One shard that is away does not take the others along.
        ['cluster-require-full-coverage', 'no'],
        ['repl-diskless-sync-delay', '0'],
        ['repl-ping-replica-period', '1'],
      ];
      const started = await RedisServer.start({ settings });
      buses.set(started, bus);
      return started;
    };
    const shards: ClusterShard[] = [];
    for (let i = 0; i < 3; i++) {
      const [first, last] = [Math.ceil((i * slotCount) / 3), Math.ceil(((i + 1) * slotCount) / 3) - 1];
      const [master, replica] = await Promise.all([server(), server()]);
      shards.push({ first, last, master, replica });
    }
    const cluster = new RedisCluster(shards);
    const [seed] = cluster.servers as [RedisServer];
    for (const [i, node] of cluster.servers.entries()) {
      await ask(node, 'SET-CONFIG-EPOCH', i + 1);
      if (node !== seed) await ask(node, 'MEET', seed.endpoint.host, seed.endpoint.port, buses.get(seed)!);
    }
    for (const { first, last, master } of shards) await ask(master, 'ADDSLOTSRANGE', first, last);
    for (const { master, replica } of shards) {
      const id = String(await ask(master, 'MYID'));
      await eventually(async () => String(await ask(replica, 'NODES')).includes(id));
      await eventually(() =>
        ask(replica, 'REPLICATE', id).then(
          () => true,
          () => false,
        ),
      );
    }
    await cluster.settled();
    return cluster;
  }

  get servers(): readonly RedisServer[] {
    return this.shards.flatMap(({ master, replica }) => [master, replica]);
  }

  get endpoint(): ClusterPlace {
    return { cluster: this.servers.map(({ endpoint }) => endpoint) };
  }

  /** The shard that holds a key. */
  shardOf(key: string): ClusterShard {
    const slot = slotOf(key);
    return this.shards.find(({ first, last }) => slot >= first && slot <= last)!;
  }

  /** Resolves when every node knows six that are well, and each replica follows a master. */
  async settled(): Promise<void> {
    for (const node of this.servers) {
      await eventually(async () => {
        const info = String(await ask(node, 'INFO'));
        const nodes = String(await ask(node, 'NODES'))
          .trim()
          .split('\n');
        const well = nodes.filter(line => !/fail|handshake|noaddr/.test(line));
        return (
          info.includes('cluster_state:ok') &&
          well.length === 6 &&
          nodes.filter(line => line.includes('slave')).length === 3
        );
      });
    }
    for (const node of this.servers) {
      if (await isReplica(node)) await says(node, 'master_link_status:up');
      else await says(node, 'connected_slaves:1');
    }
  }
}

export async function isReplica(server: RedisServer): Promise<boolean> {
  const client = server.client();
  const [role] = (await client.call('ROLE')) as [string];
  client.disconnect();
  return role === 'slave';
}

async function ask(node: RedisServer, ...command: readonly (string | number)[]): Promise<unknown> {
  const client = node.client();
  try {
    return await client.call('CLUSTER', ...command);
  } finally {
    client.disconnect();
  }
}
