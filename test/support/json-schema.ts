/** A validator for the part of JSON Schema 2020-12 that our documents use. An unknown keyword is an error. */

type Schema = { readonly [keyword: string]: unknown };
export type Resolve = (reference: string) => Schema;

const annotations = new Set(['description', 'default', 'title', 'examples']);

/** What is wrong with a value: JSON pointers with reasons; empty when nothing is. */
export function schemaFaults(schema: Schema, value: unknown, resolve: Resolve, pointer = ''): string[] {
  return Object.entries(schema).flatMap(([keyword, rule]) => {
    if (annotations.has(keyword)) return [];
    const check = keywords[keyword];
    if (check === undefined) throw new Error(`${pointer}: unknown keyword ${keyword}`);
    return check(rule as never, value, { schema, resolve, pointer });
  });
}

interface Place {
  readonly schema: Schema;
  readonly resolve: Resolve;
  readonly pointer: string;
}

type Check = (rule: never, value: unknown, place: Place) => string[];

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const fault = (holds: boolean, { pointer }: Place, text: string): string[] =>
  holds ? [] : [`${pointer || '/'}: ${text}`];

function hasType(value: unknown, type: string): boolean {
  switch (type) {
    case 'null':
      return value === null;
    case 'array':
      return Array.isArray(value);
    case 'object':
      return isObject(value);
    case 'integer':
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
}

const size = (value: unknown): number => (isObject(value) ? Object.keys(value).length : (value as string).length);
const bound =
  (applies: (value: unknown) => boolean, holds: (value: unknown, limit: number) => boolean, text: string): Check =>
  (limit: number, value, place) =>
    fault(!applies(value) || holds(value, limit), place, `${text} ${limit}`);
const isText = (value: unknown): value is string => typeof value === 'string';
const isNumber = (value: unknown): value is number => typeof value === 'number';

const keywords: Readonly<Record<string, Check>> = {
  $ref: (reference: string, value, { resolve, pointer }) => schemaFaults(resolve(reference), value, resolve, pointer),
  type: (types: string | readonly string[], value, place) =>
    fault(
      [types].flat().some(type => hasType(value, type as string)),
      place,
      `not of type ${String(types)}`,
    ),
  enum: (values: readonly unknown[], value, place) => fault(values.includes(value), place, 'not one of the values'),
  const: (expected: unknown, value, place) => fault(value === expected, place, `not ${String(expected)}`),
  pattern: (pattern: string, value, place) =>
    fault(!isText(value) || new RegExp(pattern, 'u').test(value), place, `does not match ${pattern}`),
  format: (format: string, value, place) => {
    if (format !== 'date-time') throw new Error(`unknown format ${format}`);
    const form = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
    return fault(!isText(value) || (form.test(value) && !Number.isNaN(Date.parse(value))), place, 'no date-time');
  },
  minimum: bound(isNumber, (value, limit) => (value as number) >= limit, 'below'),
  maximum: bound(isNumber, (value, limit) => (value as number) <= limit, 'above'),
  minLength: bound(isText, (value, limit) => size(value) >= limit, 'shorter than'),
  maxLength: bound(isText, (value, limit) => size(value) <= limit, 'longer than'),
  minItems: bound(Array.isArray, (value, limit) => size(value) >= limit, 'fewer items than'),
  minProperties: bound(isObject, (value, limit) => size(value) >= limit, 'fewer members than'),
  maxItems: bound(Array.isArray, (value, limit) => size(value) <= limit, 'more items than'),
  maxProperties: bound(isObject, (value, limit) => size(value) <= limit, 'more members than'),
  uniqueItems: (rule: boolean, value, place) =>
    fault(!rule || !Array.isArray(value) || new Set(value).size === value.length, place, 'has equal items'),
  items: (items: Schema, value, { resolve, pointer }) =>
    Array.isArray(value) ? value.flatMap((item, i) => schemaFaults(items, item, resolve, `${pointer}/${i}`)) : [],
  required: (names: readonly string[], value, place) =>
    isObject(value) ? names.flatMap(name => fault(Object.hasOwn(value, name), place, `${name} is missing`)) : [],
  properties: (properties: Readonly<Record<string, Schema>>, value, { resolve, pointer }) =>
    isObject(value)
      ? Object.entries(properties).flatMap(([name, schema]) =>
          Object.hasOwn(value, name) ? schemaFaults(schema, value[name], resolve, `${pointer}/${name}`) : [],
        )
      : [],
  propertyNames: (names: Schema, value, { resolve, pointer }) =>
    isObject(value) ? Object.keys(value).flatMap(name => schemaFaults(names, name, resolve, `${pointer}/${name}`)) : [],
  additionalProperties: (rule: boolean | Schema, value, place) => {
    if (!isObject(value)) return [];
    const known = new Set(Object.keys((place.schema['properties'] as object | undefined) ?? {}));
    const others = Object.keys(value).filter(name => !known.has(name));
    if (typeof rule === 'boolean') return others.flatMap(name => fault(rule, place, `${name} is not allowed`));
    return others.flatMap(name => schemaFaults(rule, value[name], place.resolve, `${place.pointer}/${name}`));
  },
  anyOf: (schemas: readonly Schema[], value, place) =>
    fault(
      schemas.some(schema => schemaFaults(schema, value, place.resolve).length === 0),
      place,
      'fits none of the alternatives',
    ),
};
