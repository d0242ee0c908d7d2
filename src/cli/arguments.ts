import { parseArgs } from 'node:util';
import { nearest } from '../config/nearest.ts';
import { UsageError } from './command.ts';

/** An option as it is parsed, and as help tells of it. */
export interface Option {
  readonly type: 'string' | 'boolean';
  /** May be said again, and then adds up. */
  readonly multiple?: true;
  readonly short?: string;
  /** What stands for its value in help. */
  readonly value?: string;
  /** A few words, with the default where there is one. */
  readonly about: string;
}

export type OptionTable = Readonly<Record<string, Option>>;

/** One option as it stood on the command line; `true` for one that takes no value. */
export interface Given {
  readonly name: string;
  readonly value: string | true;
}

/** Options that were given, in the order of the command line: where several speak of one thing, order may decide. */
export class Options {
  readonly #given: readonly Given[];

  constructor(given: readonly Given[]) {
    this.#given = given;
  }

  text(name: string): string | undefined {
    return this.list(name)?.at(-1);
  }

  flag(name: string): boolean {
    return this.#given.some(given => given.name === name && given.value === true);
  }

  list(name: string): readonly string[] | undefined {
    const values = this.inOrder(name).map(given => given.value);
    return values.length === 0 ? undefined : values;
  }

  /** Those of some options that take a value, as they came. */
  inOrder(...names: readonly string[]): readonly { readonly name: string; readonly value: string }[] {
    return this.#given.flatMap(({ name, value }) => (names.includes(name) && value !== true ? [{ name, value }] : []));
  }
}

export interface Arguments {
  readonly options: Options;
  readonly args: readonly string[];
}

/**
 * Takes the words of a command line apart. Not `strict`: what `parseArgs` says of a mistake is about its own interface,
 * so that mistakes are found here, and told with the name of the option.
 */
export function readArguments(name: string, words: readonly string[], table: OptionTable): Arguments {
  const config = { options: table, strict: false, allowPositionals: true, tokens: true } as const;
  const { tokens } = parseArgs({ args: [...words], ...config });
  const given: Given[] = [];
  const args: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') args.push(token.value);
    if (token.kind !== 'option') continue;
    const option = Object.hasOwn(table, token.name) ? table[token.name] : undefined;
    if (option === undefined) throw unknown(name, token.rawName, Object.keys(table));
    given.push({ name: token.name, value: readValue(option, token) });
  }
  return { options: new Options(given), args };
}

interface OptionToken {
  readonly rawName: string;
  readonly value: string | undefined;
  readonly inlineValue: boolean | undefined;
}

function readValue(option: Option, { rawName, value, inlineValue }: OptionToken): string | true {
  if (option.type === 'boolean') {
    if (value === undefined) return true;
    throw new UsageError(`${rawName} takes no value`);
  }
  const what = option.value ?? 'VALUE';
  if (value === undefined) throw new UsageError(`${rawName} needs a value: ${rawName} ${what}`);
  // Far more often the value was forgotten than meant to look like an option.
  if (inlineValue !== true && value.length > 1 && value.startsWith('-')) {
    throw new UsageError(
      `${rawName} needs a value: ${rawName} ${what}; one that begins with - is written ${rawName}=-…`,
    );
  }
  return value;
}

function unknown(command: string, option: string, names: readonly string[]): UsageError {
  const near = option.startsWith('--') ? nearest(option.slice(2), names) : null;
  const hint = near === null ? '' : `, did you mean --${near}?`;
  return new UsageError(`${command} has no option ${option}${hint}; postern ${command} --help lists what it takes`);
}
