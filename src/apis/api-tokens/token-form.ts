import { randomBytes } from 'node:crypto';
import type { SecretForm } from '../../manage/token-service.ts';

/** Kind of the tokens of this API. */
export const kind = 'api-tokens';

/** What tokens of this API look like: two letters tell the type, the last one that 25 bytes are written. */
export const tokenShape: RegExp = /^[A-Za-z0-9_-]{10}[AEIMQUYcgkosw048]C[A-Za-z0-9_-]{21}[AQgw]$/;

/** Ids are positive and have 63 bits. */
export const greatestId: bigint = 2n ** 63n - 1n;

const randomLength = 16;
const mask = 2n ** 64n - 1n;

/** Byte 8 of a token of this API; other types open other things there. */
const apiTokenType = 2;

/**
 * Tokens of this API: 25 bytes as base64url. Bytes 0 to 7 are the id XOR NOT bytes 9 to 16, all big-endian; byte 8 is the
 * type; bytes 9 to 24 are `random`. So the id can be read from a token, which says nothing of whether there is one.
 */
export function encodeToken(id: bigint, random: Uint8Array): string {
  const bytes = Buffer.alloc(9 + randomLength);
  bytes.set(random.subarray(0, randomLength), 9);
  bytes.writeBigUInt64BE(BigInt.asUintN(64, id) ^ (~bytes.readBigUInt64BE(9) & mask), 0);
  bytes[8] = apiTokenType;
  return bytes.toString('base64url');
}

/** An id as clients have it: a decimal number from 1 to 2^63 - 1 without leading zeros; null otherwise. */
export const readId = (text: string): string | null =>
  /^[1-9][0-9]{0,18}$/.test(text) && BigInt(text) <= greatestId ? text : null;

/** Where a token of this form could be taken for one with the prefix of Postern's own, which has up to 16 letters. */
const prefixed = /^[a-z][a-z0-9]{1,15}_/;

/** Ids are random, so that nobody counts tokens by them. */
export const apiTokenForm: SecretForm = {
  make() {
    for (;;) {
      const random = randomBytes(8 + randomLength);
      const id = random.readBigUInt64BE(0) & greatestId;
      const secret = encodeToken(id, random.subarray(8));
      if (id > 0n && !prefixed.test(secret)) return { id: String(id), secret, hint: `…${secret.slice(-4)}` };
    }
  },
};
