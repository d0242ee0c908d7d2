import { isForgettable, type LocalLimit, localLimit, redefine, type Times } from '../core/charging.ts';
import { type Limit, ledgerName } from '../core/limit.ts';
import { limitsVersion, type Subject } from '../core/token.ts';
import type { LimitedSubject } from '../ports/limit-ledger.ts';

/** A token or an account of which this process holds units, or wants some. */
export interface Holder {
  readonly subject: LimitedSubject;
  /** Of a token: the account that owns it. */
  readonly owner: string | null;
  version: number;
  limits: readonly Limit[];
  /** What requests are charged to, always in the same order: whoever waits for one holds units of those before it. */
  charged: readonly LocalLimit[];
  /** Those of limits that are no more, too: units of them are to be given back. */
  readonly all: Map<string, LocalLimit>;
  /** Nothing is held any more, and nobody knows of it: a request makes a new one. */
  forgotten: boolean;
}

/** What requests of a token are charged to. Made once for each subject of the cache, as long as nothing changes. */
export interface Bundle {
  readonly token: Holder | null;
  readonly account: Holder | null;
  readonly ofToken: readonly LocalLimit[];
  readonly ofAccount: readonly LocalLimit[];
  /** Both, token first. */
  readonly limits: readonly LocalLimit[];
}

/** Most tokens and accounts at a time. Those that rest for some seconds are forgotten, so many are in use at once. */
export const mostHolders = 100_000;

const none: readonly LocalLimit[] = [];

/** Whose units this process holds. */
export class Holders {
  readonly #all = new Map<string, Holder>();
  readonly #bundles = new WeakMap<Subject, Bundle>();
  /** Definitions of a holder have changed: those who wait may go on. */
  changed: (holder: Holder) => void = () => {};

  get size(): number {
    return this.#all.size;
  }

  [Symbol.iterator](): IterableIterator<Holder> {
    return this.#all.values();
  }

  find({ kind, id }: LimitedSubject): Holder | null {
    return this.#all.get(`${kind} ${id}`) ?? null;
  }

  /** Null: there are too many already. */
  bundleOf(subject: Subject, now: Times): Bundle | null {
    const known = this.#bundles.get(subject);
    if (known !== undefined && isCurrent(known)) return known;
    const { token, account } = subject;
    const missing = (token.limits.length > 0 ? 1 : 0) + (account !== null && account.limits.length > 0 ? 1 : 0);
    if (this.#all.size + missing > mostHolders) return null;
    const ofToken = this.#holder({ kind: 'token', id: token.id }, token.owner, limitsVersion(token), token.limits, now);
    const ofAccount =
      account === null
        ? null
        : this.#holder({ kind: 'account', id: account.id }, null, account.version, account.limits, now);
    const bundle = currentBundle({ token: ofToken, account: ofAccount });
    this.#bundles.set(subject, bundle);
    return bundle;
  }

  #holder(
    subject: LimitedSubject,
    owner: string | null,
    version: number,
    limits: readonly Limit[],
    now: Times,
  ): Holder | null {
    const known = this.find(subject);
    if (known === null && limits.length === 0) return null;
    if (known !== null) {
      // The configuration has no versions: what was read last holds. A version that is older than another is late.
      const newer = version > known.version || (version === 0 && known.version === 0 && !same(limits, known.limits));
      if (newer) {
        define(known, version, limits, now);
        this.changed(known);
      }
      return known;
    }
    const holder: Holder = { subject, owner, version, limits, charged: none, all: new Map(), forgotten: false };
    define(holder, version, limits, now);
    this.#all.set(`${subject.kind} ${subject.id}`, holder);
    return holder;
  }

  /** Forgets what nothing is lost of. */
  forget(holder: Holder, now: Times): void {
    for (const [ledger, local] of holder.all) {
      if (!isForgettable(local, now)) continue;
      if (!holder.charged.includes(local)) holder.all.delete(ledger);
    }
    for (const local of holder.all.values()) if (!isForgettable(local, now)) return;
    holder.forgotten = true;
    this.#all.delete(`${holder.subject.kind} ${holder.subject.id}`);
  }
}

/** With the definitions that hold now. */
export function currentBundle({ token, account }: Pick<Bundle, 'token' | 'account'>): Bundle {
  const [ofToken, ofAccount] = [token?.charged ?? none, account?.charged ?? none];
  return { token, account, ofToken, ofAccount, limits: [...ofToken, ...ofAccount] };
}

/** On the hot path: a few comparisons. */
export const isCurrent = ({ token, account, ofToken, ofAccount }: Bundle): boolean =>
  (token === null || (!token.forgotten && token.charged === ofToken)) &&
  (account === null || (!account.forgotten && account.charged === ofAccount));

function define(holder: Holder, version: number, limits: readonly Limit[], now: Times): void {
  holder.version = version;
  holder.limits = limits;
  const charged: LocalLimit[] = [];
  for (const limit of limits) {
    const ledger = ledgerName(limit);
    const known = holder.all.get(ledger);
    if (known === undefined) holder.all.set(ledger, localLimit(limit, now));
    else redefine(known, limit);
    charged.push(holder.all.get(ledger)!);
  }
  for (const local of holder.all.values()) if (!charged.includes(local)) local.gone = true;
  holder.charged = charged.sort((a, b) => (a.ledger < b.ledger ? -1 : 1));
}

const same = (a: readonly Limit[], b: readonly Limit[]): boolean => a === b || JSON.stringify(a) === JSON.stringify(b);
