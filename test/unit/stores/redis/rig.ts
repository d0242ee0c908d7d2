import { afterAll, afterEach, beforeAll } from 'vitest';
import { openRedisStore, type RedisStoreOptions } from '../../../../src/stores/redis/open.ts';
import type { Store } from '../../../../src/stores/store.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { RedisServer, type RedisServerOptions } from '../../../support/redis.ts';

export interface Rig {
  readonly server: RedisServer;
  /** Opens a store on the server; it is closed after the test. */
  open(more?: Partial<RedisStoreOptions>): Promise<Store>;
}

/** One server for a file of tests; each test begins with an empty one. */
export function redisRig(options: RedisServerOptions = {}): Rig {
  let server: RedisServer;
  const stores: Store[] = [];
  beforeAll(async () => {
    server = await RedisServer.start(options);
  });
  afterEach(async () => {
    await Promise.all(stores.splice(0).map(store => store.close()));
    const client = server.client();
    await client.flushall();
    client.disconnect();
  });
  afterAll(() => RedisServer.stopAll());
  return {
    get server() {
      return server;
    },
    open: async more => {
      const { endpoint } = server;
      const store = await openRedisStore({ endpoint, clock: new ManualClock(), deadlineMs: 10_000, ...more });
      stores.push(store);
      return store;
    },
  };
}
