import { randomBytes } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import type { KeptKeys, PepperKey } from '../store.ts';
import { one } from './sqlite.ts';

/** Takes the schema one version further. Runs in a transaction of its own. */
export type Migration = (db: DatabaseSync) => void;

/** Written into the file's header, so that another program's database is not taken for a store: "PSTN". */
const applicationId = 0x5053544e;

/**
 * Version n of the schema is what the first n migrations make. One that was released is never changed: append.
 *
 * Documents are JSON; columns beside them exist for look-ups and filters. `seq` is the order of creation. Nothing is
 * ever deleted from tokens, accounts, roles and audit, so foreign keys would cost and protect nothing.
 */
export const migrations: readonly Migration[] = [
  db => {
    db.exec(`
      CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

      CREATE TABLE accounts (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        version INTEGER NOT NULL,
        revoked_before INTEGER,
        deleted INTEGER NOT NULL,
        doc TEXT NOT NULL
      ) STRICT;
      CREATE INDEX accounts_by_deleted ON accounts (deleted);
      CREATE INDEX accounts_by_mark ON accounts (revoked_before) WHERE revoked_before IS NOT NULL;

      CREATE TABLE tokens (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        version INTEGER NOT NULL,
        owner TEXT,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        name TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER,
        doc TEXT NOT NULL
      ) STRICT;
      CREATE INDEX tokens_by_owner ON tokens (owner) WHERE owner IS NOT NULL;
      CREATE INDEX tokens_by_owner_state ON tokens (owner, state, created_at) WHERE owner IS NOT NULL;
      CREATE INDEX tokens_by_kind ON tokens (kind);
      CREATE INDEX tokens_by_state ON tokens (state);
      CREATE INDEX tokens_by_name ON tokens (name);
      CREATE INDEX tokens_by_expiry ON tokens (expires_at) WHERE expires_at IS NOT NULL;

      CREATE TABLE tags (
        tag TEXT NOT NULL,
        token INTEGER NOT NULL,
        PRIMARY KEY (tag, token)
      ) STRICT, WITHOUT ROWID;

      -- Current and previous digests in one table, so that no digest can ever lead to two tokens.
      CREATE TABLE digests (
        digest TEXT PRIMARY KEY,
        token INTEGER NOT NULL,
        until INTEGER
      ) STRICT, WITHOUT ROWID;

      CREATE TABLE idempotency (
        key TEXT PRIMARY KEY,
        body TEXT NOT NULL,
        token_id TEXT NOT NULL,
        expires_at INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);

      CREATE TABLE feed (
        seq INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL,
        subject TEXT NOT NULL,
        version INTEGER NOT NULL,
        digests TEXT NOT NULL
      ) STRICT;

      CREATE TABLE audit (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        subject TEXT NOT NULL,
        doc TEXT NOT NULL
      ) STRICT;
      CREATE INDEX audit_by_subject ON audit (kind, subject);

      CREATE TABLE usage_reports (
        process TEXT PRIMARY KEY,
        number INTEGER NOT NULL,
        -- Entries of this report that were added so far; NULL when all were.
        added INTEGER,
        at INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX usage_reports_by_time ON usage_reports (at);

      CREATE TABLE usage_totals (
        token TEXT PRIMARY KEY,
        doc TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;

      CREATE TABLE usage_series (
        token TEXT NOT NULL,
        step TEXT NOT NULL,
        at INTEGER NOT NULL,
        doc TEXT NOT NULL,
        PRIMARY KEY (token, step, at)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX usage_series_by_time ON usage_series (step, at);
    `);
    const insert = db.prepare('INSERT INTO meta (name, value) VALUES (?, ?)');
    insert.run('identity', randomBytes(16).toString('hex'));
    insert.run('epoch', randomBytes(16).toString('hex'));
  },
  db => db.exec('ALTER TABLE feed ADD COLUMN awaited INTEGER NOT NULL DEFAULT 0'),
  db =>
    db.exec(`
      CREATE TABLE roles (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        version INTEGER NOT NULL,
        deleted INTEGER NOT NULL,
        -- In the order of all roles; NULL for tombstones.
        place INTEGER,
        doc TEXT NOT NULL
      ) STRICT;
      CREATE INDEX roles_by_place ON roles (place) WHERE place IS NOT NULL;

      CREATE TABLE account_roles (
        account INTEGER NOT NULL,
        role TEXT NOT NULL,
        PRIMARY KEY (account, role)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX account_roles_by_role ON account_roles (role, account);
    `),
  db =>
    db.exec(`
      CREATE TABLE limit_heads (
        kind TEXT NOT NULL,
        subject TEXT NOT NULL,
        version INTEGER NOT NULL,
        clock REAL NOT NULL,
        limits TEXT NOT NULL,
        PRIMARY KEY (kind, subject)
      ) STRICT, WITHOUT ROWID;

      CREATE TABLE limit_ledgers (
        kind TEXT NOT NULL,
        subject TEXT NOT NULL,
        ledger TEXT NOT NULL,
        label REAL NOT NULL,
        -- When it may be forgotten; NULL for never.
        until REAL,
        state TEXT NOT NULL,
        PRIMARY KEY (kind, subject, ledger, label)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX limit_ledgers_by_end ON limit_ledgers (until) WHERE until IS NOT NULL;
    `),
];

/** What a file is, before it is touched. */
export type FileVersion = { readonly kind: 'known'; readonly version: number } | { readonly kind: 'foreign' };

export function fileVersion(db: DatabaseSync): FileVersion {
  const version = pragma(db, 'user_version');
  const empty = one(db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1')) === undefined;
  if (version === 0 && empty) return { kind: 'known', version };
  return pragma(db, 'application_id') === applicationId ? { kind: 'known', version } : { kind: 'foreign' };
}

/** Runs what is missing of `steps`, each in a transaction: a crash leaves a whole version behind, never a half. */
export function migrate(db: DatabaseSync, steps: readonly Migration[] = migrations): void {
  for (let version = pragma(db, 'user_version'); version < steps.length; version++) {
    db.exec('BEGIN IMMEDIATE');
    try {
      steps[version]!(db);
      db.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${version + 1}; COMMIT`);
    } catch (error) {
      if (db.isTransaction) db.exec('ROLLBACK');
      throw error;
    }
  }
}

function pragma(db: DatabaseSync, name: 'user_version' | 'application_id'): number {
  return one<Record<string, number>>(db.prepare(`PRAGMA ${name}`))?.[name] ?? 0;
}

/** Adds to the checksum keys that the file keeps, and answers all of them. */
export function keepChecksumKeys(db: DatabaseSync, add: readonly PepperKey[]): KeptKeys {
  const kept = readChecksumKeys(db);
  const before = kept.size;
  for (const { id, key } of add) {
    const known = kept.get(id);
    if (known !== undefined && known !== key) return { kind: 'changed', id };
    kept.set(id, key);
  }
  if (kept.size > before) {
    db.prepare("INSERT OR REPLACE INTO meta (name, value) VALUES ('checksum_keys', ?)").run(JSON.stringify([...kept]));
  }
  return { kind: 'kept', keys: [...new Set(kept.values())] };
}

/** The checksum keys that the file keeps, by the ids of their peppers. */
export function readChecksumKeys(db: DatabaseSync): Map<string, string> {
  const row = one<{ value: string }>(db.prepare("SELECT value FROM meta WHERE name = 'checksum_keys'"));
  return new Map(row === undefined ? [] : (JSON.parse(row.value) as [string, string][]));
}

/** What the store was given when it was made. */
export function readMeta(db: DatabaseSync, name: 'identity' | 'epoch'): string {
  const row = one<{ value: string }>(db.prepare('SELECT value FROM meta WHERE name = ?'), name);
  if (row === undefined) throw new Error(`the store has lost its ${name}`);
  return row.value;
}
