import { Grants, type Permissions } from './permissions.ts';

/** Any JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** Times are milliseconds since the epoch, on the wall clock. */
export type Millis = number;

export type TokenState = 'enabled' | 'disabled' | 'revoked';

/** A token without its secret. `owner` null: its own permissions alone decide. */
export interface Token {
  readonly id: string;
  readonly name: string;
  readonly owner: string | null;
  /** The API that made it; `native` for `/v1`, `declared` for the configuration file. */
  readonly kind: string;
  /** The secret's prefix and last four characters, for people; null when the secret was never seen (import). */
  readonly hint: string | null;
  readonly state: TokenState;
  readonly createdAt: Millis;
  readonly updatedAt: Millis;
  readonly notBefore: Millis | null;
  readonly expiresAt: Millis | null;
  readonly permissions: Permissions;
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
}

export interface Account {
  readonly id: string;
  readonly name: string;
  readonly enabled: boolean;
  /** Tokens of this owner made at or before this instant are revoked. */
  readonly revokedBefore: Millis | null;
  /** A tombstone: the account is gone, its mark stays. */
  readonly deleted: boolean;
  readonly createdAt: Millis;
  readonly updatedAt: Millis;
  readonly version: number;
}

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
  readonly grants: Grants;
  /** When the presented secret stops working, whatever the token says: the end of a rotation's grace. */
  readonly secretUntil: Millis | null;
}

export function compileSubject(stored: StoredToken, account: Account | null, digest: string): Subject {
  const { digest: current, previous, ...token } = stored;
  const secretUntil = digest === current ? null : (previous?.until ?? 0);
  return { token, account, grants: new Grants(stored.permissions), secretUntil };
}

/** Revoked itself, or by the mark on its owner's account. */
export const isRevoked = (token: Token, account: Account | null): boolean =>
  token.state === 'revoked' || (account?.revokedBefore != null && token.createdAt <= account.revokedBefore);

/** The cause for which a token is refused at an instant; `null` when it is good. */
export function subjectFault(subject: Subject, now: Millis): InvalidCause | null {
  const { token, account, secretUntil } = subject;
  if (isRevoked(token, account)) return 'revoked';
  if (token.state === 'disabled') return 'disabled';
  if (token.owner !== null && (account === null || account.deleted || !account.enabled)) return 'account_disabled';
  if (token.notBefore !== null && now < token.notBefore) return 'not_yet_valid';
  if (token.expiresAt !== null && now >= token.expiresAt) return 'expired';
  if (secretUntil !== null && now >= secretUntil) return 'expired';
  return null;
}
