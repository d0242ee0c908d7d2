import { decodeOnce } from './target.ts';

export type Segment =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'mixed'; readonly before: string; readonly after: string; readonly name: string }
  | { readonly kind: 'capture'; readonly name: string }
  | { readonly kind: 'rest' };

export type PatternReading =
  | { readonly ok: true; readonly segments: readonly Segment[] }
  | { readonly ok: false; readonly why: string };

/** What a name in braces is. */
export const captureName = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Reads a route's path: `/widgets/{id}`, `/api/db.{action}`, `/public/**`. */
export function readPattern(pattern: string): PatternReading {
  const bad = (why: string): PatternReading => ({ ok: false, why });
  if (!pattern.startsWith('/')) return bad('a path starts with /');
  if (/[?#\s\\]/.test(pattern)) return bad('a path has no query, fragment, white space or backslash');
  const segments: Segment[] = [];
  const seen = new Set<string>();
  const parts = pattern.slice(1).split('/');
  for (const [i, part] of parts.entries()) {
    if (part === '**') {
      if (i !== parts.length - 1) return bad('** stands only at the end');
      segments.push({ kind: 'rest' });
      continue;
    }
    if (part.includes('*'))
      return bad('* is no wildcard here: write {name} for one segment, ** at the end for the rest');
    const open = part.indexOf('{');
    const close = part.indexOf('}');
    if (open === -1 && close === -1) {
      const text = decodeOnce(part);
      if (text === null) return bad('a percent-encoding is broken');
      if (text === '.' || text === '..') return bad('dot segments never match');
      if (part === '' && i !== parts.length - 1) return bad('an empty segment (//) never matches');
      segments.push({ kind: 'literal', text });
      continue;
    }
    if (open === -1) return bad('a } closes no {');
    if (close < open) return bad('a { is not closed by a }');
    if (part.indexOf('{', open + 1) !== -1 || part.indexOf('}', close + 1) !== -1) {
      return bad('a segment has at most one {name}');
    }
    const name = part.slice(open + 1, close);
    if (!captureName.test(name)) return bad(`{${name}} is not a name: letters, digits and _`);
    if (seen.has(name)) return bad(`{${name}} stands twice`);
    seen.add(name);
    const before = decodeOnce(part.slice(0, open));
    const after = decodeOnce(part.slice(close + 1));
    if (before === null || after === null) return bad('a percent-encoding is broken');
    segments.push(before === '' && after === '' ? { kind: 'capture', name } : { kind: 'mixed', before, after, name });
  }
  return { ok: true, segments };
}

/** A path pattern by itself: it matches what a route of that path would. */
export class PathPattern {
  readonly #segments: readonly Segment[];

  /** Throws when the pattern does not read well. */
  constructor(pattern: string) {
    const reading = readPattern(pattern);
    if (!reading.ok) throw new Error(`${pattern}: ${reading.why}`);
    this.#segments = reading.segments;
  }

  /** `path`: segments, decoded once. */
  matches(path: readonly string[]): boolean {
    const rest = this.#segments.at(-1)?.kind === 'rest';
    const fixed = this.#segments.length - (rest ? 1 : 0);
    if (rest ? path.length < fixed : path.length !== fixed) return false;
    return this.#segments.every((segment, i) => fits(segment, path[i]!));
  }
}

/** What is captured is never empty, as in routes. */
function fits(segment: Segment, text: string): boolean {
  if (segment.kind === 'literal') return text === segment.text;
  if (segment.kind === 'capture') return text !== '';
  if (segment.kind === 'rest') return true;
  const { before, after } = segment;
  return text.length > before.length + after.length && text.startsWith(before) && text.endsWith(after);
}
