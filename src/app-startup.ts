import path from 'node:path';
import type { Config, Listener, TokenApi, Upstream } from './config/config.ts';
import type { HostPort } from './config/store-address.ts';
import type { LogFields } from './ports/log.ts';

type Listeners = 'proxy' | 'admin' | 'telemetry';

/** What somebody wants to know who looks whether the right thing has started. No file's contents are in it. */
export function startupFields(
  { config, hash }: { readonly config: Config; readonly hash: string },
  ports: Readonly<Record<Listeners, number>>,
): LogFields {
  const names: readonly Listeners[] = ['proxy', 'admin', 'telemetry'];
  return {
    ...ports,
    addresses: names.map(name => `${name} ${addressText(config.listen[name], ports[name])}`).join(', '),
    upstreams: config.upstreams.map(upstreamText).join(', '),
    ...(config.tokenApis.length > 0 && { token_apis: config.tokenApis.map(mountText).join(', ') }),
    store: storeText(config.store),
    file: config.file === null ? null : path.resolve(config.file),
    config: hash.slice(0, 12),
  };
}

/** Never with a user or password. */
export function storeText(store: Config['store']): string {
  if (store.kind === 'embedded') return store.path;
  const { servers, database, prefix } = store;
  const scheme = `redis${store.tls === null ? '' : 's'}:`;
  const text = ({ host, port }: HostPort): string => `${hostText(host)}:${port}`;
  switch (servers.form) {
    case 'url':
      return `${scheme}//${text(servers)}/${database} ${prefix}`;
    case 'sentinel':
      return `${scheme} ${servers.master}/${database} of sentinels ${servers.sentinels.map(text).join(', ')} ${prefix}`;
    case 'cluster':
      return `${scheme} cluster of ${servers.nodes.map(text).join(', ')} ${prefix}`;
  }
}

/** As configured, with the port that was taken where any was good. */
const addressText = ({ address, tls }: Listener, port: number): string =>
  `${address.slice(0, address.lastIndexOf(':'))}:${port}${tls === null ? '' : ' (TLS)'}`;

/** The name and URL of an upstream; a URL with credentials is not taken in the first place. */
export const upstreamText = ({ name, addresses }: Upstream): string =>
  [name, ...addresses.map(({ protocol, hostname, port }) => `${protocol}://${hostText(hostname)}:${port}`)].join(' ');

/** A token API, where it is mounted, and on which listener. */
export const mountText = ({ api, path: mount, listen }: TokenApi): string =>
  `${api} ${mount === '' ? '/' : mount} (${listen})`;

const hostText = (hostname: string): string => (hostname.includes(':') ? `[${hostname}]` : hostname);
