import type { Grant } from './permissions.ts';

/** An entry of grants that may give more than others do. */
export interface Uncovered {
  /** Place of the grant in its list. */
  readonly grant: number;
  readonly action: string;
  readonly resource: string;
}

/**
 * The first entry of a token's grants that may give what its account's grants do not; null when every request that the
 * token's permit is one that the account's permit, on whatever resource. `owns` bounds `*` on both sides; null: it is
 * everything. It may refuse what gives nothing more; it never takes an escalation for none.
 */
export function uncovered(
  token: readonly Grant[],
  account: readonly Grant[],
  owns: readonly string[] | null,
): Uncovered | null {
  const comparison = new Comparison(token, account, owns);
  for (const [grant, { actions, resources }] of token.entries()) {
    for (const [place, [action, allow]] of Object.entries(actions).entries()) {
      if (!allow) continue;
      const escaping = resources.findIndex((_, i) => !comparison.isCovered(grant, place, i));
      if (escaping !== -1) return { grant, action, resource: resources[escaping]! };
    }
  }
  return null;
}

/** A pattern in pieces, separators among them where there are several. */
interface Pattern {
  readonly pieces: readonly string[];
  /** It is `*` alone. */
  readonly everything: boolean;
  /** It was read, and has no wildcard: another one that was read is another text. */
  readonly literal: boolean;
}

interface Entries {
  readonly actions: readonly { readonly pattern: Pattern; readonly allow: boolean }[];
  readonly resources: readonly Pattern[];
}

/** Comparisons of pieces of patterns in one question: some tens of milliseconds. What is not settled by then is refused. */
const mostSteps = 2_000_000;

class Comparison {
  readonly #token: readonly Entries[];
  readonly #account: readonly Entries[];
  /** Null: everything. */
  readonly #owns: readonly Pattern[] | null;
  #steps = 0;

  constructor(token: readonly Grant[], account: readonly Grant[], owns: readonly string[] | null) {
    const action = reader(/([:.])/);
    const resource = reader(/\//);
    const read = ({ actions, resources }: Grant): Entries => ({
      actions: Object.entries(actions).map(([name, allow]) => ({ pattern: action(name), allow })),
      resources: resources.map(resource),
    });
    this.#token = token.map(read);
    this.#account = account.map(read);
    this.#owns = owns === null || owns.includes('*') ? null : owns.map(resource);
  }

  /**
   * Whether the account permits all that an entry of the token does. From the account's last entry to its first: one that
   * names all of it has the last word.
   */
  isCovered(grant: number, place: number, on: number): boolean {
    const { actions, resources } = this.#token[grant]!;
    const asked = actions[place]!.pattern;
    const target = resources[on]!;
    for (let g = this.#account.length - 1; g >= 0; g--) {
      const entries = this.#account[g]!;
      for (let a = entries.actions.length - 1; a >= 0; a--) {
        if (this.#isSpent()) return false;
        const { pattern, allow } = entries.actions[a]!;
        const action = this.#meet(pattern, asked);
        if (action === null) continue;
        const whole = this.#contains(pattern, asked);
        for (let r = entries.resources.length - 1; r >= 0; r--) {
          if (this.#isSpent()) return false;
          const named = entries.resources[r]!;
          const resource = this.#commonResource(named, target);
          if (resource === null) continue;
          // Where the account says no, the token must have something else to say later on.
          if (!allow && !this.#isSaidLater(grant, place, action, resource, named)) return false;
          if (whole && this.#containsResource(named, target)) return true;
        }
      }
    }
    return false;
  }

  /**
   * A later entry of the token names all of this, so that an earlier one never decides on it: either of two resources,
   * as what both of them name is meant.
   */
  #isSaidLater(grant: number, place: number, action: Pattern, resource: Pattern, other: Pattern): boolean {
    for (let g = this.#token.length - 1; g >= grant; g--) {
      const { actions, resources } = this.#token[g]!;
      const first = g === grant ? place + 1 : 0;
      for (let a = actions.length - 1; a >= first; a--) {
        if (this.#isSpent()) return false;
        if (!this.#contains(actions[a]!.pattern, action)) continue;
        for (const named of resources) {
          if (this.#isSpent()) return false;
          if (this.#containsResource(named, resource) || this.#containsResource(named, other)) return true;
        }
      }
    }
    return false;
  }

  /** `*` also stands for what a route without a resource asks for, so that nothing but `*` contains it. */
  #containsResource(outer: Pattern, inner: Pattern): boolean {
    if (outer.everything && !inner.everything) return this.#isOwned(owned => this.#contains(owned, inner));
    return this.#contains(outer, inner);
  }

  /** All that both name, or more; null when that is nothing. */
  #commonResource(a: Pattern, b: Pattern): Pattern | null {
    if (a.everything === b.everything) return this.#meet(a, b);
    const named = a.everything ? b : a;
    return this.#isOwned(owned => this.#meet(owned, named) !== null) ? named : null;
  }

  #isOwned(test: (owned: Pattern) => boolean): boolean {
    if (this.#owns === null) return true;
    this.#steps += this.#owns.length;
    return this.#owns.some(test);
  }

  /** Whatever `inner` matches, `outer` does. */
  #contains(outer: Pattern, inner: Pattern): boolean {
    if (outer === inner || outer.everything) return true;
    const { length } = outer.pieces;
    if (inner.everything || (outer.literal && inner.literal) || length !== inner.pieces.length) return false;
    for (let i = 0; i < length; i++) {
      this.#steps++;
      const [one, other] = [outer.pieces[i]!, inner.pieces[i]!];
      if (one !== other && (one !== '*' || other === '')) return false;
    }
    return true;
  }

  /** What both match; null when that is nothing. */
  #meet(a: Pattern, b: Pattern): Pattern | null {
    if (a === b || b.everything) return a;
    if (a.everything) return b;
    const { length } = a.pieces;
    if ((a.literal && b.literal) || length !== b.pieces.length) return null;
    for (let i = 0; i < length; i++) {
      this.#steps++;
      const [one, other] = [a.pieces[i]!, b.pieces[i]!];
      if (one !== other && (one === '' || other === '' || (one !== '*' && other !== '*'))) return null;
    }
    this.#steps += length;
    return {
      pieces: a.pieces.map((piece, i) => (piece === '*' ? b.pieces[i]! : piece)),
      everything: false,
      literal: false,
    };
  }

  #isSpent(): boolean {
    return ++this.#steps > mostSteps;
  }
}

/** Reads each pattern once, however often it stands. */
function reader(separators: RegExp): (text: string) => Pattern {
  const known = new Map<string, Pattern>();
  return text => {
    let pattern = known.get(text);
    if (pattern === undefined) {
      const pieces = text.split(separators);
      pattern = { pieces, everything: text === '*', literal: !pieces.includes('*') };
      known.set(text, pattern);
    }
    return pattern;
  };
}
