import { seal, unseal } from './sealed-key.ts';

/** Secrets of tokens that an API shows again, sealed under its own key, each for its token alone. */
export class SecretRecovery {
  readonly #under: Buffer;

  /** `under`: 32 bytes. */
  constructor(under: Buffer) {
    if (under.length !== 32) throw new Error('a key of AES-256 has 32 bytes');
    this.#under = under;
  }

  seal(secret: string, tokenId: string): string {
    return seal(this.#under, tokenId, secret, 'recoverable secret');
  }

  /** Null when it was sealed under another key, for another token, or is damaged. */
  open(sealed: string, tokenId: string): string | null {
    return unseal(this.#under, tokenId, sealed, 'recoverable secret');
  }
}
