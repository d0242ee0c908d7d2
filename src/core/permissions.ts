/**
 * Permissions as managers write them: ordered grants, or one of two short forms that stand on the resource `*`. For an
 * action on a resource the last entry that names both decides; none means no.
 */
export interface Grant {
  /** Patterns; `*` is one whole segment between `/`, and standing alone every resource that the owner owns. */
  readonly resources: readonly string[];
  /** Patterns of actions; `*` is one whole piece between `:` and `.`, and standing alone every action. */
  readonly actions: Readonly<Record<string, boolean>>;
}

/** What an account or a role has. */
export type OwnPermissions = readonly string[] | Readonly<Record<string, boolean>> | readonly Grant[];

/** What a token has: `inherit` is what its owner has, neither more nor less. */
export type Permissions = OwnPermissions | 'inherit';

const everything = ['*'] as const;
const noGrants: readonly Grant[] = [];

/** The long form: what a short form stands for. */
export function grantsOf(permissions: OwnPermissions): readonly Grant[] {
  if (!isArray(permissions)) {
    return Object.keys(permissions).length === 0 ? noGrants : [{ resources: everything, actions: permissions }];
  }
  if (permissions.length === 0) return noGrants;
  if (typeof permissions[0] === 'object') return permissions as readonly Grant[];
  const granted = (permissions as readonly string[]).map(action => [action, true] as const);
  return [{ resources: everything, actions: Object.fromEntries(granted) }];
}

const isArray = (permissions: OwnPermissions): permissions is readonly string[] | readonly Grant[] =>
  Array.isArray(permissions);

/**
 * Most of each: entries of a list or map, grants, resources of one grant, and actions on resources in all grants together
 * (what a comparison of two lists may have to go through); characters of a name, and pieces between its separators.
 */
export const permissionLimits = {
  entries: 1000,
  grants: 1000,
  resources: 1000,
  pairs: 10_000,
  name: 256,
  resource: 256,
  pieces: 32,
} as const;

/** What is wrong with the name of an action in a permission or a route; `null` when nothing is. */
export function actionFault(action: string): string | null {
  if (action === '') return 'is empty';
  // JavaScript moves such members of a map to the front, and order decides.
  if (/^[0-9]+$/.test(action)) return 'is only digits';
  if (action.length > permissionLimits.name) return 'is longer than 256 characters';
  if (!/^[!#-[\]-~]+$/.test(action)) return 'has a character other than visible ASCII without quote and backslash';
  return pieceFault(action.split(/[:.]/), 'piece');
}

/**
 * What is wrong with the pattern of a resource; `null` when nothing is. Values from requests stand in resources decoded,
 * so that any printable text may stand in one. Compared character by character: nothing is folded or normalized.
 */
export function resourceFault(resource: string): string | null {
  if (resource === '') return 'is empty';
  if (resource.length > permissionLimits.resource) return 'is longer than 256 characters';
  if (/[\p{C}\p{Zl}\p{Zp}]/u.test(resource)) return 'has a character that is not printable';
  return pieceFault(resource.split('/'), 'segment');
}

function pieceFault(pieces: readonly string[], noun: string): string | null {
  if (pieces.length > permissionLimits.pieces) return `has more than ${permissionLimits.pieces} ${noun}s`;
  for (const piece of pieces) {
    if (piece === '') return `has an empty ${noun}`;
    if (piece.includes('*') && piece !== '*') return `has a * that is not a whole ${noun}`;
  }
  return null;
}

/** A rule that a value breaks, and the way to the place in it. */
export interface PermissionFault {
  readonly path: readonly (string | number)[];
  readonly why: string;
}

/** Every rule for permissions that have the form of JSON already. A list that is too long is not looked into. */
export function permissionFaults(permissions: Permissions): readonly PermissionFault[] {
  if (permissions === 'inherit') return [];
  const faults: PermissionFault[] = [];
  if (!isArray(permissions)) checkActions(permissions, [], faults);
  else if (permissions.every(entry => typeof entry === 'string')) checkNames(permissions, faults);
  else if (permissions.every(entry => typeof entry === 'object')) checkGrants(permissions, faults);
  else faults.push({ path: [], why: 'has actions and grants in one list' });
  return faults;
}

/** `owns` of an account, and the resources of a grant. */
export function resourceFaults(resources: readonly string[]): readonly PermissionFault[] {
  if (resources.length > permissionLimits.resources) return [tooMany(permissionLimits.resources, 'resources')];
  return resources.flatMap((resource, i) => {
    const why = resourceFault(resource);
    return why === null ? [] : [{ path: [i], why }];
  });
}

function checkNames(names: readonly string[], faults: PermissionFault[]): void {
  if (names.length > permissionLimits.entries) faults.push(tooMany(permissionLimits.entries, 'entries'));
  else for (const [i, name] of names.entries()) add(faults, [i], actionFault(name));
}

function checkActions(actions: Grant['actions'], path: readonly (string | number)[], faults: PermissionFault[]): void {
  const names = Object.keys(actions);
  if (names.length > permissionLimits.entries) faults.push(tooMany(permissionLimits.entries, 'entries', path));
  else for (const name of names) add(faults, [...path, name], actionFault(name));
}

function checkGrants(grants: readonly Grant[], faults: PermissionFault[]): void {
  if (grants.length > permissionLimits.grants) {
    faults.push(tooMany(permissionLimits.grants, 'grants'));
    return;
  }
  let pairs = 0;
  for (const { resources, actions } of grants) pairs += resources.length * Object.keys(actions).length;
  if (pairs > permissionLimits.pairs) {
    faults.push(tooMany(permissionLimits.pairs, 'actions on resources in all'));
    return;
  }
  for (const [i, { resources, actions }] of grants.entries()) {
    // A grant that names nothing is a mistake, and would slip through the count.
    if (resources.length === 0) add(faults, [i, 'resources'], 'is empty');
    if (Object.keys(actions).length === 0) add(faults, [i, 'actions'], 'is empty');
    for (const { path, why } of resourceFaults(resources)) add(faults, [i, 'resources', ...path], why);
    checkActions(actions, [i, 'actions'], faults);
  }
}

const tooMany = (most: number, of: string, path: PermissionFault['path'] = []): PermissionFault => ({
  path,
  why: `has more than ${most} ${of}`,
});

function add(faults: PermissionFault[], path: PermissionFault['path'], why: string | null): void {
  if (why !== null) faults.push({ path, why });
}

/** The merge of a map into a map (RFC 7396: null removes). */
export function mergePermissions(
  base: Readonly<Record<string, boolean>>,
  patch: Readonly<Record<string, boolean | null>>,
): Record<string, boolean> {
  const merged = new Map(Object.entries(base));
  for (const [action, value] of Object.entries(patch)) {
    // A changed entry moves to the end: what was said last decides.
    merged.delete(action);
    if (value !== null) merged.set(action, value);
  }
  return Object.fromEntries(merged);
}
