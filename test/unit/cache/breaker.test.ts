import { expect, test } from 'vitest';
import { Breaker } from '../../../src/cache/breaker.ts';

const longAgo = Number.NEGATIVE_INFINITY;

function broken(at: number): Breaker {
  const breaker = new Breaker();
  for (let i = 0; i < 5; i++) {
    expect(breaker.allows(at, longAgo)).toBe(true);
    breaker.failed(at);
  }
  return breaker;
}

test('a few failures are no outage', () => {
  const breaker = new Breaker();
  for (let i = 0; i < 4; i++) breaker.failed(10);
  expect(breaker.allows(10, longAgo)).toBe(true);
  breaker.answered();
  for (let i = 0; i < 4; i++) breaker.failed(20);
  expect(breaker.allows(20, longAgo)).toBe(true);
});

test('a store that fails again and again is left alone, but for one try at a time', () => {
  const breaker = broken(1000);
  expect(breaker.allows(1001, longAgo)).toBe(false);
  expect(breaker.allows(1249, longAgo)).toBe(false);
  expect(breaker.allows(1250, longAgo)).toBe(true);
  // That one is the try.
  expect(breaker.allows(1250, longAgo)).toBe(false);
  breaker.failed(1300);
  expect(breaker.allows(1549, longAgo)).toBe(false);
  expect(breaker.allows(1550, longAgo)).toBe(true);
});

test('one answer ends it', () => {
  const breaker = broken(1000);
  expect(breaker.allows(1250, longAgo)).toBe(true);
  breaker.answered();
  for (let i = 0; i < 4; i++) expect(breaker.allows(1251, longAgo)).toBe(true);
});

test('so does an answer to something else that was asked later than the last failure, and no earlier one', () => {
  const breaker = broken(1000);
  expect(breaker.allows(1001, 999)).toBe(false);
  expect(breaker.allows(1001, 1000.5)).toBe(true);
});
