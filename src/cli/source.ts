import { existsSync } from 'node:fs';
import type { Source } from '../config/load.ts';
import type { Options, OptionTable } from './arguments.ts';
import { type Io, UsageError } from './command.ts';

const usualFile = '/etc/postern/postern.yaml';

/** Options of every command that reads the configuration. */
export const sourceOptions = {
  config: {
    type: 'string',
    value: 'FILE',
    about: `The configuration (default: POSTERN_CONFIG, ${usualFile})`,
  },
  upstream: {
    type: 'string',
    value: 'URL',
    about: 'Without a file: the API that is protected (default: POSTERN_UPSTREAM)',
  },
} as const satisfies OptionTable;

/**
 * Where the configuration is: `--upstream` without a file, `--config`, `POSTERN_CONFIG`, the usual file, or
 * `POSTERN_UPSTREAM` without a file. Null when nothing says.
 */
export function findSource(options: Options, { env }: Pick<Io, 'env'>): Source | null {
  const upstream = options.text('upstream');
  const named = options.text('config');
  if (upstream !== undefined && named !== undefined) throw new UsageError('--upstream and --config exclude each other');
  if (upstream !== undefined) return { upstream, env };
  const file = fileNamed(options, env);
  if (file !== undefined) return { file, env };
  if (existsSync(usualFile)) return { file: usualFile, env };
  return env['POSTERN_UPSTREAM'] === undefined ? null : { upstream: null, env };
}

/** Somebody said which file it is; else it is the one that happens to be there. */
export const isNamed = (options: Options, { env }: Pick<Io, 'env'>): boolean => fileNamed(options, env) !== undefined;

function fileNamed(options: Options, env: Io['env']): string | undefined {
  const file = options.text('config') ?? env['POSTERN_CONFIG'];
  return file === '' ? undefined : file;
}

export function needSource(options: Options, io: Io): Source {
  const source = findSource(options, io);
  if (source !== null) return source;
  throw new UsageError(
    `no configuration: name a file with --config or POSTERN_CONFIG, put one at ${usualFile}, or name an API with --upstream URL`,
  );
}
