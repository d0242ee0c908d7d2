import type { Json } from '../../core/token.ts';
import type { Actor } from '../../manage/parts.ts';
import type { TokenService } from '../../manage/token-service.ts';
import type { TokenView } from '../../manage/token-view.ts';
import type { Recovery } from '../parts.ts';

/** A token as this API answers it, members in this order. */
export interface TokenHash {
  readonly id: string;
  readonly token: string;
  readonly name: string;
  readonly extra: { readonly [name: string]: Json };
}

export const tokenHash = ({ id, name, extra }: TokenView, secret: string): TokenHash => ({
  id,
  token: secret,
  name,
  extra,
});

/** Tokens after they were made: with the secret where a copy of it is kept that opens, else with its ends. */
export async function laterHashes(
  views: readonly TokenView[],
  actor: Actor,
  tokens: TokenService,
  recovery: Recovery | null,
): Promise<readonly TokenHash[]> {
  const ids = views.map(({ id }) => id);
  const copies = recovery === null ? new Map<string, string>() : await tokens.sealed(actor, ids);
  return views.map(view => {
    const copy = copies.get(view.id);
    const secret = copy === undefined ? null : (recovery?.open(copy, view.id) ?? null);
    return tokenHash(view, secret ?? masked(view));
  });
}

const masked = ({ hint }: TokenView): string => hint ?? '…';
