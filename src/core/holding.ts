import type { Answer, Claim } from './ledger.ts';
import type { Millis } from './token.ts';

/**
 * The process's side of a lease: what this process holds of one window of one limit. It spends without asking anybody,
 * and says what became of it when it next asks. Changed in place, because requests wait for it; a model copies it.
 *
 * `granted`, `returned` and `number` are the store's, as last answered. The rest is known here alone:
 * `granted - returned - spent - flying - offered` are idle.
 */
export interface Holding {
  number: number;
  granted: number;
  returned: number;
  /** Of requests whose outcome is known. */
  spent: number;
  /** Spent without having been granted, while the store did not answer; until it is `known`, since this was begun. */
  overdrawn: number;
  /** The store has said what this process had overdrawn before, which it may have forgotten. */
  known: boolean;
  /** Of requests under way: a unit counts as spent until it is known to be refunded. */
  flying: number;
  /** Given back under the present number. Whether that has happened is known when the number is another. */
  offered: number;
  generation: number;
  /** The last recall heard of, and the last one that was answered. */
  recall: number;
  answered: number;
  /** What the store said last: units that nobody has, and units spent and burned. */
  remaining: number;
  used: number;
  /** Units spent here that `used` did not know of are `spent + overdrawn - reported`. */
  reported: number;
  scarce: boolean;
}

export const emptyHolding = (): Holding => ({
  number: 0,
  granted: 0,
  returned: 0,
  spent: 0,
  overdrawn: 0,
  known: false,
  flying: 0,
  offered: 0,
  generation: 0,
  recall: 0,
  answered: 0,
  remaining: 0,
  used: 0,
  reported: 0,
  scarce: false,
});

/** Never below 0, also where the store has taken back what a process was too slow to use. */
export const idleOf = ({ granted, returned, spent, flying, offered }: Holding): number =>
  Math.max(0, granted - returned - spent - flying - offered);

/** Units held by this process, whatever they are used for. */
export const heldBy = ({ granted, returned, spent }: Holding): number => Math.max(0, granted - returned - spent);

/** Units spent that the store has not confirmed to know of. */
export const unreportedOf = ({ spent, overdrawn, reported }: Holding): number => spent + overdrawn - reported;

/** Takes units for a request. False: so many are not idle, and nothing was taken. */
export function take(holding: Holding, cost: number): boolean {
  if (idleOf(holding) < cost) return false;
  holding.flying += cost;
  return true;
}

/** The outcome of a request is known: `spent` of the units that it took. The rest is idle again. */
export function settle(holding: Holding, taken: number, spent: number): void {
  holding.flying -= taken;
  holding.spent += spent;
}

export interface Wish {
  /** Units to give back; those that are not idle are kept. */
  readonly back: number;
  /** Units that a request lacks. */
  readonly need: number;
  readonly want: number;
  readonly recalled: number;
  readonly doubtful: boolean;
}

/** What to say to the store. Only one claim of a holding is under way at a time. */
export function claimOf(holding: Holding, process: string, { back, need, want, recalled, doubtful }: Wish): Claim {
  // What was offered under this number is offered again: one of the two claims happens, and which one does not matter.
  const offered = holding.offered + Math.min(back, idleOf(holding));
  holding.offered = offered;
  const { number, granted, returned, spent, recall } = holding;
  // Reports are cumulative: what came first is not known yet.
  const overdrawn = holding.known ? holding.overdrawn : 0;
  const answered = idleOf(holding) === 0 ? recall : 0;
  return {
    process,
    number,
    granted,
    returned,
    spent,
    overdrawn,
    back: offered,
    need,
    want,
    answered,
    recalled,
    doubtful,
  };
}

/** Takes an answer in. One that is older than what is known changes nothing. */
export function hear(holding: Holding, claim: Claim, answer: Answer): void {
  if (answer.number < holding.number) return;
  if (answer.number > holding.number) {
    // What was offered under the old number has been given back, or never will be.
    holding.offered = 0;
    holding.number = answer.number;
    holding.granted = answer.granted;
    holding.returned = answer.returned;
  }
  holding.spent = Math.max(holding.spent, answer.spent);
  if (!holding.known) holding.overdrawn += answer.overdrawn;
  holding.known = true;
  holding.answered = Math.max(holding.answered, answer.answered);
  holding.generation = answer.generation;
  // A store that has lost something counts recalls anew.
  holding.recall = claim.answered > answer.recall ? answer.recall : Math.max(holding.recall, answer.recall);
  holding.remaining = answer.remaining;
  holding.used = answer.used;
  holding.reported = Math.max(holding.reported, claim.spent + claim.overdrawn, answer.spent + answer.overdrawn);
  holding.scarce = answer.scarce;
}

/**
 * What is left of the limit as far as this process knows: everything that is neither spent, burned nor under way here.
 * Units that other processes hold count as left.
 */
export const leftOf = (holding: Holding, capacity: number): number =>
  Math.min(capacity, Math.max(0, capacity - holding.used - unreportedOf(holding) - holding.flying));

/** A window's end by the clocks of this process: the store's, counted from when the question was sent, which is early. */
export interface Leave {
  readonly monotonic: Millis;
  readonly wall: Millis;
}

export const hasEnded = (leave: Leave | null, now: { readonly monotonic: Millis; readonly wall: Millis }): boolean =>
  leave !== null && (now.monotonic >= leave.monotonic || now.wall >= leave.wall);
