import type { StoredToken } from '../core/token.ts';
import type { Clock } from '../ports/clock.ts';
import type { ConstraintSecrets } from '../ports/constraint-secrets.ts';
import type { SecretMaker } from '../ports/secret-maker.ts';
import type { FeedEvent, TokenStore } from '../ports/token-store.ts';
import type { UsageLedger } from '../ports/usage-ledger.ts';
import type { Acknowledgements } from './acknowledgement.ts';
import type { ManagedLedger } from './limits.ts';

/** What the services work with. */
export interface ManageParts {
  readonly clock: Clock;
  readonly store: TokenStore;
  readonly ledger: UsageLedger;
  readonly limits: ManagedLedger;
  /** Reports to the ledgers what this process had counted when it was called. Never rejects. */
  readonly flushUsage: () => Promise<void>;
  /**
   * Makes this process forget what the events changed, at once. A mutation is answered when it resolves: with whether it
   * holds here for good, beyond the end of the process. Never rejects, because the change is made.
   */
  readonly apply: (events: readonly FeedEvent[]) => Promise<boolean>;
  readonly secrets: SecretMaker;
  readonly constraintSecrets: ConstraintSecrets;
  /** Random base62 characters, uniform, for ids. */
  readonly randomText: (length: number) => string;
  /** On which other processes a revocation holds. */
  readonly acknowledgements: Acknowledgements;
  /** Parameters that may carry a token. */
  readonly tokenParameters: () => ReadonlySet<string>;
  /** Tokens of the configuration, by id. They are shown here, and changed there. */
  readonly declared: () => ReadonlyMap<string, StoredToken>;
}

/** Who asks. Name and address are written to the audit trail with a change. */
export interface Actor {
  readonly name: string;
  readonly address: string;
  /** What the services hold it to: the tokens of one account. Null: nothing. */
  readonly scope: Scope | null;
}

export interface Scope {
  readonly account: string;
}
