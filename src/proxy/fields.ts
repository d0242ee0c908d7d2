import { cutCookies, cutProtocols, type Found, isTokenParameter } from '../core/credential.ts';
import type { Permit } from '../core/decide.ts';
import { canonicalName, listElements } from '../core/fields.ts';
import { isRateLimitField, rateLimitNames } from '../core/rate-limit-fields.ts';
import { cutPair, queryPairs } from '../core/target.ts';
import type { Journey } from '../ports/forwarder.ts';

/**
 * Fields on their way through. Order of work, both ways: what `Connection` names, then hop-by-hop, then what is
 * reserved for us, and ours last, so that nothing a peer sends can displace what we say (RFC 9110 7.6.1).
 */

const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authorization',
  'proxy-authenticate',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);

/** Requests: answered here, or set by us. */
const ours = new Set(['expect', 'x-request-id', 'forwarded', 'x-real-ip', 'via', 'traceparent', 'tracestate']);

/** Attack: `Connection: Authorization` makes a naive proxy drop what the next server judges by. These stay. */
const protectedNames = new Set([
  'host',
  'authorization',
  'cookie',
  'set-cookie',
  'origin',
  'referer',
  'content-length',
  'content-type',
  'content-encoding',
  'content-range',
  'cache-control',
  'range',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'if-range',
  'accept',
  'accept-encoding',
  'user-agent',
  'date',
  'etag',
  'location',
  'vary',
  'www-authenticate',
  'sec-websocket-key',
  'sec-websocket-version',
  'sec-websocket-accept',
  'sec-websocket-protocol',
  'sec-websocket-extensions',
]);

/** What tells servers where a request comes from: always from us. */
const forwardingNames = new Set(['x-request-id', 'x-real-ip']);
const forwardingPrefix = 'x-forwarded-';

/** What tells servers to see another request than the one that was judged: dropped unless `forward_headers` names it. */
const misleading = new Set(['x-http-method', 'x-http-method-override', 'x-method-override', 'x-rewrite-url']);
const misleadingPrefixes = ['x-original-', 'x-envoy-'];

export interface FieldRules {
  /** Lower case, for example `x-postern-`: reserved both ways. */
  readonly identityPrefix: string;
  /** As `identityPrefix`, in the spelling that is sent. */
  readonly identityName: string;
  /** Our name in `Via`. */
  readonly instance: string;
  /** Names of query parameters that carry tokens. */
  readonly tokenQueries: ReadonlySet<string>;
}

export interface Outgoing {
  readonly target: string;
  readonly fields: string[];
}

/** `Host` to send: the client's, or one that the upstream's configuration fixes. */
export type HostRule =
  | { readonly kind: 'preserve'; readonly fallback: string }
  | { readonly kind: 'fixed'; readonly host: string };

export function outgoing(permit: Permit, journey: Journey, rules: FieldRules, host: HostRule): Outgoing {
  const { form, client, requestId } = journey;
  const { route, subject, cut } = permit;
  const fields: string[] = ['Host', host.kind === 'fixed' ? host.host : (form.authority ?? host.fallback)];
  let via = '';
  let traceparent: string | null = null;
  let traces = 0;
  let tracestate: string[] = [];
  for (let i = 0; i < form.names.length; i++) {
    const name = form.names[i]!;
    const value = form.fields[2 * i + 1]!;
    if (name === 'via') via = via === '' ? value : `${via}, ${value}`;
    else if (name === 'traceparent') {
      traceparent = value;
      traces++;
    } else if (name === 'tracestate') tracestate.push('tracestate', value);
    if (name === 'host' || hopByHop.has(name) || ours.has(name)) continue;
    if (form.connection.length > 0 && form.connection.includes(name) && !isProtected(name)) continue;
    if (isReserved(name, rules) || (isMisleading(name) && !route.forwardHeaders.has(name))) continue;
    let kept: string | null = value;
    if (name === 'referer' || isMisleading(name)) kept = withoutTokens(value, permit, rules);
    else if (cut.length > 0) kept = withoutCredential(i, value, cut);
    if (kept !== null) fields.push(form.fields[2 * i]!, kept);
  }

  for (let i = 0; i < client.fields.length; i += 2) {
    const kept = withoutTokens(client.fields[i + 1]!, permit, rules);
    if (kept !== null) fields.push(client.fields[i]!, kept);
  }
  if (subject !== null) {
    fields.push(`${rules.identityName}Token-Id`, subject.token.id);
    if (subject.token.owner !== null) fields.push(`${rules.identityName}Owner`, subject.token.owner);
    if (permit.permissions.length > 0) fields.push(`${rules.identityName}Permission`, permit.permissions.join(' '));
  }
  fields.push('X-Request-Id', requestId);
  if (traceparent === null || traces > 1 || !isTraceparent(traceparent)) {
    traceparent = startTrace(requestId);
    tracestate = [];
  }
  fields.push('traceparent', traceparent, ...tracestate);
  const hop = `${form.version} ${rules.instance}`;
  fields.push('Via', via === '' ? hop : `${via}, ${hop}`);
  return { target: outgoingTarget(form.target.raw, permit), fields };
}

const isProtected = (name: string): boolean => protectedNames.has(name) || name.startsWith(forwardingPrefix);

/** Reserved for us in any spelling that a server could take for it. */
function isReserved(name: string, rules: FieldRules): boolean {
  const plain = canonicalName(name);
  if (plain.startsWith(rules.identityPrefix)) return true;
  if (forwardingNames.has(plain) || plain.startsWith(forwardingPrefix)) return true;
  if (plain === name) return false;
  return ours.has(plain) || hopByHop.has(plain) || plain === 'host' || plain === 'content-length';
}

function isMisleading(name: string): boolean {
  if (name.charCodeAt(0) !== 0x78) return false;
  const plain = canonicalName(name);
  return misleading.has(plain) || misleadingPrefixes.some(prefix => plain.startsWith(prefix));
}

/** A field's value without the credentials that are cut; null when the field goes as a whole. */
function withoutCredential(index: number, value: string, cut: readonly Found[]): string | null {
  const cookies = new Set<string>();
  const protocols = new Set<string>();
  for (const found of cut) {
    if (found.place === 'query' || found.place === 'form' || found.field !== index) continue;
    if (found.place === 'header') return null;
    if (found.place === 'cookie') cookies.add(`${found.name}=${found.value}`);
    else protocols.add(found.protocol);
  }
  if (cookies.size + protocols.size === 0) return value;
  const kept = cookies.size > 0 ? cutCookies(value, cookies) : cutProtocols(value, protocols);
  return kept === '' ? null : kept;
}

/**
 * The value of a field that may name a target, without tokens; null when one is left that cannot be cut out. A page
 * that was opened with a token in its query sends that query along as the Referer of all that it loads, whether this
 * request carries a token or not; a proxy before us tells the target that it got (`X-Forwarded-Uri`).
 */
function withoutTokens(value: string, { route, cut }: Permit, { tokenQueries }: FieldRules): string | null {
  if (route.forwardCredential) return value;
  let clean = value;
  const mark = clean.indexOf('?');
  if (mark !== -1 && tokenQueries.size > 0) {
    const hash = clean.indexOf('#', mark);
    const tail = hash === -1 ? '' : clean.slice(hash);
    let query: string | null = hash === -1 ? clean.slice(mark + 1) : clean.slice(mark + 1, hash);
    for (const pair of queryPairs(query).reverse()) {
      if (query !== null && isTokenParameter(pair.name, tokenQueries)) query = cutPair(query, pair);
    }
    clean = clean.slice(0, mark) + (query === null ? '' : `?${query}`) + tail;
  }
  return cut.some(found => clean.includes(found.value)) ? null : clean;
}

/** The judged target, less the credential in its query and the segments that the route strips. */
function outgoingTarget(raw: string, { route, cut }: Permit): string {
  let target = raw;
  const mark = raw.indexOf('?');
  if (mark !== -1) {
    // From the last to the first, so that positions stay true.
    let query: string | null = raw.slice(mark + 1);
    const pairs = cut.flatMap(found => (found.place === 'query' ? [found.pair] : []));
    for (const pair of pairs.sort((a, b) => b.start - a.start)) if (query !== null) query = cutPair(query, pair);
    target = raw.slice(0, mark) + (query === null ? '' : `?${query}`);
  }
  for (let i = 0; i < route.stripSegments; i++) {
    const end = target.search(/(?<=.)[/?]/);
    target = end === -1 ? '/' : target[end] === '?' ? `/${target.slice(end)}` : target.slice(end);
  }
  return target;
}

/** W3C Trace Context: version 00 exactly, later ones where they begin alike; ids not all zero. */
const isTraceparent = (value: string): boolean =>
  /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-|$)/.test(value) &&
  (value.length === 55 || !value.startsWith('00'));

/** A trace of one request: its id is the trace's, and the random end of it names the span. */
function startTrace(requestId: string): string {
  const id = requestId.replaceAll('-', '');
  return `00-${id}-${id.slice(16)}-01`;
}

/** A head before the one that answers. */
const isInterim = (status: number): boolean => status < 200 && status !== 101;

/** What a browser's script may read of fields that we add. */
const exposed = rateLimitNames.join(', ');

export type IncomingHead =
  | { readonly ok: true; readonly fields: string[]; readonly eventStream: boolean }
  | { readonly ok: false; readonly why: string };

/**
 * The head of an upstream's answer, made ready for the client. Framing that two readers could understand differently
 * is a fault of the upstream (RFC 9112 6.3), never passed on.
 */
export function incoming(raw: readonly Buffer[], status: number, journey: Journey, rules: FieldRules): IncomingHead {
  const names: string[] = [];
  const values: string[] = [];
  let connection: string[] = [];
  let length: string | null = null;
  let encoding: string | null = null;
  let upgrade: string | null = null;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!.toString('latin1');
    const value = raw[i + 1]!.toString('latin1');
    names.push(name);
    values.push(value);
    switch (name.length) {
      case 7:
        if (name.toLowerCase() === 'upgrade') upgrade = upgrade === null ? value : `${upgrade}, ${value}`;
        break;
      case 10:
        if (name.toLowerCase() === 'connection') connection = [...connection, ...listElements(value)];
        break;
      case 14:
        if (name.toLowerCase() === 'content-length') {
          if (length !== null) return { ok: false, why: 'two_lengths' };
          length = value;
        }
        break;
      case 17:
        if (name.toLowerCase() === 'transfer-encoding') {
          if (encoding !== null || value.toLowerCase() !== 'chunked') return { ok: false, why: 'transfer_encoding' };
          encoding = value;
        }
        break;
    }
  }
  if (length !== null && (encoding !== null || !/^[0-9]+$/.test(length))) return { ok: false, why: 'ambiguous_length' };
  // Nothing else was offered (RFC 9110 7.8).
  if (status === 101 && upgrade?.toLowerCase() !== 'websocket') return { ok: false, why: 'upgrade' };

  const { limitFields } = journey;
  const fields: string[] = [];
  let eventStream = false;
  let corsSaid = false;
  for (let i = 0; i < names.length; i++) {
    const name = names[i]!.toLowerCase();
    if (hopByHop.has(name)) continue;
    if (connection.length > 0 && connection.includes(name) && !protectedNames.has(name)) continue;
    if (name === 'x-request-id' || canonicalName(name).startsWith(rules.identityPrefix)) continue;
    if (limitFields !== null && isRateLimitField(name)) continue;
    if (name === 'content-length' && (status === 204 || status < 200)) continue;
    if (name === 'content-type') eventStream ||= /^text\/event-stream(?:[ \t]*;|$)/i.test(values[i]!);
    if (name === 'access-control-allow-origin') corsSaid = true;
    fields.push(names[i]!, values[i]!);
  }
  if (journey.corsOrigin !== null && !corsSaid) {
    fields.push('Access-Control-Allow-Origin', journey.corsOrigin, 'Vary', 'Origin');
    if (limitFields !== null) fields.push('Access-Control-Expose-Headers', exposed);
  }
  if (limitFields !== null && !isInterim(status)) fields.push(...limitFields());
  fields.push('X-Request-Id', journey.requestId);
  return { ok: true, fields, eventStream };
}
