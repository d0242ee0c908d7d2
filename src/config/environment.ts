import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Problems } from './problems.ts';
import type { Env } from './substitute.ts';
import { type MapTree, type Member, type Spot, scalarTree, type Tree } from './tree.ts';

/**
 * A configuration without a file: one upstream, and every path needs a valid token. Each value stands where it was
 * said: `--upstream`, or a variable.
 */
export function environmentTree(upstream: string | null, env: Env, problems: Problems): Tree {
  const said = sayingOf(env);
  const whole = spot('environment');
  const map = (entries: readonly (readonly [string, Tree])[], at: Spot = whole): Tree => ({
    kind: 'map',
    at,
    members: new Map(entries.map(([name, tree]): [string, Member] => [name, { at: tree.at, tree }])),
  });
  const sections: [string, Tree][] = [
    ['routes', { kind: 'list', at: whole, items: [map([['path', text('/**', whole)]])] }],
  ];

  const url = upstream ?? said('POSTERN_UPSTREAM');
  const urlAt = spot(upstream === null ? 'POSTERN_UPSTREAM' : '--upstream');
  if (url === undefined) problems.add('', 'is not set; allowed: the URL of the API that is protected', urlAt);
  const urlTree: Tree = url === undefined ? { kind: 'hole', at: urlAt } : text(url, urlAt);
  sections.push(['upstreams', map([['default', map([['url', urlTree]], urlAt)]], urlAt)]);

  const listen = Object.keys(env).flatMap((name): [string, Tree][] => {
    const member = /^POSTERN_LISTEN_([A-Z]+)$/.exec(name)?.[1]?.toLowerCase();
    const address = said(name);
    return member === undefined || address === undefined ? [] : [[member, text(address, spot(name))]];
  });
  sections.push(['listen', map(listen)]);

  const store = said('POSTERN_STORE_URL');
  if (store !== undefined) sections.push(['store', map(storeMembers(store, problems))]);
  return map(sections);
}

/**
 * A file beside which there are variables. Images set POSTERN_STORE_URL for whatever file they are given: it stands in
 * for where the store is, if the file does not say that. The others do not count, and are told so.
 */
export function withEnvironment(tree: Tree, env: Env, problems: Problems): Tree {
  const said = sayingOf(env);
  for (const name of Object.keys(env).sort()) {
    const what =
      name === 'POSTERN_UPSTREAM'
        ? 'where requests go'
        : /^POSTERN_LISTEN_[A-Z]+$/.test(name)
          ? 'where to listen'
          : null;
    if (what === null || said(name) === undefined) continue;
    problems.warn('', `is ignored: the file says ${what}`, spot(name));
  }

  const url = said('POSTERN_STORE_URL');
  if (url === undefined || tree.kind !== 'map') return tree;
  const at = spot('POSTERN_STORE_URL');
  const store = tree.members.get('store')?.tree ?? { kind: 'map', at, members: new Map() };
  if (store.kind !== 'map' || placing.some(name => store.members.has(name))) return tree;
  let named = store;
  for (const [name, value] of storeMembers(url, problems)) {
    if (store.members.has(name)) continue;
    // What the file does not say does not start at the file's folder.
    const folder = name === 'path' && value.kind === 'text';
    named = withMember(named, name, folder ? text(path.resolve(String(value.value)), at) : value);
  }
  return withMember(tree, 'store', named);
}

/** Keys of `store` that say where it is. */
const placing = ['path', 'url', 'url_file', 'sentinels', 'cluster'];

const withMember = (map: MapTree, name: string, tree: Tree): MapTree => ({
  ...map,
  members: new Map(map.members).set(name, { at: tree.at, tree }),
});

/** What a variable says; an empty one says nothing. */
const sayingOf =
  (env: Env) =>
  (name: string): string | undefined =>
    env[name] === '' ? undefined : env[name];

const spot = (source: string): Spot => ({ source, line: 0, column: 0 });

const text = (value: string, at: Spot): Tree => scalarTree(value, at, JSON.stringify(value));

/** What POSTERN_STORE_URL says of the store: members of `store`. */
function storeMembers(store: string, problems: Problems): [string, Tree][] {
  const at = spot('POSTERN_STORE_URL');
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(store)?.[1]?.toLowerCase();
  if (scheme === 'redis' || scheme === 'rediss') {
    return [
      ['kind', text('redis', at)],
      ['url', text(store, at)],
    ];
  }
  return [['path', storePath(store, scheme, problems)]];
}

/** The folder of an embedded store, as a path or a file URL. */
function storePath(store: string, scheme: string | undefined, problems: Problems): Tree {
  const at = spot('POSTERN_STORE_URL');
  if (scheme === undefined) return text(store, at);
  if (scheme === 'file') {
    try {
      return text(fileURLToPath(store), at);
    } catch {
      problems.add('store.path', 'is no URL of a file; allowed: a path, or file:///PATH', at);
    }
  } else {
    const allowed = 'a path, file:///PATH, redis://… or rediss://…';
    problems.add('store', `has the scheme ${scheme}; allowed: ${allowed}`, at);
  }
  return { kind: 'hole', at };
}
