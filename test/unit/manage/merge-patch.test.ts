import { describe, expect, test } from 'vitest';
import type { Json } from '../../../src/core/token.ts';
import { mergePatch } from '../../../src/manage/merge-patch.ts';

describe('merge patch', () => {
  test.each<[Json, Json, Json]>([
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ a: 'foo' }, null, null],
    [{ a: 'foo' }, 'bar', 'bar'],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])('%j and %j make %j, as RFC 7396 has it', (target, patch, result) => {
    expect(mergePatch(target, patch)).toEqual(result);
  });

  test('names that objects inherit are merged as members of their own, and change nothing that is inherited', () => {
    const patch = JSON.parse('{"__proto__":{"x":1},"constructor":{"prototype":{"x":1}},"toString":null}') as Json;
    const merged = mergePatch({}, patch) as object;
    expect(Object.keys(merged)).toEqual(['__proto__', 'constructor']);
    expect(Object.getPrototypeOf(merged)).toBe(Object.prototype);
    expect(({} as { x?: number }).x).toBeUndefined();
    expect(mergePatch({}, { toString: { a: 1 } })).toEqual({ toString: { a: 1 } });
  });

  test('what was merged is not changed', () => {
    const target: Json = { a: { b: 1 } };
    mergePatch(target, { a: { c: 2 }, d: 3 });
    expect(target).toEqual({ a: { b: 1 } });
  });
});
