import type { Config } from './config.ts';
import type { Context } from './context.ts';
import type { File } from './schema.ts';
import type { Draft } from './walk.ts';

type Redis = Extract<Config['store'], { readonly kind: 'redis' }>;

/** Where a Redis is, and as whom to speak to it. */
type Place = Pick<Redis, 'host' | 'port' | 'username' | 'password' | 'database' | 'tls'>;

const allowed = 'redis://[user:password@]host[:port][/database], or rediss:// for TLS';

/** `store`; null after a problem. */
export async function readStore(
  draft: Draft<File['store']>,
  adminKeys: number,
  context: Context,
): Promise<Config['store'] | null> {
  const { problems, files } = context;
  const { kind, deadline: deadlineMs, mutation_deadline: mutationDeadlineMs } = draft;
  if (kind === undefined || deadlineMs === undefined || mutationDeadlineMs === undefined) return null;
  const deadlines = { deadlineMs, mutationDeadlineMs };
  if (kind === 'embedded') {
    for (const name of ['url', 'url_file', 'ca'] as const) {
      if (draft[name] !== undefined) problems.add(`store.${name}`, 'is of Redis; allowed: with `kind: redis`');
    }
    return draft.path === undefined ? null : { kind, path: files.resolve(draft.path), ...deadlines };
  }
  if (adminKeys === 0 && !problems.touch('admin.keys')) {
    problems.add('admin.keys', 'is empty, and Redis has no folder to write a key to; allowed: at least one key');
  }
  const place = await readPlace(draft, context);
  const { prefix, allow_eviction: allowEviction } = draft;
  if (place === null || prefix === undefined || allowEviction === undefined) return null;
  return { kind, ...place, prefix, allowEviction, ...deadlines };
}

async function readPlace(draft: Draft<File['store']>, { problems, files }: Context): Promise<Place | null> {
  const { url, url_file: file, ca } = draft;
  if ((url === undefined) === (file === undefined)) {
    const what = url === undefined ? 'has no url, url_file' : 'has url and url_file';
    problems.add('store', `${what}; allowed: exactly one of url, url_file`);
    return null;
  }
  const key = url === undefined ? 'store.url_file' : 'store.url';
  const text = url ?? (await files.secret(file ?? '', key))?.toString('utf8');
  if (text === undefined) return null;
  const place = parseRedisUrl(text);
  // Not quoted: it may hold a password.
  if (place === null) problems.add(key, `is no address of a Redis; allowed: ${allowed}`);
  const authority = ca === undefined ? null : await files.contents(ca, 'store.ca');
  if (place === null) return null;
  if (ca !== undefined && place.tls === null) problems.add('store.ca', 'needs TLS; allowed: with a rediss:// address');
  return { ...place, tls: place.tls === null ? null : { ca: authority } };
}

/** The parts of a `redis://` or `rediss://` address; null when it is none. */
export function parseRedisUrl(text: string): Place | null {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !['redis:', 'rediss:'].includes(url.protocol) || url.hostname === '') return null;
  if (url.search !== '' || url.hash !== '') return null;
  const database = /^\/?$/.test(url.pathname) ? 0 : Number(/^\/(\d{1,3})$/.exec(url.pathname)?.[1]);
  if (Number.isNaN(database)) return null;
  try {
    return {
      host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: url.port === '' ? 6379 : Number(url.port),
      username: url.username === '' ? null : decodeURIComponent(url.username),
      password: url.password === '' ? null : Buffer.from(decodeURIComponent(url.password)),
      database,
      tls: url.protocol === 'rediss:' ? { ca: null } : null,
    };
  } catch {
    return null;
  }
}
