import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import * as z from 'zod';
import { renderSchema, renderTable } from '../../../src/config/describe.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { noteOf } from '../../../src/config/notes.ts';
import { problemLine } from '../../../src/config/problems.ts';
import { fileSchema } from '../../../src/config/schema.ts';
import { readCases } from './cases.ts';

const shipped = path.resolve(import.meta.dirname, '../../../config');
const read = (name: string): string => readFileSync(path.join(shipped, name), 'utf8');

/** Every key of the declaration, with its schema. */
function* keysOf(schema: z.core.$ZodType, key = ''): Generator<[string, z.core.$ZodType]> {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodPrefault) yield* keysOf(schema.unwrap(), key);
  else if (schema instanceof z.ZodArray) yield* keysOf(schema.element, `${key}[]`);
  else if (schema instanceof z.ZodRecord) yield* keysOf(schema.valueType, `${key}.<name>`);
  else if (schema instanceof z.ZodUnion) for (const option of schema.options) yield* keysOf(option, key);
  else if (schema instanceof z.ZodObject) {
    for (const [name, member] of Object.entries(schema.shape)) {
      const inner = key === '' ? name : `${key}.${name}`;
      yield [inner, member];
      yield* keysOf(member, inner);
    }
  }
}

describe('the declaration', () => {
  it('says of every key what it means', () => {
    const silent = [...keysOf(fileSchema)].filter(
      ([, schema]) => !z.globalRegistry.get(schema)?.description?.endsWith('.'),
    );
    expect(silent.map(([key]) => key)).toEqual([]);
  });

  it('has names in snake case', () => {
    for (const [key] of keysOf(fileSchema)) expect(key).toMatch(/^[a-z0-9_.[\]<>]+$/);
  });

  it('says of every single value what is allowed', () => {
    const unwrap = (schema: z.core.$ZodType): z.core.$ZodType =>
      schema instanceof z.ZodOptional || schema instanceof z.ZodPrefault ? unwrap(schema.unwrap()) : schema;
    for (const [key, schema] of keysOf(fileSchema)) {
      const inner = unwrap(schema);
      const isWhole = [z.ZodObject, z.ZodArray, z.ZodRecord, z.ZodUnion].some(kind => inner instanceof kind);
      const { leaf, later } = noteOf(inner);
      expect(isWhole || leaf !== undefined || later === true, key).toBe(true);
    }
  });
});

describe('what is generated from it', () => {
  it('config/schema.json is current: `npm run generate` writes it', () => {
    expect(read('schema.json')).toBe(renderSchema());
  });

  it('the schema agrees with the loader on the example, and on files with a mistake that a schema can see', () => {
    const schema = z.fromJSONSchema(JSON.parse(read('schema.json')));
    expect(schema.safeParse(parse(read('postern.example.yaml'))).success).toBe(true);
    expect(schema.safeParse({ upstreams: { a: { url: 'http://a' } }, routes: [{ path: '/' }] }).success).toBe(true);
    const seen = [
      'keys-unknown',
      'keys-wrong-kind',
      'keys-missing',
      'keys-not-supported',
      'durations',
      'sizes',
      'numbers',
      'routes-words',
    ];
    for (const { name, config } of readCases().filter(({ name }) => seen.includes(name))) {
      expect(schema.safeParse(parse(config)).success, name).toBe(false);
    }
  });

  it('the table has a row for each key that is built, and names the others', () => {
    const table = renderTable();
    const rows = table.split('\n').filter(line => line.startsWith('| `'));
    const named = rows.map(line => /^\| `([^`]+)`/.exec(line)?.[1]);
    expect(new Set(named).size).toBe(named.length);
    for (const [key] of keysOf(fileSchema)) expect(table).toContain(`\`${key}\``);
    for (const row of rows) expect(row.replaceAll('\\|', '').split('|'), row).toHaveLength(6);
    expect(table).toContain('| `listen.proxy.head_timeout` | duration | `10s` | ');
    expect(table).toContain('| `routes` | list of maps | required | ');
    expect(table).toMatch(
      /^Known, and answered with `not supported yet`: .*`tokens\.declared\[\]\.rewrite`.*`token_apis\[\]\.api` `access-tokens`/m,
    );
  });
});

describe('the example that ships', () => {
  it('loads as it is, without a warning', async () => {
    const result = await loadConfig({ file: path.join(shipped, 'postern.example.yaml'), env: {} });
    expect(result.ok ? [] : result.problems.map(problemLine)).toEqual([]);
    expect(result).toMatchObject({ ok: true, warnings: [] });
  });
});
