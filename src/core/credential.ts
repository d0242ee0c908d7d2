import type { Form } from './form.ts';
import { type BodyReading, ownText } from './parameters.ts';
import { decodeParameter, type Pair, queryPairs } from './target.ts';
import type { Json } from './token.ts';

/**
 * Where a token may stand in a request, and reading it there. Total functions over text: no hashing, no look-up, no
 * logging. Two tokens, even equal ones, are ambiguous, because two servers could pick differently (RFC 6750 2).
 */
export type Place =
  | { readonly kind: 'header'; readonly name: string; readonly scheme: string | null }
  | { readonly kind: 'query'; readonly name: string }
  | { readonly kind: 'cookie'; readonly name: string }
  /** A member of an inspected body. */
  | { readonly kind: 'form'; readonly name: string }
  | { readonly kind: 'websocket_protocol'; readonly prefix: string };

/** One value found at a configured place, and enough to cut it out again. */
export type Found =
  | { readonly place: 'header'; readonly field: number; readonly value: string }
  | { readonly place: 'query'; readonly pair: Pair; readonly value: string }
  | { readonly place: 'cookie'; readonly name: string; readonly field: number; readonly value: string }
  | { readonly place: 'websocket_protocol'; readonly protocol: string; readonly field: number; readonly value: string }
  /** In the body, which is forwarded as it came. */
  | { readonly place: 'form'; readonly name: string; readonly value: string };

export type Reading =
  | { readonly kind: 'none' }
  | { readonly kind: 'one'; readonly found: Found }
  | { readonly kind: 'ambiguous'; readonly why: string };

interface HeaderPlace {
  /** Lower-cased scheme names that carry a token in this field. */
  readonly schemes: ReadonlySet<string>;
  /** The whole value is a token. */
  readonly bare: boolean;
}

/** Places compiled for one pass over the fields. */
export class Places {
  readonly headers: ReadonlyMap<string, HeaderPlace>;
  readonly queries: ReadonlySet<string>;
  readonly cookies: ReadonlySet<string>;
  /** Members of inspected bodies. */
  readonly forms: ReadonlySet<string>;
  readonly protocolPrefix: string | null;
  /** The scheme that a `WWW-Authenticate` challenge names. */
  readonly challengeScheme: 'Bearer' | 'ApiKey';
  /** Each of them in words, in their order. */
  readonly names: readonly string[];
  /** As configured. */
  readonly all: readonly Place[];

  constructor(places: readonly Place[]) {
    const headers = new Map<string, { schemes: Set<string>; bare: boolean }>();
    const queries = new Set<string>();
    const cookies = new Set<string>();
    const forms = new Set<string>();
    let protocolPrefix: string | null = null;
    for (const place of places) {
      if (place.kind === 'header') {
        const name = place.name.toLowerCase();
        const entry = headers.get(name) ?? { schemes: new Set<string>(), bare: false };
        if (place.scheme === null) entry.bare = true;
        else entry.schemes.add(place.scheme.toLowerCase());
        headers.set(name, entry);
      } else if (place.kind === 'query') queries.add(place.name);
      else if (place.kind === 'cookie') cookies.add(place.name);
      else if (place.kind === 'form') forms.add(place.name);
      else protocolPrefix = place.prefix;
    }
    this.headers = headers;
    this.queries = queries;
    this.cookies = cookies;
    this.forms = forms;
    this.protocolPrefix = protocolPrefix;
    this.names = places.map(placeText);
    this.all = places;
    this.challengeScheme = headers.get('authorization')?.schemes.has('bearer') ? 'Bearer' : 'ApiKey';
  }
}

function placeText(place: Place): string {
  switch (place.kind) {
    case 'header':
      return `the field ${place.name}: ${place.scheme === null ? '' : `${place.scheme} `}<token>`;
    case 'query':
      return `the query parameter ${place.name}`;
    case 'cookie':
      return `the cookie ${place.name}`;
    case 'form':
      return `the body's member ${place.name}`;
    case 'websocket_protocol':
      return `the WebSocket subprotocol ${place.prefix}<token>`;
  }
}

/** RFC 9110 11.2. */
const token68 = /^[A-Za-z0-9._~+/-]+=*$/;
const nothing: Reading = { kind: 'none' };
const ambiguous = (why: string): Reading => ({ kind: 'ambiguous', why });

/** The token of a request. Field values arrive without surrounding white space. */
export function readCredential(form: Form, places: Places): Reading {
  const { fields, names } = form;
  let found: Found | undefined;
  let schemeLines: string[] | undefined;
  for (let i = 0; i < names.length; i++) {
    const name = names[i]!;
    const header = places.headers.get(name);
    if (header !== undefined) {
      if (header.schemes.size > 0) {
        if (schemeLines?.includes(name)) return ambiguous(`${name} stands more than once`);
        schemeLines = schemeLines === undefined ? [name] : [...schemeLines, name];
      }
      const value = readHeader(fields[2 * i + 1]!, header);
      if (value === null) return ambiguous(schemeFault(name, fields[2 * i + 1]!));
      if (value !== '') {
        if (found !== undefined) return ambiguous('more than one token');
        found = { place: 'header', field: i, value };
      }
      continue;
    }
    if (name === 'cookie' && places.cookies.size > 0) {
      for (const { name: cookie, value } of cookiePairs(fields[2 * i + 1]!)) {
        if (value === '' || !places.cookies.has(cookie)) continue;
        if (found !== undefined) return ambiguous('more than one token');
        found = { place: 'cookie', name: cookie, field: i, value };
      }
    } else if (name === 'sec-websocket-protocol' && places.protocolPrefix !== null) {
      for (const protocol of protocols(fields[2 * i + 1]!)) {
        if (!protocol.startsWith(places.protocolPrefix) || protocol === places.protocolPrefix) continue;
        if (found !== undefined) return ambiguous('more than one token');
        found = {
          place: 'websocket_protocol',
          protocol,
          field: i,
          value: protocol.slice(places.protocolPrefix.length),
        };
      }
    }
  }

  const { query } = form.target;
  if (query !== null && places.queries.size > 0) {
    for (const pair of queryPairs(query)) {
      const role = queryRole(pair.name, places.queries);
      if (role === 'other') continue;
      if (role === 'twisted') return ambiguous('a parameter differs from a token parameter only in case or brackets');
      if (pair.value === '') continue;
      if (found !== undefined) return ambiguous('more than one token');
      found = { place: 'query', pair, value: pair.value };
    }
  }
  return found === undefined ? nothing : { kind: 'one', found };
}

/**
 * The token of a request whose body was inspected, after what its head was found to have. It is forwarded with the body,
 * which stays as it came. In a batch there is no saying for which of its calls a token would be.
 */
export function readFormCredential(body: BodyReading, places: Places, before: Reading): Reading {
  if (places.forms.size === 0 || before.kind === 'ambiguous') return before;
  const found = body.kind === 'form' ? inForm(body.text, places.forms) : inJson(body, places.forms);
  if (found.kind === 'none') return before;
  return found.kind === 'one' && before.kind === 'one' ? ambiguous('more than one token') : found;
}

function inForm(text: string, names: ReadonlySet<string>): Reading {
  let reading = nothing;
  for (const pair of queryPairs(text)) {
    const role = queryRole(pair.name, names);
    if (role === 'other') continue;
    if (role === 'twisted') return ambiguous(twistedMember);
    const value = decodeParameter(pair.value);
    if (value === null) return ambiguous('the token in the body is not UTF-8');
    if (value === '') continue;
    if (reading.kind === 'one') return ambiguous('more than one token');
    reading = { kind: 'one', found: formToken(decodeParameter(pair.name) ?? pair.name, value) };
  }
  return reading;
}

function inJson(body: BodyReading, names: ReadonlySet<string>): Reading {
  if (body.kind !== 'json') return nothing;
  const { value } = body;
  if (!Array.isArray(value)) return inObject(value, names);
  const some = value.some(call => inObject(call, names).kind !== 'none');
  return some ? ambiguous('a token stands in a call of a batch') : nothing;
}

function inObject(value: Json, names: ReadonlySet<string>): Reading {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return nothing;
  let reading = nothing;
  for (const [name, member] of Object.entries(value)) {
    // Nothing is encoded in the names of JSON.
    const role = names.has(name) ? 'token' : queryRole(encodeURIComponent(name.toWellFormed()), names);
    if (role === 'other') continue;
    if (role === 'twisted' || !names.has(name)) return ambiguous(twistedMember);
    if (typeof member !== 'string') return ambiguous('the token in the body is not text');
    if (member === '') continue;
    if (reading.kind === 'one') return ambiguous('more than one token');
    reading = { kind: 'one', found: formToken(name, member) };
  }
  return reading;
}

const formToken = (name: string, value: string): Found => ({
  place: 'form',
  name: ownText(name),
  value: ownText(value),
});

const twistedMember = 'a member of the body differs from a token member only in case or brackets';

/**
 * What to cut on a public route, where nothing is judged: every value of our own that stands at a configured place,
 * however the upstream would spell it out, so that a token sent by mistake does not reach it.
 */
export function findOurs(form: Form, places: Places, isOurs: (value: string) => boolean): Found[] {
  const { fields, names } = form;
  const all: Found[] = [];
  for (let i = 0; i < names.length; i++) {
    const name = names[i]!;
    const line = fields[2 * i + 1]!;
    const header = places.headers.get(name);
    if (header !== undefined) {
      const space = line.search(/[ \t]/);
      const scheme = space === -1 ? '' : line.slice(0, space).toLowerCase();
      if (header.schemes.has(scheme) && isOurs(line.slice(space).trim())) {
        all.push({ place: 'header', field: i, value: line.slice(space).trim() });
      } else if (header.bare && isOurs(line)) all.push({ place: 'header', field: i, value: line });
    } else if (name === 'cookie') {
      for (const { name: cookie, value } of cookiePairs(line)) {
        if (places.cookies.has(cookie) && isOurs(unquoted(value)))
          all.push({ place: 'cookie', name: cookie, field: i, value });
      }
    } else if (name === 'sec-websocket-protocol' && places.protocolPrefix !== null) {
      for (const protocol of protocols(line)) {
        const value = protocol.slice(places.protocolPrefix.length);
        if (protocol.startsWith(places.protocolPrefix) && isOurs(value)) {
          all.push({ place: 'websocket_protocol', protocol, field: i, value });
        }
      }
    }
  }
  if (form.target.query !== null && places.queries.size > 0) {
    for (const pair of queryPairs(form.target.query)) {
      if (queryRole(pair.name, places.queries) !== 'other' && isOurs(decodeParameter(pair.value) ?? pair.value)) {
        all.push({ place: 'query', pair, value: pair.value });
      }
    }
  }
  return all;
}

/** The token; empty when the value carries another scheme or nothing; `null` when it is no single token. */
function readHeader(value: string, header: HeaderPlace): string | null {
  const gap = value.search(/[ \t,]/);
  const scheme = (gap === -1 ? value : value.slice(0, gap)).toLowerCase();
  if (!header.schemes.has(scheme)) return header.bare ? value : '';
  const rest = value.slice(scheme.length);
  return rest.charCodeAt(0) === 0x20 && token68.test(rest.slice(1)) ? rest.slice(1) : null;
}

/** Why a configured scheme is not followed by one token. Names the field and the scheme, and nothing that came after. */
function schemeFault(name: string, value: string): string {
  const [scheme = ''] = value.toLowerCase().split(/[ \t,]/, 1);
  const rest = value.slice(scheme.length);
  return rest.trim() === ''
    ? `${name}: ${scheme} is followed by no token`
    : `${name}: ${scheme} is not followed by one space and one token`;
}

/**
 * A parameter that servers may take for the token parameter, but that is not spelled like it, is `twisted`. Attack: a
 * query of thousands of names that are costly to decode; so only what could be ASCII is, up to the first bracket.
 */
function queryRole(rawName: string, queries: ReadonlySet<string>): 'token' | 'twisted' | 'other' {
  if (queries.has(rawName)) return 'token';
  const bracket = rawName.search(/\[|%5b/i);
  const stem = bracket === -1 ? rawName : rawName.slice(0, bracket);
  if (/%[89a-f]/i.test(stem)) return 'other';
  const name = decodeParameter(stem) ?? '';
  if (bracket === -1 && queries.has(name)) return 'token';
  const plain = name.toLowerCase();
  for (const query of queries) if (query.toLowerCase() === plain) return 'twisted';
  return 'other';
}

/** A parameter of this name, as it stands in a query, carries a token, or is taken for one that does. */
export const isTokenParameter = (rawName: string, queries: ReadonlySet<string>): boolean =>
  queryRole(rawName, queries) !== 'other';

/** `name=value` pairs of a Cookie field (RFC 6265 4.2.1). */
export function cookiePairs(line: string): { name: string; value: string }[] {
  const pairs: { name: string; value: string }[] = [];
  for (const piece of line.split(';')) {
    const text = piece.trim();
    const equals = text.indexOf('=');
    if (equals > 0) pairs.push({ name: text.slice(0, equals).trim(), value: text.slice(equals + 1).trim() });
  }
  return pairs;
}

/** A cookie's value may stand in quotes (RFC 6265 4.1.1). */
const unquoted = (value: string): string => value.replace(/^"(.*)"$/, '$1');

/** The Cookie line without some pairs, given as `name=value`; the others as they stand. Empty when nothing is left. */
export function cutCookies(line: string, cut: ReadonlySet<string>): string {
  const kept = line.split(';').filter(piece => {
    const text = piece.trim();
    const equals = text.indexOf('=');
    return !(equals > 0 && cut.has(`${text.slice(0, equals).trim()}=${text.slice(equals + 1).trim()}`));
  });
  return kept.some(piece => piece.trim() !== '') ? kept.join(';').replace(/^[ \t]+/, '') : '';
}

/** Elements of Sec-WebSocket-Protocol, case kept. */
const protocols = (line: string): string[] => line.split(',').map(part => part.trim());

/** The Sec-WebSocket-Protocol line without some elements; empty when nothing is left. */
export function cutProtocols(line: string, cut: ReadonlySet<string>): string {
  return protocols(line)
    .filter(element => element !== '' && !cut.has(element))
    .join(', ');
}
