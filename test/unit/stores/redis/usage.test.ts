import { expect, test } from 'vitest';
import { dayOf, noUsage } from '../../../../src/core/usage.ts';
import type { UsageReport } from '../../../../src/ports/usage-ledger.ts';
import type { Store } from '../../../../src/stores/store.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { redisRig } from './rig.ts';

const rig = redisRig();
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const clock = new ManualClock();
const today = dayOf(clock.wall());
const entry = (tokenId: string, hour: number) => ({
  tokenId,
  hour,
  usage: { ...noUsage, allowed: 1, lastUsedAt: hour },
});

test('a report that is sent again until it is answered counts once, wherever its answers were lost', async () => {
  const store = await rig.open();
  const client = rig.server.client();
  const ids = Array.from({ length: 1200 }, (_, i) => `t${i}`);
  const kill = () => client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  let failures = 0;
  for (let number = 1; number <= 10; number++) {
    const report: UsageReport = { process: 'p', number, entries: ids.map(id => entry(id, today + number * hourMs)) };
    for (let answered = false, tries = 0; !answered; tries++) {
      if (tries === 0) await client.call('CLIENT', 'PAUSE', '60000', 'WRITE');
      const asked = store.usage.report(report).then(
        () => true,
        () => false,
      );
      // Cut off before it has done anything, then with some of it done.
      if (tries === 0) await expect.poll(async () => await client.info('clients')).toMatch(/blocked_clients:[1-9]/);
      for (let wait = 0; wait < 2 * number * (tries % 2); wait++) await client.ping();
      if (tries < 4) await kill();
      if (tries === 0) await client.call('CLIENT', 'UNPAUSE');
      answered = await asked;
      if (!answered) failures++;
      await connected(store);
    }
  }
  expect(failures).toBeGreaterThanOrEqual(10);
  const totals = [...(await store.usage.totals(ids)).values()];
  expect(totals).toHaveLength(ids.length);
  expect(new Set(totals.map(({ allowed }) => allowed))).toEqual(new Set([10]));
});

/** The connection comes back by itself. */
const connected = (store: Store) =>
  expect.poll(() => store.usage.total('nobody').catch(() => 'unavailable')).toBeNull();

test('a report of more hours of one token than a script takes is added in parts, each once', async () => {
  const store = await rig.open({ clock, usageRetention: { hours: 200 * dayMs, days: 400 * dayMs } });
  const entries = Array.from({ length: 1300 }, (_, i) => entry('a', today - i * hourMs));
  await store.usage.report({ process: 'p', number: 1, entries });
  // As if the end of it had not been reached: the parts that were added are known.
  await rig.server.client().del('postern:report:p');
  await store.usage.report({ process: 'p', number: 1, entries });
  expect(await store.usage.total('a')).toMatchObject({ allowed: 1300, lastUsedAt: today });
  expect(await store.usage.series('a', 'hour', 0, today + dayMs)).toHaveLength(1300);
});

test('buckets end with their time, totals stay', async () => {
  const store = await rig.open({ clock, usageRetention: { hours: 2 * dayMs, days: 100 * dayMs } });
  await store.usage.report({ process: 'p', number: 1, entries: [entry('a', today), entry('a', today - 40 * dayMs)] });
  expect(await store.usage.series('a', 'hour', 0, today + dayMs)).toMatchObject([{ at: today }]);
  expect(await store.usage.series('a', 'day', 0, today + dayMs)).toMatchObject([
    { at: today - 40 * dayMs },
    { at: today },
  ]);
  const client = rig.server.client();
  const lives = new Map<string, number>();
  for (const key of await client.keys('postern:{a}:*')) lives.set(key.split(':')[2]!, await client.pttl(key));
  expect(lives.get('total')).toBe(-1);
  expect(lives.get('h')).toBeGreaterThan(2 * dayMs);
  expect(lives.get('h')).toBeLessThanOrEqual(3 * dayMs);
  expect(lives.get('d')).toBeGreaterThan(60 * dayMs);
  expect(lives.get('reports')).toBeGreaterThan(dayMs);
});

test('numbers of processes that are long gone do not pile up with a token', async () => {
  const later = new ManualClock();
  const store = await rig.open({ clock: later });
  for (let i = 0; i < 100; i++) await store.usage.report({ process: `p${i}`, number: 1, entries: [entry('a', today)] });
  later.advance(3 * dayMs);
  await store.usage.report({ process: 'new', number: 1, entries: [entry('a', today)] });
  expect(await rig.server.client().hlen('postern:{a}:reports')).toBe(1);
  expect(await store.usage.total('a')).toMatchObject({ allowed: 101 });
});
