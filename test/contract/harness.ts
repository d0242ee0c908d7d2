import type { Account, Role, StoredToken } from '../../src/core/token.ts';
import type { LimitedSubject } from '../../src/ports/limit-ledger.ts';
import type { StoreTarget } from '../../src/ports/store-transfer.ts';
import type { Audit } from '../../src/ports/token-store.ts';
import type { Store } from '../../src/stores/store.ts';
import type { ManualClock } from '../support/manual-clock.ts';

export interface StoreOptions {
  /** How many of the newest feed events are kept. */
  readonly feedEvents?: number;
}

/** What an adapter gives the suites. Look-ups must have a deadline that a busy test machine keeps. */
export interface TestedStore
  extends Pick<
    Store,
    'identity' | 'tokens' | 'feed' | 'usage' | 'limits' | 'registry' | 'keepChecksumKeys' | 'transfer' | 'examine'
  > {
  readonly clock: ManualClock;
  /**
   * Makes it this time for the ledgers of a subject whose limits were said before: the store's clock where that can be set,
   * else what those ledgers have seen.
   */
  limitTime(subject: LimitedSubject, at: number): Promise<void>;
  /** Closes it and opens what it left. */
  reopen(): Promise<TestedStore>;
  /** Closes it and removes what it left. */
  dispose(): Promise<void>;
}

/** Opens a fresh, empty store. */
export type OpenStore = (options?: StoreOptions) => Promise<TestedStore>;

/** A store that is being filled. */
export interface TestedTarget {
  readonly target: StoreTarget;
  /** Begins to fill the same place once more. */
  again(): Promise<StoreTarget>;
  /** Opens what is there; rejects when there is no store. */
  open(): Promise<TestedStore>;
  dispose(): Promise<void>;
}

export type BeginStore = () => Promise<TestedTarget>;

/** When everything here was made, unless a test says otherwise. */
export const made: number = Date.UTC(2029, 11, 1);

export function aToken(id: string, more: Partial<StoredToken> = {}): StoredToken {
  return {
    id,
    name: `token ${id}`,
    owner: null,
    kind: 'native',
    hint: 'pst_…wxyz',
    state: 'enabled',
    mode: 'enforce',
    createdAt: made,
    updatedAt: made,
    notBefore: null,
    expiresAt: null,
    permissions: [],
    limits: [],
    constraints: {},
    extra: {},
    tags: [],
    version: 1,
    digest: `digest-of-${id}`,
    previous: null,
    sealed: null,
    ...more,
  };
}

export function anAccount(id: string, more: Partial<Account> = {}): Account {
  return {
    id,
    name: `account ${id}`,
    enabled: true,
    roles: [],
    permissions: null,
    owns: null,
    limits: [],
    revokedBefore: null,
    deleted: false,
    createdAt: made,
    updatedAt: made,
    version: 1,
    ...more,
  };
}

export const aRole = (id: string, more: Partial<Role> = {}): Role => ({
  id,
  name: `role ${id}`,
  permissions: [],
  deleted: false,
  createdAt: made,
  updatedAt: made,
  version: 1,
  ...more,
});

export const anAudit = (action: string, more: Partial<Audit> = {}): Audit => ({
  at: made,
  actor: 'ops',
  address: '192.0.2.1',
  action,
  changes: {},
  ...more,
});

/** The next version of a token, account or role, changed. */
export const changed = <T extends { readonly version: number }>(thing: T, more: Partial<T>): T => ({
  ...thing,
  version: thing.version + 1,
  ...more,
});
