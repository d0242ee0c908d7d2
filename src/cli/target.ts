import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Config } from '../config/config.ts';
import { loadConfig, type Source } from '../config/load.ts';
import { problemLine } from '../config/problems.ts';
import type { OptionTable } from './arguments.ts';
import { type Call, UsageError } from './command.ts';
import { urlOf } from './probes.ts';
import type { Trust } from './request.ts';
import { findSource, isNamed } from './source.ts';
import { trustOf, trustOfOwn } from './trust.ts';

/** Options of every command that speaks to the admin API. */
export const clientOptions = {
  config: {
    type: 'string',
    value: 'FILE',
    about:
      'Configuration that says where the admin API and its key are (default: POSTERN_CONFIG, /etc/postern/postern.yaml)',
  },
  url: {
    type: 'string',
    value: 'URL',
    about: 'Where the admin API is (default: POSTERN_ADMIN_URL, the configuration, http://127.0.0.1:8081)',
  },
  'key-file': {
    type: 'string',
    value: 'FILE',
    about:
      "File that holds the admin key (default: POSTERN_ADMIN_KEY, the configuration's key_file, <store>/admin.key)",
  },
  ca: {
    type: 'string',
    value: 'FILE',
    about: "Authorities in PEM that may have signed the admin API's certificate (default: those of the system)",
  },
} as const satisfies OptionTable;

export const clientUsage = '[--config FILE] [--url URL] [--key-file FILE] [--ca FILE] [--json]';

/** Where the admin API is, and what it wants to see. */
export interface Target {
  readonly url: string;
  readonly key: string;
  readonly tls: Trust;
  /** The configuration of the instance that is asked; null where it is not known. */
  readonly config: Config | null;
}

/** What is said on the command line, else in the environment, else in the configuration. */
export async function findTarget({ options, io }: Pick<Call, 'options' | 'io'>): Promise<Target> {
  const saidUrl = said(options.text('url'), '--url') ?? said(io.env['POSTERN_ADMIN_URL'], 'POSTERN_ADMIN_URL');
  const saidKey = await givenKey({ options, io });
  const isNeeded = saidUrl === null || saidKey === null;
  const config = await readConfig(findSource(options, io), isNeeded || isNamed(options, io));
  const around = config ?? (isNeeded ? await defaults(io.env) : null);
  const url = saidUrl ?? adminUrlOf(around!);
  const key = saidKey ?? (await keyFrom(configuredKey(around!)));
  const authorities = options.text('ca');
  // With a URL that was said, a file that merely lies here may be that of another instance.
  const isAbout = saidUrl === null || isNamed(options, io);
  const own = around === null ? null : trustOfOwn(new URL(url), around.listen.admin);
  return {
    url,
    key,
    tls: authorities === undefined ? (own ?? {}) : await trustOf(authorities),
    config: isAbout ? config : null,
  };
}

const adminUrlOf = ({ listen: { admin } }: Config): string => urlOf(admin.address, admin.tls !== null);

function said(url: string | undefined, where: string): string | null {
  if (url === undefined) return null;
  const { protocol = '', username = '', password = '' } = URL.parse(url) ?? {};
  if (username !== '' || password !== '') throw new UsageError(`${where} has a user name or password; it takes none`);
  if (/^https?:$/.test(protocol)) return url;
  throw new UsageError(`${where} is no http or https URL: ${url}`);
}

async function givenKey({ options, io }: Pick<Call, 'options' | 'io'>): Promise<string | null> {
  const named = options.text('key-file');
  if (named !== undefined) return keyFrom(named);
  const given = io.env['POSTERN_ADMIN_KEY'];
  return given === undefined ? null : usable(given, 'POSTERN_ADMIN_KEY');
}

/**
 * A configuration that is named or needed has to be good: with a bad one every guess about where things are is as
 * likely to be about another instance. One that merely lies there is not in the way of who said everything.
 */
async function readConfig(source: Source | null, needed: boolean): Promise<Config | null> {
  if (source === null) return null;
  const loaded = await loadConfig(source);
  if (loaded.ok) return loaded.config;
  if (needed) throw new UsageError(loaded.problems.map(problemLine).join('\n'));
  return null;
}

/** What holds where nothing is configured, and what the environment says of listeners and store. */
async function defaults(env: Call['io']['env']): Promise<Config> {
  // Which upstream makes no difference to a client.
  const loaded = await loadConfig({ upstream: 'http://upstream.invalid', env });
  if (loaded.ok) return loaded.config;
  throw new UsageError(loaded.problems.map(problemLine).join('\n'));
}

/** The file of a configured key that may do everything; without configured keys, of the one that the store made. */
function configuredKey({ admin, store, file }: Config): string {
  if (admin.keys.length === 0 && store.kind === 'embedded') return path.join(store.path, 'admin.key');
  const now = Date.now();
  const inForce = admin.keys.filter(
    ({ role, expiresAt }) => role === 'admin' && (expiresAt === null || now < expiresAt),
  );
  for (const { keyFile } of inForce) if (keyFile !== null) return keyFile;
  const where = `admin.keys of ${file ?? 'the configuration'}`;
  const why =
    inForce.length === 0
      ? 'has no key with the role admin that has not expired'
      : `names no file of a key with the role admin, and of ${inForce.map(({ name }) => name).join(', ')} only a digest is kept`;
  throw new UsageError(`no admin key: ${where} ${why}; set POSTERN_ADMIN_KEY, or name a file with --key-file`);
}

/** A key that a field can carry; one that cannot would be told in the words of whoever fails to write it. */
function usable(key: string, where: string): string {
  if (/^[!-~]+$/.test(key)) return key;
  throw new UsageError(`${where} holds no admin key: one is a line of visible ASCII characters`);
}

async function keyFrom(file: string): Promise<string> {
  try {
    return usable((await readFile(file, 'utf8')).replace(/\r?\n$/, ''), file);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const why = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'is not there' : (error as Error).message;
    throw new UsageError(`no admin key: set POSTERN_ADMIN_KEY, or name a file with --key-file (${file} ${why})`);
  }
}
