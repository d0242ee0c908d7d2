import { readAccount, readRole, readToken } from '../../core/document.ts';
import type { Ledger } from '../../core/ledger.ts';
import type { Limit } from '../../core/limit.ts';
import type { Millis } from '../../core/token.ts';
import type { Usage, UsageBucket } from '../../core/usage.ts';
import { StoreUnavailable } from '../../errors.ts';
import type { StoreRecord } from '../../ports/store-transfer.ts';
import type { Audit } from '../../ports/token-store.ts';
import { isOpen, limitWindowRecord } from '../limits.ts';
import type {
  DumpTables,
  EventRow,
  LimitHeadKey,
  LimitHeadRow,
  LimitLedgerKey,
  LimitLedgerRow,
  RoleRow,
  UsageRow,
} from './dump-tables.ts';
import type { BucketRow } from './operations.ts';
import type { UsageRetention } from './usage.ts';

/** The tables of a file, asked across a thread or directly. */
export type AskTables = {
  readonly [K in keyof DumpTables]: (
    ...args: Parameters<DumpTables[K]>
  ) => ReturnType<DumpTables[K]> | Promise<ReturnType<DumpTables[K]>>;
};

/**
 * Reads the tables page by page. Nothing can hold an instant of the file for as long as that takes: one connection owns
 * it, and goes on writing. So what the feed says has changed since the beginning is read again at the end.
 */
export async function* dumpTables(
  ask: AskTables,
  now: Millis,
  retention: UsageRetention,
): AsyncGenerator<readonly StoreRecord[]> {
  let position = await ask.begin();
  yield (await ask.checksumKeys()).map(({ id, key }) => ({ kind: 'checksum_key', id, key }));
  for (let after: number | null = 0; after !== null; ) {
    const page: Awaited<ReturnType<AskTables['roles']>> = await ask.roles(after);
    yield page.rows.map(roleRecord);
    after = page.next;
  }
  for (const kind of ['account', 'token'] as const) {
    for (let after: number | null = 0; after !== null; ) {
      const page: Awaited<ReturnType<AskTables['documents']>> = await ask.documents(kind, after);
      yield page.docs.map(doc => documentRecord(kind, doc));
      after = page.next;
    }
  }
  for (let after: string | null = ''; after !== null; ) {
    const page: Awaited<ReturnType<AskTables['usage']>> = await ask.usage(after);
    yield page.rows.map(row => usageRecord(kept(row, now, retention)));
    after = page.next;
  }
  for (let after: string | null = ''; after !== null; ) {
    const page: Awaited<ReturnType<AskTables['creations']>> = await ask.creations(after, now);
    yield page.rows.map(row => ({
      kind: 'creation',
      key: row.key,
      body: row.body,
      tokenId: row.token_id,
      expiresAt: row.expires_at,
    }));
    after = page.next;
  }
  for (let after: LimitHeadKey | null = ['', '']; after !== null; ) {
    const page: Awaited<ReturnType<AskTables['limitHeads']>> = await ask.limitHeads(after);
    yield page.rows.map(limitHeadRecord);
    after = page.next;
  }
  for (let after: LimitLedgerKey | null = ['', '', '', 0]; after !== null; ) {
    const page: Awaited<ReturnType<AskTables['limitLedgers']>> = await ask.limitLedgers(after);
    yield page.rows.flatMap(row =>
      retention.hours === Number.POSITIVE_INFINITY || isOpen(row, now) ? limitLedgerRecord(row) : [],
    );
    after = page.next;
  }
  for (let complete = false; !complete; ) {
    const page: Awaited<ReturnType<AskTables['changes']>> = await ask.changes(position);
    if (page.kind === 'gap') throw new StoreUnavailable('the store changes faster than it can be read');
    yield [
      ...page.roles.map(roleRecord),
      ...page.docs.map(([of, doc]) => documentRecord(of, doc)),
      ...page.events.map(eventRecord),
    ];
    ({ position, complete } = page);
  }
  yield [{ kind: 'position', epoch: position.epoch, seq: position.seq }];
}

/** Buckets that have ended stay in the file until a report comes. */
const kept = (row: UsageRow, now: Millis, { hours, days }: UsageRetention): UsageRow => ({
  ...row,
  hours: row.hours.filter(({ at }) => at >= now - hours),
  days: row.days.filter(({ at }) => at >= now - days),
});

const documentRecord = (of: 'token' | 'account', doc: string): StoreRecord =>
  of === 'token' ? { kind: 'token', token: readToken(doc) } : { kind: 'account', account: readAccount(doc) };

export const roleRecord = ({ doc, place }: RoleRow): StoreRecord => ({ kind: 'role', role: readRole(doc), place });

const eventRecord = ({ id, kind, subject, doc }: EventRow): StoreRecord => ({
  kind: 'event',
  of: kind,
  subject,
  event: { id, ...(JSON.parse(doc) as Audit) },
});

export const usageRecord = ({ token, total, hours, days }: UsageRow): StoreRecord => ({
  kind: 'usage',
  usage: { tokenId: token, total: JSON.parse(total) as Usage, hours: hours.map(bucket), days: days.map(bucket) },
});

export const limitHeadRecord = ({ kind, subject, version, clock, limits }: LimitHeadRow): StoreRecord => ({
  kind: 'limit_head',
  subject: { kind, id: subject },
  head: { version, clock, limits: JSON.parse(limits) as readonly Limit[] },
});

export const limitLedgerRecord = ({ kind, subject, ledger, label, state }: LimitLedgerRow): StoreRecord =>
  limitWindowRecord({ subject: { kind, id: subject }, ledger, label }, JSON.parse(state) as Ledger);

const bucket = ({ at, usage }: BucketRow): UsageBucket => ({ at, usage: JSON.parse(usage) as Usage });
