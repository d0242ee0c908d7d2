import { expect, test } from 'vitest';
import { StoreUnavailable } from '../../../../src/errors.ts';
import type { Cursor } from '../../../../src/ports/change-feed.ts';
import type { Store } from '../../../../src/stores/store.ts';
import { anAudit, aToken } from '../../../contract/harness.ts';
import { redisRig } from './rig.ts';

const rig = redisRig();
const feed = 'postern:{s}:feed';
const meta = 'postern:{s}:meta';
/** In a list of clients: one is blocked in a read of the feed. */
const waits = /flags=b .*cmd=xread/;

async function create(store: Store, ...ids: string[]): Promise<void> {
  for (const id of ids) await store.tokens.createToken(aToken(id), anAudit('create'), null);
}
/** Reads to the end, and answers where that is. */
async function follow(store: Store, from: Cursor): Promise<Cursor> {
  const answer = await store.feed.read(from, 0);
  expect(answer.kind).toBe('events');
  return answer.cursor;
}

test('the last event that was read is compared: another one under its number is a gap, and begins an epoch', async () => {
  let lost = 0;
  const store = await rig.open({ watcher: { down: () => {}, up: () => {}, rolledBack: () => void lost++ } });
  const cursor = await follow(store, await store.feed.head());
  await create(store, 'a', 'b');
  const read = await follow(store, cursor);
  // As after a failover to a replica that had not got the last mutation, and took another one since.
  const client = rig.server.client();
  await client.xdel(feed, '2-0');
  await client.hset(meta, 'seq', 1);
  await client.xsetid(feed, '1-0');
  await create(store, 'c');
  const { kind, cursor: next } = await store.feed.read(read, 60_000);
  expect([kind, next.seq, next.epoch === read.epoch, lost]).toEqual(['gap', 2, false, 1]);
  expect(await store.feed.head()).toEqual(next);
  // Told once: from there on the feed is followed as before.
  expect(await store.feed.read(next, 0)).toMatchObject({ kind: 'events', events: [], complete: true });
  await create(store, 'd');
  expect(await store.feed.read(next, 0)).toMatchObject({ kind: 'events', events: [{ id: 'd', seq: 3 }] });
  expect(lost).toBe(1);
});

test('the last event that was read is compared for a reader that has read nothing but the head, too', async () => {
  const store = await rig.open();
  await create(store, 'a');
  const head = await store.feed.head();
  const client = rig.server.client();
  await client.del(feed);
  await client.hset(meta, 'seq', 0);
  await create(store, 'b');
  const answer = await store.feed.read(head, 60_000);
  expect(answer).toEqual({ kind: 'gap', cursor: { epoch: expect.not.stringMatching(head.epoch), seq: 1 } });
});

test('numbers that went back are a gap', async () => {
  const store = await rig.open();
  await create(store, 'a', 'b');
  const head = await store.feed.head();
  const client = rig.server.client();
  await client.xdel(feed, '2-0');
  await client.hset(meta, 'seq', 1);
  expect(await store.feed.read(head, 60_000)).toMatchObject({ kind: 'gap', cursor: { seq: 1 } });
});

test('an event that is missing between others is a gap', async () => {
  const store = await rig.open();
  const start = await store.feed.head();
  await create(store, 'a', 'b', 'c');
  await rig.server.client().xdel(feed, '1-0');
  expect(await store.feed.read(start, 60_000)).toMatchObject({ kind: 'gap', cursor: { seq: 3 } });
});

test('a feed that has vanished is a gap once, and goes on with the next change', async () => {
  const store = await rig.open();
  await create(store, 'a');
  const head = await store.feed.head();
  await rig.server.client().del(feed);
  const { kind, cursor } = await store.feed.read(head, 60_000);
  expect([kind, cursor.seq, cursor.epoch === head.epoch]).toEqual(['gap', 1, false]);
  const waiting = store.feed.read(cursor, 60_000);
  await create(store, 'b');
  expect(await waiting).toMatchObject({ kind: 'events', events: [{ id: 'b', seq: 2 }] });
});

test('events of a store that took the place of this one are not taken for its own', async () => {
  const store = await rig.open();
  const start = await store.feed.head();
  const waiting = store.feed.read(start, 60_000).then(
    answer => answer.kind,
    (error: unknown) => error,
  );
  const client = rig.server.client();
  await expect.poll(async () => await client.client('LIST')).toMatch(waits);
  await client.flushall();
  await create(await rig.open(), 'foreign');
  expect(await waiting).toBeInstanceOf(StoreUnavailable);
});

test('a waiting read whose connection is lost fails, and the next one misses nothing', async () => {
  const store = await rig.open();
  const start = await store.feed.head();
  const waiting = store.feed.read(start, 60_000);
  const client = rig.server.client();
  await expect.poll(async () => await client.client('LIST')).toMatch(waits);
  const line = String(await client.client('LIST'))
    .split('\n')
    .find(text => text.includes('cmd=xread'))!;
  const failed = expect(waiting).rejects.toBeInstanceOf(StoreUnavailable);
  await client.client('KILL', 'ID', /id=(\d+)/.exec(line)![1]!);
  await failed;
  await create(store, 'a');
  expect(await store.feed.read(start, 60_000)).toMatchObject({ kind: 'events', events: [{ id: 'a' }] });
});

test('reads that wait one after the other share a connection; a signal leaves none behind', async () => {
  const store = await rig.open();
  const head = await store.feed.head();
  const client = rig.server.client();
  const connections = async (): Promise<number> =>
    String(await client.client('LIST'))
      .split('\n')
      .filter(line => line.includes('name=postern')).length;
  // One for reads and one for changes; those of the tests before go when the server has noticed.
  await expect.poll(connections).toBe(2);
  for (let i = 0; i < 5; i++) await store.feed.read(head, 1);
  expect(await connections()).toBe(3);
  const controller = new AbortController();
  const waiting = store.feed.read(head, 60_000, controller.signal);
  await expect.poll(async () => await client.client('LIST')).toMatch(waits);
  controller.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
  await expect.poll(connections).toBe(2);
});
