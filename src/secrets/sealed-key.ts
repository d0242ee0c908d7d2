import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

/**
 * Keys that have to be kept in the clear, under AES-256-GCM (NIST SP 800-38D): `v1.` and base64url of a random nonce of
 * 96 bits, the text and a tag of 128. The token is authenticated with it, so that a sealed key that is copied to
 * another token opens nothing there.
 */
const cipher = 'aes-256-gcm';
const sizes = { nonce: 12, tag: 16 } as const;
const form = /^v1\.([A-Za-z0-9_-]+)$/;

const about = (tokenId: string): Buffer => Buffer.from(`postern signature key\0${tokenId}`);

export function seal(under: Buffer, tokenId: string, key: string): string {
  const nonce = randomBytes(sizes.nonce);
  const sealing = createCipheriv(cipher, under, nonce, { authTagLength: sizes.tag }).setAAD(about(tokenId));
  const text = Buffer.concat([sealing.update(key, 'utf8'), sealing.final()]);
  return `v1.${Buffer.concat([nonce, text, sealing.getAuthTag()]).toString('base64url')}`;
}

/** Null when it was not sealed under this key for this token, or is damaged. */
export function unseal(under: Buffer, tokenId: string, sealed: string): string | null {
  const bytes = Buffer.from(form.exec(sealed)?.[1] ?? '', 'base64url');
  if (bytes.length < sizes.nonce + sizes.tag) return null;
  try {
    const opening = createDecipheriv(cipher, under, bytes.subarray(0, sizes.nonce), { authTagLength: sizes.tag })
      .setAAD(about(tokenId))
      .setAuthTag(bytes.subarray(-sizes.tag));
    const text = opening.update(bytes.subarray(sizes.nonce, -sizes.tag));
    return Buffer.concat([text, opening.final()]).toString('utf8');
  } catch {
    return null;
  }
}
