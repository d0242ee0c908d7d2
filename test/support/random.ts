/** The seed of this run's random tests, which stands in their names: `POSTERN_SEED=… vitest run …` plays one again. */
export const seed: number = Number(
  process.env['POSTERN_SEED'] ?? process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31),
);

/** A small generator of pseudo-random numbers in [0, 1) (mulberry32). */
export function randomFrom(start: number): () => number {
  let state = start >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const pick = <T>(random: () => number, from: readonly T[]): T => from[Math.floor(random() * from.length)]!;

/** A whole number in `[0, below)`. */
export const below = (random: () => number, bound: number): number => Math.floor(random() * bound);

/** `least` to `most` things, made one by one. */
export function several<T>(random: () => number, least: number, most: number, make: (i: number) => T): T[] {
  const things: T[] = [];
  for (let i = 0, length = least + below(random, most - least + 1); i < length; i++) things.push(make(i));
  return things;
}
