import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Millis } from '../../core/token.ts';
import { addUsage, dayOf, hourOf, type Usage } from '../../core/usage.ts';
import type { UsageEntry } from '../../ports/usage-ledger.ts';
import type { BucketRow, ReportPart } from './operations.ts';
import { all, one } from './sqlite.ts';

/** How long buckets are kept, in milliseconds. Totals are kept for good. */
export interface UsageRetention {
  readonly hours: Millis;
  readonly days: Millis;
}

/** Most rows of each kind dropped with a report, so that no report waits for a long clean-up. */
const pruneAtOnce = 500;

/** How far the report of a process has got. */
interface ReportRow {
  readonly number: number;
  readonly added: number | null;
}

export class UsageTables {
  readonly #retention: UsageRetention;
  readonly #report: StatementSync;
  readonly #putReport: StatementSync;
  readonly #total: StatementSync;
  readonly #putTotal: StatementSync;
  readonly #bucket: StatementSync;
  readonly #putBucket: StatementSync;
  readonly #series: StatementSync;
  readonly #dropBuckets: StatementSync;
  readonly #dropReports: StatementSync;

  constructor(db: DatabaseSync, retention: UsageRetention) {
    this.#retention = retention;
    this.#report = db.prepare('SELECT number, added FROM usage_reports WHERE process = ?');
    this.#putReport = db.prepare(
      'INSERT OR REPLACE INTO usage_reports (process, number, added, at) VALUES (?, ?, ?, ?)',
    );
    this.#total = db.prepare('SELECT doc FROM usage_totals WHERE token = ?');
    this.#putTotal = db.prepare('INSERT OR REPLACE INTO usage_totals (token, doc) VALUES (?, ?)');
    this.#bucket = db.prepare('SELECT doc FROM usage_series WHERE token = ? AND step = ? AND at = ?');
    this.#putBucket = db.prepare('INSERT OR REPLACE INTO usage_series (token, step, at, doc) VALUES (?, ?, ?, ?)');
    this.#series = db.prepare(
      `SELECT at, doc AS usage FROM usage_series
       WHERE token = ? AND step = ? AND at >= ? AND at < ? ORDER BY at`,
    );
    this.#dropBuckets = db.prepare(
      `DELETE FROM usage_series WHERE (token, step, at) IN
       (SELECT token, step, at FROM usage_series INDEXED BY usage_series_by_time
        WHERE step = ? AND at < ? ORDER BY at LIMIT ${pruneAtOnce})`,
    );
    this.#dropReports = db.prepare(
      `DELETE FROM usage_reports WHERE process IN
       (SELECT process FROM usage_reports WHERE at < ? ORDER BY at LIMIT ${pruneAtOnce})`,
    );
  }

  /**
   * Adds a part of a report. A part that was added before, or that belongs to an older report, changes nothing, so
   * that a report can be sent again from its beginning, whatever became of it.
   */
  report(part: ReportPart, now: Millis): void {
    const { process, number, from, last, entries } = part;
    const known = one<ReportRow>(this.#report, process);
    if (known !== undefined && number < known.number) return;
    const added = known?.number === number ? known.added : 0;
    if (added !== from) return;
    for (const entry of entries) this.#add(entry);
    this.#putReport.run(process, number, last ? null : from + entries.length, now);
    if (last) this.#prune(now);
  }

  totals(tokenIds: readonly string[]): (readonly [string, string])[] {
    const found: (readonly [string, string])[] = [];
    for (const id of tokenIds) {
      const row = one<{ doc: string }>(this.#total, id);
      if (row !== undefined) found.push([id, row.doc]);
    }
    return found;
  }

  series(tokenId: string, step: 'hour' | 'day', from: Millis, to: Millis): BucketRow[] {
    return all<BucketRow>(this.#series, tokenId, step, from, to);
  }

  #add({ tokenId, hour, usage }: UsageEntry): void {
    this.#putTotal.run(tokenId, sum(one(this.#total, tokenId), usage));
    const buckets = [['hour', hourOf(hour)] as const, ['day', dayOf(hour)] as const];
    for (const [step, at] of buckets) {
      this.#putBucket.run(tokenId, step, at, sum(one(this.#bucket, tokenId, step, at), usage));
    }
  }

  #prune(now: Millis): void {
    this.#dropBuckets.run('hour', now - this.#retention.hours);
    this.#dropBuckets.run('day', now - this.#retention.days);
    this.#dropReports.run(now - this.#retention.hours);
  }
}

const sum = (row: { readonly doc: string } | undefined, usage: Usage): string =>
  JSON.stringify(row === undefined ? usage : addUsage(JSON.parse(row.doc) as Usage, usage));
