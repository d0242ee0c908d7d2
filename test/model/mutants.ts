import { answered, questionFor } from '../../src/core/charging.ts';
import { idleOf } from '../../src/core/holding.ts';
import { type Claim, type Lease, type Ledger, outOf, reset } from '../../src/core/ledger.ts';
import { type Limit, ledgerName, windowAt } from '../../src/core/limit.ts';
import { answerQuestion, type LimitQuestion } from '../../src/core/limit-book.ts';
import { type Rules, rules } from './world.ts';

/** Protocols with one mistake each, such as one could make. Each breaks a promise, and the explorer has to find out how. */
export const mutants: Readonly<Record<string, Rules>> = {
  /** Units of a process that is gone can be granted again, though it may only be slow. */
  'reclaim refills': storing(lease => (lease.gone > 0 ? takenBack(lease) : lease)),

  /** A report says what was spent since the last one, so that one that comes twice counts twice. */
  'reports are differences': {
    ...rules,
    question: (local, part, process, now) => {
      const said = questionFor(local, part, process, now);
      return said && { ...said, claim: { ...said.claim, spent: said.claim.spent - part.holding.reported } };
    },
    answer: claiming((claim, lease) => ({ ...claim, spent: (lease?.spent ?? 0) + claim.spent })),
  },

  /** Claims do what they say whenever they come. */
  'numbers are not looked at': {
    ...rules,
    answer: claiming((claim, lease) =>
      lease === null ? claim : { ...claim, number: lease.number, granted: lease.granted, returned: lease.returned },
    ),
  },

  /** A process that has started again goes on with the lease of the one before, whose spending nobody knows. */
  'runs are not told apart': { ...rules, name: slot => `${'PQRS'[slot]}` },

  /** Units are spent in whatever window it is. */
  'windows are not left': {
    ...rules,
    answered: (local, part, ...more) => {
      answered(local, part, ...more);
      part.leave = null;
    },
  },

  /** Units under way are reported as spent, and come back later all the same. */
  'refund after report': {
    ...rules,
    question: (local, part, process, now) => {
      const said = questionFor(local, part, process, now);
      return said && { ...said, claim: { ...said.claim, spent: said.claim.spent + part.holding.flying } };
    },
  },

  /** A reset forgets what is out. */
  'reset drops leases': {
    ...rules,
    reset: (ledger, limit, now) => {
      const after = reset(ledger, limit, now);
      return { ...after, leases: all(after, takenBack) };
    },
  },

  /** A bucket grants what is not spent, whoever has it. */
  'buckets do not count leases': {
    ...rules,
    answer: (kept, find, question, circumstances) => {
      const hidden = new Map<string, Ledger>();
      const result = answerQuestion(
        kept,
        (name, label) => {
          const ledger = find(name, label);
          if (ledger === null || !name.endsWith(':bucket')) return ledger;
          hidden.set(`${name} ${label}`, ledger);
          const own = question.claims.map(({ claim }) => claim.process);
          const leases = Object.entries(ledger.leases).filter(([process]) => own.includes(process));
          return { ...ledger, leases: Object.fromEntries(leases) };
        },
        question,
        circumstances,
      );
      const entries = result.entries.map(each => ({
        ...each,
        state: {
          ...each.state,
          leases: { ...hidden.get(`${each.ledger} ${each.label}`)?.leases, ...each.state.leases },
        },
      }));
      return { ...result, entries };
    },
  },

  /** A request keeps the part of its cost that there was, and waits for the rest. */
  'part of a cost is held': {
    ...rules,
    question: (local, part, process, now) => {
      const said = questionFor(local, part, process, now);
      const first = part === local.current ? local.waiters[0] : undefined;
      if (said === null || first === undefined) return said;
      const { holding } = part;
      holding.offered = 0;
      const need = idleOf(holding) < first.cost ? 1 : 0;
      return { ...said, claim: { ...said.claim, back: 0, answered: holding.recall, need, want: need } };
    },
  },

  /** What is given back comes back each time that it is said. */
  'late give-backs count twice': {
    ...rules,
    answer: (kept, find, question, circumstances) =>
      answerQuestion(
        kept,
        (name, label) => {
          const ledger = find(name, label);
          const late = question.claims.find(each => each.ledger === name && (each.label ?? label) === label)?.claim;
          const lease = late && ledger?.leases[late.process];
          if (!ledger || !lease || late.number >= lease.number || late.back === 0) return ledger;
          const returned = lease.returned + Math.min(late.back, outOf(lease));
          return {
            ...ledger,
            leases: { ...ledger.leases, [late.process]: { ...lease, number: lease.number + 1, returned } },
          };
        },
        question,
        circumstances,
      ),
  },

  /** A recall takes what a request has got that waits for another limit. */
  'recalls take the units of who waits': {
    ...rules,
    question: (local, part, process, now, waiters) => {
      const { holding } = part;
      const isRecalled = holding.recall > holding.answered;
      const taken = waiters.filter(({ held }) => held.includes(holding)).reduce((sum, { cost }) => sum + cost, 0);
      if (!isRecalled || part.asking || taken === 0) return questionFor(local, part, process, now);
      holding.flying -= taken;
      const said = questionFor(local, part, process, now);
      holding.flying += taken;
      return said;
    },
  },
};

/** The lease without what is out. */
function takenBack(lease: Lease): Lease {
  return outOf(lease) === 0 ? lease : { ...lease, number: lease.number + 1, returned: lease.granted - lease.spent };
}

/** Does something to every lease that is kept. */
function storing(change: (lease: Lease) => Lease): Rules {
  return {
    ...rules,
    answer: (...question) => {
      const result = answerQuestion(...question);
      const entries = result.entries.map(entry => ({
        ...entry,
        state: { ...entry.state, leases: all(entry.state, change) },
      }));
      return { ...result, entries };
    },
  };
}

const all = ({ leases }: Ledger, change: (lease: Lease) => Lease): Record<string, Lease> =>
  Object.fromEntries(Object.entries(leases).map(([name, lease]) => [name, change(lease)]));

/** Does something to every claim before it is heard. */
function claiming(change: (claim: Claim, lease: Lease | null) => Claim): typeof answerQuestion {
  return (kept, find, question, circumstances) => {
    const claims = question.claims.map(each => {
      const window = windowOf(
        kept?.limits ?? question.limits,
        each,
        Math.max(kept?.clock ?? 0, circumstances.storeTime),
      );
      const lease = window === null ? null : (find(each.ledger, window)?.leases[each.claim.process] ?? null);
      return { ...each, claim: change(each.claim, lease) };
    });
    return answerQuestion(kept, find, { ...question, claims }, circumstances);
  };
}

function windowOf(
  limits: readonly Limit[],
  { ledger, label }: LimitQuestion['claims'][number],
  now: number,
): number | null {
  const limit = limits.find(each => ledgerName(each) === ledger);
  return limit === undefined ? null : windowAt(limit, label ?? now).label;
}
