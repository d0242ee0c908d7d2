import { partsOf } from '../../src/core/charging.ts';
import { idleOf } from '../../src/core/holding.ts';
import { outOf, remainingOf } from '../../src/core/ledger.ts';
import { capacityOf, type Limit } from '../../src/core/limit.ts';
import { below, pick, randomFrom } from '../support/random.ts';
import {
  type Action,
  type ActionKind,
  act,
  newWorld,
  type Rules,
  rules,
  type Setting,
  Violation,
  type World,
} from './world.ts';

/** A run of the world that broke a promise. */
export interface Failure {
  readonly setting: Setting;
  readonly actions: readonly Action[];
  readonly message: string;
}

export const limit = (name: string, max: number, more: Partial<Limit> = {}): Limit => ({
  name,
  max,
  per: 'lifetime',
  algorithm: 'window',
  burst: max,
  ...more,
});

// ---- at random ------------------------------------------------------------------------------------------------------

/** How often what is done. What takes a schedule out of the ordinary is rare, so that the ordinary goes on beside it. */
const weights: Readonly<Record<ActionKind, number>> = {
  request: 16,
  finish: 8,
  refund: 5,
  ask: 18,
  deliver: 40,
  lose: 2,
  double: 2,
  muteReply: 2,
  timeout: 2,
  pass: 6,
  tick: 6,
  giveUp: 2,
  crash: 1,
  restart: 2,
  pause: 1,
  resume: 2,
  unlist: 1,
  reset: 0.7,
  define: 0.7,
  learn: 1,
  keep: 0.3,
  rollBack: 0.2,
  outage: 0.3,
  stepStore: 0.2,
  stepProcess: 0.2,
  suspect: 0.4,
  forget: 1,
};

const lots: readonly ActionKind[] = (Object.keys(weights) as ActionKind[]).flatMap(kind =>
  Array.from({ length: Math.round(weights[kind] * 10) }, () => kind),
);

export function settingFrom(random: () => number): Setting {
  const count = 1 + below(random, 3);
  const limits = Array.from({ length: count }, (_, i) => {
    const max = pick(random, [0, 1, 2, 3, 4, 4, 5, 10, 40]);
    const per = pick(random, ['lifetime', 'lifetime', '1s', '1m', '1mo'] as const);
    const isBucket = random() < 0.25 && per !== 'lifetime';
    const burst = isBucket ? pick(random, [1, 3, max]) : max;
    const subject = i === 0 ? 0 : pick(random, [0, 1]);
    return { subject, limit: limit(`l${i}`, max, { per, burst, algorithm: isBucket ? 'bucket' : 'window' }) };
  }).sort((a, b) => a.subject - b.subject);
  // Subjects are counted from 0 without gaps.
  const under = [limits.map((_, i) => i), ...limits.map((_, i) => [i])];
  return {
    limits,
    under,
    costs: pick(random, [[1], [1, 2], [1, 1, 3]]),
    processes: 2 + below(random, 2),
    isOpen: random() < 0.3,
  };
}

export function scheduleFrom(random: () => number): Action[] {
  const isCalm = random() < 0.3;
  return Array.from({ length: 20 + below(random, 100) }, (): Action => {
    const kind = pick(random, lots);
    const which = isCalm && weights[kind] < 2 ? 'deliver' : kind;
    // Mostly the oldest message, and short times.
    const first = which === 'deliver' && random() < 0.6 ? 0 : below(random, 60);
    const second = which === 'pass' ? below(random, random() < 0.95 ? 7 : 9) : below(random, 60);
    return [which, first, second, below(random, 60)];
  });
}

export interface Check {
  readonly law?: Rules;
  /** Also that everything comes to rest, and that all of the limits can be used. */
  readonly isFair?: boolean;
  /** Instead of one at random. */
  readonly setting?: Setting;
}

/** Null: all promises were kept. */
export function run(
  setting: Setting,
  actions: readonly Action[],
  { law = rules, isFair = true }: Check = {},
): string | null {
  const world = newWorld(setting, law);
  try {
    for (const action of actions) act(world, action, law);
    if (isFair) fairEnd(world, law);
    return null;
  } catch (error) {
    if (error instanceof Violation) return error.message;
    throw error;
  }
}

export function explore(seed: number, { law = rules, isFair = true, setting: given }: Check = {}): Failure | null {
  const random = randomFrom(seed);
  const setting = given ?? settingFrom(random);
  const actions = scheduleFrom(random);
  const message = run(setting, actions, { law, isFair });
  return message === null ? null : { setting, actions, message };
}

/** Leaves out what does not matter, as long as some promise is still broken. */
export function shrink(failure: Failure, check: Check = {}): Failure {
  let { actions, message } = failure;
  for (let size = Math.ceil(actions.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < actions.length; ) {
      const fewer = [...actions.slice(0, from), ...actions.slice(from + size)];
      const outcome = run(failure.setting, fewer, check);
      if (outcome === null) {
        from += size;
      } else {
        actions = fewer;
        message = outcome;
      }
    }
  }
  return { ...failure, actions, message };
}

/** The story of a failure, a line for each step. */
export function inWords({ setting, actions, message }: Failure, { law = rules, isFair = true }: Check = {}): string {
  const world = newWorld(setting, law);
  const limits = setting.limits.map(
    ({ subject, limit: { max, per, algorithm, burst } }, i) =>
      `limit ${i} of subject ${subject}: ${max} per ${per}${algorithm === 'bucket' ? `, bucket of ${burst}` : ''}`,
  );
  const lines: string[] = [...limits];
  try {
    for (const action of actions) if (act(world, action, law)) lines.push(world.told);
    if (isFair) fairEnd(world, law, lines);
  } catch {
    lines.push(world.told);
  }
  const told = lines.filter(line => line !== '');
  if (told.length > 120) told.splice(60, told.length - 100, '…');
  return [...told, `BROKEN: ${message}`].join('\n  ');
}

// ---- fairness -------------------------------------------------------------------------------------------------------

/**
 * What must come at last: everything that is under way arrives, whoever is paused goes on, who is dead counts as gone.
 * With requests for every limit all of it is used; without them nothing is leased, and nobody has anything to say.
 */
export function fairEnd(world: World, law: Rules = rules, lines: string[] = []): void {
  const does = (...action: [ActionKind, number?, number?, number?]): boolean => {
    const [kind, first = 0, second = 0, third = 0] = action;
    const happened = act(world, [kind, first, second, third], law);
    if (happened && ((kind !== 'pass' && kind !== 'tick') || world.told.includes(';'))) lines.push(world.told);
    return happened;
  };
  const every = (step: (slot: number) => void): void => {
    for (const { slot } of world.processes) step(slot);
  };
  const flow = (): number => {
    let steps = 0;
    for (let moved = true; moved; ) {
      moved = false;
      while (world.messages.length > 0 && does('deliver')) {
        moved = true;
        if (++steps > 3000) throw new Violation('messages go round for ever');
      }
      every(slot => {
        for (let subject = 0; subject < world.subjects.length; subject++) {
          if (does('ask', slot, subject)) moved = true;
        }
      });
      if (++steps > 3000) throw new Violation('questions go round for ever');
    }
    return steps;
  };
  if (!world.isUp) does('outage');
  if (world.processes.every(({ state }) => state === 'dead')) does('restart', 0);
  every(slot => {
    does('resume', slot);
    const process = world.processes[slot]!;
    if (process.state === 'runs') process.isListed = true;
    // A store that has lost something shows by another epoch: everybody says again what they have.
    if (world.hasLost) does('suspect', slot);
  });
  flow();
  every(slot => {
    // What was lost is waited for no longer.
    while (does('timeout', slot));
    does('learn', slot);
    while (does('finish', slot));
    while (does('giveUp', slot));
  });
  const second = (): void => {
    does('pass', 0, 4);
    every(slot => {
      does('tick', slot);
      while (does('finish', slot));
    });
    flow();
  };
  for (let i = 0; i < 8; i++) second();
  everythingIsUsed(world, does, flow, second);
  for (let i = 0; i < 14; i++) second();
  const steps = flow();
  rest(world, steps);
}

function rest(world: World, steps: number): void {
  if (world.processes.some(({ requests }) => requests.length > 0)) throw new Violation('requests wait at rest');
  const before = world.ids;
  if (steps > 1 || world.ids !== before) throw new Violation('there is something to say at rest');
  for (const process of world.processes) {
    if (process.state === 'dead') continue;
    for (const local of process.limits) {
      for (const part of partsOf(local)) {
        if (idleOf(part.holding) > 0)
          throw new Violation(`${process.name} holds ${idleOf(part.holding)} idle units at rest`);
      }
    }
  }
  for (const [
    i,
    {
      subject,
      limit: { per },
    },
  ] of world.setting.limits.entries()) {
    if (per !== 'lifetime' || world.hasFolded) continue;
    const ledger = Object.entries(world.subjects[subject]!.ledgers).find(([key]) => key === ghostKeyOf(world, i))?.[1];
    for (const { name, state } of world.processes) {
      const lease = ledger?.leases[name];
      if (state === 'dead' || lease === undefined) continue;
      if (outOf(lease) > 0) throw new Violation(`${outOf(lease)} units of limit ${i} are leased to ${name} at rest`);
      const settled = world.ghosts[ghostKeyOf(world, i)]?.settled[name] ?? 0;
      if (!world.hasLost && lease.spent !== settled) {
        throw new Violation(`${name} has spent ${settled} of limit ${i}, and the store believes ${lease.spent}`);
      }
    }
  }
}

const ghostKeyOf = (world: World, index: number): string => {
  const { subject, limit: each } = world.setting.limits[index]!;
  return `${subject} ${each.name}:${each.per}:${each.algorithm} 0`;
};

/** Requests for one limit after the other, on every live process, until nothing is left: less than the cost is. */
function everythingIsUsed(
  world: World,
  does: (...action: [ActionKind, number?, number?, number?]) => boolean,
  flow: () => number,
  second: () => void,
): void {
  const cheapest = world.setting.costs.indexOf(Math.min(...world.setting.costs));
  const cost = world.setting.costs[cheapest]!;
  for (const [i, { subject, limit: each }] of world.setting.limits.entries()) {
    if (each.per !== 'lifetime') continue;
    const alone = world.setting.under.findIndex(under => under.length === 1 && under[0] === i);
    if (alone === -1) continue;
    const key = ghostKeyOf(world, i);
    const left = (): number => {
      const ledger = world.subjects[subject]!.ledgers[key];
      const defined = world.definitions[i]!;
      return ledger === undefined ? capacityOf(defined) : remainingOf(ledger, defined);
    };
    // What goes idle comes back within the time that units may rest.
    for (let round = 0; round < capacityOf(world.definitions[i]!) + 10 && left() >= cost; round++) {
      for (const { slot } of world.processes) does('request', slot, alone, cheapest);
      flow();
      second();
    }
    if (left() >= cost) throw new Violation(`${left()} units of limit ${i} cannot be used`);
  }
}
