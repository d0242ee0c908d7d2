import { createHash, type Hash } from 'node:crypto';
import type { StoreRecord } from '../ports/store-transfer.ts';

/**
 * A backup is lines of JSON: a heading, one line for each record, and an end that says how many there were and the
 * SHA-256 of all bytes before it. What has no end is not whole.
 */
const formatName = 'postern-backup';
/** Version 2 has roles, and members of tokens and accounts that are their defaults in version 1. Version 3 has limits. */
export const formatVersion = 3;
export const oldestVersion = 1;

/** How every backup begins: so it is told from a configuration file. */
export const opening = `{"format":"${formatName}"`;

export interface Heading {
  readonly format: typeof formatName;
  readonly version: number;
  /** When it was begun, in RFC 3339. */
  readonly at: string;
  /** Of the store that it was made of. */
  readonly identity: string;
}

/** How many records of each kind there are; things that changed while they were read are there again. */
export type Counts = Readonly<Record<string, number>>;

export interface Ending {
  readonly kind: 'end';
  readonly records: Counts;
  readonly sha256: string;
}

/** Beginning of the last line, which is not part of what its digest is over. */
export const ending = '{"kind":"end"';

export const headingOf = (identity: string, at: number): Heading => ({
  format: formatName,
  version: formatVersion,
  at: new Date(at).toISOString(),
  identity,
});

/** The text of a backup, piece by piece, as the records come. */
export async function* backupText(
  heading: Heading,
  pages: AsyncIterable<readonly StoreRecord[]>,
): AsyncGenerator<string> {
  const hash = createHash('sha256');
  const counts = new Map<string, number>();
  yield hashed(hash, `${JSON.stringify(heading)}\n`);
  for await (const records of pages) {
    if (records.length === 0) continue;
    for (const { kind } of records) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    yield hashed(hash, records.map(record => `${JSON.stringify(record)}\n`).join(''));
  }
  const end: Ending = { kind: 'end', records: Object.fromEntries(counts), sha256: hash.digest('hex') };
  yield `${JSON.stringify(end)}\n`;
}

function hashed(hash: Hash, text: string): string {
  hash.update(text);
  return text;
}
