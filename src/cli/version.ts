import { readFileSync } from 'node:fs';
import type { Command } from './command.ts';

/** From package.json, which lies beside both `src` and `dist`. */
const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

export const version = manifest.version;

export const versionCommand: Command = {
  summary: 'Print the version',
  usage: '[--json]',
  async run({ options, io }) {
    io.out(options.flag('json') ? JSON.stringify({ version, node: process.versions.node }) : version);
    return 0;
  },
};
