import { describe, expect, test } from 'vitest';
import { Grants } from '../../../src/core/grants.ts';
import {
  actionFault,
  grantsOf,
  mergePermissions,
  type OwnPermissions as Permissions,
  permissionFaults,
  permissionLimits,
  resourceFault,
  resourceFaults,
} from '../../../src/core/permissions.ts';

test.each<[Permissions, readonly string[], readonly string[]]>([
  [[], [], ['a', '*', '']],
  [{}, [], ['a', '__proto__', 'toString']],
  [['widgets:read'], ['widgets:read'], ['widgets:write', 'widgets', 'widgets:read:x', 'Widgets:read', 'widgets.read']],
  [['*'], ['a', 'a:b', 'a.b:c', '*'], []],
  [['widgets:*'], ['widgets:read', 'widgets:*'], ['widgets', 'widgets:', 'widgets:a:b', 'widgets.read', 'x:read']],
  [['*:read'], ['a:read'], ['read', ':read', 'a:b:read', 'a.read']],
  [['db.*.get'], ['db.cell.get'], ['db.get', 'db..get', 'db.a.b.get', 'db:cell.get']],
  [['*.*'], ['a.b'], ['a', 'a.', '.b', 'a:b', 'a.b.c']],
  [{ a: true, b: false }, ['a'], ['b', 'c']],
  // What is said last decides.
  [{ '*': true, 'db.drop': false }, ['db.get', 'a'], ['db.drop']],
  [{ 'db.drop': false, '*': true }, ['db.get', 'db.drop'], []],
  [{ 'db.*': false, 'db.get': true }, ['db.get'], ['db.put', 'a']],
  [{ 'db.get': true, 'db.*': false }, [], ['db.get', 'db.put']],
  [{ '*': true, 'db.*': false, 'db.get': true }, ['db.get', 'a', 'a.b'], ['db.put']],
  [{ 'a.*': true, '*.b': false, 'a.b': true, '*.*': false }, [], ['a.b', 'a.c', 'c.b']],
  [JSON.parse('{"__proto__": true, "constructor": true}'), ['__proto__', 'constructor'], ['toString', 'valueOf']],
])('%j permits what its last matching entry grants, and nothing else', (permissions, granted, withheld) => {
  const grants = new Grants(grantsOf(permissions));
  expect(granted.filter(action => !grants.permits(action))).toEqual([]);
  expect(withheld.filter(action => grants.permits(action))).toEqual([]);
});

test('a separator between pieces is not interchangeable', () => {
  expect(new Grants(grantsOf(['db:*'])).permits('db.get')).toBe(false);
  expect(new Grants(grantsOf(['db.*'])).permits('db:get')).toBe(false);
});

describe('names of actions', () => {
  test.each(['a', 'widgets:read', 'db.cell.update', '*', 'db.*', '*:read', 'A-b_c/d', 'a'.repeat(256), '{x}', '!'])(
    '%s is one',
    action => {
      expect(actionFault(action)).toBeNull();
    },
  );

  test.each([
    ['', 'empty'],
    ['0', 'only digits'],
    ['42', 'only digits'],
    ['a'.repeat(257), '256'],
    [':', 'empty piece'],
    ['a:', 'empty piece'],
    ['.a', 'empty piece'],
    ['a..b', 'empty piece'],
    ['a.:b', 'empty piece'],
    ['a*', 'whole piece'],
    ['db.*x', 'whole piece'],
    ['**', 'whole piece'],
    [`${'a.'.repeat(32)}a`, '32 pieces'],
    ['a b', 'character'],
    ['a"b', 'character'],
    ['a\\b', 'character'],
    ['a\r\nb', 'character'],
    ['é', 'character'],
    ['a\u007f', 'character'],
  ])('%j is none', (action, why) => {
    expect(actionFault(action)).toContain(why);
  });
});

describe('names of resources', () => {
  test.each([
    'a',
    '*',
    'db/sales',
    'db/*',
    '*/*',
    'Größe/日本/a b',
    'a.b:c',
    '__proto__',
    '0',
    'x/..',
    'a'.repeat(256),
  ])('%s is one', resource => {
    expect(resourceFault(resource)).toBeNull();
  });

  test.each([
    ['', 'empty'],
    ['/', 'empty segment'],
    ['/a', 'empty segment'],
    ['a/', 'empty segment'],
    ['a//b', 'empty segment'],
    ['a*', 'whole segment'],
    ['db/**', 'whole segment'],
    ['a'.repeat(257), '256'],
    [`${'a/'.repeat(32)}a`, '32 segments'],
    ['a\nb', 'printable'],
    ['a\u0000', 'printable'],
    ['a\u202eb', 'printable'],
    ['a\u2028b', 'printable'],
    ['\ud800', 'printable'],
  ])('%j is none', (resource, why) => {
    expect(resourceFault(resource)).toContain(why);
  });
});

describe('faults of permissions are named with the way to them', () => {
  const names = (count: number) => Array.from({ length: count }, (_, i) => `a${i}`);
  const map = (count: number) => Object.fromEntries(names(count).map(name => [name, true]));
  const grant = { resources: ['db/x'], actions: { a: true } };
  const { entries, grants, resources, pairs } = permissionLimits;

  test.each<[string, Permissions | 'inherit', readonly (readonly (string | number)[])[]]>([
    ['none', 'inherit', []],
    ['none of nothing', [], []],
    ['none of a list', names(entries), []],
    ['none of a map', map(entries), []],
    ['none of grants', Array(grants).fill(grant), []],
    ['none of many pairs', [{ resources: names(pairs / entries), actions: map(entries) }], []],
    ['names in a list', ['a', '', 'b', 'a*'], [[1], [3]]],
    ['a long list', names(entries + 1), [[]]],
    ['names in a map', JSON.parse('{"b": true, "0": true, "a b": false}'), [['0'], ['a b']]],
    ['a long map', map(entries + 1), [[]]],
    [
      'names in a grant',
      [grant, { resources: ['x', '', 'a*'], actions: { a: true, '42': true } }],
      [
        [1, 'resources', 1],
        [1, 'resources', 2],
        [1, 'actions', '42'],
      ],
    ],
    [
      'a grant of nothing',
      [{ resources: [], actions: {} }],
      [
        [0, 'resources'],
        [0, 'actions'],
      ],
    ],
    ['many grants', Array(grants + 1).fill(grant), [[]]],
    ['many resources', [{ resources: names(resources + 1), actions: { a: true } }], [[0, 'resources']]],
    ['many actions', [{ resources: ['a'], actions: map(entries + 1) }], [[0, 'actions']]],
    ['many pairs', [{ resources: names(pairs / entries + 1), actions: map(entries) }], [[]]],
    ['a mixture', ['a', grant] as unknown as Permissions, [[]]],
  ])('%s', (_, permissions, paths) => {
    expect(permissionFaults(permissions).map(({ path }) => path)).toEqual(paths);
  });

  test('resources by themselves', () => {
    expect(resourceFaults(['a', '', 'b/*']).map(({ path }) => path)).toEqual([[1]]);
    expect(resourceFaults(names(resources + 1))).toHaveLength(1);
  });
});

describe('merging', () => {
  test('adds, changes and removes', () => {
    expect(mergePermissions({ a: true, b: true, c: false }, { b: false, c: null, d: true, e: null })).toEqual({
      a: true,
      b: false,
      d: true,
    });
  });

  test('a changed entry becomes the last word', () => {
    const merged = mergePermissions({ 'db.get': true, '*': false }, { 'db.get': true });
    expect(Object.keys(merged)).toEqual(['*', 'db.get']);
    expect(new Grants(grantsOf(merged)).permits('db.get')).toBe(true);
  });

  test('names that objects inherit are names like others', () => {
    const merged = mergePermissions({}, JSON.parse('{"__proto__": true, "toString": true}'));
    expect(Object.keys(merged)).toEqual(['__proto__', 'toString']);
    expect(Object.getPrototypeOf(merged)).toBe(Object.prototype);
    expect(new Grants(grantsOf(merged)).permits('__proto__')).toBe(true);
    expect(({} as Record<string, unknown>)['permits']).toBeUndefined();
  });
});
