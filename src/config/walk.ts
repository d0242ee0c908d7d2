import * as z from 'zod';
import { nearest } from './nearest.ts';
import { type Leaf, noteOf } from './notes.ts';
import type { Problems } from './problems.ts';
import {
  itemKey,
  type Kind,
  kindNames,
  type ListTree,
  type MapTree,
  memberKey,
  type ScalarTree,
  type Spot,
  type Tree,
  treeOf,
} from './tree.ts';

/**
 * A value of which parts may be missing, because they were wrong: what checks across keys work on, so that one
 * mistake does not hide the others.
 */
export type Draft<T> = T extends readonly (infer Item)[]
  ? readonly (Draft<Item> | undefined)[]
  : T extends object
    ? { readonly [Key in keyof T]?: Draft<T[Key]> | undefined }
    : T;

/**
 * Holds a tree against the declaration. Zod parses single values; the way there is walked here, because zod gives
 * nothing when anything is wrong, and a person wants every mistake at once, each at its place. When no problem was
 * added the draft has no holes: it is the declared output.
 */
export function walk<S extends z.ZodType>(schema: S, tree: Tree, problems: Problems): Draft<z.output<S>> | undefined {
  return new Walker(problems, tree.at).visit(schema, tree, '') as Draft<z.output<S>> | undefined;
}

class Walker {
  readonly #problems: Problems;
  /** Where defaults stand: nowhere of their own. */
  readonly #root: Spot;

  constructor(problems: Problems, root: Spot) {
    this.#problems = problems;
    this.#root = root;
  }

  visit(schema: z.core.$ZodType, tree: Tree | undefined, key: string): unknown {
    if (schema instanceof z.ZodOptional) return tree === undefined ? undefined : this.visit(schema.unwrap(), tree, key);
    if (schema instanceof z.ZodPrefault) {
      return this.visit(schema.unwrap(), tree ?? treeOf(schema.def.defaultValue, this.#spotOf(key)), key);
    }
    const note = noteOf(schema);
    if (tree === undefined) {
      this.#problems.add(key, `is missing; allowed: ${allowedBy(schema)}`);
      return undefined;
    }
    this.#problems.place(key, tree.at);
    if (note.later) {
      this.#problems.add(key, 'not supported yet; allowed: to leave it out');
      return undefined;
    }
    if (tree.kind === 'hole') return undefined;
    if (note.leaf !== undefined) return this.#leaf(schema, note.leaf, tree, key);

    if (note.shorthand !== undefined && tree.kind === 'text') {
      const members = new Map([[note.shorthand, { at: tree.at, tree }]]);
      return this.visit(schema, { kind: 'map', at: tree.at, members }, key);
    }
    const branch = schema instanceof z.ZodUnion ? branchFor(schema, tree.kind) : schema;
    if (branch instanceof z.ZodObject && tree.kind === 'map') return this.#object(branch, tree, key);
    if (branch instanceof z.ZodRecord && tree.kind === 'map') return this.#record(branch, tree, key);
    if (branch instanceof z.ZodArray && tree.kind === 'list') return this.#list(branch, tree, key);
    if (branch !== schema && branch !== undefined) return this.visit(branch, tree, key);
    this.#problems.add(key, `${wrongKind(tree.kind)}; allowed: ${allowedBy(schema)}`);
    return undefined;
  }

  #object(schema: z.ZodObject, tree: MapTree, key: string): unknown {
    const { shape } = schema;
    for (const [name, { at }] of tree.members) {
      if (!Object.hasOwn(shape, name)) this.#unknown(name, schema, memberKey(key, name), at);
    }
    const result: Record<string, unknown> = Object.create(null);
    for (const [name, member] of Object.entries(shape)) {
      result[name] = this.visit(member, tree.members.get(name)?.tree, memberKey(key, name));
    }
    return result;
  }

  #unknown(name: string, schema: z.ZodObject, key: string, at: Spot): void {
    const names = keysOf(schema);
    // A section of which nothing is built yet.
    if (names.length === 0) {
      this.#problems.add(key, 'not supported yet; allowed: to leave it out', at);
      return;
    }
    const near = nearest(name, names);
    const hint = near === null ? '' : `, did you mean ${near}?`;
    this.#problems.add(key, `unknown key${hint}; allowed: ${names.join(', ')}`, at);
  }

  #record(schema: z.ZodRecord, tree: MapTree, key: string): unknown {
    const result: Record<string, unknown> = Object.create(null);
    const filled = noteOf(schema).filled;
    if (tree.members.size === 0 && filled !== undefined) this.#problems.add(key, `is empty; allowed: ${filled}`);
    for (const [name, { at, tree: value }] of tree.members) {
      const member = memberKey(key, name);
      const { success, error } = z.safeParse(schema.keyType, name);
      if (!success) {
        const allowed = noteOf(schema.keyType).leaf?.allowed ?? 'another name';
        this.#problems.add(member, `${firstMessage(error)}; allowed: ${allowed}`, at);
      }
      result[name] = this.visit(schema.valueType, value, member);
    }
    return result;
  }

  #list(schema: z.ZodArray, tree: ListTree, key: string): unknown {
    const filled = noteOf(schema).filled;
    if (tree.items.length === 0 && filled !== undefined) this.#problems.add(key, `is empty; allowed: ${filled}`);
    return tree.items.map((item, i) => this.visit(schema.element, item, itemKey(key, i)));
  }

  #leaf(schema: z.core.$ZodType, leaf: Leaf, tree: Exclude<Tree, { kind: 'hole' }>, key: string): unknown {
    const wrong = (what: string): undefined => {
      this.#problems.add(key, `${what}; allowed: ${leaf.allowed}`);
    };
    if (tree.kind === 'list' || tree.kind === 'map' || tree.kind === 'nothing') return wrong(wrongKind(tree.kind));
    const shown = leaf.secret === true ? '' : `${shorten(tree)} `;
    if (!leaf.kinds.includes(tree.kind)) return wrong(`${shown}${wrongKind(tree.kind, leaf.kinds)}`);
    const { success, error, data } = z.safeParse(schema, tree.value);
    if (!success) return wrong(`${shown}${firstMessage(error)}`);
    if (leaf.built?.(data) === false) return wrong(`${shown}is not supported yet`);
    return data;
  }

  #spotOf(key: string): Spot {
    return this.#problems.spotOf(key) ?? this.#root;
  }
}

/** The branch of a union that takes a kind of value. */
const branchFor = (schema: z.ZodUnion, kind: Kind): z.core.$ZodType | undefined =>
  schema.options.find(option => kindsOf(option).includes(kind));

function kindsOf(schema: z.core.$ZodType): readonly Kind[] {
  if (schema instanceof z.ZodObject || schema instanceof z.ZodRecord) return ['map'];
  if (schema instanceof z.ZodArray) return ['list'];
  if (schema instanceof z.ZodUnion) return schema.options.flatMap(kindsOf);
  return noteOf(schema).leaf?.kinds ?? [];
}

/** Keys of a map that are built. */
export const keysOf = (schema: z.ZodObject): string[] =>
  Object.entries(schema.shape)
    .filter(([, member]) => isBuilt(member instanceof z.ZodOptional ? member.unwrap() : member))
    .map(([name]) => name);

export const isBuilt = (schema: z.core.$ZodType): boolean => !noteOf(schema).later;

/** In words, what a value may be. */
function allowedBy(schema: z.core.$ZodType): string {
  const note = noteOf(schema);
  if (note.leaf !== undefined) return note.leaf.allowed;
  if (note.filled !== undefined) return note.filled;
  if (schema instanceof z.ZodUnion) return schema.options.filter(isBuilt).map(allowedBy).join('; or ');
  if (schema instanceof z.ZodObject) return `a map of ${keysOf(schema).join(', ')}`;
  if (schema instanceof z.ZodArray) return `a list; each item ${allowedBy(schema.element)}`;
  return schema instanceof z.ZodRecord ? `a map; each value ${allowedBy(schema.valueType)}` : 'something else';
}

function wrongKind(kind: Kind, wanted: readonly Kind[] = []): string {
  if (kind === 'nothing') return 'has no value';
  const isScalar = kind === 'number' || kind === 'flag';
  return isScalar && wanted.includes('text')
    ? `is ${kindNames[kind]}, not text (quotes make it text)`
    : `is ${kindNames[kind]}`;
}

const shorten = (tree: ScalarTree): string => (tree.shown.length > 100 ? `${tree.shown.slice(0, 100)}…` : tree.shown);

/** A message of our own, or a general one: zod's speak of schemas, not of configurations. */
function firstMessage(error: z.core.$ZodError): string {
  const own = error.issues.find(issue => issue.code === 'custom');
  return own === undefined ? 'is not valid' : own.message;
}
