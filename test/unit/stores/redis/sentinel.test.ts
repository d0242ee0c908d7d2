import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { StoreUnavailable } from '../../../../src/errors.ts';
import { Line } from '../../../../src/stores/redis/line.ts';
import { Link, type ScriptCall } from '../../../../src/stores/redis/link.ts';
import { openRedisStore, type RedisStoreOptions } from '../../../../src/stores/redis/open.ts';
import { keepReportNumber } from '../../../../src/stores/redis/scripts/report-number.ts';
import { monotonic } from '../../../../src/stores/redis/store-clock.ts';
import { ShardMap } from '../../../../src/stores/redis/topology/shard-map.ts';
import type { Topology } from '../../../../src/stores/redis/topology/topology.ts';
import type { Store } from '../../../../src/stores/store.ts';
import { anAudit, aToken, changed } from '../../../contract/harness.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { RedisServer } from '../../../support/redis.ts';
import { SentinelTrio } from '../../../support/redis-sentinel.ts';
import { StoreLoad } from '../../../support/store-load.ts';
import { patience } from '../../../support/tiers.ts';

let trio: SentinelTrio;
const stores: Store[] = [];
beforeAll(async () => {
  trio = await SentinelTrio.start();
}, patience(30_000));
afterEach(() => Promise.all(stores.splice(0).map(store => store.close())));
afterAll(() => RedisServer.stopAll());

let names = 0;
async function open(more: Partial<RedisStoreOptions> = {}): Promise<Store> {
  const { endpoint } = trio;
  const times = { deadlineMs: 1000, mutationDeadlineMs: 1000 };
  const store = await openRedisStore({ endpoint, clock: new ManualClock(), prefix: `t${++names}:`, ...times, ...more });
  stores.push(store);
  return store;
}

const create = (store: Store, id: string) => store.tokens.createToken(aToken(id), anAudit('create'), null);

const replicasOf = async (): Promise<RedisServer[]> => {
  const master = await trio.master();
  return trio.servers.filter(server => server !== master);
};

describe('a change that a majority has to confirm', () => {
  test(
    'is done with one of two replicas; without both its outcome is unknown, and look-ups go on',
    async () => {
      const store = await open();
      const [first, second] = (await replicasOf()) as [RedisServer, RedisServer];
      await first.suspend();
      expect((await create(store, 'one')).kind).toBe('done');
      await second.suspend();
      const failed = await create(store, 'none').catch((error: unknown) => error);
      expect(failed).toBeInstanceOf(StoreUnavailable);
      expect(failed).toMatchObject({ sent: true });
      // It is there, and whoever asks for it again is not told that it is done.
      expect(await store.tokens.getToken('none')).not.toBeNull();
      await expect(store.tokens.settled()).rejects.toThrow(/majority|not answered/);
      expect(await store.tokens.find(['digest-of-one'])).not.toBeNull();
      first.resume();
      second.resume();
      await expect
        .poll(() => store.tokens.settled().then(() => 'settled', String), { timeout: patience(15_000) })
        .toBe('settled');
      expect((await create(store, 'two')).kind).toBe('done');
    },
    patience(60_000),
  );

  test(
    'does not count replicas that are gone as if there were fewer',
    async () => {
      const store = await open();
      const others = await replicasOf();
      await Promise.all(others.map(server => server.kill()));
      await expect(create(store, 'alone')).rejects.toMatchObject({ sent: true });
      const trusting = await open({ confirm: 'none' });
      expect((await create(trusting, 'alone')).kind).toBe('done');
      await Promise.all(others.map(server => server.restart()));
      await trio.settled();
    },
    patience(60_000),
  );

  test(
    'can be many calls of a script at once',
    async () => {
      const options = { place: trio.endpoint, home: 'k:meta', confirm: 'majority', silenceMs: 5000 } as const;
      const link = new Link(options, { lost: () => {}, restored: () => {} });
      await link.open(monotonic() + 5000);
      const call = (i: number): ScriptCall => ({
        script: keepReportNumber,
        keys: [`k:${i}`],
        args: [i, 60_000],
        confirmed: true,
      });
      const calls = Array.from({ length: 100 }, (_, i) => call(i));
      expect(await link.callAll(calls, monotonic() + 5000)).toEqual(calls.map(() => 1));
      const others = await replicasOf();
      for (const server of others) await server.suspend();
      await expect(link.callAll(calls, monotonic() + 200)).rejects.toMatchObject({ sent: true });
      const unconfirmed = calls.map(one => ({ ...one, confirmed: false }));
      expect(await link.callAll(unconfirmed, monotonic() + 5000)).toEqual(calls.map(() => 1));
      for (const server of others) server.resume();
      await link.close();
    },
    patience(30_000),
  );

  test(
    'does not keep the changes behind it from being made',
    async () => {
      const store = await open({ mutationDeadlineMs: 2000 });
      await create(store, 'a');
      const others = await replicasOf();
      for (const server of others) await server.suspend();
      const blocked = create(store, 'blocked').catch((error: unknown) => error);
      const revoked = changed(aToken('a'), { state: 'revoked' });
      const revocation = store.tokens.replaceToken(revoked, 1, anAudit('revoke')).catch((error: unknown) => error);
      await expect.poll(async () => (await store.tokens.getToken('a'))?.token.state).toBe('revoked');
      for (const server of others) server.resume();
      expect(await Promise.all([blocked, revocation])).toMatchObject([{ kind: 'done' }, { kind: 'done' }]);
    },
    patience(60_000),
  );

  test(
    'is offered for an address, too, where the server tells of its replicas',
    async () => {
      const { endpoint } = await trio.master();
      const store = await open({ endpoint, confirm: 'majority' });
      expect((await create(store, 'a')).kind).toBe('done');
      const others = await replicasOf();
      for (const server of others) await server.suspend();
      await expect(create(store, 'b')).rejects.toMatchObject({ sent: true });
      for (const server of others) server.resume();
    },
    patience(60_000),
  );
});

test('a server that says it is a replica is not spoken to where masters come and go', async () => {
  const [replica] = (await replicasOf()) as [RedisServer];
  const line = new Line({ endpoint: replica.endpoint, silenceMs: 5000, roles: true }, {});
  await expect(line.open(monotonic() + 5000)).rejects.toThrow('the server is no master');
  await expect(line.send(false, monotonic() + 1000, async () => 'answer')).rejects.toThrow('no master');
  await line.close();
});

test('sentinels that know no master of that name are told apart from those that are not there', async () => {
  const stranger = open({ endpoint: { ...trio.endpoint, master: 'stranger' } });
  await expect(stranger).rejects.toThrow(/it knows no master of this name/);
  const nobody = open({ endpoint: { ...trio.endpoint, sentinels: [{ host: '127.0.0.1', port: 1 }] } });
  await expect(nobody).rejects.toThrow(/127\.0\.0\.1:1: .*ECONNREFUSED/);
});

test('of several views the latest counts; an earlier one only when most have it', async () => {
  const endpoints = trio.servers.map(({ endpoint }) => endpoint);
  const says = new Map<number, { readonly epoch: number; readonly port: number } | null>();
  const say = (...views: readonly (readonly [epoch: number, port: number] | null)[]): void => {
    for (const [i, view] of views.entries()) says.set(endpoints[i]!.port, view && { epoch: view[0], port: view[1] });
  };
  const topology: Topology = {
    witnesses: () => endpoints,
    ask: async ({ options: { port } }) => {
      const view = says.get(port!);
      if (!view) throw new Error('it is away');
      return { epoch: view.epoch, shards: [{ slots: [[0, 1]], master: { host: 'm', port: view.port }, dataNodes: 1 }] };
    },
    endpoint: address => address,
    fixed: null,
    roles: true,
  };
  const rounds: number[] = [];
  const map = new ShardMap(topology, () => rounds.push(map.shardOf(0)!.master!.port));
  const master = (): number => map.shardOf(0)!.master!.port;
  try {
    // Whichever two answer first, one of them knows.
    say([1, 11], [2, 22], [2, 22]);
    await map.open(monotonic() + 5000);
    expect(master()).toBe(22);
    say([1, 11], null, null);
    for (let i = 0; i < 3; i++) await map.asked();
    expect(master()).toBe(22);
    say([3, 33], null, null);
    await map.asked();
    expect(master()).toBe(33);
    say([0, 44], [0, 44], null);
    await map.asked();
    expect(master()).toBe(44);
    expect(rounds).toEqual([22, 33, 44]);
  } finally {
    map.close();
  }
});

// What was replaced needs ten seconds to follow its successor: these come last, each with servers of its own.
describe('a master behind sentinels', () => {
  let second: SentinelTrio;
  beforeAll(async () => {
    second = await SentinelTrio.start();
  }, patience(30_000));

  test(
    'that dies is replaced: nothing acknowledged is lost or done twice, no token is missing, without a restart',
    async () => {
      const store = await open({ endpoint: second.endpoint });
      const load = await StoreLoad.start(store, 'killed');
      await load.works();
      const former = await second.master();
      await former.kill();
      await second.replaced(former);
      await load.works();
      await load.end();
      await load.assertKept();
    },
    patience(60_000),
  );

  test(
    'that stops and wakes up after it was replaced is not believed any more',
    async () => {
      const store = await open();
      await create(store, 'a');
      const load = await StoreLoad.start(store, 'stopped');
      const former = await trio.master();
      await former.suspend();
      await trio.replaced(former);
      await load.works();
      const revoked = changed(aToken('a'), { state: 'revoked' });
      expect((await store.tokens.replaceToken(revoked, 1, anAudit('revoke'))).kind).toBe('done');
      former.resume();
      // It says that it is a master, with the token as it was, until the sentinels come to it.
      const client = former.client();
      expect(((await client.call('ROLE')) as unknown[])[0]).toBe('master');
      for (let i = 0; i < 100; i++) {
        expect((await store.tokens.find(['digest-of-a']))?.token.state).toBe('revoked');
      }
      // Whoever comes anew is not sent to it either.
      const fresh = await open({ prefix: `t${names}:` });
      expect((await fresh.tokens.find(['digest-of-a']))?.token.state).toBe('revoked');
      await load.end();
      await load.assertKept();
    },
    patience(60_000),
  );

  test(
    'goes on being one while all sentinels are away',
    async () => {
      // Nobody brings another replica back meanwhile.
      const store = await open({ endpoint: second.endpoint, confirm: 'none' });
      for (const sentinel of second.sentinels) await sentinel.suspend();
      // A busy machine may miss a deadline, whoever watches.
      let tries = 0;
      const made = () => create(store, `away-${++tries}`).then(({ kind }) => kind, String);
      await expect.poll(made, { timeout: patience(15_000) }).toBe('done');
      expect(await store.tokens.find([`digest-of-away-${tries}`])).not.toBeNull();
      for (const sentinel of second.sentinels) sentinel.resume();
    },
    patience(30_000),
  );
});
