import { hash, timingSafeEqual } from 'node:crypto';
import { networkOf } from '../core/address.ts';
import { single } from '../core/fields.ts';
import type { Form } from '../core/form.ts';
import type { Millis } from '../core/token.ts';
import type { Scope } from '../manage/parts.ts';
import type { GuessGuard } from '../ports/guard.ts';
import { Rejection } from './answer.ts';

/** What a key may do: everything, read, or what concerns the tokens of one account. */
export type Role = LeastRole | `owner:${string}`;
/** What an operation asks for. */
export type LeastRole = 'admin' | 'read';

/** A key of the admin API, as the configuration has it. */
export interface AdminKey {
  /** Who the audit trail says it was. */
  readonly name: string;
  readonly role: Role;
  /** SHA-256 of the key. */
  readonly sha256: Uint8Array;
  readonly expiresAt: Millis | null;
}

const challenge = ['WWW-Authenticate', 'Bearer realm="postern-admin"'];

/** The scheme in any case, one space, and the key: any bytes, as a configured key may have. */
const bearer = /^bearer (\S(?:.*\S)?)$/i;

/** Who asks. Throws a `Rejection` when nobody does who may. */
export function authenticate(
  form: Form,
  peer: string,
  keys: readonly AdminKey[],
  guard: GuessGuard,
  now: Millis,
): AdminKey {
  const value = single(form.fields, form.names, 'authorization');
  if (value === null) throw new Rejection('ambiguous_credential', 'Authorization stands more than once.');
  // Another scheme is no key, and no attempt to guess one.
  if (value === undefined || !/^bearer(?: |$)/i.test(value)) {
    throw new Rejection('unauthenticated', 'This needs an admin key.', challenge);
  }
  const presented = bearer.exec(value)?.[1];
  const key = presented === undefined ? null : matching(presented, keys, now);
  if (key !== null) return key;
  const wait = guard.failed(networkOf(peer));
  if (wait === 0) throw new Rejection('unauthenticated', 'This is not an admin key in force.', challenge);
  const detail = 'Too many failed keys from this network.';
  throw new Rejection('too_many_failures', detail, ['Retry-After', String(wait)]);
}

/** What an operation asks of keys. */
export interface Demand {
  readonly role: LeastRole;
  /** Keys of an account's owner may call it: the services hold them to that account's tokens. */
  readonly ownerKeys: boolean;
}

export function suffices(role: Role, { role: least, ownerKeys }: Demand): boolean {
  switch (role) {
    case 'admin':
      return true;
    case 'read':
      return least === 'read';
    default:
      return ownerKeys;
  }
}

/** What the services hold a key of this role to. */
export const scopeOf = (role: Role): Scope | null =>
  role === 'admin' || role === 'read' ? null : { account: role.slice('owner:'.length) };

/**
 * Milliseconds for which a key that was let in may go on with a call, by the keys that are in force now; 0 when it may
 * not any more, or is for another account's tokens by now.
 */
export function leftMs(key: AdminKey, asked: Demand, keys: readonly AdminKey[], now: Millis): number {
  const reaches = (role: Role): boolean => scopeOf(role) === null || role === key.role;
  const ends = keys
    .filter(({ sha256, role }) => timingSafeEqual(sha256, key.sha256) && suffices(role, asked) && reaches(role))
    .map(({ expiresAt }) => expiresAt ?? Number.POSITIVE_INFINITY);
  return Math.max(0, ...ends.map(end => end - now));
}

/** Compares digests of equal length, and all of them: the time says nothing about any key. */
function matching(presented: string, keys: readonly AdminKey[], now: Millis): AdminKey | null {
  // The parser reads fields as latin1: this gives back the bytes that were sent.
  const digest = hash('sha256', Buffer.from(presented, 'latin1'), 'buffer');
  let found: AdminKey | null = null;
  for (const key of keys) {
    const equal = timingSafeEqual(digest, key.sha256);
    if (equal && (key.expiresAt === null || now < key.expiresAt)) found = key;
  }
  return found;
}
