import { instantText } from '../../core/instant.ts';
import type { TokenView } from '../../manage/token-view.ts';
import type { Owner } from '../../ports/token-store.ts';

/** A key as this API writes it, in the order of its members; undefined ones are left out. */
export interface WireKey {
  readonly id: string;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly name: string;
  readonly enabled: boolean;
  /** Only once, in the answer to its creation. */
  readonly secret: string | undefined;
  readonly expires_at: string | undefined;
}

export function wireKey({ id, createdAt, updatedAt, name, state, expiresAt }: TokenView, secret?: string): WireKey {
  return {
    id,
    createdAt: instantText(createdAt),
    updatedAt: instantText(updatedAt),
    name,
    enabled: state === 'enabled',
    secret,
    expires_at: expiresAt === null ? undefined : instantText(expiresAt),
  };
}

/** What administrators are told of an account. */
export interface OwnerFacts {
  readonly id: string;
  readonly handle: string;
  readonly name: string;
  /** Null: the account is gone. */
  readonly joined: string | null;
  readonly roles: readonly object[];
}

/** `owner` null: the account is gone, and so is all but its id. */
export function ownerFacts(id: string, owner: Owner | null): OwnerFacts {
  const { account = null, roles = [] } = owner ?? {};
  return {
    id,
    handle: id,
    name: account?.name || id,
    joined: account === null ? null : instantText(account.createdAt),
    // Clients know roles by what they look like, too; here they have no looks.
    roles: roles.map(role => ({
      id: role.id,
      name: role.name || role.id,
      colour: 'grey',
      badge: false,
      default: false,
    })),
  };
}

/** For administrators. `owner` null: it has none. */
export function wireOwnedKey(token: TokenView, owner: OwnerFacts | null): object {
  const { id, handle, name, joined, roles } = owner ?? ownerFacts(token.owner ?? '', null);
  const created_by = { id, handle, name, joined: joined ?? instantText(token.createdAt), roles };
  return { ...wireKey(token), created_by };
}
