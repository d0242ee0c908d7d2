import { existsSync } from 'node:fs';
import type { Source } from '../config/load.ts';
import { type Io, type Options, UsageError } from './command.ts';

const usualFile = '/etc/postern/postern.yaml';

/** Options of every command that reads the configuration. */
export const sourceOptions = { config: { type: 'string' }, upstream: { type: 'string' } } as const;

/**
 * Where the configuration is: `--upstream` without a file, `--config`, `POSTERN_CONFIG`, the usual file, or
 * `POSTERN_UPSTREAM` without a file. Null when nothing says.
 */
export function findSource(options: Options, { env }: Io): Source | null {
  const upstream = options.text('upstream');
  const named = options.text('config');
  if (upstream !== undefined && named !== undefined) throw new UsageError('--upstream and --config exclude each other');
  if (upstream !== undefined) return { upstream, env };
  const file = named ?? env['POSTERN_CONFIG'];
  if (file !== undefined && file !== '') return { file, env };
  if (existsSync(usualFile)) return { file: usualFile, env };
  return env['POSTERN_UPSTREAM'] === undefined ? null : { upstream: null, env };
}

export function needSource(options: Options, io: Io): Source {
  const source = findSource(options, io);
  if (source !== null) return source;
  throw new UsageError(
    `no configuration: name a file with --config or POSTERN_CONFIG, put one at ${usualFile}, or name an API with --upstream URL`,
  );
}
