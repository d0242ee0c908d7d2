import { expect, test } from 'vitest';
import { Untaken, untakenLimits } from '../../../src/gate/untaken.ts';

const { from, network, all } = untakenLimits;

test('small answers are not counted, and large ones only as long as they wait', () => {
  const untaken = new Untaken();
  for (let i = 0; i < 10_000; i++) expect(untaken.hold('a', from - 1)).not.toBeNull();
  const taken = untaken.hold('a', network);
  expect(taken).not.toBeNull();
  expect(untaken.hold('a', from)).toBeNull();
  taken?.();
  expect(untaken.hold('a', network)).not.toBeNull();
});

test('one network takes no room from the others, until all of it is taken', () => {
  const untaken = new Untaken();
  const held = ['a', 'b', 'c', 'd'].map(name => untaken.hold(name, all / 4));
  expect(held).not.toContain(null);
  expect(untaken.hold('e', from)).toBeNull();
  held[0]?.();
  expect(untaken.hold('e', from)).not.toBeNull();
});

test('an answer that is larger than the bound is given when nothing else waits', () => {
  const untaken = new Untaken();
  const taken = untaken.hold('a', 2 * all);
  expect(taken).not.toBeNull();
  expect(untaken.hold('b', from)).toBeNull();
  taken?.();
  expect(untaken.hold('b', from)).not.toBeNull();
});
