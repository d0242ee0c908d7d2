import { expect, test } from 'vitest';
import { isLike } from '../../../../src/apis/api-tokens/read-options.ts';

/** Every text of up to so many of these characters. */
function texts(characters: string, longest: number): string[] {
  const all = [''];
  for (let from = 0, length = 1; length <= longest; length++) {
    const to = all.length;
    for (let i = from; i < to; i++) for (const each of characters) all.push(all[i]! + each);
    from = to;
  }
  return all;
}

/** The same by another way: a regular expression, anchored. */
const oracle = (pattern: string): RegExp =>
  new RegExp(`^${pattern.replaceAll('_', '[^]').replaceAll('%', '[^]*')}$`, 'v');

test('a pattern is as in SQL: every short one on every short text', () => {
  const some = texts('ab', 5);
  for (const pattern of texts('ab_%', 5)) {
    const expected = oracle(pattern);
    const wrong = some.filter(text => isLike(text, pattern) !== expected.test(text));
    expect(wrong, pattern).toEqual([]);
  }
});
