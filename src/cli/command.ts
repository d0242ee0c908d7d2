import type { ParseArgsOptionsConfig } from 'node:util';

/** What a command needs of the world around it. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  out(text: string): void;
  err(text: string): void;
  /** Everything on standard input. */
  read(): Promise<string>;
}

export interface Command {
  /** One line for the list of commands. */
  readonly summary: string;
  /** Behind `postern <name>`. */
  readonly usage: string;
  readonly options?: ParseArgsOptionsConfig;
  /** Names of arguments, `?` behind the ones that may be left out. */
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

/** Options as `parseArgs` returns them, by kind. */
export class Options {
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(values: Readonly<Record<string, unknown>>) {
    this.#values = values;
  }

  text(name: string): string | undefined {
    const value = this.#values[name];
    return typeof value === 'string' ? value : undefined;
  }

  flag(name: string): boolean {
    return this.#values[name] === true;
  }

  list(name: string): readonly string[] | undefined {
    const value = this.#values[name];
    return Array.isArray(value) ? (value as string[]) : undefined;
  }
}

/** The command was called in a way that it does not take: exit code 2. */
export class UsageError extends Error {}

/** The command could not do what it was asked: exit code 1. */
export class Failed extends Error {}
