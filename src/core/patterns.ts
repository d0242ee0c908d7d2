/**
 * Patterns of actions or of resources, found by the names that they match. A name divides at separators into pieces, and
 * `*` is one whole piece that is not empty; all else is literal, the separators too.
 */
export class PatternIndex<T> {
  /** Patterns without `*`, which are most. */
  readonly #exact = new Map<string, T>();
  #root: Branch<T> | null = null;
  readonly #first: number;
  readonly #second: number;

  /** `separators`: one or two characters. */
  constructor(separators: string) {
    this.#first = separators.charCodeAt(0);
    this.#second = separators.charCodeAt(separators.length - 1);
  }

  /** What is kept for a pattern; `make` is asked when there is nothing yet. */
  of(pattern: string, make: () => T): T {
    if (!pattern.includes('*')) return this.#exactly(pattern, make);
    const pieces: string[] = [];
    let wild = false;
    for (let from = 0; ; ) {
      const end = this.#endOf(pattern, from);
      if (end - from === 1 && pattern[from] === '*') wild = true;
      // A piece goes with the separator behind it, so that `a.b` and `a:b` are different ways.
      pieces.push(pattern.slice(from, end + 1));
      if (end === pattern.length) break;
      from = end + 1;
    }
    if (!wild) return this.#exactly(pattern, make);
    this.#root ??= new Branch();
    let branch = this.#root;
    for (const piece of pieces) branch = branch.grow(piece);
    branch.value ??= { kept: make() };
    return branch.value.kept;
  }

  /** Shows what is kept for each pattern that matches, until the visitor has seen enough; whether it has. */
  visit(name: string, visitor: Visitor<T>): boolean {
    const kept = this.#exact.get(name);
    if (kept !== undefined && visitor.visit(kept)) return true;
    return this.#root !== null && this.#follow(this.#root, name, 0, visitor);
  }

  #exactly(pattern: string, make: () => T): T {
    let kept = this.#exact.get(pattern);
    if (kept === undefined) {
      kept = make();
      this.#exact.set(pattern, kept);
    }
    return kept;
  }

  /** Each branch is met at most once for a name: the patterns bound the work, however long the name. */
  #follow(branch: Branch<T>, name: string, from: number, visitor: Visitor<T>): boolean {
    const end = this.#endOf(name, from);
    const literal = branch.at(name.slice(from, end + 1));
    if (literal !== null && this.#enter(literal, name, end, visitor)) return true;
    if (end === from) return false;
    const wild = branch.at(end === name.length ? '*' : wildBefore(name.charCodeAt(end)));
    return wild !== null && wild !== literal && this.#enter(wild, name, end, visitor);
  }

  #enter(branch: Branch<T>, name: string, end: number, visitor: Visitor<T>): boolean {
    if (end < name.length) return this.#follow(branch, name, end + 1, visitor);
    return branch.value !== null && visitor.visit(branch.value.kept);
  }

  /** Where the piece that begins at `from` ends: at a separator, or with the name. */
  #endOf(name: string, from: number): number {
    for (let i = from; i < name.length; i++) {
      const code = name.charCodeAt(i);
      if (code === this.#first || code === this.#second) return i;
    }
    return name.length;
  }
}

/** `visit` says whether it has seen enough. */
export interface Visitor<T> {
  visit(kept: T): boolean;
}

const wildBefore = (separator: number): string => (separator === 47 ? '*/' : separator === 46 ? '*.' : '*:');

/** Most branches have one way on, which needs no map. */
class Branch<T> {
  value: { readonly kept: T } | null = null;
  #piece = '';
  #only: Branch<T> | null = null;
  #more: Map<string, Branch<T>> | null = null;

  at(piece: string): Branch<T> | null {
    if (this.#more !== null) return this.#more.get(piece) ?? null;
    return this.#only !== null && this.#piece === piece ? this.#only : null;
  }

  grow(piece: string): Branch<T> {
    const known = this.at(piece);
    if (known !== null) return known;
    const next = new Branch<T>();
    if (this.#more !== null) this.#more.set(piece, next);
    else if (this.#only === null) {
      this.#piece = piece;
      this.#only = next;
    } else {
      this.#more = new Map([
        [this.#piece, this.#only],
        [piece, next],
      ]);
      this.#only = null;
    }
    return next;
  }
}

export const actionSeparators = ':.';
export const resourceSeparators = '/';
