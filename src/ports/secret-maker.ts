/** Makes secrets, and the digests under which they are kept. */
export interface SecretMaker {
  mint(): MintedSecret;
  /** The digest at rest of a secret, from its SHA-256 in hex. */
  digest(sha256: string): string;
  /** Every digest under which that secret may be at rest: `digest` first, then those of older peppers. */
  digests(sha256: string): readonly string[];
}

/** A new secret, shown once, and what is kept of it. */
export interface MintedSecret {
  readonly secret: string;
  readonly digest: string;
  /** Prefix and last four characters, for people. */
  readonly hint: string;
}
