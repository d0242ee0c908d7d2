import { describe, expect, test } from 'vitest';
import { closeFrame, frameHead, opcodes, wholeFrame } from '../../../src/core/frames.ts';
import { frame } from '../../support/frames.ts';

describe('the head of a frame', () => {
  test.each([0, 1, 125, 126, 127, 65_535, 65_536, 70_000])('of %d bytes is known once its length has come', length => {
    for (const masked of [false, true]) {
      const bytes = [...frame(length, masked).subarray(0, 14)];
      const maskAt = length < 126 ? 2 : length < 65_536 ? 4 : 10;
      for (let cut = 0; cut < maskAt; cut++) expect(frameHead(bytes.slice(0, cut))).toBeNull();
      const head = { size: maskAt + (masked ? 4 : 0), maskAt, length, shortest: true };
      for (let cut = maskAt; cut <= bytes.length; cut++) expect(frameHead(bytes.slice(0, cut))).toEqual(head);
    }
  });

  test.each<[string, number[], boolean]>([
    ['125 in two bytes', [0x82, 126, 0, 125], false],
    ['126 in two bytes', [0x82, 126, 0, 126], true],
    ['65535 in eight bytes', [0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255], false],
    ['65536 in eight bytes', [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0], true],
  ])('says whether its length could be shorter: %s', (_, bytes, shortest) => {
    expect(frameHead(bytes)?.shortest).toBe(shortest);
  });

  test('has lengths beyond 32 bits', () => {
    expect(frameHead([0x82, 127, 0, 0, 0, 2, 0, 0, 0, 1])?.length).toBe(2 ** 33 + 1);
  });
});

test.each([0, 1, 125, 126, 65_535, 65_536, 70_000])('a frame of ours with %d bytes can be read again', length => {
  const data = Uint8Array.from({ length }, (_, i) => i);
  for (const masked of [false, true]) {
    const bytes = wholeFrame(opcodes.binary, data, masked);
    const head = frameHead([...bytes.subarray(0, 14)])!;
    expect([bytes[0], head.length, head.shortest, bytes.length]).toEqual([0x82, length, true, head.size + length]);
    expect(Buffer.from(bytes.subarray(head.size)).equals(data)).toBe(true);
    if (masked) expect([...bytes.subarray(head.maskAt, head.size)]).toEqual([0, 0, 0, 0]);
  }
});

test('a Close frame carries its code and reason, masked only from a client', () => {
  expect([...closeFrame(1001)]).toEqual([0x88, 0x02, 0x03, 0xe9]);
  expect([...closeFrame(1008, { masked: true })]).toEqual([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf0]);
  expect(Buffer.from(closeFrame(1100, { reason: 'Signed out' })).toString('latin1')).toBe('\x88\x0c\x04\x4cSigned out');
});
