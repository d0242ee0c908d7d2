import { type CompiledConstraints, type Constraints, compileConstraints } from './constraint.ts';
import type { Limit } from './limit.ts';
import type { OwnPermissions, Permissions } from './permissions.ts';
import { compileRights, type Rights } from './rights.ts';

/** Any JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** Times are milliseconds since the epoch, on the wall clock. */
export type Millis = number;

export type TokenState = 'enabled' | 'disabled' | 'revoked';

/** `shadow`: what its requests are refused with is recorded, and they are forwarded all the same. */
export type TokenMode = 'enforce' | 'shadow';

/** A token without its secret. `owner` null: its own permissions alone decide. */
export interface Token {
  readonly id: string;
  readonly name: string;
  readonly owner: string | null;
  /** The API that made it; `native` for `/v1`, `declared` for the configuration file, `session` for a session. */
  readonly kind: string;
  /** The secret's prefix and last four characters, for people; null when the secret was never seen (import). */
  readonly hint: string | null;
  readonly state: TokenState;
  readonly mode: TokenMode;
  readonly createdAt: Millis;
  readonly updatedAt: Millis;
  readonly notBefore: Millis | null;
  readonly expiresAt: Millis | null;
  readonly permissions: Permissions;
  /** None: it may be used without end. */
  readonly limits: readonly Limit[];
  readonly constraints: Constraints;
  readonly extra: { readonly [name: string]: Json };
  readonly tags: readonly string[];
  /** Counts mutations, from 1. Usage does not change it. */
  readonly version: number;
}

/** What the store keeps of a token: digests instead of secrets. */
export interface StoredToken extends Token {
  readonly digest: string;
  /** The secret before the last rotation, while it lives on. */
  readonly previous: { readonly digest: string; readonly until: Millis } | null;
  /** The secret under a key that only an API has which may show it again; null: nobody can. */
  readonly sealed: string | null;
}

/**
 * Kind of the sessions that managers of token APIs have here. They are kept as tokens are, so that revocation, feed and
 * cache hold for them; but no request to an upstream is ever permitted by one.
 */
export const sessionKind = 'session';

export interface Account {
  readonly id: string;
  readonly name: string;
  readonly enabled: boolean;
  /** Ids of roles, whatever their order: that of all roles is what counts. */
  readonly roles: readonly string[];
  /**
   * Null: it was never given permissions or roles. It has none to pass on then, and puts no bound on those of its tokens.
   * Where it has roles, or ever had a bound, this is a list or map, if only an empty one.
   */
  readonly permissions: OwnPermissions | null;
  /** Patterns of resources that `*` stands for; null: every one. */
  readonly owns: readonly string[] | null;
  /** Shared by all its tokens. None: there is no end. */
  readonly limits: readonly Limit[];
  /** Tokens of this owner made at or before this instant are revoked. */
  readonly revokedBefore: Millis | null;
  /** A tombstone: the account is gone, its mark stays. */
  readonly deleted: boolean;
  readonly createdAt: Millis;
  readonly updatedAt: Millis;
  readonly version: number;
}

/** Named grants that accounts can have. All roles stand in one order, in which they apply. */
export interface Role {
  readonly id: string;
  readonly name: string;
  readonly permissions: OwnPermissions;
  /** A tombstone: what was known of it stays in the audit trail. */
  readonly deleted: boolean;
  readonly createdAt: Millis;
  readonly updatedAt: Millis;
  readonly version: number;
}

/** What events and the audit trail call the order of all roles; no role has this id. */
export const roleOrderId = 'order';

/** Whether a change of a role, or of the order of all of them, concerns an account. */
export const hasRole = (account: Account | null, id: string): boolean =>
  account !== null && (id === roleOrderId ? account.roles.length > 0 : account.roles.includes(id));

/** Most roles that there may be: each look-up of a token reads its account's. */
export const mostRoles = 500;

export const idPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** Printable text up to 256 characters, for names. */
export const namePattern = /^[^\p{C}]{1,256}$/u;

/** Why a presented token is not valid. One answer to the client; told apart in the record. */
export const invalidCauses = [
  'malformed',
  'checksum',
  'unknown',
  'revoked',
  'disabled',
  'account_disabled',
  'not_yet_valid',
  'expired',
] as const;
export type InvalidCause = (typeof invalidCauses)[number];

/** A token as the gate judges it: compiled once, when it enters the cache. */
export interface Subject {
  readonly token: Token;
  readonly account: Account | null;
  /** Those that the account has, in the order in which they apply. */
  readonly roles: readonly Role[];
  readonly rights: Rights;
  /** Null: none. */
  readonly constraints: CompiledConstraints | null;
  /** When the presented secret stops working, whatever the token says: the end of a rotation's grace. */
  readonly secretUntil: Millis | null;
}

/** `digest`: the one under which the token was found. */
export function compileSubject(
  stored: StoredToken,
  account: Account | null,
  roles: readonly Role[],
  digest: string,
): Subject {
  const { digest: current, previous, sealed: _, ...token } = stored;
  return subjectOf(token, account, roles, digest === current ? null : (previous?.until ?? 0));
}

export const subjectOf = (
  token: Token,
  account: Account | null,
  roles: readonly Role[],
  secretUntil: Millis | null,
): Subject => ({
  token,
  account,
  roles,
  rights: compileRights(token, account, roles),
  constraints: compileConstraints(token.constraints),
  secretUntil,
});

/** Under which ledgers know a token's limits. The configuration has no versions: it is 0 there. */
export const limitsVersion = ({ kind, version }: Pick<Token, 'kind' | 'version'>): number =>
  kind === 'declared' ? 0 : version;

/** Revoked itself, or by the mark on its owner's account. */
export const isRevoked = (token: Token, account: Account | null): boolean =>
  token.state === 'revoked' || (account?.revokedBefore != null && token.createdAt <= account.revokedBefore);

/**
 * The cause for which a token is refused at an instant; `null` when it is good. A session is no token of anybody who asks
 * for an upstream.
 */
export const subjectFault = (subject: Subject, now: Millis): InvalidCause | null =>
  subject.token.kind === sessionKind ? 'unknown' : standingFault(subject, now);

/** What speaks against a token or a session at an instant, whatever it is shown for. */
export function standingFault({ token, account, secretUntil }: Subject, now: Millis): InvalidCause | null {
  if (isRevoked(token, account)) return 'revoked';
  if (token.state === 'disabled') return 'disabled';
  if (token.owner !== null && (account === null || account.deleted || !account.enabled)) return 'account_disabled';
  if (token.notBefore !== null && now < token.notBefore) return 'not_yet_valid';
  if (token.expiresAt !== null && now >= token.expiresAt) return 'expired';
  if (secretUntil !== null && now >= secretUntil) return 'expired';
  return null;
}
