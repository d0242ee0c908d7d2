/**
 * Permissions of a token, compiled once per version of the token. Short forms only: a list names what is granted, a
 * map grants or withholds; in both the last entry that matches an action decides, and none means no.
 */
export type Permissions = readonly string[] | Readonly<Record<string, boolean>>;

/** Actions divide at `:` and `.`; `*` is one whole piece, and standing alone it is every action. */
interface Pattern {
  readonly pieces: readonly string[];
  readonly order: number;
  readonly allow: boolean;
}

export class Grants {
  readonly #exact = new Map<string, { order: number; allow: boolean }>();
  readonly #patterns: Pattern[] = [];

  constructor(permissions: Permissions) {
    const entries: [string, boolean][] = isList(permissions)
      ? permissions.map(action => [action, true])
      : Object.entries(permissions);
    entries.forEach(([action, allow], order) => {
      if (action.includes('*')) this.#patterns.push({ pieces: pieces(action), order, allow });
      else this.#exact.set(action, { order, allow });
    });
  }

  permits(action: string): boolean {
    const exact = this.#exact.get(action);
    if (this.#patterns.length === 0) return exact?.allow ?? false;
    let order = exact?.order ?? -1;
    let allow = exact?.allow ?? false;
    let asked: readonly string[] | undefined;
    for (const pattern of this.#patterns) {
      if (pattern.order < order) continue;
      asked ??= pieces(action);
      if (!matches(pattern.pieces, asked)) continue;
      order = pattern.order;
      allow = pattern.allow;
    }
    return allow;
  }
}

const isList = (permissions: Permissions): permissions is readonly string[] => Array.isArray(permissions);

/** Pieces with the separators between them, so that `db.*` does not match `db:get`. */
const pieces = (action: string): string[] => action.split(/([:.])/);

function matches(pattern: readonly string[], asked: readonly string[]): boolean {
  if (pattern.length === 1 && pattern[0] === '*') return true;
  if (pattern.length !== asked.length) return false;
  return pattern.every((piece, i) => piece === asked[i] || (piece === '*' && asked[i] !== ''));
}

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
