import { afterEach, describe, expect, test } from 'vitest';
import { StoreUnavailable } from '../../../src/errors.ts';
import { EventualStore, type Opening } from '../../../src/stores/eventual-store.ts';
import type { Store } from '../../../src/stores/store.ts';

const away = new StoreUnavailable('the store cannot be reached: it does not answer');

/** A store of which only what a test asks for is there. */
function aStore() {
  const state = { closed: 0 };
  const store = {
    identity: 's1',
    tokens: { getToken: async (id: string) => ({ token: { id }, account: null }) },
    feed: { head: async () => ({ epoch: 'e', seq: 1 }) },
    close: async () => void state.closed++,
  } as unknown as Store;
  return { store, state };
}

const opened: EventualStore[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map(store => store.close()));
});

async function open(answers: (Store | Error)[], more: Partial<Opening> = {}) {
  const said: string[] = [];
  let asked = 0;
  const store = await EventualStore.open({
    open: async () => {
      const answer = answers[Math.min(asked++, answers.length - 1)]!;
      if (answer instanceof Error) throw answer;
      return answer;
    },
    mayCome: error => error instanceof StoreUnavailable,
    watcher: { failed: cause => said.push(cause.message), opened: () => said.push('opened') },
    patienceMs: 10_000,
    ...more,
  });
  opened.push(store);
  return { store, said, asked: () => asked };
}

describe('a store that may come later', () => {
  test('is the store, once it is open', async () => {
    const { store: real } = aStore();
    const { store, said } = await open([real]);
    expect(store.opened).toBe(real);
    expect(said).toEqual(['opened']);
    expect(await store.tokens.getToken('a')).toMatchObject({ token: { id: 'a' } });
    expect(await store.feed.head()).toEqual({ epoch: 'e', seq: 1 });
  });

  test('is unavailable until then, for every port, and never absent', async () => {
    const { store } = await open([away]);
    for (const call of [
      () => store.tokens.getToken('a'),
      () => store.tokens.find(['d']),
      () => store.feed.head(),
      () => store.usage.totals(['a']),
      () => store.registry.roll(),
    ]) {
      await expect(call()).rejects.toThrow(StoreUnavailable);
      await expect(call()).rejects.toMatchObject({ sent: false });
    }
  });

  test('is tried again until it comes; a cause is told once', async () => {
    const { store: real } = aStore();
    const other = new StoreUnavailable('it is still loading its data');
    const { store, said } = await open([away, away, other, real]);
    expect(store.opened).toBeNull();
    await expect.poll(() => store.opened, { interval: 5, timeout: 10_000 }).toBe(real);
    expect(said).toEqual([away.message, other.message, 'opened']);
  });

  test('is waited for no longer than is allowed, and taken when it comes', async () => {
    const { store: real } = aStore();
    const coming = Promise.withResolvers<Store>();
    const { store } = await open([], { open: () => coming.promise, patienceMs: 1 });
    expect(store.opened).toBeNull();
    coming.resolve(real);
    await expect.poll(() => store.opened, { interval: 5, timeout: 10_000 }).toBe(real);
  });

  test('that is in vain is told at once at the start, and nothing is tried again', async () => {
    const unfit = new Error('the eviction policy is allkeys-lru');
    let asked = 0;
    const trying = open([], {
      open: () => {
        asked++;
        return Promise.reject(unfit);
      },
    });
    await expect(trying).rejects.toBe(unfit);
    expect(asked).toBe(1);
  });

  test('may turn out to be unfit later, and be set right', async () => {
    const { store: real } = aStore();
    const unfit = new Error('the eviction policy is allkeys-lru');
    const { store, said } = await open([away, unfit, unfit, real]);
    await expect.poll(() => store.opened, { interval: 5, timeout: 10_000 }).toBe(real);
    expect(said).toEqual([away.message, unfit.message, 'opened']);
  });

  test('is closed when it was opened, also after nobody wanted it any more', async () => {
    const { store: real, state } = aStore();
    const coming = Promise.withResolvers<Store>();
    const { store } = await open([], { open: () => coming.promise, patienceMs: 1 });
    const closing = store.close();
    coming.resolve(real);
    await closing;
    expect(state.closed).toBe(1);
  });

  test('is tried no more once it is closed', async () => {
    const { store, asked } = await open([away]);
    await store.close();
    const before = asked();
    await new Promise(resolve => setTimeout(resolve, 300));
    expect(asked()).toBe(before);
  });

  test('is no promise itself', async () => {
    const { store } = await open([away]);
    expect(await store.tokens).toBe(store.tokens);
  });
});
