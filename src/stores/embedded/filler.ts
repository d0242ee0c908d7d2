import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { readAccount, readToken } from '../../core/document.ts';
import type { Account, StoredToken } from '../../core/token.ts';
import type { StoreRecord, TokenUsage } from '../../ports/store-transfer.ts';
import { windowIn } from '../limits.ts';
import { limitHeadRecord, limitLedgerRecord, roleRecord, usageRecord } from './dump.ts';
import type { LimitHeadRow, LimitLedgerRow, RoleRow } from './dump-tables.ts';
import { keepChecksumKeys } from './schema.ts';
import { all, one } from './sqlite.ts';
import { columns, digestsOf } from './tokens.ts';

type Of<K extends StoreRecord['kind']> = Extract<StoreRecord, { readonly kind: K }>;

/** Writes records into the tables as they are: what they say was judged when it was first written. */
export class Filler {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(db: DatabaseSync) {
    this.#db = db;
  }

  /** Answers what the record has taken the place of: nothing, or one other. */
  add(record: StoreRecord): readonly StoreRecord[] {
    switch (record.kind) {
      case 'checksum_key':
        if (keepChecksumKeys(this.#db, [record]).kind === 'changed')
          throw new Error(`two keys have the id ${record.id}`);
        return [];
      case 'role':
        return this.#role(record);
      case 'account':
        return this.#account(record);
      case 'token':
        return this.#token(record);
      case 'event':
        return this.#event(record);
      case 'usage':
        return this.#usage(record);
      case 'creation': {
        const sql = 'INSERT OR REPLACE INTO idempotency (key, body, token_id, expires_at) VALUES (?, ?, ?, ?)';
        this.#sql(sql).run(record.key, record.body, record.tokenId, record.expiresAt);
        return [];
      }
      case 'limit_head':
        return this.#limitHead(record);
      case 'limit_window':
        return this.#limitWindow(record);
      case 'position':
        return [];
    }
  }

  #role({ role, place }: Of<'role'>): readonly StoreRecord[] {
    const before = one<RoleRow>(this.#sql('SELECT doc, place FROM roles WHERE id = ?'), role.id);
    const values = [role.version, role.deleted ? 1 : 0, place, JSON.stringify(role), role.id] as const;
    const sql =
      before === undefined
        ? 'INSERT INTO roles (version, deleted, place, doc, id) VALUES (?, ?, ?, ?, ?)'
        : 'UPDATE roles SET version = ?, deleted = ?, place = ?, doc = ? WHERE id = ?';
    this.#sql(sql).run(...values);
    return before === undefined ? [] : [roleRecord(before)];
  }

  #account({ account }: Of<'account'>): readonly StoreRecord[] {
    const { id, version, revokedBefore, deleted } = account;
    const before = one<{ seq: number; doc: string }>(this.#sql('SELECT seq, doc FROM accounts WHERE id = ?'), id);
    const values = [version, revokedBefore, deleted ? 1 : 0, JSON.stringify(account), id] as const;
    if (before === undefined) {
      const sql = 'INSERT INTO accounts (version, revoked_before, deleted, doc, id) VALUES (?, ?, ?, ?, ?)';
      this.#assign(account, Number(this.#sql(sql).run(...values).lastInsertRowid));
      return [];
    }
    this.#sql('UPDATE accounts SET version = ?, revoked_before = ?, deleted = ?, doc = ? WHERE id = ?').run(...values);
    this.#sql('DELETE FROM account_roles WHERE account = ?').run(before.seq);
    this.#assign(account, before.seq);
    return [{ kind: 'account', account: readAccount(before.doc) }];
  }

  #assign({ roles, deleted }: Account, seq: number): void {
    const give = this.#sql('INSERT OR IGNORE INTO account_roles (account, role) VALUES (?, ?)');
    for (const role of deleted ? [] : roles) give.run(seq, role);
  }

  #token({ token }: Of<'token'>): readonly StoreRecord[] {
    const row = one<{ seq: number; doc: string }>(this.#sql('SELECT seq, doc FROM tokens WHERE id = ?'), token.id);
    if (row === undefined) {
      const sql = `INSERT INTO tokens (version, owner, kind, state, name, created_at, expires_at, doc, id)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`;
      this.#index(token, Number(this.#sql(sql).run(...columns(token), token.id).lastInsertRowid));
      return [];
    }
    const before = readToken(row.doc);
    const sql = `UPDATE tokens SET version = ?, owner = ?, kind = ?, state = ?, name = ?, created_at = ?,
                 expires_at = ?, doc = ? WHERE id = ?`;
    this.#sql(sql).run(...columns(token), token.id);
    // A digest of it may have gone to a token whose record came first.
    const dropDigest = this.#sql('DELETE FROM digests WHERE digest = ? AND token = ?');
    for (const digest of digestsOf(before)) dropDigest.run(digest, row.seq);
    for (const tag of before.tags) this.#sql('DELETE FROM tags WHERE tag = ? AND token = ?').run(tag, row.seq);
    this.#index(token, row.seq);
    return [{ kind: 'token', token: before }];
  }

  #index({ digest, previous, tags }: StoredToken, seq: number): void {
    const add = this.#sql('INSERT OR REPLACE INTO digests (digest, token, until) VALUES (?, ?, ?)');
    add.run(digest, seq, null);
    if (previous !== null && previous.digest !== digest) add.run(previous.digest, seq, previous.until);
    for (const tag of tags) this.#sql('INSERT OR IGNORE INTO tags (tag, token) VALUES (?, ?)').run(tag, seq);
  }

  #event({ of, subject, event: { id, ...audit } }: Of<'event'>): readonly StoreRecord[] {
    const sql = 'INSERT INTO audit (id, kind, subject, doc) VALUES (?, ?, ?, ?)';
    this.#sql(sql).run(id, of, subject, JSON.stringify(audit));
    return [];
  }

  #usage({ usage }: Of<'usage'>): readonly StoreRecord[] {
    const before = this.#usageOf(usage.tokenId);
    if (before !== null) this.#sql('DELETE FROM usage_series WHERE token = ?').run(usage.tokenId);
    const { tokenId, total, hours, days } = usage;
    this.#sql('INSERT OR REPLACE INTO usage_totals (token, doc) VALUES (?, ?)').run(tokenId, JSON.stringify(total));
    const put = this.#sql('INSERT INTO usage_series (token, step, at, doc) VALUES (?, ?, ?, ?)');
    for (const each of hours) put.run(tokenId, 'hour', each.at, JSON.stringify(each.usage));
    for (const each of days) put.run(tokenId, 'day', each.at, JSON.stringify(each.usage));
    return before === null ? [] : [{ kind: 'usage', usage: before }];
  }

  #limitHead({ subject: { kind, id }, head }: Of<'limit_head'>): readonly StoreRecord[] {
    const sql = 'SELECT kind, subject, version, clock, limits FROM limit_heads WHERE kind = ? AND subject = ?';
    const before = one<LimitHeadRow>(this.#sql(sql), kind, id);
    this.#sql('INSERT OR REPLACE INTO limit_heads (kind, subject, version, clock, limits) VALUES (?, ?, ?, ?, ?)').run(
      kind,
      id,
      head.version,
      head.clock,
      JSON.stringify(head.limits),
    );
    return before === undefined ? [] : [limitHeadRecord(before)];
  }

  #limitWindow({ subject: { kind, id }, ledger, label, settled, at }: Of<'limit_window'>): readonly StoreRecord[] {
    const sql = `SELECT kind, subject, ledger, label, state FROM limit_ledgers
                 WHERE kind = ? AND subject = ? AND ledger = ? AND label = ?`;
    const before = one<LimitLedgerRow>(this.#sql(sql), kind, id, ledger, label);
    const state = windowIn(ledger, label, settled, at);
    this.#sql(
      'INSERT OR REPLACE INTO limit_ledgers (kind, subject, ledger, label, until, state) VALUES (?, ?, ?, ?, ?, ?)',
    ).run(kind, id, ledger, label, state.until, JSON.stringify(state.state));
    return before === undefined ? [] : [limitLedgerRecord(before)];
  }

  #usageOf(token: string): TokenUsage | null {
    const row = one<{ doc: string }>(this.#sql('SELECT doc FROM usage_totals WHERE token = ?'), token);
    if (row === undefined) return null;
    const sql = 'SELECT at, doc AS usage FROM usage_series WHERE token = ? AND step = ? ORDER BY at';
    const of = (step: string) => all<{ at: number; usage: string }>(this.#sql(sql), token, step);
    const record = usageRecord({ token, total: row.doc, hours: of('hour'), days: of('day') }) as Of<'usage'>;
    return record.usage;
  }

  #sql(text: string): StatementSync {
    const known = this.#statements.get(text) ?? this.#db.prepare(text);
    this.#statements.set(text, known);
    return known;
  }
}
