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

/** Most entries, and most characters of an action's name. */
export const permissionLimits = { entries: 1000, name: 256 } as const;

/** What is wrong with the name of an action in a permission or a route; `null` when nothing is. */
export function actionFault(action: string): string | null {
  if (action === '') return 'is empty';
  // JavaScript moves such members of a map to the front, and order decides.
  if (/^[0-9]+$/.test(action)) return 'is only digits';
  if (action.length > permissionLimits.name) return 'is longer than 256 characters';
  if (!/^[!#-[\]-~]+$/.test(action)) return 'has a character other than visible ASCII without quote and backslash';
  for (const piece of action.split(/[:.]/)) {
    if (piece === '') return 'has an empty piece';
    if (piece.includes('*') && piece !== '*') return 'has a * that is not a whole piece';
  }
  return null;
}

/** What is wrong with a pattern of resources; `null` when nothing is. */
export function resourceFault(resource: string): string | null {
  if (resource === '') return 'is empty';
  if (resource.length > permissionLimits.name) return 'is longer than 256 characters';
  if (/\p{C}/u.test(resource)) return 'has a character that cannot be printed';
  for (const segment of resource.split('/')) {
    if (segment === '') return 'has an empty segment';
    if (segment.includes('*') && segment !== '*') return 'has a * that is not a whole segment';
  }
  return null;
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
