import { describe, expect, test } from 'vitest';
import { uncovered } from '../../../src/core/cover.ts';
import { type Grant, grantsOf, type OwnPermissions } from '../../../src/core/permissions.ts';

const on = (resource: string, actions: Record<string, boolean>): Grant => ({ resources: [resource], actions });

const isCovered = (token: OwnPermissions, account: OwnPermissions, owns: readonly string[] | null = null): boolean =>
  uncovered(grantsOf(token), grantsOf(account), owns) === null;

describe('a token may have what its account has, and no more', () => {
  test.each<[OwnPermissions, OwnPermissions, boolean]>([
    [[], [], true],
    [['a'], [], false],
    [{ a: false }, [], true],
    [['a'], ['a'], true],
    [['a'], ['b', '*'], true],
    [['*'], ['a', 'b', '*.*', '*:*'], false],
    [['a.*'], ['a.b', 'a.c'], false],
    [['a.b'], ['a.*'], true],
    [['a.b'], ['a:*'], false],
    [['a.*'], ['*.*'], true],
    [['*.b'], ['a.*'], false],
    // What the account is refused, its token must not have.
    [['a'], { '*': true, a: false }, false],
    [['a'], { a: false, '*': true }, true],
    [['*'], { '*': true, a: false }, false],
    [{ '*': true, a: false }, { '*': true, a: false }, true],
    [{ a: false, '*': true }, { '*': true, a: false }, false],
    [{ 'db.*': true, 'db.drop': false }, { '*': true, '*.drop': false }, true],
    [{ 'db.*': true, 'db.drop': false }, { '*': true, '*.drop': false, 'db.*': false }, false],
    [['b.c'], { '*': true, 'a.*': false }, true],
    [['a.b'], { '*': true, '*.b': false, 'a.*': true }, true],
    [JSON.parse('{"__proto__": true}'), ['constructor'], false],
  ])('%j of %j: %s', (token, account, expected) => {
    expect(isCovered(token, account)).toBe(expected);
  });
});

describe('what takes long to tell', () => {
  const list = (count: number, name: (i: number) => string) => Array.from({ length: count }, (_, i) => name(i));
  test('is told of the longest lists of names', () => {
    const names = list(1000, i => `service:thing.a${i}`);
    expect(isCovered(names, names)).toBe(true);
    expect(isCovered(names, names.toReversed())).toBe(true);
    expect(isCovered([...names.slice(1), 'service:thing.b'], names)).toBe(false);
  });
  test('is refused once as many pieces were compared as take some tens of milliseconds', () => {
    const deep = (i: number) => `${'*.'.repeat(31)}x${i}`;
    const account = { '*': true, ...Object.fromEntries(list(999, i => deep(i + 5000)).map(name => [name, false])) };
    expect(isCovered(list(10, deep), account)).toBe(true);
    expect(isCovered(list(1000, deep), account)).toBe(false);
  });
});

describe('resources of a token are those of its account', () => {
  test.each<[Grant[], Grant[], readonly string[] | null, boolean]>([
    [[on('db/x', { a: true })], [on('db/x', { a: true })], [], true],
    [[on('db/x', { a: true })], [on('db/*', { a: true })], [], true],
    [[on('db/*', { a: true })], [on('db/x', { a: true })], [], false],
    [[on('db/x', { a: true })], [on('*', { a: true })], null, true],
    [[on('db/x', { a: true })], [on('*', { a: true })], ['db/*'], true],
    [[on('db/x', { a: true })], [on('*', { a: true })], ['table/*'], false],
    [[on('db/*', { a: true })], [on('*', { a: true })], ['db/x', 'db/y'], false],
    [[on('db/x', { a: true })], [on('*', { a: true })], ['*'], true],
    // A route without a resource is satisfied by * alone, which no list of resources is.
    [[on('*', { a: true })], [on('db/x', { a: true })], ['db/x'], false],
    [[on('*', { a: true })], [on('*', { a: true })], [], true],
    [[on('db/x', { a: true })], [on('*', { a: true }), on('db/*', { a: false })], null, false],
    [[on('table/x', { a: true })], [on('*', { a: true }), on('db/*', { a: false })], null, true],
    [[on('*', { a: true })], [on('*', { a: true }), on('db/*', { a: false })], ['table/*'], true],
    [[on('*', { a: true })], [on('*', { a: true }), on('db/*', { a: false })], ['db/x'], false],
    [[on('*', { a: true }), on('db/*', { a: false })], [on('*', { a: true }), on('db/x', { a: false })], null, true],
    [[on('db/x', { a: true })], [on('*', { a: false }), on('db/x', { a: true })], null, true],
  ])('%j of %j, where %j is owned: %s', (token, account, owns, expected) => {
    expect(isCovered(token, account, owns)).toBe(expected);
  });

  test('the first entry that is too much is named', () => {
    const token = [on('db/x', { a: true }), { resources: ['db/y', 'db/z'], actions: { b: false, c: true, d: true } }];
    const account = [on('db/*', { a: true }), on('db/y', { c: true })];
    expect(uncovered(token, account, null)).toEqual({ grant: 1, action: 'c', resource: 'db/z' });
  });
});
