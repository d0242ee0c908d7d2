/**
 * The request target, judged as text. Nothing here repairs: a target that two servers could read differently is
 * refused, so that what is judged is byte for byte what is sent.
 */

/** Spellings that are refused unless the route that wins names them in `allow`. */
export const allowances = ['encoded_slash', 'encoded_percent', 'semicolon', 'double_slash'] as const;
export type Allowance = (typeof allowances)[number];

export interface Target {
  /** As received, query included. */
  readonly raw: string;
  readonly path: string;
  /** Without the question mark; `null` when there is none. */
  readonly query: string | null;
  /** The path's segments, decoded once. */
  readonly segments: readonly string[];
  /** What the winning route has to allow. */
  readonly needs: readonly Allowance[];
}

export type TargetReading =
  | { readonly ok: true; readonly target: Target }
  | { readonly ok: false; readonly why: string };

const refuse = (why: string): TargetReading => ({ ok: false, why });

/** Characters that a path may carry unencoded: RFC 3986 `pchar`, and what browsers leave alone (`|`, `[`, `]`). */
const pathText = /^[A-Za-z0-9/._~!$&'()*+,;=:@%|[\]-]*$/;
/** A query may carry any visible ASCII but `#`: clients send quotes and braces bare, and nobody routes by them. */
const queryText = /^[!"$-~]*$/;
/** Nothing in such a path needs a closer look. */
const plainPath = /^(?:\/[A-Za-z0-9_~!$&'()*+,=:@|[\]-][A-Za-z0-9._~!$&'()*+,=:@|[\]-]*)+\/?$/;
const brokenPercent = /%(?![0-9A-Fa-f]{2})/;
const none: readonly Allowance[] = [];

export function readTarget(raw: string): TargetReading {
  if (raw.charCodeAt(0) !== 0x2f) return refuse('the target is not in origin form (a path that starts with /)');
  const mark = raw.indexOf('?');
  const path = mark === -1 ? raw : raw.slice(0, mark);
  const query = mark === -1 ? null : raw.slice(mark + 1);
  if (query !== null) {
    if (!queryText.test(query)) return refuse('the query has a character that must be percent-encoded');
    if (brokenPercent.test(query)) return refuse('the query has a broken percent-encoding');
  }
  if (path === '/' || plainPath.test(path)) {
    return { ok: true, target: { raw, path, query, segments: path.slice(1).split('/'), needs: none } };
  }
  return readOddPath(raw, path, query);
}

function readOddPath(raw: string, path: string, query: string | null): TargetReading {
  if (path.includes('\\')) return refuse('the path has a backslash');
  if (!pathText.test(path)) return refuse('the path has a character that must be percent-encoded');
  if (brokenPercent.test(path)) return refuse('the path has a broken percent-encoding');
  if (/%2e/i.test(path)) return refuse('the path has an encoded dot');
  if (/%5c/i.test(path)) return refuse('the path has an encoded backslash');
  if (path.includes('%00')) return refuse('the path has an encoded NUL');

  const needs: Allowance[] = [];
  if (/%2f/i.test(path)) needs.push('encoded_slash');
  if (path.includes('%25')) needs.push('encoded_percent');
  // Some servers decode before they cut parameters off: to them an encoded semicolon begins one too.
  if (/;|%3b/i.test(path)) needs.push('semicolon');
  if (path.includes('//')) needs.push('double_slash');

  const segments: string[] = [];
  for (const part of path.slice(1).split('/')) {
    const segment = decodeOnce(part);
    if (segment === null) return refuse('the path is not UTF-8');
    // Decoded a second time by a careless server, these would be the separators and dots refused above.
    if (/%(?:2e|2f|5c|25|00)/i.test(segment)) return refuse('the path is encoded twice');
    if (hasDotSegment(segment)) return refuse('the path has a dot segment');
    segments.push(segment);
  }
  return { ok: true, target: { raw, path, query, segments, needs } };
}

/** `..;x` is `..` to servlet containers, and an allowed `%2f` is a separator to others: look at every piece. */
function hasDotSegment(segment: string): boolean {
  if (!segment.includes('.')) return false;
  return segment.split('/').some(piece => {
    const end = piece.indexOf(';');
    const name = end === -1 ? piece : piece.slice(0, end);
    return name === '.' || name === '..';
  });
}

/** Percent-decoding, once, as UTF-8; `null` when the bytes are not UTF-8 (overlong forms included). */
export function decodeOnce(text: string): string | null {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

/** One `name=value` of a query, as it stands in the raw text: `[start, end)` covers it without its separators. */
export interface Pair {
  readonly start: number;
  readonly end: number;
  readonly name: string;
  readonly value: string;
}

/** Pairs of a raw query: split at `&` only; empty pieces are skipped; names and values stay encoded. */
export function queryPairs(query: string): Pair[] {
  const pairs: Pair[] = [];
  let start = 0;
  while (start <= query.length) {
    let end = query.indexOf('&', start);
    if (end === -1) end = query.length;
    if (end > start) {
      const text = query.slice(start, end);
      const equals = text.indexOf('=');
      pairs.push({
        start,
        end,
        name: equals === -1 ? text : text.slice(0, equals),
        value: equals === -1 ? '' : text.slice(equals + 1),
      });
    }
    start = end + 1;
  }
  return pairs;
}

/** A parameter's name or value decoded once; `+` is a space; `null` when it is not UTF-8. */
export const decodeParameter = (text: string): string | null => decodeOnce(text.replaceAll('+', ' '));

/**
 * The query without one pair and one adjacent `&`; `null` when nothing is left, so that the question mark goes too.
 * Every other byte stays as it is.
 */
export function cutPair(query: string, pair: Pair): string | null {
  const before = query.slice(0, pair.start);
  const after = query.slice(pair.end);
  const rest = after.startsWith('&') ? before + after.slice(1) : before.endsWith('&') ? before.slice(0, -1) : before;
  return rest === '' ? null : rest;
}
