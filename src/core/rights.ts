import { Grants, ResourceSet, type Ruling } from './grants.ts';
import { type Grant, grantsOf } from './permissions.ts';
import type { Account, Role, Token } from './token.ts';

/** A ruling, and whose it is: null where nothing names the action and the resource. */
export interface RightsRuling {
  readonly of: 'token' | 'account';
  readonly ruling: Ruling | null;
}

/**
 * What a token may do: what both it and its owner permit. Without an owner that has a say its own permissions decide
 * alone; one that inherits has its owner's, if any.
 */
export class Rights {
  /** Null: the owner's. */
  readonly #token: Grants | null;
  /** Null: there is no owner, or it has no say. */
  readonly #account: Grants | null;
  readonly #owned: ResourceSet | null;

  constructor(token: Grants | null, account: Grants | null, owned: ResourceSet | null) {
    this.#token = token;
    this.#account = account;
    this.#owned = owned;
  }

  permits(action: string, resource: string | null): boolean {
    if (this.#token !== null && !this.#token.permits(action, resource, this.#owned)) return false;
    return this.#account === null ? this.#token !== null : this.#account.permits(action, resource, this.#owned);
  }

  /** What decided, of each side that has a say. */
  rulings(action: string, resource: string | null): readonly RightsRuling[] {
    const rulings: RightsRuling[] = [];
    if (this.#token !== null) {
      rulings.push({ of: 'token', ruling: this.#token.ruling(action, resource, this.#owned) });
    }
    if (this.#account !== null) {
      rulings.push({ of: 'account', ruling: this.#account.ruling(action, resource, this.#owned) });
    }
    return rulings;
  }
}

/** `roles`: those that the account has, in the order in which they apply; its own grants come after them. */
export function compileRights(
  token: Pick<Token, 'permissions' | 'owner'>,
  account: Account | null,
  roles: readonly Role[],
): Rights {
  const own = token.permissions === 'inherit' ? null : new Grants(grantsOf(token.permissions));
  const owned = token.owner === null ? null : ownedBy(account);
  const bound = token.owner !== null && (account === null || isBound(account));
  return new Rights(own, bound ? new Grants(accountGrants(account, roles)) : null, owned);
}

/** The account has a say in what its tokens may do. */
export const isBound = ({ permissions, roles }: Account): boolean => permissions !== null || roles.length > 0;

/** The grants of an account in the order in which they apply. One that is not known has none. */
export const accountGrants = (account: Account | null, roles: readonly Role[]): readonly Grant[] =>
  account === null ? [] : [...roles, account].flatMap(({ permissions }) => grantsOf(permissions ?? []));

/** An account that is not known owns nothing. */
export function ownedBy(account: Account | null): ResourceSet | null {
  if (account === null) return new ResourceSet([]);
  return account.owns === null ? null : new ResourceSet(account.owns);
}
