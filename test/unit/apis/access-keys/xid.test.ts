import { expect, test } from 'vitest';
import { Xids, xidForm, xidText } from '../../../../src/apis/access-keys/xid.ts';
import { ManualClock } from '../../../support/manual-clock.ts';

/** The first is the one that rs/xid is tested with. */
test.each([
  ['4d88e15b60f486e428412dc9', '9m4e2mr0ui3e8a215n4g'],
  ['000000000000000000000000', '00000000000000000000'],
  ['ffffffffffffffffffffffff', 'vvvvvvvvvvvvvvvvvvvg'],
])('%s is written as %s', (hex, text) => {
  expect(xidText(Buffer.from(hex, 'hex'))).toBe(text);
});

test('ids of one process differ, have the form, and sort by their seconds', () => {
  const clock = new ManualClock();
  const ids = new Xids(clock);
  const first = Array.from({ length: 1000 }, () => ids.next());
  clock.advance(1000);
  const later = ids.next();
  expect(new Set([...first, later]).size).toBe(1001);
  expect([...first, later].filter(id => !xidForm.test(id))).toEqual([]);
  expect(first.every(id => id < later)).toBe(true);
});

test('processes with the same name and number have ids of their own', () => {
  const clock = new ManualClock();
  const machine = (ids: Xids) => ids.next().slice(6, 12);
  expect(new Set(Array.from({ length: 20 }, () => machine(new Xids(clock)))).size).toBeGreaterThan(15);
});
