import { randomBytes } from 'node:crypto';
import { base62, secretLengths } from '../core/secret-form.ts';
import type { MintedSecret } from '../ports/secret-maker.ts';
import { type Peppers, sha256Hex } from './peppers.ts';

/** Makes secrets: `<prefix>_` and 32 random base62 characters (190.5 bits) and a checksum of 6. */
export class Mint {
  readonly #peppers: Peppers;
  readonly #prefix: string;

  constructor(peppers: Peppers, prefix: string) {
    this.#peppers = peppers;
    this.#prefix = prefix;
  }

  mint(): MintedSecret {
    const body = `${this.#prefix}_${randomBase62(secretLengths.random)}`;
    const secret = body + this.#peppers.checksum(body);
    return { secret, digest: this.digest(sha256Hex(secret)), hint: `${this.#prefix}_…${secret.slice(-4)}` };
  }

  /** The digest at rest of an imported secret, from its SHA-256 in hex. */
  digest(sha256: string): string {
    return this.#peppers.digest(sha256);
  }
}

/** Uniform: bytes from 248 up are thrown away, because 256 is no multiple of 62. */
export function randomBase62(length: number): string {
  let text = '';
  while (text.length < length) {
    for (const byte of randomBytes(length - text.length + 8)) {
      if (byte < 248 && text.length < length) text += base62[byte % 62];
    }
  }
  return text;
}
