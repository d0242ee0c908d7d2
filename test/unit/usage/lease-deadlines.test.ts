import { afterEach, beforeEach, expect, it } from 'vitest';
import type { LimitLedger } from '../../../src/ports/limit-ledger.ts';
import { Leases } from '../../../src/usage/leases.ts';
import { asker, limit, limited } from '../../support/lease-world.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { MemoryLedger } from '../../support/memory-ledger.ts';

/** A ledger that takes its time. */

let ledger: MemoryLedger;
let held: PromiseWithResolvers<void> | null;
let leases: Leases[];
beforeEach(() => {
  const clock = new ManualClock();
  ledger = new MemoryLedger(() => clock.wall());
  held = null;
  leases = [];
});
afterEach(async () => {
  held?.resolve();
  for (const each of leases) await each.stop();
});

/** Waits are long, and the store's deadline short. */
function process(outage: 'closed' | 'open' = 'closed'): Leases {
  const slow: Pick<LimitLedger, 'exchange'> = {
    exchange: async (...about) => {
      const answers = await ledger.exchange(...about);
      await held?.promise;
      return answers;
    },
  };
  const say = (): void => {};
  const fault = (error: unknown): void => {
    throw error;
  };
  const made = new Leases(
    {
      ledger: Object.assign(Object.create(ledger) as LimitLedger, slow),
      registry: { roll: async () => ({ now: 0, processes: [] }) },
      clock: new ManualClock(),
      process: `p${leases.length}`,
      log: { info: say, warn: say, error: say, fault },
      watch: { passed: say },
    },
    { waitMs: 60_000, deadlineMs: 10, outage },
  );
  leases.push(made);
  return made;
}

it('is away when its deadline has passed: nobody waits for it any more, and a late answer is taken', async () => {
  const [one, subject] = [process(), limited([limit(100)])];
  held = Promise.withResolvers();
  expect(await one.charge(subject, 1, asker)).toEqual({ kind: 'unavailable' });
  expect(one.charge(subject, 1, asker)).toEqual({ kind: 'unavailable' });
  held.resolve();
  await one.flush();
  expect(one.charge(subject, 1, asker)).toMatchObject({ kind: 'charged' });
});

it('is away when its deadline has passed also where that leaves limits open', async () => {
  const [one, subject] = [process('open'), limited([limit(1)])];
  held = Promise.withResolvers();
  for (let i = 0; i < 3; i++) {
    const outcome = await one.charge(subject, 1, asker);
    expect(outcome).toMatchObject({ kind: 'charged' });
    if (outcome?.kind === 'charged') outcome.spend();
  }
  held.resolve();
  await one.flush();
  const { id, version, limits } = subject.token;
  expect(await ledger.read({ kind: 'token', id }, version, limits)).toMatchObject([{ spent: 3, remaining: 0 }]);
});

it('is told all that was spent when somebody asks, also while a claim is under way that does not know of it', async () => {
  const [one, subject] = [process(), limited([limit(100)])];
  const spend = async (): Promise<void> => {
    const outcome = await one.charge(subject, 1, asker);
    expect(outcome).toMatchObject({ kind: 'charged' });
    if (outcome?.kind === 'charged') outcome.spend();
  };
  await spend();
  held = Promise.withResolvers();
  one.tick();
  for (let i = 0; i < 4; i++) await spend();
  const flushed = one.flush();
  held.resolve();
  await flushed;
  const { id, version, limits } = subject.token;
  expect(await ledger.read({ kind: 'token', id }, version, limits)).toMatchObject([{ spent: 5 }]);
});
