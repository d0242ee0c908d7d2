import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { readToken } from '../../core/document.ts';
import type { Millis, StoredToken } from '../../core/token.ts';
import type { Audit, CreateOutcome, Idempotency, ReplaceOutcome, Replay } from '../../ports/token-store.ts';
import type { Accounts } from './accounts.ts';
import type { Journal } from './journal.ts';
import type { FoundRow, TokenRow } from './operations.ts';
import type { Roles } from './roles.ts';
import { one } from './sqlite.ts';

/** Most expired idempotency records dropped with one that is added: there are never many more than live ones. */
const pruneAtOnce = 8;

interface StoredRow {
  readonly seq: number;
  readonly version: number;
  readonly doc: string;
}

export class Tokens {
  readonly #accounts: Accounts;
  readonly #roles: Roles;
  readonly #journal: Journal;
  readonly #byDigest: StatementSync;
  readonly #byId: StatementSync;
  readonly #withAccount: StatementSync;
  readonly #insert: StatementSync;
  readonly #update: StatementSync;
  readonly #updateDoc: StatementSync;
  readonly #digest: StatementSync;
  readonly #addDigest: StatementSync;
  readonly #moveDigest: StatementSync;
  readonly #dropDigest: StatementSync;
  readonly #addTag: StatementSync;
  readonly #dropTag: StatementSync;
  readonly #countLive: StatementSync;
  readonly #idempotency: StatementSync;
  readonly #remember: StatementSync;
  readonly #prune: StatementSync;

  constructor(db: DatabaseSync, accounts: Accounts, roles: Roles, journal: Journal) {
    this.#accounts = accounts;
    this.#roles = roles;
    this.#journal = journal;
    this.#byDigest = db.prepare(
      `SELECT d.until, t.doc AS token, a.doc AS account, a.seq AS owner
       FROM digests d CROSS JOIN tokens t ON t.seq = d.token LEFT JOIN accounts a ON a.id = t.owner
       WHERE d.digest = ?`,
    );
    this.#byId = db.prepare('SELECT seq, version, doc FROM tokens WHERE id = ?');
    this.#withAccount = db.prepare(
      'SELECT t.doc AS token, a.doc AS account FROM tokens t LEFT JOIN accounts a ON a.id = t.owner WHERE t.id = ?',
    );
    this.#insert = db.prepare(
      `INSERT INTO tokens (version, owner, kind, state, name, created_at, expires_at, doc, id)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#update = db.prepare(
      `UPDATE tokens SET version = ?, owner = ?, kind = ?, state = ?, name = ?, created_at = ?, expires_at = ?, doc = ?
       WHERE id = ?`,
    );
    this.#updateDoc = db.prepare('UPDATE tokens SET doc = ? WHERE seq = ?');
    this.#digest = db.prepare('SELECT token FROM digests WHERE digest = ?');
    this.#addDigest = db.prepare('INSERT INTO digests (digest, token, until) VALUES (?, ?, ?)');
    this.#moveDigest = db.prepare('UPDATE digests SET digest = ? WHERE digest = ?');
    this.#dropDigest = db.prepare('DELETE FROM digests WHERE digest = ?');
    this.#addTag = db.prepare('INSERT OR IGNORE INTO tags (tag, token) VALUES (?, ?)');
    this.#dropTag = db.prepare('DELETE FROM tags WHERE tag = ? AND token = ?');
    this.#countLive = db.prepare(
      `SELECT count(*) AS live FROM tokens INDEXED BY tokens_by_owner_state
       WHERE owner = ?1 AND state IN ('enabled', 'disabled')
         AND created_at > coalesce((SELECT revoked_before FROM accounts WHERE id = ?1), -9e15)`,
    );
    this.#idempotency = db.prepare('SELECT body, token_id, expires_at FROM idempotency WHERE key = ?');
    this.#remember = db.prepare(
      'INSERT OR REPLACE INTO idempotency (key, body, token_id, expires_at) VALUES (?, ?, ?, ?)',
    );
    this.#prune = db.prepare(
      `DELETE FROM idempotency WHERE key IN
       (SELECT key FROM idempotency WHERE expires_at <= ? ORDER BY expires_at LIMIT ${pruneAtOnce})`,
    );
  }

  find(digests: readonly string[], now: Millis): FoundRow | null {
    for (const [index, digest] of digests.entries()) {
      const row = one<TokenRow & { until: number | null; owner: number | null }>(this.#byDigest, digest);
      if (row === undefined || (row.until !== null && row.until <= now)) continue;
      const roles = row.owner === null ? [] : this.#roles.of(row.owner);
      return { token: row.token, account: row.account, roles, index };
    }
    return null;
  }

  get(id: string): TokenRow | null {
    return one<TokenRow>(this.#withAccount, id) ?? null;
  }

  findCreation({ key, body }: Idempotency, now: Millis): Replay | null {
    const made = one<{ body: string; token_id: string; expires_at: number }>(this.#idempotency, key);
    if (made === undefined || made.expires_at <= now) return null;
    return { kind: 'replayed', tokenId: made.token_id, sameBody: made.body === body };
  }

  create(token: StoredToken, audit: Audit, idempotency: Idempotency | null, now: Millis): CreateOutcome {
    const replay = idempotency === null ? null : this.findCreation(idempotency, now);
    if (replay !== null) return replay;
    if (this.#row(token.id) !== undefined) return { kind: 'id_exists' };
    if (this.#taken(token, null)) return { kind: 'digest_exists' };
    if (token.owner !== null) {
      const owner = this.#accounts.owner(token.owner);
      if (owner === null) return { kind: 'no_owner' };
      const until = owner.revokedBefore;
      if (until !== null && token.createdAt <= until) return { kind: 'marked', until };
    }

    const seq = Number(this.#insert.run(...columns(token), token.id).lastInsertRowid);
    this.#addDigests(token, seq);
    for (const tag of token.tags) this.#addTag.run(tag, seq);
    if (idempotency !== null) {
      const { key, body, expiresAt } = idempotency;
      this.#remember.run(key, body, token.id, expiresAt);
      this.#prune.run(now);
    }
    return { kind: 'done', events: [this.#journal.record('token', token, digestsOf(token), audit)] };
  }

  replace(token: StoredToken, expected: number, audit: Audit, awaited?: boolean): ReplaceOutcome {
    const row = this.#row(token.id);
    if (row === undefined || row.version !== expected) return { kind: 'stale' };
    const before = readToken(row.doc);
    if (before.owner !== null && token.owner !== before.owner && this.#marked(before.owner, before.createdAt)) {
      // The mark came after the reader had looked: a revoked token does not walk out from under it.
      return { kind: 'stale' };
    }
    if (this.#taken(token, row.seq)) return { kind: 'digest_exists' };
    // A token whose owner has gone can still be changed, revoked above all: only a new owner has to be there.
    if (token.owner !== null && token.owner !== before.owner && this.#accounts.owner(token.owner) === null) {
      return { kind: 'no_owner' };
    }

    this.#update.run(...columns(token), token.id);
    for (const digest of digestsOf(before)) this.#dropDigest.run(digest);
    this.#addDigests(token, row.seq);
    for (const tag of before.tags) this.#dropTag.run(tag, row.seq);
    for (const tag of token.tags) this.#addTag.run(tag, row.seq);
    const digests = [...new Set([...digestsOf(before), ...digestsOf(token)])];
    return this.#journal.done(this.#journal.record('token', token, digests, audit, awaited));
  }

  rekey(id: string, from: string, to: string): void {
    const row = this.#row(id);
    if (row === undefined || one(this.#digest, to) !== undefined) return;
    const { previous, ...token } = readToken(row.doc);
    const moved: StoredToken =
      token.digest === from
        ? { ...token, digest: to, previous }
        : { ...token, previous: previous?.digest === from ? { ...previous, digest: to } : previous };
    if (!digestsOf(moved).includes(to)) return;
    this.#updateDoc.run(JSON.stringify(moved), row.seq);
    this.#moveDigest.run(to, from);
  }

  countLive(owner: string): number {
    return one<{ live: number }>(this.#countLive, owner)?.live ?? 0;
  }

  #marked(owner: string, createdAt: Millis): boolean {
    const mark = this.#accounts.mark(owner);
    return mark !== null && createdAt <= mark;
  }

  #row(id: string): StoredRow | undefined {
    return one<StoredRow>(this.#byId, id);
  }

  /** One of the token's digests leads, or once led, to another token. */
  #taken(token: StoredToken, seq: number | null): boolean {
    return digestsOf(token).some(digest => {
      const holder = one<{ token: number }>(this.#digest, digest);
      return holder !== undefined && holder.token !== seq;
    });
  }

  #addDigests({ digest, previous }: StoredToken, seq: number): void {
    this.#addDigest.run(digest, seq, null);
    if (previous !== null && previous.digest !== digest) this.#addDigest.run(previous.digest, seq, previous.until);
  }
}

export const digestsOf = ({ digest, previous }: StoredToken): string[] =>
  previous === null ? [digest] : [...new Set([digest, previous.digest])];

/** Values of the columns that follow from the document, in the order of the statements above. */
export const columns = (token: StoredToken) =>
  [
    token.version,
    token.owner,
    token.kind,
    token.state,
    token.name,
    token.createdAt,
    token.expiresAt,
    JSON.stringify(token),
  ] as const;
