import { describe, expect, test } from 'vitest';
import { Health } from '../../../src/proxy/health.ts';

const rules = { rise: 2, fall: 3 };

/** How long from `at` on nothing is sent there, to the next half second. */
function awayFor(health: Health, at: number): number {
  let now = at;
  while (!health.takes(now)) now += 500;
  return now - at;
}

describe('an endpoint without checks', () => {
  test('is healthy until something speaks against it', () => {
    const health = new Health(rules);
    expect([health.healthy, health.takes(0)]).toEqual([true, true]);
  });

  test('is ejected for a second by one failed connect', () => {
    const health = new Health(rules);
    health.unreachable(100);
    expect([health.healthy, health.takes(1099), health.takes(1100)]).toEqual([false, false, true]);
  });

  test('is ejected by three requests in a row without an answer, not by three in all', () => {
    const health = new Health(rules);
    for (let i = 0; i < 10; i++) {
      health.unanswered(i);
      health.unanswered(i);
      health.answered();
    }
    expect(health.healthy).toBe(true);
    for (let i = 0; i < 3; i++) health.unanswered(20);
    expect([health.healthy, health.takes(20)]).toEqual([false, false]);
  });

  test('is away for longer each time that it fails again, up to a minute', () => {
    const health = new Health(rules);
    const times: number[] = [];
    let now = 0;
    for (let i = 0; i < 9; i++) {
      health.unreachable(now);
      times.push(awayFor(health, now));
      now += times.at(-1)!;
      health.chosen(now);
    }
    expect(times).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  });

  test('is ejected once by many requests that fail together', () => {
    const health = new Health(rules);
    for (let i = 0; i < 100; i++) health.unreachable(i);
    expect(awayFor(health, 0)).toBe(1000);
  });

  test('is forgiven after a minute without a fault, not by its next answer', () => {
    const [soon, late] = [new Health(rules), new Health(rules)];
    for (const health of [soon, late]) {
      health.unreachable(0);
      health.unreachable(1000);
      health.answered();
    }
    soon.unreachable(10_000);
    expect(awayFor(soon, 10_000)).toBe(4000);
    late.unreachable(63_000);
    expect(awayFor(late, 63_000)).toBe(1000);
  });

  test('is tried by one request a second after an ejection, until one is answered', () => {
    const health = new Health(rules);
    health.unreachable(0);
    const tried: number[] = [];
    for (let now = 0; now < 4000; now += 100) {
      if (!health.takes(now)) continue;
      health.chosen(now);
      tried.push(now);
    }
    expect(tried).toEqual([1000, 2000, 3000]);
    expect(health.healthy).toBe(false);
    health.answered();
    expect([health.healthy, health.takes(4000), health.takes(4001)]).toEqual([true, true, true]);
  });

  test('is ejected again by the first trial without an answer', () => {
    const health = new Health(rules);
    health.unreachable(0);
    health.chosen(1000);
    health.unanswered(1500);
    expect(awayFor(health, 1500)).toBe(2000);
  });
});

describe('an endpoint with checks', () => {
  const checkedBy = (results: string): Health => {
    const health = new Health(rules);
    for (const result of results) health.checked(result === '+');
    return health;
  };

  test.each([
    ['', true],
    ['-', false],
    ['+', true],
    ['+--', true],
    ['+--+--+', true],
    ['+---', false],
    ['+---+', false],
    ['+---+-+', false],
    ['+---++', true],
    ['-+', false],
    ['-++', true],
  ])('after the results "%s" is healthy: %s', (results, healthy) => {
    const health = checkedBy(results);
    expect([health.healthy, health.takes(0)]).toEqual([healthy, healthy]);
  });

  test('is ejected by requests although checks pass, and back when they have passed again', () => {
    const health = checkedBy('+++++');
    health.unreachable(0);
    expect([health.healthy, health.takes(0)]).toEqual([false, false]);
    health.checked(true);
    expect(health.healthy).toBe(false);
    health.checked(true);
    expect([health.healthy, health.takes(0)]).toEqual([true, true]);
  });

  test('is not brought back by an answer that a check speaks against', () => {
    const health = checkedBy('+---');
    health.answered();
    expect([health.healthy, health.takes(1e6)]).toEqual([false, false]);
  });
});
