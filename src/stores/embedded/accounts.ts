import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Account, Millis } from '../../core/token.ts';
import type { Audit, Page, PageQuery, PutAccountOutcome } from '../../ports/token-store.ts';
import type { Journal } from './journal.ts';
import type { OwnerRow } from './operations.ts';
import type { Roles } from './roles.ts';
import { all, one } from './sqlite.ts';

/** What the table of tokens needs to know of an owner. */
export interface Owner {
  readonly revokedBefore: Millis | null;
}

interface AccountRow {
  readonly seq: number;
  readonly version: number;
  readonly revoked_before: number | null;
  readonly deleted: number;
  readonly doc: string;
}

export class Accounts {
  readonly #roles: Roles;
  readonly #journal: Journal;
  readonly #byId: StatementSync;
  readonly #page: StatementSync;
  readonly #insert: StatementSync;
  readonly #update: StatementSync;

  constructor(db: DatabaseSync, roles: Roles, journal: Journal) {
    this.#roles = roles;
    this.#journal = journal;
    this.#byId = db.prepare('SELECT * FROM accounts WHERE id = ?');
    this.#page = db.prepare(
      'SELECT seq, doc FROM accounts INDEXED BY accounts_by_deleted WHERE deleted = 0 AND seq > ? ORDER BY seq LIMIT ?',
    );
    this.#insert = db.prepare(
      'INSERT INTO accounts (id, version, revoked_before, deleted, doc) VALUES (?, ?, ?, ?, ?)',
    );
    this.#update = db.prepare(
      'UPDATE accounts SET version = ?, revoked_before = ?, deleted = ?, doc = ? WHERE seq = ?',
    );
  }

  get(id: string): string | null {
    return this.#row(id)?.doc ?? null;
  }

  /** With the roles that it has. */
  whole(id: string): OwnerRow | null {
    const row = this.#row(id);
    return row === undefined ? null : { account: row.doc, roles: this.#roles.of(row.seq) };
  }

  list(query: PageQuery): Page<string> {
    const rows = all<{ seq: number; doc: string }>(this.#page, query.after ?? 0, query.limit + 1);
    const items = rows.slice(0, query.limit);
    return { items: items.map(row => row.doc), next: rows.length > query.limit ? items.at(-1)!.seq : null };
  }

  put(account: Account, expected: number, audit: Audit, awaited?: boolean): PutAccountOutcome {
    const before = this.#row(account.id);
    if ((before?.version ?? 0) !== expected) return { kind: 'stale' };
    const ids = this.#roles.missing(account, before?.seq ?? null);
    if (ids.length > 0) return { kind: 'no_role', ids };
    const values = [account.version, account.revokedBefore, account.deleted ? 1 : 0, JSON.stringify(account)] as const;
    const seq = before?.seq ?? Number(this.#insert.run(account.id, ...values).lastInsertRowid);
    if (before !== undefined) this.#update.run(...values, seq);
    this.#roles.assign(account, seq);
    // The owner's tokens are not listed: readers of the feed know whose tokens they hold.
    return this.#journal.done(this.#journal.record('account', account, [], audit, awaited));
  }

  /** Null when there is no such account, or it was deleted. */
  owner(id: string): Owner | null {
    const row = this.#row(id);
    return row === undefined || row.deleted === 1 ? null : { revokedBefore: row.revoked_before };
  }

  /** The instant up to which the account's tokens are revoked, that of a deleted one included; null for none. */
  mark(id: string): Millis | null {
    return this.#row(id)?.revoked_before ?? null;
  }

  #row(id: string): AccountRow | undefined {
    return one<AccountRow>(this.#byId, id);
  }
}
