import type { ChangeFeed } from '../ports/change-feed.ts';
import type { LimitLedger } from '../ports/limit-ledger.ts';
import type { ProcessRegistry } from '../ports/process-registry.ts';
import type { Finding, StoreSource } from '../ports/store-transfer.ts';
import type { TokenStore } from '../ports/token-store.ts';
import type { UsageLedger } from '../ports/usage-ledger.ts';

/** An open store: one adapter for each of the ports that keep something. */
export interface Store {
  /** Random, made with the store, and kept for as long as its data: tells it from one that took its place. */
  readonly identity: string;
  readonly tokens: TokenStore;
  readonly feed: ChangeFeed;
  readonly usage: UsageLedger;
  readonly limits: LimitLedger;
  readonly transfer: StoreSource;
  readonly registry: ProcessRegistry;
  /**
   * Keeps the checksum keys of these peppers, and answers all that were ever kept: a token outlives the pepper that its
   * checksum was made under. They say nothing about digests. `changed`: a pepper is known with another key, and nothing
   * was kept; all that lies under the first key would be lost.
   */
  keepChecksumKeys(add: readonly PepperKey[]): Promise<KeptKeys>;
  /** The admin key for those who configure none, made on first use; null where one must be configured. */
  adminKey(): Promise<string | null>;
  /**
   * Looks at the whole store: whether it is whole, and what it needs. This may take long; an embedded store answers
   * nothing else meanwhile.
   */
  examine(): Promise<readonly Finding[]>;
  /** Finishes what was asked, then lets go of the store. Calls that come later reject with `StoreUnavailable`. */
  close(): Promise<void>;
}

/** A pepper's id, and the key of its checksums in hex. */
export interface PepperKey {
  readonly id: string;
  readonly key: string;
}

export type KeptKeys =
  | { readonly kind: 'kept'; readonly keys: readonly string[] }
  | { readonly kind: 'changed'; readonly id: string };

/** Told about the store's comings and goings, for logs and gauges. Called only after the store was opened. */
export interface StoreWatcher {
  down(cause: Error): void;
  up(): void;
  /** There was none, and it was made: what was kept elsewhere before is not in it. */
  made?(): void;
  /** It has lost changes that it had acknowledged, and begun a new epoch: every process checks everything again. */
  rolledBack?(): void;
  /**
   * Another server has taken its place, or its server has begun anew, or another process has found that changes are lost:
   * some that were acknowledged may be. Told before anything is asked there.
   */
  serverChanged?(): void;
}
