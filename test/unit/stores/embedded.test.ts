import { readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { StoreUnavailable } from '../../../src/errors.ts';
import { StoreInUse } from '../../../src/stores/embedded/faults.ts';
import { type EmbeddedStoreOptions, openEmbeddedStore } from '../../../src/stores/embedded/open.ts';
import { type OwnerThread, type StartOwner, startOwner } from '../../../src/stores/embedded/owner-thread.ts';
import { openStore } from '../../../src/stores/open-store.ts';
import type { Store } from '../../../src/stores/store.ts';
import { anAudit, aToken } from '../../contract/harness.ts';
import { temporaryFolder } from '../../support/embedded.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { StoreChild } from '../../support/store-child.ts';

let parent: string;
let folder: string;
const open: Store[] = [];
beforeEach(() => {
  parent = temporaryFolder();
  folder = join(parent, 'data');
});
afterEach(async () => {
  await Promise.all(open.splice(0).map(store => store.close()));
  rmSync(parent, { recursive: true });
});

async function openHere(more: Partial<EmbeddedStoreOptions> = {}): Promise<Store> {
  const store = await openEmbeddedStore({ folder, clock: new ManualClock(), deadlineMs: 10_000, ...more });
  open.push(store);
  return store;
}

const create = (store: Store, id: string) => store.tokens.createToken(aToken(id), anAudit('create'), null);
const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8);

describe('the folder', () => {
  test('is made for its owner alone, and so are the files in it', async () => {
    const store = await openHere();
    await create(store, 'a');
    expect(mode(folder)).toBe('700');
    const files = readdirSync(folder);
    expect(files).toContain('postern.db-wal');
    for (const file of files) expect(mode(join(folder, file)), file).toBe('600');
  });

  test('is refused to a second store of the same process, which is told why', async () => {
    const store = await openHere();
    const second = openHere();
    await expect(second).rejects.toThrow(StoreInUse);
    await expect(second).rejects.toThrow(`the store in ${folder} is in use: another process owns it`);
    expect((await create(store, 'a')).kind).toBe('done');
  });

  test('is refused to a second process, which is told why', async () => {
    await openHere();
    const second = new StoreChild(folder, 'second');
    const { name, message } = await second.says('failed');
    expect(name).toBe('StoreInUse');
    expect(message).toContain(folder);
    expect(await second.exited()).toBe(1);
  });

  test('is refused while another process has it, and free when that has died', async () => {
    const owner = new StoreChild(folder, 'owner');
    await owner.says('open');
    await expect(openHere()).rejects.toThrow(StoreInUse);
    await owner.kill();
    await openHere();
  });

  test('is opened by the name of its kind', async () => {
    const store = await openStore(
      { kind: 'embedded', path: folder, deadlineMs: 5000, mutationDeadlineMs: 5000 },
      new ManualClock(),
    );
    open.push(store);
    expect((await create(store, 'a')).kind).toBe('done');
  });

  test('that cannot be made is an error that names it', async () => {
    folder = '/dev/null/data';
    await expect(openHere()).rejects.toThrow(StoreUnavailable);
    await expect(openHere()).rejects.toThrow(folder);
  });
});

describe('closing', () => {
  test('what was asked before is answered, and kept', async () => {
    const store = await openHere();
    const asked = Array.from({ length: 100 }, (_, i) => create(store, `t${i}`));
    await Promise.all([store.close(), store.close()]);
    expect((await Promise.all(asked)).map(outcome => outcome.kind)).toEqual(Array(100).fill('done'));
    expect(readdirSync(folder)).toEqual(['postern.db']);
    const again = await openHere();
    expect((await again.tokens.listTokens({ limit: 1000, after: null })).items).toHaveLength(100);
  });

  test('a waiting reader is answered, and later calls are refused', async () => {
    const store = await openHere();
    const head = await store.feed.head();
    const waiting = store.feed.read(head, 600_000);
    await store.close();
    expect(await waiting).toEqual({ kind: 'events', events: [], cursor: head, complete: true });
    await expect(create(store, 'a')).rejects.toThrow('the store is closed');
    await expect(store.tokens.find(['a'])).rejects.toThrow(StoreUnavailable);
  });
});

describe('a full disk', () => {
  test('refuses mutations, of which nothing is done, while reads go on', async () => {
    // A limit on the size of files makes writes fail as a full disk does, in the middle of a transaction.
    const child = new StoreChild(folder, 'run', 'ulimit -f 480');
    expect(await child.says('failed')).toMatchObject({ name: 'StoreUnavailable', sent: false, reads: true });
    await child.exited();
    const store = await openHere();
    const { items } = await store.tokens.listTokens({ limit: 100_000, after: null });
    const acknowledged = (kind: string) => child.said.filter(saying => saying.kind === kind).length;
    const revoked = await store.tokens.listTokens({ limit: 100_000, after: null, state: 'revoked' });
    expect(revoked.items).toHaveLength(acknowledged('revoked'));
    expect(items).toHaveLength(acknowledged('created') - acknowledged('revoked'));
  });
});

describe('the death of the thread', () => {
  /** Threads that were started, and how the attempts to start one failed. */
  function watched() {
    const threads: OwnerThread[] = [];
    const attempts: string[] = [];
    const start: StartOwner = async (settings, listener) => {
      try {
        const thread = await startOwner(settings, listener);
        threads.push(thread);
        return thread;
      } catch (error) {
        attempts.push((error as Error).message);
        throw error;
      }
    };
    let isUp: () => void = () => {};
    const up = new Promise<void>(resolve => {
      isUp = resolve;
    });
    const down: Error[] = [];
    return {
      options: { start, watcher: { down: (cause: Error) => void down.push(cause), up: () => isUp() } },
      threads,
      attempts,
      down,
      up,
    };
  }

  test('rejects what waits, and is not an absence; then a new one takes over what the old one kept', async () => {
    const { options, threads, down, up } = watched();
    const store = await openHere(options);
    await create(store, 'a');
    const head = await store.feed.head();
    const waiting = store.feed.read(head, 600_000);
    threads[0]!.terminate();
    await expect(waiting).rejects.toThrow(StoreUnavailable);
    await expect(store.tokens.find(['digest-of-a'])).rejects.toThrow(StoreUnavailable);
    await expect(store.tokens.find(['unknown'])).rejects.toThrow(StoreUnavailable);
    await expect(create(store, 'b')).rejects.toMatchObject({ name: 'StoreUnavailable', sent: false });
    expect(down).toHaveLength(1);
    await up;
    expect(await store.tokens.find(['digest-of-a'])).toMatchObject({ token: { id: 'a' } });
    expect(await store.feed.head()).toEqual(head);
    expect((await create(store, 'b')).kind).toBe('done');
  });

  test('leaves the outcome of a mutation on its way unknown', async () => {
    const { options, threads } = watched();
    const store = await openHere(options);
    const creation = create(store, 'a');
    // In one turn with the call: no answer can have been heard.
    threads[0]!.terminate();
    await creation.then(
      outcome => expect(outcome.kind).toBe('done'),
      error => expect(error).toMatchObject({ name: 'StoreUnavailable', sent: true }),
    );
  });

  test('is no leave to begin anew: a store that is gone, or another one in its place, is not opened', async () => {
    const { options, threads, attempts, up } = watched();
    const store = await openHere(options);
    await create(store, 'a');
    const other = await openEmbeddedStore({ folder: join(parent, 'other'), clock: new ManualClock() });
    await other.close();

    renameSync(folder, join(parent, 'kept'));
    threads[0]!.terminate();
    await expect.poll(() => attempts.at(-1)).toContain('is gone');
    await expect(store.tokens.find(['digest-of-a'])).rejects.toThrow(StoreUnavailable);

    renameSync(join(parent, 'other'), folder);
    await expect.poll(() => attempts.at(-1)).toContain('another store has taken its place');
    await expect(store.tokens.find(['digest-of-a'])).rejects.toThrow(StoreUnavailable);

    renameSync(folder, join(parent, 'other'));
    renameSync(join(parent, 'kept'), folder);
    await up;
    expect(await store.tokens.find(['digest-of-a'])).toMatchObject({ token: { id: 'a' } });
  });

  test('does not keep a store from closing, nor the next from opening', async () => {
    const { options, threads } = watched();
    const store = await openHere(options);
    const waiting = store.feed.read(await store.feed.head(), 600_000);
    threads[0]!.terminate();
    await expect(waiting).rejects.toThrow(StoreUnavailable);
    await store.close();
    await openHere();
  });
});
