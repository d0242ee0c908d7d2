import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { addUsage, dayOf, noUsage, type Usage } from '../../src/core/usage.ts';
import type { UsageEntry } from '../../src/ports/usage-ledger.ts';
import { pick, randomFrom, seed } from '../support/random.ts';
import type { OpenStore, TestedStore } from './harness.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** What every adapter of the UsageLedger port guarantees. */
/** A suite of its own, or its hooks would open a store for every test of the other contracts as well. */
export function usageLedgerContract(name: string, open: OpenStore): void {
  describe(name, () => suite(name, open));
}

function suite(name: string, open: OpenStore): void {
  let store: TestedStore;
  /** Midnight of the clock's day. */
  let today: number;
  beforeEach(async () => {
    store = await open();
    today = dayOf(store.clock.wall());
  });
  afterEach(() => store.dispose());

  const entry = (tokenId: string, hour: number, usage: Partial<Usage> = {}): UsageEntry => ({
    tokenId,
    hour,
    usage: { ...noUsage, allowed: 1, lastUsedAt: hour, ...usage },
  });
  const report = (number: number, entries: readonly UsageEntry[], process = 'p1') =>
    store.usage.report({ process, number, entries });

  describe(`${name}: usage`, () => {
    test('a token that was never used has none', async () => {
      expect(await store.usage.total('tok_1')).toBeNull();
      expect(await store.usage.totals(['tok_1'])).toEqual(new Map());
      expect(await store.usage.series('tok_1', 'hour', 0, today + dayMs)).toEqual([]);
    });

    test('what reports say of a token is added up, member by member', async () => {
      const one = { allowed: 2, refused: { invalid_token: 1 }, status: { '2xx': 2 }, bytesIn: 5, bytesOut: 7 };
      const two = { allowed: 1, refused: { invalid_token: 1, limit_exceeded: 3 }, status: { '5xx': 1 }, bytesIn: 1 };
      await report(1, [entry('tok_1', today, { ...one, lastUsedAt: today + 9 })]);
      await report(2, [entry('tok_1', today, { ...two, lastUsedAt: today + 3 })]);
      expect(await store.usage.total('tok_1')).toEqual({
        allowed: 3,
        refused: { invalid_token: 2, limit_exceeded: 3 },
        status: { '2xx': 2, '5xx': 1 },
        bytesIn: 6,
        bytesOut: 7,
        lastUsedAt: today + 9,
      });
    });

    test('totals of many tokens are those of each; unused ones are left out', async () => {
      await report(1, [entry('a', today), entry('b', today, { allowed: 5 }), entry('a', today)]);
      const totals = await store.usage.totals(['b', 'unused', 'a']);
      expect([...totals].map(([id, usage]) => [id, usage.allowed]).sort()).toEqual([
        ['a', 2],
        ['b', 5],
      ]);
    });

    test('use is kept by hour and by day, oldest first, in the range that is asked for', async () => {
      const hours = [today - dayMs + 5 * hourMs, today, today + hourMs, today + 23 * hourMs];
      await report(
        1,
        hours.toReversed().map(hour => entry('tok_1', hour)),
      );
      await report(2, [entry('tok_2', today)]);
      const series = async (step: 'hour' | 'day', from: number, to: number) =>
        (await store.usage.series('tok_1', step, from, to)).map(bucket => [bucket.at, bucket.usage.allowed]);
      expect(await series('hour', today - dayMs, today + dayMs)).toEqual(hours.map(hour => [hour, 1]));
      expect(await series('hour', today, today + hourMs)).toEqual([[today, 1]]);
      expect(await series('day', today - dayMs, today + dayMs)).toEqual([
        [today - dayMs, 1],
        [today, 3],
      ]);
      expect(await series('day', today, today + 1)).toEqual([[today, 3]]);
    });

    test('a report that is sent again counts once', async () => {
      await report(1, [entry('tok_1', today)]);
      await report(1, [entry('tok_1', today)]);
      await report(2, [entry('tok_1', today)]);
      await report(1, [entry('tok_1', today)]);
      expect(await store.usage.total('tok_1')).toMatchObject({ allowed: 2 });
    });

    test('numbers of one process say nothing about those of another', async () => {
      await report(7, [entry('tok_1', today)], 'p1');
      await report(1, [entry('tok_1', today)], 'p2');
      expect(await store.usage.total('tok_1')).toMatchObject({ allowed: 2 });
    });

    test('a report of any length is added whole, and once', async () => {
      const entries = Array.from({ length: 1700 }, (_, i) => entry(`t${i % 600}`, today + (i % 3) * hourMs));
      await Promise.all([report(1, entries), report(2, entries)]);
      await report(2, entries);
      const ids = Array.from({ length: 600 }, (_, i) => `t${i}`);
      const totals = [...(await store.usage.totals(ids)).values()];
      expect(totals).toHaveLength(600);
      expect(totals.reduce((sum, usage) => sum + usage.allowed, 0)).toBe(3400);
    });

    test('an empty report is a report', async () => {
      await report(1, []);
      await report(1, [entry('tok_1', today)]);
      expect(await store.usage.total('tok_1')).toBeNull();
    });

    test('use and the numbers of reports are there when the store is opened again', async () => {
      await report(3, [entry('tok_1', today)]);
      store = await store.reopen();
      await report(3, [entry('tok_1', today)]);
      expect(await store.usage.total('tok_1')).toMatchObject({ allowed: 1 });
      expect(await store.usage.series('tok_1', 'hour', today, today + hourMs)).toHaveLength(1);
    });

    test(`reports of several processes add up in any order, repeated or not (seed ${seed})`, async () => {
      const random = randomFrom(seed);
      const ids = ['a', 'b', 'c'];
      const expected = new Map<string, Usage>();
      const processes = ['p1', 'p2', 'p3'].map(async process => {
        for (let number = 1; number <= 30; number++) {
          const entries = Array.from({ length: Math.floor(random() * 4) }, () =>
            entry(pick(random, ids), today + Math.floor(random() * 24) * hourMs, {
              allowed: Math.floor(random() * 9),
              status: { [pick(random, ['2xx', '4xx'])]: 1 },
            }),
          );
          for (const { tokenId, usage } of entries) {
            expected.set(tokenId, addUsage(expected.get(tokenId) ?? noUsage, usage));
          }
          for (let times = random() < 0.3 ? 2 : 1; times > 0; times--) await report(number, entries, process);
        }
      });
      await Promise.all(processes);
      expect(await store.usage.totals(ids)).toEqual(expected);
      for (const id of ids) {
        const hours = await store.usage.series(id, 'hour', today, today + dayMs);
        const sum = hours.reduce((total, bucket) => addUsage(total, bucket.usage), noUsage);
        expect(sum).toEqual(expected.get(id));
      }
    });
  });
}
