import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { StoreUnavailable } from '../../../../src/errors.ts';
import type { Store } from '../../../../src/stores/store.ts';
import { anAudit, aToken } from '../../../contract/harness.ts';
import { RespProxy } from '../../../support/resp-proxy.ts';
import { redisRig } from './rig.ts';

/** What networks do to the bytes between a store and its server. */

const rig = redisRig();
let proxy: RespProxy;
beforeEach(async () => {
  proxy = await RespProxy.start(rig.server.endpoint.port);
});
afterEach(() => proxy.close());

const silenceMs = 400;
const open = (): Promise<Store> =>
  rig.open({ endpoint: { host: '127.0.0.1', port: proxy.port }, deadlineMs: 150, mutationDeadlineMs: silenceMs });
const create = (store: Store, id: string) => store.tokens.createToken(aToken(id), anAudit('create'), null);
const failure = async (call: Promise<unknown>): Promise<StoreUnavailable> => {
  const error = await call.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(StoreUnavailable);
  return error as StoreUnavailable;
};
const found = (store: Store) => () =>
  store.tokens.find(['digest-of-a']).then(
    answer => answer?.token.id ?? null,
    () => 'unavailable',
  );

describe('a connection', () => {
  test('that dies owing an answer, and is followed by one that never answers, comes back', async () => {
    const store = await open();
    await create(store, 'a');
    await proxy.be({ kind: 'swallow' });
    const owed = failure(store.tokens.find(['digest-of-a']));
    // The next connection is made well within the time that the lost one had left to answer.
    await expect.poll(() => proxy.connections).toBeGreaterThan(0);
    proxy.reset();
    await owed;
    await expect.poll(() => proxy.seen.connections).toBeGreaterThan(2);
    // Longer than a connection may be silent: what was swallowed leaves its connections dead for good.
    await new Promise(resolve => setTimeout(resolve, 2 * silenceMs));
    await proxy.be({ kind: 'pass' });
    await expect.poll(found(store), { timeout: 5000 }).toBe('a');
  });

  test('that loses all its bytes is left, and the next one serves', async () => {
    const store = await open();
    await create(store, 'a');
    await proxy.be({ kind: 'swallow' });
    expect(await failure(store.tokens.find(['digest-of-a']))).toMatchObject({ sent: false });
    expect(await failure(create(store, 'b'))).toMatchObject({ sent: true });
    await proxy.be({ kind: 'pass' });
    await expect.poll(found(store), { timeout: 5000 }).toBe('a');
    await expect
      .poll(
        () =>
          create(store, 'b').then(
            ({ kind }) => kind,
            () => null,
          ),
        { timeout: 5000 },
      )
      .toBe('done');
  });

  test('to a server that is reset over and over leaves none behind', async () => {
    const store = await open();
    await create(store, 'a');
    for (let i = 0; i < 10; i++) {
      proxy.reset();
      await found(store)();
      await new Promise(resolve => setTimeout(resolve, 20));
    }
    await expect.poll(found(store), { timeout: 5000 }).toBe('a');
    await expect.poll(() => proxy.connections).toBeLessThanOrEqual(2);
  });
});

test('a server that has become a replica is left for whoever is master now, by reads too', async () => {
  const store = await open();
  await create(store, 'a');
  const before = proxy.seen.connections;
  const client = rig.server.client();
  await client.replicaof('127.0.0.1', '1');
  try {
    expect(await failure(create(store, 'b'))).toMatchObject({ sent: false });
    await expect.poll(() => proxy.seen.connections).toBe(before + 2);
    await expect.poll(found(store), { timeout: 5000 }).toBe('a');
  } finally {
    await client.replicaof('NO', 'ONE');
  }
});

test('writes that a server holds back do not hold back reads', async () => {
  const store = await open();
  await create(store, 'a');
  const head = await store.feed.head();
  const client = rig.server.client();
  await client.call('CLIENT', 'PAUSE', '60000', 'WRITE');
  try {
    const held = failure(create(store, 'b'));
    for (let i = 0; i < 20; i++) expect(await found(store)()).toBe('a');
    expect(await store.feed.read(head, 1)).toMatchObject({ kind: 'events', complete: true });
    expect(await held).toMatchObject({ sent: true });
    expect(await found(store)()).toBe('a');
  } finally {
    await client.call('CLIENT', 'UNPAUSE');
  }
  await expect
    .poll(
      () =>
        create(store, 'c').then(
          ({ kind }) => kind,
          () => null,
        ),
      { timeout: 5000 },
    )
    .toBe('done');
  expect(await store.tokens.getToken('b')).toBeNull();
});
