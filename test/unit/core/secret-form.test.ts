import { describe, expect, test } from 'vitest';
import { base62, checksumText, hasPrefix, secretForm, secretLengths } from '../../../src/core/secret-form.ts';

const tail = 'a'.repeat(38);

test.each([
  [`pst_${tail}`, 'ours'],
  [`pst_${base62.slice(0, 38)}`, 'ours'],
  [`pst_${base62.slice(-38)}`, 'ours'],
  [`pst_${tail}a`, 'malformed'],
  [`pst_${tail.slice(1)}`, 'malformed'],
  ['pst_', 'malformed'],
  [`pst_${tail.slice(1)}_`, 'malformed'],
  [`pst_${tail.slice(1)}\n`, 'malformed'],
  [`pst_${tail}\n`, 'malformed'],
  [`pst_${tail.slice(1)}é`, 'malformed'],
  [`pst_${tail.slice(1)}=`, 'malformed'],
  [`pst${tail}`, 'foreign'],
  [`PST_${tail}`, 'foreign'],
  [` pst_${tail}`, 'foreign'],
  [`pst-${tail}`, 'foreign'],
  ['pst', 'foreign'],
  ['', 'foreign'],
])('%j is %s', (secret, form) => {
  expect(secretForm(secret, 'pst')).toBe(form);
  expect(hasPrefix(secret, 'pst')).toBe(form !== 'foreign');
});

test('a prefix may have an underscore of its own, and is not mistaken for one that begins alike', () => {
  expect(secretForm(`acme_live_${tail}`, 'acme_live')).toBe('ours');
  expect(secretForm(`acme_live_${tail}`, 'acme')).toBe('malformed');
  expect(secretForm(`acme_${tail}`, 'acme_live')).toBe('foreign');
});

describe('a checksum', () => {
  test.each([
    [0, '000000'],
    [1, '000001'],
    [61, '00000z'],
    [62, '000010'],
    [62 ** 6 - 1, 'zzzzzz'],
    [2 ** 32 - 1, '4gfFC3'],
  ])('of %d is %s', (value, text) => {
    expect(checksumText(value)).toBe(text);
    expect(text).toHaveLength(secretLengths.checksum);
  });

  test('has room for 32 bits, and the alphabet has 62 characters in order', () => {
    expect(62 ** secretLengths.checksum).toBeGreaterThan(2 ** 32);
    expect(new Set(base62).size).toBe(62);
    expect([...base62].toSorted().join('')).toBe(base62);
    expect(secretLengths.random * Math.log2(62)).toBeGreaterThan(190);
  });
});
