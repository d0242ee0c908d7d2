import { expect, test } from 'vitest';
import { readInstant } from '../../../src/core/instant.ts';
import { randomFrom, seed } from '../../support/random.ts';

test(`what the runtime writes is read back, from the year 0 to 9999 (seed ${seed})`, () => {
  const random = randomFrom(seed);
  const first = Date.UTC(2000, 0, 1) - 2000 * 365.2425 * 86_400_000;
  for (let i = 0; i < 5000; i++) {
    const at = Math.floor(first + random() * (253_402_300_799_999 - first));
    expect(readInstant(new Date(at).toISOString())).toBe(at);
  }
});

test.each([
  ['2030-01-31T00:00:00Z', Date.UTC(2030, 0, 31)],
  ['2030-01-31T02:00:00+02:00', Date.UTC(2030, 0, 31)],
  ['2030-01-30T19:30:00-04:30', Date.UTC(2030, 0, 31)],
  ['2028-02-29T23:59:59.999Z', Date.UTC(2028, 1, 29, 23, 59, 59, 999)],
  ['2030-01-31T00:00:00.1Z', Date.UTC(2030, 0, 31) + 100],
  ['2030-01-31T00:00:00.123999999Z', Date.UTC(2030, 0, 31) + 123],
  ['1970-01-01T00:00:00Z', 0],
])('%s is read', (text, at) => {
  expect(readInstant(text)).toBe(at);
});

test.each([
  '2030-02-29T00:00:00Z',
  '2100-02-29T00:00:00Z',
  '2030-04-31T00:00:00Z',
  '2030-13-01T00:00:00Z',
  '2030-00-01T00:00:00Z',
  '2030-01-00T00:00:00Z',
  '2030-01-01T24:00:00Z',
  '2030-01-01T00:60:00Z',
  '2030-01-01T00:00:60Z',
  '2030-01-01T00:00:00',
  '2030-01-01',
  '2030-01-01 00:00:00Z',
  '2030-01-01T00:00Z',
  '2030-01-01T00:00:00+24:00',
  '+002030-01-01T00:00:00Z',
  '9999-12-31T23:59:59-01:00',
  '0000-01-01T00:00:00+01:00',
  '1893456000000',
  '',
])('%j is none', text => {
  expect(readInstant(text)).toBeNull();
});
