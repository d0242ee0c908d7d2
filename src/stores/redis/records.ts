import { readAccount, readToken } from '../../core/document.ts';
import type { Account, StoredToken } from '../../core/token.ts';
import type { TokenAndAccount } from '../../ports/token-store.ts';

/**
 * A token as it is kept: `<order of creation> <line>\n<document>`. The line holds what scripts have to know; Lua's JSON
 * and the sorted sets take only well-formed text.
 */
export interface TokenRecord {
  readonly line: string;
  readonly doc: string;
}

export function tokenRecord(token: StoredToken): TokenRecord {
  const { digest, previous } = token;
  const digests = previous === null || previous.digest === digest ? [digest] : [digest, previous.digest];
  const line = [
    token.version,
    token.createdAt,
    token.state,
    token.owner,
    token.kind.toWellFormed(),
    token.name.toWellFormed(),
    token.expiresAt,
    [...new Set(token.tags.map(tag => tag.toWellFormed()))],
    digests,
    digests.length === 2 ? previous!.until : null,
  ];
  return { line: JSON.stringify(line), doc: JSON.stringify(token) };
}

export const parseToken = (record: string): StoredToken => readToken(record.slice(record.indexOf('\n') + 1));

/** What scripts are told of an account, before its document: version, mark, whether it is a tombstone, its roles. */
export function accountValues({ version, revokedBefore, deleted, roles }: Account): readonly (string | number)[] {
  return [version, revokedBefore ?? '-', deleted ? 1 : 0, deleted ? '' : [...new Set(roles)].join(' ')];
}

/** The place of a record in the order of creation. */
export const placeOf = (record: string): number => Number(record.slice(0, record.indexOf(' ')));

export const parseAccount = (doc: string | null): Account | null =>
  doc === null || doc === '' ? null : readAccount(doc);

export const parsePair = (record: string, account: string): TokenAndAccount => ({
  token: parseToken(record),
  account: parseAccount(account),
});
