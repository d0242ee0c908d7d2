import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { type PasswordHash, readPasswordHash } from '../core/password-hash.ts';

export interface ScryptOptions {
  /** How many are worked on at a time: each takes a thread of the pool that files and names need, too, and its memory. */
  readonly atOnce?: number;
  /** How many requests more may wait. */
  readonly waiting?: number;
  /** How many more of managers' passwords. */
  readonly managing?: number;
}

/** Who asks: they wait apart, and take turns, so that neither keeps the other out. */
export type Asker = 'request' | 'manager';

/** OWASP Password Storage Cheat Sheet, scrypt: N = 2^15, r = 8, p = 3, 32 MiB. */
export const cost = { ln: 15, r: 8, p: 3 } as const;
const lengths = { salt: 16, hash: 32 } as const;

/** Passwords under scrypt (RFC 7914), a few at a time, whoever asks. Null: too many wait already. */
export class Scrypt {
  readonly #atOnce: number;
  readonly #most: Readonly<Record<Asker, number>>;
  readonly #queues: Readonly<Record<Asker, (() => void)[]>> = { request: [], manager: [] };
  /** Whose turn it was last. */
  #last: Asker = 'request';
  #running = 0;
  /** Most that ran at the same time. */
  peak = 0;

  constructor({ atOnce = 2, waiting = 64, managing = 16 }: ScryptOptions = {}) {
    this.#atOnce = atOnce;
    this.#most = { request: waiting, manager: managing };
  }

  async hash(password: string | Buffer): Promise<string | null> {
    const salt = randomBytes(lengths.salt);
    const hash = await this.#derive('manager', password, salt, cost, lengths.hash);
    if (hash === null) return null;
    return `$scrypt$ln=${cost.ln},r=${cost.r},p=${cost.p}$${base64(salt)}$${base64(hash)}`;
  }

  /** False for what is no hash, too. */
  async matches(password: string | Buffer, text: string, asker: Asker): Promise<boolean | null> {
    const hash = readPasswordHash(text);
    if (typeof hash === 'string') return false;
    const expected = Buffer.from(hash.hash, 'base64');
    const found = await this.#derive(asker, password, Buffer.from(hash.salt, 'base64'), hash, expected.length);
    return found === null ? null : timingSafeEqual(found, expected);
  }

  /** As much work as a hash, with a salt of the caller's. */
  async fingerprint(text: string, salt: string): Promise<string | null> {
    const print = await this.#derive('manager', text, Buffer.from(salt), cost, lengths.hash);
    return print === null ? null : base64(print);
  }

  async #derive(
    asker: Asker,
    password: string | Buffer,
    salt: Buffer,
    { ln, r, p }: Pick<PasswordHash, 'ln' | 'r' | 'p'>,
    length: number,
  ): Promise<Buffer | null> {
    if (this.#running >= this.#atOnce) {
      const queue = this.#queues[asker];
      if (queue.length >= this.#most[asker]) return null;
      await new Promise<void>(resolve => queue.push(resolve));
    } else this.#running++;
    this.peak = Math.max(this.peak, this.#running);
    try {
      const options = { N: 2 ** ln, r, p, maxmem: 128 * r * (2 ** ln + p + 2) + 1024 };
      return await new Promise<Buffer>((resolve, reject) => {
        scrypt(password, salt, length, options, (error, key) => (error === null ? resolve(key) : reject(error)));
      });
    } finally {
      // The place goes to the next one, without a moment in which it is free.
      const next = this.#next();
      if (next === undefined) this.#running--;
      else next();
    }
  }

  #next(): (() => void) | undefined {
    const turn = this.#last === 'request' ? 'manager' : 'request';
    if (this.#queues[turn].length > 0) this.#last = turn;
    return this.#queues[this.#last].shift();
  }
}

/** PHC strings have no padding. */
const base64 = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '');
