import { actionFault, type Grant, grantsOf } from '../core/permissions.ts';
import { accountGrants, compileRights, type Rights } from '../core/rights.ts';
import type { Account, Role, Subject } from '../core/token.ts';
import type { Permissions } from '../ports/session-source.ts';

/** A name of one action: patterns name many, and are nobody's permission by themselves. */
export const isLiteral = (name: string): boolean => !name.includes('*') && actionFault(name) === null;

/** By subject: it is another when anything about it changes. */
const known = new WeakMap<Subject, Permissions>();
const ofOwners = new WeakMap<Subject, Permissions>();

/** What a token may do on `*`; one that inherits, its account. */
export function permissionsOf(subject: Subject): Permissions {
  let found = known.get(subject);
  if (found === undefined) {
    const { token, account, roles, rights } = subject;
    const own = token.permissions;
    found = new Effective(own === 'inherit' ? accountGrants(account, roles) : grantsOf(own), rights);
    known.set(subject, found);
  }
  return found;
}

/** What the account of a token may do on `*`. */
export function permissionsOfOwner(subject: Subject): Permissions {
  let found = ofOwners.get(subject);
  if (found === undefined) {
    const { account, roles } = subject;
    found = account === null ? noPermissions : permissionsOfAccount(account, roles);
    ofOwners.set(subject, found);
  }
  return found;
}

/** What an account may do on `*`. */
export const permissionsOfAccount = (account: Account, roles: readonly Role[]): Permissions =>
  new Effective(
    accountGrants(account, roles),
    compileRights({ permissions: 'inherit', owner: account.id }, account, roles),
  );

const noPermissions: Permissions = { names: [], has: () => false };

class Effective implements Permissions {
  /** Those that some grant names: a pattern permits more. */
  readonly names: readonly string[];
  readonly #rights: Rights;

  constructor(grants: readonly Grant[], rights: Rights) {
    this.#rights = rights;
    const granted = grants.flatMap(({ actions }) => Object.keys(actions).filter(name => actions[name]));
    this.names = [...new Set(granted)].filter(name => this.has(name));
  }

  has(name: string): boolean {
    return isLiteral(name) && this.#rights.permits(name, null);
  }
}
