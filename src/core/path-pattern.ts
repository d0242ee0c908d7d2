import { type PatternReading, readPattern } from './route.ts';

type Segments = Extract<PatternReading, { readonly ok: true }>['segments'];

/** A path pattern by itself: it matches what a route of that path would. */
export class PathPattern {
  readonly #segments: Segments;

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
function fits(segment: Segments[number], text: string): boolean {
  if (segment.kind === 'literal') return text === segment.text;
  if (segment.kind === 'capture') return text !== '';
  if (segment.kind === 'rest') return true;
  const { before, after } = segment;
  return text.length > before.length + after.length && text.startsWith(before) && text.endsWith(after);
}
