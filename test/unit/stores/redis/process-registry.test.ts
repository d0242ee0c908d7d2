import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { StoreUnavailable } from '../../../../src/errors.ts';
import type { Cursor } from '../../../../src/ports/change-feed.ts';
import type { Store } from '../../../../src/stores/store.ts';
import { anAudit, aToken } from '../../../contract/harness.ts';
import { RedisServer } from '../../../support/redis.ts';
import { redisRig } from './rig.ts';

const rig = redisRig();
const ends = 'postern:{s}:live-until';
const said = 'postern:{s}:processes';
const meta = 'postern:{s}:meta';
const feed = 'postern:{s}:feed';
const ages = 600_000;

let client: Redis;
let store: Store;
let applied: Cursor;
beforeEach(async () => {
  client = rig.server.client();
  store = await rig.open();
  applied = await store.feed.head();
});
afterEach(() => client.disconnect());

const beat = (process: string, cutOffMs = ages, on = store) => on.registry.beat({ process, applied, cutOffMs });
const create = (id: string, on = store) => on.tokens.createToken(aToken(id), anAudit('create'), null);
const epochOf = async (process: string): Promise<string | undefined> =>
  (await store.registry.roll()).processes.find(heartbeat => heartbeat.process === process)?.applied.epoch;

describe('keys of the registry', () => {
  test('hold those that are live, and nobody else', async () => {
    await beat('lasting');
    for (let i = 0; i < 50; i++) await beat(`crashed-${i}`, 1);
    await expect.poll(async () => (await store.registry.roll()).processes.length, { timeout: 10_000 }).toBe(1);
    await beat('lasting');
    expect([await client.zcard(ends), await client.hlen(said)]).toEqual([1, 1]);
  });

  test('end with the last process, whoever beat last', async () => {
    await beat('lasting', 60_000);
    await beat('brief', 10);
    for (const key of [ends, said]) {
      const left = await client.pttl(key);
      expect([left > 50_000, left <= 60_000]).toEqual([true, true]);
    }
    await store.registry.signOff('lasting');
    await store.registry.signOff('brief');
    expect(await client.exists(ends, said)).toBe(0);
  });

  test('that lost what a process said leave it live, with nothing acknowledged', async () => {
    await beat('a');
    await client.del(said);
    const { processes } = await store.registry.roll();
    expect(processes).toMatchObject([{ process: 'a', applied: { epoch: '' } }]);
    expect(processes[0]!.cutOffMs).toBeGreaterThan(ages - 60_000);
  });
});

describe('a heartbeat', () => {
  test('is written when memory is out, as revocations are', async () => {
    await client.config('SET', 'maxmemory', '1');
    try {
      expect(await beat('a')).toBe('taken');
      await store.registry.signOff('b');
    } finally {
      await client.config('SET', 'maxmemory', '0');
    }
    expect(await epochOf('a')).toBe(applied.epoch);
  });

  test('is refused by a server that cannot write to its disk: nobody else changes anything there either', async () => {
    const server = await RedisServer.start({ settings: [['dbfilename', 'taken']] });
    const full = await rig.open({ endpoint: server.endpoint });
    const admin = server.client();
    const [, folder] = (await admin.config('GET', 'dir')) as string[];
    await mkdir(join(folder!, 'taken'));
    await admin.config('SET', 'save', '3600 1');
    await admin.bgsave();
    await expect.poll(() => admin.info('persistence'), { timeout: 10_000 }).toContain('rdb_last_bgsave_status:err');
    expect(await beat('a', ages, full)).toBe('refused');
    await expect(create('t', full)).rejects.toMatchObject({ sent: false });
    // That is only said of the store that was opened.
    await admin.config('SET', 'save', '');
    await admin.flushall();
    await admin.config('SET', 'save', '3600 1');
    await expect(beat('a', ages, full)).rejects.toBeInstanceOf(StoreUnavailable);
  });

  test('is not refused but unanswered by a node that may not be the master any more', async () => {
    await client.config('SET', 'min-replicas-to-write', '1');
    try {
      await expect(beat('a')).rejects.toThrow('it has too few replicas');
    } finally {
      await client.config('SET', 'min-replicas-to-write', '0');
    }
    await client.replicaof('127.0.0.1', '1');
    try {
      await expect(beat('a')).rejects.toBeInstanceOf(StoreUnavailable);
    } finally {
      await client.replicaof('NO', 'ONE');
    }
    await expect.poll(() => beat('a').catch(() => 'unavailable'), { timeout: 10_000 }).toBe('taken');
  });

  test('is not written to a store that took the place of this one', async () => {
    await client.flushall();
    await rig.open();
    const { registry } = store;
    for (const call of [() => beat('a'), () => registry.signOff('a'), () => registry.roll()])
      await expect(call()).rejects.toThrow('it is not the store that was opened');
    expect(await client.exists(ends, said)).toBe(0);
  });

  test('that names another event under its number acknowledges nothing', async () => {
    await create('a');
    await create('b');
    const answer = await store.feed.read(applied, 0);
    applied = answer.cursor;
    await beat('p');
    expect(await epochOf('p')).toBe(applied.epoch);
    // Changes are lost, and as many are made again before the process reads on.
    await client.xdel(feed, '2-0');
    await client.hset(meta, 'seq', 1);
    await client.xsetid(feed, '1-0');
    await create('c', await rig.open());
    await beat('p');
    expect(await epochOf('p')).toBe('');
    applied = (await store.feed.read(applied, 0)).cursor;
    await beat('p');
    expect(await epochOf('p')).toBe((await store.feed.head()).epoch);
  });
});
