import path from 'node:path';
import type { Config, Listener, Upstream } from './config/config.ts';
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
    store: storeText(config.store),
    file: config.file === null ? null : path.resolve(config.file),
    config: hash.slice(0, 12),
  };
}

/** Never with a user or password. */
export const storeText = (store: Config['store']): string =>
  store.kind === 'embedded'
    ? store.path
    : `redis${store.tls === null ? '' : 's'}://${hostText(store.host)}:${store.port}/${store.database} ${store.prefix}`;

/** As configured, with the port that was taken where any was good. */
const addressText = ({ address, tls }: Listener, port: number): string =>
  `${address.slice(0, address.lastIndexOf(':'))}:${port}${tls === null ? '' : ' (TLS)'}`;

/** The name and URL of an upstream; a URL with credentials is not taken in the first place. */
export const upstreamText = ({ name, addresses }: Upstream): string =>
  [name, ...addresses.map(({ protocol, hostname, port }) => `${protocol}://${hostText(hostname)}:${port}`)].join(' ');

const hostText = (hostname: string): string => (hostname.includes(':') ? `[${hostname}]` : hostname);
