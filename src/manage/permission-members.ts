import {
  type Grant,
  mergePermissions,
  type OwnPermissions,
  type PermissionFault,
  type Permissions,
  permissionFaults,
  resourceFaults,
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
export const checkPermissions = (pointer: string, permissions: Permissions, faults: Faults): void =>
  addAll(pointer, permissionFaults(permissions), faults);

/** Patterns of resources: what an account owns. */
export const checkResources = (pointer: string, resources: readonly string[], faults: Faults): void =>
  addAll(pointer, resourceFaults(resources), faults);

function addAll(pointer: string, found: readonly PermissionFault[], faults: Faults): void {
  for (const { path, why } of found) faults.add(pointer + path.map(pointerStep).join(''), why);
}

/** There is nobody to inherit from without an owner. */
export function checkInherited(pointer: string, permissions: Permissions, owner: string | null, faults: Faults): void {
  if (permissions === 'inherit' && owner === null) faults.add(pointer, 'is "inherit", and the token has no owner');
}
