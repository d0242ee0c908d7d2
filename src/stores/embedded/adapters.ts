import { readAccount, readRole, readToken } from '../../core/document.ts';
import type { Circumstances } from '../../core/ledger.ts';
import type { Limit } from '../../core/limit.ts';
import { type BookNotice, type LimitAnswer, type LimitState, noticesOf } from '../../core/limit-book.ts';
import type { Account, Role, StoredToken } from '../../core/token.ts';
import type { Usage, UsageBucket } from '../../core/usage.ts';
import type { ChangeFeed, Cursor, FeedAnswer } from '../../ports/change-feed.ts';
import type { Clock } from '../../ports/clock.ts';
import type { LimitedSubject, LimitLedger, LimitNotice, SubjectQuestion } from '../../ports/limit-ledger.ts';
import type { Heartbeat, ProcessRegistry, Roll } from '../../ports/process-registry.ts';
import type { StoreRecord, StoreSource } from '../../ports/store-transfer.ts';
import type {
  Audit,
  AuditEvent,
  CreateOutcome,
  EventQuery,
  FoundToken,
  Idempotency,
  OrderOutcome,
  Owner,
  Page,
  PageQuery,
  PutAccountOutcome,
  PutRoleOutcome,
  ReplaceOutcome,
  Replay,
  TokenAndAccount,
  TokenQuery,
  TokenStore,
} from '../../ports/token-store.ts';
import type { UsageLedger, UsageReport } from '../../ports/usage-ledger.ts';
import { partsOf } from '../limits.ts';
import { type AskTables, dumpTables } from './dump.ts';
import type { TokenRow } from './operations.ts';
import type { OwnerClient } from './owner-client.ts';
import type { UsageRetention } from './usage.ts';

export class EmbeddedTokenStore implements TokenStore {
  readonly #owner: OwnerClient;
  readonly #clock: Clock;

  constructor(owner: OwnerClient, clock: Clock) {
    this.#owner = owner;
    this.#clock = clock;
  }

  async find(digests: readonly string[]): Promise<FoundToken | null> {
    const row = await this.#owner.call('find', [digests, this.#clock.wall()]);
    return row === null ? null : { ...parseToken(row), roles: row.roles.map(readRole), index: row.index };
  }

  async getToken(id: string): Promise<TokenAndAccount | null> {
    const row = await this.#owner.call('getToken', [id]);
    return row === null ? null : parseToken(row);
  }

  async listTokens(query: TokenQuery): Promise<Page<TokenAndAccount>> {
    const { items, next } = await this.#owner.call('listTokens', [query]);
    return { items: items.map(parseToken), next };
  }

  createToken(token: StoredToken, audit: Audit, idempotency: Idempotency | null): Promise<CreateOutcome> {
    return this.#owner.call('createToken', [token, audit, idempotency, this.#clock.wall()]);
  }

  settled(): Promise<void> {
    return Promise.resolve();
  }

  findCreation(idempotency: Idempotency): Promise<Replay | null> {
    return this.#owner.call('findCreation', [idempotency, this.#clock.wall()]);
  }

  replaceToken(token: StoredToken, expected: number, audit: Audit, awaited = false): Promise<ReplaceOutcome> {
    return this.#owner.call('replaceToken', [token, expected, audit, awaited]);
  }

  rekey(id: string, from: string, to: string): Promise<void> {
    return this.#owner.call('rekey', [id, from, to]);
  }

  async getOwner(id: string): Promise<Owner | null> {
    const row = await this.#owner.call('getOwner', [id]);
    return row === null ? null : { account: readAccount(row.account), roles: row.roles.map(readRole) };
  }

  async getRole(id: string): Promise<Role | null> {
    const doc = await this.#owner.call('getRole', [id]);
    return doc === null ? null : readRole(doc);
  }

  async listRoles(): Promise<readonly Role[]> {
    return (await this.#owner.call('listRoles', [])).map(readRole);
  }

  putRole(role: Role, expected: number, audit: Audit): Promise<PutRoleOutcome> {
    return this.#owner.call('putRole', [role, expected, audit]);
  }

  orderRoles(ids: readonly string[], audit: Audit): Promise<OrderOutcome> {
    return this.#owner.call('orderRoles', [ids, audit]);
  }

  async getAccount(id: string): Promise<Account | null> {
    return parseAccount(await this.#owner.call('getAccount', [id]));
  }

  async listAccounts(query: PageQuery): Promise<Page<Account>> {
    const { items, next } = await this.#owner.call('listAccounts', [query]);
    return { items: items.map(readAccount), next };
  }

  putAccount(account: Account, expected: number, audit: Audit, awaited = false): Promise<PutAccountOutcome> {
    return this.#owner.call('putAccount', [account, expected, audit, awaited]);
  }

  countLive(owner: string): Promise<number> {
    return this.#owner.call('countLive', [owner]);
  }

  listEvents(query: EventQuery): Promise<Page<AuditEvent>> {
    return this.#owner.call('listEvents', [query]);
  }
}

export class EmbeddedChangeFeed implements ChangeFeed {
  readonly #owner: OwnerClient;

  constructor(owner: OwnerClient) {
    this.#owner = owner;
  }

  head(): Promise<Cursor> {
    return this.#owner.call('feedHead', []);
  }

  /** What is in the file stays there, and stays in its place. */
  mark(): Promise<string> {
    return Promise.resolve('');
  }

  read(cursor: Cursor, waitMs: number, signal?: AbortSignal): Promise<FeedAnswer> {
    return this.#owner.call('readFeed', [cursor, waitMs], { waitMs, signal });
  }

  since(cursor: Cursor): Promise<FeedAnswer> {
    return this.read(cursor, 0);
  }
}

export class EmbeddedProcessRegistry implements ProcessRegistry {
  readonly #owner: OwnerClient;
  readonly #clock: Clock;

  constructor(owner: OwnerClient, clock: Clock) {
    this.#owner = owner;
    this.#clock = clock;
  }

  async beat(heartbeat: Heartbeat): Promise<'taken'> {
    await this.#owner.call('beat', [heartbeat, this.#clock.wall()]);
    return 'taken';
  }

  signOff(process: string): Promise<void> {
    return this.#owner.call('signOff', [process]);
  }

  roll(): Promise<Roll> {
    return this.#owner.call('roll', [this.#clock.wall()]);
  }
}

/** Most entries that are added in one transaction. */
const entriesAtOnce = 500;

export class EmbeddedUsageLedger implements UsageLedger {
  readonly #owner: OwnerClient;
  readonly #clock: Clock;

  constructor(owner: OwnerClient, clock: Clock) {
    this.#owner = owner;
    this.#clock = clock;
  }

  async report({ process, number, entries }: UsageReport): Promise<void> {
    const parts: Promise<void>[] = [];
    // All at once: the thread keeps their order, and a part whose predecessor failed changes nothing.
    for (let from = 0; from === 0 || from < entries.length; from += entriesAtOnce) {
      const last = from + entriesAtOnce >= entries.length;
      const part = { process, number, from, last, entries: entries.slice(from, from + entriesAtOnce) };
      parts.push(this.#owner.call('reportUsage', [part, this.#clock.wall()]));
    }
    await Promise.all(parts);
  }

  async total(tokenId: string): Promise<Usage | null> {
    return (await this.totals([tokenId])).get(tokenId) ?? null;
  }

  async totals(tokenIds: readonly string[]): Promise<ReadonlyMap<string, Usage>> {
    const found = await this.#owner.call('usageTotals', [tokenIds]);
    return new Map(found.map(([id, usage]) => [id, JSON.parse(usage) as Usage]));
  }

  async series(tokenId: string, step: 'hour' | 'day', from: number, to: number): Promise<readonly UsageBucket[]> {
    const rows = await this.#owner.call('usageSeries', [tokenId, step, from, to]);
    return rows.map(({ at, usage }) => ({ at, usage: JSON.parse(usage) as Usage }));
  }
}

/** What one process says, it hears itself. */
export class EmbeddedLimitLedger implements LimitLedger {
  readonly #owner: OwnerClient;
  readonly #clock: Clock;
  readonly #listeners = new Set<(notice: LimitNotice) => void>();

  constructor(owner: OwnerClient, clock: Clock) {
    this.#owner = owner;
    this.#clock = clock;
  }

  async exchange(
    questions: readonly SubjectQuestion[],
    circumstances: Pick<Circumstances, 'roll' | 'processes'>,
  ): Promise<readonly (LimitAnswer | null)[]> {
    const parts = partsOf(questions);
    const now = this.#clock.wall();
    const asked = parts.map(part => this.#owner.call('exchangeLimits', [part, circumstances, now]));
    const results = await Promise.allSettled(asked);
    const answers = results.flatMap((result, i): readonly (LimitAnswer | null)[] =>
      result.status === 'fulfilled' ? result.value : parts[i]!.map(() => null),
    );
    const failed = results.find(({ status }) => status === 'rejected') as PromiseRejectedResult | undefined;
    if (failed !== undefined && answers.every(answer => answer === null)) throw failed.reason;
    for (const [i, answer] of answers.entries()) {
      const question = questions[i]!;
      if (answer !== null) this.#tell(question.subject, noticesOf(question, answer));
    }
    return answers;
  }

  async define(subject: LimitedSubject, version: number, limits: readonly Limit[]): Promise<void> {
    const notices = await this.#owner.call('defineLimits', [subject, version, limits, this.#clock.wall()]);
    this.#tell(subject, notices);
  }

  read(subject: LimitedSubject, version: number, limits: readonly Limit[]): Promise<readonly LimitState[]> {
    return this.#owner.call('readLimits', [subject, version, limits, this.#clock.wall()]);
  }

  async reset(subject: LimitedSubject, ledger: string): Promise<LimitState | null> {
    const done = await this.#owner.call('resetLimit', [subject, ledger, this.#clock.wall()]);
    if (done === null) return null;
    this.#tell(subject, [done.notice]);
    return done.state;
  }

  listen(hear: (notice: LimitNotice) => void, signal: AbortSignal): void {
    if (signal.aborted) return;
    // The same function may listen twice.
    const listener = (notice: LimitNotice): void => hear(notice);
    this.#listeners.add(listener);
    signal.addEventListener('abort', () => this.#listeners.delete(listener), { once: true });
  }

  #tell(subject: LimitedSubject, notices: readonly BookNotice[]): void {
    for (const notice of notices) for (const hear of this.#listeners) hear({ ...notice, subject });
  }
}

export class EmbeddedSource implements StoreSource {
  readonly #owner: OwnerClient;
  readonly #clock: Clock;
  readonly #retention: UsageRetention;

  constructor(owner: OwnerClient, clock: Clock, retention: UsageRetention) {
    this.#owner = owner;
    this.#clock = clock;
    this.#retention = retention;
  }

  dump(): AsyncIterable<readonly StoreRecord[]> {
    const owner = this.#owner;
    const ask: AskTables = {
      begin: () => owner.call('dumpBegin', []),
      checksumKeys: () => owner.call('dumpChecksumKeys', []),
      roles: (...args) => owner.call('dumpRoles', args),
      documents: (...args) => owner.call('dumpDocuments', args),
      usage: (...args) => owner.call('dumpUsage', args),
      creations: (...args) => owner.call('dumpCreations', args),
      limitHeads: (...args) => owner.call('dumpLimitHeads', args),
      limitLedgers: (...args) => owner.call('dumpLimitLedgers', args),
      changes: (...args) => owner.call('dumpChanges', args),
    };
    return dumpTables(ask, this.#clock.wall(), this.#retention);
  }
}

const parseToken = ({ token, account }: TokenRow): TokenAndAccount => ({
  token: readToken(token),
  account: parseAccount(account),
});

const parseAccount = (doc: string | null): Account | null => (doc === null ? null : readAccount(doc));
