import { createHmac, hash, timingSafeEqual } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { checksumText, secretLengths } from '../core/secret-form.ts';

/** A key that is kept outside the store, so that a copy of the store is not enough to check guesses. */
export interface Pepper {
  readonly id: string;
  /** At least 32 bytes. */
  readonly key: Buffer;
}

/**
 * The peppers in force. The first makes new checksums and digests, all verify. Without any, and behind the last one,
 * stand plain SHA-256 and a CRC-32 checksum.
 *
 * A secret cannot be rewritten: its checksum stays as its first pepper made it, after that pepper was taken away and
 * the digest at rest was moved. Checksums are therefore made with a key that is derived from the pepper, and that the
 * store may keep.
 */
export class Peppers {
  readonly #peppers: readonly Pepper[];
  readonly #acceptUnkeyed: boolean;
  /** The first pepper's first, then those of peppers that were. */
  readonly #checksumKeys: readonly Buffer[];
  /** There may be more of them. */
  readonly #open: boolean;

  /** `retired`: checksum keys of peppers that are no more, in hex; null while that is not known. */
  constructor(peppers: readonly Pepper[], acceptUnkeyed: boolean, retired: readonly string[] | null = []) {
    this.#peppers = peppers;
    this.#acceptUnkeyed = acceptUnkeyed || peppers.length === 0;
    const keys = new Set([...peppers.map(checksumKeyOf), ...(retired ?? [])]);
    this.#open = retired === null;
    this.#checksumKeys = [...keys].map(key => Buffer.from(key, 'hex'));
  }

  /** The digest at rest of a secret's SHA-256 (hex), under the first pepper. Hex. */
  digest(sha256: string): string {
    const first = this.#peppers[0];
    return first === undefined ? sha256 : keyed(first, sha256);
  }

  /** Every digest under which a secret may be at rest, newest first. */
  digests(sha256: string): string[] {
    return [...this.#peppers.map(pepper => keyed(pepper, sha256)), sha256];
  }

  /** The checksum of a secret's first part, under the first pepper. */
  checksum(body: string): string {
    const first = this.#peppers.length === 0 ? undefined : this.#checksumKeys[0];
    return first === undefined ? unkeyedChecksum(body) : keyedChecksum(first, body);
  }

  /**
   * Whether a well-formed secret of ours carries a checksum that one of our peppers makes, or made. While it is not known
   * which those are, any may be one.
   */
  verifies(secret: string): boolean {
    if (this.#open) return true;
    const body = secret.slice(0, -secretLengths.checksum);
    const sum = Buffer.from(secret.slice(-secretLengths.checksum), 'latin1');
    let good = false;
    for (const key of this.#checksumKeys) {
      if (timingSafeEqual(Buffer.from(keyedChecksum(key, body), 'latin1'), sum)) good = true;
    }
    if (this.#acceptUnkeyed && timingSafeEqual(Buffer.from(unkeyedChecksum(body), 'latin1'), sum)) good = true;
    return good;
  }
}

const keyed = ({ key }: Pepper, sha256: string): string =>
  createHmac('sha256', key).update(Buffer.from(sha256, 'hex')).digest('hex');

/** The key of a pepper's checksums, in hex. Nothing follows from it about digests. */
export const checksumKeyOf = ({ key }: Pepper): string =>
  createHmac('sha256', key).update('postern checksum key').digest('hex');

/** The key that seals what is kept on disk for the next start. Nothing follows from it about digests or checksums. */
export const sealKeyOf = ({ key }: Pepper): Buffer => createHmac('sha256', key).update('postern snapshot key').digest();

function keyedChecksum(key: Buffer, body: string): string {
  const mac = createHmac('sha256', key).update(body).digest();
  return checksumText(mac.readUIntBE(0, 6) % 62 ** secretLengths.checksum);
}

const unkeyedChecksum = (body: string): string => checksumText(crc32(body));

export const sha256Hex = (secret: string): string => hash('sha256', secret, 'hex');
