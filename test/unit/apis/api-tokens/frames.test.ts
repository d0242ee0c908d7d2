import { describe, expect, test } from 'vitest';
import { type Frame, FrameFault, FrameReader, messageFrame } from '../../../../src/apis/api-tokens/frames.ts';
import { below, randomFrom, seed } from '../../../support/random.ts';
import { maskedFrame as masked } from '../../../support/websocket-client.ts';

const reader = () => new FrameReader({ bytes: 70_000, frames: 8 });

const all = (pieces: readonly Uint8Array[], by = reader()): Frame[] => pieces.flatMap(piece => [...by.read(piece)]);

const message = (data: string | Uint8Array, binary = false): Frame => ({
  kind: 'message',
  binary,
  data: Uint8Array.from(Buffer.from(data as string)),
});

test.each([0, 1, 125, 126, 65_535, 65_536, 70_000])('a message of %d bytes is read', length => {
  const data = Uint8Array.from({ length }, (_, i) => i);
  expect(all([masked(0x82, data)])).toEqual([message(data, true)]);
});

test('a message in pieces is one, with control frames between them', () => {
  const pieces = [
    masked(0x01, 'a', [9, 9, 9, 9]),
    masked(0x89, 'p'),
    masked(0x00, 'b'),
    masked(0x00, ''),
    masked(0x80, 'c'),
  ];
  expect(all(pieces)).toEqual([{ kind: 'ping', data: Uint8Array.from([0x70]) }, message('abc')]);
});

test(`it does not matter how the bytes are cut (seed ${seed})`, () => {
  const random = randomFrom(seed);
  for (let round = 0; round < 200; round++) {
    const texts = Array.from({ length: 1 + below(random, 5) }, () => 'x'.repeat(below(random, 300)));
    const stream = Buffer.concat(
      texts.flatMap(text => {
        const cut = below(random, text.length + 1);
        const mask = Array.from({ length: 4 }, () => below(random, 256));
        return [masked(0x01, text.slice(0, cut), mask), masked(0x8a, ''), masked(0x80, text.slice(cut), mask)];
      }),
    );
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < stream.length; ) {
      const size = 1 + below(random, 40);
      pieces.push(stream.subarray(at, at + size));
      at += size;
    }
    expect(all(pieces).filter(({ kind }) => kind === 'message')).toEqual(texts.map(text => message(text)));
  }
});

describe('what breaks the rules is refused with its code', () => {
  test.each<[string, number, Uint8Array]>([
    ['no mask', 1002, Buffer.of(0x81, 0x01, 0x61)],
    ['a compressed message', 1002, masked(0xc1, 'a')],
    ['a reserved bit', 1002, masked(0x91, 'a')],
    ['an unknown opcode', 1002, masked(0x83, 'a')],
    ['an unknown control opcode', 1002, masked(0x8b, 'a')],
    ['a continuation of nothing', 1002, masked(0x80, 'a')],
    ['a message within another', 1002, Buffer.concat([masked(0x01, 'a'), masked(0x81, 'b')])],
    ['a ping in pieces', 1002, masked(0x09, 'a')],
    ['a ping that is too long', 1002, masked(0x89, 'a'.repeat(126))],
    ['half a close code', 1002, masked(0x88, 'a')],
    ['a length that is written too long', 1002, Buffer.of(0x81, 0xfe, 0, 1, 0, 0, 0, 0, 0x61)],
    ['a message that is too long', 1009, masked(0x82, new Uint8Array(70_001))],
    ['one that only says so', 1009, Buffer.of(0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255)],
    ['one that is too long in pieces', 1009, Buffer.concat([masked(0x02, new Uint8Array(70_000)), masked(0x80, 'a')])],
    ['one in too many pieces', 1009, Buffer.concat([masked(0x01, ''), ...new Array(8).fill(masked(0x00, ''))])],
  ])('%s: %d', (_, code, bytes) => {
    let fault: unknown = null;
    try {
      all([bytes]);
    } catch (error) {
      fault = error;
    }
    expect(fault).toBeInstanceOf(FrameFault);
    expect((fault as FrameFault).code).toBe(code);
  });
});

test('the code of a message that is too long is told before any of it has come', () => {
  expect(() => all([Buffer.of(0x82, 0xff), Buffer.of(0, 0, 0, 1, 0, 0, 0, 0)])).toThrow(FrameFault);
});

test('frames of ours are whole, without a mask, and as short as may be', () => {
  expect(Buffer.from(messageFrame('é')).toString('hex')).toBe('8102c3a9');
  expect(Buffer.from(messageFrame(Uint8Array.of(1))).toString('hex')).toBe('820101');
  expect(
    Buffer.from(messageFrame('a'.repeat(126)))
      .toString('hex')
      .slice(0, 10),
  ).toBe('817e007e61');
  expect(
    Buffer.from(messageFrame('a'.repeat(65_536)))
      .toString('hex')
      .slice(0, 22),
  ).toBe('817f000000000001000061');
});
