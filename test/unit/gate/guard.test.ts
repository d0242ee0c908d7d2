import { describe, expect, test } from 'vitest';
import { Guard } from '../../../src/gate/guard.ts';
import { ManualClock } from '../../support/manual-clock.ts';

function make(failures = 3, perMs = 10_000) {
  const clock = new ManualClock();
  const guard = new Guard({ failures, perMs }, clock);
  const fail = (times: number, network = 'a'): number[] => Array.from({ length: times }, () => guard.failed(network));
  return { clock, guard, fail };
}

describe('the guard', () => {
  test('lets so many failures be, and tells the next ones to wait until the window ends', () => {
    const { clock, fail } = make();
    expect(fail(3)).toEqual([0, 0, 0]);
    clock.advance(2500);
    expect(fail(3)).toEqual([8, 8, 8]);
    clock.advance(7499);
    expect(fail(1)).toEqual([1]);
  });

  test('counts what may fail soon as if it had', () => {
    const { clock, guard, fail } = make();
    expect([guard.peek('a', 2), guard.peek('a', 3)]).toEqual([0, 10]);
    fail(2);
    clock.advance(2000);
    expect([guard.peek('a'), guard.peek('a', 1), guard.peek('b', 1)]).toEqual([0, 8, 0]);
    clock.advance(8000);
    expect([guard.peek('a', 2), guard.peek('a', 3)]).toEqual([0, 10]);
    const off = new Guard({ failures: 0, perMs: 1000 }, clock);
    expect(off.peek('a', 100)).toBe(0);
  });

  test('begins again when the window has ended', () => {
    const { clock, fail } = make();
    fail(10);
    clock.advance(10_000);
    expect(fail(4)).toEqual([0, 0, 0, 10]);
  });

  test('cannot be held shut by failing on: the window does not move', () => {
    const { clock, fail } = make();
    fail(4);
    for (let second = 0; second < 9; second++) {
      clock.advance(1000);
      fail(5);
    }
    clock.advance(1000);
    expect(fail(1)).toEqual([0]);
  });

  test('keeps networks apart', () => {
    const { fail } = make();
    expect(fail(4, 'a').at(-1)).toBe(10);
    expect(fail(3, 'b')).toEqual([0, 0, 0]);
    expect(fail(1, '__proto__')).toEqual([0]);
  });

  test('is not moved by the wall clock', () => {
    const { clock, fail } = make();
    fail(3);
    clock.stepWall(3_600_000);
    expect(fail(1)).toEqual([10]);
  });

  test('is off at 0', () => {
    expect(
      make(0)
        .fail(100)
        .every(wait => wait === 0),
    ).toBe(true);
  });

  test('forgets, of more networks than it can remember, those that failed least recently', () => {
    const { fail } = make();
    fail(4, 'first');
    fail(4, 'second');
    for (let i = 0; i < 65_533; i++) fail(1, `n${i}`);
    expect(fail(1, 'first')[0]).toBeGreaterThan(0);
    fail(1, 'one too many');
    fail(1, 'two too many');
    expect(fail(1, 'second')).toEqual([0]);
    expect(fail(1, 'first')[0]).toBeGreaterThan(0);
  });
});
