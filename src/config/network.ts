import { isIP, isIPv4, isIPv6 } from 'node:net';
import { readHost } from '../core/form.ts';

/** Text of addresses, hosts, networks and URLs: what is wrong with it, and what it says. */

/** Where a listener listens; `host` null is every address family. */
export interface Endpoint {
  readonly host: string | null;
  readonly port: number;
}

const endpointForm = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]*)):([0-9]{1,5})$/;

/** `:8080`, `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`; null when it is none. */
export function readEndpoint(text: string): Endpoint | null {
  const match = endpointForm.exec(text);
  if (match === null) return null;
  const [, v6, name = '', digits] = match;
  const port = Number(digits);
  if (port > 65535 || (v6 !== undefined && !isIPv6(v6))) return null;
  if (v6 === undefined && /^[0-9.]+$/.test(name) && !isIPv4(name)) return null;
  const host = (v6 ?? name).toLowerCase();
  return { host: host === '' ? null : host, port };
}

/** Reached from this machine alone. */
export const isLoopback = (host: string | null): boolean =>
  host !== null && (isLocalhost(host) || host === '::1' || (isIPv4(host) && host.startsWith('127.')));

const isLocalhost = (host: string | null): boolean => host !== null && /^(?:.+\.)?localhost\.?$/.test(host);

/** Every address, of both families or of one. */
const isAny = (host: string | null): boolean => host === null || host === '::' || host === '0.0.0.0';

/** Two listeners there could not both be opened. Port 0 is a free one, a different one each time. */
export function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  if (a.port !== b.port || a.port === 0) return false;
  return isAny(a.host) || isAny(b.host) || isSameHost(a.host, b.host);
}

/** Connecting to `host` and `port` from this machine reaches the listener, as far as the text tells. */
export function reaches(host: string, port: number, listener: Endpoint): boolean {
  if (port !== listener.port) return false;
  if (isAny(listener.host)) return isLoopback(host) || isAny(host);
  if (isLoopback(listener.host) && isAny(host)) return true;
  return isSameHost(host, listener.host);
}

const isSameHost = (a: string | null, b: string | null): boolean =>
  a === b || (isLoopback(a) && isLoopback(b) && (isLocalhost(a) || isLocalhost(b)));

/** What is wrong with a host of a route or of the admin API; it is compared in lower case, without port. */
export function hostFault(text: string): string | null {
  const name = text.startsWith('*.') ? text.slice(2) : text;
  if (name.includes('*')) return 'has a * other than as *. at the start';
  if (/^\[[^\]]*\]:|^[^:[]*:[0-9]*$/.test(name)) return 'has a port';
  const host = readHost(name);
  if (host === null || name.includes(':') !== name.startsWith('[')) return 'is no host name or address';
  return text.startsWith('*.') && isIP(host) !== 0 ? 'is a part of an address' : null;
}

/** As hosts are compared: lower case, no dot at the end. */
export const canonicalHost = (text: string): string =>
  text.startsWith('*.') ? `*.${canonicalHost(text.slice(2))}` : (readHost(text) ?? text.toLowerCase());

/** What is wrong with an address or a network in CIDR notation. */
export function networkFault(text: string): string | null {
  const [address = '', bits, ...rest] = text.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0 || address.includes('%')) return 'is no address or network';
  // Peers are known by their IPv4 address, however the socket writes it.
  if (family === 6 && address.toLowerCase().startsWith('::ffff:')) return 'is IPv4 written as IPv6';
  if (bits === undefined) return null;
  const most = family === 4 ? 32 : 128;
  return /^(?:0|[1-9][0-9]{0,2})$/.test(bits) && Number(bits) <= most ? null : `has no prefix length up to ${most}`;
}

/** Where an upstream is. */
export interface UpstreamAddress {
  readonly protocol: 'http' | 'https';
  /** Without brackets. */
  readonly hostname: string;
  readonly port: number;
}

/** What is wrong with the URL of an upstream. Says nothing of what it holds: it may hold a password. */
export function upstreamFault(text: string): string | null {
  if (/[\s\p{C}\\]/u.test(text)) return 'has white space, a control character or a backslash';
  // The name before the port would be taken for the scheme.
  if (readEndpoint(text)?.host) return 'has no scheme: write http:// before it, as in http://127.0.0.1:3000';
  if (!URL.canParse(text)) return 'is no URL';
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return `has the scheme ${url.protocol.slice(0, -1)}`;
  const [, authority = '', rest = ''] = /^[a-z]+:\/\/([^/?#]*)(.*)$/i.exec(text) ?? [];
  if (authority === '' || readHost(url.hostname) === null) return 'has no host name or address';
  if (authority.includes('@')) return 'has a user name or password';
  if (rest.includes('?')) return 'has a query';
  if (rest.includes('#')) return 'has a fragment';
  if (rest !== '' && rest !== '/') return 'has a path';
  return url.port === '0' ? 'has the port 0' : null;
}

/** The URL of an upstream that `upstreamFault` has nothing against. */
export function readUpstream(text: string): UpstreamAddress {
  const url = new URL(text);
  const protocol = url.protocol === 'https:' ? 'https' : 'http';
  const hostname = withoutMapping(url.hostname.replace(/^\[|\]$/g, ''));
  return { protocol, hostname, port: Number(url.port || (protocol === 'https' ? 443 : 80)) };
}

/** `::ffff:7f00:1`, as URLs write an IPv4 address that was mapped into IPv6, is the IPv4 address. */
function withoutMapping(hostname: string): string {
  const groups = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(hostname)?.slice(1) ?? [];
  const bytes = groups.flatMap(group => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255]);
  return bytes.length === 0 ? hostname : bytes.join('.');
}

const originForm = /^[a-z][a-z0-9+.-]*:\/\/[^/?#@\s\\]+$/;

/** What is wrong with an origin of a CORS list, which is compared with what browsers send, byte for byte. */
export function corsOriginFault(text: string): string | null {
  if (text === '*') return null;
  if (text === 'null') return 'is what any sandboxed page sends';
  if (text.includes('*')) return 'has a *, which is no wildcard here';
  if (/^https?:/i.test(text) && URL.canParse(text)) {
    const { origin, username, password } = new URL(text);
    if (username !== '' || password !== '') return 'has a user name or password';
    return origin === text ? null : `is sent by browsers as ${origin}`;
  }
  return originForm.test(text) ? null : 'is no origin in lower case';
}
