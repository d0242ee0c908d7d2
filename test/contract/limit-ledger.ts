import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Answer, Circumstances, Claim } from '../../src/core/ledger.ts';
import { type Limit, ledgerName, limitLimits } from '../../src/core/limit.ts';
import type { LimitAnswer, LimitClaim, WindowAnswer } from '../../src/core/limit-book.ts';
import type { LimitedSubject, LimitNotice } from '../../src/ports/limit-ledger.ts';
import { aClaim } from '../support/claims.ts';
import type { OpenStore, TestedStore } from './harness.ts';

const secondMs = 1000;
const minuteMs = 60_000;
const hourMs = 3_600_000;

/** When it is for the ledgers of these tests: later than any real clock, and the middle of every window. */
const noon = Date.UTC(2040, 1, 14, 12, 30, 30, 500);

const aLimit = (more: Partial<Limit> = {}): Limit => {
  const limit = { name: 'calls', max: 100, per: '1h', algorithm: 'window', burst: 0, ...more } as const;
  return { ...limit, burst: more.burst ?? limit.max };
};

/** What a process knows of a lease. */
type Known = Pick<Claim, 'number' | 'granted' | 'returned'>;
const nothing: Known = { number: 0, granted: 0, returned: 0 };

const claimOf = (process: string, { number, granted, returned }: Known, more: Partial<Claim> = {}): Claim =>
  aClaim(process, { number, granted, returned, ...more });

/** What every adapter of the LimitLedger port guarantees. */
export function limitLedgerContract(name: string, open: OpenStore): void {
  const token: LimitedSubject = { kind: 'token', id: 'tok_1' };
  const account: LimitedSubject = { kind: 'account', id: 'tok_1' };
  let store: TestedStore;
  beforeEach(async () => {
    store = await open();
  });
  afterEach(() => store.dispose());

  type Around = Partial<Pick<Circumstances, 'roll' | 'processes'>>;
  type Asked = { subject?: LimitedSubject; version?: number; label?: number | null } & Around;

  /** Asks about some limits of one subject. */
  async function exchange(
    limits: readonly Limit[],
    claims: readonly LimitClaim[],
    { subject = token, version = 1, roll = null, processes = 1 }: Asked = {},
  ): Promise<LimitAnswer> {
    const [answer] = await store.limits.exchange([{ subject, version, limits, claims }], { roll, processes });
    return answer!;
  }

  /** One claim about one limit. */
  async function ask(limit: Limit, claim: Claim, asked: Asked = {}): Promise<WindowAnswer | null> {
    const { label = null } = asked;
    return (await exchange([limit], [{ ledger: ledgerName(limit), label, claim }], asked)).answers[0]!;
  }
  const step = async (limit: Limit, claim: Claim, asked: Asked = {}): Promise<Answer> =>
    (await ask(limit, claim, asked))!.answer;

  /** Says limits, and makes it noon. */
  async function begin(limits: readonly Limit[], subject = token): Promise<void> {
    await store.limits.define(subject, 1, limits);
    await store.limitTime(subject, noon);
  }

  describe(`${name}: leases`, () => {
    test('units are granted in leases, and each grant raises the number', async () => {
      const limit = aLimit();
      await begin([limit]);
      const first = await step(limit, claimOf('p1', nothing, { need: 1, want: 1 }));
      expect(first).toMatchObject({ verdict: 'granted', number: 1, granted: 1, returned: 0, remaining: 99, used: 0 });
      const second = await step(limit, claimOf('p1', first, { spent: 1, want: 50 }));
      // A fourth of what remains, of one process.
      expect(second).toMatchObject({ verdict: 'granted', number: 2, granted: 25, remaining: 75, used: 1 });
      const third = await step(limit, claimOf('p1', second, { spent: 20 }));
      expect(third).toMatchObject({ number: 2, granted: 25, spent: 20, used: 20, remaining: 75 });
    });

    test('a lease is no larger than its share, but never smaller than what a request needs', async () => {
      const limit = aLimit();
      await begin([limit]);
      expect(await step(limit, claimOf('p1', nothing, { want: 1000 }), { processes: 5 })).toMatchObject({ granted: 5 });
      expect(await step(limit, claimOf('p2', nothing, { need: 60, want: 60 }), { processes: 5 })).toMatchObject({
        granted: 60,
        remaining: 35,
      });
    });

    test('reports are cumulative, and the greater counts', async () => {
      const limit = aLimit();
      await begin([limit]);
      const lease = await step(limit, claimOf('p1', nothing, { need: 40 }));
      expect(await step(limit, claimOf('p1', lease, { spent: 30 }))).toMatchObject({ used: 30, spent: 30 });
      expect(await step(limit, claimOf('p1', lease, { spent: 10 }))).toMatchObject({ used: 30, spent: 30 });
      expect(await step(limit, claimOf('p1', lease, { spent: 1000 }))).toMatchObject({ used: 40, remaining: 60 });
    });

    test('units are given back once, however often that is said', async () => {
      const limit = aLimit();
      await begin([limit]);
      const lease = await step(limit, claimOf('p1', nothing, { need: 40 }));
      const claim = claimOf('p1', lease, { spent: 10, back: 30 });
      const back = await step(limit, claim);
      expect(back).toMatchObject({ number: 2, returned: 30, remaining: 90, used: 10 });
      expect(await step(limit, claim)).toMatchObject({ number: 2, returned: 30, remaining: 90, used: 10 });
    });

    test('a claim with an old number changes no units, and is answered with the lease as it is', async () => {
      const limit = aLimit();
      await begin([limit]);
      const first = await step(limit, claimOf('p1', nothing, { need: 10 }));
      await step(limit, claimOf('p1', first, { want: 10 }));
      const late = await step(limit, claimOf('p1', first, { need: 5, back: 10, spent: 3 }));
      expect(late).toMatchObject({ verdict: 'stale', number: 2, granted: 20, returned: 0, spent: 3, remaining: 80 });
    });

    test('spent units beyond what was granted are kept apart, and count', async () => {
      const limit = aLimit();
      await begin([limit]);
      await step(limit, claimOf('p1', nothing, { overdrawn: 120 }));
      const after = await step(limit, claimOf('p2', nothing, { need: 1 }));
      expect(after).toMatchObject({ verdict: 'refused', remaining: 0, used: 120 });
    });

    test('several limits and both subjects are answered in one call, in order', async () => {
      const [hourly, forever] = [aLimit(), aLimit({ name: 'all', per: 'lifetime', max: 7 })];
      const both = [hourly, forever];
      const claims = both.map(limit => ({
        ledger: ledgerName(limit),
        label: null,
        claim: claimOf('p1', nothing, { need: 2 }),
      }));
      const answers = await store.limits.exchange(
        [
          { subject: token, version: 1, limits: both, claims },
          { subject: account, version: 4, limits: [forever], claims: claims.slice(1) },
          { subject: { kind: 'token', id: 'a.tok_1' }, version: 1, limits: [forever], claims: claims.slice(1) },
        ],
        { roll: null, processes: 1 },
      );
      expect(answers.map(answer => answer!.version)).toEqual([1, 4, 1]);
      expect(answers.map(answer => answer!.answers.map(each => each!.answer.remaining))).toEqual([[98, 5], [5], [5]]);
      expect(answers[0]!.answers.map(each => each!.capacity)).toEqual([100, 7]);
    });

    test('two claims of one ledger in one call follow each other', async () => {
      const limit = aLimit();
      await begin([limit]);
      const claims = ['p1', 'p2'].map(process => ({
        ledger: ledgerName(limit),
        label: null,
        claim: claimOf(process, nothing, { need: 60 }),
      }));
      const { answers } = await exchange([limit], claims);
      expect(answers.map(answer => answer!.answer.verdict)).toEqual(['granted', 'waiting']);
    });

    test('more questions than fit into one write are answered', async () => {
      const limit = aLimit({ per: 'lifetime' });
      const ids = Array.from({ length: 1234 }, (_, i) => `t${i}`);
      const claim = { ledger: ledgerName(limit), label: null, claim: claimOf('p1', nothing, { need: 1 }) };
      const questions = ids.map(id => ({
        subject: { kind: 'token' as const, id },
        version: 1,
        limits: [limit],
        claims: [claim],
      }));
      const answers = await store.limits.exchange(questions, { roll: null, processes: 1 });
      expect(answers.map(answer => answer!.answers[0]!.answer.granted)).toEqual(ids.map(() => 1));
      expect(await store.limits.exchange([], { roll: null, processes: 1 })).toEqual([]);
    });

    test('what was granted is there when the store is opened again', async () => {
      const limit = aLimit({ per: 'lifetime' });
      const lease = await step(limit, claimOf('p1', nothing, { need: 30 }));
      store = await store.reopen();
      expect(await step(limit, claimOf('p1', lease, { spent: 30 }))).toMatchObject({ number: 1, used: 30 });
    });

    test('names of any text are names of limits', async () => {
      const names = ['ü "quoted" \\ 🙂', 'a:1h:window', 'two words', '{braces}', 'a\nb', '\ud800'];
      const limits = names.map(each => aLimit({ name: each, per: 'lifetime' }));
      const claims = limits.map((limit, i) => ({
        ledger: ledgerName(limit),
        label: null,
        claim: claimOf('p1', nothing, { need: i + 1 }),
      }));
      const { answers } = await exchange(limits, claims);
      expect(answers.map(answer => answer!.answer.remaining)).toEqual([99, 98, 97, 96, 95, 94]);
      const states = await store.limits.read(token, 1, limits);
      expect(states.map(({ limit, leased }) => [limit.name, leased])).toEqual(names.map((each, i) => [each, i + 1]));
    });

    test('a claim that got nothing is old when it comes again', async () => {
      const limit = aLimit({ max: 10 });
      await begin([limit]);
      const held = await step(limit, claimOf('p1', nothing, { need: 10 }));
      const claim = claimOf('p2', nothing, { need: 3 });
      expect(await step(limit, claim)).toMatchObject({ verdict: 'waiting', number: 1, granted: 0 });
      await step(limit, claimOf('p1', held, { back: 10 }));
      expect(await step(limit, claim)).toMatchObject({ verdict: 'stale', number: 1, granted: 0, remaining: 10 });
    });

    test('numbers up to the greatest are exact', async () => {
      const most = limitLimits.units;
      for (const limit of [
        aLimit({ per: 'lifetime', max: most }),
        aLimit({ name: 'b', algorithm: 'bucket', per: '1mo', max: most, burst: most }),
      ]) {
        const subject: LimitedSubject = { kind: 'token', id: limit.name };
        const lease = await step(limit, claimOf('p1', nothing, { need: most - 1 }), { subject });
        expect(lease).toMatchObject({ verdict: 'granted', granted: most - 1, remaining: 1 });
        const one = await step(limit, claimOf('p2', nothing, { need: 1 }), { subject });
        expect(one).toMatchObject({ verdict: 'granted', remaining: 0 });
        const back = await step(limit, claimOf('p1', lease, { back: most - 2 }), { subject });
        expect(back).toMatchObject({ returned: most - 2, remaining: most - 2 });
        const [state] = await store.limits.read(subject, 1, [limit]);
        expect(state).toMatchObject({ leased: 2, remaining: most - 2 });
        // A large part of it spent at once is not rounded to fourteen digits.
        const again = await step(limit, claimOf('p1', back, { need: most - 3 }), { subject });
        if (limit.algorithm === 'window') {
          const spent = await step(limit, claimOf('p1', again, { spent: most - 7 }), { subject });
          expect(spent.used).toBe(most - 7);
        }
      }
    });
  });

  describe(`${name}: what is refused`, () => {
    test('a limit of 0, or a cost above the limit, is refused at once', async () => {
      for (const [max, need] of [
        [0, 1],
        [5, 6],
      ] as const) {
        const limit = aLimit({ name: `of ${max}`, max });
        const answer = await step(limit, claimOf('p1', nothing, { need }), { version: 0 });
        expect(answer).toMatchObject({ verdict: 'refused', remaining: max });
      }
    });

    test('while another holds units it is waiting, and refused once that has answered the recall', async () => {
      const limit = aLimit({ max: 10 });
      await begin([limit]);
      const held = await step(limit, claimOf('p1', nothing, { need: 10 }));
      const waits = await step(limit, claimOf('p2', nothing, { need: 1 }));
      expect(waits).toMatchObject({ verdict: 'waiting', recall: 1, remaining: 0, news: false });
      const again = await step(limit, claimOf('p2', waits, { need: 1, recalled: waits.recall }));
      expect(again).toMatchObject({ verdict: 'waiting', recall: 1 });
      const answered = await step(limit, claimOf('p1', held, { spent: 4, answered: 1 }));
      expect(answered).toMatchObject({ answered: 1, heard: true, news: false, used: 4 });
      const refused = await step(limit, claimOf('p2', again, { need: 1, recalled: waits.recall }));
      expect(refused).toMatchObject({ verdict: 'refused', remaining: 0 });
    });

    test('units that come back go to who waits', async () => {
      const limit = aLimit({ max: 10 });
      await begin([limit]);
      const held = await step(limit, claimOf('p1', nothing, { need: 10 }));
      const waits = await step(limit, claimOf('p2', nothing, { need: 3 }));
      const { recall } = waits;
      const back = await step(limit, claimOf('p1', held, { spent: 4, back: 6, answered: recall }));
      expect(back).toMatchObject({ returned: 6, news: true, remaining: 6 });
      const got = await step(limit, claimOf('p2', waits, { need: 3, recalled: recall }));
      expect(got).toMatchObject({ verdict: 'granted', granted: 3, remaining: 3 });
    });

    test('what a process that is gone held is burned, and its own again when it comes back', async () => {
      const limit = aLimit({ max: 10 });
      await begin([limit]);
      const held = await step(limit, claimOf('p1', nothing, { need: 8 }));
      const roll = { at: noon + 1, live: new Set(['p2']) };
      await store.limitTime(token, noon + 1000);
      const refused = await step(limit, claimOf('p2', nothing, { need: 5 }), { roll });
      expect(refused).toMatchObject({ verdict: 'refused', burned: 8, used: 8, remaining: 2 });
      expect(await step(limit, claimOf('p2', nothing, {}), { roll })).toMatchObject({ burned: 0 });
      const back = await step(limit, claimOf('p1', held, { spent: 3, back: 5 }));
      expect(back).toMatchObject({ used: 3, returned: 5, remaining: 7, news: true });
    });

    test('who was heard of after the roll was called is not gone', async () => {
      const limit = aLimit({ max: 10 });
      await begin([limit]);
      await step(limit, claimOf('p1', nothing, { need: 8 }));
      const roll = { at: noon - 1, live: new Set(['p2']) };
      expect(await step(limit, claimOf('p2', nothing, { need: 5 }), { roll })).toMatchObject({ verdict: 'waiting' });
    });

    test('a claim with a greater number says that writes were lost: it is registered, and nothing is granted for 5 s', async () => {
      const limit = aLimit({ max: 10 });
      await begin([limit]);
      const lost = await step(limit, claimOf('p1', { number: 7, granted: 12, returned: 0 }, { spent: 3 }));
      expect(lost).toMatchObject({ number: 7, granted: 12, excess: 2, remaining: 0, used: 3 });
      expect(await step(limit, claimOf('p2', nothing, { need: 1 }))).toMatchObject({ verdict: 'closed' });
      await store.limitTime(token, noon + 5000);
      expect(await step(limit, claimOf('p3', nothing, { need: 1 }))).toMatchObject({ verdict: 'waiting' });
    });

    test('a claim of the same number with another lease says so, too', async () => {
      const limit = aLimit({ max: 10 });
      await begin([limit]);
      await step(limit, claimOf('p1', nothing, { need: 4 }));
      const other = await step(limit, claimOf('p1', { number: 1, granted: 6, returned: 0 }, { spent: 5 }));
      expect(other).toMatchObject({ number: 1, granted: 6, spent: 5, remaining: 4 });
      expect(await step(limit, claimOf('p2', nothing, { need: 1 }))).toMatchObject({ verdict: 'closed' });
    });
  });

  describe(`${name}: windows`, () => {
    test.each([
      ['1s', Date.UTC(2040, 1, 14, 12, 30, 30), secondMs],
      ['1m', Date.UTC(2040, 1, 14, 12, 30), minuteMs],
      ['1h', Date.UTC(2040, 1, 14, 12), hourMs],
      ['1d', Date.UTC(2040, 1, 14), 24 * hourMs],
      ['1mo', Date.UTC(2040, 1, 1), 29 * 24 * hourMs],
    ] as const)('a window of %s is aligned in UTC', async (per, label, length) => {
      const limit = aLimit({ per });
      await begin([limit]);
      const { window } = (await ask(limit, claimOf('p1', nothing)))!;
      expect(window).toEqual({ label, ends: label + length });
    });

    test('months are those of the calendar', async () => {
      const limit = aLimit({ per: '1mo' });
      await begin([limit]);
      const months = Array.from({ length: 26 }, (_, i) => 2040 * 12 + 1 + i);
      for (const month of [...months, 2099 * 12 + 11, 2100 * 12 + 1, 2400 * 12 + 1]) {
        const [start, end] = [Date.UTC(month / 12, month % 12), Date.UTC((month + 1) / 12, (month + 1) % 12)];
        for (const at of [start, end - 1]) {
          await store.limitTime(token, at);
          expect((await ask(limit, claimOf('p1', nothing)))!.window).toEqual({ label: start, ends: end });
        }
      }
    }, 60_000);

    test('lifetime and buckets have one window without an end', async () => {
      for (const limit of [aLimit({ per: 'lifetime' }), aLimit({ algorithm: 'bucket' })]) {
        const { window } = (await ask(limit, claimOf('p1', nothing), { version: 0 }))!;
        expect(window).toEqual({ label: 0, ends: null });
      }
    });

    test('the next window can be leased ahead of its time, and no other', async () => {
      const limit = aLimit();
      await begin([limit]);
      const next = Date.UTC(2040, 1, 14, 13);
      const ahead = await ask(limit, claimOf('p1', nothing, { want: 10 }), { label: next });
      expect(ahead).toMatchObject({ window: { label: next, ends: next + hourMs }, answer: { granted: 10 } });
      expect(await ask(limit, claimOf('p1', nothing, { want: 10 }), { label: next + hourMs })).toBeNull();
      expect(await ask(limit, claimOf('p1', nothing, { want: 10 }), { label: next - 2 * hourMs })).toBeNull();
      await store.limitTime(token, next);
      const now = await ask(limit, claimOf('p2', nothing, { need: 1 }));
      expect(now).toMatchObject({ window: { label: next }, answer: { remaining: 89 } });
    });

    test('a window that has ended takes reports and gives nothing', async () => {
      const limit = aLimit();
      await begin([limit]);
      const { window, answer: lease } = (await ask(limit, claimOf('p1', nothing, { need: 10 })))!;
      await store.limitTime(token, window.ends!);
      const claim = claimOf('p1', lease, { spent: 4, back: 6, need: 1 });
      const late = await ask(limit, claim, { label: window.label });
      expect(late).toMatchObject({ window, answer: { verdict: 'closed', returned: 6, used: 4 } });
      const fresh = await step(limit, claimOf('p1', nothing, { need: 1 }));
      expect(fresh).toMatchObject({ verdict: 'granted', used: 0, remaining: 99 });
    });

    test('a clock that goes back holds the label, and one that goes forward opens what it enters', async () => {
      const limit = aLimit();
      await begin([limit]);
      const first = (await ask(limit, claimOf('p1', nothing, { need: 100 })))!;
      await store.limitTime(token, noon + hourMs);
      const later = (await ask(limit, claimOf('p1', nothing, { need: 1 })))!;
      expect(later.window.label).toBe(first.window.label + hourMs);
      store.clock.stepWall(-hourMs);
      const { now, behind, answers } = await exchange(
        [limit],
        [{ ledger: ledgerName(limit), label: null, claim: claimOf('p2', nothing, { need: 1 }) }],
      );
      expect(now).toBe(noon + hourMs);
      expect(behind).toBeGreaterThanOrEqual(hourMs);
      expect(answers[0]).toMatchObject({ window: later.window, answer: { remaining: 98 } });
    });

    test('a store whose clock has not gone back is not behind', async () => {
      const limit = aLimit();
      const claims = [{ ledger: ledgerName(limit), label: null, claim: claimOf('p1', nothing) }];
      await exchange([limit], claims, { subject: account });
      expect(await exchange([limit], claims, { subject: account })).toMatchObject({ behind: 0 });
    });
  });

  describe(`${name}: buckets`, () => {
    const bucket = aLimit({ algorithm: 'bucket', per: '1m', max: 60, burst: 10 });

    test('what is spent drains at the limit’s pace, what is leased does not', async () => {
      await begin([bucket]);
      const lease = await step(bucket, claimOf('p1', nothing, { need: 8 }));
      expect(lease).toMatchObject({ granted: 8, remaining: 2 });
      await store.limitTime(token, noon + 1500);
      const spent = await step(bucket, claimOf('p1', lease, { spent: 5 }));
      expect(spent).toMatchObject({ used: 5, remaining: 2 });
      await store.limitTime(token, noon + 4000);
      // Two and a half units have drained.
      expect(await step(bucket, claimOf('p2', nothing))).toMatchObject({ used: 3, remaining: 4 });
      await store.limitTime(token, noon + 60_000);
      expect(await step(bucket, claimOf('p2', nothing))).toMatchObject({ used: 0, remaining: 7 });
    });

    test('units of a process that is gone come back drained, when nobody can spend them any more', async () => {
      await begin([bucket]);
      await step(bucket, claimOf('p1', nothing, { need: 10 }));
      const roll = { at: noon + 100, live: new Set<string>() };
      await store.limitTime(token, noon + 1000);
      expect(await step(bucket, claimOf('p2', nothing, { need: 1 }), { roll })).toMatchObject({
        verdict: 'refused',
        burned: 10,
      });
      await store.limitTime(token, noon + 6000);
      expect(await step(bucket, claimOf('p2', nothing))).toMatchObject({ used: 10, remaining: 0 });
      await store.limitTime(token, noon + 9000);
      expect(await step(bucket, claimOf('p3', nothing, { need: 3 }))).toMatchObject({
        verdict: 'granted',
        remaining: 0,
      });
    });
  });

  describe(`${name}: definitions`, () => {
    test('raising a limit frees units at once, lowering clamps what remains, and neither resets what was used', async () => {
      const limit = aLimit();
      await begin([limit]);
      const lease = await step(limit, claimOf('p1', nothing, { need: 40 }));
      await step(limit, claimOf('p1', lease, { spent: 40 }));
      await store.limits.define(token, 2, [{ ...limit, max: 30, burst: 30 }]);
      expect(await step(limit, claimOf('p2', nothing, { need: 1 }))).toMatchObject({
        verdict: 'refused',
        remaining: 0,
        used: 40,
      });
      await store.limits.define(token, 3, [{ ...limit, max: 50, burst: 50 }]);
      const answer = await ask(limit, claimOf('p3', nothing, { need: 1 }));
      expect(answer).toMatchObject({ capacity: 50, answer: { verdict: 'granted', remaining: 9, used: 40 } });
    });

    test('an older version changes nothing', async () => {
      const limit = aLimit();
      await store.limits.define(token, 5, [{ ...limit, max: 3 }]);
      await store.limits.define(token, 4, [limit]);
      const claims = [{ ledger: ledgerName(limit), label: null, claim: claimOf('p1', nothing, { need: 4 }) }];
      const { version, answers } = await exchange([limit], claims, { version: 4 });
      expect(version).toBe(5);
      expect(answers[0]).toMatchObject({ capacity: 3, answer: { verdict: 'refused' } });
    });

    test('a newer version that a question brings holds from then on', async () => {
      const limit = aLimit();
      await store.limits.define(token, 1, [limit]);
      expect(await ask({ ...limit, max: 3 }, claimOf('p1', nothing), { version: 2 })).toMatchObject({ capacity: 3 });
      expect(await ask(limit, claimOf('p1', nothing), { version: 1 })).toMatchObject({ capacity: 3 });
    });

    test('of what has no versions the last that was said holds', async () => {
      const limit = aLimit();
      expect(await ask({ ...limit, max: 3 }, claimOf('p1', nothing), { version: 0 })).toMatchObject({ capacity: 3 });
      expect(await ask(limit, claimOf('p1', nothing), { version: 0 })).toMatchObject({ capacity: 100 });
      expect(await ask({ ...limit, max: 4 }, claimOf('p1', nothing), { version: 0 })).toMatchObject({ capacity: 4 });
    });

    test('of a limit that was removed nothing is granted, and reports are taken', async () => {
      const limit = aLimit({ per: 'lifetime' });
      const lease = await step(limit, claimOf('p1', nothing, { need: 10 }));
      await store.limits.define(token, 2, []);
      expect(await ask(limit, claimOf('p1', lease, { spent: 4, back: 6 }))).toMatchObject({
        capacity: null,
        answer: { used: 4, returned: 6, remaining: 0 },
      });
      expect(await ask(limit, claimOf('p2', nothing, { need: 1 }))).toMatchObject({
        capacity: null,
        answer: { verdict: 'refused' },
      });
      expect(await ask(aLimit({ name: 'never' }), claimOf('p1', nothing))).toBeNull();
      await store.limits.define(token, 3, [limit]);
      expect(await step(limit, claimOf('p3', nothing, { need: 1 }))).toMatchObject({ used: 4, remaining: 95 });
    });

    test('a limit with another period or algorithm is another limit', async () => {
      const limit = aLimit({ per: 'lifetime' });
      await step(limit, claimOf('p1', nothing, { need: 90 }));
      const other = { ...limit, per: '1d' as const };
      expect(await step(other, claimOf('p1', nothing, { need: 90 }), { version: 2 })).toMatchObject({
        verdict: 'granted',
      });
    });
  });

  describe(`${name}: reading and resetting`, () => {
    test('what is read adds up to the limit, and reading changes nothing', async () => {
      const limits = [aLimit(), aLimit({ name: 'all', per: 'lifetime' }), aLimit({ name: 'b', algorithm: 'bucket' })];
      await begin(limits);
      const lease = await step(limits[0]!, claimOf('p1', nothing, { need: 40 }));
      await step(limits[0]!, claimOf('p1', lease, { spent: 15 }));
      for (let i = 0; i < 2; i++) {
        expect(await store.limits.read(token, 1, limits)).toEqual([
          { limit: limits[0], spent: 15, burned: 0, leased: 25, remaining: 60, ends: Date.UTC(2040, 1, 14, 13) },
          { limit: limits[1], spent: 0, burned: 0, leased: 0, remaining: 100, ends: null },
          { limit: limits[2], spent: 0, burned: 0, leased: 0, remaining: 100, ends: null },
        ]);
      }
    });

    test('limits that nobody used are read as they are said', async () => {
      const limit = aLimit({ per: 'lifetime' });
      const state = { spent: 0, burned: 0, leased: 0, remaining: 100, ends: null };
      expect(await store.limits.read(token, 1, [limit])).toEqual([{ limit, ...state }]);
      expect(await store.limits.read(token, 1, [])).toEqual([]);
    });

    test('a reset begins anew, and carries what processes hold', async () => {
      const limit = aLimit();
      await begin([limit]);
      const lease = await step(limit, claimOf('p1', nothing, { need: 40 }));
      const spent = await step(limit, claimOf('p1', lease, { spent: 30 }));
      const state = await store.limits.reset(token, ledgerName(limit));
      expect(state).toMatchObject({ limit, spent: 0, burned: 0, leased: 10, remaining: 90 });
      const after = await step(limit, claimOf('p1', spent, { spent: 40 }));
      expect(after).toMatchObject({ generation: 1, used: 10, remaining: 90 });
      expect(await store.limits.read(token, 1, [limit])).toMatchObject([{ spent: 10, leased: 0, remaining: 90 }]);
    });

    test('a bucket that is reset is empty', async () => {
      const limit = aLimit({ algorithm: 'bucket', per: '1d' });
      await begin([limit]);
      const lease = await step(limit, claimOf('p1', nothing, { need: 100 }));
      await step(limit, claimOf('p1', lease, { spent: 100 }));
      expect(await store.limits.reset(token, ledgerName(limit))).toMatchObject({ spent: 0, remaining: 100 });
    });

    test('a limit that there is not cannot be reset', async () => {
      expect(await store.limits.reset(token, 'calls:1h:window')).toBeNull();
      await store.limits.define(token, 1, [aLimit()]);
      expect(await store.limits.reset(token, 'other:1h:window')).toBeNull();
      expect(await store.limits.reset(account, ledgerName(aLimit()))).toBeNull();
      expect(await store.limits.reset(token, ledgerName(aLimit()))).toMatchObject({ remaining: 100 });
    });
  });

  describe(`${name}: notices`, () => {
    /** What is heard, once listening has begun. */
    async function listening(): Promise<{ heard: LimitNotice[]; until(count: number): Promise<void>; stop(): void }> {
      const heard: LimitNotice[] = [];
      const stop = new AbortController();
      store.limits.listen(notice => {
        if (notice.kind !== 'lost') heard.push(notice);
      }, stop.signal);
      const probe = aLimit({ name: 'probe', per: 'lifetime' });
      const subject = { kind: 'account', id: 'probe' } as const;
      await store.limits.define(subject, 1, [probe]);
      // Whoever listens is connected when it hears of something.
      await expect
        .poll(
          async () => {
            await store.limits.reset(subject, ledgerName(probe));
            return heard.length;
          },
          { timeout: 10_000 },
        )
        .toBeGreaterThan(0);
      const isOurs = (notice: LimitNotice): boolean => 'subject' in notice && notice.subject.id !== 'probe';
      return {
        get heard() {
          return heard.filter(isOurs);
        },
        until: count => expect.poll(() => heard.filter(isOurs).length, { timeout: 10_000 }).toBe(count),
        stop: () => stop.abort(),
      };
    }

    test('who waits has the others hear of a recall, and what comes back is news for who waits', async () => {
      const limit = aLimit({ name: 'ü calls', max: 10 });
      await begin([limit], account);
      const about = { subject: account, ledger: ledgerName(limit), label: Date.UTC(2040, 1, 14, 12), recall: 1 };
      const ears = await listening();
      const held = await step(limit, claimOf('p1', nothing, { need: 10 }), { subject: account });
      const waits = await step(limit, claimOf('p2', nothing, { need: 1 }), { subject: account });
      await ears.until(1);
      expect(ears.heard).toEqual([{ kind: 'recall', ...about }]);
      await step(limit, claimOf('p2', waits, { need: 1, recalled: 1 }), { subject: account });
      await step(limit, claimOf('p1', held, { answered: 1 }), { subject: account });
      await step(limit, claimOf('p1', held, { back: 1 }), { subject: account });
      await ears.until(3);
      expect(ears.heard.slice(1)).toEqual([
        { kind: 'heard', ...about },
        { kind: 'news', ...about },
      ]);
      ears.stop();
      await step(limit, claimOf('p3', nothing, { need: 5 }), { subject: account });
      expect(ears.heard).toHaveLength(3);
    });

    test('raising and resetting are news, lowering is a recall', async () => {
      const limit = aLimit({ max: 10 });
      await begin([limit]);
      await step(limit, claimOf('p1', nothing, { need: 10 }));
      const ears = await listening();
      await store.limits.define(token, 2, [{ ...limit, max: 20, burst: 20 }]);
      await store.limits.define(token, 3, [{ ...limit, max: 5, burst: 5 }]);
      await store.limits.reset(token, ledgerName(limit));
      await ears.until(3);
      expect(ears.heard.map(notice => [notice.kind, 'recall' in notice && notice.recall])).toEqual([
        ['news', 0],
        ['recall', 1],
        ['news', 1],
      ]);
      expect(await step(limit, claimOf('p2', nothing), { version: 3 })).toMatchObject({ recall: 1 });
      ears.stop();
    });

    test('lowering recalls what processes have of the next window, too', async () => {
      const limit = aLimit({ max: 10 });
      await begin([limit]);
      const label = Date.UTC(2040, 1, 14, 13);
      await step(limit, claimOf('p1', nothing, { want: 2 }), { label });
      const ears = await listening();
      await store.limits.define(token, 2, [{ ...limit, max: 0, burst: 0 }]);
      await ears.until(1);
      expect(ears.heard).toEqual([{ kind: 'recall', subject: token, ledger: ledgerName(limit), label, recall: 1 }]);
      expect(await step(limit, claimOf('p2', nothing), { version: 2, label })).toMatchObject({ recall: 1 });
      ears.stop();
    });
  });
}
