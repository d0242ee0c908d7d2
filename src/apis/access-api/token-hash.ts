import type { Json } from '../../core/token.ts';
import type { TokenView } from '../../manage/token-view.ts';

/** A token as this API answers it, members in this order. */
export interface TokenHash {
  readonly id: string;
  readonly token: string;
  readonly name: string;
  readonly extra: { readonly [name: string]: Json };
}

/** `secret`: at its creation. Later on only its ends are known. */
export const tokenHash = (view: TokenView, secret: string | null = null): TokenHash => ({
  id: view.id,
  token: secret ?? view.hint ?? '…',
  name: view.name,
  extra: view.extra,
});
