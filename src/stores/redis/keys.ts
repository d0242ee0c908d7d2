import type { Millis } from '../../core/token.ts';
import type { LimitedSubject } from '../../ports/limit-ledger.ts';
import { StoreUnfit } from './faults.ts';

/**
 * Names of keys. Tokens, accounts, roles, the feed, the audit trail, idempotency records and checksum keys form one unit that
 * scripts change as one: a hash tag keeps them in one slot of a cluster. Its scripts take the first of its keys, and
 * derive the others from it. Usage is spread over the slots by token, limits
 * by token and account.
 */
export class Keys {
  readonly #prefix: string;

  /** `prefix`: what all keys begin with, so that others can share the database. */
  constructor(prefix: string) {
    // A brace would make another hash tag; the other characters would have to be quoted in access rules.
    if (!/^[\w.:/-]{0,64}$/.test(prefix)) {
      throw new StoreUnfit('the key prefix must be at most 64 letters, digits, and characters of . _ : / -');
    }
    this.#prefix = prefix;
  }

  /** The key of the unit that scripts are given. */
  get meta(): string {
    return `${this.#prefix}{s}:meta`;
  }

  get feed(): string {
    return `${this.#prefix}{s}:feed`;
  }

  /** A pattern that all keys of the store match, but for numbers of reports, and none of a store with another prefix. */
  get everything(): string {
    return `${this.#prefix}{*`;
  }

  /** The token whose total this key is; null when it is another key. */
  usedToken(key: string): string | null {
    return /^\{([^{}]+)\}:total$/.exec(key.slice(this.#prefix.length))?.[1] ?? null;
  }

  /** What an idempotency record is known by; null when this is another key. */
  creation(key: string): string | null {
    return /^\{s\}:once:(.*)$/s.exec(key.slice(this.#prefix.length))?.[1] ?? null;
  }

  /** The head of a subject's limits, from whose name those of its ledgers follow. No id has a colon in it. */
  limits({ kind, id }: LimitedSubject): string {
    return `${this.#prefix}{${kind === 'account' ? 'a:' : ''}${id}}:limits`;
  }

  /** The ledger of a window; `word` as `limit-records.ts` writes a ledger's name. */
  limit(subject: LimitedSubject, word: string, label: Millis): string {
    return `${this.limits(subject).slice(0, -1)}:${word}:${label}`;
  }

  /** Whose head of limits this key is; null when it is another key. */
  limited(key: string): LimitedSubject | null {
    const found = /^\{(a:)?([^{}]+)\}:limits$/.exec(key.slice(this.#prefix.length));
    return found === null ? null : subjectOf(found[1], found[2]!);
  }

  /** Which ledger this key is of; null when it is another key. */
  limitWindow(key: string): { readonly subject: LimitedSubject; readonly word: string; readonly label: Millis } | null {
    const found = /^\{(a:)?([^{}]+)\}:limit:(.*):([^:]+)$/s.exec(key.slice(this.#prefix.length));
    if (found === null) return null;
    return { subject: subjectOf(found[1], found[2]!), word: found[3]!, label: Number(found[4]) };
  }

  /** What is said of limits is said on this channel. It is told from that of a store that took this one's place. */
  notices(identity: string): string {
    return `${this.#prefix}limits:${identity}`;
  }

  /** Whose limits a notice is about, by the tag that `limits` puts them under. */
  subjectOf(tag: string): LimitedSubject {
    return tag.startsWith('a:') ? { kind: 'account', id: tag.slice(2) } : { kind: 'token', id: tag };
  }

  /** The number of a process's last report. */
  report(process: string): string {
    return `${this.#prefix}report:${process}`;
  }

  usageTotal(tokenId: string): string {
    return `${this.#prefix}{${tokenId}}:total`;
  }

  /** Use by hour lies together by day, use by day in stretches of `daysTogether`: whole keys end with their time. */
  usageHours(tokenId: string, day: number): string {
    return `${this.#prefix}{${tokenId}}:h:${day}`;
  }

  usageDays(tokenId: string, stretch: number): string {
    return `${this.#prefix}{${tokenId}}:d:${stretch}`;
  }
}

const subjectOf = (mark: string | undefined, id: string): LimitedSubject => ({
  kind: mark === undefined ? 'token' : 'account',
  id,
});
