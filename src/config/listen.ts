import type { Config, Listener, ListenerTls, ProxyListener } from './config.ts';
import type { Context } from './context.ts';
import { canonicalHost, type Endpoint, isLoopback, readEndpoint, sameEndpoint } from './network.ts';
import { readAuthorities, readPair } from './pem.ts';
import type { File } from './schema.ts';
import type { Draft } from './walk.ts';

type ListenDraft = Draft<File['listen']>;
type ListenerDraft = NonNullable<ListenDraft['admin']>;

/** `listen`: three listeners, each at a place of its own. */
export async function readListen(draft: ListenDraft, context: Context): Promise<Config['listen']> {
  const { problems } = context;
  const names = ['proxy', 'admin', 'telemetry'] as const;
  const endpoints = names.flatMap(name => {
    const endpoint = endpointOf(draft[name]);
    return endpoint === null ? [] : [{ name, endpoint }];
  });
  for (const [i, { name, endpoint }] of endpoints.entries()) {
    const other = endpoints.slice(0, i).find(known => sameEndpoint(known.endpoint, endpoint));
    if (other === undefined) continue;
    problems.add(`listen.${name}`, `is the address of listen.${other.name} too; allowed: one listener at an address`);
  }

  const admin = draft.admin;
  const endpoint = endpointOf(admin);
  if (endpoint !== null && !isLoopback(endpoint.host) && admin?.tls === undefined && !problems.touch('listen.admin')) {
    if (admin?.insecure !== true) {
      problems.add('listen.admin', 'is no loopback address and has no tls; allowed: loopback, tls, or insecure: true');
    } else problems.warn('listen.admin', 'sends admin keys in the clear, to whoever can listen in');
  }

  // Whole when there is no problem; else the result goes nowhere.
  const proxy = draft.proxy as File['listen']['proxy'];
  return {
    proxy: {
      ...(await readListener(draft.proxy ?? {}, 'listen.proxy', context)),
      headTimeoutMs: proxy?.head_timeout,
      bodyTimeoutMs: proxy?.body_timeout,
      keepAliveMs: proxy?.keep_alive,
      maxConnections: proxy?.max_connections,
      reusePort: proxy?.reuse_port,
    } satisfies ProxyListener,
    admin: await readListener(admin ?? {}, 'listen.admin', context),
    telemetry: await readListener(draft.telemetry ?? {}, 'listen.telemetry', context),
  };
}

export const endpointOf = (draft: ListenerDraft | undefined): Endpoint | null =>
  draft?.address === undefined ? null : readEndpoint(draft.address);

async function readListener(draft: ListenerDraft, key: string, context: Context): Promise<Listener> {
  const endpoint = endpointOf(draft);
  return {
    address: draft.address ?? '',
    host: endpoint?.host ?? undefined,
    port: endpoint?.port ?? 0,
    tls: draft.tls === undefined ? null : await readListenerTls(draft.tls, `${key}.tls`, context),
    insecure: draft.insecure ?? false,
  };
}

async function readListenerTls(
  draft: NonNullable<ListenerDraft['tls']>,
  key: string,
  context: Context,
): Promise<ListenerTls | null> {
  const { files } = context;
  const pair = await readPair(draft, key, context);
  const clientCa =
    draft.client_ca === undefined ? null : await readAuthorities(draft.client_ca, `${key}.client_ca`, context);
  if (pair === null) return null;
  return {
    ...pair,
    clientCa,
    files: {
      cert: files.resolve(draft.cert ?? ''),
      key: files.resolve(draft.key ?? ''),
      clientCa: draft.client_ca === undefined ? null : files.resolve(draft.client_ca),
    },
  };
}

/** `admin.hosts`; null where it does not say: loopback names and the listener's address. */
export const readAdminHosts = (draft: Draft<File['admin']['hosts']>): readonly string[] | null =>
  draft === undefined ? null : draft.filter(name => name !== undefined).map(canonicalHost);
