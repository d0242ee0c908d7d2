import { expect, test } from 'vitest';
import { readDuration } from '../../../src/core/duration.ts';

test.each([
  ['0', 0],
  ['0s', 0],
  ['250ms', 250],
  ['5s', 5000],
  ['10m', 600_000],
  ['1h', 3_600_000],
  ['30d', 2_592_000_000],
])('%s is read', (text, millis) => {
  expect(readDuration(text)).toBe(millis);
});

test.each(['', '5', '-5s', '5 s', '1.5h', '5S', '1w', 's', '5s ', '1h30m', '999999999999999d', '٣s'])(
  '%j is none',
  text => {
    expect(readDuration(text)).toBeNull();
  },
);
