import { createHmac, timingSafeEqual } from 'node:crypto';

/** HMAC-SHA-256 (RFC 2104) of a text, in base64url without padding: 43 characters. */
export const signatureOf = (key: string, text: string): string =>
  createHmac('sha256', key).update(text).digest('base64url');

/** Compared as bytes of the text: a decoder would take several spellings for one signature. */
export function isSignatureOf(signature: string, key: string, text: string): boolean {
  const expected = Buffer.from(signatureOf(key, text), 'latin1');
  const found = Buffer.from(signature, 'latin1');
  return found.length === expected.length && timingSafeEqual(found, expected);
}
