import { describe, expect, test } from 'vitest';
import {
  capacityOf,
  formerLimit,
  type Limit,
  ledgerName,
  type Period,
  paceMs,
  periods,
  windowAfter,
  windowAt,
} from '../../../src/core/limit.ts';
import { below, pick, randomFrom, seed } from '../../support/random.ts';

const at = (iso: string): number => Date.parse(iso);
const window = (per: Period) => ({ per, algorithm: 'window' }) as const;

describe('windows are aligned in UTC', () => {
  test.each([
    ['1s', '2026-03-01T12:34:56.789Z', '2026-03-01T12:34:56Z', '2026-03-01T12:34:57Z'],
    ['1m', '2026-03-01T12:34:56.789Z', '2026-03-01T12:34:00Z', '2026-03-01T12:35:00Z'],
    ['1h', '2026-03-01T12:34:56.789Z', '2026-03-01T12:00:00Z', '2026-03-01T13:00:00Z'],
    ['1d', '2026-03-01T12:34:56.789Z', '2026-03-01T00:00:00Z', '2026-03-02T00:00:00Z'],
    ['1d', '2026-12-31T23:59:59.999Z', '2026-12-31T00:00:00Z', '2027-01-01T00:00:00Z'],
    ['1mo', '2026-02-28T23:59:59.999Z', '2026-02-01T00:00:00Z', '2026-03-01T00:00:00Z'],
    ['1mo', '2028-02-29T12:00:00Z', '2028-02-01T00:00:00Z', '2028-03-01T00:00:00Z'],
    ['1mo', '2100-02-28T23:59:59.999Z', '2100-02-01T00:00:00Z', '2100-03-01T00:00:00Z'],
    ['1mo', '2000-02-29T23:59:59.999Z', '2000-02-01T00:00:00Z', '2000-03-01T00:00:00Z'],
    ['1mo', '2026-12-31T23:59:59.999Z', '2026-12-01T00:00:00Z', '2027-01-01T00:00:00Z'],
    ['1mo', '2027-01-01T00:00:00Z', '2027-01-01T00:00:00Z', '2027-02-01T00:00:00Z'],
  ] as const)('%s at %s', (per, instant, label, ends) => {
    expect(windowAt(window(per), at(instant))).toEqual({ label: at(label), ends: at(ends) });
  });

  test('the instant at which one ends is in the next', () => {
    for (const per of periods) {
      const { label, ends } = windowAt(window(per), at('2028-02-29T23:59:59.999Z'));
      if (ends === null) continue;
      expect(windowAt(window(per), ends - 1).label).toBe(label);
      expect(windowAt(window(per), ends)).toEqual(windowAfter(window(per), { label, ends }));
    }
  });

  test(`they follow each other without gaps, and a label is in its window (seed ${seed})`, () => {
    const random = randomFrom(seed);
    for (let i = 0; i < 5000; i++) {
      const limit = window(pick(random, periods));
      const instant = below(random, at('2200-01-01T00:00:00Z'));
      const here = windowAt(limit, instant);
      expect(here.label).toBeLessThanOrEqual(instant);
      expect(windowAt(limit, here.label)).toEqual(here);
      if (here.ends === null) continue;
      expect(here.ends).toBeGreaterThan(instant);
      expect(windowAfter(limit, here)!.label).toBe(here.ends);
    }
  });

  test('a lifetime and a bucket have one window, which never ends', () => {
    for (const limit of [window('lifetime'), { per: '1s', algorithm: 'bucket' } as const]) {
      expect(windowAt(limit, at('2026-03-01T00:00:00Z'))).toEqual({ label: 0, ends: null });
      expect(windowAfter(limit, { label: 0, ends: null })).toBeNull();
    }
  });
});

describe('definitions', () => {
  const limit: Limit = { name: 'a:b', max: 7, per: '1mo', algorithm: 'bucket', burst: 3 };

  test('a bucket holds its burst, a window its maximum', () => {
    expect(capacityOf(limit)).toBe(3);
    expect(capacityOf({ ...limit, algorithm: 'window' })).toBe(7);
  });

  test("a bucket's month is 30 days", () => expect(paceMs('1mo')).toBe(30 * 86_400_000));

  test('what is kept of a limit that is no more grants nothing', () => {
    expect(formerLimit(ledgerName(limit))).toEqual({ ...limit, max: 0, burst: 0 });
  });

  test.each(['', 'a', 'a:1s', 'a:1s:', 'a:2s:window', ':1s:window', 'a:1s:leaky'])('%j is no ledger', name => {
    expect(formerLimit(name)).toBeNull();
  });
});
