/** What is kept of the secrets in constraints: passwords as hashes, keys sealed. */
export interface ConstraintSecrets {
  /** There is a key to seal keys under. */
  readonly seals: boolean;
  /** Random, for signatures. */
  newKey(): string;
  /** A signature key as the store keeps it, for one token and no other. Only where `seals`. */
  seal(tokenId: string, key: string): string;
  /** Null when it was sealed under another key, for another token, or is damaged. */
  unseal(tokenId: string, sealed: string): string | null;
  /** HMAC-SHA-256 of a text, in base64url. */
  sign(key: string, text: string): string;
  /** The hash of a password, as text. This and what follows: null when too many wait for the like already. */
  hash(password: string): Promise<string | null>;
  /** Whether a hash is of this password. */
  matches(password: string, hash: string): Promise<boolean | null>;
  /** What tells equal texts from others, and takes as long to guess a text from as a hash. `salt`: any text. */
  fingerprint(text: string, salt: string): Promise<string | null>;
}
