import type { Options, OptionTable } from './arguments.ts';

/** What a command needs of the world around it. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  out(text: string): void;
  /** Bytes to standard output; resolves when they are taken. */
  write(bytes: Uint8Array): Promise<void>;
  err(text: string): void;
  /** Everything on standard input. */
  read(): Promise<string>;
}

export interface Command {
  /** One line for the list of commands. */
  readonly summary: string;
  /** Behind `postern <name>`. */
  readonly usage: string;
  readonly options?: OptionTable;
  /** Names of arguments, `?` behind the ones that may be left out, `…` behind a last one that may be many. */
  readonly args?: readonly string[];
  /** Returns the exit code: 0, 1 (failed) or 2 (usage or configuration). */
  run(call: Call): Promise<number>;
}

/** A group of commands: `token create`. */
export interface Group {
  readonly summary: string;
  readonly commands: Readonly<Record<string, Command>>;
}

export interface Call {
  readonly args: readonly string[];
  readonly options: Options;
  readonly io: Io;
}

/** The command was called in a way that it does not take: exit code 2. */
export class UsageError extends Error {}

/** The command could not do what it was asked: exit code 1. */
export class Failed extends Error {}
