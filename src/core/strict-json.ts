import type { Json } from './token.ts';

/**
 * JSON read strictly (RFC 8259), for bodies that change something: what two readers could understand differently is
 * refused, never repaired. On everything that is taken it agrees with `JSON.parse`.
 */

/** Most levels of objects and arrays within one another. */
export const deepestJson = 64;

/** Most values that are listed as refused, and most characters of where each stands: a body must not grow into more. */
const refusedLimits = { values: 100, pointer: 1000 } as const;

/** A value that is well-formed, and yet not taken: where it stands, as a JSON pointer, and what is wrong with it. */
export interface RefusedValue {
  readonly pointer: string;
  readonly detail: string;
}

export type JsonReading =
  | { readonly ok: true; readonly value: Json; readonly refused: readonly RefusedValue[] }
  /** The text is not JSON, or is ambiguous. Lines and columns count from 1, columns in UTF-16 units. */
  | {
      readonly ok: false;
      readonly why: string;
      readonly line: number;
      readonly column: number;
      /** There are more values in it than were asked for. */
      readonly tooMany: boolean;
    };

/**
 * Reads one JSON value. Two members of one name are a fault, and so are half a surrogate in a name, and a byte order mark. Whole numbers that are not
 * exact, and members named `__proto__`, are listed (the first hundred), and stand in the value as null or not at all.
 * `mostValues`: how many values it may have, those within one another counted each. What they are made into takes some
 * ten times the memory of their text.
 */
export function readStrictJson(text: string, mostValues = Number.POSITIVE_INFINITY): JsonReading {
  const reader = new Reader(text, mostValues);
  try {
    const value = reader.document();
    return { ok: true, value, refused: reader.refused };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const before = text.slice(0, error.at).split('\n');
    const [line, column] = [before.length, before.at(-1)!.length + 1];
    return { ok: false, why: error.message, line, column, tooMany: reader.tooMany };
  }
}

/** One step of a JSON pointer (RFC 6901). */
export const pointerStep = (name: string | number): string =>
  `/${String(name).replaceAll('~', '~0').replaceAll('/', '~1')}`;

class Fault extends Error {
  readonly at: number;
  constructor(at: number, why: string) {
    super(why);
    this.at = at;
  }
}

const space = /[ \t\n\r]*/y;
const plainText = /[^"\\\x00-\x1f]*/y;
const escapeForm = /\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})/y;
const number = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const literals = { t: ['true', true], f: ['false', false], n: ['null', null] } as const;
const escaped: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

class Reader {
  readonly refused: RefusedValue[] = [];
  readonly #text: string;
  readonly #path: (string | number)[] = [];
  #at = 0;
  #depth = 0;
  /** Values that may still come. */
  #left: number;

  constructor(text: string, mostValues: number) {
    this.#text = text;
    this.#left = mostValues;
  }

  get tooMany(): boolean {
    return this.#left < 0;
  }

  document(): Json {
    if (this.#text.startsWith('\ufeff')) this.#fail('a byte order mark is not taken');
    this.#skip();
    const value = this.#value();
    if (this.#at < this.#text.length) this.#fail('something follows the value');
    return value;
  }

  /** A value, and the white space behind it. */
  #value(): Json {
    if (--this.#left < 0) this.#fail('there are too many values');
    const value = this.#bareValue();
    this.#skip();
    return value;
  }

  #bareValue(): Json {
    const char = this.#text[this.#at];
    switch (char) {
      case '{':
        return this.#nested(() => this.#object());
      case '[':
        return this.#nested(() => this.#array());
      case '"':
        return this.#string();
      case 't':
      case 'f':
      case 'n': {
        const [word, value] = literals[char];
        if (!this.#text.startsWith(word, this.#at)) this.#fail('a value is expected');
        this.#at += word.length;
        return value;
      }
      default:
        return this.#number();
    }
  }

  #nested<T>(read: () => T): T {
    if (++this.#depth > deepestJson) this.#fail(`more than ${deepestJson} levels`);
    this.#at++;
    this.#skip();
    const value = read();
    this.#depth--;
    return value;
  }

  #object(): Json {
    const object: { [name: string]: Json } = {};
    const names = new Set<string>();
    if (this.#take('}')) return object;
    do {
      const start = this.#at;
      if (this.#text[start] !== '"') this.#fail('a member name is expected');
      const name = this.#string();
      // What is no Unicode is to some servers the same name as another, and to others none.
      if (!name.isWellFormed()) throw new Fault(start, 'this member name is not Unicode');
      if (names.has(name)) throw new Fault(start, 'this member stands twice');
      names.add(name);
      this.#skip();
      if (!this.#take(':')) this.#fail('a colon is expected');
      this.#path.push(name);
      const value = this.#value();
      // Assigned by careless code, or merged into an object, it would change what every object inherits.
      if (name === '__proto__') this.#refuse('is a name that is not taken');
      else object[name] = value;
      this.#path.pop();
    } while (this.#take(','));
    if (!this.#take('}')) this.#fail('a comma or } is expected');
    return object;
  }

  #array(): Json {
    const array: Json[] = [];
    if (this.#take(']')) return array;
    do {
      this.#path.push(array.length);
      array.push(this.#value());
      this.#path.pop();
    } while (this.#take(','));
    if (!this.#take(']')) this.#fail('a comma or ] is expected');
    return array;
  }

  #string(): string {
    let value = '';
    this.#at++;
    for (;;) {
      value += this.#match(plainText)!;
      if (this.#text[this.#at] === '"') {
        this.#at++;
        return value;
      }
      if (this.#at >= this.#text.length) this.#fail('a string has no end');
      if (this.#text[this.#at] !== '\\') this.#fail('a control character must be escaped');
      const match = this.#match(escapeForm);
      if (match === null) this.#fail('this escape is not one of JSON');
      const kind = match[1]!;
      value += kind === 'u' ? String.fromCharCode(Number.parseInt(match.slice(2), 16)) : (escaped[kind] ?? kind);
    }
  }

  #number(): Json {
    const match = this.#match(number);
    if (match === null) this.#fail(this.#at < this.#text.length ? 'a value is expected' : 'the text ends too soon');
    const value = Number(match);
    if (Number.isSafeInteger(value) || (Number.isFinite(value) && !Number.isInteger(value))) return value;
    this.#refuse('is a number too large to be exact');
    return null;
  }

  /** Takes one character, and the white space behind it. */
  #take(char: string): boolean {
    if (this.#text[this.#at] !== char) return false;
    this.#at++;
    this.#skip();
    return true;
  }

  #skip(): void {
    this.#match(space);
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) return null;
    this.#at = pattern.lastIndex;
    return match[0];
  }

  #refuse(detail: string): void {
    if (this.refused.length >= refusedLimits.values) return;
    let pointer = '';
    for (const step of this.#path) {
      pointer += pointerStep(typeof step === 'string' ? step.slice(0, refusedLimits.pointer) : step);
      if (pointer.length >= refusedLimits.pointer) break;
    }
    this.refused.push({ pointer: pointer.slice(0, refusedLimits.pointer), detail });
  }

  #fail(why: string): never {
    throw new Fault(this.#at, why);
  }
}
