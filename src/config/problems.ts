import type { Spot } from './tree.ts';

/** One thing that is wrong with a configuration, or a warning about it. */
export interface Problem {
  /** Null when it is about no place in particular, such as a file that is missing. */
  readonly at: Spot | null;
  /** `routes[2].methods[0]`; empty when it is about a whole file. */
  readonly key: string;
  /** What is wrong, what is allowed. Never a secret, nor a value that came from the environment. */
  readonly message: string;
}

/** `file:line:column key: what is wrong, what is allowed`, in one line. */
export const problemLine = (problem: Problem): string => withoutLogins(composed(problem).replace(/\p{Cc}+/gu, ' '));

/** A URL that stands where it does not belong may have a password in it; as a path it has one slash. */
const withoutLogins = (text: string): string => text.replace(/(:\/\/?)[^\s"'@/]*@/g, '$1…@');

function composed({ at, key, message }: Problem): string {
  if (at === null) return key === '' ? message : `${key}: ${message}`;
  if (at.line === 0) return `${at.source}: ${message}`;
  const where = `${at.source}:${at.line}:${at.column}`;
  return key === '' ? `${where}: ${message}` : `${where} ${key}: ${message}`;
}

/** Collects every problem of a load, and remembers where each key stands, so that a check needs only to name it. */
export class Problems {
  readonly #problems: Problem[] = [];
  readonly #warnings: Problem[] = [];
  readonly #spots = new Map<string, Spot>();

  /** Says where a key stands. Keys of another file than the configuration's have to be told apart by the caller. */
  place(key: string, at: Spot): void {
    this.#spots.set(key, at);
  }

  /** Where a key stands, or the nearest key around it that stands somewhere. */
  spotOf(key: string): Spot | null {
    for (let name = key; ; ) {
      const spot = this.#spots.get(name);
      if (spot !== undefined) return spot;
      if (name === '') return null;
      name = name.slice(0, Math.max(0, name.lastIndexOf('.'), name.lastIndexOf('[')));
    }
  }

  /** `line 12`, for messages that name a second place. */
  lineOf(key: string): string {
    const spot = this.spotOf(key);
    return spot === null || spot.line === 0 ? key : `line ${spot.line}`;
  }

  add(key: string, message: string, at: Spot | null = this.spotOf(key)): void {
    this.#problems.push({ at, key, message });
  }

  warn(key: string, message: string, at: Spot | null = this.spotOf(key)): void {
    this.#warnings.push({ at, key, message });
  }

  /** A problem is known with this key or with something in it: what seems absent may be there, and be wrong. */
  touch(key: string): boolean {
    return this.#problems.some(
      known => known.key === key || known.key.startsWith(`${key}.`) || known.key.startsWith(`${key}[`),
    );
  }

  get some(): boolean {
    return this.#problems.length > 0;
  }

  /** Reports a value that an earlier entry has. An empty one is none: it is missing, or wrong already. */
  once(seen: Map<string, string>, value: string, key: string, what: string): void {
    const first = seen.get(value);
    if (value === '') return;
    if (first === undefined) seen.set(value, key);
    else this.add(key, `${what} stands in ${first} too (${this.lineOf(first)}); allowed: once`);
  }

  /** Takes over what was found in another file. */
  addAll(other: Problems): void {
    this.#problems.push(...other.#problems);
    this.#warnings.push(...other.#warnings);
  }

  /** In the order of the files. */
  get list(): readonly Problem[] {
    return sorted(this.#problems);
  }

  get warnings(): readonly Problem[] {
    return sorted(this.#warnings);
  }
}

function sorted(problems: readonly Problem[]): readonly Problem[] {
  const sources = [...new Set(problems.map(({ at }) => at?.source))];
  const rank = ({ at }: Problem): readonly number[] => [sources.indexOf(at?.source), at?.line ?? 0, at?.column ?? 0];
  return [...problems].sort((a, b) => {
    const [ours, theirs] = [rank(a), rank(b)];
    const differs = ours.findIndex((number, i) => number !== theirs[i]);
    return differs === -1 ? 0 : ours[differs]! - theirs[differs]!;
  });
}
