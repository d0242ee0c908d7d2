import {
  actionFault,
  type Grant,
  mergePermissions,
  type OwnPermissions,
  type Permissions,
  permissionLimits,
  resourceFault,
} from '../core/permissions.ts';
import { pointerStep } from '../core/strict-json.ts';
import type { Faults } from './faults.ts';

/** Permissions as managers say and change them: those of tokens, accounts and roles alike. */

/** What a merge patch says of them. In a map null removes. */
export type OwnPermissionsPatch = readonly string[] | Readonly<Record<string, boolean | null>> | readonly Grant[];
export type PermissionsPatch = OwnPermissionsPatch | 'inherit';

type Map<V> = Readonly<Record<string, V>>;

const isMap = <V>(permissions: readonly string[] | readonly Grant[] | Map<V> | 'inherit'): permissions is Map<V> =>
  typeof permissions === 'object' && !Array.isArray(permissions);

/** A map is merged into a map; as with every value that is no map, anything else is replaced (RFC 7396). */
export function patchedPermissions(current: Permissions | null, patch: OwnPermissionsPatch): OwnPermissions {
  if (!isMap(patch)) return patch;
  return mergePermissions(current !== null && isMap(current) ? current : {}, patch);
}

/** Whether a patch can be merged and not only replace: both are maps, or nothing was there. */
export const isMerge = (current: Permissions, patch: PermissionsPatch): boolean =>
  isMap(patch) && (isMap(current) || current.length === 0);

/** Permissions in any form; that a token which inherits has an owner is `checkInherited`. */
export function checkPermissions(pointer: string, permissions: Permissions, faults: Faults): void {
  if (permissions === 'inherit') return;
  if (!isMap(permissions) && isGrants(permissions)) checkGrants(pointer, permissions, faults);
  else {
    const actions = isMap(permissions) ? Object.keys(permissions) : permissions;
    if (isTooMany(actions.length, pointer, faults)) return;
    actions.forEach((action, index) => {
      checkAction(pointer + pointerStep(isMap(permissions) ? action : index), action, faults);
    });
  }
}

/** There is nobody to inherit from without an owner. */
export function checkInherited(pointer: string, permissions: Permissions, owner: string | null, faults: Faults): void {
  if (permissions === 'inherit' && owner === null) faults.add(pointer, 'is "inherit", and the token has no owner');
}

/** Patterns of resources: what an account owns. */
export function checkResources(pointer: string, resources: readonly string[], faults: Faults): void {
  if (isTooMany(resources.length, pointer, faults)) return;
  resources.forEach((resource, index) => {
    const why = resourceFault(resource);
    if (why !== null) faults.add(pointer + pointerStep(index), why);
  });
}

const isGrants = (list: readonly string[] | readonly Grant[]): list is readonly Grant[] => typeof list[0] === 'object';

function checkGrants(pointer: string, grants: readonly Grant[], faults: Faults): void {
  // Each action on each resource is an entry that may decide.
  const entries = grants.reduce((n, { resources, actions }) => n + resources.length * Object.keys(actions).length, 0);
  if (isTooMany(Math.max(entries, grants.length), pointer, faults)) return;
  grants.forEach(({ resources, actions }, index) => {
    const at = pointer + pointerStep(index);
    const names = Object.keys(actions);
    if (resources.length === 0) faults.add(`${at}/resources`, 'is empty');
    if (names.length === 0) faults.add(`${at}/actions`, 'is empty');
    checkResources(`${at}/resources`, resources, faults);
    if (isTooMany(names.length, `${at}/actions`, faults)) return;
    for (const name of names) checkAction(`${at}/actions${pointerStep(name)}`, name, faults);
  });
}

function checkAction(pointer: string, action: string, faults: Faults): void {
  const why = actionFault(action);
  if (why !== null) faults.add(pointer, why);
}

function isTooMany(entries: number, pointer: string, faults: Faults): boolean {
  if (entries <= permissionLimits.entries) return false;
  faults.add(pointer, `has more than ${permissionLimits.entries} entries`);
  return true;
}
