import type { SaidLimit } from '../core/limit-form.ts';
import type { Permissions } from '../core/permissions.ts';
import type { Json, Millis, StoredToken } from '../core/token.ts';
import { Refusal } from '../errors.ts';
import type { Faults } from './faults.ts';
import { mergeObject } from './merge-patch.ts';
import {
  checkInherited,
  checkPermissions,
  isMerge,
  type PermissionsPatch,
  patchedPermissions,
} from './permission-members.ts';
import { checkMembers, defaultMembers, type TokenMembers } from './token-members.ts';

/**
 * Changes of a token, as functions of what was read and an instant. Version and time are set where it is written. A
 * change of members says what is wrong with the result; others hold whatever the members are: a token can always be
 * disabled.
 */
export type TokenChange = (token: StoredToken, now: Millis, faults: Faults) => StoredToken | Promise<StoredToken>;

/** A merge patch (RFC 7396): null resets a member; `extra` and a map of permissions are merged into what is there. */
export type TokenPatch = {
  readonly [K in Exclude<keyof TokenMembers, 'extra' | 'permissions' | 'constraints'>]?: TokenMembers[K] | null;
} & {
  readonly extra?: { readonly [name: string]: Json } | null;
  readonly permissions?: PermissionsPatch | null;
};

/** Limits are no map: a patch replaces all of them. */
export type SaidPatch = Omit<TokenPatch, 'limits'> & { readonly limits?: readonly SaidLimit[] | null };

export const patched =
  ({ extra, permissions, ...plain }: TokenPatch): TokenChange =>
  (token, _now, faults) => {
    const said = Object.entries(plain) as [keyof TokenMembers, unknown][];
    const next = {
      ...token,
      ...Object.fromEntries(said.map(([name, value]) => [name, value ?? defaultMembers[name]])),
      ...(extra !== undefined && { extra: extra === null ? {} : mergeObject(token.extra, extra) }),
      ...(permissions !== undefined && { permissions: afterPatch(token.permissions, permissions) }),
    };
    checkMembers(next, faults);
    return next;
  };

const afterPatch = (current: Permissions, patch: PermissionsPatch | null): Permissions =>
  patch === null || patch === 'inherit' ? (patch ?? defaultMembers.permissions) : patchedPermissions(current, patch);

/** These members as they are said, each as a whole: nothing is merged. */
export const withMembers =
  (members: Partial<Pick<TokenMembers, 'name' | 'extra' | 'permissions'>>): TokenChange =>
  (token, _now, faults) => {
    const next = { ...token, ...members };
    checkMembers(next, faults);
    return next;
  };

/** Members and secret are as declared; what is not said is as at the beginning. `digests`: all of that secret. */
export const replaced =
  (members: Partial<TokenMembers>, digests: readonly string[]): TokenChange =>
  (token, _now, faults) => {
    const next = { ...token, ...defaultMembers, ...members };
    checkMembers(next, faults);
    const [digest] = digests;
    if (digest === undefined || digests.includes(token.digest)) return next;
    return { ...next, digest, hint: null, previous: null, sealed: null };
  };

export const inState =
  (state: 'enabled' | 'disabled'): TokenChange =>
  token => ({ ...token, state });

/** At most one old secret lives on, for a while, and never longer than the token. `sealed`: a copy of the new one. */
export const rotated =
  (
    { digest, hint }: { readonly digest: string; readonly hint: string },
    graceMs: Millis,
    sealed: string | null = null,
  ): TokenChange =>
  (token, now) => {
    const until = Math.min(now + graceMs, token.expiresAt ?? Number.POSITIVE_INFINITY);
    const previous = until > now ? { digest: token.digest, until } : null;
    return { ...token, digest, hint, previous, sealed };
  };

/** Permissions that were sent by themselves: pointers begin there. */
export const withPermissions =
  (permissions: Permissions): TokenChange =>
  (token, _now, faults) => {
    checkPermissions('', permissions, faults);
    checkInherited('', permissions, token.owner, faults);
    return { ...token, permissions };
  };

/** A map is merged into a map: elsewhere nothing has a name by which it could be taken out. */
export const withMergedPermissions =
  (patch: PermissionsPatch): TokenChange =>
  (token, now, faults) => {
    if (!isMerge(token.permissions, patch)) {
      throw new Refusal('conflict', 'Only a map can be merged into a map. Replace the permissions instead.');
    }
    return withPermissions(afterPatch(token.permissions, patch))(token, now, faults);
  };
