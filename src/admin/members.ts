import * as z from 'zod';
import { pointerStep } from '../core/strict-json.ts';
import type { Json } from '../core/token.ts';
import type { Faults } from '../manage/faults.ts';
import { isObject } from '../manage/merge-patch.ts';

/** Reading a body member by member, so that what is wrong with one does not hide what is wrong with another. */

export type Shape = Readonly<Record<string, z.ZodType>>;

/** What was said and is good; a member that was not said is absent. */
export type Said<S extends Shape> = {
  readonly [K in keyof S]?: Exclude<z.output<S[K]>, undefined>;
};

/** Members that have a meaning, but not here. */
export interface RefusedMembers {
  /** Ours to say. */
  readonly ours: readonly string[];
  /** Not enforced yet. */
  readonly unsupported: readonly string[];
}

/** `required`: members that have to be said. */
export function readMembers<S extends Shape>(
  shape: S,
  refused: RefusedMembers,
  required: readonly (keyof S & string)[],
  body: Json,
  faults: Faults,
): Said<S> {
  if (!isObject(body)) {
    faults.add('', 'is not an object');
    return {};
  }
  const said = new Map<string, unknown>();
  for (const [name, value] of Object.entries(body)) {
    const schema = Object.hasOwn(shape, name) ? shape[name] : undefined;
    const pointer = pointerStep(name);
    if (schema !== undefined) {
      const reading = readValue(schema, value, pointer, faults);
      if (reading !== undefined) said.set(name, reading);
    } else if (refused.unsupported.includes(name)) faults.addUnsupported(pointer);
    else faults.add(pointer, refused.ours.includes(name) ? 'cannot be set' : notAMember(Object.keys(shape)));
  }
  for (const name of required) if (!Object.hasOwn(body, name)) faults.add(pointerStep(name), 'is missing');
  return Object.fromEntries(said) as Said<S>;
}

/** The value as its schema reads it; undefined when there is something wrong with it. */
export function readValue<T extends z.ZodType>(
  schema: T,
  value: unknown,
  pointer: string,
  faults: Faults,
): z.output<T> | undefined {
  const reading = schema.safeParse(value);
  if (reading.success) return reading.data;
  for (const issue of reading.error.issues) {
    const at = pointer + issue.path.map(step => pointerStep(String(step))).join('');
    if (issue.code === 'unrecognized_keys') {
      const words = notAMember(membersAt(schema, issue.path));
      for (const name of issue.keys) faults.add(at + pointerStep(name), words);
    } else if (issue.code === 'custom' && issue.params?.['unsupported'] === true) faults.addUnsupported(at);
    else faults.add(at, wordsFor(issue));
  }
  return undefined;
}

/** Most members that are listed. */
const mostMembers = 20;

function notAMember(allowed: readonly string[]): string {
  const listed = allowed.length > 0 && allowed.length <= mostMembers;
  return `is not a member of this${listed ? `; allowed: ${allowed.join(', ')}` : ''}`;
}

/** The members of the object that stands at a path; none where it cannot be told. */
function membersAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): readonly string[] {
  let at: z.core.$ZodType | undefined = schema;
  let depth = 0;
  while (at !== undefined) {
    if (at instanceof z.ZodOptional || at instanceof z.ZodNullable) at = at.unwrap();
    else if (at instanceof z.ZodPipe) at = at.in;
    else if (!(at instanceof z.ZodObject)) return [];
    else if (depth === path.length) return Object.keys(at.shape);
    else at = at.shape[String(path[depth++])];
  }
  return [];
}

function wordsFor(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `is not ${kinds[issue.expected] ?? issue.expected}`;
    case 'invalid_value':
      return `is not one of ${issue.values.map(value => `"${String(value)}"`).join(', ')}`;
    default:
      return issue.message;
  }
}

const kinds: Readonly<Record<string, string>> = {
  string: 'text',
  boolean: 'true or false',
  number: 'a number',
  array: 'a list',
  object: 'an object',
};
