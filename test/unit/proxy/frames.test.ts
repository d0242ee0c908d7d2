import { describe, expect, test } from 'vitest';
import { FrameTracker } from '../../../src/proxy/frames.ts';
import { frame } from '../../support/frames.ts';

describe('where the next frame begins', () => {
  test.each<[string, number[], number[]]>([
    ['nothing', [], [0]],
    ['an empty frame', [0x89, 0x00], [0]],
    ['a whole short frame', [0x81, 0x02, 1, 2], [0]],
  ])('is at once while no frame is under way: %s', (_, bytes, offsets) => {
    const tracker = new FrameTracker();
    expect([tracker.push(Uint8Array.from(bytes))]).toEqual(offsets);
    expect(tracker.atBoundary).toBe(true);
  });

  test.each([
    ['unmasked', false],
    ['masked', true],
  ])('is behind the frame that is under way: %s', (_, masked) => {
    for (const size of [0, 1, 125, 126, 127, 65_535, 65_536]) {
      const bytes = frame(size, masked);
      for (const cut of new Set([1, 2, 3, 6, 9, 13, bytes.length - 1])) {
        if (cut <= 0 || cut >= bytes.length) continue;
        const tracker = new FrameTracker();
        expect(tracker.push(bytes.subarray(0, cut))).toBe(0);
        expect(tracker.atBoundary).toBe(false);
        const rest = Buffer.concat([bytes.subarray(cut), frame(3, masked)]);
        expect(tracker.push(rest), `${size} bytes cut at ${cut}`).toBe(bytes.length - cut);
        expect(tracker.atBoundary).toBe(true);
      }
    }
  });

  test('is nowhere in a chunk that lies within a frame', () => {
    const tracker = new FrameTracker();
    const bytes = frame(1000, true);
    tracker.push(bytes.subarray(0, 10));
    expect(tracker.push(bytes.subarray(10, 500))).toBe(-1);
    expect(tracker.push(new Uint8Array(0))).toBe(-1);
    expect(tracker.push(bytes.subarray(500))).toBe(508);
  });

  test('is found behind lengths that need all eight bytes', () => {
    const tracker = new FrameTracker();
    tracker.push(Uint8Array.from([0x82, 127, 0, 0, 0, 2, 0, 0, 0, 1]));
    for (let left = 2 ** 33 + 1; left > 0; left -= 2 ** 30) {
      const chunk = { length: Math.min(left, 2 ** 30) } as Uint8Array;
      expect(tracker.atBoundary).toBe(false);
      expect(tracker.push(chunk)).toBe(left <= 2 ** 30 ? left : -1);
    }
    expect(tracker.atBoundary).toBe(true);
  });
});
