import type { ConstraintSecrets } from '../ports/constraint-secrets.ts';
import { randomBase62 } from './mint.ts';
import type { Scrypt } from './scrypt.ts';
import { seal, unseal } from './sealed-key.ts';
import { signatureOf } from './signing.ts';

/** 256 bits in base62. */
const keyLength = 43;

/** The secrets of constraints, as managers hand them in. */
export class Vault implements ConstraintSecrets {
  readonly #under: Buffer | null;
  readonly #scrypt: Scrypt;

  /** `under`: 32 bytes; null when there is no key to seal with. */
  constructor(under: Buffer | null, scrypt: Scrypt) {
    this.#under = under;
    this.#scrypt = scrypt;
  }

  get seals(): boolean {
    return this.#under !== null;
  }

  newKey(): string {
    return randomBase62(keyLength);
  }

  seal(tokenId: string, key: string): string {
    if (this.#under === null) throw new Error('there is no key to seal with');
    return seal(this.#under, tokenId, key);
  }

  unseal(tokenId: string, sealed: string): string | null {
    return this.#under === null ? null : unseal(this.#under, tokenId, sealed);
  }

  sign(key: string, text: string): string {
    return signatureOf(key, text);
  }

  hash(password: string): Promise<string | null> {
    return this.#scrypt.hash(password);
  }

  matches(password: string, hash: string): Promise<boolean | null> {
    return this.#scrypt.matches(password, hash, 'manager');
  }

  fingerprint(text: string, salt: string): Promise<string | null> {
    return this.#scrypt.fingerprint(text, salt);
  }
}
