import * as z from 'zod';
import { constraintLimits, type SaidConstraints } from '../core/constraint-form.ts';
import { durationForm, readDuration } from '../core/duration.ts';
import { readInstant } from '../core/instant.ts';
import { type Permissions, permissionLimits } from '../core/permissions.ts';
import { idPattern, type Json, type Millis } from '../core/token.ts';
import { isObject } from '../manage/merge-patch.ts';
import type { PermissionsPatch } from '../manage/token-changes.ts';
import { tokenLimits } from '../manage/token-members.ts';

/**
 * Values in requests, as far as their kind goes; what else holds for them is checked by those who manage. What the
 * schemas know beyond the kind is for the document.
 */

function fault(context: z.core.$RefinementCtx, message: string, path: (string | number)[] = []): void {
  context.issues.push({ code: 'custom', message, path, input: context.value });
}

/** Text that `read` makes something of; null is none. */
const textTo = <T>(read: (text: string) => T | null, message: string): z.ZodType<T, string> =>
  z.string().transform((text, context) => {
    const value = read(text);
    if (value !== null) return value;
    fault(context, message);
    return z.NEVER;
  });

export const instant = (description: string): z.ZodType<Millis, string> =>
  textTo(readInstant, 'is not an instant in RFC 3339 such as 2030-01-31T00:00:00Z').meta({
    format: 'date-time',
    description,
  });

export const duration = (description: string): z.ZodType<Millis, string> =>
  textTo(readDuration, 'is not a duration such as 250ms, 5s, 10m, 1h or 1d').meta({
    pattern: durationForm.source,
    description,
  });

export const id = (description: string): z.ZodType<string, string> =>
  textTo(
    text => (idPattern.test(text) ? text : null),
    'is not an id: up to 64 letters, digits, ".", "_" and "-", the first a letter or digit',
  ).meta({ pattern: idPattern.source, description });

export const name = z.string().meta({ maxLength: 256, description: 'Printable text for people. Default: empty.' });

export const state = z
  .enum(['enabled', 'disabled'])
  .meta({ description: 'Whether it works. Default: enabled. A token is revoked with DELETE.' });

export const extra = z
  .unknown()
  .transform((value, context) => {
    if (isObject(value as Json)) return value as { readonly [name: string]: Json };
    fault(context, 'is not an object');
    return z.NEVER;
  })
  .meta({ type: 'object', description: 'Anything that is to be kept with it, up to 64 KiB of JSON. Default: {}.' });

export const tags = z.array(z.string().meta({ minLength: 1, maxLength: tokenLimits.tag })).meta({
  maxItems: tokenLimits.tags,
  uniqueItems: true,
  description: 'Words to find it by. Default: [].',
});

const action = { type: 'string', minLength: 1, maxLength: permissionLimits.name };
const listForm = { type: 'array', items: action, maxItems: permissionLimits.entries };
const mapForm = (values: unknown) => ({
  type: 'object',
  propertyNames: action,
  additionalProperties: values,
  maxProperties: permissionLimits.entries,
});

export const permissions = z
  .unknown()
  .transform((value, context) => readPermissions(value, context, false) as Permissions)
  .meta({
    anyOf: [listForm, mapForm({ type: 'boolean' })],
    description:
      'Actions that it may do: a list, or a map that grants or withholds. The last entry that matches an action decides. Default: [].',
  });

export const permissionsPatch = z
  .unknown()
  .transform((value, context) => readPermissions(value, context, true))
  .meta({
    anyOf: [listForm, mapForm({ type: ['boolean', 'null'] })],
    description: 'A map is merged into a map, and null removes; a list replaces.',
  });

/** Either short form. Grants on resources, and an owner's permissions, mean something that nothing enforces yet. */
function readPermissions(value: unknown, context: z.core.$RefinementCtx, removing: boolean): PermissionsPatch {
  const unsupported = value === 'inherit' || (Array.isArray(value) && value.some(isObject));
  if (unsupported) {
    context.issues.push({ code: 'custom', params: { unsupported: true }, input: value });
    return z.NEVER;
  }
  if (Array.isArray(value)) {
    value.forEach((entry, index) => {
      if (typeof entry !== 'string') fault(context, 'is not an action', [index]);
    });
    return value;
  }
  if (!isObject(value as Json)) {
    fault(context, 'is not a list of actions, or a map of actions to true or false');
    return z.NEVER;
  }
  for (const [key, entry] of Object.entries(value as object)) {
    if (typeof entry === 'boolean' || (removing && entry === null)) continue;
    fault(context, removing ? 'is not true, false or null' : 'is not true or false', [key]);
  }
  return value as Record<string, boolean | null>;
}

const { entries, users } = constraintLimits;
const texts = (description: string) => z.array(z.string()).meta({ minItems: 1, maxItems: entries, description });
const secretMembers = (removing: boolean) => {
  const gone = <T extends z.ZodType>(schema: T) => (removing ? schema.nullable() : schema).optional();
  const passwordForm = z.union([z.string(), z.literal(true)], 'is not a password, a hash, or true');
  return {
    networks: gone(texts('Addresses, or networks such as 10.0.0.0/8, that the client is in.')),
    methods: gone(texts('Methods of the request.')),
    paths: gone(texts('Patterns, as those of routes, one of which the path matches.')),
    params: gone(
      z.record(z.string(), removing ? z.string().nullable() : z.string()).meta({
        minProperties: 1,
        maxProperties: entries,
        description: 'Parameters, and what each of them is.',
      }),
    ),
    origins: gone(texts('Values of the Origin field.')),
    signature: gone(
      z.strictObject({ key: gone(z.string().meta({ minLength: constraintLimits.leastKey })) }).meta({
        description: 'Requests are signed, with this key. Without one, it is the one that there is, or a new one.',
      }),
    ),
    basic: gone(
      z.record(z.string(), removing ? passwordForm.nullable() : passwordForm).meta({
        minProperties: 1,
        maxProperties: users,
        description:
          'Basic credentials beside the token: users, and for each a password, its scrypt hash as a PHC string, or `true` for the password that there is.',
      }),
    ),
  };
};

export const constraints = z
  .strictObject(secretMembers(false))
  .meta({ description: 'Where, how and for what it may be used. Default: {}.' })
  // Absent members are left out, and an undefined one never stands for them.
  .transform(said => said as SaidConstraints);

export const constraintsPatch = z
  .strictObject(secretMembers(true))
  .meta({ description: 'A merge patch of the constraints, as they are shown.' })
  .transform(said => said as { readonly [name: string]: Json });

/** Constraints in answers. */
export const shownConstraints = z
  .strictObject({
    ...secretMembers(false),
    signature: z.strictObject({}).optional(),
    basic: z.record(z.string(), z.literal(true)).optional(),
  })
  .meta({ description: 'Where, how and for what it may be used. Of passwords and keys, only that there are some.' });

/** Of calls that revoke something. */
export const wait = duration('How long to wait until every process has applied it, at most 30s. Default: not at all.');
