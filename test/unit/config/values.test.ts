import { describe, expect, it } from 'vitest';
import type * as z from 'zod';
import { nearest } from '../../../src/config/nearest.ts';
import { keyFault } from '../../../src/config/strength.ts';
import { duration, instant, sizeOrUnlimited } from '../../../src/config/values.ts';

const read = (schema: z.ZodType, value: unknown): unknown => {
  const result = schema.safeParse(value);
  return result.success ? result.data : undefined;
};

describe('durations', () => {
  it.each([
    ['250ms', 250],
    ['5s', 5000],
    ['10m', 600_000],
    ['1h', 3_600_000],
    ['1d', 86_400_000],
    ['24d', 2_073_600_000],
    ['0', 0],
    [0, 0],
    ['0s', 0],
  ])('%j is %d milliseconds', (text, milliseconds) => {
    expect(read(duration(0), text)).toBe(milliseconds);
  });

  it.each([
    '',
    '5',
    '1.5s',
    '1m30s',
    '5 s',
    '-1s',
    '+1s',
    '1S',
    '1w',
    '25d',
    '999999999999999d',
    5,
    1.5,
    null,
    '1e3ms',
    '٥s',
  ])('%j is none', text => {
    expect(read(duration(0), text)).toBeUndefined();
  });

  it('are no shorter than what they are for', () => {
    expect(read(duration(1), 0)).toBeUndefined();
    expect(read(duration(300), '299ms')).toBeUndefined();
    expect(read(duration(300), '300ms')).toBe(300);
  });
});

describe('sizes', () => {
  it.each([
    ['1B', 1],
    ['64KiB', 65_536],
    ['10MiB', 10_485_760],
    ['2GiB', 2_147_483_648],
    ['512', 512],
    [512, 512],
    ['unlimited', null],
  ])('%j is %j bytes', (text, bytes) => {
    expect(read(sizeOrUnlimited(), text)).toBe(bytes);
  });

  it.each(['', '64kb', '64KB', '1.5MiB', '-1', 0, '0', '0MiB', 1.5, '64 KiB', '999999999999999GiB', null, 'none'])(
    '%j is none',
    text => {
      expect(read(sizeOrUnlimited(), text)).toBeUndefined();
    },
  );
});

describe('instants', () => {
  it('are those of RFC 3339, and exist', () => {
    expect(read(instant(), '2030-01-31T12:00:00+01:00')).toBe(Date.UTC(2030, 0, 31, 11));
    expect(read(instant(), '2028-02-29T00:00:00.25Z')).toBe(Date.UTC(2028, 1, 29) + 250);
    for (const text of [
      '2030-01-31',
      '2030-02-29T00:00:00Z',
      '2030-13-01T00:00:00Z',
      '2030-01-01T25:00:00Z',
      '2030-01-01T00:00:00',
      'soon',
    ]) {
      expect(read(instant(), text), text).toBeUndefined();
    }
  });
});

describe('keys', () => {
  it('are taken when they look random', () => {
    for (const key of [
      '9f2c7b1e4d8a6035f7e2c9b4a1d8f360',
      'k3Zq8vWn2Xr7Tj5Lp9Bm4Hs6Gd1Fc0Yt',
      '73519482650178349265017834926510',
    ]) {
      expect(keyFault(Buffer.from(key)), key).toBeNull();
    }
    expect(keyFault(Buffer.from(Array.from({ length: 32 }, (_, i) => (i * 37) % 256)))).toBeNull();
  });

  it('are refused when they are short, of one character, or a word again and again', () => {
    for (const key of [
      '',
      'changeme',
      'x'.repeat(64),
      'abcd'.repeat(16),
      'password'.repeat(8),
      'correcthorse'.repeat(4),
      '0123456789'.repeat(4),
    ]) {
      expect(keyFault(Buffer.from(key)), key).not.toBeNull();
    }
  });
});

describe('the nearest name', () => {
  it('is found for what is mistyped, and not for what is something else', () => {
    const names = ['path', 'methods', 'trusted_proxies', 'upstream', 'access'];
    expect(nearest('pth', names)).toBe('path');
    expect(nearest('method', names)).toBe('methods');
    expect(nearest('trustedProxies', names)).toBe('trusted_proxies');
    expect(nearest('upstraem', names)).toBe('upstream');
    expect(nearest('colour', names)).toBeNull();
    expect(nearest('', names)).toBeNull();
  });
});
