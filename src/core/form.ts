import type { Code } from '../errors.ts';
import { type Fields, listElements, lowerNames } from './fields.ts';
import { readTarget, type Target } from './target.ts';

/**
 * The form of a request, judged from its request line and field list alone (RFC 9112). What the HTTP parser below
 * lets through and we refuse is refused here; what it hides from us is listed in `test/hostile/runtime.test.ts`.
 */
export interface MessageHead {
  readonly method: string;
  readonly target: string;
  /** As the parser names it: `1.1`. */
  readonly version: string;
  readonly fields: Fields;
}

export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'chunked' };

export interface Form {
  readonly method: string;
  readonly version: '1.0' | '1.1';
  readonly target: Target;
  readonly fields: Fields;
  readonly names: readonly string[];
  /** Host as received, `null` when an HTTP/1.0 client sent none. */
  readonly authority: string | null;
  /** Host for matching: lower case, without port and trailing dot; empty when there is none. */
  readonly host: string;
  /** Names in `Connection`, lower case. */
  readonly connection: readonly string[];
  readonly framing: Framing;
  /** An RFC 6455 opening handshake that may be forwarded as one. */
  readonly websocket: boolean;
  /** The client waits for `100 Continue` before it sends the body. */
  readonly expectsContinue: boolean;
}

/** What the form of a request can be refused with. */
export type FormCode = Extract<
  Code,
  'malformed_request' | 'version_not_supported' | 'head_too_large' | 'expectation_failed' | 'request_timeout'
>;

export interface FormFault {
  readonly code: FormCode;
  readonly why: string;
}

export type FormReading =
  | { readonly ok: true; readonly form: Form }
  | { readonly ok: false; readonly fault: FormFault };

/** Most fields, and most bytes of a head (request line and fields), that a request may have. */
export const headLimits = { fields: 100, bytes: 16 * 1024 } as const;

const noFraming: Framing = { kind: 'none' };
const chunked: Framing = { kind: 'chunked' };
const noNames: readonly string[] = [];

/** Methods that the parser takes for RTSP and SHOUTcast, whose version it reports as if it were HTTP's. */
const foreignMethods = new Set([
  'SOURCE',
  'DESCRIBE',
  'ANNOUNCE',
  'SETUP',
  'PLAY',
  'PAUSE',
  'TEARDOWN',
  'GET_PARAMETER',
  'SET_PARAMETER',
  'REDIRECT',
  'RECORD',
  'FLUSH',
  'PRI',
]);

const fault = (code: FormCode, why: string): FormReading => ({ ok: false, fault: { code, why } });
const malformed = (why: string): FormReading => fault('malformed_request', why);

export function readForm(head: MessageHead): FormReading {
  const { method, version, fields } = head;
  if (version !== '1.1' && version !== '1.0') return fault('version_not_supported', `HTTP/${version} is not spoken`);
  if (fields.length > 2 * headLimits.fields) return fault('head_too_large', 'more than 100 fields');
  if (headBytes(head) > headLimits.bytes) return fault('head_too_large', 'the head is over 16 KiB');
  if (foreignMethods.has(method)) return malformed('the method is not one of HTTP');

  const names = lowerNames(fields);
  let authority: string | null = null;
  let length: string | null = null;
  let encoding: string | null = null;
  let upgrade: string | null = null;
  let expect: string | null = null;
  let origins = 0;
  let connection: readonly string[] = noNames;
  for (let i = 0; i < names.length; i++) {
    const value = fields[2 * i + 1]!;
    switch (names[i]) {
      case 'host':
        if (authority !== null) return malformed('more than one Host');
        authority = value;
        break;
      case 'content-length':
        if (length !== null) return malformed('more than one Content-Length');
        length = value;
        break;
      case 'transfer-encoding':
        if (encoding !== null) return malformed('more than one Transfer-Encoding');
        encoding = value;
        break;
      case 'connection':
        connection = connection.length === 0 ? listElements(value) : [...connection, ...listElements(value)];
        break;
      case 'upgrade':
        upgrade = upgrade === null ? value : `${upgrade}, ${value}`;
        break;
      case 'expect':
        expect = expect === null ? value : `${expect}, ${value}`;
        break;
      case 'origin':
        if (++origins > 1) return malformed('more than one Origin');
        break;
    }
  }

  const host = authority === null ? '' : readHost(authority);
  if (host === null) return malformed('Host is not a host name or address with an optional port');
  if (authority === null && version === '1.1') return malformed('Host is missing');

  const framing = readFraming(version, length, encoding);
  if (typeof framing === 'string') return malformed(framing);

  let websocket = false;
  if (upgrade !== null && version === '1.1' && connection.includes('upgrade')) {
    if (carriesBody(framing)) return malformed('Upgrade with a body');
    websocket = method === 'GET' && upgrade.toLowerCase() === 'websocket';
  }

  // The target comes after the rest: for CONNECT and OPTIONS * its form is not a path, and `route` answers those.
  let target: Target;
  if (method === 'CONNECT') target = notAPath(head.target);
  else if (head.target === '*' && method === 'OPTIONS') target = notAPath('*');
  else {
    const reading = readTarget(head.target);
    if (!reading.ok) return malformed(reading.why);
    target = reading.target;
  }

  let expectsContinue = false;
  if (expect !== null && version === '1.1') {
    if (expect.toLowerCase() !== '100-continue')
      return fault('expectation_failed', 'only 100-continue can be expected');
    expectsContinue = carriesBody(framing);
  }

  return {
    ok: true,
    form: {
      method,
      version,
      target,
      fields,
      names,
      authority,
      host,
      connection,
      framing,
      websocket,
      expectsContinue,
    },
  };
}

export const carriesBody = (framing: Framing): boolean =>
  framing.kind === 'chunked' || (framing.kind === 'length' && framing.length > 0);

const notAPath = (raw: string): Target => ({ raw, path: raw, query: null, segments: [], needs: [] });

/** Size of the head as sent, give or take optional white space that the parser has removed. */
function headBytes(head: MessageHead): number {
  let bytes = head.method.length + head.target.length + 12;
  const { fields } = head;
  for (let i = 0; i < fields.length; i += 2) bytes += fields[i]!.length + fields[i + 1]!.length + 4;
  return bytes;
}

/** RFC 9112 6.1 and 6.3, read narrowly: a length, or exactly `chunked`, never both; none on HTTP/1.0 but a length. */
function readFraming(version: string, length: string | null, encoding: string | null): Framing | string {
  if (encoding !== null) {
    if (length !== null) return 'Transfer-Encoding with Content-Length';
    if (version === '1.0') return 'Transfer-Encoding on HTTP/1.0';
    return encoding.toLowerCase() === 'chunked' ? chunked : 'Transfer-Encoding other than chunked';
  }
  if (length === null) return noFraming;
  if (!/^[0-9]{1,19}$/.test(length)) return 'Content-Length is not a number';
  const value = Number(length);
  return Number.isSafeInteger(value) ? { kind: 'length', length: value } : 'Content-Length is too large to be exact';
}

/** DNS names, IPv4 addresses, and the underscores of container networks. */
const hostName = /^[A-Za-z0-9._-]+$/;
const ipv6 = /^\[[0-9A-Fa-f:.]{2,45}\]$/;

/** Host in lower case without port and one trailing dot; `null` when it is not `uri-host [ ":" port ]`. */
export function readHost(authority: string): string | null {
  let host = authority;
  const bracket = authority.startsWith('[') ? authority.indexOf(']') : -1;
  const colon = authority.indexOf(':', bracket + 1);
  if (colon !== -1) {
    const port = authority.slice(colon + 1);
    if (!/^[0-9]{0,5}$/.test(port) || Number(port) > 65535) return null;
    host = authority.slice(0, colon);
  }
  // Servers differ in how many dots at the end they overlook: an empty label is none of ours.
  if (!(hostName.test(host) || ipv6.test(host)) || host.includes('..')) return null;
  host = host.toLowerCase();
  if (host.endsWith('.')) host = host.slice(0, -1);
  return host === '' ? null : host;
}
