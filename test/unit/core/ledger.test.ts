import { describe, expect, test } from 'vitest';
import {
  bucketLifeMs,
  type Circumstances,
  type Claim,
  closedMs,
  emptyLedger,
  exchange,
  keepMs,
  type Ledger,
  remainingOf,
  reset,
  sums,
} from '../../../src/core/ledger.ts';
import type { Limit } from '../../../src/core/limit.ts';
import { aClaim } from '../../support/claims.ts';

const limit: Limit = { name: 'l', max: 10, per: 'lifetime', algorithm: 'window', burst: 10 };
const bucket: Limit = { name: 'b', max: 10, per: '1s', algorithm: 'bucket', burst: 5 };
const endless = { label: 0, ends: null };
const from = 1_000_000;
const silent: Claim = aClaim('p');

function ask(ledger: Ledger, claim: Partial<Claim>, more: Partial<Circumstances> = {}, of: Limit = limit) {
  return exchange(ledger, of, endless, { ...silent, ...claim }, { now: from, roll: null, processes: 1, ...more });
}

const granted = (need: number, of: Limit = limit) => ask(emptyLedger(from), { need }, {}, of);

describe('a lease', () => {
  test('is of a quarter of what remains at most, and never less than a request needs', () => {
    expect(ask(emptyLedger(from), { need: 1, want: 10 }).answer).toMatchObject({ granted: 2, remaining: 8 });
    expect(ask(emptyLedger(from), { need: 1, want: 10 }, { processes: 3 }).answer.granted).toBe(1);
    expect(ask(emptyLedger(from), { need: 10 }).answer).toMatchObject({
      granted: 10,
      remaining: 0,
      verdict: 'granted',
    });
  });

  test('a need beyond what remains gets nothing, and is refused where nobody has units', () => {
    expect(ask(emptyLedger(from), { need: 11 }).answer).toMatchObject({
      granted: 0,
      remaining: 10,
      verdict: 'refused',
    });
  });

  test('a claim that comes twice grants once', () => {
    const { ledger } = granted(3);
    const { ledger: after, answer } = ask(ledger, { need: 3 });
    expect(answer).toMatchObject({ verdict: 'stale', number: 1, granted: 3 });
    expect(sums(after).leased).toBe(3);
  });

  test('a give-back that comes twice gives back once', () => {
    const claim = { number: 1, granted: 3, back: 2 };
    const once = ask(granted(3).ledger, claim);
    const twice = ask(once.ledger, claim);
    expect(once.answer).toMatchObject({ number: 2, returned: 2, remaining: 9 });
    expect(twice.answer).toMatchObject({ number: 2, returned: 2, remaining: 9 });
  });

  test('the greater report counts, and never more than is out', () => {
    let { ledger } = granted(3);
    for (const spent of [2, 1, 9]) ({ ledger } = ask(ledger, { number: 1, granted: 3, spent }));
    expect(sums(ledger)).toEqual({ spent: 3, leased: 0, burned: 0 });
  });

  test('who has forgotten it hears what was spent of it', () => {
    const { ledger } = ask(granted(3).ledger, { number: 1, granted: 3, spent: 2 });
    expect(ask(ledger, { need: 1 }).answer).toMatchObject({ verdict: 'stale', granted: 3, spent: 2 });
  });
});

describe('a process that is gone', () => {
  const roll = { at: from + 5, live: new Set(['q']) };
  const burned = ask(granted(3).ledger, { process: 'q', need: 8 }, { now: from + 10, roll });

  test('has its units burned: they are nobody else’s', () => {
    expect(burned.answer).toMatchObject({ verdict: 'refused', burned: 3, remaining: 7 });
  });

  test('has them again when it comes back', () => {
    const { ledger, answer } = ask(burned.ledger, { number: 1, granted: 3, spent: 1 }, { now: from + 20 });
    expect(answer).toMatchObject({ granted: 3, remaining: 7 });
    expect(sums(ledger)).toEqual({ spent: 1, leased: 2, burned: 0 });
  });

  test('is summed up long after it was found gone, and nobody is who is there', () => {
    const { ledger } = ask(burned.ledger, { process: 'q', number: 1, need: 1 }, { now: from + 20 });
    const later = ask(ledger, { process: 'r' }, { now: from + 20 + keepMs }).ledger;
    expect(Object.keys(later.leases).sort()).toEqual(['q', 'r']);
    expect(later.lost).toBe(3);
    expect(remainingOf(later, limit)).toBe(6);
  });

  test('of a bucket, gives its units up after their life', () => {
    const gone = ask(granted(3, bucket).ledger, { process: 'q' }, { now: from + 10, roll }, bucket).ledger;
    const later = ask(gone, { process: 'q' }, { now: from + 11 + 2 * bucketLifeMs }, bucket);
    expect(sums(later.ledger)).toMatchObject({ burned: 0, leased: 0 });
    expect(later.ledger.level).toBe(3);
  });

  test('of a bucket that nobody asks for, too, however much later', () => {
    const gone = ask(granted(3, bucket).ledger, { process: 'q' }, { now: from + 10, roll }, bucket).ledger;
    const later = ask(gone, { process: 'q' }, { now: from + 2 * keepMs }, bucket).ledger;
    expect(remainingOf(ask(later, { process: 'q' }, { now: from + 3 * keepMs }, bucket).ledger, bucket)).toBe(5);
  });
});

describe('recalls', () => {
  test('who needs more than remains waits until every holder has nothing idle', () => {
    const held = granted(8).ledger;
    const asked = ask(held, { process: 'q', need: 5 });
    expect(asked.answer).toMatchObject({ verdict: 'waiting', recall: 1 });
    const again = ask(asked.ledger, { process: 'q', number: 1, need: 5, recalled: 1 });
    expect(again.answer.verdict).toBe('waiting');
    const said = ask(again.ledger, { number: 1, granted: 8, back: 1, answered: 1 });
    expect(said.answer).toMatchObject({ news: true, remaining: 3 });
    expect(ask(said.ledger, { process: 'q', number: 2, need: 5, recalled: 1 }).answer.verdict).toBe('refused');
  });
});

describe('a store that has lost what it acknowledged', () => {
  test('learns it from who knows more, and grants nothing for a while', () => {
    const { ledger, answer } = ask(emptyLedger(from), { number: 4, granted: 6, returned: 1, spent: 2, need: 1 });
    expect(answer).toMatchObject({ verdict: 'closed', number: 5, granted: 6, excess: 0 });
    expect(sums(ledger)).toEqual({ spent: 2, leased: 3, burned: 0 });
    expect(ask(ledger, { process: 'q', need: 5 }, { now: from + closedMs }).answer.verdict).toBe('granted');
  });

  test('and has gone another way since, believes the process', () => {
    const { ledger } = granted(1);
    const { ledger: after } = ask(ledger, { number: 1, granted: 2, spent: 2 });
    expect(sums(after)).toEqual({ spent: 2, leased: 0, burned: 0 });
  });

  test('counts what was granted beyond the limit', () => {
    const { ledger } = granted(10);
    expect(ask(ledger, { process: 'q', number: 2, granted: 4 }).answer).toMatchObject({ excess: 4, remaining: 0 });
  });
});

test('a reset forgives what was spent, and carries over what is out, of whomever', () => {
  const spent = ask(granted(4).ledger, { number: 1, granted: 4, spent: 3 }).ledger;
  const gone = ask(spent, { process: 'q', need: 2 }, { now: from + 9, roll: { at: from + 5, live: new Set() } }).ledger;
  const after = reset(gone, limit, from + 10);
  expect(after.generation).toBe(1);
  expect(sums(after)).toEqual({ spent: 0, leased: 2, burned: 1 });
  expect(remainingOf(after, limit)).toBe(7);
});

test('overdrafts are booked once, also beyond the limit', () => {
  const once = ask(emptyLedger(from), { overdrawn: 12 });
  const twice = ask(once.ledger, { overdrawn: 12 });
  expect(twice.answer).toMatchObject({ used: 12, remaining: 0 });
});

test('a window that has ended takes reports and grants nothing', () => {
  const window = { label: 0, ends: from };
  const circumstances = { now: from, roll: null, processes: 1 };
  const { ledger } = exchange(
    emptyLedger(from - 10),
    limit,
    window,
    { ...silent, need: 2 },
    { ...circumstances, now: from - 1 },
  );
  const { answer } = exchange(
    ledger,
    limit,
    window,
    { ...silent, number: 1, granted: 2, spent: 1, need: 1 },
    circumstances,
  );
  expect(answer).toMatchObject({ verdict: 'closed', used: 1, granted: 2 });
});
