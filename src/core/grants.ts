import type { Grant } from './permissions.ts';

/** What decided on an action on a resource: the entry of a grant that was the last to name both. */
export interface Ruling {
  readonly allow: boolean;
  /** Place of the grant in its list. */
  readonly grant: number;
  /** The entry's patterns, as written. */
  readonly action: string;
  readonly resource: string;
}

/** Resources by patterns: what an owner owns. */
export class ResourceSet {
  readonly #patterns: readonly (readonly string[])[];

  constructor(patterns: readonly string[]) {
    this.#patterns = patterns.map(pattern => pattern.split('/'));
  }

  has(resource: string): boolean {
    const asked = resource.split('/');
    return this.#patterns.some(pattern => isEverything(pattern) || matches(pattern, asked));
  }
}

interface Entry extends Ruling {
  readonly pieces: readonly string[];
  readonly segments: readonly string[];
}

/** Ordered grants, compiled once for each version of what has them. */
export class Grants {
  /** The last first. */
  readonly #entries: readonly Entry[];

  constructor(grants: readonly Grant[]) {
    this.#entries = grants
      .flatMap(({ resources, actions }, grant) =>
        Object.entries(actions).flatMap(([action, allow]) =>
          resources.map(resource => ({
            allow,
            grant,
            action,
            resource,
            pieces: action.split(/([:.])/),
            segments: resource.split('/'),
          })),
        ),
      )
      .reverse();
  }

  /**
   * What decides on an action on a resource; null when nothing names both. `resource` null: the route names none, and only
   * `*` does. `owned` bounds `*`; null: it is everything.
   */
  ruling(action: string, resource: string | null, owned: ResourceSet | null): Ruling | null {
    const pieces = action.split(/([:.])/);
    const segments = resource === null ? null : resource.split('/');
    for (const entry of this.#entries) {
      if (!isEverything(entry.pieces) && !matches(entry.pieces, pieces)) continue;
      if (isEverything(entry.segments)) {
        if (resource !== null && owned !== null && !owned.has(resource)) continue;
      } else if (segments === null || !matches(entry.segments, segments)) continue;
      return entry;
    }
    return null;
  }

  permits(action: string, resource: string | null = null, owned: ResourceSet | null = null): boolean {
    return this.ruling(action, resource, owned)?.allow ?? false;
  }
}

const isEverything = (pattern: readonly string[]): boolean => pattern.length === 1 && pattern[0] === '*';

function matches(pattern: readonly string[], asked: readonly string[]): boolean {
  if (pattern.length !== asked.length) return false;
  return pattern.every((piece, i) => piece === asked[i] || (piece === '*' && asked[i] !== ''));
}
