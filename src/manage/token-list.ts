import { type Account, isRevoked, type StoredToken } from '../core/token.ts';
import type { TokenAndAccount, TokenQuery } from '../ports/token-store.ts';

/** What a list of tokens is narrowed to. Without a state: every state but revoked. */
export type TokenFilter = Omit<TokenQuery, 'limit' | 'after'>;

/** Where a page begins: declared tokens come first, then those of the store. */
export type ListPosition =
  | { readonly from: 'declared'; readonly at: number }
  | { readonly from: 'store'; readonly at: number | null };

export const listStart: ListPosition = { from: 'declared', at: 0 };

/** The text of a position, for cursors; and back, null when it is none. */
export const positionText = ({ from, at }: ListPosition): string => `${from === 'declared' ? 'd' : 's'}${at ?? ''}`;

export function readPosition(text: string): ListPosition | null {
  const [, from, digits = ''] = /^([ds])([0-9]{0,15})$/.exec(text) ?? [];
  if (from === undefined || (from === 'd' && digits === '')) return null;
  return from === 'd'
    ? { from: 'declared', at: Number(digits) }
    : { from: 'store', at: digits === '' ? null : Number(digits) };
}

/** Holds for a declared token what the store's list does for its own. */
export function isListed({ token, account }: TokenAndAccount, filter: TokenFilter): boolean {
  const { owner, state, kind, tag, prefix, expiresBefore } = filter;
  return (
    hasState(token, account, state) &&
    (owner === undefined || token.owner === owner) &&
    (kind === undefined || token.kind === kind) &&
    (tag === undefined || token.tags.includes(tag)) &&
    (prefix === undefined || token.name.startsWith(prefix)) &&
    (expiresBefore === undefined || (token.expiresAt !== null && token.expiresAt < expiresBefore))
  );
}

function hasState(token: StoredToken, account: Account | null, state: TokenFilter['state']): boolean {
  if (isRevoked(token, account)) return state === 'revoked';
  return state === undefined || token.state === state;
}
