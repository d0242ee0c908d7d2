import { actionSeparators, PatternIndex, resourceSeparators, type Visitor } from './patterns.ts';
import type { Grant } from './permissions.ts';

/** What decided on an action on a resource: the entry of a grant that was the last to name both. */
export interface Ruling {
  readonly allow: boolean;
  /** Place of the grant in its list. */
  readonly grant: number;
  /** The entry's patterns, as written. */
  readonly action: string;
  readonly resource: string;
}

/** Resources by patterns: what an owner owns. */
export class ResourceSet {
  readonly #patterns = new PatternIndex<true>(resourceSeparators);
  readonly #everything: boolean;

  constructor(patterns: readonly string[]) {
    this.#everything = patterns.includes('*');
    for (const pattern of patterns) this.#patterns.of(pattern, () => true);
  }

  has(resource: string): boolean {
    return this.#everything || this.#patterns.visit(resource, one);
  }
}

const one: Visitor<true> = { visit: () => true };

/**
 * Ordered grants, compiled once for each version of what has them. Actions and resources are looked up apart: the memory
 * is that of the grants as written, not of every action on every resource. Look-ups make nothing and leave nothing behind.
 */
export class Grants {
  readonly #grants: readonly Grant[];
  /** Entries of `actions` in the order of all grants: grant, name and value of each. */
  readonly #grantOf: number[] = [];
  readonly #actionOf: string[] = [];
  readonly #allows: boolean[] = [];
  /** Entries by their pattern, in order. `*`, which is every action, stands apart. */
  readonly #actions = new PatternIndex<number[]>(actionSeparators);
  readonly #everyAction: number[] = [];
  readonly #search: Search;

  constructor(grants: readonly Grant[]) {
    this.#grants = grants;
    this.#search = new Search(grants, this.#grantOf);
    for (const [place, { actions }] of grants.entries()) {
      for (const [action, allow] of Object.entries(actions)) {
        const entries = action === '*' ? this.#everyAction : this.#actions.of(action, () => []);
        entries.push(this.#grantOf.length);
        this.#grantOf.push(place);
        this.#actionOf.push(action);
        this.#allows.push(allow);
      }
    }
  }

  /**
   * What decides on an action on a resource; null when nothing names both. `resource` null: the route names none, and only
   * `*` does. `owned` bounds `*`; null: it is everything.
   */
  ruling(action: string, resource: string | null, owned: ResourceSet | null): Ruling | null {
    const entry = this.#last(action, resource, owned);
    if (entry === -1) return null;
    const grant = this.#grantOf[entry]!;
    const named = this.#grants[grant]!.resources.findLast(pattern => {
      if (pattern !== '*') return resource !== null && new ResourceSet([pattern]).has(resource);
      return isInEverything(resource, owned);
    });
    return { allow: this.#allows[entry]!, grant, action: this.#actionOf[entry]!, resource: named! };
  }

  permits(action: string, resource: string | null = null, owned: ResourceSet | null = null): boolean {
    const entry = this.#last(action, resource, owned);
    return entry !== -1 && this.#allows[entry]!;
  }

  /** The last entry that names the action in a grant that names the resource; -1 when there is none. */
  #last(action: string, resource: string | null, owned: ResourceSet | null): number {
    this.#search.begin(resource, owned);
    if (this.#everyAction.length > 0) this.#search.visit(this.#everyAction);
    this.#actions.visit(action, this.#search);
    return this.#search.last;
  }
}

const isInEverything = (resource: string | null, owned: ResourceSet | null): boolean =>
  resource === null || owned === null || owned.has(resource);

/** One look-up at a time: which grants name the resource, and the last entry found so far. */
class Search implements Visitor<readonly number[]> {
  last = -1;
  readonly #grantOf: readonly number[];
  /** Per grant: it is on `*`. */
  readonly #onEverything: readonly boolean[];
  readonly #everything: boolean;
  /** Whether `*` holds for the resource. */
  #isOwned = false;
  /** Null: every resource is `*`. */
  readonly #marks: Marks | null = null;

  constructor(grants: readonly Grant[], grantOf: readonly number[]) {
    this.#grantOf = grantOf;
    this.#onEverything = grants.map(({ resources }) => resources.includes('*'));
    this.#everything = this.#onEverything.includes(true);
    if (grants.some(({ resources }) => resources.some(resource => resource !== '*'))) this.#marks = new Marks(grants);
  }

  begin(resource: string | null, owned: ResourceSet | null): void {
    this.last = -1;
    this.#isOwned = this.#everything && isInEverything(resource, owned);
    if (this.#marks !== null) this.#marks.begin(resource);
  }

  /** Entries of one pattern that names the action. */
  visit(entries: readonly number[]): boolean {
    for (let i = entries.length - 1; i >= 0; i--) {
      const entry = entries[i]!;
      if (entry <= this.last) break;
      const grant = this.#grantOf[entry]!;
      if ((this.#isOwned && this.#onEverything[grant]!) || this.#marks?.has(grant) === true) {
        this.last = entry;
        break;
      }
    }
    return false;
  }
}

/** Marks the grants that name a resource otherwise than by `*`. */
class Marks implements Visitor<readonly number[]> {
  readonly #resources = new PatternIndex<number[]>(resourceSeparators);
  /** Per grant: the last look-up that marked it. Nothing has to be wiped between two. */
  readonly #marked: number[];
  #lookUp = 0;

  constructor(grants: readonly Grant[]) {
    this.#marked = grants.map(() => 0);
    for (const [place, { resources }] of grants.entries()) {
      for (const resource of resources) if (resource !== '*') this.#resources.of(resource, () => []).push(place);
    }
  }

  begin(resource: string | null): void {
    if (this.#lookUp === mostLookUps) {
      this.#marked.fill(0);
      this.#lookUp = 0;
    }
    this.#lookUp++;
    if (resource !== null) this.#resources.visit(resource, this);
  }

  visit(grants: readonly number[]): boolean {
    for (let i = 0; i < grants.length; i++) this.#marked[grants[i]!] = this.#lookUp;
    return false;
  }

  has(grant: number): boolean {
    return this.#marked[grant] === this.#lookUp;
  }
}

/** Small integers are what V8 keeps without a box. */
const mostLookUps = 2 ** 30 - 1;
