import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { operations } from '../../src/admin/operations.ts';
import { renderSchema, renderTable } from '../../src/config/describe.ts';
import { constraintNames, constraintWords } from '../../src/core/constraint.ts';
import { codes } from '../../src/errors.ts';
import { metricsMarkdown } from '../../src/telemetry/metrics-markdown.ts';

/**
 * What is written from the code: the JSON Schema, and the tables of the README between their marks. `npm run generate`
 * writes them; a test holds them against the code.
 */
const at = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url));

export const schemaFile = at('config/schema.json');
export const readmeFile = at('README.md');

function refusals(): string {
  const lines = Object.entries(codes).map(
    ([code, { status, title, closes }]) => `| ${status} | \`${code}\` | ${title} | ${closes ? 'closed' : 'kept'} |`,
  );
  return ['| status | code | title | connection |', '| --- | --- | --- | --- |', ...lines].join('\n');
}

function calls(): string {
  const lines = operations.map(
    ({ method, path, role, ownerKeys, summary }) =>
      `| \`${method} ${path}\` | ${role}${ownerKeys ? ', owner' : ''} | ${summary} |`,
  );
  return ['| call | role | does |', '| --- | --- | --- |', ...lines].join('\n');
}

function constraints(): string {
  const lines = constraintNames.map(name => {
    const [asks, code] = constraintWords[name];
    return `| \`${name}\` | ${asks} | ${codes[code].status} \`${code}\` |`;
  });
  return ['| constraint | what it asks of a request | else |', '| --- | --- | --- |', ...lines].join('\n');
}

const tables: Readonly<Record<string, () => string>> = {
  refusals,
  calls,
  metrics: metricsMarkdown,
  constraints,
  configuration: renderTable,
};

/** The README with every table as the code has it. Throws when a mark is missing. */
export function withTables(readme: string): string {
  let text = readme;
  for (const [name, render] of Object.entries(tables)) {
    const begin = `<!-- ${name}: begin -->`;
    const end = `<!-- ${name}: end -->`;
    const from = text.indexOf(begin);
    const to = text.indexOf(end);
    if (from === -1 || to < from) throw new Error(`README.md lacks the marks of the table "${name}"`);
    text = `${text.slice(0, from + begin.length)}\n\n${render().trim()}\n\n${text.slice(to)}`;
  }
  return text;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(schemaFile, renderSchema());
  writeFileSync(readmeFile, withTables(readFileSync(readmeFile, 'utf8')));
}
