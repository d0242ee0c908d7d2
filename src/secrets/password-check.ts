import { createHmac, randomBytes } from 'node:crypto';
import { readPasswordHash } from '../core/password-hash.ts';
import { cost, type Scrypt } from './scrypt.ts';

/** User and password, as they were sent. */
export interface BasicPair {
  readonly user: string;
  readonly password: Buffer;
}

export type PasswordVerdict = 'good' | 'wrong' | 'busy';

/** Pairs that are remembered: good ones, and as many wrong ones, which never push a good one out. */
const mostRemembered = 10_000;

/** Checks under way at a time: a holder of one token, or one network, leaves room for the others. */
const mostUnderWay = { token: 4, network: 8 } as const;

/**
 * Checks each pair of user and password once. A user that a token does not have costs what one of its users costs,
 * so that neither time nor answer tells who they are (OWASP Authentication Cheat Sheet). Remembered under an HMAC
 * with a key of this process: what lies in memory is no fast hash of a password.
 */
export class PasswordCheck {
  readonly #scrypt: Scrypt;
  readonly #key = randomBytes(32);
  /** Salt and hash of nothing. */
  readonly #decoy = `${randomBytes(15).toString('base64')}$${randomBytes(33).toString('base64').slice(0, 43)}`;
  readonly #good = new Set<string>();
  readonly #wrong = new Set<string>();
  readonly #underWay = new Map<string, Promise<PasswordVerdict>>();
  readonly #ofTokens = new Map<string, number>();
  readonly #ofNetworks = new Map<string, number>();

  constructor(scrypt: Scrypt) {
    this.#scrypt = scrypt;
  }

  /** At once for a pair that is known. Null: it is not, and `check` would have to work. */
  known(tokenId: string, users: Readonly<Record<string, string>>, pair: BasicPair): PasswordVerdict | null {
    const { id } = this.#look(tokenId, users, pair);
    if (touched(this.#good, id)) return 'good';
    return touched(this.#wrong, id) ? 'wrong' : null;
  }

  /** How many checks are under way for a network. */
  underWay(network: string): number {
    return this.#ofNetworks.get(network) ?? 0;
  }

  /** `busy` at once where as many are under way for the token, or for the network, as may be. */
  check(
    tokenId: string,
    users: Readonly<Record<string, string>>,
    pair: BasicPair,
    network: string,
  ): PasswordVerdict | Promise<PasswordVerdict> {
    const { id, hash, exists } = this.#look(tokenId, users, pair);
    const underWay = this.#underWay.get(id);
    if (underWay !== undefined) return underWay;
    const full = (this.#ofTokens.get(tokenId) ?? 0) >= mostUnderWay.token;
    if (full || this.underWay(network) >= mostUnderWay.network) return 'busy';
    count(this.#ofTokens, tokenId, 1);
    count(this.#ofNetworks, network, 1);
    const verdict = this.#check(id, hash, exists, pair.password).finally(() => {
      this.#underWay.delete(id);
      count(this.#ofTokens, tokenId, -1);
      count(this.#ofNetworks, network, -1);
    });
    this.#underWay.set(id, verdict);
    return verdict;
  }

  async #check(id: string, hash: string, exists: boolean, password: Buffer): Promise<PasswordVerdict> {
    const matches = await this.#scrypt.matches(password, hash, 'request');
    if (matches === null) return 'busy';
    const good = matches && exists;
    remember(good ? this.#good : this.#wrong, id);
    return good ? 'good' : 'wrong';
  }

  #look(tokenId: string, users: Readonly<Record<string, string>>, { user, password }: BasicPair) {
    const exists = Object.hasOwn(users, user);
    const hash = exists ? users[user]! : this.#decoyFor(tokenId, users, user);
    const mac = createHmac('sha256', this.#key);
    for (const part of [tokenId, hash, user]) mac.update(`${part.length}:`).update(part);
    return { id: mac.update(password).digest('base64'), hash, exists };
  }

  /** A hash of nothing that costs what one of the token's does: always the same one for the same user. */
  #decoyFor(tokenId: string, users: Readonly<Record<string, string>>, user: string): string {
    const hashes = Object.values(users);
    const pick = createHmac('sha256', this.#key).update(`${tokenId}\0${user}`).digest().readUInt32BE(0);
    const like = readPasswordHash(hashes[pick % Math.max(1, hashes.length)] ?? '');
    const { ln, r, p } = typeof like === 'string' ? cost : like;
    return `$scrypt$ln=${ln},r=${r},p=${p}$${this.#decoy}`;
  }
}

/** None of something is not remembered. */
function count(counts: Map<string, number>, of: string, more: number): void {
  const next = (counts.get(of) ?? 0) + more;
  if (next === 0) counts.delete(of);
  else counts.set(of, next);
}

/** Whether it is in there; then it is the one that is forgotten last. */
function touched(set: Set<string>, id: string): boolean {
  if (!set.delete(id)) return false;
  set.add(id);
  return true;
}

function remember(set: Set<string>, id: string): void {
  set.add(id);
  if (set.size > mostRemembered) set.delete(set.values().next().value!);
}
