import { type Uncovered, uncovered } from '../core/cover.ts';
import type { Limit } from '../core/limit.ts';
import { loosenedLimits } from '../core/limit-form.ts';
import { type Grant, grantsOf, type OwnPermissions, type Permissions } from '../core/permissions.ts';
import { accountGrants } from '../core/rights.ts';
import { pointerStep } from '../core/strict-json.ts';
import type { StoredToken, Token } from '../core/token.ts';
import { Refusal } from '../errors.ts';
import type { Owner, TokenStore } from '../ports/token-store.ts';
import type { Fault } from './faults.ts';
import type { Actor } from './parts.ts';
import type { TokenFilter } from './token-list.ts';
import { defaultMembers, type TokenMembers } from './token-members.ts';

/**
 * What an actor can reach. Every call of the token service asks for it first, and sees and changes tokens through it
 * alone. Refusals are `forbidden`; a token out of reach is one that is not there.
 */
export interface Reach {
  /** There may be tokens out of reach. */
  readonly partial: boolean;
  has(token: Pick<Token, 'owner'>): boolean;
  /** What a new token is where nothing is said. */
  readonly defaults: TokenMembers;
  /** The filter of a list, narrowed to what can be reached. */
  narrow(filter: TokenFilter): TokenFilter;
  /** Refuses all tokens of an owner at once, where they are somebody else's. Says nothing of whether it exists. */
  demandOwner(id: string): void;
  /** Refuses an action on a token as it is. */
  demandAction(action: string, token: Pick<Token, 'mode'>): void;
  /** Refuses to make a token somebody else's, or not enforced. Says nothing of whether that owner exists. */
  demandMembers(next: Pick<Token, 'owner' | 'mode'>, before: Pick<Token, 'mode'> | null): void;
  /** Refuses permissions beyond the account's. `before`: those that stay as they are are nobody's doing. */
  demandPermissions(next: Permissions, before: Permissions | null, pointer: string): void;
  /**
   * Refuses to let a token that goes beyond the account's rights be used by others, for longer, or on other terms.
   * `constrains`: something is said of its constraints.
   */
  demandUse(next: StoredToken, before: StoredToken, constrains: boolean): void;
  /** Refuses to take limits away from a token that has them, or to raise them. */
  demandLimits(next: readonly Limit[], before: readonly Limit[]): void;
}

/** Rejects with `forbidden` when the actor's account is unknown, deleted or disabled. */
export async function reachOf({ scope }: Actor, store: Pick<TokenStore, 'getOwner'>): Promise<Reach> {
  if (scope === null) return everything;
  const owner = await store.getOwner(scope.account);
  if (owner === null || owner.account.deleted || !owner.account.enabled) {
    throw new Refusal('forbidden', 'The account does not exist, or is disabled.');
  }
  return new OwnTokens(owner);
}

/** For what nobody may do who is held to an account. */
export function demandUnscoped({ scope }: Actor): void {
  if (scope !== null) throw new Refusal('forbidden', 'This key is for the tokens of one account, and nothing else.');
}

const everything: Reach = {
  partial: false,
  has: () => true,
  defaults: defaultMembers,
  narrow: filter => filter,
  demandOwner: () => {},
  demandAction: () => {},
  demandMembers: () => {},
  demandPermissions: () => {},
  demandUse: () => {},
  demandLimits: () => {},
};

/**
 * The tokens of one account, which get no more rights than it has.
 *
 * An account that was never given rights bounds none of its tokens, so that one of them may do more than the account has
 * to pass on. Nobody gets more of it by such a key than was given out before.
 *
 * The account may change between this and the write. That gives nothing away: what a token may do is what both it and
 * its account permit, and an account that has rights is bound for ever; one without cannot be given to pass on more
 * than nothing. Only an account that is deleted and made again begins without a bound, and the mark that it keeps
 * revokes every token from before, or sends a creation that it overtook back to be judged again.
 */
class OwnTokens implements Reach {
  readonly partial = true;
  readonly #owner: Owner;
  readonly defaults: TokenMembers;

  constructor(owner: Owner) {
    this.#owner = owner;
    this.defaults = { ...defaultMembers, owner: owner.account.id };
  }

  has({ owner }: Pick<Token, 'owner'>): boolean {
    return owner === this.#owner.account.id;
  }

  narrow(filter: TokenFilter): TokenFilter {
    const { id } = this.#owner.account;
    this.demandOwner(filter.owner ?? id);
    return { ...filter, owner: id };
  }

  demandOwner(id: string): void {
    if (!this.has({ owner: id })) throw beyond([notItsAccount('?owner')]);
  }

  /** A secret for a token in shadow mode would be one that nothing is refused to. It can be stopped. */
  demandAction(action: string, { mode }: Pick<Token, 'mode'>): void {
    if (mode === 'enforce' || action === 'disable' || action === 'revoke') return;
    throw new Refusal('forbidden', 'The token is in shadow mode: its owner may only disable or revoke it.');
  }

  demandMembers(next: Pick<Token, 'owner' | 'mode'>, before: Pick<Token, 'mode'> | null): void {
    const { mode } = next;
    const errors = [
      ...(this.has(next) ? [] : [notItsAccount('/owner')]),
      ...(mode === 'enforce' || mode === before?.mode
        ? []
        : [{ pointer: '/mode', detail: 'is not for this key to set' }]),
    ];
    if (errors.length > 0) throw beyond(errors);
  }

  demandPermissions(next: Permissions, before: Permissions | null, pointer: string): void {
    // "inherit" is what the account has, and nothing of one that was never given anything.
    if (next === 'inherit' || JSON.stringify(next) === JSON.stringify(before)) return;
    const { account } = this.#owner;
    const excess = excessOf(grantsOf(next), this.#grants, account.owns);
    if (excess.length === 0) return;
    throw beyond(
      excess.map(entry => ({
        pointer: pointer + stepsTo(next, entry),
        detail: `grants "${entry.action}" on "${entry.resource}", which the account may not do`,
      })),
    );
  }

  demandUse(next: StoredToken, before: StoredToken, constrains: boolean): void {
    const { permissions } = next;
    if (permissions === 'inherit' || !(constrains || isLoosened(before, next))) return;
    if (uncovered(grantsOf(permissions), this.#grants, this.#owner.account.owns) === null) return;
    throw new Refusal(
      'forbidden',
      'The token may do more than its account, which may neither use it, nor loosen what bounds it.',
    );
  }

  /** Who has set them is not known: what bounds a token may be somebody else's word. */
  demandLimits(next: readonly Limit[], before: readonly Limit[]): void {
    const loosened = loosenedLimits(before, next);
    if (loosened.length === 0) return;
    throw new Refusal('forbidden', 'This key may add limits and lower them, and neither take away nor raise any.', {
      errors: loosened.map(({ name, index, member }) =>
        index === null || member === null
          ? { pointer: '/limits', detail: `takes "${name}" away` }
          : {
              pointer: `/limits${pointerStep(index)}${pointerStep(member)}`,
              detail: `is not within "${name}" as it was`,
            },
      ),
    });
  }

  get #grants(): readonly Grant[] {
    const { account, roles } = this.#owner;
    return accountGrants(account, roles);
  }
}

/** Somebody else can use it, or it works where it did not. Its rights and constraints aside. */
const isLoosened = (before: StoredToken, next: StoredToken): boolean =>
  next.digest !== before.digest ||
  (next.state === 'enabled' && before.state !== 'enabled') ||
  (next.expiresAt ?? Number.POSITIVE_INFINITY) > (before.expiresAt ?? Number.POSITIVE_INFINITY) ||
  (next.notBefore ?? Number.NEGATIVE_INFINITY) < (before.notBefore ?? Number.NEGATIVE_INFINITY);

const notItsAccount = (pointer: string): Fault => ({ pointer, detail: 'is not the account that this key is for' });

const beyond = (errors: readonly Fault[]): Refusal =>
  new Refusal('forbidden', 'This goes beyond what the account has.', { errors });

/** Most grants that are named, and most entries on both sides together for which more than the first is looked for. */
const naming = { most: 10, entries: 200 } as const;

/** Entries that go beyond the account's: the first ones, or the first alone where there is much to compare. */
function excessOf(
  next: readonly Grant[],
  account: readonly Grant[],
  owns: readonly string[] | null,
): readonly Uncovered[] {
  const most = entriesIn(next) + entriesIn(account) > naming.entries ? 1 : naming.most;
  const found: Uncovered[] = [];
  let left = next;
  while (found.length < most) {
    const excess = uncovered(left, account, owns);
    if (excess === null) break;
    found.push(excess);
    // Withheld instead: what the entries before it decide stays as it is.
    left = left.map((grant, i) =>
      i === excess.grant ? { ...grant, actions: { ...grant.actions, [excess.action]: false } } : grant,
    );
  }
  return found;
}

const entriesIn = (grants: readonly Grant[]): number =>
  grants.reduce((sum, { resources, actions }) => sum + resources.length * Object.keys(actions).length, 0);

/** Where an entry of the long form stands in permissions as they were written. */
function stepsTo(permissions: OwnPermissions, { grant, action }: Uncovered): string {
  if (!Array.isArray(permissions)) return pointerStep(action);
  if (typeof permissions[0] === 'string') return pointerStep(permissions.lastIndexOf(action));
  return `${pointerStep(grant)}/actions${pointerStep(action)}`;
}
