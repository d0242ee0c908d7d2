/** Shortest key, in bytes: what 256 random bits take. */
export const shortestKey = 32;

/** What is wrong with a key that has to be random; null when nothing shows. */
export function keyFault(key: Buffer): string | null {
  if (key.length < shortestKey) return `has ${key.length} bytes`;
  if (new Set(key).size < 8) return 'has too few different characters to be random';
  // `changeme…changeme…`: long, and yet only one guess.
  return /^(.{1,16}?)\1+$/s.test(key.toString('latin1')) ? 'repeats itself' : null;
}

export const keyAllowed = 'at least 32 random bytes, such as the output of `openssl rand -hex 32`';
