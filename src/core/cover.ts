import type { Grant } from './permissions.ts';

/** What a token would be granted and its account is not. */
export interface Uncovered {
  /** Place of the grant in its list. */
  readonly grant: number;
  /** The entry's patterns, as written. */
  readonly action: string;
  readonly resource: string;
}

interface Entry extends Uncovered {
  readonly allow: boolean;
}

/**
 * The first entry of a token's grants that may permit what its account does not; null when there is none. Errs on the side of naming too many: what the
 * account withholds later is taken for withheld, whatever the token withholds itself.
 */
export function uncovered(
  tokenGrants: readonly Grant[],
  accountGrants: readonly Grant[],
  owns: readonly string[] | null,
): Uncovered | null {
  const bounds = entriesOf(accountGrants);
  const first = entriesOf(tokenGrants)
    .filter(({ allow }) => allow)
    .find(wanted => {
      const last = bounds.findLastIndex(
        ({ allow, action, resource }) =>
          allow && includes(action, wanted.action, /([:.])/) && includesResource(resource, wanted.resource, owns),
      );
      if (last === -1) return true;
      return bounds
        .slice(last + 1)
        .some(
          ({ allow, action, resource }) =>
            !allow && meets(action, wanted.action, /([:.])/) && meets(resource, wanted.resource, '/'),
        );
    });
  return first ?? null;
}

const entriesOf = (grants: readonly Grant[]): readonly Entry[] =>
  grants.flatMap(({ resources, actions }, grant) =>
    Object.entries(actions).flatMap(([action, allow]) =>
      resources.map(resource => ({ grant, action, resource, allow })),
    ),
  );

function includesResource(wide: string, narrow: string, owns: readonly string[] | null): boolean {
  if (wide !== '*' || narrow === '*' || owns === null)
    return narrow === '*' ? wide === '*' : includes(wide, narrow, '/');
  return owns.some(owned => includes(owned, narrow, '/'));
}

/** Everything that the narrow pattern names, the wide one does. */
function includes(wide: string, narrow: string, separator: string | RegExp): boolean {
  if (wide === '*') return true;
  if (narrow === '*') return false;
  const pieces = narrow.split(separator);
  const bounds = wide.split(separator);
  return bounds.length === pieces.length && bounds.every((bound, i) => bound === '*' || bound === pieces[i]);
}

/** There may be something that both patterns name. */
function meets(one: string, other: string, separator: string | RegExp): boolean {
  if (one === '*' || other === '*') return true;
  const a = one.split(separator);
  const b = other.split(separator);
  return a.length === b.length && a.every((piece, i) => piece === '*' || b[i] === '*' || piece === b[i]);
}
