import * as z from 'zod';
import type { Kind } from './tree.ts';

/**
 * What the declaration says of a value beside its zod schema. A leaf is a value without parts; it says which kinds of
 * scalar it takes and what is allowed in words.
 */
export interface Note {
  readonly leaf?: Leaf;
  /** A key whose feature is not built: known, and answered with `not supported yet`. */
  readonly later?: true;
  /** A list or map that must not be empty, and what is allowed there in words. */
  readonly filled?: string;
  /** A map that may be written as the value of this one member. */
  readonly shorthand?: string;
}

export interface Leaf {
  readonly kinds: readonly Kind[];
  /** For the table: `duration`, `text`. */
  readonly type: string;
  /** For messages: what is allowed. */
  readonly allowed: string;
  /** Never shown in a message. */
  readonly secret?: boolean;
  /** Those of the declared values that are built, when not all are. */
  readonly built?: (value: unknown) => boolean;
  /** For the table: the others. */
  readonly unbuilt?: string;
}

const registry = z.registry<Note>();

/** Notes hold for clones of a schema too (`.meta()`), not for what wraps it (`.optional()`, `.prefault()`). */
export const noteOf = (schema: z.core.$ZodType): Note => registry.get(schema) ?? {};

export function noted<S extends z.ZodType>(schema: S, note: Note): S {
  registry.add(schema, note);
  return schema;
}

/** A key that is known and not built. */
export const later = (meaning: string): z.ZodOptional<z.ZodUnknown> =>
  noted(z.unknown(), { later: true }).optional().meta({ description: meaning });

/** A list that has at least one item. */
export const filledList = <S extends z.ZodType>(item: S, allowed: string): z.ZodArray<S> =>
  noted(z.array(item).min(1), { filled: allowed });

/** A map that has at least one member. */
export const filledMap = <K extends z.ZodType<string, string>, V extends z.ZodType>(
  name: K,
  value: V,
  allowed: string,
): z.ZodRecord<K, V> => noted(z.record(name, value), { filled: allowed });

/** A map that may be written as the text that one of its members would have. */
export const withShorthand = <S extends z.ZodObject>(
  text: z.ZodType<string, string>,
  object: S,
  member: string,
): z.ZodType<z.output<S>, string | z.input<S>> =>
  // The walk turns the text into the map before it goes on, so that only the map ever comes out.
  noted(z.union([text, object]), { shorthand: member }) as unknown as z.ZodType<z.output<S>, string | z.input<S>>;
