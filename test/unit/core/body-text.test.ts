import { expect, test } from 'vitest';
import { readUtf8 } from '../../../src/core/body-text.ts';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

test('text is what its bytes say, with a byte order mark as a character', () => {
  expect(readUtf8(bytes())).toBe('');
  expect(readUtf8(Buffer.from('aé€😀\u0000'))).toBe('aé€😀\u0000');
  expect(readUtf8(bytes(0xef, 0xbb, 0xbf, 0x61))).toBe('\ufeffa');
});

test.each([
  ['a byte that begins nothing', bytes(0x61, 0xff)],
  ['a character that is not over', bytes(0xe2, 0x82)],
  ['one in more bytes than it takes', bytes(0xc0, 0xaf)],
  ['half a surrogate pair', bytes(0xed, 0xa0, 0x80)],
  ['one beyond Unicode', bytes(0xf4, 0x90, 0x80, 0x80)],
])('%s is no text, and leaves nothing behind', (_, wrong) => {
  expect(readUtf8(wrong)).toBeNull();
  expect(readUtf8(Buffer.from('next'))).toBe('next');
});
