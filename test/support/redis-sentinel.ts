import { setTimeout as pause } from 'node:timers/promises';
import type { SentinelPlace } from '../../src/stores/redis/settings.ts';
import type { Certificate } from './certificate.ts';
import { RedisServer } from './redis.ts';

const name = 'mymaster';

export interface SentinelOptions {
  readonly tls?: Certificate;
}

/** A master, two replicas and three sentinels that replace a master which is away for half a second. */
export class SentinelTrio {
  readonly servers: readonly RedisServer[];
  readonly sentinels: readonly RedisServer[];

  private constructor(servers: readonly RedisServer[], sentinels: readonly RedisServer[]) {
    this.servers = servers;
    this.sentinels = sentinels;
  }

  static async start({ tls }: SentinelOptions = {}): Promise<SentinelTrio> {
    const secure = tls === undefined ? [] : [['tls-replication', 'yes']];
    const common = [...secure, ['repl-diskless-sync-delay', '0'], ['repl-ping-replica-period', '1']];
    const server = (more: readonly string[][] = []): Promise<RedisServer> =>
      RedisServer.start({ settings: [...common, ...more], ...(tls && { tls }) });
    const master = await server();
    const { host, port } = master.endpoint;
    const replicas = await Promise.all([1, 2].map(() => server([['replicaof', `${host} ${port}`]])));
    const servers = [master, ...replicas];
    await Promise.all(replicas.map(replica => says(replica, 'master_link_status:up')));
    const lines = [
      ...secure.map(line => line.join(' ')),
      `sentinel monitor ${name} ${host} ${port} 2`,
      `sentinel down-after-milliseconds ${name} 500`,
      `sentinel failover-timeout ${name} 2000`,
      `sentinel parallel-syncs ${name} 2`,
    ];
    const sentinels = await Promise.all(
      [1, 2, 3].map(() => RedisServer.start({ sentinel: lines, ...(tls && { tls }) })),
    );
    const trio = new SentinelTrio(servers, sentinels);
    await trio.settled();
    return trio;
  }

  get endpoint(): SentinelPlace {
    const { tls } = this.servers[0]!.endpoint;
    return { sentinels: this.sentinels.map(({ endpoint }) => endpoint), master: name, ...(tls && { tls }) };
  }

  /** The server that most sentinels take for the master. */
  async master(): Promise<RedisServer> {
    for (;;) {
      const said = await Promise.all(this.sentinels.map(sentinel => masterPort(sentinel)));
      const found = this.servers.find(({ endpoint }) => said.filter(port => port === endpoint.port).length >= 2);
      if (found !== undefined) return found;
      await pause(20);
    }
  }

  /** Resolves when another server than this one is the master. */
  async replaced(former: RedisServer): Promise<RedisServer> {
    for (;;) {
      const found = await this.master();
      if (found !== former) return found;
      await pause(20);
    }
  }

  /** Resolves when all sentinels know each other and both replicas, and both replicas follow the master. */
  async settled(): Promise<void> {
    for (const sentinel of this.sentinels) {
      await eventually(async () => {
        const said = await masterOf(sentinel);
        return (
          said.get('num-slaves') === '2' && said.get('num-other-sentinels') === '2' && said.get('flags') === 'master'
        );
      });
    }
    const master = await this.master();
    await says(master, 'connected_slaves:2');
    for (const server of this.servers) if (server !== master) await says(server, 'master_link_status:up');
  }
}

async function masterOf(sentinel: RedisServer): Promise<Map<string, string>> {
  const client = sentinel.client();
  try {
    const flat = (await client.call('SENTINEL', 'MASTER', name)) as string[];
    const found = new Map<string, string>();
    for (let i = 0; i < flat.length; i += 2) found.set(flat[i]!, flat[i + 1]!);
    return found;
  } catch {
    return new Map();
  } finally {
    client.disconnect();
  }
}

const masterPort = async (sentinel: RedisServer): Promise<number> => Number((await masterOf(sentinel)).get('port'));

/** Resolves when a server says this of its replication. */
export async function says(server: RedisServer, what: string): Promise<void> {
  const client = server.client();
  await eventually(async () => (await client.info('replication')).includes(`${what}\r\n`));
  client.disconnect();
}

export async function eventually(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await pause(20);
}
