import path from 'node:path';
import type { Config } from './config.ts';
import type { Context } from './context.ts';
import { readCredentials } from './credentials.ts';
import { readDeclared } from './declared.ts';
import { environmentTree, withEnvironment } from './environment.ts';
import { Files } from './files.ts';
import { readAdminHosts, readListen } from './listen.ts';
import { readOutage } from './outage.ts';
import { type Problem, Problems } from './problems.ts';
import { checkForwarded, readRoutes } from './routes.ts';
import { checkFormCredentials } from './rules.ts';
import { type File, fileSchema } from './schema.ts';
import { nameForm } from './schema-routes.ts';
import { readAdminKeys, readPeppers } from './secrets.ts';
import { noteUnasked, readSessions } from './sessions.ts';
import { readStore } from './store.ts';
import type { Env } from './substitute.ts';
import { readTokenApis } from './token-apis.ts';
import { itemKey, type Tree } from './tree.ts';
import { readUpstreams } from './upstreams.ts';
import { configHash } from './view.ts';
import { type Draft, walk } from './walk.ts';
import type { Watched } from './watch.ts';
import { readYaml } from './yaml.ts';

/** A file; or without one the URL of `--upstream` (null: `POSTERN_UPSTREAM`), with paths that start at `folder`. */
export type Source =
  | { readonly file: string; readonly env?: Env }
  | { readonly upstream: string | null; readonly env?: Env; readonly folder?: string };

/** What was read can be watched, whether it was good or not. */
export type LoadResult = Watched &
  (
    | { readonly ok: true; readonly config: Config; readonly warnings: readonly Problem[]; readonly hash: string }
    | { readonly ok: false; readonly problems: readonly Problem[] }
  );

/** Loads a configuration: reads it, holds it against the declaration, checks what keys mean to each other. */
export async function loadConfig(source: Source, now: number = Date.now()): Promise<LoadResult> {
  const env = source.env ?? process.env;
  const folder = 'file' in source ? path.dirname(path.resolve(source.file)) : (source.folder ?? process.cwd());
  const problems = new Problems();
  const files = new Files(folder, problems);
  const context: Context = { problems, files, env, now };

  const tree =
    'file' in source ? await fileTree(source.file, context) : environmentTree(source.upstream, env, problems);
  const draft = tree === null ? undefined : walk(fileSchema, tree, problems);
  const config = draft === undefined ? null : await readConfig(draft, context);

  const watched = { files: files.paths, contents: await files.digest() };
  if (config === null) return { ok: false, problems: problems.list, ...watched };
  const named = { file: 'file' in source ? source.file : null, ...config };
  return { ok: true, config: named, warnings: problems.warnings, hash: configHash(named), ...watched };
}

async function fileTree(name: string, { files, problems, env }: Context): Promise<Tree | null> {
  const text = await files.text(path.resolve(name), '');
  const tree = text === null ? null : readYaml(text, name, env, problems);
  return tree === null ? null : withEnvironment(tree, env, problems);
}

/** The configuration that a draft stands for; null when there are problems, all of which are found first. */
async function readConfig(draft: Draft<File>, context: Context): Promise<Omit<Config, 'file'> | null> {
  const { problems } = context;
  const { listen: listenDraft = {}, upstreams: upstreamsDraft = {}, tokens: tokensDraft = {} } = draft;
  const identityPrefix = draft.headers?.identity_prefix;

  const listen = await readListen(listenDraft, context);
  const upstreams = await readUpstreams(upstreamsDraft, listenDraft, context);
  const credentials = readCredentials(draft.credentials ?? [], identityPrefix, context);
  const forwardHeaders = draft.forward_headers?.filter(name => name !== undefined) ?? [];
  checkForwarded(draft.forward_headers, 'forward_headers', identityPrefix, problems);
  const around = {
    upstreams: upstreams.map(({ name }) => name).filter(name => nameForm.test(name)),
    credentials,
    identityPrefix,
    forwardHeaders,
    maxBody: draft.max_body ?? null,
  };
  const routes = readRoutes(draft.routes ?? [], around, context);
  checkFormCredentials(draft.credentials ?? [], draft.routes ?? [], problems);
  const keys = await readAdminKeys(draft.admin?.keys ?? [], context);
  const peppers = await readPeppers(tokensDraft.peppers ?? [], context);
  const declared = await readDeclared(tokensDraft, context);
  const hosts = readAdminHosts(draft.admin?.hosts);
  for (const [i, network] of (draft.trusted_proxies ?? []).entries()) {
    if (network?.endsWith('/0')) problems.warn(itemKey('trusted_proxies', i), `${network} believes everybody`);
  }

  const store = await readStore(draft.store ?? {}, draft.admin?.keys?.length ?? 0, context);

  const outage = readOutage(draft.outage ?? {}, draft.revocation?.bound, peppers.length, context);

  const tokenApis = await readTokenApis(draft.token_apis ?? [], context);
  const sessions = readSessions(draft.sessions ?? {}, draft.revocation?.bound, context);
  noteUnasked(sessions, tokenApis, problems);

  if (problems.some || store === null) return null;
  // No problem: no part of the draft is missing.
  const { tokens, cache, revocation, limits, headers, guard, shutdown, log, trusted_proxies } = draft as File;
  return {
    listen,
    admin: { keys, hosts },
    upstreams,
    credentials,
    routes,
    store,
    tokens: {
      prefix: tokens.prefix,
      peppers,
      declared,
      shapes: tokens.shapes.map(shape => new RegExp(shape)),
      acceptUnkeyed: tokens.accept_unkeyed,
    },
    tokenApis,
    cache: { maxEntries: cache.max_entries, ttlMs: cache.ttl, negativeTtlMs: cache.negative_ttl },
    revocation: { boundMs: revocation.bound, feedReadMs: Math.floor(revocation.bound / 3) },
    outage,
    sessions,
    limits: { waitMs: limits.wait },
    headers: { identityPrefix: headers.identity_prefix, realm: headers.realm, rateLimit: headers.rate_limit },
    trustedProxies: trusted_proxies,
    guard: { failures: guard.failures, perMs: guard.per },
    shutdown: { delayMs: shutdown.delay, graceMs: shutdown.grace },
    log: { level: log.level, access: log.access, sample: log.sample },
  };
}
