import type { Config } from './config/config.ts';
import type { AccountService } from './manage/account-service.ts';
import type { Identities } from './manage/identities.ts';
import { SessionIdentities } from './manage/session-identities.ts';
import type { Clock } from './ports/clock.ts';
import type { Log } from './ports/log.ts';
import type { SecretReader, TokenLookup } from './ports/token-lookup.ts';
import type { TokenStore } from './ports/token-store.ts';
import { LegacySessions } from './sessions/introspection.ts';

export interface ManagersParts {
  readonly config: Config;
  readonly lookup: TokenLookup;
  readonly reader: () => SecretReader;
  readonly store: TokenStore;
  readonly accounts: AccountService;
  readonly clock: Clock;
  /** One that keeps quiet: it is spoken to as often as something fails. */
  readonly log: Log;
}

/** Who manages through token APIs, as the configuration in force says. */
export class Managers {
  readonly identities: Identities;
  readonly #parts: ManagersParts;
  #introspect: Config['sessions']['introspect'] = null;
  #source: LegacySessions | null = null;

  constructor(parts: ManagersParts) {
    this.#parts = parts;
    this.identities = new SessionIdentities({ ...parts, source: () => this.#source });
    this.configure(parts.config);
  }

  /** Answers that were kept under another configuration say nothing under this one. */
  configure({ sessions: { introspect } }: Config): void {
    if (JSON.stringify(introspect) === JSON.stringify(this.#introspect)) return;
    this.#source?.close();
    const { clock, log } = this.#parts;
    this.#introspect = introspect;
    if (introspect === null) this.#source = null;
    else {
      const { cacheMs: keepMs, timeoutMs: deadlineMs, ...same } = introspect;
      this.#source = new LegacySessions({ ...same, keepMs, deadlineMs }, clock, log);
    }
  }

  close(): void {
    this.#source?.close();
  }
}
