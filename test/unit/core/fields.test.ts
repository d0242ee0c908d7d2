import { expect, test } from 'vitest';
import { canonicalName, listElements, lowerNames, single } from '../../../src/core/fields.ts';

test('each field has its own lower-cased name, duplicates included', () => {
  expect(lowerNames(['Host', 'a', 'HOST', 'b', '__proto__', 'c'])).toEqual(['host', 'host', '__proto__']);
  expect(lowerNames([])).toEqual([]);
});

test.each([
  ['x-postern-owner', 'x-postern-owner'],
  ['x_postern_owner', 'x-postern-owner'],
  ['x.postern_owner', 'x-postern-owner'],
  ['x-postern.owner', 'x-postern-owner'],
  ['host', 'host'],
])('%s is read as %s by servers that know no other separator', (name, canonical) => {
  expect(canonicalName(name)).toBe(canonical);
});

test.each([
  ['', []],
  [' , ,', []],
  ['Close', ['close']],
  ['a,B ,\tc', ['a', 'b', 'c']],
])('%j is the list %j', (value, elements) => {
  expect(listElements(value)).toEqual(elements);
});

test('a field that may stand once is told apart from one that is absent, and from one that stands twice', () => {
  const fields = ['A', '1', 'B', '2', 'b', '2'];
  const names = lowerNames(fields);
  expect(single(fields, names, 'a')).toBe('1');
  expect(single(fields, names, 'b')).toBeNull();
  expect(single(fields, names, 'c')).toBeUndefined();
});
