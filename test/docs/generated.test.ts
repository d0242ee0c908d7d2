import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { renderSchema } from '../../src/config/describe.ts';
import { readmeFile, schemaFile, withTables } from '../support/generate.ts';

test('the tables of the README are those of the code (npm run generate)', () => {
  const readme = readFileSync(readmeFile, 'utf8');
  expect(withTables(readme)).toBe(readme);
});

test('the JSON Schema of the configuration is that of the code (npm run generate)', () => {
  expect(readFileSync(schemaFile, 'utf8')).toBe(renderSchema());
});
