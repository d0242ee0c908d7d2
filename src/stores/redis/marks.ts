import type { Cursor } from '../../ports/change-feed.ts';

/** Most marks that are kept: a process looks back at where it just was, and no further. */
const most = 32;

/**
 * When the events were written that this process came to last. After the store has lost changes the same numbers stand
 * for other events; none of them was written at the same time.
 */
export class Marks {
  readonly #known = new Map<string, string>();

  keep(cursor: Cursor, mark: string): void {
    const place = placeOf(cursor);
    this.#known.delete(place);
    this.#known.set(place, mark);
    if (this.#known.size > most) this.#known.delete(this.#known.keys().next().value!);
  }

  /** Empty where it is not known. */
  of(cursor: Cursor): string {
    return this.#known.get(placeOf(cursor)) ?? '';
  }
}

const placeOf = ({ epoch, seq }: Cursor): string => `${epoch} ${seq}`;
