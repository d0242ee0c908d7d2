/**
 * The form of a token's secret: `<prefix>_<32 base62 characters><6 characters of checksum>`. Text only; hashing is
 * elsewhere, so that this stays pure.
 */
export const secretLengths = { random: 32, checksum: 6 } as const;

/** 190 bits: 32 base62 characters carry 190.5. */
export const base62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** No string longer than this is looked at as a token, whatever `tokens.shapes` says. */
export const longestSecret = 1024;

const tail = /^[0-9A-Za-z]{38}$/;

export type SecretForm = 'ours' | 'foreign' | 'malformed';

/** Ours: our prefix, then exactly 38 base62 characters. With our prefix and anything else it is malformed. */
export function secretForm(secret: string, prefix: string): SecretForm {
  if (!hasPrefix(secret, prefix)) return 'foreign';
  return tail.test(secret.slice(prefix.length + 1)) ? 'ours' : 'malformed';
}

/** Written with our prefix: cut from public routes, and never looked up without our checksum. */
export const hasPrefix = (secret: string, prefix: string): boolean =>
  secret.startsWith(prefix) && secret.charCodeAt(prefix.length) === 0x5f;

/** A number in base62, left-padded with zeros to six characters (62^6 > 2^35). */
export function checksumText(value: number): string {
  let text = '';
  for (let i = 0; i < secretLengths.checksum; i++) {
    text = base62[value % 62]! + text;
    value = Math.floor(value / 62);
  }
  return text;
}
