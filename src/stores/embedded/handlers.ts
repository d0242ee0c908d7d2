import type { DatabaseSync } from 'node:sqlite';
import { Accounts } from './accounts.ts';
import { DumpTables } from './dump-tables.ts';
import { examineTables } from './examine.ts';
import { Journal } from './journal.ts';
import { LimitTables } from './limits.ts';
import type { Handlers } from './operations.ts';
import { Processes } from './processes.ts';
import { Roles } from './roles.ts';
import { keepChecksumKeys } from './schema.ts';
import { TokenList } from './token-list.ts';
import { Tokens } from './tokens.ts';
import { type UsageRetention, UsageTables } from './usage.ts';

export interface HandlerSettings {
  readonly feedEvents: number;
  readonly usageRetention: UsageRetention;
}

/** What each operation does, over an open file. Mutations run inside a transaction of the caller's. */
export function makeHandlers(db: DatabaseSync, settings: HandlerSettings): Handlers {
  const journal = new Journal(db, settings.feedEvents);
  const roles = new Roles(db, journal);
  const accounts = new Accounts(db, roles, journal);
  const tokens = new Tokens(db, accounts, roles, journal);
  const list = new TokenList(db);
  const processes = new Processes(journal);
  const usage = new UsageTables(db, settings.usageRetention);
  const limits = new LimitTables(db);
  const dump = new DumpTables(db);
  return {
    find: (digests, now) => tokens.find(digests, now),
    getToken: id => tokens.get(id),
    listTokens: query => list.list(query),
    createToken: (token, audit, idempotency, now) => tokens.create(token, audit, idempotency, now),
    findCreation: (idempotency, now) => tokens.findCreation(idempotency, now),
    replaceToken: (token, expected, audit, awaited) => tokens.replace(token, expected, audit, awaited),
    rekey: (id, from, to) => tokens.rekey(id, from, to),
    getAccount: id => accounts.get(id),
    getOwner: id => accounts.whole(id),
    listAccounts: query => accounts.list(query),
    putAccount: (account, expected, audit, awaited) => accounts.put(account, expected, audit, awaited),
    getRole: id => roles.get(id),
    listRoles: () => roles.list(),
    putRole: (role, expected, audit) => roles.put(role, expected, audit),
    orderRoles: (ids, audit) => roles.order(ids, audit),
    countLive: owner => tokens.countLive(owner),
    listEvents: query => journal.listEvents(query),
    feedHead: () => journal.head(),
    readFeed: cursor => journal.read(cursor),
    reportUsage: (part, now) => usage.report(part, now),
    usageTotals: ids => usage.totals(ids),
    keepChecksumKeys: add => keepChecksumKeys(db, add),
    beat: (heartbeat, now) => processes.beat(heartbeat, now),
    signOff: process => processes.signOff(process),
    roll: now => processes.roll(now),
    usageSeries: (id, step, from, to) => usage.series(id, step, from, to),
    exchangeLimits: (questions, circumstances, now) => limits.exchange(questions, circumstances, now),
    defineLimits: (subject, version, given, now) => limits.define(subject, version, given, now),
    readLimits: (subject, version, given, now) => limits.read(subject, version, given, now),
    resetLimit: (subject, ledger, now) => limits.reset(subject, ledger, now),
    dumpBegin: () => dump.begin(),
    dumpChecksumKeys: () => dump.checksumKeys(),
    dumpRoles: after => dump.roles(after),
    dumpDocuments: (of, after) => dump.documents(of, after),
    dumpUsage: after => dump.usage(after),
    dumpCreations: (after, now) => dump.creations(after, now),
    dumpLimitHeads: after => dump.limitHeads(after),
    dumpLimitLedgers: after => dump.limitLedgers(after),
    dumpChanges: position => dump.changes(position),
    examine: () => examineTables(db),
  };
}
