import * as z from 'zod';
import { noteOf } from './notes.ts';
import { fileSchema } from './schema.ts';
import { itemKey, memberKey } from './tree.ts';
import { isBuilt, keysOf } from './walk.ts';

/** What is generated from the declaration: the JSON Schema for editors, and the table of every key for people. */

/** The text of `config/schema.json`. */
export const renderSchema = (): string => `${JSON.stringify(jsonSchema(), null, 2)}\n`;

/** A value that refers to a variable, where an editor would refuse it as a number, a word or a form. */
const reference = { type: 'string', pattern: '\\$\\{[A-Za-z_][A-Za-z0-9_]*(?::-[^}]*)?\\}' };
const orReference = { $ref: '#/definitions/reference' };

function jsonSchema(): object {
  const schema = z.toJSONSchema(fileSchema, {
    io: 'input',
    // What most editors read.
    target: 'draft-07',
    override: ({ zodSchema, jsonSchema }) => {
      const { later, leaf } = noteOf(zodSchema);
      if (later) jsonSchema.not = {};
      if (leaf === undefined || jsonSchema.anyOf?.some(branch => branch.$ref === orReference.$ref)) return;
      if (leaf.built !== undefined && jsonSchema.enum !== undefined) {
        jsonSchema.enum = jsonSchema.enum.filter(value => leaf.built?.(value));
      }
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
      if (jsonSchema.type === 'string' && jsonSchema.pattern === undefined && jsonSchema.enum === undefined) return;
      const { description, default: initial, ...form } = jsonSchema;
      for (const name of Object.keys(form)) delete jsonSchema[name];
      jsonSchema.anyOf = [...(form.anyOf ?? [form]), orReference];
    },
  });
  const { $schema, ...rest } = schema;
  return { $schema, title: 'Configuration of Postern', ...rest, definitions: { reference } };
}

interface Row {
  readonly key: string;
  readonly type: string;
  readonly fallback: string;
  readonly meaning: string;
}

/** Every key as a markdown table: key, type, default, meaning. Below it, the keys that are not supported yet. */
export function renderTable(): string {
  const rows: Row[] = [];
  const unbuilt: string[] = [];
  collect(fileSchema, '', rows, unbuilt);
  const lines = rows.map(
    ({ key, type, fallback, meaning }) => `| ${[`\`${key}\``, type, fallback, meaning].map(cell).join(' | ')} |`,
  );
  return [
    '| key | type | default | meaning |',
    '| --- | --- | --- | --- |',
    ...lines,
    '',
    `Known, and answered with \`not supported yet\`: ${unbuilt.join(', ')}.`,
    '',
  ].join('\n');
}

function collect(schema: z.core.$ZodType, key: string, rows: Row[], unbuilt: string[]): void {
  if (schema instanceof z.ZodObject) {
    for (const [name, member] of Object.entries(schema.shape))
      collectMember(member, memberKey(key, name), rows, unbuilt);
  } else if (schema instanceof z.ZodArray) collect(schema.element, itemKey(key, ''), rows, unbuilt);
  else if (schema instanceof z.ZodRecord) collect(schema.valueType, `${key}.<name>`, rows, unbuilt);
  else if (schema instanceof z.ZodUnion) for (const option of schema.options) collect(option, key, rows, unbuilt);
}

function collectMember(member: z.core.$ZodType, key: string, rows: Row[], unbuilt: string[]): void {
  const schema = unwrap(member);
  const { later, leaf } = noteOf(schema);
  if (later) {
    unbuilt.push(`\`${key}\``);
    return;
  }
  if (leaf?.unbuilt !== undefined) unbuilt.push(`\`${key}\` ${leaf.unbuilt}`);
  // A map of which nothing is built has no row, only its members below the table.
  if (!(schema instanceof z.ZodObject) || keysOf(schema).length > 0) {
    const meaning = z.globalRegistry.get(member)?.description ?? '';
    rows.push({ key, type: typeOf(schema), fallback: fallbackOf(member), meaning });
  }
  if (leaf === undefined) collect(schema, key, rows, unbuilt);
}

const unwrap = (schema: z.core.$ZodType): z.core.$ZodType =>
  schema instanceof z.ZodOptional || schema instanceof z.ZodPrefault ? unwrap(schema.unwrap()) : schema;

function typeOf(schema: z.core.$ZodType): string {
  const { leaf } = noteOf(schema);
  if (leaf !== undefined) return leaf.type;
  if (schema instanceof z.ZodUnion) return [...new Set(schema.options.filter(isBuilt).map(typeOf))].join(', or ');
  if (schema instanceof z.ZodArray) return `list of ${listed(unwrap(schema.element))}`;
  if (schema instanceof z.ZodRecord) return `map of ${listed(unwrap(schema.valueType))}`;
  return 'map';
}

/** `list of maps`, `list of host`: what a collection holds. */
const listed = (schema: z.core.$ZodType): string => (schema instanceof z.ZodObject ? 'maps' : typeOf(schema));

function fallbackOf(schema: z.core.$ZodType): string {
  if (schema instanceof z.ZodOptional) return '–';
  if (!(schema instanceof z.ZodPrefault)) return 'required';
  // A map's default is that of its members, in the rows below.
  if (unwrap(schema) instanceof z.ZodObject) return '–';
  const value: unknown = schema.def.defaultValue;
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
