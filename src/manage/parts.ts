import type { StoredToken } from '../core/token.ts';
import type { Clock } from '../ports/clock.ts';
import type { SecretMaker } from '../ports/secret-maker.ts';
import type { FeedEvent, TokenStore } from '../ports/token-store.ts';
import type { UsageLedger } from '../ports/usage-ledger.ts';

/** What the services work with. */
export interface ManageParts {
  readonly clock: Clock;
  readonly store: TokenStore;
  readonly ledger: UsageLedger;
  /** Reports to the ledger what this process had counted when it was called. Never rejects. */
  readonly flushUsage: () => Promise<void>;
  /** Makes this process forget what the events changed. Called before a mutation is answered: it holds here by then. */
  readonly apply: (events: readonly FeedEvent[]) => void;
  readonly secrets: SecretMaker;
  /** Random base62 characters, uniform, for ids. */
  readonly randomText: (length: number) => string;
  /** This process, in acknowledgements. */
  readonly process: string;
  /** Tokens of the configuration, by id. They are shown here, and changed there. */
  readonly declared: () => ReadonlyMap<string, StoredToken>;
}

/** Who asks for a change: written to the audit trail. */
export interface Actor {
  readonly name: string;
  readonly address: string;
}

/** Who has applied a change, and who may not have. */
export interface Acknowledgement {
  readonly acknowledged: readonly string[];
  readonly pending: readonly { readonly process: string; readonly mayServeUntil: number }[];
}
