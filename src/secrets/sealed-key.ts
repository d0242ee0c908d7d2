import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

/**
 * Secrets that have to be read again, under AES-256-GCM (NIST SP 800-38D): `v1.` and base64url of a random nonce of 96 bits,
 * the text and a tag of 128. What it is and the token are authenticated with it, so that a copy on another token, or in
 * another place, opens nothing.
 */
const cipher = 'aes-256-gcm';
const sizes = { nonce: 12, tag: 16 } as const;
const form = /^v1\.([A-Za-z0-9_-]+)$/;

/** What is sealed. */
export type Sealed = 'signature key' | 'recoverable secret';

const about = (what: Sealed, tokenId: string): Buffer => Buffer.from(`postern ${what}\0${tokenId}`);

export function seal(under: Buffer, tokenId: string, plain: string, what: Sealed = 'signature key'): string {
  const nonce = randomBytes(sizes.nonce);
  const sealing = createCipheriv(cipher, under, nonce, { authTagLength: sizes.tag }).setAAD(about(what, tokenId));
  const text = Buffer.concat([sealing.update(plain, 'utf8'), sealing.final()]);
  return `v1.${Buffer.concat([nonce, text, sealing.getAuthTag()]).toString('base64url')}`;
}

/** Null when it was not sealed under this key as this for this token, or is damaged. */
export function unseal(under: Buffer, tokenId: string, sealed: string, what: Sealed = 'signature key'): string | null {
  const bytes = Buffer.from(form.exec(sealed)?.[1] ?? '', 'base64url');
  if (bytes.length < sizes.nonce + sizes.tag) return null;
  try {
    const opening = createDecipheriv(cipher, under, bytes.subarray(0, sizes.nonce), { authTagLength: sizes.tag })
      .setAAD(about(what, tokenId))
      .setAuthTag(bytes.subarray(-sizes.tag));
    const text = opening.update(bytes.subarray(sizes.nonce, -sizes.tag));
    return Buffer.concat([text, opening.final()]).toString('utf8');
  } catch {
    return null;
  }
}
