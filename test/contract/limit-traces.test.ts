import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer, Claim } from '../../src/core/ledger.ts';
import { type Limit, ledgerName, windowAfter, windowAt } from '../../src/core/limit.ts';
import type { LimitAnswer, LimitClaim } from '../../src/core/limit-book.ts';
import { Link } from '../../src/stores/redis/link.ts';
import { openRedisStore } from '../../src/stores/redis/open.ts';
import { monotonic } from '../../src/stores/redis/store-clock.ts';
import { type Step as TraceStep, traces } from '../model/traces.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { below, pick, randomFrom, seed } from '../support/random.ts';
import { RedisServer } from '../support/redis.ts';
import { patience } from '../support/tiers.ts';
import type { TestedStore } from './harness.ts';
import { coreKeeper, type Keeper, type Step, scriptsKeeper, tablesKeeper } from './limit-traces.ts';

/** The SQL and the Lua say what `core` says: the same steps leave the same state, to the last digit. */

let server: RedisServer;
let stores = 0;
const opened: { close(): Promise<void> }[] = [];
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(async () => {
  for (const each of opened) await each.close();
  await RedisServer.stopAll();
});

async function scripts(): Promise<Keeper> {
  const prefix = `t${stores++}:`;
  const { endpoint } = server;
  const options = { endpoint, prefix, clock: new ManualClock(), deadlineMs: 10_000, mutationDeadlineMs: 20_000 };
  const store = await openRedisStore(options);
  const link = new Link(
    { place: endpoint, home: `${prefix}{s}:meta`, confirm: 'none', silenceMs: 20_000 },
    { lost: () => {}, restored: () => {} },
  );
  await link.open(monotonic() + 20_000);
  opened.push(store, link);
  return scriptsKeeper(store as unknown as TestedStore, link, prefix);
}

const keepers: readonly (readonly [name: string, make: () => Promise<Keeper>, forgets: boolean])[] = [
  ['the tables of the embedded store', async () => tablesKeeper(), true],
  // What ends there ends by the server’s clock, which these steps are far ahead of.
  ['the scripts of the Redis store', scripts, false],
];

/** Takes steps with both, and holds what they answer and keep against each other. */
async function agree(keeper: Keeper, forgets: boolean, steps: Iterable<Step>): Promise<void> {
  const core = coreKeeper(forgets);
  const iterator = steps[Symbol.iterator]() as Iterator<Step, void, unknown>;
  let told: unknown;
  for (let i = 0; ; i++) {
    const next = iterator.next(told as never);
    if (next.done === true) return;
    told = await core.take(next.value);
    expect(await keeper.take(next.value), `answer of step ${i}`).toEqual(told);
    expect(await keeper.kept(), `state after step ${i}`).toEqual(await core.kept());
  }
}

const start = Date.UTC(2040, 1, 28, 23, 59, 50);

const kinds: readonly Omit<Limit, 'name'>[] = [
  { max: 20, per: '1s', algorithm: 'window', burst: 20 },
  { max: 37, per: '1m', algorithm: 'window', burst: 37 },
  { max: 50, per: '1mo', algorithm: 'window', burst: 50 },
  { max: 90, per: 'lifetime', algorithm: 'window', burst: 90 },
  { max: 7, per: '1m', algorithm: 'bucket', burst: 30 },
  { max: 11, per: '1mo', algorithm: 'bucket', burst: 20 },
  { max: 5, per: 'lifetime', algorithm: 'bucket', burst: 25 },
];

/** Steps of a few processes that forget, repeat, invent and come late. */
function* randomSteps(random: () => number, count: number): Generator<Step, void, unknown> {
  const upTo = (n: number): number => below(random, n);
  const processes = ['p-one', 'p.two', 'p_3'];
  let at = start;
  let version = 1;
  let limits: readonly Limit[] = kinds.map((kind, i) => ({ ...kind, name: `limit ${i}` }));
  /** What each process was told of a window, newest last. */
  const heard = new Map<string, Answer[]>();
  yield { kind: 'define', at, version, limits };
  for (let i = 0; i < count; i++) {
    const leap = random();
    at += leap < 0.02 ? 3_700_000 : leap < 0.04 ? -5000 : leap < 0.5 ? upTo(900) : 0;
    const fate = random();
    if (fate < 0.03) {
      version += upTo(3) - 1;
      limits = limits.map(limit => {
        const [max, burst] = [upTo(60), upTo(40)];
        return { ...limit, max, burst: limit.algorithm === 'window' ? max : burst };
      });
      yield { kind: 'define', at, version, limits: limits.filter(() => random() < 0.9) };
      continue;
    }
    if (fate < 0.06) {
      yield { kind: 'reset', at, ledger: ledgerName(pick(random, limits)) };
      continue;
    }
    const claims = Array.from({ length: 1 + upTo(3) }, (): LimitClaim => {
      const limit = pick(random, limits);
      const ledger = ledgerName(limit);
      const process = pick(random, processes);
      const known = heard.get(`${process} ${ledger}`) ?? [];
      const answer = random() < 0.8 ? known.at(-1) : known.length > 0 ? pick(random, known) : undefined;
      const lied = random() < 0.03 ? upTo(4) : 0;
      const [granted, returned] = [(answer?.granted ?? 0) + lied * 5, answer?.returned ?? 0];
      const out = granted - returned;
      const need = random() < 0.5 ? upTo(12) : 0;
      const claim: Claim = {
        process,
        number: (answer?.number ?? 0) + (lied > 0 ? upTo(3) : 0),
        granted,
        returned,
        spent: upTo(out + 1),
        overdrawn: random() < 0.05 ? upTo(5) : 0,
        back: random() < 0.4 ? upTo(out + 3) : 0,
        need,
        want: random() < 0.5 ? need + upTo(20) : need,
        answered: random() < 0.3 ? (answer?.recall ?? 0) : 0,
        recalled: need > 0 && random() < 0.4 ? (answer?.recall ?? 0) : 0,
      };
      const now = windowAt(limit, at);
      const label = random();
      const named = label < 0.1 ? windowAfter(limit, now)?.label : label < 0.2 ? now.label - upTo(70_000) : undefined;
      return { ledger, label: named ?? null, claim };
    });
    const roll = random() < 0.3 ? { at: at - upTo(3000), live: new Set(processes.filter(() => random() < 0.6)) } : null;
    const told = (yield {
      kind: 'exchange',
      at,
      question: { version: version - (random() < 0.1 ? 1 : 0), limits, claims },
      roll,
      processes: 1 + upTo(4),
    }) as LimitAnswer;
    for (const [n, answered] of told.answers.entries()) {
      if (answered === null) continue;
      const name = `${claims[n]!.claim.process} ${claims[n]!.ledger}`;
      heard.set(name, [...(heard.get(name) ?? []), answered.answer].slice(-8));
    }
  }
}

describe.each(keepers)('%s', (_, make, forgets) => {
  test(
    `random steps are answered and kept as core says (seed ${seed})`,
    async () => {
      const random = randomFrom(seed);
      const rounds = Number(process.env['POSTERN_LIMIT_ROUNDS'] ?? 4);
      for (let round = 0; round < rounds; round++) await agree(await make(), forgets, randomSteps(random, 150));
    },
    patience(60_000),
  );

  test(
    'what the model asks of the store is answered and kept as in the model',
    async () => {
      const count = 60 * Number(process.env['POSTERN_LIMIT_ROUNDS'] ?? 4);
      let steps = 0;
      for (const trace of traces(1, count)) {
        for (const of of new Set(trace.map(({ subject }) => subject))) {
          const own = trace.filter(({ subject }) => subject === of);
          await agree(await make(), forgets, own.map(later));
          steps += own.length;
        }
      }
      expect(steps).toBeGreaterThan(count);
    },
    patience(120_000),
  );
});

test('the records of the model’s traces are what core says', async () => {
  for (const trace of traces(1, 500)) {
    for (const of of new Set(trace.map(({ subject }) => subject))) {
      const core = coreKeeper(false);
      for (const step of trace.filter(({ subject }) => subject === of)) {
        const { behind: _, ...answer } = step.answer;
        expect(await core.take(stepOf(step))).toEqual(answer);
        const { head, ledgers } = await core.kept();
        expect(head).toEqual(step.head);
        for (const { ledger, label, state } of step.ledgers) expect(ledgers[`${ledger} ${label}`]).toEqual(state);
      }
    }
  }
});

/** The calendar repeats itself after so many milliseconds, weekdays included. */
const fourCenturies = 146_097 * 86_400_000;

const stepOf = ({ question, storeTime, roll, processes }: TraceStep): Step => ({
  kind: 'exchange',
  at: storeTime,
  question,
  roll: roll && { at: roll.at, live: new Set(roll.live) },
  processes,
});

/** The same step in a time that no server’s clock has come to. */
function later(step: TraceStep): Step {
  const { question, storeTime, roll } = step;
  const claims = question.claims.map(each => {
    // Windows without an end are called 0.
    const label = each.label === null || each.label === 0 ? each.label : each.label + fourCenturies;
    return { ...each, label };
  });
  return stepOf({
    ...step,
    question: { ...question, claims },
    storeTime: storeTime + fourCenturies,
    roll: roll && { ...roll, at: roll.at + fourCenturies },
  });
}
