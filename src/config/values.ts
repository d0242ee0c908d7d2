import * as z from 'zod';
import { durationForm, readDuration } from '../core/duration.ts';
import { instantForm, readInstant } from '../core/instant.ts';
import { noted } from './notes.ts';

/** The kinds of single values that keys take: how they are written, and what comes out of them. */

type Value<T, I> = z.ZodType<T, I>;

/** Raises a fault from within a schema: the message says what is wrong, the leaf's note what is allowed. */
function faulty(context: z.core.$RefinementCtx, message: string): never {
  context.issues.push({ code: 'custom', message, input: context.value, continue: false });
  return z.NEVER;
}

/** Text that `fault` has nothing against. */
export function text(options: {
  readonly type?: string;
  readonly allowed: string;
  /** For editors; `fault` is what decides. */
  readonly pattern?: RegExp;
  /** What is wrong, to follow the value in a message. */
  readonly fault?: (value: string) => string | null;
  readonly secret?: boolean;
  /** For the table: values that `fault` answers with `is not supported yet`. */
  readonly unbuilt?: string;
}): Value<string, string> {
  const { type = 'text', allowed, pattern, fault, secret = false, unbuilt } = options;
  let schema = z.string();
  if (fault !== undefined) {
    schema = schema.check(context => {
      const why = fault(context.value);
      if (why !== null) context.issues.push({ code: 'custom', message: why, input: context.value });
    });
  }
  if (pattern !== undefined) schema = schema.regex(pattern);
  else schema = schema.min(1);
  const leaf = { kinds: ['text'], type, allowed, secret } as const;
  return noted(schema, { leaf: unbuilt === undefined ? leaf : { ...leaf, unbuilt } });
}

/** One of a few words; those that are not `built` are answered with `not supported yet`. */
export function choice<const T extends readonly [string, ...string[]]>(
  words: T,
  built: readonly T[number][] = words,
): Value<T[number], T[number]> {
  const quoted = (list: readonly string[]): string => list.map(word => `\`${word}\``).join(', ');
  const leaf = { kinds: ['text'], type: quoted(built), allowed: built.join(', ') } as const;
  const others = words.filter(word => !built.includes(word));
  if (others.length === 0) return noted(z.enum(words), { leaf });
  const isBuilt = (value: unknown): boolean => built.some(word => word === value);
  return noted(z.enum(words), { leaf: { ...leaf, built: isBuilt, unbuilt: quoted(others) } });
}

export const flag = (): Value<boolean, boolean> =>
  noted(z.boolean(), { leaf: { kinds: ['flag'], type: '`true`, `false`', allowed: 'true or false' } });

/** A whole number; those that are not `built` are answered with `not supported yet`. */
export function whole(
  least: number,
  most: number = Number.MAX_SAFE_INTEGER,
  built?: readonly number[],
): Value<number, number> {
  const range = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `from ${least} to ${most}`;
  const allowed = built === undefined ? `a whole number ${range}` : built.join(', ');
  const leaf = { kinds: ['number'], type: 'whole number', allowed } as const;
  const schema = z.int().min(least).max(most);
  if (built === undefined) return noted(schema, { leaf });
  const isBuilt = (value: unknown): boolean => built.some(number => number === value);
  return noted(schema, { leaf: { ...leaf, built: isBuilt, unbuilt: 'other numbers' } });
}

/** A share of a whole. */
export const share = (): Value<number, number> =>
  noted(z.number().min(0).max(1), {
    leaf: { kinds: ['number'], type: 'number', allowed: 'a number from 0 to 1' },
  });

/** Timers count in 31 bits; what is longer would fire at once. */
const longestDuration = 24 * 86_400_000;

/** `250ms`, `5s`, `10m`, `1h`, `1d`, in milliseconds. A bare `0` is taken where 0 is (`least` 0). */
export function duration(least: number): Value<number, string | 0> {
  const schema = z.union([z.string().regex(durationForm), z.literal(0)]).transform((value, context) => {
    const result = readDuration(String(value));
    if (result === null) return faulty(context, 'is too long');
    if (result < least) return faulty(context, least === 1 ? 'is no time at all' : 'is too short');
    return result > longestDuration ? faulty(context, 'is too long') : result;
  });
  const form = 'a duration such as 250ms, 5s, 10m, 1h or 1d';
  const allowed = `${form}, ${least === 0 ? 'or 0' : `at least ${least}ms`}, at most 24d`;
  return noted(schema, { leaf: { kinds: ['text', 'number'], type: 'duration', allowed } });
}

const units = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const;
const sizeForm = /^([0-9]{1,15})(B|KiB|MiB|GiB)?$/;

const sizeAllowed = 'a size from 1B, such as 64KiB, 10MiB or 1GiB';

function bytesOf(value: string | number, context: z.core.$RefinementCtx): number {
  const [, count = '0', unit = 'B'] = sizeForm.exec(String(value)) ?? [];
  const bytes = Number(count) * units[unit as keyof typeof units];
  // Zero means "none" to some servers and "no limit" to others.
  if (bytes === 0) return faulty(context, 'could be meant as none and as no limit');
  return Number.isSafeInteger(bytes) ? bytes : faulty(context, 'is too large');
}

/** `64KiB`, in bytes. */
export function size(): Value<number, string | number> {
  const schema = z.union([z.string().regex(sizeForm), z.int().min(1)]).transform(bytesOf);
  return noted(schema, { leaf: { kinds: ['text', 'number'], type: 'size', allowed: sizeAllowed } });
}

/** `64KiB`, in bytes; null for `unlimited`. */
export function sizeOrUnlimited(): Value<number | null, string | number> {
  const written = z.union([z.string().regex(/^(?:unlimited|[0-9]{1,15}(?:B|KiB|MiB|GiB)?)$/), z.int().min(1)]);
  const schema = written.transform((value, context) => (value === 'unlimited' ? null : bytesOf(value, context)));
  const allowed = `${sizeAllowed}, or unlimited`;
  return noted(schema, { leaf: { kinds: ['text', 'number'], type: 'size or `unlimited`', allowed } });
}

/** An instant in RFC 3339, in milliseconds since the epoch. */
export function instant(): Value<number, string> {
  const schema = z
    .string()
    .regex(instantForm)
    .transform((value, context) => readInstant(value) ?? faulty(context, 'is no instant'));
  const allowed = 'an instant in RFC 3339, such as 2030-01-31T00:00:00Z';
  return noted(schema, { leaf: { kinds: ['text'], type: 'RFC 3339', allowed } });
}

/** The name of a file. */
export const file = (): Value<string, string> =>
  text({
    type: 'path',
    allowed: "a path; a relative one starts at the configuration file's folder",
    fault: value => (value.includes('\0') ? 'has a NUL' : null),
  });
