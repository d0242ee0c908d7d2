import { expect, test } from 'vitest';
import { FrameTracker } from '../../src/proxy/frames.ts';
import { frame } from '../support/frames.ts';
import { below, pick, randomFrom, seed, several } from '../support/random.ts';

test(`boundaries are where frames end, however the bytes are split (seed ${seed})`, () => {
  const random = randomFrom(seed);
  for (let round = 0; round < 2000; round++) {
    const sizes = several(random, 1, 6, () =>
      pick(random, [0, 0, 1, 5, 125, 126, 127, 300, 65_535, 65_536, below(random, 2000)]),
    );
    const frames = sizes.map(size => frame(size, random() < 0.5));
    const bytes = Buffer.concat(frames);
    const ends = new Set([0]);
    frames.reduce((at, { length }) => {
      ends.add(at + length);
      return at + length;
    }, 0);
    const sorted = [...ends].toSorted((a, b) => a - b);
    const tracker = new FrameTracker();
    let at = 0;
    while (at < bytes.length) {
      const step = Math.min(bytes.length - at, random() < 0.4 ? 1 + below(random, 12) : 1 + below(random, 70_000));
      const first = tracker.push(bytes.subarray(at, at + step));
      const next = sorted.find(end => end >= at && end <= at + step);
      const expected = next === undefined ? -1 : next - at;
      if (first !== expected) expect.fail(`${sizes}: ${first}, not ${expected}, in ${step} bytes at ${at}`);
      at += step;
      if (tracker.atBoundary !== ends.has(at)) expect.fail(`${sizes}: at ${at}`);
    }
  }
});

test(`bytes that are no frames at all never throw (seed ${seed})`, () => {
  const random = randomFrom(seed + 1);
  for (let round = 0; round < 500; round++) {
    const tracker = new FrameTracker();
    for (let i = 0; i < 20; i++) {
      const chunk = Uint8Array.from(several(random, 0, 20, () => (random() < 0.3 ? 255 : below(random, 256))));
      const first = tracker.push(chunk);
      expect(first >= -1 && first <= chunk.length).toBe(true);
    }
  }
});
