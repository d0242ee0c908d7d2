import type { Option, OptionTable } from './arguments.ts';
import type { Command, Group } from './command.ts';
import { version } from './version.ts';

/** What `--help` prints. */

/** Options of every command. */
export const commonOptions = {
  json: { type: 'boolean', about: 'Print results as JSON, for programs (default: for people)' },
  help: { type: 'boolean', short: 'h', about: 'Print this' },
} as const satisfies OptionTable;

type Commands = Readonly<Record<string, Command | Group>>;

export function overview(commands: Commands): string {
  return `postern ${version}: an authorization proxy in front of APIs that cannot protect themselves

usage: postern <command> [options]

${summaries(commands)}

Every command takes --help; those that print results take --json.`;
}

export const groupHelp = (name: string, { summary, commands }: Group): string =>
  `${summary}\n\nusage: postern ${name} <command> [options]\n\n${summaries(commands)}\n\npostern ${name} <command> --help lists the options of one.`;

export function commandHelp(name: string, command: Command): string {
  const options = Object.entries({ ...command.options, ...commonOptions });
  const lines = options.map(([option, spec]) => [signature(option, spec), spec.about] as const);
  return `${usageLine(name, command)}\n  ${command.summary}\n\noptions:\n${columns(lines)}`;
}

export const usageLine = (name: string, { usage }: Command): string =>
  wrapped(`usage: postern ${name}${usage === '' ? '' : ` ${usage}`}`);

const signature = (name: string, { short, value, type }: Option): string =>
  `${short === undefined ? '' : `-${short}, `}--${name}${type === 'boolean' ? '' : ` ${value ?? 'VALUE'}`}`;

const summaries = (commands: Commands): string =>
  columns(Object.entries(commands).map(([name, { summary }]) => [name, summary] as const));

function columns(lines: readonly (readonly [string, string])[]): string {
  const width = Math.max(...lines.map(([left]) => left.length));
  return lines.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join('\n');
}

/** Lines of a terminal's width, never divided within brackets. */
function wrapped(text: string, width = 110): string {
  const lines = [''];
  for (const piece of text.match(/\[[^\]]*\]\S*|\([^)]*\)|\S+/g) ?? []) {
    const last = lines.at(-1)!;
    if (last === '') lines[lines.length - 1] = piece;
    else if (last.length + 1 + piece.length <= width) lines[lines.length - 1] = `${last} ${piece}`;
    else lines.push(`         ${piece}`);
  }
  return lines.join('\n');
}
