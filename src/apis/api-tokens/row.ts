import { Grants } from '../../core/grants.ts';
import { grantsOf } from '../../core/permissions.ts';
import type { Json } from '../../core/token.ts';
import type { TokenView } from '../../manage/token-view.ts';
import type { Manager } from '../../ports/session-source.ts';

/** A token as this API answers it. */

export const isEnabled = ({ state }: TokenView): boolean => state === 'enabled';

export function rowOf(
  view: TokenView,
  manager: Manager,
  granted: readonly string[] = grantedTo(view, manager),
): { readonly [name: string]: Json } {
  return {
    id: view.id,
    user_id: view.owner,
    name: view.name,
    enabled: isEnabled(view),
    created: new Date(view.createdAt).toISOString(),
    permissions: Object.fromEntries(granted.map(name => [name, true])),
  };
}

/** What the token may do, which is less than what it was given when its user has lost some of that. */
export function grantedTo(view: TokenView, manager: Manager): readonly string[] {
  if (namedBy(view.permissions) === 0) return [];
  const flagOf = flagsOf(view);
  return namesOf(view, manager).filter(name => flagOf(name) === true);
}

/** How many entries permissions have. One that inherits says nothing itself, and counts as one. */
export const namedBy = (permissions: TokenView['permissions']): number =>
  permissions === 'inherit'
    ? 1
    : grantsOf(permissions).reduce((sum, { actions }) => sum + Object.keys(actions).length, 0);

/** The user's permissions that can be named: a pattern of its grants permits more, of which the token may name some. */
export function namesOf({ permissions }: TokenView, { permissions: users }: Manager): readonly string[] {
  const own = permissions === 'inherit' ? [] : grantsOf(permissions).flatMap(({ actions }) => Object.keys(actions));
  return [...new Set([...users.names, ...own.filter(name => users.has(name))])];
}

/** What the token itself says of a permission; null: nothing. One that inherits has what the user has. */
export function flagsOf({ permissions }: TokenView): (name: string) => boolean | null {
  if (permissions === 'inherit') return () => true;
  const grants = new Grants(grantsOf(permissions));
  return name => grants.ruling(name, null, null)?.allow ?? null;
}
