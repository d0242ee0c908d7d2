import type { Head } from '../core/limit-book.ts';
import type { Account, Millis, Role, StoredToken } from '../core/token.ts';
import type { Usage, UsageBucket } from '../core/usage.ts';
import type { LimitedSubject } from './limit-ledger.ts';
import type { AuditEvent } from './token-store.ts';

/** Everything that a store keeps, in a form that any store can take: for backups, and to move to another store. */
export interface StoreSource {
  /**
   * What is kept, in pages that are read as they are asked for; the last record is the `position`. Roles, tokens, accounts
   * and their events are together those of that position in the feed, whatever changed meanwhile: what did is read again,
   * and a later record of a role, token, account or usage takes the place of an earlier one. Usage is that of the moment at
   * which each token's was read, and so are units of limits. A creation that was asked for meanwhile may be made again after a restore.
   *
   * Rejects with `StoreUnavailable`, also when changes come faster than they can be read.
   */
  dump(): AsyncIterable<readonly StoreRecord[]>;
}

/**
 * One thing that is kept. No secret is among them: digests of secrets, and keys of checksums, which only tell our own
 * form from another.
 */
export type StoreRecord =
  | { readonly kind: 'checksum_key'; readonly id: string; readonly key: string }
  /** `place`: roles apply in the order of these numbers; null for a tombstone. */
  | { readonly kind: 'role'; readonly role: Role; readonly place: number | null }
  /** Tombstones are among them. In the order of their creation, as tokens are. */
  | { readonly kind: 'account'; readonly account: Account }
  | { readonly kind: 'token'; readonly token: StoredToken }
  /** Of the audit trail; those of one subject come oldest first, and each once. */
  | {
      readonly kind: 'event';
      readonly of: 'token' | 'account' | 'role';
      readonly subject: string;
      readonly event: AuditEvent;
    }
  | { readonly kind: 'usage'; readonly usage: TokenUsage }
  | {
      readonly kind: 'creation';
      readonly key: string;
      readonly body: string;
      readonly tokenId: string;
      readonly expiresAt: Millis;
    }
  /** Limits of a token or account, as they were last said to its ledgers, and the time that those have seen. */
  | { readonly kind: 'limit_head'; readonly subject: LimitedSubject; readonly head: Head }
  /** Units of a window that count as used: those that were spent and burned, and those that processes held. */
  | {
      readonly kind: 'limit_window';
      readonly subject: LimitedSubject;
      readonly ledger: string;
      readonly label: Millis;
      /** Of a bucket: how full it was. */
      readonly settled: number;
      readonly at: Millis;
    }
  /** Where the feed stood when all of this was so. */
  | { readonly kind: 'position'; readonly epoch: string; readonly seq: number };

export interface TokenUsage {
  readonly tokenId: string;
  readonly total: Usage;
  readonly hours: readonly UsageBucket[];
  readonly days: readonly UsageBucket[];
}

/**
 * A store that is being filled. It is none to anybody who opens it before `finish`, and a new one from then on, with an
 * identity and an epoch of its own: whoever knew the store that the records come from must not take it for that one.
 */
export interface StoreTarget extends StoreSource {
  /** Takes records, and answers those that they have taken the place of. */
  add(records: readonly StoreRecord[]): Promise<readonly StoreRecord[]>;
  /** Makes it a store. Resolves with its identity when everything is durable. */
  finish(): Promise<string>;
  /** Removes what was filled in. After `finish` it only lets go. */
  close(): Promise<void>;
}

/** One thing that was looked at in a store. `bad`: somebody has to act; `doubtful`: somebody should know. */
export interface Finding {
  readonly name: string;
  readonly state: 'good' | 'doubtful' | 'bad';
  /** What was seen, and where it is not good what to do. */
  readonly detail: string;
}
