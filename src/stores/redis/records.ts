import { readAccount, readToken } from '../../core/document.ts';
import type { Account, StoredToken, Token } from '../../core/token.ts';
import type { TokenAndAccount } from '../../ports/token-store.ts';

/**
 * A token as it is kept: `<order of creation> <line>\n<document>`. The line holds what scripts have to know; Lua's JSON
 * and the sorted sets take only well-formed text. Programs that do not know what the document asks for would let pass what it
 * forbids: then the line begins with marks, one for each schema after the first, and their scripts fail on it.
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
  return { line: laterMark.repeat(schemaOf(token) - 1) + JSON.stringify(line), doc: JSON.stringify(token) };
}

/** Stands where programs of an earlier schema expect something else. No role's id begins with it. */
const laterMark = '+';

type Said = Pick<Token, 'permissions' | 'limits' | 'constraints' | 'mode'>;

/** The first schema whose programs keep to all that stands in it. */
function schemaOf({ permissions, limits, constraints, mode }: Said): number {
  if (limits.length > 0) return 3;
  const later =
    permissions === 'inherit' ||
    (Array.isArray(permissions) && typeof permissions[0] === 'object') ||
    Object.keys(constraints).length > 0 ||
    mode !== 'enforce';
  return later ? 2 : 1;
}

export const parseToken = (record: string): StoredToken => readToken(record.slice(record.indexOf('\n') + 1));

/**
 * What scripts are told of an account, before its document: version, mark, whether it is a tombstone, and its roles behind
 * a mark that it has rights. Programs of schema 1 would not hold its tokens to them, and find no account in such a line. With
 * limits a mark stands before the third of these: programs of schema 2 fail on it, and those of schema 1 find no account.
 */
export function accountValues(account: Account): readonly (string | number)[] {
  const { version, revokedBefore, deleted, roles, permissions, owns, limits } = account;
  const later = !deleted && (permissions !== null || owns !== null || roles.length > 0);
  const end = later ? [laterMark, ...new Set(roles)].join(' ') : '';
  const isLimited = !deleted && limits.length > 0;
  return [version, revokedBefore ?? '-', isLimited ? `${laterMark}0` : deleted ? 1 : 0, end];
}

/** The place of a record in the order of creation. */
export const placeOf = (record: string): number => Number(record.slice(0, record.indexOf(' ')));

export const parseAccount = (doc: string | null): Account | null =>
  doc === null || doc === '' ? null : readAccount(doc);

export const parsePair = (record: string, account: string): TokenAndAccount => ({
  token: parseToken(record),
  account: parseAccount(account),
});
