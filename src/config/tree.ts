/**
 * What a configuration says, before it is held against the declaration: maps, lists and scalars, each with the place
 * where it stands. Maps are `Map`s, so that a key such as `__proto__` is a key like any other.
 */
export interface Spot {
  /** A file as it was named, or what else said it: `POSTERN_UPSTREAM`, `--upstream`. */
  readonly source: string;
  /** From 1; 0 when the source has no lines. */
  readonly line: number;
  readonly column: number;
}

export type Tree = MapTree | ListTree | ScalarTree | HoleTree;

export interface MapTree {
  readonly kind: 'map';
  readonly at: Spot;
  readonly members: ReadonlyMap<string, Member>;
}

export interface Member {
  /** Where the key stands. */
  readonly at: Spot;
  readonly tree: Tree;
}

export interface ListTree {
  readonly kind: 'list';
  readonly at: Spot;
  readonly items: readonly Tree[];
}

export interface ScalarTree {
  readonly kind: 'text' | 'number' | 'flag' | 'nothing';
  readonly at: Spot;
  readonly value: string | number | boolean | null;
  /** For messages: as written in the file, so that what came from a variable is not shown. */
  readonly shown: string;
}

/** A value that could not be had, and of which a problem tells already. */
export interface HoleTree {
  readonly kind: 'hole';
  readonly at: Spot;
}

export type Kind = Exclude<Tree['kind'], 'hole'>;

/** How messages call a kind. */
export const kindNames: Readonly<Record<Kind, string>> = {
  map: 'a map',
  list: 'a list',
  text: 'text',
  number: 'a number',
  flag: 'true or false',
  nothing: 'nothing',
};

export function scalarTree(value: string | number | boolean | null, at: Spot, shown: string): ScalarTree {
  const kind =
    typeof value === 'string'
      ? 'text'
      : typeof value === 'number'
        ? 'number'
        : typeof value === 'boolean'
          ? 'flag'
          : 'nothing';
  return { kind, at, value, shown };
}

/** The tree of a default value of the declaration: the value as it would be written in a file. */
export function treeOf(value: unknown, at: Spot): Tree {
  if (Array.isArray(value)) return { kind: 'list', at, items: value.map(item => treeOf(item, at)) };
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(([key, item]): [string, Member] => [key, { at, tree: treeOf(item, at) }]);
    return { kind: 'map', at, members: new Map(members) };
  }
  const scalar = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : null;
  return scalarTree(scalar, at, JSON.stringify(scalar));
}

/** `upstreams.widgets.url`, `routes[2].methods[0]`: the name of a value in messages. */
export const memberKey = (key: string, member: string): string => {
  const name = /^[^\s".[\]\p{C}]{1,100}$/u.test(member) ? member : JSON.stringify(member.slice(0, 100));
  return key === '' ? name : `${key}.${name}`;
};

export const itemKey = (key: string, index: number | ''): string => `${key}[${index}]`;
