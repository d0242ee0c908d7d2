import { type Account, type Millis, sessionKind } from '../core/token.ts';
import { Refusal } from '../errors.ts';
import { Faults } from './faults.ts';
import type { Actor, ManageParts } from './parts.ts';
import { demandUnscoped } from './reach.ts';
import type { TokenService } from './token-service.ts';

/** How long a session lasts: whoever has it manages as the account does. */
export const sessionLimits = { leastMs: 1000, usualMs: 3_600_000, mostMs: 7 * 86_400_000 } as const;

export interface NewSession {
  /** Id of the token that it is kept as. */
  readonly id: string;
  /** The secret: shown once. */
  readonly session: string;
  readonly expiresAt: Millis;
}

/** Sessions that are made here: the secrets with which an account's manager uses the token APIs. */
export class SessionService {
  readonly #tokens: TokenService;
  readonly #parts: Pick<ManageParts, 'clock' | 'store' | 'secrets' | 'randomText'>;

  constructor(tokens: TokenService, parts: Pick<ManageParts, 'clock' | 'store' | 'secrets' | 'randomText'>) {
    this.#tokens = tokens;
    this.#parts = parts;
  }

  /** It has what the account has at each use. `account` null: it was not said, or not well; the faults tell. */
  async create(
    actor: Actor,
    account: string | null,
    ttlMs: Millis = sessionLimits.usualMs,
    faults: Faults = new Faults(),
  ): Promise<NewSession> {
    demandUnscoped(actor);
    const { clock, store, secrets, randomText } = this.#parts;
    if (ttlMs < sessionLimits.leastMs || ttlMs > sessionLimits.mostMs) faults.add('/ttl', 'is not from 1s to 7d');
    if (account !== null) noteAccount(await store.getAccount(account), faults);
    else if (!faults.any) faults.add('/account', 'is missing');
    faults.throwIfAny();
    const form = { make: () => ({ ...secrets.mint(), id: `ses_${randomText(20)}` }) };
    const expiresAt = clock.wall() + ttlMs;
    const made = { kind: sessionKind, form, owner: account, permissions: 'inherit', expiresAt } as const;
    const { token, secret } = await this.#tokens.create(actor, made).catch(overtaken);
    return { id: token.id, session: secret!, expiresAt };
  }
}

function noteAccount(account: Account | null, faults: Faults): void {
  if (account === null || account.deleted) faults.add('/account', 'does not exist');
  else if (!account.enabled) faults.add('/account', 'is disabled');
}

/** The account went after it was looked at. */
function overtaken(error: unknown): never {
  const gone = error instanceof Refusal && error.problem.errors?.some(({ pointer }) => pointer === '/owner');
  if (gone !== true) throw error;
  const faults = new Faults();
  faults.add('/account', 'does not exist');
  faults.throwIfAny();
  throw error;
}
