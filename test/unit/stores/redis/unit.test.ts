import { expect, test } from 'vitest';
import { Keys } from '../../../../src/stores/redis/keys.ts';
import type { Link, ScriptCall } from '../../../../src/stores/redis/link.ts';
import { putAccount } from '../../../../src/stores/redis/scripts/put-account.ts';
import { Unit } from '../../../../src/stores/redis/unit.ts';

/** A store with a clock that a test sets, and that judges deadlines as the scripts do. */
function storeAt(clock: { now: number }) {
  const calls: ScriptCall[] = [];
  const link = {
    call: (call: ScriptCall): Promise<unknown> => {
      calls.push(call);
      if (call.script !== putAccount) return Promise.resolve(String(clock.now));
      return Promise.resolve([String(clock.now), ...(clock.now >= Number(call.args[1]) ? ['late'] : ['done', 1])]);
    },
  };
  const unit = new Unit(link as unknown as Link, new Keys('p:'), 'me', { lookup: 50, other: 5000 }, undefined);
  return { unit, calls };
}

test('a mutation bears the identity, and a deadline on the clock of the store', async () => {
  const { unit, calls } = storeAt({ now: 1_000_000 });
  expect(await unit.change(putAccount, ['x'])).toEqual(['done', 1]);
  const { keys, args } = calls.at(-1)!;
  expect(keys).toEqual(['p:{s}:meta']);
  expect(args[0]).toBe('me');
  expect(args[1]).toBeGreaterThan(1_000_000);
  expect(args[1]).toBeLessThanOrEqual(1_005_000);
  expect(args[2]).toBe('x');
});

test('a mutation that found the clock of the store set forward is sent again, with what was learned', async () => {
  const clock = { now: 1_000_000 };
  const { unit, calls } = storeAt(clock);
  await unit.change(putAccount, []);
  clock.now += 3_600_000;
  expect(await unit.change(putAccount, [])).toEqual(['done', 1]);
  const deadlines = calls.filter(call => call.script === putAccount).map(call => Number(call.args[1]));
  expect(deadlines).toHaveLength(3);
  expect(deadlines[1]).toBeLessThan(clock.now);
  expect(deadlines[2]).toBeGreaterThan(clock.now);
});
