import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Cursor, FeedAnswer } from '../../ports/change-feed.ts';
import type { Audit, AuditEvent, EventQuery, FeedEvent, Page, ReplaceOutcome } from '../../ports/token-store.ts';
import { readMeta } from './schema.ts';
import { all, one } from './sqlite.ts';

/** Most events in one answer of the feed. */
const readAtOnce = 1000;
/** Most events dropped for one that is added, so that a feed that was made shorter does not stop a mutation. */
const trimAtOnce = 100;

interface FeedRow {
  readonly seq: number;
  readonly at: number;
  readonly kind: FeedEvent['kind'];
  readonly subject: string;
  readonly version: number;
  readonly digests: string;
  readonly awaited: number;
}

/** What changed: the feed for processes, the audit trail for people. Both are written with every mutation. */
export class Journal {
  readonly #epoch: string;
  readonly #keep: number;
  readonly #append: StatementSync;
  readonly #trim: StatementSync;
  readonly #ends: StatementSync;
  readonly #after: StatementSync;
  readonly #addAudit: StatementSync;
  readonly #audit: StatementSync;

  /** `keep`: how many of the newest feed events stay. */
  constructor(db: DatabaseSync, keep: number) {
    this.#epoch = readMeta(db, 'epoch');
    this.#keep = keep;
    // SQLite numbers a row one above the highest: consecutive, because the newest event is never dropped.
    this.#append = db.prepare(
      'INSERT INTO feed (at, kind, subject, version, digests, awaited) VALUES (?, ?, ?, ?, ?, ?)',
    );
    this.#trim = db.prepare(`DELETE FROM feed WHERE seq <= ? AND seq < (SELECT min(seq) FROM feed) + ${trimAtOnce}`);
    this.#ends = db.prepare(
      'SELECT coalesce((SELECT min(seq) FROM feed), 1) AS first, coalesce((SELECT max(seq) FROM feed), 0) AS last',
    );
    this.#after = db.prepare(`SELECT * FROM feed WHERE seq > ? ORDER BY seq LIMIT ${readAtOnce}`);
    this.#addAudit = db.prepare('INSERT INTO audit (kind, subject, doc) VALUES (?, ?, ?)');
    this.#audit = db.prepare('SELECT id, doc FROM audit WHERE kind = ? AND subject = ? AND id > ? ORDER BY id LIMIT ?');
  }

  /** Writes both events of a mutation, inside its transaction. */
  record(
    kind: FeedEvent['kind'],
    subject: { readonly id: string; readonly version: number },
    digests: readonly string[],
    audit: Audit,
    awaited = false,
  ): FeedEvent {
    const { id, version } = subject;
    const added = this.#append.run(audit.at, kind, id, version, JSON.stringify(digests), awaited ? 1 : 0);
    const seq = Number(added.lastInsertRowid);
    if (seq > this.#keep) this.#trim.run(seq - this.#keep);
    const { at, actor, address, action, changes } = audit;
    this.#addAudit.run(kind, id, JSON.stringify({ at, actor, address, action, changes } satisfies Audit));
    return { seq, at: audit.at, kind, id, version, digests, awaited };
  }

  head(): Cursor {
    return { epoch: this.#epoch, seq: this.#bounds().last };
  }

  /** What a mutation answers when this is its event. */
  done(event: FeedEvent): Extract<ReplaceOutcome, { readonly kind: 'done' }> {
    return { kind: 'done', events: [event], position: { epoch: this.#epoch, seq: event.seq } };
  }

  /** Whether a reader can have come so far in this feed. */
  has({ epoch, seq }: Cursor): boolean {
    return epoch === this.#epoch && seq <= this.#bounds().last;
  }

  read(cursor: Cursor): FeedAnswer {
    const { first, last } = this.#bounds();
    // A position ahead of ours is of a future that this file never had: an older copy was put in its place. No epoch has
    // to tell others: the file has one reader, who hears of the gap here.
    if (cursor.epoch !== this.#epoch || cursor.seq + 1 < first || cursor.seq > last) {
      return { kind: 'gap', cursor: { epoch: this.#epoch, seq: last } };
    }
    const events = all<FeedRow>(this.#after, cursor.seq).map(row => ({
      seq: row.seq,
      at: row.at,
      kind: row.kind,
      id: row.subject,
      version: row.version,
      digests: JSON.parse(row.digests) as string[],
      awaited: row.awaited === 1,
    }));
    const seq = events.at(-1)?.seq ?? cursor.seq;
    return { kind: 'events', events, cursor: { epoch: this.#epoch, seq }, complete: seq === last };
  }

  listEvents(query: EventQuery): Page<AuditEvent> {
    const rows = all<{ id: number; doc: string }>(this.#audit, query.kind, query.id, query.after ?? 0, query.limit + 1);
    const items = rows.slice(0, query.limit).map(row => ({ ...(JSON.parse(row.doc) as Audit), id: row.id }));
    return { items, next: rows.length > query.limit ? items.at(-1)!.id : null };
  }

  #bounds(): { readonly first: number; readonly last: number } {
    return one<{ first: number; last: number }>(this.#ends)!;
  }
}
