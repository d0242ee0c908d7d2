import { Refusal } from '../errors.ts';

/** A change that was overtaken by another, and has to be made anew from what is there now. */
export const stale: unique symbol = Symbol('stale');

/** Each round that one change loses, another wins; so many in a row are no coincidence. */
const mostRounds = 100;

/** Reads, changes and sets until nobody came between. What is refused on the way is thrown by `attempt`. */
export async function compareAndSet<T>(attempt: () => Promise<T | typeof stale>): Promise<T> {
  for (let round = 0; round < mostRounds; round++) {
    const result = await attempt();
    if (result !== stale) return result;
  }
  throw new Refusal('conflict', 'Others keep changing it at the same time. Try again.');
}
