import { describe, expect, test } from 'vitest';
import { below, randomFrom, seed } from '../support/random.ts';
import { patience } from '../support/tiers.ts';
import { exhaust, type Scope } from './exhaustive.ts';
import { type Check, explore, inWords, limit, shrink } from './explore.ts';
import { mutants } from './mutants.ts';
import { trace } from './traces.ts';
import type { Setting } from './world.ts';

/** Schedules at random, and states of each exhaustive search: the big numbers of the long tier. */
const schedules = Number(process.env['POSTERN_SCHEDULES'] ?? 2500);
const states = Number(process.env['POSTERN_STATES'] ?? 2000);

function found(from: number, most: number, check: Check = {}): string | null {
  for (let at = from; at < from + most; at++) {
    const failure = explore(at, check);
    if (failure !== null) return `POSTERN_SEED=${at}\n  ${inWords(shrink(failure, check), check)}`;
  }
  return null;
}

/**
 * On a submission the same schedules each time, and others in the long tier: about one in tens of thousands still ends with
 * units that nobody can use, or a refusal too many, and each is to be understood and not to be met by chance.
 */
const first = process.env['POSTERN_LONG'] === '1' || process.env['POSTERN_SEED'] !== undefined ? seed : 1;

test(
  `at random: no promise is broken, and everything comes to rest (seed ${first})`,
  () => {
    expect(found(first, schedules)).toBeNull();
  },
  patience(120_000),
);

describe('exhaustively: two processes,', () => {
  const setting = (limits: Setting['limits'], more: Partial<Setting> = {}): Setting => ({
    limits,
    under: [limits.map((_, i) => i)],
    costs: [1],
    processes: 2,
    isOpen: false,
    ...more,
  });
  const one = (max: number): Setting['limits'] => [{ subject: 0, limit: limit('token', max) }];
  const two: Setting['limits'] = [...one(2), { subject: 1, limit: limit('account', 1) }];
  const second: Setting['limits'] = [{ subject: 0, limit: limit('token', 1, { per: '1s' }) }];
  const scope = (over: Setting, budget: Scope['budget']): Scope => ({
    setting: over,
    budget,
    inFlight: 2,
    passes: [4],
  });
  const scopes: Readonly<Record<string, Scope>> = {
    'one dies': scope(setting(one(1)), { request: 2, crash: 1, restart: 1, unlist: 1 }),
    'one is paused and counts as gone': scope(setting(one(1)), { request: 2, pause: 1, unlist: 1, resume: 1 }),
    'a message is doubled': scope(setting(one(2)), { request: 2, double: 1 }),
    'an answer is lost': scope(setting(one(2)), { request: 2, muteReply: 1, timeout: 1 }),
    'a window ends': scope(setting(second), { request: 2, pass: 1, tick: 1 }),
    'a reset and a refund': scope(setting(one(1)), { request: 2, reset: 1, refund: 1 }),
    'two limits': scope(setting(two), { request: 2 }),
    'costs of two out of three': scope(setting(one(3), { costs: [2] }), { request: 2, refund: 1 }),
    'two limits, four units, all faults': scope(
      setting([...one(4), { subject: 1, limit: limit('account', 3, { per: '1s' }) }], { costs: [1, 2] }),
      { request: 3, refund: 1, double: 1, lose: 1, timeout: 1, pause: 1, resume: 1, unlist: 1, pass: 1, tick: 1 },
    ),
  };

  /** So small that every state is seen: the third on every submission, all of them in the long tier. */
  const whole = new Set(['one dies', 'one is paused and counts as gone', 'a message is doubled', 'an answer is lost']);

  test.each(Object.entries(scopes))(
    '%s',
    (name, each) => {
      const isWhole = whole.has(name) && (states >= 100_000 || name === 'a message is doubled');
      const { failure, isComplete } = exhaust(each, { most: isWhole ? 1_000_000 : states });
      expect(failure && inWords(failure)).toBeNull();
      if (isWhole) expect(isComplete).toBe(true);
    },
    patience(120_000),
  );
});

describe('a protocol with one mistake breaks a promise:', () => {
  const scarce: Setting = {
    limits: [{ subject: 0, limit: limit('token', 3) }],
    under: [[0]],
    costs: [2],
    processes: 2,
    isOpen: false,
  };
  test.each(Object.entries(mutants))(
    '%s',
    (name, law) => {
      const check: Check = name === 'part of a cost is held' ? { law, setting: scarce } : { law };
      const story = found(1, 5000, check);
      expect(story).toMatch(/BROKEN: /);
      if (process.env['POSTERN_STORIES'] !== undefined) console.info(`${name}\n  ${story}`);
    },
    patience(60_000),
  );
});

test('a schedule is the same each time that it is played', () => {
  const random = randomFrom(seed);
  for (let i = 0; i < 20; i++) {
    const at = below(random, 1_000_000);
    expect(trace(at)).toEqual(trace(at));
  }
});
