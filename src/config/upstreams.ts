import type { Config, Upstream, UpstreamTls } from './config.ts';
import type { Context } from './context.ts';
import { endpointOf } from './listen.ts';
import { canonicalHost, reaches, readUpstream, type UpstreamAddress } from './network.ts';
import { readAuthorities, readPair } from './pem.ts';
import type { File } from './schema.ts';
import { memberKey } from './tree.ts';
import type { Draft } from './walk.ts';

type UpstreamDraft = Draft<File['upstreams'][string]>;

/** `upstreams`: where requests go. */
export async function readUpstreams(
  draft: Draft<File['upstreams']>,
  listen: Draft<File['listen']>,
  context: Context,
): Promise<Config['upstreams']> {
  const proxy = endpointOf(listen.proxy);
  const all = Object.entries(draft).map(async ([name, upstream = {}]) => {
    const key = memberKey('upstreams', name);
    const address = readUrl(upstream.url, `${key}.url`, context);
    if (address !== null && proxy !== null && reaches(address.hostname, address.port, proxy)) {
      context.problems.add(`${key}.url`, 'is the proxy itself; allowed: the URL of the API behind it');
    }
    return readOne(name, upstream, address, key, context);
  });
  return Promise.all(all);
}

function readUrl(url: UpstreamDraft['url'], key: string, { problems }: Context): UpstreamAddress | null {
  const urls = typeof url === 'string' ? [url] : (url ?? []);
  if (urls.length > 1) problems.add(key, 'has more than one URL, which is not supported yet; allowed: one URL');
  const [first] = urls;
  return first === undefined ? null : readUpstream(first);
}

async function readOne(
  name: string,
  draft: UpstreamDraft,
  address: UpstreamAddress | null,
  key: string,
  context: Context,
): Promise<Upstream> {
  // Whole when there is no problem; else the result goes nowhere.
  const upstream = draft as File['upstreams'][string];
  return {
    name,
    addresses: address === null ? [] : [address],
    host: upstream.host,
    tls: await readUpstreamTls(draft.tls, address, `${key}.tls`, context),
    connectTimeoutMs: upstream.connect_timeout,
    responseTimeoutMs: upstream.response_timeout,
    idleTimeoutMs: upstream.idle_timeout,
    streamIdleTimeoutMs: upstream.stream_idle_timeout,
    maxConnections: upstream.max_connections,
    maxStreams: upstream.max_streams,
    queue: { size: upstream.queue?.size, timeoutMs: upstream.queue?.timeout },
  };
}

async function readUpstreamTls(
  draft: UpstreamDraft['tls'],
  address: UpstreamAddress | null,
  key: string,
  context: Context,
): Promise<UpstreamTls | null> {
  const { problems } = context;
  if (address?.protocol === 'http' && draft !== undefined) {
    problems.add(key, 'stands beside an http URL; allowed: with https');
  }
  const { ca, cert, server_name } = draft ?? {};
  if ((cert === undefined) !== (draft?.key === undefined) && !problems.touch(key)) {
    problems.add(key, `has ${cert === undefined ? 'key without cert' : 'cert without key'}; allowed: both or none`);
  }
  const authorities = ca === undefined ? null : await readAuthorities(ca, `${key}.ca`, context);
  const pair = draft === undefined ? null : await readPair(draft, key, context);
  if (address?.protocol !== 'https') return null;
  return {
    ca: authorities,
    cert: pair?.cert ?? null,
    key: pair?.key ?? null,
    serverName: server_name === undefined ? address.hostname : canonicalHost(server_name).replace(/^\[|\]$/g, ''),
  };
}
