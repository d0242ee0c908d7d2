import { parseArgs } from 'node:util';
import { accountCommands } from './account.ts';
import { check } from './check.ts';
import { type Command, Failed, type Group, type Io, Options, UsageError } from './command.ts';
import { configCommands } from './config.ts';
import { demo } from './demo.ts';
import { drain, healthcheck } from './probes.ts';
import { serve } from './serve.ts';
import { tokenCommands } from './token.ts';
import { version, versionCommand } from './version.ts';

const commands: Readonly<Record<string, Command | Group>> = {
  serve,
  demo,
  check,
  drain,
  healthcheck,
  token: tokenCommands,
  account: accountCommands,
  config: configCommands,
  version: versionCommand,
};

const common = { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const;

const processIo: Io = {
  env: process.env,
  out: text => process.stdout.write(`${text}\n`),
  err: text => process.stderr.write(`${text}\n`),
  async read() {
    const pieces: Buffer[] = [];
    for await (const piece of process.stdin) pieces.push(piece as Buffer);
    return Buffer.concat(pieces).toString('utf8');
  },
};

/** Runs one command line. Returns the exit code. */
export async function run(words: readonly string[], io: Io = processIo): Promise<number> {
  try {
    const found = find(words);
    if (typeof found === 'string') {
      io.out(found);
      return 0;
    }
    return await call(found, io);
  } catch (error) {
    if (error instanceof UsageError) {
      io.err(`postern: ${error.message}`);
      return 2;
    }
    if (error instanceof Failed) {
      io.err(`postern: ${error.message}`);
      return 1;
    }
    throw error;
  }
}

interface Found {
  readonly name: string;
  readonly command: Command;
  readonly rest: readonly string[];
}

/** The command that the words name, or the text of help that they ask for. */
function find(words: readonly string[]): Found | string {
  const [first, second] = words;
  if (first === undefined || first === '--help' || first === '-h' || first === 'help') return overview();
  if (first === '--version' || first === '-v') return version;
  const entry = Object.hasOwn(commands, first) ? commands[first] : undefined;
  if (entry === undefined)
    throw new UsageError(`there is no command ${first}; commands: ${Object.keys(commands).join(', ')}`);
  if (!('commands' in entry)) return { name: first, command: entry, rest: words.slice(1) };
  if (second === undefined || second === '--help' || second === '-h') return groupHelp(first, entry);
  const command = Object.hasOwn(entry.commands, second) ? entry.commands[second] : undefined;
  if (command === undefined) {
    throw new UsageError(`there is no command ${first} ${second}; commands: ${Object.keys(entry.commands).join(', ')}`);
  }
  return { name: `${first} ${second}`, command, rest: words.slice(2) };
}

async function call({ name, command, rest }: Found, io: Io): Promise<number> {
  let parsed: { values: Record<string, unknown>; positionals: string[] };
  try {
    parsed = parseArgs({
      args: [...rest],
      options: { ...common, ...command.options },
      allowPositionals: true,
      strict: true,
    });
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n${commandHelp(name, command)}`);
  }
  const options = new Options(parsed.values);
  if (options.flag('help')) {
    io.out(commandHelp(name, command));
    return 0;
  }
  const args = command.args ?? [];
  const needed = args.filter(arg => !arg.endsWith('?')).length;
  if (parsed.positionals.length < needed || parsed.positionals.length > args.length) {
    throw new UsageError(
      `${name} takes ${args.length === 0 ? 'no arguments' : args.join(' ')}\n${commandHelp(name, command)}`,
    );
  }
  return command.run({ args: parsed.positionals, options, io });
}

function overview(): string {
  const width = Math.max(...Object.keys(commands).map(name => name.length));
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  return `postern ${version}: an authorization proxy in front of APIs that cannot protect themselves\n\nusage: postern <command> [options]\n\n${lines.join('\n')}\n\nEvery command takes --help; those that print results take --json.`;
}

function groupHelp(name: string, { summary, commands: members }: Group): string {
  const width = Math.max(...Object.keys(members).map(member => member.length));
  const lines = Object.entries(members).map(([member, command]) => `  ${member.padEnd(width)}  ${command.summary}`);
  return `${summary}\n\nusage: postern ${name} <command> [options]\n\n${lines.join('\n')}`;
}

const commandHelp = (name: string, { summary, usage }: Command): string =>
  `usage: postern ${name}${usage === '' ? '' : ` ${usage}`}\n  ${summary}`;
