import { isTokenParameter, type Reading } from './credential.ts';
import type { Form } from './form.ts';
import { cutPair, type Pair, queryPairs } from './target.ts';

/**
 * Signed requests: `postern_expires` (seconds since the epoch) and `postern_signature` in the query. The signature is
 * an HMAC-SHA-256 in base64url (RFC 4648 5, 43 characters) over method, path and query, byte for byte as they are
 * sent; of the query only the signature's own pair is left out, and the token's where the token stands there.
 */
export const signatureNames = { expires: 'postern_expires', signature: 'postern_signature' } as const;

const names: ReadonlySet<string> = new Set(Object.values(signatureNames));

export type SignatureReading =
  | { readonly kind: 'missing' }
  | { readonly kind: 'ambiguous' }
  | {
      readonly kind: 'one';
      readonly signature: string;
      /** Seconds since the epoch; null when what stands there is no such number. */
      readonly expires: number | null;
      /** What the signature has to be of. */
      readonly text: string;
    };

/** Each of the two stands once and is spelled as it is: elsewhere another spelling could be the one that counts. */
export function readSignature({ method, target }: Form, reading: Reading): SignatureReading {
  const { query, path } = target;
  if (query === null) return { kind: 'missing' };
  let expires: Pair | null = null;
  let signature: Pair | null = null;
  for (const pair of queryPairs(query)) {
    if (!isTokenParameter(pair.name, names)) continue;
    const isSignature = pair.name === signatureNames.signature;
    if (!names.has(pair.name) || (isSignature ? signature : expires) !== null) return { kind: 'ambiguous' };
    if (isSignature) signature = pair;
    else expires = pair;
  }
  if (expires === null || signature === null) return { kind: 'missing' };
  const token = reading.kind === 'one' && reading.found.place === 'query' ? [reading.found.pair] : [];
  let signed: string | null = query;
  // From the last to the first, so that positions stay true.
  for (const pair of [signature, ...token].sort((a, b) => b.start - a.start)) signed = cutPair(signed ?? '', pair);
  return {
    kind: 'one',
    signature: signature.value,
    expires: /^[1-9][0-9]{0,11}$/.test(expires.value) ? Number(expires.value) : null,
    text: signedText(method, path, signed ?? ''),
  };
}

/** What is signed. HEAD is a method of its own. */
export const signedText = (method: string, path: string, query: string): string => `${method}\n${path}\n${query}`;

/** A query has parameters of these names, in whatever spelling. */
export const hasSignature = (query: string | null): boolean =>
  query !== null && queryPairs(query).some(pair => isTokenParameter(pair.name, names));

/** A query with an expiry at its end, ready to be signed. */
export function withExpiry(query: string | null, expires: number): string {
  const pair = `${signatureNames.expires}=${expires}`;
  return query === null || query === '' ? pair : `${query}&${pair}`;
}
