/** One upstream, ready to be used. Times are milliseconds; 0 is "no bound" where a bound may be switched off. */
export interface UpstreamOptions {
  readonly name: string;
  /** Any number by shape; one is used. */
  readonly addresses: readonly UpstreamAddress[];
  /** `preserve` sends the client's Host, `upstream` the address's, anything else is sent as it stands. */
  readonly host: string;
  readonly tls: UpstreamTls | null;
  readonly connectTimeoutMs: number;
  readonly responseTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly streamIdleTimeoutMs: number;
  readonly maxConnections: number;
  readonly maxStreams: number;
  readonly queue: { readonly size: number; readonly timeoutMs: number };
}

export interface UpstreamAddress {
  readonly protocol: 'http' | 'https';
  /** A name or an address; IPv6 without brackets. */
  readonly hostname: string;
  readonly port: number;
}

export interface UpstreamTls {
  readonly ca: Buffer | null;
  readonly cert: Buffer | null;
  readonly key: Buffer | null;
  /** Name that is sent and verified; null for the address's hostname. */
  readonly serverName: string | null;
}

/** `host[:port]` of an address, as `Host` names it. */
export function authorityOf({ protocol, hostname, port }: UpstreamAddress): string {
  const host = hostname.includes(':') ? `[${hostname}]` : hostname;
  return port === (protocol === 'https' ? 443 : 80) ? host : `${host}:${port}`;
}
