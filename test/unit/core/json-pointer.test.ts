import { describe, expect, test } from 'vitest';
import { readPointer, valueAt } from '../../../src/core/json-pointer.ts';

describe('JSON pointers', () => {
  test('are read as RFC 6901 says, and nothing else is one', () => {
    expect(readPointer('')).toEqual([]);
    expect(readPointer('/')).toEqual(['']);
    expect(readPointer('/a/b~1c/m~0n/~01')).toEqual(['a', 'b/c', 'm~n', '~1']);
    for (const text of ['a', 'a/b', '#/a', '/a~', '/a~2']) expect(readPointer(text)).toBeNull();
  });

  test('lead to members that are there themselves, and to items by their plain number', () => {
    const value = { a: [{ b: 1 }, null], '': 2, length: 3 };
    expect(valueAt(value, [])).toBe(value);
    expect(valueAt(value, ['a', '0', 'b'])).toBe(1);
    expect(valueAt(value, ['a', '1'])).toBeNull();
    expect(valueAt(value, [''])).toBe(2);
    for (const steps of [
      ['b'],
      ['a', '2'],
      ['a', '00'],
      ['a', '-1'],
      ['a', 'length'],
      ['a', '1', 'b'],
      ['length', 'x'],
    ]) {
      expect(valueAt(value, steps)).toBeUndefined();
    }
    for (const name of ['constructor', 'toString', '__proto__']) expect(valueAt(value, [name])).toBeUndefined();
  });
});
