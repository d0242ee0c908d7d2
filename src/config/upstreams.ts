import type { Config, Upstream, UpstreamHealth, UpstreamTls } from './config.ts';
import type { Context } from './context.ts';
import { endpointOf } from './listen.ts';
import { canonicalHost, type Endpoint, reaches, readUpstream, type UpstreamAddress } from './network.ts';
import { readAuthorities, readPair } from './pem.ts';
import type { File } from './schema.ts';
import { itemKey, memberKey } from './tree.ts';
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
    return readOne(name, upstream, readUrls(upstream.url, `${key}.url`, proxy, context), key, context);
  });
  return Promise.all(all);
}

/** Those that are whole; what is wrong with one of a list is said at its place in it. */
function readUrls(
  draft: UpstreamDraft['url'],
  key: string,
  proxy: Endpoint | null,
  { problems }: Context,
): UpstreamAddress[] {
  const addresses: UpstreamAddress[] = [];
  const urls = typeof draft === 'string' ? [draft] : (draft ?? []);
  for (const [i, url] of urls.entries()) {
    if (url === undefined) continue;
    const at = typeof draft === 'string' ? key : itemKey(key, i);
    const address = readUpstream(url);
    const { protocol, hostname, port } = address;
    if (proxy !== null && reaches(hostname, port, proxy)) {
      problems.add(at, 'is the proxy itself; allowed: the URL of the API behind it');
    }
    if (addresses.some(known => known.hostname === hostname && known.port === port)) {
      problems.add(at, 'stands in the list already; allowed: each address once');
    } else if (addresses.some(known => known.protocol !== protocol)) {
      problems.add(at, `has the scheme ${protocol}, others have not; allowed: one scheme for all URLs of an upstream`);
    }
    addresses.push(address);
  }
  return addresses;
}

async function readOne(
  name: string,
  draft: UpstreamDraft,
  addresses: readonly UpstreamAddress[],
  key: string,
  context: Context,
): Promise<Upstream> {
  // Whole when there is no problem; else the result goes nowhere.
  const upstream = draft as File['upstreams'][string];
  return {
    name,
    addresses,
    host: upstream.host,
    tls: await readUpstreamTls(draft.tls, addresses[0], `${key}.tls`, context),
    connectTimeoutMs: upstream.connect_timeout,
    responseTimeoutMs: upstream.response_timeout,
    idleTimeoutMs: upstream.idle_timeout,
    streamIdleTimeoutMs: upstream.stream_idle_timeout,
    maxConnections: upstream.max_connections,
    maxStreams: upstream.max_streams,
    queue: { size: upstream.queue?.size, timeoutMs: upstream.queue?.timeout },
    health: draft.health === undefined ? null : readHealth(draft.health, `${key}.health`, context),
  };
}

/** The longest that a check takes where its timeout is not said. */
const checkTimeoutMs = 2000;

function readHealth(draft: NonNullable<UpstreamDraft['health']>, key: string, { problems }: Context): UpstreamHealth {
  // Whole when there is no problem; else the result goes nowhere.
  const { path, interval, timeout, rise, fall } = draft as NonNullable<File['upstreams'][string]['health']>;
  if (timeout !== undefined && timeout > interval) {
    problems.add(`${key}.timeout`, 'is longer than the interval; allowed: at most the interval');
  }
  return { path, intervalMs: interval, timeoutMs: timeout ?? Math.min(interval, checkTimeoutMs), rise, fall };
}

async function readUpstreamTls(
  draft: UpstreamDraft['tls'],
  address: UpstreamAddress | undefined,
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
    serverName: server_name === undefined ? null : canonicalHost(server_name).replace(/^\[|\]$/g, ''),
  };
}
