import { decode, encode } from '@msgpack/msgpack';
import { describe, expect, test } from 'vitest';
import { readMsgpack, writeMsgpack } from '../../../../src/apis/api-tokens/msgpack.ts';
import { SaidFault } from '../../../../src/apis/api-tokens/said.ts';
import type { Json } from '../../../../src/core/token.ts';
import { below as belowOf, randomFrom, seed } from '../../../support/random.ts';

const bytes = (...values: number[]) => Uint8Array.from(values);

test(`what we write the library that clients have reads, and the other way round (seed ${seed})`, () => {
  const random = randomFrom(seed);
  const below = (bound: number) => belowOf(random, bound);
  const text = () => 'aé☃𝄞'.repeat(below(12)).slice(0, below(40)).toWellFormed();
  const any = (depth: number): Json => {
    switch (below(depth > 4 ? 5 : 7)) {
      case 0:
        return null;
      case 1:
        return random() < 0.5;
      case 2:
        return [0, -1, -32, -33, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, -(2 ** 31), 2 ** 53 - 1][
          below(14)
        ]!;
      case 3:
        return random() * 1e6 - 5e5;
      case 4:
        return text();
      case 5:
        return Array.from({ length: below(20) }, () => any(depth + 1));
      default:
        return Object.fromEntries(Array.from({ length: below(20) }, (_, i) => [`${text()}${i}`, any(depth + 1)]));
    }
  };
  for (let i = 0; i < 500; i++) {
    const value = any(0);
    expect(decode(writeMsgpack(value))).toEqual(value);
    expect(readMsgpack(encode(value))).toEqual(value);
  }
});

test('text and lists of every length have their heads', () => {
  for (const length of [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536]) {
    const text = 'a'.repeat(length);
    expect(decode(writeMsgpack(text))).toBe(text);
    expect(readMsgpack(encode(text))).toBe(text);
    const list = new Array(length).fill(1);
    expect(decode(writeMsgpack(list))).toEqual(list);
    if (length < 20_000) expect(readMsgpack(encode(list))).toEqual(list);
    else expect(() => readMsgpack(encode(list))).toThrow(SaidFault);
  }
});

test('whole numbers that are not exact in JavaScript keep their digits, and bytes are no text', () => {
  expect(readMsgpack(bytes(0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0))).toBe(2n ** 63n);
  expect(readMsgpack(bytes(0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0))).toBe(-(2n ** 63n));
  expect(readMsgpack(bytes(0xcf, 0, 0, 0, 0, 0, 0, 0, 7))).toBe(7);
  expect(readMsgpack(bytes(0xc4, 2, 0x61, 0x62))).toEqual(bytes(0x61, 0x62));
});

describe('refused is', () => {
  const nested = (head: number, levels: number) => Uint8Array.from([...new Array(levels).fill(head), 0xc0]);
  test.each<[string, Uint8Array]>([
    ['nothing', bytes()],
    ['a list with a million levels', nested(0x91, 1_000_000)],
    ['a list with one level too many', nested(0x91, 65)],
    ['a map within its own key', nested(0x81, 40)],
    ['a list that says it has 4 billion values', bytes(0xdd, 0xff, 0xff, 0xff, 0xff)],
    ['lists within lists that say it', Uint8Array.from(new Array(50).fill([0xdd, 0xff, 0xff, 0xff, 0xff]).flat())],
    ['a map that says it', bytes(0xdf, 0xff, 0xff, 0xff, 0xff)],
    ['text that says it', bytes(0xdb, 0xff, 0xff, 0xff, 0xff, 0x61)],
    ['bytes that say it', bytes(0xc6, 0xff, 0xff, 0xff, 0xff, 0x61)],
    [
      'more values than may be',
      new Uint8Array(200_000).fill(0x90).with(0, 0xdd).with(1, 0).with(2, 3).with(3, 0).with(4, 0),
    ],
    ['a number that is cut off', bytes(0xcb, 0, 0)],
    ['an extension', bytes(0xd4, 1, 0)],
    ['a time', bytes(0xd6, 0xff, 0, 0, 0, 0)],
    ['a long extension', bytes(0xc9, 0xff, 0xff, 0xff, 0xff, 1)],
    ['the byte that means nothing', bytes(0xc1)],
    ['two values', bytes(0x01, 0x02)],
    ['a key that stands twice', bytes(0x82, 0xa1, 0x61, 1, 0xa1, 0x61, 2)],
    ['a key that is a number', bytes(0x81, 1, 1)],
    ['a key that is bytes', bytes(0x81, 0xc4, 1, 0x61, 1)],
    ['a key named __proto__', Uint8Array.from([0x81, 0xa9, ...Buffer.from('__proto__'), 0x80])],
    ['text that is not UTF-8', bytes(0xa2, 0xc0, 0xaf)],
    ['half a pair of surrogates', bytes(0xa3, 0xed, 0xa0, 0x80)],
  ])('%s', (_, message) => {
    expect(() => readMsgpack(message)).toThrow(SaidFault);
  });
});
