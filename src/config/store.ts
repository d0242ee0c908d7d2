import type { Config } from './config.ts';
import type { Context } from './context.ts';
import type { File } from './schema.ts';
import { readKey32 } from './secrets.ts';
import { type HostPort, readHostPort } from './store-address.ts';
import { itemKey } from './tree.ts';
import type { Draft as WalkDraft } from './walk.ts';

type Redis = Extract<Config['store'], { readonly kind: 'redis' }>;
type Draft = WalkDraft<File['store']>;

/** Where a Redis is, and as whom to speak to it. */
type Place = Pick<Redis, 'servers' | 'username' | 'password' | 'database' | 'tls'>;
type Login = Pick<Redis, 'username' | 'password'>;

const allowed = 'redis://[user:password@]host[:port][/database], or rediss:// for TLS';

/** One of these says where Redis is. The keys beside them belong to some of them. */
const forms = ['url', 'url_file', 'sentinels', 'cluster'] as const;
const belongings = {
  master: ['sentinels'],
  username: ['sentinels', 'cluster'],
  password: ['sentinels', 'cluster'],
  password_file: ['sentinels', 'cluster'],
  sentinel_username: ['sentinels'],
  sentinel_password: ['sentinels'],
  sentinel_password_file: ['sentinels'],
  database: ['sentinels'],
  tls: ['sentinels', 'cluster'],
} as const satisfies Partial<Record<keyof Draft, readonly (typeof forms)[number][]>>;

/** `store`; null after a problem. */
export async function readStore(draft: Draft, adminKeys: number, context: Context): Promise<Config['store'] | null> {
  const { problems, files } = context;
  const { kind, deadline: deadlineMs, mutation_deadline: mutationDeadlineMs } = draft;
  if (kind === undefined || deadlineMs === undefined || mutationDeadlineMs === undefined) return null;
  const encryptionKey =
    draft.encryption_key_file === undefined
      ? null
      : await readKey32(draft.encryption_key_file, 'store.encryption_key_file', files, problems);
  const common = { deadlineMs, mutationDeadlineMs, encryptionKey };
  if (kind === 'embedded') {
    for (const name of [
      ...forms,
      ...(Object.keys(belongings) as (keyof typeof belongings)[]),
      'ca',
      'confirm',
    ] as const) {
      if (draft[name] !== undefined) problems.add(`store.${name}`, 'is of Redis; allowed: with `kind: redis`');
    }
    return draft.path === undefined ? null : { kind, path: files.resolve(draft.path), ...common };
  }
  if (adminKeys === 0 && !problems.touch('admin.keys')) {
    problems.add('admin.keys', 'is empty, and Redis has no folder to write a key to; allowed: at least one key');
  }
  const place = await readPlace(draft, context);
  const { prefix, allow_eviction: allowEviction } = draft;
  if (place === null || prefix === undefined || allowEviction === undefined) return null;
  const confirm = draft.confirm ?? (place.servers.form === 'url' ? 'none' : 'majority');
  return { kind, ...place, prefix, confirm, allowEviction, ...common };
}

async function readPlace(draft: Draft, context: Context): Promise<Place | null> {
  const { problems, files } = context;
  const given = forms.filter(name => draft[name] !== undefined || problems.touch(`store.${name}`));
  const [form] = given;
  if (form === undefined || given.length > 1) {
    const what = form === undefined ? `has no ${forms.join(', ')}` : `has ${given.join(' and ')}`;
    problems.add('store', `${what}; allowed: exactly one of ${forms.join(', ')}`);
    return null;
  }
  for (const [name, owners] of Object.entries(belongings) as [keyof typeof belongings, readonly string[]][]) {
    if (draft[name] === undefined || owners.includes(form)) continue;
    const remedy = form.startsWith('url') && owners.length === 2 ? '; an address has it in itself' : '';
    problems.add(`store.${name}`, `is not of ${form}; allowed: with ${owners.join(' or ')}${remedy}`);
  }
  const ca = draft.ca === undefined ? null : await files.contents(draft.ca, 'store.ca');
  const place =
    form === 'sentinels' || form === 'cluster' ? await readNodes(draft, form, context) : await readUrl(draft, context);
  if (place === null) return null;
  if (draft.ca !== undefined && place.tls === null) {
    const remedy = form.startsWith('url') ? 'with a rediss:// address' : 'with `tls: true`';
    problems.add('store.ca', `needs TLS; allowed: ${remedy}`);
  }
  return { ...place, tls: place.tls === null ? null : { ca } };
}

async function readUrl({ url, url_file: file }: Draft, { problems, files }: Context): Promise<Place | null> {
  const key = url === undefined ? 'store.url_file' : 'store.url';
  const text = url ?? (file === undefined ? undefined : (await files.secret(file, key))?.toString('utf8'));
  if (text === undefined) return null;
  const place = parseRedisUrl(text);
  // Not quoted: it may hold a password.
  if (place === null) problems.add(key, `is no address of a Redis; allowed: ${allowed}`);
  return place;
}

async function readNodes(draft: Draft, form: 'sentinels' | 'cluster', context: Context): Promise<Place | null> {
  const { problems } = context;
  const nodes: HostPort[] = [];
  const seen = new Map<string, string>();
  for (const [i, text] of (draft[form] ?? []).entries()) {
    const node = text === undefined ? null : readHostPort(text, form === 'sentinels' ? 26_379 : 6379);
    if (node === null) continue;
    problems.once(seen, `${node.host}:${node.port}`, itemKey(`store.${form}`, i), `${node.host}:${node.port}`);
    nodes.push(node);
  }
  const login = await readLogin(draft, '', context);
  const common = { ...login, database: draft.database ?? 0, tls: draft.tls === true ? { ca: null } : null };
  if (form === 'cluster') return { servers: { form, nodes }, ...common };
  const { master } = draft;
  const sentinelLogin = await readLogin(draft, 'sentinel_', context);
  if (master !== undefined)
    return { servers: { form: 'sentinel', sentinels: nodes, master, ...sentinelLogin }, ...common };
  if (!problems.touch('store.master')) {
    problems.add('store', 'has no master; allowed: with sentinels, the name that they know it by');
  }
  return null;
}

async function readLogin(draft: Draft, kind: '' | 'sentinel_', { problems, files }: Context): Promise<Login> {
  const [named, written, filed] = [`${kind}username`, `${kind}password`, `${kind}password_file`] as const;
  const { [named]: username, [written]: password, [filed]: file } = draft;
  if (password !== undefined && file !== undefined) {
    problems.add('store', `has ${written} and ${filed}; allowed: one of them`);
  }
  if (username !== undefined && password === undefined && file === undefined && !problems.touch(`store.${written}`)) {
    problems.add(`store.${named}`, `has no password; allowed: with ${written} or ${filed}`);
  }
  const secret = password === undefined ? null : Buffer.from(password);
  const read = secret ?? (file === undefined ? null : await files.secret(file, `store.${filed}`));
  if (read?.length === 0) problems.add(`store.${filed}`, 'is empty; allowed: a file with a password');
  return { username: username ?? null, password: read };
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
      servers: {
        form: 'url',
        host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
        port: url.port === '' ? 6379 : Number(url.port),
      },
      username: url.username === '' ? null : decodeURIComponent(url.username),
      password: url.password === '' ? null : Buffer.from(decodeURIComponent(url.password)),
      database,
      tls: url.protocol === 'rediss:' ? { ca: null } : null,
    };
  } catch {
    return null;
  }
}
