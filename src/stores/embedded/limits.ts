import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { Circumstances, Ledger } from '../../core/ledger.ts';
import type { Limit } from '../../core/limit.ts';
import {
  answerQuestion,
  type BookNotice,
  defineBook,
  type Entry,
  type Head,
  type LimitAnswer,
  type LimitState,
  readBook,
  resetBook,
} from '../../core/limit-book.ts';
import type { Millis } from '../../core/token.ts';
import type { LimitedSubject, SubjectQuestion } from '../../ports/limit-ledger.ts';
import { one } from './sqlite.ts';

/** Most ledgers of ended windows dropped with a call, so that no call waits for a long clean-up. */
const pruneAtOnce = 500;

interface HeadRow {
  readonly version: number;
  readonly clock: number;
  readonly limits: string;
}

/** Heads and ledgers as rows; what they come to is said in `core`. */
export class LimitTables {
  readonly #head: StatementSync;
  readonly #putHead: StatementSync;
  readonly #ledger: StatementSync;
  readonly #putLedger: StatementSync;
  readonly #ended: StatementSync;
  readonly #prune: StatementSync;

  constructor(db: DatabaseSync) {
    this.#head = db.prepare('SELECT version, clock, limits FROM limit_heads WHERE kind = ? AND subject = ?');
    this.#putHead = db.prepare(
      'INSERT OR REPLACE INTO limit_heads (kind, subject, version, clock, limits) VALUES (?, ?, ?, ?, ?)',
    );
    this.#ledger = db.prepare(
      `SELECT state FROM limit_ledgers
       WHERE kind = ? AND subject = ? AND ledger = ? AND label = ? AND (until IS NULL OR until > ?)`,
    );
    this.#putLedger = db.prepare(
      `INSERT OR REPLACE INTO limit_ledgers (kind, subject, ledger, label, until, state) VALUES (?, ?, ?, ?, ?, ?)`,
    );
    this.#ended = db.prepare('SELECT 1 FROM limit_ledgers WHERE until <= ? LIMIT 1');
    this.#prune = db.prepare(
      `DELETE FROM limit_ledgers WHERE (kind, subject, ledger, label) IN
       (SELECT kind, subject, ledger, label FROM limit_ledgers WHERE until <= ? ORDER BY until LIMIT ${pruneAtOnce})`,
    );
  }

  exchange(
    questions: readonly SubjectQuestion[],
    circumstances: Pick<Circumstances, 'roll' | 'processes'>,
    now: Millis,
  ): readonly LimitAnswer[] {
    const answers = questions.map(question => {
      const { subject } = question;
      const given = { ...circumstances, storeTime: now };
      const { head, entries, answer } = answerQuestion(this.head(subject), this.#find(subject, now), question, given);
      this.#keep(subject, head, entries);
      return answer;
    });
    if (one(this.#ended, now) !== undefined) this.#prune.run(now);
    return answers;
  }

  /** Answers what others have to hear of. */
  define(subject: LimitedSubject, version: number, limits: readonly Limit[], now: Millis): readonly BookNotice[] {
    const find = this.#find(subject, now);
    const { head, entries, notices } = defineBook(this.head(subject), find, { version, limits }, now);
    this.#keep(subject, head, entries);
    return notices;
  }

  read(subject: LimitedSubject, version: number, limits: readonly Limit[], now: Millis): readonly LimitState[] {
    return readBook(this.head(subject), this.#find(subject, now), { version, limits }, now);
  }

  reset(
    subject: LimitedSubject,
    ledger: string,
    now: Millis,
  ): { readonly state: LimitState; readonly notice: BookNotice } | null {
    const done = resetBook(this.head(subject), this.#find(subject, now), ledger, now);
    if (done === null) return null;
    this.#keep(subject, done.head, [done.entry]);
    return { state: done.state, notice: done.notice };
  }

  head({ kind, id }: LimitedSubject): Head | null {
    const row = one<HeadRow>(this.#head, kind, id);
    return row === undefined ? null : { ...row, limits: JSON.parse(row.limits) as readonly Limit[] };
  }

  find({ kind, id }: LimitedSubject, ledger: string, label: Millis, now: Millis): Ledger | null {
    const row = one<{ state: string }>(this.#ledger, kind, id, ledger, label, now);
    return row === undefined ? null : (JSON.parse(row.state) as Ledger);
  }

  #find(subject: LimitedSubject, now: Millis): (ledger: string, label: Millis) => Ledger | null {
    return (ledger, label) => this.find(subject, ledger, label, now);
  }

  #keep({ kind, id }: LimitedSubject, { version, clock, limits }: Head, entries: readonly Entry[]): void {
    this.#putHead.run(kind, id, version, clock, JSON.stringify(limits));
    for (const { ledger, label, state, until } of entries) {
      this.#putLedger.run(kind, id, ledger, label, until, JSON.stringify(state));
    }
  }
}
