import { readFile, writeFile } from 'node:fs/promises';
import { renderSchema, renderTable } from '../config/describe.ts';
import type { Command, Group } from './command.ts';

const schemaFile = new URL('../../config/schema.json', import.meta.url);
const readmeFile = new URL('../../README.md', import.meta.url);

/** Marks of the table of keys in the README. */
export const tableMarks = ['<!-- configuration: begin -->', '<!-- configuration: end -->'] as const;

export function withTable(readme: string): string {
  const begin = readme.indexOf(tableMarks[0]);
  const end = readme.indexOf(tableMarks[1]);
  if (begin === -1 || end < begin) return readme;
  return `${readme.slice(0, begin + tableMarks[0].length)}\n\n${renderTable().trim()}\n\n${readme.slice(end)}`;
}

const schema: Command = {
  summary: 'Print the JSON Schema of the configuration file; --table prints every key with its default',
  usage: '[--table] [--write]',
  options: { write: { type: 'boolean' }, table: { type: 'boolean' } },
  async run({ options, io }) {
    if (options.flag('write')) {
      await writeFile(schemaFile, renderSchema());
      await writeFile(readmeFile, withTable(await readFile(readmeFile, 'utf8')));
    } else io.out((options.flag('table') ? renderTable() : renderSchema()).trimEnd());
    return 0;
  },
};

export const configCommands: Group = { summary: 'The configuration file', commands: { schema } };
