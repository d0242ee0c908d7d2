import type { SQLInputValue, StatementSync } from 'node:sqlite';

/** The first row, or undefined. The schema vouches for the columns' types: rows are taken at their word here only. */
export const one = <Row>(statement: StatementSync, ...values: SQLInputValue[]): Row | undefined =>
  statement.get(...values) as Row | undefined;

export const all = <Row>(statement: StatementSync, ...values: SQLInputValue[]): Row[] =>
  statement.all(...values) as unknown as Row[];

/** Primary result codes (sqlite.org/rescode.html). */
const codes = { busy: 5, readOnly: 8, full: 13, notADatabase: 26 } as const;
/** A write to a file failed: the file system is read-only, a quota or a size limit is reached. */
const writeFailed = 778;

/** SQLite's extended result code; null when the error is not SQLite's. */
function resultCode(error: unknown): number | null {
  const code = error instanceof Error ? (error as Error & { errcode?: unknown }).errcode : undefined;
  return typeof code === 'number' ? code : null;
}

const primary = (error: unknown): number => (resultCode(error) ?? 0) & 0xff;

export const isBusy = (error: unknown): boolean => primary(error) === codes.busy;
export const isNotADatabase = (error: unknown): boolean => primary(error) === codes.notADatabase;

/**
 * After such a failure of COMMIT nothing was committed: the last frame of the log was never whole. After others, a
 * failed fsync above all, only reading the log again tells.
 */
export const isRefusedWrite = (error: unknown): boolean =>
  primary(error) === codes.full || primary(error) === codes.readOnly || resultCode(error) === writeFailed;
