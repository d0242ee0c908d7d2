import { expect, test } from 'vitest';
import { Grants } from '../../src/core/grants.ts';
import {
  actionFault,
  grantsOf,
  mergePermissions,
  type OwnPermissions as Permissions,
} from '../../src/core/permissions.ts';
import { pick, randomFrom, seed, several } from '../support/random.ts';

/** The rule as it is written: the last entry that names the action decides; none means no. */
function slowly(permissions: Permissions, action: string): boolean {
  const entries = Array.isArray(permissions)
    ? (permissions as string[]).map(name => [name, true] as const)
    : Object.entries(permissions as Record<string, boolean>);
  const last = entries.findLast(([name]) => {
    if (name === '*') return true;
    const pattern = name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll('\\*', '[^:.]+');
    return new RegExp(`^${pattern}$`).test(action);
  });
  return last?.[1] ?? false;
}

const piece = (random: () => number): string => pick(random, ['a', 'b', 'c', '*', '*']);

function anyAction(random: () => number): string {
  let action = piece(random);
  for (const next of several(random, 0, 2, () => piece(random))) action += pick(random, [':', '.', '.']) + next;
  return action;
}

function anyPermissions(random: () => number): Permissions {
  const names = several(random, 0, 8, () => anyAction(random));
  return random() < 0.3 ? names : Object.fromEntries(names.map(name => [name, random() < 0.6]));
}

test(`compiled permissions permit what the rule permits (seed ${seed})`, () => {
  const random = randomFrom(seed);
  let granted = 0;
  for (let round = 0; round < 5000; round++) {
    const permissions = anyPermissions(random);
    const grants = new Grants(grantsOf(permissions));
    for (let i = 0; i < 10; i++) {
      const action = anyAction(random);
      const rule = slowly(permissions, action);
      if (rule) granted++;
      if (grants.permits(action) !== rule) expect.fail(`${JSON.stringify(permissions)}: ${action} should be ${rule}`);
    }
  }
  expect(granted).toBeGreaterThan(5000);
});

test(`a merge is the base with its changes said last (seed ${seed})`, () => {
  const random = randomFrom(seed + 1);
  for (let round = 0; round < 5000; round++) {
    const map = () => Object.fromEntries(several(random, 0, 6, () => [anyAction(random), random() < 0.5]));
    const base = map();
    const patch = Object.fromEntries(
      Object.entries(map()).map(([name, value]) => [name, random() < 0.3 ? null : value]),
    );
    const merged = mergePermissions(base, patch);
    const untouched = Object.entries(base).filter(([name]) => !Object.hasOwn(patch, name));
    const said = Object.entries(patch).filter(([, value]) => value !== null);
    expect(Object.entries(merged)).toEqual([...untouched, ...said]);
  }
});

test(`names of actions are judged without a throw, and good ones are permitted by themselves (seed ${seed})`, () => {
  const random = randomFrom(seed + 2);
  const bits = ['a', 'B', '*', ':', '.', '/', '-', '_', ' ', '"', '\\', 'é', '{', '1', '\n'];
  let good = 0;
  for (let i = 0; i < 20_000; i++) {
    const action = several(random, 0, 6, () => pick(random, bits)).join('');
    if (actionFault(action) !== null) continue;
    good++;
    if (!new Grants(grantsOf([action])).permits(action)) expect.fail(action);
  }
  expect(good).toBeGreaterThan(1000);
});
