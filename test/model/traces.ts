import type { Ledger } from '../../src/core/ledger.ts';
import { answerQuestion, type Head, type LimitAnswer, type LimitQuestion } from '../../src/core/limit-book.ts';
import { randomFrom } from '../support/random.ts';
import { scheduleFrom, settingFrom } from './explore.ts';
import { act, newWorld, type Rules, rules } from './world.ts';

/** One call of the store, what it has to answer, and what it has to keep afterwards. */
export interface Step {
  /** Which token or account of the trace. */
  readonly subject: number;
  readonly question: LimitQuestion;
  /** The store's own clock, in milliseconds since the epoch. */
  readonly storeTime: number;
  readonly roll: { readonly at: number; readonly live: readonly string[] } | null;
  readonly processes: number;
  readonly answer: LimitAnswer;
  readonly head: Head;
  /** The ledgers that this step has written, by name and label. */
  readonly ledgers: readonly { readonly ledger: string; readonly label: number; readonly state: Ledger }[];
}

/**
 * What a store is asked in the course of a schedule, in that order, such as claims that come late or twice, clocks that
 * step, definitions that change. A store that answers each step like this, from the records of its own, is a store of
 * the model. Resets and losses are left out: those happen beside questions. The same seed gives the same steps.
 */
export function trace(seed: number): Step[] {
  const random = randomFrom(seed);
  const setting = settingFrom(random);
  const actions = scheduleFrom(random).filter(([kind]) => !beside.has(kind));
  const steps: Step[] = [];
  let asked = 0;
  const law: Rules = {
    ...rules,
    answer: (kept, find, question, circumstances) => {
      const result = answerQuestion(kept, find, question, circumstances);
      const { storeTime, roll, processes } = circumstances;
      const { head, entries, answer } = result;
      steps.push({
        subject: asked,
        question,
        storeTime,
        roll: roll && { at: roll.at, live: [...roll.live] },
        processes,
        answer,
        head,
        ledgers: entries.map(({ ledger, label, state }) => ({ ledger, label, state })),
      });
      return result;
    },
  };
  const world = newWorld(setting, law);
  for (const action of actions) {
    const [kind, first] = action;
    const message = world.messages[first % Math.max(1, world.messages.length)];
    if ((kind === 'deliver' || kind === 'muteReply') && message?.kind === 'question') asked = message.subject;
    act(world, action, law);
  }
  return steps;
}

/** They change what the store keeps without a question. */
const beside = new Set(['reset', 'define', 'learn', 'rollBack', 'keep', 'outage']);

/** Traces of `n` schedules, from this seed on. */
export const traces = (seed: number, n: number): Step[][] => Array.from({ length: n }, (_, i) => trace(seed + i));
