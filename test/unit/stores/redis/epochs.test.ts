import { expect, test } from 'vitest';
import type { Cursor } from '../../../../src/ports/change-feed.ts';
import type { Store } from '../../../../src/stores/store.ts';
import { anAudit, aToken } from '../../../contract/harness.ts';
import { RedisServer } from '../../../support/redis.ts';
import { redisRig } from './rig.ts';

const rig = redisRig();
const meta = 'postern:{s}:meta';

interface Follower {
  readonly store: Store;
  cursor: Cursor;
  /** How often it was the one to begin an epoch. */
  begun: number;
}

/** Opens a store and reads its feed to the end. */
async function follow(server: RedisServer, more: { readonly feedEvents?: number } = {}): Promise<Follower> {
  const heard = { down: () => {}, up: () => {}, rolledBack: () => void follower.begun++ };
  const store = await rig.open({ endpoint: server.endpoint, watcher: heard, ...more });
  const follower: Follower = { store, cursor: await store.feed.head(), begun: 0 };
  return follower;
}

async function create({ store }: Follower, ...ids: string[]): Promise<void> {
  for (const id of ids) await store.tokens.createToken(aToken(id), anAudit('create'), null);
}

/** Reads once, at most waiting for the connection to be back; answers what it was. */
async function read(follower: Follower): Promise<string> {
  let kind = '';
  const once = async (): Promise<void> => {
    const answer = await follower.store.feed.read(follower.cursor, 0);
    kind = answer.kind === 'gap' ? 'gap' : answer.events.map(({ id }) => id).join(' ');
    follower.cursor = answer.cursor;
  };
  await expect.poll(() => once().then(() => 'read', String), { timeout: 10_000 }).toBe('read');
  return kind;
}

/**
 * Reads until it is in another epoch: nothing but gaps. The connection for changes may come back after the one for reads;
 * until then there is a gap all the same, and the epoch begins later.
 */
async function readIntoNextEpoch(follower: Follower, epoch: string): Promise<void> {
  const end = performance.now() + 15_000;
  for (;;) {
    const kind = await read(follower);
    if (follower.cursor.epoch !== epoch) {
      expect(kind).toBe('gap');
      return;
    }
    expect(['gap', '']).toContain(kind);
    expect(performance.now()).toBeLessThan(end);
  }
}

/** Ends the server as a loss of power does, and starts it with what it had saved. */
async function crash(server: RedisServer): Promise<void> {
  await server.kill('SIGKILL');
  await server.restart();
}

test('a store that comes back without its last changes begins an epoch, once, and everybody hears of a gap', async () => {
  const server = await RedisServer.start();
  const [first, second, behind] = [await follow(server), await follow(server), await follow(server)];
  await create(first, 'a');
  for (const follower of [first, second, behind]) expect(await read(follower)).toBe('a');
  await server.client().save();
  await create(first, 'b', 'c');
  expect([await read(first), await read(second)]).toEqual(['b c', 'b c']);
  const { epoch } = first.cursor;
  await crash(server);

  await Promise.all([first, second].map(follower => readIntoNextEpoch(follower, epoch)));
  // It could not have seen by itself that what it has looked up since may be of a history that is gone.
  expect(await read(behind)).toBe('gap');
  expect(first.cursor).toEqual({ epoch: expect.not.stringMatching(epoch), seq: 1 });
  expect([second.cursor, behind.cursor]).toEqual([first.cursor, first.cursor]);
  expect(first.begun + second.begun + behind.begun).toBe(1);
  await create(second, 'd');
  expect(await Promise.all([first, second, behind].map(read))).toEqual(['d', 'd', 'd']);
});

test('lost changes are noticed when as many others have been made since', async () => {
  const server = await RedisServer.start();
  const [follower, writer] = [await follow(server), await follow(server)];
  await create(writer, 'a');
  await server.client().save();
  await create(writer, 'b', 'c');
  expect(await read(follower)).toBe('a b c');
  const { epoch } = follower.cursor;
  await crash(server);
  await expect.poll(() => create(writer, 'd', 'e').then(() => 'made', String), { timeout: 10_000 }).toBe('made');
  await readIntoNextEpoch(follower, epoch);
  expect(follower.cursor).toEqual({ epoch: expect.not.stringMatching(epoch), seq: 3 });
  expect(await read(writer)).toBe('gap');
});

test('positions that others name begin no epoch, and do not make a reader forget where it was', async () => {
  const server = await RedisServer.start();
  const [follower, writer] = [await follow(server), await follow(server)];
  await create(writer, 'a');
  await server.client().save();
  await create(writer, ...Array.from({ length: 60 }, (_, i) => `t${i}`));
  await read(follower);
  const { cursor } = follower;
  for (let seq = 0; seq <= 60; seq++) {
    expect(await follower.store.feed.since({ ...cursor, seq })).toMatchObject({ kind: 'events', cursor });
  }
  expect(await follower.store.feed.since({ ...cursor, seq: 62 })).toEqual({ kind: 'gap', cursor });
  expect([await read(follower), follower.begun]).toEqual(['', 0]);
  await crash(server);
  const others = Array.from({ length: 60 }, (_, i) => `u${i}`);
  await expect.poll(() => create(writer, ...others).then(() => 'made', String), { timeout: 10_000 }).toBe('made');
  expect(await read(follower)).toBe('gap');
});

test('a feed that was trimmed is a gap in the same epoch', async () => {
  const follower = await follow(rig.server, { feedEvents: 5 });
  await create(follower, 'a');
  expect(await read(follower)).toBe('a');
  const { epoch } = follower.cursor;
  await create(follower, ...Array.from({ length: 20 }, (_, i) => `t${i}`));
  expect(await read(follower)).toBe('gap');
  expect([follower.cursor, follower.begun]).toEqual([{ epoch, seq: 21 }, 0]);
});

test('a feed whose key was deleted begins an epoch', async () => {
  const [follower, other] = [await follow(rig.server), await follow(rig.server)];
  await create(follower, 'a', 'b');
  expect([await read(follower), await read(other)]).toEqual(['a b', 'a b']);
  await rig.server.client().del('postern:{s}:feed');
  expect([await read(follower), await read(other)]).toEqual(['gap', 'gap']);
  expect([follower.begun, other.begun]).toEqual([1, 0]);
});

test('a store that takes no writes gives the gap to who has noticed, and begins the epoch when it can', async () => {
  const [follower, other] = [await follow(rig.server), await follow(rig.server)];
  await create(follower, 'a', 'b');
  expect([await read(follower), await read(other)]).toEqual(['a b', 'a b']);
  const { epoch } = follower.cursor;
  const client = rig.server.client();
  await client.xdel('postern:{s}:feed', '2-0');
  await client.hset(meta, 'seq', 1);
  await client.config('SET', 'min-replicas-to-write', '1');
  try {
    expect(await read(follower)).toBe('gap');
    expect([follower.cursor, follower.begun]).toEqual([{ epoch, seq: 1 }, 0]);
    expect(await read(follower)).toBe('');
  } finally {
    await client.config('SET', 'min-replicas-to-write', '0');
  }
  await expect.poll(() => read(follower), { timeout: 20_000 }).toBe('gap');
  await expect.poll(() => follower.begun, { timeout: 10_000 }).toBe(1);
  expect(await read(other)).toBe('gap');
});
