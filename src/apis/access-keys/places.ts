import type { Target } from '../../core/target.ts';

/** What a path of this API stands for. */
export interface Place {
  /** Keys of the caller's account, or, for administrators, of every account. */
  readonly of: 'account' | 'everybody';
  /** One key, as it is named there; null for all of them. */
  readonly id: string | null;
}

/** Its own paths are all that it claims: segment for segment, case and all, with nothing empty among them. */
export class Places {
  readonly #mount: readonly string[];

  constructor(path: string) {
    this.#mount = path.split('/').slice(1);
  }

  of({ segments }: Target): Place | null {
    const own = segments.slice(this.#mount.length);
    if (!this.#mount.every((segment, i) => segments[i] === segment)) return null;
    const [first, second, id = null] = own;
    if (second !== 'access-keys' || own.length > 3 || id === '') return null;
    if (first === 'auth') return { of: 'account', id };
    return first === 'admin' ? { of: 'everybody', id } : null;
  }
}

/** Other methods get 405 here, as from the original: its router knows them for these paths alone. */
export function methodsAt({ of, id }: Place): readonly string[] {
  if (id !== null) return ['DELETE'];
  return of === 'account' ? ['GET', 'POST'] : ['GET'];
}
