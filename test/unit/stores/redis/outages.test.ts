import type { Redis } from 'ioredis';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { noUsage } from '../../../../src/core/usage.ts';
import { StoreUnavailable } from '../../../../src/errors.ts';
import type { Store } from '../../../../src/stores/store.ts';
import { anAccount, anAudit, aToken, changed, made } from '../../../contract/harness.ts';
import { RedisServer } from '../../../support/redis.ts';
import { patience } from '../../../support/tiers.ts';
import { redisRig } from './rig.ts';

const rig = redisRig();
let admin: Redis | undefined;
const client = (): Redis => {
  admin ??= rig.server.client();
  return admin;
};
afterEach(() => {
  admin?.disconnect();
  admin = undefined;
});

const create = (store: Store, id: string) => store.tokens.createToken(aToken(id), anAudit('create'), null);
const failure = async (call: Promise<unknown>): Promise<StoreUnavailable> => {
  const error = await call.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(StoreUnavailable);
  return error as StoreUnavailable;
};
/** What every call that asks the store for something fails with. */
const failures = (store: Store): Promise<StoreUnavailable[]> => Promise.all(everyCall(store).map(failure));
/** Every call that asks the store for something. */
const everyCall = (store: Store): Promise<unknown>[] => [
  store.tokens.find(['digest-of-a']),
  store.tokens.getToken('a'),
  store.tokens.listTokens({ limit: 10, after: null }),
  create(store, 'b'),
  store.tokens.replaceToken(changed(aToken('a'), { state: 'revoked' }), 1, anAudit('revoke')),
  store.tokens.rekey('a', 'digest-of-a', 'other'),
  store.tokens.getAccount('acme'),
  store.tokens.listAccounts({ limit: 10, after: null }),
  store.tokens.putAccount(anAccount('acme'), 0, anAudit('create')),
  store.tokens.countLive('acme'),
  store.tokens.listEvents({ kind: 'token', id: 'a', limit: 10, after: null }),
  store.feed.head(),
  store.feed.read({ epoch: 'any', seq: 0 }, 1000),
  store.usage.report({ process: 'p', number: 1, entries: [{ tokenId: 'a', hour: made, usage: noUsage }] }),
  store.usage.total('a'),
  store.usage.series('a', 'hour', made, made + 1),
  store.keepChecksumKeys([{ id: 'p1', key: 'aa' }]),
];

describe('a connection that is lost', () => {
  test('during a mutation leaves its outcome unknown', async () => {
    const store = await rig.open();
    await client().call('CLIENT', 'PAUSE', '60000', 'WRITE');
    const mutation = failure(create(store, 'a'));
    await client().call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await client().call('CLIENT', 'UNPAUSE');
    expect(await mutation).toMatchObject({ sent: true });
    await expect.poll(() => store.tokens.getToken('a').catch(() => 'unavailable')).toBeNull();
  });

  test('by the death of the server fails what waits for it: mutations as sent, reads as nothing to worry about', async () => {
    const server = await RedisServer.start();
    const store = await rig.open({ endpoint: server.endpoint });
    await server.suspend();
    const mutation = failure(create(store, 'a'));
    const read = failure(store.tokens.find(['digest-of-a']));
    await server.kill();
    expect(await mutation).toMatchObject({ sent: true, message: 'the connection to the store was lost' });
    expect(await read).toMatchObject({ sent: false, message: 'the connection to the store was lost' });
  });

  test('comes back by itself, and the watcher hears of both', async () => {
    const heard: string[] = [];
    const store = await rig.open({ watcher: { down: () => heard.push('down'), up: () => heard.push('up') } });
    await create(store, 'a');
    await client().call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await expect.poll(() => heard).toEqual(['down', 'up']);
    expect(await store.tokens.getToken('a')).toMatchObject({ token: { id: 'a' } });
  });

  test('fails calls at once and as not sent, until the server is there again with what it kept', async () => {
    const server = await RedisServer.start({ persistent: true });
    const heard: string[] = [];
    const watcher = { down: () => heard.push('down'), up: () => heard.push('up') };
    const store = await rig.open({ endpoint: server.endpoint, watcher });
    await create(store, 'a');
    await server.kill();
    await expect.poll(() => heard).toEqual(['down']);
    for (const error of await failures(store)) expect(error).toMatchObject({ sent: false });
    await server.restart();
    // The last of the pauses between two tries is a second.
    await expect.poll(() => heard, { timeout: patience(15_000) }).toEqual(['down', 'up']);
    expect(await store.tokens.find(['digest-of-a'])).toMatchObject({ token: { id: 'a' } });
  });
});

describe('a server that has stopped answering', () => {
  test('is waited for until the deadline, and a mutation that was given up does not happen later', async () => {
    const server = await RedisServer.start();
    const store = await rig.open({ endpoint: server.endpoint, deadlineMs: 50, mutationDeadlineMs: 300 });
    await create(store, 'a');
    await server.suspend();
    const given = [create(store, 'late'), store.tokens.putAccount(anAccount('late'), 0, anAudit('create'))].map(
      failure,
    );
    expect(await failure(store.tokens.find(['digest-of-a']))).toMatchObject({ sent: false });
    for (const error of await Promise.all(given)) expect(error).toMatchObject({ sent: true });
    // The commands lie in the server's socket: it reads them now.
    server.resume();
    await expect.poll(() => store.tokens.getToken('a').catch(() => null)).toMatchObject({ token: { id: 'a' } });
    expect(await store.tokens.getToken('late')).toBeNull();
    expect(await store.tokens.getAccount('late')).toBeNull();
    // Changes have a connection of their own, which may take longer to come back than that of reads.
    await expect
      .poll(() =>
        create(store, 'late').then(
          ({ kind }) => kind,
          () => null,
        ),
      )
      .toBe('done');
  });

  test('costs a bounded number of unanswered calls', async () => {
    const server = await RedisServer.start();
    const store = await rig.open({ endpoint: server.endpoint, deadlineMs: 1 });
    await server.suspend();
    const asked = Array.from({ length: 21_000 }, () => failure(store.tokens.find(['digest-of-a'])));
    const reasons = (await Promise.all(asked)).map(error => error.message);
    expect(reasons.filter(reason => reason === 'too many calls wait for the store')).toHaveLength(1000);
    server.resume();
    await expect.poll(() => store.tokens.getToken('a').catch(() => 'unavailable')).toBeNull();
  });
});

describe('a store that is not the one that was opened', () => {
  test('is unavailable and not empty, and nothing is written to it', async () => {
    const down: Error[] = [];
    const store = await rig.open({ watcher: { down: cause => down.push(cause), up: () => {} } });
    await create(store, 'a');
    await client().flushall();
    for (const error of await failures(store)) {
      expect(error).toMatchObject({ sent: false });
      expect(error.message).toContain('it is not the store that was opened');
    }
    expect(down).toHaveLength(1);
    expect(await client().dbsize()).toBe(0);
  });

  test('stays unavailable when another process has begun anew there', async () => {
    const store = await rig.open();
    await create(store, 'a');
    await client().flushall();
    const other = await rig.open();
    expect(other.identity).not.toBe(store.identity);
    expect(await other.tokens.getToken('a')).toBeNull();
    for (const error of await failures(store)) expect(error).toMatchObject({ sent: false });
  });

  test('is noticed after a restart without its data', async () => {
    const server = await RedisServer.start();
    const store = await rig.open({ endpoint: server.endpoint });
    await create(store, 'a');
    await server.restart();
    await expect
      .poll(async () => (await failure(store.tokens.find(['digest-of-a']))).message)
      .toContain('it is not the store that was opened');
  });

  test('is available again when what it was comes back', async () => {
    const heard: string[] = [];
    const store = await rig.open({ watcher: { down: () => heard.push('down'), up: () => heard.push('up') } });
    await create(store, 'a');
    await client().rename('postern:{s}:meta', 'away');
    await failure(store.tokens.getToken('a'));
    await client().rename('away', 'postern:{s}:meta');
    expect(await store.tokens.getToken('a')).toMatchObject({ token: { id: 'a' } });
    expect(heard).toEqual(['down', 'up']);
  });

  test('is not made anew where the data of one lies that has lost its identity', async () => {
    const store = await rig.open();
    await create(store, 'a');
    await client().del('postern:{s}:meta');
    await failure(rig.open());
    expect(await client().exists('postern:{s}:meta')).toBe(0);
  });
});

describe('a server that refuses writes', () => {
  test('for want of memory still answers reads and revokes; what it refused has not happened', async () => {
    const store = await rig.open();
    await store.tokens.putAccount(anAccount('acme'), 0, anAudit('create'));
    await create(store, 'a');
    await client().config('SET', 'maxmemory', '1');
    try {
      expect(await failure(create(store, 'b'))).toMatchObject({ sent: false });
      const renamed = changed(aToken('a'), { name: 'renamed' });
      expect(await failure(store.tokens.replaceToken(renamed, 1, anAudit('update')))).toMatchObject({ sent: false });
      expect(await store.tokens.find(['digest-of-a'])).toMatchObject({ token: { name: 'token a' } });
      const revoked = changed(aToken('a'), { state: 'revoked' });
      expect((await store.tokens.replaceToken(revoked, 1, anAudit('revoke'))).kind).toBe('done');
      const marked = changed(anAccount('acme'), { revokedBefore: made });
      expect((await store.tokens.putAccount(marked, 1, anAudit('revoke'))).kind).toBe('done');
      const entries = [{ tokenId: 'a', hour: made, usage: { ...noUsage, allowed: 1 } }];
      await store.usage.report({ process: 'p', number: 1, entries });
    } finally {
      await client().config('SET', 'maxmemory', '0');
    }
    expect(await store.tokens.getToken('b')).toBeNull();
  });

  test('because it became a replica is named, and nothing is sent twice', async () => {
    const store = await rig.open();
    await create(store, 'a');
    await client().replicaof('127.0.0.1', '1');
    try {
      const error = await failure(create(store, 'b'));
      expect(error).toMatchObject({ sent: false, message: 'the store cannot do it: it is read-only' });
    } finally {
      await client().replicaof('NO', 'ONE');
    }
    await expect
      .poll(() =>
        create(store, 'b').then(
          ({ kind }) => kind,
          () => null,
        ),
      )
      .toBe('done');
  });
});

describe('opening', () => {
  test('is refused where keys may be evicted, with the remedy, unless that is allowed', async () => {
    await client().config('SET', 'maxmemory-policy', 'allkeys-lru');
    try {
      await expect(rig.open()).rejects.toMatchObject({ name: 'StoreUnfit' });
      await expect(rig.open()).rejects.toThrow('eviction policy is allkeys-lru');
      await expect(rig.open()).rejects.toThrow('Set maxmemory-policy to noeviction');
      expect((await create(await rig.open({ allowEviction: true }), 'a')).kind).toBe('done');
    } finally {
      await client().config('SET', 'maxmemory-policy', 'noeviction');
    }
  });

  test('is refused for a schema of a later version', async () => {
    await rig.open();
    await client().hset('postern:{s}:meta', 'schema', '9');
    await expect(rig.open()).rejects.toThrow('its schema is version 9');
  });

  test('fails as unavailable when nobody is there', async () => {
    const server = await RedisServer.start();
    const { endpoint } = server;
    await server.stop();
    expect((await failure(rig.open({ endpoint }))).message).toContain('ECONNREFUSED');
  });

  test('of a store by many at once makes one', async () => {
    const stores = await Promise.all(Array.from({ length: 8 }, () => rig.open()));
    expect(new Set(stores.map(store => store.identity)).size).toBe(1);
  });
});

test('a store that is closed finishes what was asked and takes nothing more', async () => {
  const store = await rig.open();
  const head = await store.feed.head();
  const waiting = store.feed.read(head, 60_000);
  const creations = Array.from({ length: 20 }, (_, i) => create(store, `t${i}`));
  const entries = Array.from({ length: 1200 }, (_, i) => ({ tokenId: `t${i}`, hour: made, usage: noUsage }));
  const report = store.usage.report({ process: 'p', number: 1, entries });
  await store.close();
  await report;
  expect((await Promise.all(creations)).map(({ kind }) => kind)).toEqual(Array(20).fill('done'));
  expect(await waiting).toMatchObject({ kind: 'events' });
  for (const error of await failures(store)) expect(error).toMatchObject({ sent: false });
});

test('nothing is written to the console, whatever fails', async () => {
  const said = (['log', 'info', 'warn', 'error'] as const).map(name => vi.spyOn(console, name));
  const server = await RedisServer.start({ settings: [['requirepass', 'the-right-one']] });
  const endpoint = { ...server.endpoint, password: 'a-wrong-password' };
  await failure(rig.open({ endpoint }));
  const store = await rig.open({ endpoint: { ...endpoint, password: 'the-right-one' } });
  await server.kill();
  await failure(create(store, 'a'));
  for (const spy of said) {
    expect(spy).not.toHaveBeenCalled();
    spy.mockRestore();
  }
});
