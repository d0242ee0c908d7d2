import type { Evidence } from '../core/decide.ts';

/**
 * What the gate asks: is this secret a token, and what may it do. Split in two so that a hit is synchronous in plain
 * sight: `peek(secret) ?? await load(secret)`.
 */
export interface TokenLookup {
  /** An answer that may be used now, or undefined. */
  peek(secret: PresentedSecret): Evidence | undefined;
  /**
   * Asks the store, once for many. Never rejects: where the store does not answer, what is still known may be served
   * for the time that is configured, and else it is `unavailable`.
   */
  load(secret: PresentedSecret): Promise<Evidence>;
  /** What the store says, and nothing else: an outage is `unavailable`. */
  ask(secret: PresentedSecret): Promise<Evidence>;
  /** Counts what was heard to have changed: an answer that was waited for across a change may be older than it. */
  readonly changes: number;
}

/** A presented string that may be a token by its form. The raw secret is not kept beyond the request. */
export interface PresentedSecret {
  /** SHA-256 of the secret, hex: the key of the cache. */
  readonly key: string;
  /**
   * Digests at rest, one for each pepper; null when a keyed checksum shows that no such token was ever made. Only
   * called when the cache does not know the secret.
   */
  digests(): readonly string[] | null;
}

/** Reads the form of a presented string. */
export interface SecretReader {
  /** Null when the string cannot be a token, and must not reach the cache or the store. */
  read(presented: string): PresentedSecret | null;
  /** Written with our prefix. */
  isOurs(presented: string): boolean;
}
