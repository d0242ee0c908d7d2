import { randomBytes, randomInt } from 'node:crypto';
import type { Clock } from '../../ports/clock.ts';

/**
 * Ids as rs/xid writes them: 4 bytes of seconds, 3 of the machine, 2 of the process and a counter of 3, in base32hex, so
 * that they sort by the time at which they were made. They are no secrets.
 */
export const xidForm: RegExp = /^[0-9a-v]{20}$/;

const digits = '0123456789abcdefghijklmnopqrstuv';

/** Twelve bytes as text: 96 bits in 20 digits, the last with four bits of nothing. */
export function xidText(bytes: Uint8Array): string {
  let text = '';
  let bits = 0;
  let held = 0;
  for (const byte of bytes) {
    bits = (bits << 8) | byte;
    held += 8;
    for (; held >= 5; held -= 5) text += digits[(bits >> (held - 5)) & 31];
    bits &= 31;
  }
  return text + digits[(bits << (5 - held)) & 31];
}

/** The machine is a random number: in containers names and process ids are alike. */
export class Xids {
  readonly #clock: Pick<Clock, 'wall'>;
  readonly #machine = randomBytes(3);
  #count = randomInt(2 ** 24);

  constructor(clock: Pick<Clock, 'wall'>) {
    this.#clock = clock;
  }

  next(): string {
    this.#count = (this.#count + 1) % 2 ** 24;
    const bytes = Buffer.alloc(12);
    bytes.writeUInt32BE(Math.floor(this.#clock.wall() / 1000) % 2 ** 32, 0);
    this.#machine.copy(bytes, 4);
    bytes.writeUInt16BE(process.pid & 0xffff, 7);
    bytes.writeUIntBE(this.#count, 9, 3);
    return xidText(bytes);
  }
}
