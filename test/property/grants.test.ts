import { expect, test } from 'vitest';
import { uncovered } from '../../src/core/cover.ts';
import { Grants, ResourceSet } from '../../src/core/grants.ts';
import {
  actionFault,
  type Grant,
  grantsOf,
  mergePermissions,
  type OwnPermissions,
  permissionFaults,
  permissionLimits,
  resourceFault,
} from '../../src/core/permissions.ts';
import { Rights } from '../../src/core/rights.ts';
import { below, pick, randomFrom, seed, several } from '../support/random.ts';

/** Pairs of grants and a request: the big number of the long tier. */
const pairs = Number(process.env['POSTERN_PAIRS'] ?? 50_000);

/**
 * The rule as it is written, slowly: actions divide at `:` and `.`, resources at `/`, `*` is one whole segment, standing
 * alone it is everything, for resources what the owner owns; the last that names both decides, none means no.
 */
function slowly(grants: readonly Grant[], action: string, resource: string | null, owns: readonly string[] | null) {
  const entries = grants.flatMap(({ resources, actions }, grant) =>
    Object.entries(actions).flatMap(([name, allow]) =>
      resources.map(on => ({ allow, grant, action: name, resource: on })),
    ),
  );
  return entries.findLast(entry => namesAction(entry.action, action) && namesResource(entry.resource, resource, owns));
}

const namesAction = (pattern: string, action: string): boolean => pattern === '*' || fits(pattern, action, ':.');

function namesResource(pattern: string, resource: string | null, owns: readonly string[] | null): boolean {
  if (resource === null) return pattern === '*';
  if (pattern === '*') return owns === null || owns.some(owned => owned === '*' || fits(owned, resource, '/'));
  return fits(pattern, resource, '/');
}

const expressions = new Map<string, RegExp>();

function fits(pattern: string, name: string, separators: string): boolean {
  const key = separators + pattern;
  let expression = expressions.get(key);
  if (expression === undefined) {
    // A star is a wildcard where it is alone between two separators or ends.
    const source = pattern.split(/([:./])/).map(piece => {
      const whole = piece.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
      return piece === '*' ? `[^${separators}]+` : whole;
    });
    expression = new RegExp(`^${source.join('')}$`, 's');
    expressions.set(key, expression);
  }
  return expression.test(name);
}

const piece = (random: () => number): string => pick(random, ['a', 'b', 'c', '*', '*']);

function anyAction(random: () => number): string {
  let action = piece(random);
  for (const next of several(random, 0, 2, () => piece(random))) action += pick(random, [':', '.', '.']) + next;
  return action;
}

const anyResource = (random: () => number): string => several(random, 1, 3, () => piece(random)).join('/');

/** Names in requests: also such as no pattern can be. */
const askedAction = (random: () => number): string =>
  random() < 0.9
    ? anyAction(random)
    : pick(random, ['', ':', 'a.', '.a', 'a..b', '__proto__', 'constructor', '*.*.*.*']);

const askedResource = (random: () => number): string | null =>
  random() < 0.15
    ? null
    : random() < 0.9
      ? anyResource(random)
      : pick(random, ['', '/', 'a/', '/a', 'a//b', '__proto__', 'a/b/c/a', '*/*/*/*']);

const anyMap = (random: () => number, most: number): Record<string, boolean> =>
  Object.fromEntries(several(random, 1, most, () => [anyAction(random), random() < 0.6]));

const anyGrants = (random: () => number, most: number): Grant[] =>
  several(random, 0, most, () => ({
    resources: several(random, 1, 3, () => anyResource(random)),
    actions: anyMap(random, 4),
  }));

function anyPermissions(random: () => number): OwnPermissions {
  const which = random();
  if (which < 0.15) return several(random, 0, 8, () => anyAction(random));
  return which < 0.3 ? anyMap(random, 8) : anyGrants(random, 6);
}

const anyOwns = (random: () => number): string[] | null =>
  random() < 0.4 ? null : several(random, 0, 3, () => anyResource(random));

const setOf = (owns: readonly string[] | null): ResourceSet | null => (owns === null ? null : new ResourceSet(owns));

test(`grants rule as the rule reads, on ${pairs} pairs of grants and requests (seed ${seed})`, () => {
  const random = randomFrom(seed);
  const seen = { yes: 0, no: 0, none: 0 };
  for (let done = 0; done < pairs; ) {
    const permissions = anyPermissions(random);
    const owns = anyOwns(random);
    const [long, owned] = [grantsOf(permissions), setOf(owns)];
    const grants = new Grants(long);
    for (let i = 0; i < 10; i++, done++) {
      const [action, resource] = [askedAction(random), askedResource(random)];
      const slow = slowly(long, action, resource, owns);
      const fast = grants.ruling(action, resource, owned);
      seen[slow === undefined ? 'none' : slow.allow ? 'yes' : 'no']++;
      if (
        fast?.allow === slow?.allow &&
        fast?.grant === slow?.grant &&
        fast?.action === slow?.action &&
        fast?.resource === slow?.resource &&
        grants.permits(action, resource, owned) === (slow?.allow ?? false)
      ) {
        continue;
      }
      const asked = JSON.stringify({ permissions, owns, action, resource });
      expect.fail(`${asked}: ${JSON.stringify(fast)} should be ${JSON.stringify(slow)}`);
    }
  }
  expect(Math.min(...Object.values(seen))).toBeGreaterThan(pairs / 20);
});

/** Grants, an owner's resources and requests, many times over. */
function always(shift: number, rounds: number, law: (random: () => number, owns: string[] | null) => void): void {
  const random = randomFrom(seed + shift);
  for (let round = 0; round < rounds; round++) law(random, anyOwns(random));
}

test(`what is said last decides, whatever was said before (seed ${seed})`, () => {
  always(1, 3000, (random, owns) => {
    const [action, resource] = [anyAction(random), anyResource(random)];
    const allow = random() < 0.5;
    const last: Grant = { resources: [anyResource(random), resource], actions: { [action]: allow } };
    const grants = new Grants([...anyGrants(random, 5), last]);
    // A request for a pattern's own text is one that the pattern names.
    const bounded = resource === '*' && owns !== null && !new ResourceSet(owns).has('*');
    if (!bounded) expect(grants.permits(action, resource, setOf(owns))).toBe(allow);
  });
});

test(`nothing is permitted that nothing names, and a refusal takes nothing but permission (seed ${seed})`, () => {
  always(2, 3000, (random, owns) => {
    const grants = anyGrants(random, 5);
    const refusing = grants.map(({ resources, actions }) => ({
      resources,
      actions: Object.fromEntries(Object.keys(actions).map(action => [action, false])),
    }));
    const [action, resource] = [askedAction(random), askedResource(random)];
    expect(new Grants([]).permits(action, resource, setOf(owns))).toBe(false);
    expect(new Grants(refusing).permits(action, resource, setOf(owns))).toBe(false);
    const more = new Grants([...grants, ...refusing.slice(0, 1)]).permits(action, resource, setOf(owns));
    if (more) expect(new Grants(grants).permits(action, resource, setOf(owns))).toBe(true);
  });
});

test(`a wildcard names what each of its literal readings names (seed ${seed})`, () => {
  always(3, 3000, random => {
    const [pattern, on] = [anyAction(random), anyResource(random)];
    const literal = (text: string) => text.replaceAll('*', () => pick(random, ['a', 'b', 'zz', '__proto__']));
    const [action, resource] = [literal(pattern), literal(on)];
    expect(new Grants([{ resources: [on], actions: { [pattern]: true } }]).permits(action, resource)).toBe(true);
    expect(new Grants([{ resources: [resource], actions: { [action]: true } }]).permits(action, resource)).toBe(true);
    if (pattern !== '*') expect(new Grants(grantsOf([pattern])).permits(`${action}.x`)).toBe(false);
    if (on !== '*') {
      const grants = new Grants([{ resources: [on], actions: { '*': true } }]);
      expect([grants.permits(action, `${resource}/x`), grants.permits(action, null)]).toEqual([false, false]);
    }
  });
});

test(`short forms are their long form on * (seed ${seed})`, () => {
  always(4, 3000, (random, owns) => {
    const list = several(random, 1, 8, () => anyAction(random));
    const map = anyMap(random, 8);
    const [action, resource] = [askedAction(random), askedResource(random)];
    for (const [short, actions] of [
      [list, Object.fromEntries(list.map(name => [name, true]))],
      [map, map],
    ] as const) {
      const long = new Grants([{ resources: ['*'], actions }]);
      const expected = long.permits(action, resource, setOf(owns));
      expect(new Grants(grantsOf(short)).permits(action, resource, setOf(owns))).toBe(expected);
    }
  });
});

test(`a token and its account permit what both permit (seed ${seed})`, () => {
  always(5, 3000, (random, owns) => {
    const [token, account] = [anyGrants(random, 5), anyGrants(random, 5)];
    const [action, resource] = [askedAction(random), askedResource(random)];
    const both = [token, account].every(grants => slowly(grants, action, resource, owns)?.allow === true);
    const rights = new Rights(new Grants(token), new Grants(account), setOf(owns));
    expect(rights.permits(action, resource)).toBe(both);
  });
});

test(`* on resources ends where its owner's end, both for yes and for no (seed ${seed})`, () => {
  always(6, 3000, (random, owns) => {
    const resource = anyResource(random);
    const owned = setOf(owns);
    const isOwned = owns === null || owns.some(pattern => namesResource(pattern, resource, null));
    const yes = new Grants([{ resources: ['*'], actions: { '*': true } }]);
    expect(yes.permits('a', resource, owned)).toBe(isOwned);
    expect(yes.permits('a', null, owned)).toBe(true);
    const but = new Grants([
      { resources: [resource], actions: { a: true } },
      { resources: ['*'], actions: { a: false } },
    ]);
    const named = resource !== '*' || isOwned;
    expect(but.permits('a', resource, owned)).toBe(named && !isOwned);
  });
});

test(`a merge is the base with its changes said last (seed ${seed})`, () => {
  always(7, 5000, random => {
    const map = () => Object.fromEntries(several(random, 0, 6, () => [anyAction(random), random() < 0.5]));
    const base = map();
    const patch = Object.fromEntries(
      Object.entries(map()).map(([name, value]) => [name, random() < 0.3 ? null : value]),
    );
    const merged = mergePermissions(base, patch);
    const untouched = Object.entries(base).filter(([name]) => !Object.hasOwn(patch, name));
    const said = Object.entries(patch).filter(([, value]) => value !== null);
    expect(Object.entries(merged)).toEqual([...untouched, ...said]);
  });
});

test(`what is covered permits nothing that the account does not (seed ${seed})`, () => {
  let [covered, escaping, permitted] = [0, 0, 0];
  always(8, 20_000, (random, owns) => {
    const account = anyGrants(random, 4);
    // Parts of the account's own grants, and others, so that both answers are common.
    const token =
      random() < 0.5 ? anyGrants(random, 2) : [...account.filter(() => random() < 0.8), ...anyGrants(random, 1)];
    if (uncovered(token, account, owns) !== null) {
      escaping++;
      return;
    }
    covered++;
    const owned = setOf(owns);
    const [mine, theirs] = [new Grants(token), new Grants(account)];
    for (let i = 0; i < 30; i++) {
      const [action, resource] = [askedAction(random), askedResource(random)];
      if (!mine.permits(action, resource, owned)) continue;
      permitted++;
      if (theirs.permits(action, resource, owned)) continue;
      expect.fail(JSON.stringify({ token, account, owns, action, resource }));
    }
  });
  expect(Math.min(covered, escaping, permitted)).toBeGreaterThan(500);
});

test(`the account's own grants are covered, and so is less (seed ${seed})`, () => {
  always(9, 5000, (random, owns) => {
    const account = anyGrants(random, 5);
    expect(uncovered(account, account, owns)).toBeNull();
    expect(uncovered([], account, owns)).toBeNull();
    const granting = anyGrants(random, 5).map(({ resources, actions }) => ({
      resources,
      actions: Object.fromEntries(Object.keys(actions).map(action => [action, true])),
    }));
    const part = granting.filter(() => random() < 0.5);
    const narrower = part.map(({ resources, actions }) => ({
      resources: resources.map(resource => (resource === '*' ? resource : resource.replace('*', 'x'))),
      actions: Object.fromEntries(Object.entries(actions).map(([action, allow]) => [action.replace('*', 'x'), allow])),
    }));
    expect(uncovered(narrower.toReversed(), granting, owns)).toBeNull();
  });
});

test(`names of actions are judged without a throw, and good ones are permitted by themselves (seed ${seed})`, () => {
  const random = randomFrom(seed + 10);
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

test(`names of resources are judged without a throw, and good ones name themselves (seed ${seed})`, () => {
  const random = randomFrom(seed + 11);
  const bits = ['a', 'B', '*', '/', '/', '.', ' ', 'é', '𝕏', '{', '\ud800', '\n', '\u202e', '\u2028', '__proto__'];
  let good = 0;
  for (let i = 0; i < 20_000; i++) {
    const resource = several(random, 0, 6, () => pick(random, bits)).join('');
    if (resourceFault(resource) !== null) continue;
    good++;
    if (!new ResourceSet([resource]).has(resource)) expect.fail(resource);
  }
  expect(good).toBeGreaterThan(1000);
});

test(`permissions without a fault keep their order through JSON (seed ${seed})`, () => {
  always(12, 5000, random => {
    const odd = () => pick(random, ['0', '42', '007', '4294967295', '', 'a b', '__proto__', 'constructor']);
    const text = () => (random() < 0.8 ? anyAction(random) : odd());
    const names = [...new Set(several(random, 1, 5, text))];
    // As it was written, not as JavaScript would order it.
    const written = `{${names.map(name => `${JSON.stringify(name)}: true`).join(', ')}}`;
    for (const permissions of [JSON.parse(written), [{ resources: ['*'], actions: JSON.parse(written) }]]) {
      const faults = permissionFaults(permissions);
      const bad = names.filter(name => actionFault(name) !== null);
      expect(faults.map(({ path }) => path.at(-1)).toSorted()).toEqual(bad.toSorted());
      if (bad.length > 0) continue;
      expect(Object.keys(Array.isArray(permissions) ? permissions[0].actions : permissions)).toEqual(names);
    }
  });
});

test(`the largest permissions that are allowed are ready, and answered, within bounds (seed ${seed})`, () => {
  const random = randomFrom(seed + 13);
  const { grants: most, pieces, pairs: product } = permissionLimits;
  // Every pattern names `a.a.a…` on `a/a/a…`, and each has a way of its own.
  const stars = (separator: string) =>
    Array.from({ length: pieces }, () => (random() < 0.5 ? '*' : 'a')).join(separator);
  const grants: Grant[] = Array.from({ length: most }, () => ({
    resources: several(random, 10, 10, () => stars('/')),
    actions: { [stars('.')]: below(random, 2) === 0 },
  }));
  expect(permissionFaults(grants)).toEqual([]);
  expect(product).toBe(most * 10);
  const compiled = new Grants(grants);
  const [action, resource] = [stars('.').replaceAll('*', 'a'), stars('/').replaceAll('*', 'a')];
  expect(compiled.permits(action, resource)).toBe(grants.at(-1)!.actions[Object.keys(grants.at(-1)!.actions)[0]!]);
  expect(compiled.permits(`${action}.a`, resource)).toBe(false);
  // Ten thousand patterns against as many: the comparison ends, and refuses what it could not settle.
  expect(uncovered(grants, grants.toReversed(), [resource])).not.toBeNull();
});
