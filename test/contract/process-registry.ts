import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { StoreUnavailable } from '../../src/errors.ts';
import type { Cursor } from '../../src/ports/change-feed.ts';
import type { Heartbeat } from '../../src/ports/process-registry.ts';
import { anAudit, aToken, type OpenStore, type TestedStore } from './harness.ts';

/** Milliseconds; longer than any test. */
const ages = 600_000;

/** What every adapter of the ProcessRegistry port guarantees. */
/** A suite of its own, or its hooks would open a store for every test of the other contracts as well. */
export function processRegistryContract(name: string, open: OpenStore): void {
  describe(name, () => suite(name, open));
}

function suite(name: string, open: OpenStore): void {
  let store: TestedStore;
  let applied: Cursor;
  beforeEach(async () => {
    store = await open();
    applied = await store.feed.head();
  });
  afterEach(() => store.dispose());

  const beat = (process: string, more: Partial<Heartbeat> = {}) =>
    store.registry.beat({ process, applied, cutOffMs: ages, ...more });
  const live = async (): Promise<readonly Heartbeat[]> =>
    (await store.registry.roll()).processes.toSorted((a, b) => (a.process < b.process ? -1 : 1));
  const names = async (): Promise<string[]> => (await live()).map(({ process }) => process);

  describe(`${name}: the registry of live processes`, () => {
    test('nobody is live before the first heartbeat', async () => {
      expect(await live()).toEqual([]);
    });

    test('a process that beats is live, with what it said last', async () => {
      expect(await beat('web-1.example_a', { cutOffMs: 5000 })).toBe('taken');
      await beat('b');
      await store.tokens.createToken(aToken('t'), anAudit('create'), null);
      const head = await store.feed.head();
      await beat('b', { applied: head, cutOffMs: 70_000 });
      expect(await live()).toEqual([
        { process: 'b', applied: head, cutOffMs: 70_000 },
        { process: 'web-1.example_a', applied, cutOffMs: 5000 },
      ]);
    });

    test('a process that signs off is live no more, and others stay', async () => {
      for (const process of ['a', 'b']) await beat(process);
      await store.registry.signOff('a');
      await store.registry.signOff('never-there');
      expect(await names()).toEqual(['b']);
    });

    test('a process is live until its cut-off bound since its last heartbeat has passed', async () => {
      await beat('brief', { cutOffMs: 60 });
      await beat('renewed', { cutOffMs: 60 });
      await beat('lasting');
      const { now } = await store.registry.roll();
      await beat('renewed');
      store.clock.advance(60);
      await expect.poll(names, { timeout: 10_000 }).toEqual(['lasting', 'renewed']);
      // The store's clock says so, and nothing else does.
      expect((await store.registry.roll()).now).toBeGreaterThanOrEqual(now);
      await beat('brief');
      expect(await names()).toEqual(['brief', 'lasting', 'renewed']);
    });

    test('a position that the store does not have acknowledges nothing', async () => {
      await beat('ahead', { applied: { epoch: applied.epoch, seq: applied.seq + 1 } });
      await beat('foreign', { applied: { epoch: 'another', seq: 0 } });
      expect((await live()).map(heartbeat => heartbeat.applied.epoch)).toEqual(['', '']);
    });

    test('many processes are all on the roll', async () => {
      const all = Array.from({ length: 200 }, (_, i) => `p${String(i).padStart(3, '0')}`);
      await Promise.all(all.map(process => beat(process)));
      expect(await names()).toEqual(all);
    });

    test('a store that is closed says nothing', async () => {
      const { registry } = store;
      store = await store.reopen();
      const beat = () => registry.beat({ process: 'a', applied, cutOffMs: 1 });
      for (const call of [beat, () => registry.signOff('a'), () => registry.roll()])
        await expect(call()).rejects.toBeInstanceOf(StoreUnavailable);
    });
  });
}
