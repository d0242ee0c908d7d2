import { isDeepStrictEqual } from 'node:util';
import { shownConstraints } from '../core/constraint-form.ts';
import { shownLimit } from '../core/limit-form.ts';
import type { Account, Millis, Role, StoredToken } from '../core/token.ts';
import type { Changes } from '../ports/token-store.ts';
import { changedSecrets } from './constraints.ts';

/** RFC 3339 in UTC, with milliseconds: how instants leave the process. */
export const instantText = (at: Millis): string => new Date(at).toISOString();
const instantOrNull = (at: Millis | null): string | null => (at === null ? null : instantText(at));

/** Members as managers see them, for the audit trail: hints stand for secrets, digests are left out. */
const tokenFacts = (token: StoredToken): Readonly<Record<string, unknown>> => ({
  name: token.name,
  owner: token.owner,
  state: token.state,
  mode: token.mode,
  not_before: instantOrNull(token.notBefore),
  expires_at: instantOrNull(token.expiresAt),
  permissions: token.permissions,
  limits: token.limits.map(shownLimit),
  constraints: shownConstraints(token.constraints),
  extra: token.extra,
  tags: token.tags,
});

const accountFacts = (account: Account): Readonly<Record<string, unknown>> => ({
  name: account.name,
  enabled: account.enabled,
  roles: account.roles,
  permissions: account.permissions,
  owns: account.owns,
  limits: account.limits.map(shownLimit),
  deleted: account.deleted,
  revoked_before: instantOrNull(account.revokedBefore),
});

const roleFacts = (role: Role): Readonly<Record<string, unknown>> => ({
  name: role.name,
  permissions: role.permissions,
  deleted: role.deleted,
});

/** What differs between two states of a token; before its creation everything is null. */
export function tokenChanges(before: StoredToken | null, after: StoredToken): Changes {
  const changes = differences(before === null ? {} : tokenFacts(before), tokenFacts(after));
  if (before?.digest !== after.digest) changes['secret'] = { from: before?.hint ?? null, to: after.hint };
  const secrets = before === null ? [] : changedSecrets(before.constraints, after.constraints);
  if (secrets.length > 0) changes['constraint_secrets'] = { from: null, to: secrets };
  const from = before?.previous?.until ?? null;
  const to = after.previous?.until ?? null;
  if (from !== to) changes['previous_secret_until'] = { from: instantOrNull(from), to: instantOrNull(to) };
  return changes;
}

export const accountChanges = (before: Account | null, after: Account): Changes =>
  differences(before === null ? {} : accountFacts(before), accountFacts(after));

export const roleChanges = (before: Role | null, after: Role): Changes =>
  differences(before === null ? {} : roleFacts(before), roleFacts(after));

function differences(
  before: Readonly<Record<string, unknown>>,
  after: Readonly<Record<string, unknown>>,
): Record<string, { readonly from: unknown; readonly to: unknown }> {
  const changes: Record<string, { readonly from: unknown; readonly to: unknown }> = {};
  for (const [name, to] of Object.entries(after)) {
    const from = before[name] ?? null;
    if (!isSame(name, from, to)) changes[name] = { from, to };
  }
  return changes;
}

/** In permissions the order says which entry decides; elsewhere the order of members means nothing. */
const isSame = (name: string, a: unknown, b: unknown): boolean =>
  name === 'permissions' ? JSON.stringify(a) === JSON.stringify(b) : isDeepStrictEqual(a, b);
