import { accountCommands } from './account.ts';
import { readArguments } from './arguments.ts';
import { check } from './check.ts';
import { type Command, Failed, type Group, type Io, UsageError } from './command.ts';
import { configCommands } from './config.ts';
import { demo } from './demo.ts';
import { explain } from './explain.ts';
import { commandHelp, commonOptions, groupHelp, overview, usageLine } from './help.ts';
import { drain, healthcheck } from './probes.ts';
import { roleCommands } from './role.ts';
import { serve } from './serve.ts';
import { sign } from './sign.ts';
import { storeCommands } from './store.ts';
import { tokenCommands } from './token.ts';
import { version, versionCommand } from './version.ts';

export const commands: Readonly<Record<string, Command | Group>> = {
  serve,
  demo,
  check,
  drain,
  healthcheck,
  token: tokenCommands,
  account: accountCommands,
  role: roleCommands,
  explain,
  sign,
  store: storeCommands,
  config: configCommands,
  version: versionCommand,
};

const processIo: Io = {
  env: process.env,
  out: text => process.stdout.write(`${text}\n`),
  write: bytes =>
    new Promise((resolve, reject) => {
      process.stdout.write(bytes, error => (error ? reject(error) : resolve()));
    }),
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
  if (first === undefined || first === '--help' || first === '-h' || first === 'help') return overview(commands);
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
  const { options, args } = readArguments(name, rest, { ...command.options, ...commonOptions });
  if (options.flag('help')) {
    io.out(commandHelp(name, command));
    return 0;
  }
  const takes = command.args ?? [];
  const needed = takes.filter(arg => !arg.endsWith('?')).length;
  const most = takes.at(-1)?.endsWith('…') ? Number.POSITIVE_INFINITY : takes.length;
  if (args.length < needed || args.length > most) {
    const what = takes.length === 0 ? 'no arguments' : takes.join(' ');
    throw new UsageError(`${name} takes ${what}\n${usageLine(name, command)}`);
  }
  return command.run({ args, options, io });
}
