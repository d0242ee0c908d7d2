/**
 * Regular expressions of `tokens.shapes` run on text that anybody sends. They are held to a language in which no
 * input takes long: no group repeats what varies, and no two repetitions can share their characters out in many ways.
 */

/** One place of an expanded pattern: characters it takes, and how often. */
interface Step {
  readonly set: ReadonlySet<string>;
  readonly min: number;
  readonly max: number;
}

type Sequence = readonly Step[];

/** Most ways of sharing characters out between repetitions; most alternatives after expansion. */
const mostWays = 10_000;
const mostSequences = 64;
const longestShape = 512;

/** A repetition without an end can take no more than the longest token. */
const longestToken = 1024;

const tooLong = `asks for more than ${longestToken} characters, which no token has`;

const ascii = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code));

export function shapeFault(shape: string): string | null {
  if (shape.length > longestShape) return `is longer than ${longestShape} characters`;
  if (!shape.startsWith('^') || !/(?<!\\)(?:\\\\)*\$$/.test(shape)) return 'is not anchored with ^ and $';
  try {
    // Compiled at its first use: only then a pattern that is too large is found out.
    new RegExp(shape).test('');
    const sequences = new ShapeReader(shape.slice(1, -1)).read();
    const longest = Math.max(...sequences.map(steps => steps.reduce((sum, { min }) => sum + min, 0)));
    if (longest > longestToken) return tooLong;
    return sequences.every(sequence => ways(sequence) <= mostWays)
      ? null
      : 'has repetitions that can take the same characters, which takes too long on some texts';
  } catch (error) {
    return error instanceof ShapeError ? error.message : 'is no regular expression';
  }
}

class ShapeError extends Error {}

/** In how many ways the repetitions of a sequence can divide a text between them, at most. */
function ways(sequence: Sequence): number {
  const varying = sequence.flatMap((step, i) => (step.min === step.max ? [] : [i]));
  const entangled = varying.filter(i =>
    varying.some(j => i !== j && !areApart(sequence, Math.min(i, j), Math.max(i, j))),
  );
  return entangled.reduce((product, i) => product * (sequence[i]!.max - sequence[i]!.min + 1), 1);
}

/** Two repetitions cannot hand characters to each other: they share none, or something between stops one of them. */
function areApart(sequence: Sequence, i: number, j: number): boolean {
  const first = sequence[i]!;
  const second = sequence[j]!;
  if (disjoint(first.set, second.set)) return true;
  return sequence
    .slice(i + 1, j)
    .some(({ set, min }) => min > 0 && (disjoint(set, first.set) || disjoint(set, second.set)));
}

function disjoint(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  for (const character of a) if (b.has(character)) return false;
  return true;
}

class ShapeReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  read(): Sequence[] {
    const sequences = this.#alternatives(0);
    if (this.#text[this.#at] === '|')
      throw new ShapeError('has a | outside of a group, so that its ends are not anchored');
    if (this.#at < this.#text.length) throw new ShapeError('is no regular expression');
    return sequences;
  }

  /** Inside a group, `|` divides; at the top it would divide the anchors from each other. */
  #alternatives(depth: number): Sequence[] {
    if (depth > 16) throw new ShapeError('has too many groups within groups');
    const all = this.#sequence(depth);
    while (depth > 0 && this.#text[this.#at] === '|') {
      this.#at++;
      all.push(...this.#sequence(depth));
    }
    return bounded(all);
  }

  #sequence(depth: number): Sequence[] {
    let all: Sequence[] = [[]];
    while (this.#at < this.#text.length && this.#text[this.#at] !== ')' && this.#text[this.#at] !== '|') {
      const item = this.#item(depth);
      all = bounded(all.flatMap(before => item.map(after => [...before, ...after])));
    }
    return all;
  }

  #item(depth: number): Sequence[] {
    if (this.#text[this.#at] === '(') {
      this.#at++;
      if (this.#text.startsWith('?:', this.#at)) this.#at += 2;
      else if (this.#text[this.#at] === '?') throw new ShapeError('looks ahead, behind or names a group');
      const inner = this.#alternatives(depth + 1);
      if (this.#text[this.#at++] !== ')') throw new ShapeError('is no regular expression');
      return repeatGroup(inner, this.#repetition());
    }
    const set = this.#atom();
    const [min, max] = this.#repetition();
    return [[{ set, min, max }]];
  }

  #atom(): ReadonlySet<string> {
    const rest = this.#text.slice(this.#at);
    const match = /^(?:\[(?:\\.|[^\]\\])*\]|\\[dDwWsS]|\\[^A-Za-z0-9]|\.|[^\\^$.*+?()[\]{}|])/s.exec(rest);
    if (match === null) {
      const what = rest.startsWith('\\') ? rest.slice(0, 2) : rest.slice(0, 1);
      throw new ShapeError(`has ${what} where characters are named`);
    }
    this.#at += match[0].length;
    const one = new RegExp(`^${match[0]}$`);
    return new Set(ascii.filter(character => one.test(character)));
  }

  #repetition(): [min: number, max: number] {
    const match = /^(?:[*+?]|\{[0-9]{1,4}(?:,[0-9]{0,4})?\})\??/.exec(this.#text.slice(this.#at));
    if (match === null) return [1, 1];
    this.#at += match[0].length;
    if (match[0].startsWith('*')) return [0, longestToken];
    if (match[0].startsWith('+')) return [1, longestToken];
    if (match[0].startsWith('?')) return [0, 1];
    const [least = '0', most] = match[0].replace(/[{}?]/g, '').split(',');
    const max = most === undefined ? least : most === '' ? longestToken : most;
    return [Number(least), Math.min(longestToken, Number(max))];
  }
}

function repeatGroup(inner: Sequence[], [min, max]: [number, number]): Sequence[] {
  if (min === 1 && max === 1) return inner;
  if (min === 0 && max === 1) return bounded([[], ...inner]);
  const [only = []] = inner;
  if (inner.length > 1 || only.some(step => step.min !== step.max)) {
    throw new ShapeError('repeats a group that varies within, which takes too long on some texts');
  }
  const times = max === longestToken ? 1 : max;
  if (only.reduce((sum, step) => sum + step.max * times, 0) > longestToken) throw new ShapeError(tooLong);
  // Repeated a fixed number of times, it stays fixed; else any of its characters may come in between.
  if (min === max) return [only.map(step => ({ ...step, min: step.min * min, max: step.max * max }))];
  return [[{ set: new Set(only.flatMap(step => [...step.set])), min, max }]];
}

function bounded(sequences: Sequence[]): Sequence[] {
  if (sequences.length > mostSequences) throw new ShapeError('has too many alternatives');
  return sequences;
}
