import { isIPv6 } from 'node:net';

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** `host`, `host:port` or `[address]:port`; null when it is neither. */
export function readHostPort(text: string, defaultPort: number): HostPort | null {
  const parts = /^(?:\[([0-9a-f:.]+)\]|([\w.-]{1,253}))(?::(\d{1,5}))?$/i.exec(text);
  if (parts === null) return null;
  const [, v6, name] = parts;
  const port = parts[3] === undefined ? defaultPort : Number(parts[3]);
  if (port < 1 || port > 65_535 || (v6 !== undefined && !isIPv6(v6))) return null;
  return { host: v6 ?? name!, port };
}

export function hostPortFault(text: string): string | null {
  if (readHostPort(text, 1) !== null) return null;
  return text.includes('://')
    ? 'is a URL: `tls`, `username`, `password` and `database` have keys of their own'
    : 'is no host:port';
}
