import * as z from 'zod';
import { constraintLimits, type SaidConstraints } from '../core/constraint-form.ts';
import { durationForm, readDuration } from '../core/duration.ts';
import { readInstant } from '../core/instant.ts';
import { algorithms, limitLimits, periods } from '../core/limit.ts';
import type { SaidLimit } from '../core/limit-form.ts';
import { type Grant, type OwnPermissions, permissionLimits } from '../core/permissions.ts';
import { idPattern, type Json, type Millis } from '../core/token.ts';
import { isObject } from '../manage/merge-patch.ts';
import type { OwnPermissionsPatch } from '../manage/permission-members.ts';
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

export const mode = z
  .enum(['enforce', 'shadow'])
  .meta({ description: '`shadow`: refusals of its requests are recorded, and they are forwarded. Default: enforce.' });

const { entries, grants, resources, name: longestName, resource: longestResource } = permissionLimits;
const text = (maxLength: number) => ({ type: 'string', minLength: 1, maxLength });
const action = text(longestName);
const listForm = (items: object, maxItems: number) => ({ type: 'array', items, maxItems });
const mapForm = (values: object) => ({
  type: 'object',
  propertyNames: action,
  additionalProperties: values,
  maxProperties: entries,
});
const grantForm = {
  type: 'object',
  properties: { resources: listForm(text(longestResource), resources), actions: mapForm({ type: 'boolean' }) },
  required: ['resources', 'actions'],
  additionalProperties: false,
};
const ownForms = [listForm(action, entries), mapForm({ type: 'boolean' }), listForm(grantForm, grants)];
const patchForms = [listForm(action, entries), mapForm({ type: ['boolean', 'null'] }), listForm(grantForm, grants)];
const inheritForm = { const: 'inherit' };

const inWords =
  'Grants, in order: `[{ "resources": ["db/*"], "actions": { "db.get": true } }]`; the last entry that matches an action and a resource decides. Short forms on the resource `*`: a list of actions, or a map of actions to true or false.';
const mergedInWords = 'A map is merged into a map, and null removes; any other form replaces.';

/** What accounts and roles have. */
export const ownPermissions = z
  .unknown()
  .transform((value, context) => readPermissions(value, context, false) as OwnPermissions)
  .meta({ anyOf: ownForms, description: inWords });

export const ownPermissionsPatch = z
  .unknown()
  .transform((value, context) => readPermissions(value, context, true))
  .meta({ anyOf: patchForms, description: mergedInWords });

/** What tokens have. */
export const permissions = z
  .unknown()
  .transform((value, context) =>
    value === 'inherit' ? ('inherit' as const) : (readPermissions(value, context, false) as OwnPermissions),
  )
  .meta({ anyOf: [...ownForms, inheritForm], description: `${inWords} \`inherit\`: what the owner has. Default: [].` });

export const permissionsPatch = z
  .unknown()
  .transform((value, context) => (value === 'inherit' ? ('inherit' as const) : readPermissions(value, context, true)))
  .meta({ anyOf: [...patchForms, inheritForm], description: mergedInWords });

/** Grants, or either short form. */
function readPermissions(value: unknown, context: z.core.$RefinementCtx, removing: boolean): OwnPermissionsPatch {
  if (Array.isArray(value)) return readList(value, context);
  if (!isObject(value as Json)) {
    fault(context, 'is not a list of grants or actions, or a map of actions to true or false');
    return z.NEVER;
  }
  readMap(value as object, context, [], removing);
  return value as Record<string, boolean | null>;
}

/** What one entry is, all are. */
function readList(list: readonly unknown[], context: z.core.$RefinementCtx): readonly string[] | readonly Grant[] {
  const ofGrants = list.some(entry => isObject(entry as Json));
  list.forEach((entry, index) => {
    if (ofGrants) readGrant(entry, context, index);
    else if (typeof entry !== 'string') fault(context, 'is not an action', [index]);
  });
  return list as readonly string[] | readonly Grant[];
}

function readGrant(value: unknown, context: z.core.$RefinementCtx, index: number): void {
  if (!isObject(value as Json)) {
    fault(context, 'is not a grant, as others are', [index]);
    return;
  }
  const { resources, actions, ...others } = value as { readonly [name: string]: Json };
  if (resources === undefined) fault(context, 'is missing', [index, 'resources']);
  else if (!Array.isArray(resources)) fault(context, 'is not a list', [index, 'resources']);
  else {
    resources.forEach((entry, i) => {
      if (typeof entry !== 'string') fault(context, 'is not a resource', [index, 'resources', i]);
    });
  }
  if (actions === undefined) fault(context, 'is missing', [index, 'actions']);
  else if (!isObject(actions)) fault(context, 'is not a map of actions to true or false', [index, 'actions']);
  else readMap(actions, context, [index, 'actions'], false);
  for (const name of Object.keys(others))
    fault(context, 'is not a member of a grant; allowed: resources, actions', [index, name]);
}

function readMap(map: object, context: z.core.$RefinementCtx, path: (string | number)[], removing: boolean): void {
  for (const [key, entry] of Object.entries(map)) {
    if (typeof entry === 'boolean' || (removing && entry === null)) continue;
    fault(context, removing ? 'is not true, false or null' : 'is not true or false', [...path, key]);
  }
}

const units = (minimum: number, description: string) =>
  z.number().meta({ type: 'integer', minimum, maximum: limitLimits.units, description });

const limit = z.strictObject({
  name: z.string().meta({ pattern: idPattern.source, description: 'Unlike those of the others.' }),
  max: units(0, 'Units in each window, or that a bucket fills by. 0: nothing passes.'),
  per: z.enum(periods).meta({ description: 'How long a window is, in UTC, or what `max` fills a bucket in.' }),
  algorithm: z.enum(algorithms).optional().meta({
    description: '`bucket`: not for `lifetime`. Default: `window`, of which each begins with `max` units.',
  }),
  burst: units(1, 'Of a bucket: units that it holds when it is full. Default: `max`.').optional(),
});

export const limits = z
  .array(limit)
  .meta({
    maxItems: limitLimits.count,
    description:
      'How much may be used: each request takes the cost of its route from all of them. Default: [], no end.',
  })
  .transform(said => said as readonly SaidLimit[]);

/** Limits in answers. */
export const shownLimits = z
  .array(limit.required({ algorithm: true }))
  .meta({ description: 'How much may be used. None: there is no end.' });

const texts = (description: string) =>
  z.array(z.string()).meta({ minItems: 1, maxItems: constraintLimits.entries, description });
const constraintMembers = (removing: boolean) => {
  const gone = <T extends z.ZodType>(schema: T) => (removing ? schema.nullable() : schema).optional();
  const passwordForm = z.union([z.string(), z.literal(true)], 'is not a password, a hash, or true');
  return {
    networks: gone(texts('Addresses, or networks such as 10.0.0.0/8, that the client is in.')),
    methods: gone(texts('Methods of the request.')),
    paths: gone(texts('Patterns, as those of routes, one of which the path matches.')),
    params: gone(
      z.record(z.string(), removing ? z.string().nullable() : z.string()).meta({
        minProperties: 1,
        maxProperties: constraintLimits.entries,
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
        maxProperties: constraintLimits.users,
        description:
          'Basic credentials beside the token: users, and for each a password, its scrypt hash as a PHC string, or `true` for the password that there is.',
      }),
    ),
  };
};

export const constraints = z
  .strictObject(constraintMembers(false))
  .meta({ description: 'Where, how and for what it may be used. Default: {}.' })
  // Absent members are left out, and an undefined one never stands for them.
  .transform(said => said as SaidConstraints);

export const constraintsPatch = z
  .strictObject(constraintMembers(true))
  .meta({ description: 'A merge patch of the constraints, as they are shown.' })
  .transform(said => said as { readonly [name: string]: Json });

/** Constraints in answers. */
export const shownConstraints = z
  .strictObject({
    ...constraintMembers(false),
    signature: z.strictObject({}).optional(),
    basic: z.record(z.string(), z.literal(true)).optional(),
  })
  .meta({ description: 'Where, how and for what it may be used. Of passwords and keys, only that there are some.' });

/** Of calls that revoke something. */
export const wait = duration('How long to wait until every process has applied it, at most 30s. Default: not at all.');
