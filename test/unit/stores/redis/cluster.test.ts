import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { noUsage } from '../../../../src/core/usage.ts';
import { StoreUnavailable } from '../../../../src/errors.ts';
import { StoreUnfit } from '../../../../src/stores/redis/faults.ts';
import { openRedisStore, type RedisStoreOptions } from '../../../../src/stores/redis/open.ts';
import { slotOf } from '../../../../src/stores/redis/topology/slots.ts';
import type { Store } from '../../../../src/stores/store.ts';
import { anAudit, aToken, changed, made } from '../../../contract/harness.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { RedisServer } from '../../../support/redis.ts';
import { type ClusterShard, RedisCluster } from '../../../support/redis-cluster.ts';
import { StoreLoad } from '../../../support/store-load.ts';
import { patience } from '../../../support/tiers.ts';

let cluster: RedisCluster;
const stores: Store[] = [];
beforeAll(async () => {
  cluster = await RedisCluster.start();
}, patience(30_000));
afterEach(() => Promise.all(stores.splice(0).map(store => store.close())));
afterAll(() => RedisServer.stopAll());

async function open(more: Partial<RedisStoreOptions> = {}): Promise<Store> {
  const { endpoint } = cluster;
  const times = { deadlineMs: 300, mutationDeadlineMs: 600 };
  const store = await openRedisStore({ endpoint, clock: new ManualClock(made), ...times, ...more });
  stores.push(store);
  return store;
}

let names = 0;
const fresh = (): string => `c${++names}`;
const create = (store: Store, id: string) => store.tokens.createToken(aToken(id), anAudit('create'), null);
const failure = (call: Promise<unknown>): Promise<unknown> => call.catch((error: unknown) => error);

/** The shard of the unit, and another one. */
const unit = (): ClusterShard => cluster.shardOf('postern:{s}:meta');
const other = (): ClusterShard => cluster.shards.find(shard => shard !== unit())!;

/** An id of a token whose usage lies on this shard. */
function idOn(shard: ClusterShard): string {
  for (;;) {
    const id = fresh();
    if (cluster.shardOf(`postern:{${id}}:total`) === shard) return id;
  }
}

const report = (store: Store, process: string, number: number, ids: readonly string[]) =>
  store.usage.report({
    process,
    number,
    entries: ids.map(tokenId => ({ tokenId, hour: made, usage: { ...noUsage, allowed: 1, lastUsedAt: made } })),
  });

/** Keys of one slot move from one master to the other, one by one, as `redis-cli --cluster reshard` does it. */
class Moving {
  readonly #slot: number;
  readonly #from: RedisServer;
  readonly #to: RedisServer;

  constructor(key: string, from: RedisServer, to: RedisServer) {
    this.#slot = slotOf(key);
    this.#from = from;
    this.#to = to;
  }

  async begin(): Promise<void> {
    await this.#cluster(this.#to, 'SETSLOT', this.#slot, 'IMPORTING', await this.#id(this.#from));
    await this.#cluster(this.#from, 'SETSLOT', this.#slot, 'MIGRATING', await this.#id(this.#to));
  }

  async move(...keys: readonly string[]): Promise<void> {
    const { host, port } = this.#to.endpoint;
    const client = this.#from.client();
    if (keys.length > 0) await client.call('MIGRATE', host, port, '', 0, 5000, 'KEYS', ...keys);
    client.disconnect();
  }

  async keys(): Promise<string[]> {
    return (await this.#cluster(this.#from, 'GETKEYSINSLOT', this.#slot, 10_000)) as string[];
  }

  async end(): Promise<void> {
    await this.move(...(await this.keys()));
    const id = await this.#id(this.#to);
    for (const server of [this.#to, this.#from]) await this.#cluster(server, 'SETSLOT', this.#slot, 'NODE', id);
  }

  async #id(server: RedisServer): Promise<string> {
    return String(await this.#cluster(server, 'MYID'));
  }

  async #cluster(server: RedisServer, ...command: readonly (string | number)[]): Promise<unknown> {
    const client = server.client();
    const answer = await client.call('CLUSTER', ...command);
    client.disconnect();
    return answer;
  }
}

test('slots are those of the cluster', async () => {
  const client = cluster.servers[0]!.client();
  for (const key of [
    '',
    'a',
    '{s}',
    'postern:{s}:meta',
    '{}a',
    'a{b',
    'a{b}c{d}',
    '{ä}',
    'ü',
    '}{x}',
    'x'.repeat(300),
  ]) {
    expect(slotOf(key), key).toBe(await client.call('CLUSTER', 'KEYSLOT', key));
  }
});

test('usage lies on all masters, is added and read in one go, and is away where its master is', async () => {
  const store = await open();
  const ids = cluster.shards.map(idOn);
  await report(store, 'p', 1, ids);
  await report(store, 'p', 1, ids);
  const totals = await store.usage.totals(ids);
  expect(ids.map(id => totals.get(id)?.allowed)).toEqual([1, 1, 1]);
  for (const [i, id] of ids.entries()) {
    const client = cluster.shards[i]!.master.client();
    expect(await client.exists(`postern:{${id}}:total`)).toBe(1);
    client.disconnect();
  }
});

describe('a slot that moves', () => {
  test(
    'key by key makes what is in it unavailable, never absent, and nothing is done by half',
    async () => {
      const store = await open();
      const id = fresh();
      await create(store, id);
      const moving = new Moving('postern:{s}:meta', unit().master, other().master);
      await moving.begin();
      // First a few, then the rest of them: the key that says who the store is among the last.
      const isMeta = (key: string): boolean => key === 'postern:{s}:meta';
      const parts = [[], [`postern:{s}:digest:digest-of-${id}`], (await moving.keys()).filter(key => !isMeta(key))];
      for (const keys of parts) {
        await moving.move(...keys.filter(key => !keys.includes(`gone:${key}`)));
        const known = await failure(store.tokens.find([`digest-of-${id}`]));
        if (keys.length > 0) expect(known).toBeInstanceOf(StoreUnavailable);
        expect(await failure(store.tokens.find(['digest-of-nobody']))).toBeInstanceOf(StoreUnavailable);
        expect(await failure(create(store, fresh()))).toMatchObject({ name: 'StoreUnavailable', sent: false });
      }
      await moving.move('postern:{s}:meta');
      expect(await failure(store.tokens.find([`digest-of-${id}`]))).toBeInstanceOf(StoreUnavailable);
      expect(await failure(create(store, fresh()))).toMatchObject({ name: 'StoreUnavailable', sent: false });
      await moving.end();
      // It is elsewhere now, and found there.
      await expect.poll(() => failure(store.tokens.find([`digest-of-${id}`]))).toMatchObject({ token: { id } });
      expect(await store.tokens.find(['digest-of-nobody'])).toBeNull();
      expect((await create(store, fresh())).kind).toBe('done');
      const { items } = await store.tokens.listTokens({ limit: 100, after: null });
      expect(items.map(({ token }) => token.id)).toEqual([id, `c${names}`]);

      const back = new Moving('postern:{s}:meta', other().master, unit().master);
      await back.begin();
      await back.end();
      await expect.poll(() => failure(store.tokens.find([`digest-of-${id}`]))).toMatchObject({ token: { id } });
    },
    patience(30_000),
  );

  test(
    'with usage in it: a report is added once, before it or after it',
    async () => {
      const store = await open();
      const id = idOn(other());
      await report(store, 'moved', 1, [id]);
      const moving = new Moving(`postern:{${id}}:total`, other().master, unit().master);
      await moving.begin();
      expect(await failure(report(store, 'moved', 2, [id]))).toBeInstanceOf(StoreUnavailable);
      await moving.move(`postern:{${id}}:total`);
      expect(await failure(report(store, 'moved', 2, [id]))).toBeInstanceOf(StoreUnavailable);
      await moving.end();
      // Whoever has not heard of it is sent on.
      await expect.poll(() => failure(report(store, 'moved', 2, [id]))).toBeUndefined();
      expect((await store.usage.total(id))?.allowed).toBe(2);
    },
    patience(30_000),
  );
});

test('a cluster is told apart from a server by itself', async () => {
  const [node] = cluster.servers as [RedisServer];
  await expect(open({ endpoint: node.endpoint })).rejects.toThrow(StoreUnfit);
  const alone = await RedisServer.start();
  await expect(open({ endpoint: { cluster: [alone.endpoint] } })).rejects.toThrow(/it is no node of a cluster/);
  await alone.stop();
});

// The cluster is not what it was from here on.
describe('a master of a cluster', () => {
  test(
    'that dies is replaced: look-ups go on, changes do when most of its nodes are there again, nothing is lost',
    async () => {
      const store = await open();
      const id = fresh();
      await create(store, id);
      const load = await StoreLoad.start(store, 'killed');
      await load.works();
      const { master } = unit();
      await master.kill();
      const from = performance.now();
      await expect.poll(() => load.found.some(at => at > from + 50), { timeout: patience(15_000) }).toBe(true);
      // One of two is no majority: what is done now can be lost, and nobody is told that it is done.
      await expect
        .poll(() => failure(create(store, fresh())), { timeout: patience(15_000) })
        .toMatchObject({ sent: true, message: expect.stringContaining('majority') });
      const trusting = await open({ confirm: 'none' });
      expect((await create(trusting, fresh())).kind).toBe('done');
      await master.restart();
      await load.works();
      await load.end();
      await load.assertKept();
    },
    patience(60_000),
  );

  test(
    'that stops and wakes up after it was replaced is not believed any more',
    async () => {
      const store = await open({ confirm: 'none' });
      await cluster.settled();
      const id = fresh();
      await create(store, id);
      const load = await StoreLoad.start(store, 'stopped');
      const { master, replica } = unit();
      // The one before has made a master of the replica.
      await replica.suspend();
      await load.works();
      const revoked = changed(aToken(id), { state: 'revoked' });
      expect((await store.tokens.replaceToken(revoked, 1, anAudit('revoke'))).kind).toBe('done');
      replica.resume();
      for (let i = 0; i < 100; i++) {
        const found = await store.tokens.find([`digest-of-${id}`]);
        expect(found?.token.state).toBe('revoked');
      }
      await load.end();
      expect(load.wrong).toEqual([]);
      const client = master.client();
      expect(((await client.call('ROLE')) as unknown[])[0]).toBe('master');
    },
    patience(60_000),
  );

  test(
    'without the unit takes nothing but its usage along when it dies',
    async () => {
      await cluster.settled();
      const store = await open();
      const [here, there] = [idOn(unit()), idOn(other())];
      await report(store, 'q', 1, [here, there]);
      await other().master.suspend();
      await other().replica.suspend();
      expect(await failure(store.usage.totals([here, there]))).toBeInstanceOf(StoreUnavailable);
      expect(await failure(report(store, 'q', 2, [here, there]))).toMatchObject({ sent: true });
      expect((await create(store, here)).kind).toBe('done');
      expect(await store.tokens.find([`digest-of-${here}`])).not.toBeNull();
      other().master.resume();
      other().replica.resume();
      await expect
        .poll(() => failure(report(store, 'q', 2, [here, there])), { timeout: patience(15_000) })
        .toBeUndefined();
      const totals = await store.usage.totals([here, there]);
      expect([here, there].map(id => totals.get(id)?.allowed)).toEqual([2, 2]);
    },
    patience(60_000),
  );
});
