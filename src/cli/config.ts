import { renderSchema, renderTable } from '../config/describe.ts';
import type { Command, Group } from './command.ts';

const schema: Command = {
  summary: 'Print the JSON Schema of the configuration file; --table prints every key with its default',
  usage: '[--table]',
  options: { table: { type: 'boolean', about: 'A table of every key with its default (default: the JSON Schema)' } },
  async run({ options, io }) {
    io.out((options.flag('table') ? renderTable() : renderSchema()).trimEnd());
    return 0;
  },
};

export const configCommands: Group = { summary: 'The configuration file', commands: { schema } };
