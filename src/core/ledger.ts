import { capacityOf, type Limit, paceMs, type Window } from './limit.ts';
import type { Millis } from './token.ts';

/**
 * The store's side of a limit: who has which of its units. Processes take units in leases and spend them by themselves;
 * what they say and what they are given go through `exchange`, which is the whole protocol. The functions here are pure:
 * the embedded store runs them, the scripts of the Redis store say the same in Lua, and the model explores them.
 *
 * For a window, after every step: `spent + burned + leased + remaining = max`, unless `max` was lowered below the first
 * three, or units were overdrawn. It holds by construction, since only what leases were granted and have returned is kept, and sums are made of it.
 *
 * Correctness never rests on a deadline:
 * - A lease has a number, which every change of it raises. A claim carries the last number that its process has seen; one
 *   with an older number changes no units and is answered with the lease as it is. So claims may come late, twice or not
 *   at all, and answers may be lost.
 * - Reports are cumulative, and the greater counts.
 * - What a process that is gone held is burned: it stays taken, because that process may only be slow. When it comes back,
 *   its units are leased again.
 */
export interface Ledger {
  /** Counts resets within this window. */
  readonly generation: number;
  /** Units of leases that are kept no more: those that were spent, and those that were burned. */
  readonly settled: number;
  readonly lost: number;
  /** What of the spent units a reset has forgiven. */
  readonly waived: number;
  /** Of a bucket: how full with spent units it was at an instant; it empties at the limit's pace. */
  readonly level: number;
  readonly at: Millis;
  /** Counts recalls: each asks all holders for what lies idle. */
  readonly recall: number;
  /** Somebody was told to wait, or was refused, and has to hear when units come back or a recall is answered. */
  readonly awaited: boolean;
  /** Nothing is granted until then: the store has lost what it had acknowledged, and holders say again what they have. */
  readonly closedUntil: Millis;
  /** By process, which is one run of one. */
  readonly leases: Readonly<Record<string, Lease>>;
}

/** One process's part of a window. All units are cumulative: `granted - returned - spent` are out. */
export interface Lease {
  readonly number: number;
  readonly granted: number;
  readonly returned: number;
  /** As far as reported. */
  readonly spent: number;
  /** Spent without having been granted, while the store did not answer and that was allowed. */
  readonly overdrawn: number;
  /** The last recall after which it had no idle units. */
  readonly answered: number;
  /** When it was last heard of, on the ledger's clock. */
  readonly seen: Millis;
  /** When its process was found gone, on the same clock: what is out is burned. 0: it is live. */
  readonly gone: Millis;
}

/** What a process says of its lease, and what it asks for. */
export interface Claim {
  readonly process: string;
  /** The last number that it has seen; 0 for none. */
  readonly number: number;
  readonly granted: number;
  readonly returned: number;
  readonly spent: number;
  readonly overdrawn: number;
  /** Units that it gives back; it spends none of them from now on. */
  readonly back: number;
  /** Units without which a request cannot go on; 0: none waits. */
  readonly need: number;
  /** Units that it would like, those of `need` included. */
  readonly want: number;
  /** With `back`, nothing of its lease is idle: this recall is answered. 0: none is. */
  readonly answered: number;
  /** The recall that was made for `need`; 0: none was yet. */
  readonly recalled: number;
  /** An earlier claim under this number was not answered: it must not happen any more, if it has not happened yet. */
  readonly doubtful?: boolean;
}

export interface Circumstances {
  /** The ledger's clock: the store's time, or what the ledger has seen if that is later. */
  readonly now: Millis;
  /** Who was live at an instant of the store's clock; null: not asked. */
  readonly roll: { readonly at: Millis; readonly live: ReadonlySet<string> } | null;
  /** How many processes share it, as far as the caller knows; at least 1. */
  readonly processes: number;
}

export interface Answer {
  /** The lease as it is now. */
  readonly number: number;
  readonly granted: number;
  readonly returned: number;
  /** As far as reported: a process that has forgotten its lease must not take spent units for idle ones. */
  readonly spent: number;
  /** As far as reported, too: whoever has forgotten its lease goes on from there. */
  readonly overdrawn: number;
  readonly answered: number;
  readonly generation: number;
  /**
   * What became of `need`. `granted` also where there was none. `waiting`: units may come back, since a holder has not
   * answered recall `recall` yet. `refused`: less than the need remains, and no live process holds idle units. `stale`:
   * the number was an old one, ask again. `closed`: nothing is granted now, because the window has ended or the store has
   * lost something.
   */
  readonly verdict: 'granted' | 'waiting' | 'refused' | 'stale' | 'closed';
  /** The last recall. */
  readonly recall: number;
  /** Whole units that nobody has. */
  readonly remaining: number;
  /** Units spent and burned, as far as known. */
  readonly used: number;
  /** So little remains that idle units belong to whoever asks: leases hold no more than their requests need. */
  readonly scarce: boolean;
  /** Units have come back: those who wait or were refused should ask again. */
  readonly news: boolean;
  /** A recall was answered: those who wait should ask again. */
  readonly heard: boolean;
  /** Units that were burned by this step. */
  readonly burned: number;
  /** Units beyond the limit that this step has found out about: grants that the store had lost. */
  readonly excess: number;
}

/** How long nothing is granted after a loss was found, in milliseconds: holders tick once a second. */
export const closedMs: Millis = 5000;

/** How long the lease of a process that was found gone is kept, and how long a window after its end. */
export const keepMs: Millis = 3_600_000;

/**
 * How long a holder may spend units of a lease, from sending the claim that was last answered: of a bucket, and of a
 * window. Afterwards it asks first, because the store may have given them up.
 */
export const bucketLifeMs: Millis = 2000;
export const windowLifeMs: Millis = keepMs / 2;

/** Most units of a lease, whatever remains and is asked for, are those of this many requests or two seconds of demand. */
export const usualUnits = 1000;

export const emptyLedger = (now: Millis): Ledger => ({
  generation: 0,
  settled: 0,
  lost: 0,
  waived: 0,
  level: 0,
  at: now,
  recall: 0,
  awaited: false,
  closedUntil: 0,
  leases: {},
});

const noLease: Lease = {
  number: 0,
  granted: 0,
  returned: 0,
  spent: 0,
  overdrawn: 0,
  answered: 0,
  seen: 0,
  gone: 0,
};

/** Units that are out: leased where the process is live, burned where it is not. */
export const outOf = ({ granted, returned, spent }: Lease): number => granted - returned - spent;

/** Sums over the leases. */
export function sums(ledger: Ledger): { spent: number; leased: number; burned: number } {
  let [spent, leased, burned] = [ledger.settled - ledger.waived, 0, ledger.lost];
  for (const lease of Object.values(ledger.leases)) {
    spent += lease.spent + lease.overdrawn;
    if (lease.gone > 0) burned += outOf(lease);
    else leased += outOf(lease);
  }
  return { spent, leased, burned };
}

/** Units that nobody has; of a bucket not always whole. Below 0 where the limit was lowered, or the store has lost grants. */
function free(ledger: Ledger, limit: Limit): number {
  const { spent, leased, burned } = sums(ledger);
  return capacityOf(limit) - leased - burned - (limit.algorithm === 'bucket' ? ledger.level : spent);
}

/** Sums of fractions may miss a whole number by this. */
const tolerance = 1e-9;

export const remainingOf = (ledger: Ledger, limit: Limit): number =>
  Math.max(0, Math.floor(free(ledger, limit) + tolerance));

/** Spent and burned units, in whole ones. */
export function usedOf(ledger: Ledger, limit: Limit): number {
  const { spent, burned } = sums(ledger);
  return burned + (limit.algorithm === 'bucket' ? Math.ceil(ledger.level - tolerance) : spent);
}

/**
 * One step of the protocol. `window`: the one that the ledger is of; what has ended grants nothing, but takes reports.
 */
export function exchange(
  before: Ledger,
  limit: Limit,
  window: Window,
  claim: Claim,
  circumstances: Circumstances,
): { readonly ledger: Ledger; readonly answer: Answer } {
  const { now } = circumstances;
  let ledger = passed(before, limit, now);
  let lease: Lease = { ...(ledger.leases[claim.process] ?? noLease), seen: now, gone: 0 };
  const freeBefore = free(ledger, limit);

  let excess = 0;
  const isOther = claim.granted !== lease.granted || claim.returned !== lease.returned;
  if (claim.number > lease.number || (claim.number === lease.number && isOther)) {
    // The store has lost what it answered, and may have gone another way since. What the process knows is registered.
    const { number, granted, returned } = claim;
    lease = { ...lease, number, granted, returned, spent: Math.min(lease.spent, granted - returned) };
    ledger = { ...withLease(ledger, claim.process, lease), closedUntil: now + closedMs };
    excess = Math.max(0, -free(ledger, limit)) - Math.max(0, -freeBefore);
  }

  const reported = Math.max(lease.spent, Math.min(claim.spent, lease.granted - lease.returned));
  const overdrawn = Math.max(lease.overdrawn, claim.overdrawn);
  if (limit.algorithm === 'bucket') {
    ledger = { ...ledger, level: ledger.level + (reported - lease.spent) + (overdrawn - lease.overdrawn) };
  }
  lease = { ...lease, spent: reported, overdrawn };

  const current = claim.number === lease.number;
  if (current) {
    const back = Math.min(claim.back, outOf(lease));
    if (back > 0) lease = { ...lease, number: lease.number + 1, returned: lease.returned + back };
    lease = { ...lease, answered: Math.max(lease.answered, Math.min(claim.answered, ledger.recall)) };
  }
  ledger = withLease(ledger, claim.process, lease);

  const burning = circumstances.roll === null ? { ledger, burned: 0 } : burn(ledger, circumstances.roll, now);
  ledger = burning.ledger;
  const { processes } = circumstances;
  let remaining = remainingOf(ledger, limit);
  const share = Math.floor(remaining / (4 * processes));

  let verdict: Answer['verdict'] = 'granted';
  const ended = window.ends !== null && now >= window.ends;
  if (now < ledger.closedUntil || ended) {
    if (claim.need > 0) verdict = 'closed';
  } else if (current) {
    const size = Math.max(claim.need, Math.min(claim.want, share));
    if (size > 0 && size <= remaining) {
      lease = { ...lease, number: lease.number + 1, granted: lease.granted + size };
      ledger = withLease(ledger, claim.process, lease);
      remaining = remainingOf(ledger, limit);
    } else if (claim.need > 0) {
      const recall = claim.recalled > 0 ? Math.min(claim.recalled, ledger.recall) : ledger.recall + 1;
      verdict = mayReturn(ledger, claim.process, recall) ? 'waiting' : 'refused';
      ledger = { ...ledger, recall: Math.max(recall, ledger.recall), awaited: true };
    }
  } else if (claim.need > 0) {
    verdict = 'stale';
  }

  if (current && (claim.need > 0 || claim.want > 0 || claim.doubtful === true) && lease.number === claim.number) {
    // It has got nothing. Should it come again, it is an old one, or it could get what nobody waits for any more.
    lease = { ...lease, number: lease.number + 1 };
    ledger = withLease(ledger, claim.process, lease);
  }

  const told = verdict === 'waiting' || verdict === 'refused';
  const isHeard = lease.answered > (before.leases[claim.process]?.answered ?? 0);
  // Also of who gets nothing now: it may end before it asks again, and what it gave back is somebody else's.
  const news = before.awaited && free(ledger, limit) > freeBefore;
  if (news && !told) ledger = { ...ledger, awaited: false };
  return {
    ledger,
    answer: {
      number: lease.number,
      granted: lease.granted,
      returned: lease.returned,
      spent: lease.spent,
      overdrawn: lease.overdrawn,
      answered: lease.answered,
      generation: ledger.generation,
      verdict,
      recall: ledger.recall,
      remaining,
      used: usedOf(ledger, limit),
      scarce: remaining < 4 * processes,
      news,
      heard: before.awaited && !told && !news && isHeard,
      burned: burning.burned,
      excess,
    },
  };
}

/**
 * What time has done: buckets empty, and leases of processes that have been gone for long are summed up. It is counted
 * from when they were found gone, or a clock that is set forward would do it to those who are there.
 */
export function passed(ledger: Ledger, limit: Limit, now: Millis): Ledger {
  if (now <= ledger.at) return ledger;
  let { settled, lost, level } = ledger;
  const leases: Record<string, Lease> = {};
  const isBucket = limit.algorithm === 'bucket' && limit.per !== 'lifetime';
  if (isBucket) level = Math.max(0, level - ((now - ledger.at) * limit.max) / paceMs(limit.per));
  for (const [process, lease] of Object.entries(ledger.leases)) {
    const absence = lease.gone === 0 ? 0 : now - lease.gone;
    if (absence > keepMs) {
      settled += lease.spent + lease.overdrawn;
      if (isBucket) level += outOf(lease);
      else lost += outOf(lease);
    } else if (isBucket && absence > 2 * bucketLifeMs && outOf(lease) > 0) {
      // Nobody can spend them any more. They may all have been spent a moment ago.
      level += outOf(lease);
      leases[process] = { ...lease, number: lease.number + 1, returned: lease.granted - lease.spent };
    } else {
      leases[process] = lease;
    }
  }
  return { ...ledger, settled, lost, level, at: now, leases };
}

/** What those hold who are gone is burned. Who was heard of after the roll was called has joined since. */
function burn(
  ledger: Ledger,
  roll: NonNullable<Circumstances['roll']>,
  now: Millis,
): { readonly ledger: Ledger; readonly burned: number } {
  let burned = 0;
  const leases: Record<string, Lease> = { ...ledger.leases };
  for (const [process, lease] of Object.entries(leases)) {
    if (lease.gone > 0 || lease.seen >= roll.at || roll.live.has(process)) continue;
    leases[process] = { ...lease, gone: now };
    burned += outOf(lease);
  }
  return { ledger: { ...ledger, leases }, burned };
}

/** Whether another live process has units out, and has not said since the recall that none of them is idle. */
const mayReturn = ({ leases }: Ledger, process: string, recall: number): boolean =>
  Object.entries(leases).some(
    ([other, lease]) => other !== process && lease.gone === 0 && outOf(lease) > 0 && lease.answered < recall,
  );

const withLease = (ledger: Ledger, process: string, lease: Lease): Ledger => ({
  ...ledger,
  leases: { ...ledger.leases, [process]: lease },
});

/**
 * Begins anew within the window: what was spent is forgiven, and what was burned long ago. All leases are carried over,
 * those of processes that are gone too: one that is only slow may still spend its units, and then in this generation.
 */
export function reset(before: Ledger, limit: Limit, now: Millis): Ledger {
  const ledger = passed(before, limit, now);
  let waived = ledger.settled;
  for (const { spent, overdrawn } of Object.values(ledger.leases)) waived += spent + overdrawn;
  return { ...ledger, generation: ledger.generation + 1, waived, lost: 0, level: 0 };
}
