import type { Account, Millis, Role, StoredToken } from '../../core/token.ts';
import type { Cursor, FeedAnswer } from '../../ports/change-feed.ts';
import type { Heartbeat, Roll } from '../../ports/process-registry.ts';
import type { Finding } from '../../ports/store-transfer.ts';
import type {
  Audit,
  AuditEvent,
  CreateOutcome,
  EventQuery,
  Idempotency,
  OrderOutcome,
  Page,
  PageQuery,
  PutAccountOutcome,
  PutRoleOutcome,
  ReplaceOutcome,
  Replay,
  TokenQuery,
} from '../../ports/token-store.ts';
import type { UsageEntry } from '../../ports/usage-ledger.ts';
import type { KeptKeys, PepperKey } from '../store.ts';
import type { DumpTables } from './dump-tables.ts';
import type { LimitTables } from './limits.ts';

/** A token, its owner's account and roles as JSON text. The asking side parses: the owner thread has enough to do. */
export interface TokenRow {
  readonly token: string;
  readonly account: string | null;
}

export interface FoundRow extends TokenRow {
  readonly roles: readonly string[];
  readonly index: number;
}

export interface OwnerRow {
  readonly account: string;
  readonly roles: readonly string[];
}

export interface BucketRow {
  readonly at: Millis;
  readonly usage: string;
}

/** A usage report, or a part of a long one: `entries` are those from `from` on, `last` when none follow. */
export interface ReportPart {
  readonly process: string;
  readonly number: number;
  readonly from: number;
  readonly last: boolean;
  readonly entries: readonly UsageEntry[];
}

/** What the owner thread can be asked. `now` is wall time, from the clock of the side that asks. */
export interface Operations {
  find(digests: readonly string[], now: Millis): FoundRow | null;
  getToken(id: string): TokenRow | null;
  listTokens(query: TokenQuery): Page<TokenRow>;
  findCreation(idempotency: Idempotency, now: Millis): Replay | null;
  createToken(token: StoredToken, audit: Audit, idempotency: Idempotency | null, now: Millis): CreateOutcome;
  replaceToken(token: StoredToken, expected: number, audit: Audit, awaited?: boolean): ReplaceOutcome;
  rekey(id: string, from: string, to: string): void;
  getAccount(id: string): string | null;
  getOwner(id: string): OwnerRow | null;
  listAccounts(query: PageQuery): Page<string>;
  putAccount(account: Account, expected: number, audit: Audit, awaited?: boolean): PutAccountOutcome;
  getRole(id: string): string | null;
  listRoles(): readonly string[];
  putRole(role: Role, expected: number, audit: Audit): PutRoleOutcome;
  orderRoles(ids: readonly string[], audit: Audit): OrderOutcome;
  countLive(owner: string): number;
  listEvents(query: EventQuery): Page<AuditEvent>;
  feedHead(): Cursor;
  readFeed(cursor: Cursor, waitMs: number): FeedAnswer;
  beat(heartbeat: Heartbeat, now: Millis): void;
  signOff(process: string): void;
  roll(now: Millis): Roll;
  reportUsage(part: ReportPart, now: Millis): void;
  usageTotals(tokenIds: readonly string[]): readonly (readonly [string, string])[];
  keepChecksumKeys(add: readonly PepperKey[]): KeptKeys;
  usageSeries(tokenId: string, step: 'hour' | 'day', from: Millis, to: Millis): readonly BucketRow[];
  exchangeLimits: LimitTables['exchange'];
  defineLimits: LimitTables['define'];
  readLimits: LimitTables['read'];
  resetLimit: LimitTables['reset'];
  dumpBegin: DumpTables['begin'];
  dumpChecksumKeys: DumpTables['checksumKeys'];
  dumpRoles: DumpTables['roles'];
  dumpDocuments: DumpTables['documents'];
  dumpUsage: DumpTables['usage'];
  dumpCreations: DumpTables['creations'];
  dumpLimitHeads: DumpTables['limitHeads'];
  dumpLimitLedgers: DumpTables['limitLedgers'];
  dumpChanges: DumpTables['changes'];
  examine(): readonly Finding[];
}

export type Operation = keyof Operations;
export type Arguments<K extends Operation> = Parameters<Operations[K]>;
export type Answer<K extends Operation> = ReturnType<Operations[K]>;

/** A long read hands back control between its steps, so that look-ups and writes pass. */
export type Steps<T> = Generator<undefined, T, undefined>;

export type Handlers = { readonly [K in Operation]: (...args: Arguments<K>) => Answer<K> | Steps<Answer<K>> };

/** Look-ups are what requests wait for: they are answered before anything else. */
export type Rank = 'lookup' | 'read' | 'mutation';

export const ranks: { readonly [K in Operation]: Rank } = {
  find: 'lookup',
  getToken: 'read',
  listTokens: 'read',
  findCreation: 'read',
  createToken: 'mutation',
  replaceToken: 'mutation',
  rekey: 'mutation',
  // A request of a declared token waits for its owner.
  getAccount: 'lookup',
  getOwner: 'lookup',
  listAccounts: 'read',
  putAccount: 'mutation',
  getRole: 'read',
  listRoles: 'read',
  putRole: 'mutation',
  orderRoles: 'mutation',
  countLive: 'read',
  listEvents: 'read',
  feedHead: 'read',
  readFeed: 'read',
  // Nothing of it is written.
  beat: 'read',
  signOff: 'read',
  roll: 'read',
  reportUsage: 'mutation',
  usageTotals: 'read',
  usageSeries: 'read',
  keepChecksumKeys: 'mutation',
  exchangeLimits: 'mutation',
  defineLimits: 'mutation',
  readLimits: 'read',
  resetLimit: 'mutation',
  dumpBegin: 'read',
  dumpChecksumKeys: 'read',
  dumpRoles: 'read',
  dumpDocuments: 'read',
  dumpUsage: 'read',
  dumpCreations: 'read',
  dumpLimitHeads: 'read',
  dumpLimitLedgers: 'read',
  dumpChanges: 'read',
  examine: 'read',
};
