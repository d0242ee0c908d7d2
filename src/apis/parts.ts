import type { AccountService } from '../manage/account-service.ts';
import type { Identities } from '../manage/identities.ts';
import type { TokenService } from '../manage/token-service.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { FeedEvent } from '../ports/token-store.ts';

/** What every token API works with. */
export interface ApiParts {
  readonly tokens: TokenService;
  readonly accounts: AccountService;
  readonly identities: Identities;
  /** Secrets that may be shown again; null where the mount does not say `recoverable`. */
  readonly recovery: Recovery | null;
  readonly clock: Clock;
  readonly log: Log;
  /** Told after every change, null when anything may have changed; for connections that stay open. Answers how to stop. */
  readonly onChange: (listener: (events: readonly FeedEvent[] | null) => void) => () => void;
}

/** Copies of secrets under AES-256-GCM, with the mount's key. */
export interface Recovery {
  seal(secret: string, tokenId: string): string;
  /** Null when it cannot be opened. */
  open(sealed: string, tokenId: string): string | null;
}
