import type { Config } from '../config/config.ts';
import { longestSecret, secretForm } from '../core/secret-form.ts';
import { Peppers } from '../secrets/peppers.ts';

/**
 * A secret is imported by its digest, of which the server can tell nothing. Here, where the secret is known, it can be
 * told that no request with it would ever be looked up. Answers say nothing of what the secret holds.
 */
export function secretFault(secret: string, config: Config | null): string | null {
  if (secret === '') return 'is empty';
  if (secret.length > longestSecret) return `is longer than ${longestSecret} characters, which no token is`;
  if (!/^[ -~]+$/.test(secret)) return 'has characters other than visible ASCII, which no request can carry';
  if (config === null) return null;
  const { prefix, peppers, acceptUnkeyed, shapes } = config.tokens;
  switch (secretForm(secret, prefix)) {
    case 'foreign':
      if (shapes.some(shape => shape.test(secret))) return null;
      return `neither begins with ${prefix}_ nor matches one of tokens.shapes; add its shape there first`;
    case 'malformed':
      return `begins with ${prefix}_, and has not the 38 letters and digits that follow in a secret of ours`;
    case 'ours':
      if (new Peppers(peppers, acceptUnkeyed).verifies(secret)) return null;
      if (new Peppers([], true).verifies(secret)) return 'was made without a pepper; set tokens.accept_unkeyed first';
      // The store keeps what checksums under earlier peppers need, and only its owner can read them.
      return 'has a checksum that none of tokens.peppers makes; if a pepper that is no more made it, use --secret-sha256';
  }
}

/** Said after an import whose secret was not looked at. */
export const importHint =
  'note: only the digest is known, not the secret. It works if it has the form of our own secrets (the prefix, and a checksum under one of tokens.peppers, or without a pepper under tokens.accept_unkeyed), or if it matches one of tokens.shapes.';
