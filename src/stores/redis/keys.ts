import { StoreUnfit } from './faults.ts';

/**
 * Names of keys. Tokens, accounts, roles, the feed, the audit trail, idempotency records and checksum keys form one unit that
 * scripts change as one: a hash tag keeps them in one slot of a cluster. Its scripts take the first of its keys, and
 * derive the others from it. Usage is spread over the slots by token.
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
