import { constraintFaults } from '../core/constraint-form.ts';
import { isTokenParameter } from '../core/credential.ts';
import { hasSignature, signatureNames, signedText, withExpiry } from '../core/signature.ts';
import { queryPairs, readTarget } from '../core/target.ts';
import { isRevoked, type Millis } from '../core/token.ts';
import { Refusal } from '../errors.ts';
import type { TokenAndAccount } from '../ports/token-store.ts';
import type { Faults } from './faults.ts';
import type { ManageParts } from './parts.ts';

/** A request that is to be signed. */
export interface SigningRequest {
  /** Default: GET. */
  readonly method?: string | undefined;
  /** Path and query; undefined: it was not said, or not well, and the faults tell. */
  readonly target: string | undefined;
  readonly lifeMs: Millis | undefined;
}

export interface SignedRequest {
  readonly method: string;
  /** With the expiry and the signature in its query. */
  readonly target: string;
  readonly expiresAt: Millis;
}

/** Longest life of a signature, and longest target. */
export const signingLimits = { lifeMs: 7 * 86_400_000, target: 8192 } as const;

/** Refused where the token asks for no signatures: what is signed would pass without, too. */
export function signed(
  { token, account }: TokenAndAccount,
  { method = 'GET', target, lifeMs }: SigningRequest,
  { clock, constraintSecrets, tokenParameters }: Pick<ManageParts, 'clock' | 'constraintSecrets' | 'tokenParameters'>,
  faults: Faults,
): SignedRequest {
  const why = constraintFaults.method(method);
  if (why !== null) faults.add('/method', why);
  const reading = target === undefined ? null : readTarget(target);
  if (reading?.ok === false) faults.add('/target', `cannot be sent: ${reading.why}`);
  if (target !== undefined && target.length > signingLimits.target) {
    faults.add('/target', `is longer than ${signingLimits.target} characters`);
  }
  if (reading?.ok === true && hasSignature(reading.target.query)) faults.add('/target', 'is signed already');
  // It is cut out of what is signed, and nobody can tell which of two it would be.
  if (reading?.ok === true && carriesToken(reading.target.query, tokenParameters())) {
    faults.add('/target', 'has the token in it: sign it without, and add the token behind the signature');
  }
  if (lifeMs !== undefined && (lifeMs < 1000 || lifeMs > signingLimits.lifeMs)) {
    faults.add('/expires_in', 'is not from 1s to 7d');
  }
  faults.throwIfAny();
  if (reading?.ok !== true || lifeMs === undefined) throw new Error('a fault that was not told');
  if (isRevoked(token, account)) throw new Refusal('conflict', 'The token is revoked.');
  const { signature } = token.constraints;
  if (signature === undefined) throw new Refusal('conflict', 'The constraints of the token ask for no signature.');
  const key = constraintSecrets.unseal(token.id, signature.sealed);
  if (key === null) {
    throw new Refusal('conflict', 'The key cannot be opened with store.encryption_key_file: set a new one.');
  }
  // Whole seconds, rounded up: it lives at least as long as was asked.
  const expires = Math.ceil((clock.wall() + lifeMs) / 1000);
  const { path, query } = reading.target;
  const expiring = withExpiry(query, expires);
  const proof = constraintSecrets.sign(key, signedText(method, path, expiring));
  return {
    method,
    target: `${path}?${expiring}&${signatureNames.signature}=${proof}`,
    expiresAt: expires * 1000,
  };
}

const carriesToken = (query: string | null, names: ReadonlySet<string>): boolean =>
  query !== null && queryPairs(query).some(({ name }) => isTokenParameter(name, names));
