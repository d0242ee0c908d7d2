import type { Account, Millis, Role, StoredToken, TokenState } from '../core/token.ts';
import type { Cursor } from './change-feed.ts';

/**
 * The token store: tokens, accounts, roles, their audit trail. A mutation writes state, feed event and audit event as one;
 * when its promise resolves it is durable. Compare-and-set by version makes every change a function of what was read.
 *
 * Every method rejects with `StoreUnavailable` when the store does not answer in time or cannot do it. A rejection
 * with `sent` leaves the outcome of a mutation unknown. Nothing is ever answered as "absent" for want of an answer.
 */
export interface TokenStore {
  /**
   * The token that has one of these digests, current or still-living previous, and its owner's account. Digests are
   * tried in order; the first that is known wins.
   */
  find(digests: readonly string[]): Promise<FoundToken | null>;

  getToken(id: string): Promise<TokenAndAccount | null>;
  listTokens(query: TokenQuery): Promise<Page<TokenAndAccount>>;

  /** Refuses an id or digest that exists, an owner that does not, a creation not after the owner's mark. */
  createToken(token: StoredToken, audit: Audit, idempotency: Idempotency | null): Promise<CreateOutcome>;
  /** The token that this key has made and still stands for; null when there is none. */
  findCreation(idempotency: Idempotency): Promise<Replay | null>;
  /**
   * Resolves when what was read before is as durable as a mutation that has resolved. An answer that changes nothing,
   * because somebody has done already what was asked, vouches for a change whose outcome may have been unknown.
   */
  settled(): Promise<void>;
  /**
   * Replaces the token if its version is still `expected`. An owner that it had before need not exist any more. A token
   * under its owner's mark does not change owners: `stale`, for its reader has not seen the mark. `awaited`: what its
   * event says; false by default.
   */
  replaceToken(token: StoredToken, expected: number, audit: Audit, awaited?: boolean): Promise<ReplaceOutcome>;
  /** Moves a token from an older pepper's digest to the first one's. Neither version nor feed change. */
  rekey(id: string, from: string, to: string): Promise<void>;

  getAccount(id: string): Promise<Account | null>;
  /** The account, tombstones included, and the roles that it has, which is what a token of its is judged by. */
  getOwner(id: string): Promise<Owner | null>;
  /** Tombstones are left out. */
  listAccounts(query: PageQuery): Promise<Page<Account>>;
  /**
   * `expected` 0 creates; a role that does not exist is refused. A tombstone has no roles, whatever it says: it is not
   * asked whether they exist. `awaited` as for `replaceToken`.
   */
  putAccount(account: Account, expected: number, audit: Audit, awaited?: boolean): Promise<PutAccountOutcome>;

  /** Tombstones included. */
  getRole(id: string): Promise<Role | null>;
  /** Every role, in their order. Tombstones are left out. */
  listRoles(): Promise<readonly Role[]>;
  /**
   * `expected` 0 creates, as does one above a tombstone's version: at the end of the order. One that an account has is not
   * made a tombstone: `held`.
   */
  putRole(role: Role, expected: number, audit: Audit): Promise<PutRoleOutcome>;
  /** Puts roles in order, if `ids` are all there are. Its event concerns whoever has any role. */
  orderRoles(ids: readonly string[], audit: Audit): Promise<OrderOutcome>;
  /** Counts an owner's tokens that are neither revoked nor under the account's mark. */
  countLive(owner: string): Promise<number>;

  /** Audit events of a token, account or role, oldest first; `roleOrderId` has those of the order of roles. */
  listEvents(query: EventQuery): Promise<Page<AuditEvent>>;
}

export interface FoundToken extends TokenAndAccount {
  /** Position in the list of digests that was asked for. */
  readonly index: number;
  /** Those that the account has, in the order of all roles. */
  readonly roles: readonly Role[];
}

export interface TokenAndAccount {
  readonly token: StoredToken;
  /** The owner's account, tombstones included; null when the token has no owner or the account is unknown. */
  readonly account: Account | null;
}

/** An account, and the roles that it has in the order of all roles. */
export interface Owner {
  readonly account: Account;
  readonly roles: readonly Role[];
}

export interface PageQuery {
  readonly limit: number;
  /** Opaque position that the last page answered; null for the first. */
  readonly after: number | null;
}

export interface TokenQuery extends PageQuery {
  readonly owner?: string;
  /** Absent: every state but revoked. */
  readonly state?: TokenState;
  readonly kind?: string;
  /** Every kind but this one. */
  readonly notKind?: string;
  readonly tag?: string;
  /** Beginning of the name. */
  readonly prefix?: string;
  readonly expiresBefore?: Millis;
}

export interface EventQuery extends PageQuery {
  readonly kind: 'token' | 'account' | 'role';
  readonly id: string;
}

/** Things in the order of their creation. `next` is null on the last page. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly next: number | null;
}

/** Who did what: written with the mutation, never without it. */
export interface Audit {
  readonly at: Millis;
  readonly actor: string;
  readonly address: string;
  readonly action: string;
  /** Members before and after; never a secret or a digest. */
  readonly changes: Changes;
}

export type Changes = Readonly<Record<string, { readonly from: unknown; readonly to: unknown }>>;

export interface AuditEvent extends Audit {
  readonly id: number;
}

/** A creation that may be asked for twice. */
export interface Idempotency {
  /** Digest over actor and key. */
  readonly key: string;
  /** Digest over the body. */
  readonly body: string;
  readonly expiresAt: Millis;
}

/** A creation that was asked for before; `sameBody`: in the same words. */
export interface Replay {
  readonly kind: 'replayed';
  readonly tokenId: string;
  readonly sameBody: boolean;
}

export type CreateOutcome =
  | { readonly kind: 'done'; readonly events: readonly FeedEvent[] }
  | { readonly kind: 'id_exists' }
  | { readonly kind: 'digest_exists' }
  | { readonly kind: 'no_owner' }
  /** The owner's tokens up to this instant are revoked: create with a later one. */
  | { readonly kind: 'marked'; readonly until: Millis }
  | Replay;

export type ReplaceOutcome =
  /** `position`: who has come so far in the feed has seen it. */
  | { readonly kind: 'done'; readonly events: readonly FeedEvent[]; readonly position: Cursor }
  | { readonly kind: 'stale' }
  | { readonly kind: 'digest_exists' }
  | { readonly kind: 'no_owner' };

export type PutAccountOutcome =
  | Extract<ReplaceOutcome, { readonly kind: 'done' | 'stale' }>
  /** Roles of the account that do not exist. */
  | { readonly kind: 'no_role'; readonly ids: readonly string[] };

export type PutRoleOutcome =
  | { readonly kind: 'done'; readonly events: readonly FeedEvent[]; readonly position: Cursor }
  | { readonly kind: 'stale' }
  /** Accounts that have it, some of them. */
  | { readonly kind: 'held'; readonly accounts: readonly string[] }
  /** There are as many as there may be (`mostRoles`). */
  | { readonly kind: 'full' };

export type OrderOutcome =
  | { readonly kind: 'done'; readonly events: readonly FeedEvent[]; readonly position: Cursor }
  /** `ids` are not exactly those that there are, which are these. */
  | { readonly kind: 'stale'; readonly ids: readonly string[] };

/** One change, in the order in which the store made it. Sequence numbers are consecutive within an epoch. */
export interface FeedEvent {
  readonly seq: number;
  readonly at: Millis;
  readonly kind: 'token' | 'account' | 'role';
  readonly id: string;
  /** 0 for the order of all roles, which has none. */
  readonly version: number;
  /**
   * Digests whose look-up may answer differently now: current and previous, before and after. None for an account,
   * whose id concerns every token that it owns, and for a role, whose id concerns those of every account that has it;
   * `roleOrderId` stands for the order of all roles.
   */
  readonly digests: readonly string[];
  /** Somebody waits until every process has applied it: its next heartbeat is due at once. */
  readonly awaited: boolean;
}
