import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { type Millis, roleOrderId } from '../../core/token.ts';
import type { PepperKey } from '../store.ts';
import type { BucketRow } from './operations.ts';
import { readChecksumKeys, readMeta } from './schema.ts';
import { all, one } from './sqlite.ts';

/** Most rows in one page, so that nobody waits long behind one. */
const pageRows = 500;

/** Documents in the order of creation, as JSON text. `next`: where the page after this one begins; null after the last. */
export interface DocumentPage {
  readonly docs: readonly string[];
  readonly next: number | null;
}

export interface UsageRow {
  readonly token: string;
  readonly total: string;
  readonly hours: readonly BucketRow[];
  readonly days: readonly BucketRow[];
}

export interface CreationRow {
  readonly key: string;
  readonly body: string;
  readonly token_id: string;
  readonly expires_at: Millis;
}

export interface KeyedPage<Row> {
  readonly rows: readonly Row[];
  readonly next: string | null;
}

/** `place`: in the order of all roles; null for a tombstone. */
export interface RoleRow {
  readonly doc: string;
  readonly place: number | null;
}

export interface RolePage {
  readonly rows: readonly RoleRow[];
  readonly next: number | null;
}

export interface LimitHeadRow {
  readonly kind: 'token' | 'account';
  readonly subject: string;
  readonly version: number;
  readonly clock: Millis;
  readonly limits: string;
}

export interface LimitLedgerRow {
  readonly kind: 'token' | 'account';
  readonly subject: string;
  readonly ledger: string;
  readonly label: Millis;
  readonly state: string;
}

/** Where a page of rows about limits begins: behind the row of this key. */
export type LimitHeadKey = readonly [kind: string, subject: string];
export type LimitLedgerKey = readonly [kind: string, subject: string, ledger: string, label: Millis];

export interface TuplePage<Row, Key> {
  readonly rows: readonly Row[];
  readonly next: Key | null;
}

export interface EventRow {
  readonly id: number;
  readonly kind: 'token' | 'account' | 'role';
  readonly subject: string;
  readonly doc: string;
}

/** Where a dump stands: the last event of the feed and of the audit trail that it has. */
export interface DumpPosition {
  readonly epoch: string;
  readonly seq: number;
  readonly audit: number;
}

/** Documents that changed, roles that changed or moved, and events, after a position. `complete`: there is nothing after `position`. */
export interface ChangePage {
  readonly kind: 'changes';
  readonly docs: readonly (readonly ['token' | 'account', string])[];
  readonly roles: readonly RoleRow[];
  readonly events: readonly EventRow[];
  readonly position: DumpPosition;
  readonly complete: boolean;
}

/** Reads everything that the file keeps, page by page. Each page is of one instant. */
export class DumpTables {
  readonly #db: DatabaseSync;
  readonly #epoch: string;
  readonly #ends: StatementSync;
  readonly #tokens: StatementSync;
  readonly #accounts: StatementSync;
  readonly #token: StatementSync;
  readonly #account: StatementSync;
  readonly #roles: StatementSync;
  readonly #role: StatementSync;
  readonly #ordered: StatementSync;
  readonly #totals: StatementSync;
  readonly #buckets: StatementSync;
  readonly #creations: StatementSync;
  readonly #limitHeads: StatementSync;
  readonly #limitLedgers: StatementSync;
  readonly #changed: StatementSync;
  readonly #events: StatementSync;

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#epoch = readMeta(db, 'epoch');
    this.#ends = db.prepare(
      'SELECT coalesce((SELECT min(seq) FROM feed), 1) AS first, coalesce((SELECT max(seq) FROM feed), 0) AS last',
    );
    this.#tokens = db.prepare(`SELECT seq, doc FROM tokens WHERE seq > ? ORDER BY seq LIMIT ${pageRows}`);
    this.#accounts = db.prepare(`SELECT seq, doc FROM accounts WHERE seq > ? ORDER BY seq LIMIT ${pageRows}`);
    this.#token = db.prepare('SELECT doc FROM tokens WHERE id = ?');
    this.#account = db.prepare('SELECT doc FROM accounts WHERE id = ?');
    this.#roles = db.prepare(`SELECT seq, doc, place FROM roles WHERE seq > ? ORDER BY seq LIMIT ${pageRows}`);
    this.#role = db.prepare('SELECT doc, place FROM roles WHERE id = ?');
    this.#ordered = db.prepare('SELECT id, doc, place FROM roles WHERE place > 0 ORDER BY place, id');
    this.#totals = db.prepare(`SELECT token, doc FROM usage_totals WHERE token > ? ORDER BY token LIMIT ${pageRows}`);
    this.#buckets = db.prepare('SELECT step, at, doc AS usage FROM usage_series WHERE token = ? ORDER BY step, at');
    this.#creations = db.prepare(
      `SELECT key, body, token_id, expires_at FROM idempotency WHERE key > ? AND expires_at > ?
       ORDER BY key LIMIT ${pageRows}`,
    );
    this.#limitHeads = db.prepare(
      `SELECT kind, subject, version, clock, limits FROM limit_heads
       WHERE (kind, subject) > (?, ?) ORDER BY kind, subject LIMIT ${pageRows}`,
    );
    this.#limitLedgers = db.prepare(
      `SELECT kind, subject, ledger, label, state FROM limit_ledgers
       WHERE (kind, subject, ledger, label) > (?, ?, ?, ?) ORDER BY kind, subject, ledger, label LIMIT ${pageRows}`,
    );
    this.#changed = db.prepare(`SELECT seq, kind, subject FROM feed WHERE seq > ? ORDER BY seq LIMIT ${pageRows}`);
    this.#events = db.prepare(`SELECT id, kind, subject, doc FROM audit WHERE id > ? ORDER BY id LIMIT ${pageRows}`);
  }

  /** Where a dump begins: it has nothing of the audit trail yet. */
  begin(): DumpPosition {
    return { epoch: this.#epoch, seq: this.#bounds().last, audit: 0 };
  }

  checksumKeys(): readonly PepperKey[] {
    return [...readChecksumKeys(this.#db)].map(([id, key]) => ({ id, key }));
  }

  documents(of: 'token' | 'account', after: number): DocumentPage {
    const rows = all<{ seq: number; doc: string }>(of === 'token' ? this.#tokens : this.#accounts, after);
    return { docs: rows.map(({ doc }) => doc), next: rows.length < pageRows ? null : rows.at(-1)!.seq };
  }

  roles(after: number): RolePage {
    const rows = all<RoleRow & { seq: number }>(this.#roles, after);
    return {
      rows: rows.map(({ doc, place }) => ({ doc, place })),
      next: rows.length < pageRows ? null : rows.at(-1)!.seq,
    };
  }

  /** A page ends early where tokens have many buckets. */
  usage(after: string): KeyedPage<UsageRow> {
    const totals = all<{ token: string; doc: string }>(this.#totals, after);
    const rows: UsageRow[] = [];
    let weight = 0;
    for (const { token, doc } of totals) {
      const buckets = all<BucketRow & { step: string }>(this.#buckets, token);
      const of = (wanted: string): BucketRow[] =>
        buckets.filter(({ step }) => step === wanted).map(({ at, usage }) => ({ at, usage }));
      rows.push({ token, total: doc, hours: of('hour'), days: of('day') });
      weight += 1 + buckets.length;
      if (weight >= pageRows) break;
    }
    const ended = rows.length === totals.length && totals.length < pageRows;
    return { rows, next: ended ? null : rows.at(-1)!.token };
  }

  creations(after: string, now: Millis): KeyedPage<CreationRow> {
    const rows = all<CreationRow>(this.#creations, after, now);
    return { rows, next: rows.length < pageRows ? null : rows.at(-1)!.key };
  }

  limitHeads(after: LimitHeadKey): TuplePage<LimitHeadRow, LimitHeadKey> {
    const rows = all<LimitHeadRow>(this.#limitHeads, ...after);
    const last = rows.length < pageRows ? undefined : rows.at(-1);
    return { rows, next: last === undefined ? null : [last.kind, last.subject] };
  }

  limitLedgers(after: LimitLedgerKey): TuplePage<LimitLedgerRow, LimitLedgerKey> {
    const rows = all<LimitLedgerRow>(this.#limitLedgers, ...after);
    const last = rows.length < pageRows ? undefined : rows.at(-1);
    return { rows, next: last === undefined ? null : [last.kind, last.subject, last.ledger, last.label] };
  }

  /** What came after a position; `gap` when the feed has lost a part of it. */
  changes({ seq, audit }: DumpPosition): ChangePage | { readonly kind: 'gap' } {
    if (seq + 1 < this.#bounds().first) return { kind: 'gap' };
    const changed = all<{ seq: number; kind: EventRow['kind']; subject: string }>(this.#changed, seq);
    const events = all<EventRow>(this.#events, audit);
    const docs = new Map<string, readonly ['token' | 'account', string]>();
    const roles = new Map<string, RoleRow>();
    for (const { kind, subject } of changed) {
      if (kind === 'role') {
        for (const [id, row] of this.#moved(subject)) roles.set(id, row);
        continue;
      }
      const row = one<{ doc: string }>(kind === 'token' ? this.#token : this.#account, subject);
      if (row !== undefined) docs.set(`${kind} ${subject}`, [kind, row.doc]);
    }
    return {
      kind: 'changes',
      docs: [...docs.values()],
      roles: [...roles.values()],
      events,
      position: { epoch: this.#epoch, seq: changed.at(-1)?.seq ?? seq, audit: events.at(-1)?.id ?? audit },
      complete: changed.length < pageRows && events.length < pageRows,
    };
  }

  /** What an event of a role is about: of their order all of them. */
  #moved(subject: string): readonly (readonly [string, RoleRow])[] {
    if (subject === roleOrderId) {
      return all<RoleRow & { id: string }>(this.#ordered).map(({ id, doc, place }) => [id, { doc, place }]);
    }
    const row = one<RoleRow>(this.#role, subject);
    return row === undefined ? [] : [[subject, { doc: row.doc, place: row.place }]];
  }

  #bounds(): { readonly first: number; readonly last: number } {
    return one<{ first: number; last: number }>(this.#ends)!;
  }
}
