import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import type { Page, TokenQuery } from '../../ports/token-store.ts';
import type { Steps, TokenRow } from './operations.ts';
import { all, one } from './sqlite.ts';

/** Most entries of an index, or rows of the table, that are looked at without a pause: a few milliseconds. */
const stride = 5000;

interface ListedRow extends TokenRow {
  readonly seq: number;
}

/** A condition with its values, as a piece of SQL. */
interface Condition {
  readonly sql: string;
  readonly values: readonly SQLInputValue[];
}

/** An index through which the tokens of a filter can be reached. */
interface Path {
  /** What holds its entries, and the same joined with the tokens' rows. */
  readonly entries: string;
  readonly rows: string;
  /** The entries' column with the order of creation. */
  readonly seq: string;
  readonly where: Condition;
  /** Its entries are in the order of creation: pages can be read along it. Else they have to be sorted. */
  readonly ordered: boolean;
}

/**
 * Pages through tokens in the order of their creation. The narrowest index among the filters leads; the others are
 * checked on what it leads to. Where even that is wide, it is walked in strides, with a pause after each.
 */
export class TokenList {
  readonly #db: DatabaseSync;
  /** By their text: one for each combination of filters that was ever asked for. */
  readonly #statements = new Map<string, StatementSync>();
  readonly #last: StatementSync;

  constructor(db: DatabaseSync) {
    this.#db = db;
    this.#last = db.prepare('SELECT coalesce(max(seq), 0) AS seq FROM tokens');
  }

  *list(query: TokenQuery): Steps<Page<TokenRow>> {
    const filters = filtersOf(query);
    const wanted = query.limit + 1;
    const rows: ListedRow[] = [];
    const { path, narrow } = this.#choose(query);
    const last = one<{ seq: number }>(this.#last)!.seq;
    let after = query.after ?? 0;
    while (after < last) {
      const upTo = narrow ? last : this.#strideEnd(path, after, last);
      rows.push(...this.#read(path, filters, after, upTo, wanted - rows.length));
      if (rows.length === wanted || upTo === last) break;
      after = upTo;
      yield;
    }
    const items = rows.slice(0, query.limit);
    return {
      items: items.map(({ token, account }) => ({ token, account })),
      next: rows.length > query.limit ? items.at(-1)!.seq : null,
    };
  }

  /** The path to follow, and whether all of it is within one stride. */
  #choose(query: TokenQuery): { readonly path: Path; readonly narrow: boolean } {
    let best = wholeTable;
    let least = stride;
    for (const path of pathsOf(query)) {
      const count = this.#count(path, least);
      if (count < least) [best, least] = [path, count];
      else if (best === wholeTable && path.ordered) best = path;
    }
    return { path: best, narrow: least < stride };
  }

  /** Entries of a path, counted up to `most`. */
  #count({ entries, where }: Path, most: number): number {
    const sql = `SELECT count(*) AS count FROM (SELECT 1 FROM ${entries} WHERE ${where.sql} LIMIT ?)`;
    return one<{ count: number }>(this.#prepare(sql), ...where.values, most)!.count;
  }

  /** The token at which a stride along the path ends. */
  #strideEnd(path: Path, after: number, last: number): number {
    if (path === wholeTable) return Math.min(after + stride, last);
    const { entries, seq, where } = path;
    const sql = `SELECT ${seq} AS seq FROM ${entries} WHERE ${where.sql} AND ${seq} > ?
      ORDER BY ${seq} LIMIT 1 OFFSET ?`;
    const end = one<{ seq: number }>(this.#prepare(sql), ...where.values, after, stride - 1);
    return Math.min(end?.seq ?? last, last);
  }

  #read(path: Path, filters: Condition, after: number, upTo: number, limit: number): ListedRow[] {
    const { rows, seq, where } = path;
    const sql = `SELECT t.seq, t.doc AS token, a.doc AS account
      FROM ${rows} LEFT JOIN accounts a ON a.id = t.owner
      WHERE ${where.sql} AND ${seq} > ? AND ${seq} <= ? AND ${filters.sql}
      ORDER BY ${seq} LIMIT ?`;
    return all<ListedRow>(this.#prepare(sql), ...where.values, after, upTo, ...filters.values, limit);
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

const path = (table: string, where: Condition, ordered: boolean): Path => ({
  entries: table,
  rows: table,
  seq: 't.seq',
  where,
  ordered,
});

const wholeTable = path('tokens t NOT INDEXED', { sql: 'true', values: [] }, true);

/** Tokens that a mark revokes keep their state, so that theirs are all tokens of owners with a mark. */
const revokedEntries = (union: 'UNION' | 'UNION ALL'): string =>
  `(SELECT t.seq FROM tokens t INDEXED BY tokens_by_state WHERE t.state = 'revoked'
    ${union}
    SELECT t.seq FROM accounts a INDEXED BY accounts_by_mark CROSS JOIN tokens t INDEXED BY tokens_by_owner
    WHERE a.revoked_before > -9e15 AND t.owner = a.id)`;

const revokedOrMarked: Path = {
  entries: revokedEntries('UNION ALL'),
  rows: `${revokedEntries('UNION')} r CROSS JOIN tokens t ON t.seq = r.seq`,
  seq: 't.seq',
  where: { sql: 'true', values: [] },
  ordered: false,
};

/** Every index that a query's filters allow. */
function pathsOf({ owner, state, kind, tag, prefix, expiresBefore }: TokenQuery): Path[] {
  const paths: Path[] = [];
  const add = (index: string, sql: string, values: readonly SQLInputValue[], ordered = true): void => {
    paths.push(path(`tokens t INDEXED BY ${index}`, { sql, values }, ordered));
  };
  if (owner !== undefined) add('tokens_by_owner', 't.owner = ?', [owner]);
  if (tag !== undefined) {
    const rows = 'tags CROSS JOIN tokens t ON t.seq = tags.token';
    const where = { sql: 'tags.tag = ?', values: [tag] };
    paths.push({ entries: 'tags', rows, seq: 'tags.token', where, ordered: true });
  }
  if (state === undefined) add('tokens_by_state', "t.state IN ('enabled', 'disabled')", [], false);
  else if (state === 'revoked') paths.push(revokedOrMarked);
  else add('tokens_by_state', 't.state = ?', [state]);
  if (kind !== undefined) add('tokens_by_kind', 't.kind = ?', [kind]);
  if (prefix !== undefined && prefix !== '') {
    add('tokens_by_name', 't.name >= ? AND t.name < ?', [prefix, afterPrefix(prefix)], false);
  }
  if (expiresBefore !== undefined) add('tokens_by_expiry', 't.expires_at < ?', [expiresBefore], false);
  return paths;
}

/** The same as `isRevoked` in the core. */
const revoked = "(t.state = 'revoked' OR coalesce(t.created_at <= a.revoked_before, false))";

function filtersOf({ owner, state, kind, notKind, tag, prefix, expiresBefore }: TokenQuery): Condition {
  const pieces: string[] = [state === 'revoked' ? revoked : `NOT ${revoked}`];
  const values: SQLInputValue[] = [];
  const add = (sql: string, ...more: SQLInputValue[]): void => {
    pieces.push(sql);
    values.push(...more);
  };
  if (owner !== undefined) add('t.owner = ?', owner);
  if (state === 'enabled' || state === 'disabled') add('t.state = ?', state);
  if (kind !== undefined) add('t.kind = ?', kind);
  if (notKind !== undefined) add('t.kind <> ?', notKind);
  if (tag !== undefined) add('EXISTS (SELECT 1 FROM tags g WHERE g.tag = ? AND g.token = t.seq)', tag);
  if (prefix !== undefined && prefix !== '') add('t.name >= ? AND t.name < ?', prefix, afterPrefix(prefix));
  if (expiresBefore !== undefined) add('t.expires_at < ?', expiresBefore);
  return { sql: pieces.join(' AND '), values };
}

/** Above every name with this beginning: names are compared by their UTF-8 bytes, and none has this character. */
const afterPrefix = (prefix: string): string => `${prefix}\u{10ffff}`;
