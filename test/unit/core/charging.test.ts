import { describe, expect, test } from 'vitest';
import {
  abandon,
  answered,
  charge,
  isForgettable,
  isLow,
  type LocalLimit,
  lacking,
  localLimit,
  overdraw,
  partsOf,
  questionFor,
  redefine,
  sent,
  serve,
  settleCharge,
  type Times,
  tick,
  unanswered,
  wait,
} from '../../../src/core/charging.ts';
import type { Ledger } from '../../../src/core/ledger.ts';
import { type Limit, ledgerName } from '../../../src/core/limit.ts';
import { answerQuestion, type Head } from '../../../src/core/limit-book.ts';

const from = Date.UTC(2026, 0, 31, 23, 59, 30);
const limitOf = (name: string, max: number, more: Partial<Limit> = {}): Limit => ({
  name,
  max,
  per: 'lifetime',
  algorithm: 'window',
  burst: max,
  ...more,
});

/** A store that answers at once. */
class Store {
  head: Head | null = null;
  readonly ledgers = new Map<string, Ledger>();
  readonly #limits: readonly Limit[];

  constructor(...limits: Limit[]) {
    this.#limits = limits;
  }

  /** What the parts of a limit have to say is said and answered. How many questions that were. */
  talk(local: LocalLimit, process: string, now: Times): number {
    let questions = 0;
    for (const part of partsOf(local)) {
      const said = questionFor(local, part, process, now);
      if (said === null) continue;
      sent(local, part);
      questions++;
      const result = answerQuestion(
        this.head,
        (ledger, label) => this.ledgers.get(`${ledger} ${label}`) ?? null,
        { version: 1, limits: this.#limits, claims: [said] },
        { storeTime: now.wall, roll: null, processes: 2 },
      );
      this.head = result.head;
      for (const { ledger, label, state } of result.entries) this.ledgers.set(`${ledger} ${label}`, state);
      answered(local, part, said.claim, now, result.answer.answers[0]!, result.answer.now - result.answer.behind);
    }
    return questions;
  }

  ledger(limit: Limit): Ledger {
    return this.ledgers.get(`${ledgerName(limit)} 0`)!;
  }
}

const times = (ms: number): Times => ({ monotonic: ms, wall: from + ms });

test('far from the limit one request waits, the first, and there are at most two questions for a thousand', () => {
  const limit = limitOf('l', 1_000_000);
  const store = new Store(limit);
  const local = localLimit(limit, times(0));
  let [waited, early, ticks] = [0, 0, 0];
  const perMs = 2;
  for (let ms = 0; ms < 50_000; ms++) {
    const now = times(ms);
    if (ms > 0 && ms % 1000 === 0) {
      tick(local, now, 1000);
      ticks += store.talk(local, 'p', now);
    }
    for (let i = 0; i < perMs; i++) {
      let outcome = charge([local], 1, now);
      if (typeof outcome === 'string') {
        waited++;
        const { served } = wait([local], 1, now, ms + 1000);
        expect(served).toEqual([]);
        store.talk(local, 'p', now);
        outcome = serve(local, now)[0]!.outcome as typeof outcome;
      }
      if (typeof outcome === 'string') throw new Error(outcome);
      settleCharge(outcome, 1);
    }
    if (isLow(local)) early += store.talk(local, 'p', now);
  }
  expect(waited).toBe(1);
  expect(early).toBeLessThanOrEqual((2 * 50_000 * perMs) / 1000);
  expect(ticks).toBeLessThanOrEqual(50);
});

describe('a request under two limits', () => {
  const [first, second] = [limitOf('a', 5), limitOf('b', 1)];
  const now = times(0);

  test('takes of both or of none, and a refusal is remembered', () => {
    const store = new Store(first, second);
    const limits = [localLimit(first, now), localLimit(second, now)];
    const outcomes: string[] = [];
    for (let i = 0; i < 3; i++) {
      let outcome: unknown = charge(limits, 1, now);
      if (outcome === 'short') {
        const served = [...wait(limits, 1, now, 1000).served];
        for (let round = 0; round < 3 && served.length === 0; round++) {
          for (const local of limits) {
            store.talk(local, 'p', now);
            served.push(...serve(local, now));
          }
        }
        ({ outcome } = served[0]!);
      }
      outcomes.push(typeof outcome === 'string' ? outcome : 'charged');
    }
    expect(outcomes).toEqual(['charged', 'refused', 'refused']);
    expect(charge(limits, 1, now)).toBe('refused');
    expect(lacking(limits, 1, now)).toEqual([limits[1]]);
    expect(limits[0]!.current.holding.flying).toBe(1);
  });

  test('gives back what it held when it gives up', () => {
    const store = new Store(first, second);
    const limits = [localLimit(first, now), localLimit(second, now)];
    const { waiter } = wait(limits, 1, now, 1000);
    store.talk(limits[0]!, 'p', now);
    serve(limits[0]!, now);
    expect(limits[0]!.current.holding.flying).toBe(1);
    expect(limits[1]!.waiters).toEqual([waiter]);
    abandon(waiter, now);
    expect(limits[0]!.current.holding.flying).toBe(0);
    expect(limits.flatMap(({ waiters }) => waiters)).toEqual([]);
  });
});

test('a cost above the limit is refused without asking', () => {
  const limit = limitOf('l', 5);
  const local = localLimit(limit, times(0));
  expect(charge([local], 6, times(0))).toBe('refused');
  expect(questionFor(local, local.current, 'p', times(0))).toBeNull();
  redefine(local, { ...limit, max: 6, burst: 6 });
  expect(charge([local], 6, times(0))).toBe('short');
});

test('what was not answered is asked about, whether anybody waits or not, and not forgotten', () => {
  const local = localLimit(limitOf('l', 5), times(0));
  const { waiter } = wait([local], 1, times(0), 1000);
  expect(questionFor(local, local.current, 'p', times(0))).not.toBeNull();
  sent(local, local.current);
  unanswered(local.current);
  abandon(waiter, times(1));
  expect(isForgettable(local, times(100_000))).toBe(false);
  expect(questionFor(local, local.current, 'p', times(100_000))).not.toBeNull();
});

test('idle units go back after a while, and then there is nothing more to say', () => {
  const limit = limitOf('l', 100);
  const store = new Store(limit);
  const local = localLimit(limit, times(0));
  wait([local], 1, times(0), 1000);
  store.talk(local, 'p', times(0));
  const { outcome } = serve(local, times(0))[0]!;
  if (typeof outcome === 'string') throw new Error(outcome);
  settleCharge(outcome, 1);
  let questions = 0;
  for (let second = 1; second <= 12; second++) {
    tick(local, times(second * 1000), 1000);
    questions += store.talk(local, 'p', times(second * 1000));
  }
  expect(questions).toBe(2);
  expect(store.ledger(limit).leases['p']).toMatchObject({ granted: 12, returned: 11, spent: 1 });
  expect(isForgettable(local, times(12_000))).toBe(true);
});

test('units of a window are not spent after it has ended, by whichever clock', () => {
  const limit = limitOf('l', 100, { per: '1m' });
  for (const later of [
    { monotonic: 30_000, wall: from },
    { monotonic: 0, wall: from + 30_000 },
  ]) {
    const store = new Store(limit);
    const local = localLimit(limit, times(0));
    wait([local], 1, times(0), 1000);
    store.talk(local, 'p', times(0));
    serve(local, times(0));
    expect(typeof charge([local], 1, { monotonic: 29_999, wall: from + 29_999 })).toBe('object');
    expect(charge([local], 1, later)).toBe('short');
  }
});

test('the next window is leased before it begins', () => {
  const limit = limitOf('l', 100, { per: '1m' });
  const store = new Store(limit);
  const local = localLimit(limit, times(0));
  wait([local], 1, times(0), 1000);
  store.talk(local, 'p', times(0));
  serve(local, times(0));
  for (let second = 1; second < 30; second++) {
    charge([local], 1, times(second * 1000 - 1));
    tick(local, times(second * 1000), 1000);
    store.talk(local, 'p', times(second * 1000));
  }
  expect(typeof charge([local], 1, times(30_000))).toBe('object');
});

test('units that nobody has granted are booked', () => {
  const limit = limitOf('l', 5);
  const store = new Store(limit);
  const local = localLimit(limit, times(0));
  overdraw([local], 7, times(0));
  // What this process had overdrawn before is asked first.
  expect(store.talk(local, 'p', times(0))).toBe(1);
  expect(store.talk(local, 'p', times(0))).toBe(1);
  expect(store.ledger(limit).leases['p']).toMatchObject({ overdrawn: 7 });
  expect(store.talk(local, 'p', times(0))).toBe(0);
});
