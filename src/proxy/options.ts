/** One upstream, ready to be used. Times are milliseconds; 0 is "no bound" where a bound may be switched off. */
export interface UpstreamOptions {
  readonly name: string;
  /** At least one, all of one protocol. */
  readonly addresses: readonly UpstreamAddress[];
  /** `preserve` sends the client's Host, `upstream` that of the URL in use, anything else is sent as it stands. */
  readonly host: string;
  readonly tls: UpstreamTls | null;
  readonly connectTimeoutMs: number;
  readonly responseTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly streamIdleTimeoutMs: number;
  readonly maxConnections: number;
  readonly maxStreams: number;
  readonly queue: { readonly size: number; readonly timeoutMs: number };
  /** Active checks; null for none. */
  readonly health: HealthOptions | null;
}

export interface HealthOptions {
  /** Target of the request, such as `/healthz`. Any status from 200 to 399 passes. */
  readonly path: string;
  readonly intervalMs: number;
  /** From the connect to the status; at most the interval. */
  readonly timeoutMs: number;
  /** Results in a row that change the verdict, once there is one. */
  readonly rise: number;
  readonly fall: number;
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
  /** Name that is sent and verified; null for the URL's hostname. */
  readonly serverName: string | null;
}

/** `host[:port]` of an address, as `Host` names it. */
export function authorityOf({ protocol, hostname, port }: UpstreamAddress): string {
  const host = hostname.includes(':') ? `[${hostname}]` : hostname;
  return port === (protocol === 'https' ? 443 : 80) ? host : `${host}:${port}`;
}
