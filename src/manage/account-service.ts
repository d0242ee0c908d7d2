import type { SaidLimit } from '../core/limit-form.ts';
import { isBound } from '../core/rights.ts';
import { type Account, type Millis, mostRoles } from '../core/token.ts';
import { Refusal } from '../errors.ts';
import type { Changes, Owner, Page, PageQuery } from '../ports/token-store.ts';
import { type Acknowledgement, type Applied, checkPatience, madeBefore, type Patience } from './acknowledgement.ts';
import { accountChanges } from './changes.ts';
import { compareAndSet, stale } from './compare-and-set.ts';
import { Faults } from './faults.ts';
import {
  accountSubject,
  defineLimits,
  type LimitUse,
  limitUses,
  namedLimit,
  resetLimit,
  withReadLimits,
} from './limits.ts';
import type { Actor, ManageParts } from './parts.ts';
import {
  checkPermissions,
  checkResources,
  type OwnPermissionsPatch,
  patchedPermissions,
} from './permission-members.ts';
import { demand, type Precondition } from './precondition.ts';
import { demandUnscoped, reachOf } from './reach.ts';
import { checkId, checkName } from './token-members.ts';

/** What managers say of an account. */
export type AccountMembers = Pick<Account, 'name' | 'enabled' | 'roles' | 'permissions' | 'owns' | 'limits'>;

/** Members as they are said. */
export type SaidAccount = Partial<Omit<AccountMembers, 'limits'>> & { readonly limits?: readonly SaidLimit[] };

/** A merge patch (RFC 7396): null resets a member; a map of permissions is merged into what is there. */
export type AccountPatch = {
  readonly [K in Exclude<keyof AccountMembers, 'permissions' | 'limits'>]?: AccountMembers[K] | null;
} & { readonly permissions?: OwnPermissionsPatch | null; readonly limits?: readonly SaidLimit[] | null };

const defaultMembers: AccountMembers = {
  name: '',
  enabled: true,
  roles: [],
  permissions: null,
  owns: null,
  limits: [],
};

/** A change of one account: by whom, which, on what condition, and what is wrong with its members already. */
export interface AccountRequest {
  readonly actor: Actor;
  readonly id: string;
  readonly precondition?: Precondition | null;
  readonly faults?: Faults;
}

/** An account after a change. */
interface Written extends Applied {
  readonly account: Account;
}

/** Tokens of an owner that were revoked together. */
export interface OwnerRevoked extends Acknowledgement {
  readonly owner: string;
  /** How many of them were live. */
  readonly revoked: number;
  /** The owner's tokens made at or before this instant are revoked. */
  readonly revokedBefore: Millis;
}

export interface AccountUsage {
  readonly accountId: string;
  readonly limits: readonly LimitUse[];
}

/** What managers may do with accounts, whichever API they speak. Changes are made as those of tokens are. */
export class AccountService {
  readonly #parts: ManageParts;

  constructor(parts: ManageParts) {
    this.#parts = parts;
  }

  /** Without an id, one is made. */
  async create(
    actor: Actor,
    { id, ...said }: SaidAccount & { readonly id?: string },
    faults: Faults = new Faults(),
  ): Promise<Account> {
    demandUnscoped(actor);
    const members = { ...defaultMembers, ...withReadLimits(said, faults) };
    checkMembers(members, faults);
    if (id !== undefined) checkId(id, faults);
    await this.#refuse(members, faults);
    const { account } = await compareAndSet(async () => {
      const made = id ?? `acc_${this.#parts.randomText(20)}`;
      const before = await this.#parts.store.getAccount(made);
      if (before !== null && !before.deleted) {
        if (id === undefined) return stale;
        throw new Refusal('conflict', 'There is an account with this id.');
      }
      return this.#write(actor, 'create', before, this.#anew(made, members, before));
    });
    await this.#define(account, account.limits);
    return account;
  }

  /** Makes the account be as declared. What is not said is as at the beginning. */
  async put(
    { actor, id, precondition = null, faults = new Faults() }: AccountRequest,
    said: SaidAccount,
  ): Promise<{ readonly account: Account; readonly created: boolean }> {
    demandUnscoped(actor);
    const members = { ...defaultMembers, ...withReadLimits(said, faults) };
    checkMembers(members, faults);
    const { limits, ...done } = await compareAndSet(async () => {
      const before = await this.#parts.store.getAccount(id);
      const created = before === null || before.deleted;
      demand(precondition, created ? null : before.version);
      await this.#refuse(members, faults);
      const next = created ? this.#anew(id, members, before) : { ...before, ...members };
      const written = await this.#write(actor, created ? 'create' : 'replace', before, next);
      return written === stale ? stale : { account: written.account, created, limits: before?.limits ?? [] };
    });
    await this.#define(done.account, limits);
    return done;
  }

  async patch(
    { actor, id, precondition = null, faults = new Faults() }: AccountRequest,
    { permissions, ...said }: AccountPatch,
  ): Promise<Account> {
    demandUnscoped(actor);
    const plain = withReadLimits(said, faults);
    const { account, limits } = await compareAndSet(async () => {
      const before = await this.#get(id);
      demand(precondition, before.version);
      const members = Object.entries(plain) as [keyof AccountMembers, unknown][];
      const next: Account = {
        ...before,
        ...Object.fromEntries(members.map(([name, value]) => [name, value ?? defaultMembers[name]])),
        ...(permissions !== undefined && {
          permissions: permissions === null ? null : patchedPermissions(before.permissions, permissions),
        }),
      };
      checkMembers(next, faults);
      await this.#refuse(next, faults);
      const written = await this.#write(actor, 'update', before, next);
      return written === stale ? stale : { ...written, limits: before.limits };
    });
    if (said.limits !== undefined) await this.#define(account, limits);
    return account;
  }

  /**
   * The account that another system speaks of: made where there never was one. `permissions`: those that the system says
   * it has, which its own then are; null: it does not say. One that is disabled or deleted stays as it is.
   */
  async adopt(actor: Actor, id: string, permissions: readonly string[] | null): Promise<Account> {
    demandUnscoped(actor);
    const { account } = await compareAndSet(async (): Promise<{ account: Account } | typeof stale> => {
      const before = await this.#parts.store.getAccount(id);
      if (before === null) {
        const made = this.#anew(id, { ...defaultMembers, permissions }, null);
        const faults = new Faults();
        checkId(id, faults);
        checkMembers(made, faults);
        faults.throwIfAny();
        return this.#write(actor, 'create', null, made);
      }
      if (before.deleted || !before.enabled || permissions === null) return { account: before };
      if (JSON.stringify(before.permissions) === JSON.stringify(permissions)) return { account: before };
      const next = { ...before, permissions };
      const faults = new Faults();
      checkMembers(next, faults);
      faults.throwIfAny();
      return this.#write(actor, 'update', before, next);
    });
    return account;
  }

  /** All its tokens stop for good, also when an account of this id is made again. Removing it again changes nothing. */
  async remove(request: AccountRequest, patience: Patience = {}): Promise<{ account: Account } & Acknowledgement> {
    demandUnscoped(request.actor);
    checkPatience(patience);
    const { store, acknowledgements } = this.#parts;
    const before = await store.getAccount(request.id);
    if (before === null) throw unknownAccount();
    if (before.deleted) {
      demand(request.precondition ?? null, before.version);
      await store.settled();
      return { account: before, ...(await acknowledgements.of(madeBefore, patience)) };
    }
    // Roles can be deleted once nobody has them any more.
    const gone = { deleted: true, roles: [] };
    const { account, ...change } = await this.#mark(request, 'delete', gone, patience);
    return { account, ...(await acknowledgements.of(change, patience)) };
  }

  /** Revokes every token that the owner has now, with one mark on the account. */
  async revokeTokens(request: AccountRequest, patience: Patience = {}): Promise<OwnerRevoked> {
    const { id, precondition = null } = request;
    const { store, acknowledgements } = this.#parts;
    (await reachOf(request.actor, store)).demandOwner(id);
    checkPatience(patience);
    const before = await this.#get(id);
    const revoked = await store.countLive(id);
    if (revoked === 0 && before.revokedBefore !== null) {
      demand(precondition, before.version);
      await store.settled();
      const { revokedBefore } = before;
      return { owner: id, revoked, revokedBefore, ...(await acknowledgements.of(madeBefore, patience)) };
    }
    const { account, ...change } = await this.#mark(request, 'revoke_tokens', {}, patience);
    const revokedBefore = account.revokedBefore!;
    return { owner: id, revoked, revokedBefore, ...(await acknowledgements.of(change, patience)) };
  }

  /** What is used of the limits that all its tokens share. */
  async usage(actor: Actor, id: string): Promise<AccountUsage> {
    demandUnscoped(actor);
    return this.#usage(await this.#get(id));
  }

  /** Begins the present window of a limit anew. It is a change of the account, though all its members stay. */
  async resetLimit({ actor, id, precondition = null }: AccountRequest, name: string): Promise<AccountUsage> {
    demandUnscoped(actor);
    const { account } = await compareAndSet(async () => {
      const before = await this.#get(id);
      demand(precondition, before.version);
      namedLimit(before.limits, name);
      const more = { limit_reset: { from: null, to: name } };
      return this.#write(actor, 'reset_limit', before, before, { more });
    });
    const limit = namedLimit(account.limits, name);
    await resetLimit(this.#parts.limits, accountSubject(account), account.version, account.limits, limit);
    return this.#usage(account);
  }

  async #usage({ id, version, limits }: Account): Promise<AccountUsage> {
    await this.#parts.flushUsage();
    return { accountId: id, limits: await limitUses(this.#parts.limits, accountSubject({ id }), version, limits) };
  }

  /** `before`: limits that it had. One that was deleted had some too, which ledgers may still keep. */
  #define({ id, version, limits }: Account, before: Account['limits']): Promise<void> {
    return defineLimits(this.#parts.limits, accountSubject({ id }), version, before, limits);
  }

  async get(actor: Actor, id: string): Promise<Account> {
    demandUnscoped(actor);
    return this.#get(id);
  }

  /** The account, and its roles in the order in which they apply; null when there is none. */
  async withRoles(actor: Actor, id: string): Promise<Owner | null> {
    demandUnscoped(actor);
    const owner = await this.#parts.store.getOwner(id);
    return owner === null || owner.account.deleted ? null : owner;
  }

  async #get(id: string): Promise<Account> {
    const account = await this.#parts.store.getAccount(id);
    if (account === null || account.deleted) throw unknownAccount();
    return account;
  }

  /** Accounts in the order of their creation. */
  async list(actor: Actor, page: PageQuery): Promise<Page<Account>> {
    demandUnscoped(actor);
    return this.#parts.store.listAccounts(page);
  }

  /** Marks the account, so that each of its tokens is revoked. */
  async #mark(
    { actor, id, precondition = null }: AccountRequest,
    action: string,
    more: Partial<Account>,
    { waitMs = 0 }: Patience,
  ): Promise<Written> {
    const { clock, store } = this.#parts;
    const setMark = (condition: Precondition | null, least: Millis): Promise<Written> =>
      compareAndSet(async () => {
        const before = await store.getAccount(id);
        if (before === null) throw unknownAccount();
        demand(condition, before.version);
        const after = (before.revokedBefore ?? Number.NEGATIVE_INFINITY) + 1;
        const marked = { ...before, ...more, revokedBefore: Math.max(clock.wall(), least, after) };
        return this.#write(actor, action, before, marked, { awaited: waitMs > 0 });
      });
    const marked = await setMark(precondition, Number.NEGATIVE_INFINITY);
    // A clock that stepped back, or another's that is ahead, has made tokens that seem younger than the mark.
    const newest = await this.#newestToken(id);
    return newest === null ? marked : setMark(null, newest);
  }

  /** When the newest of an owner's live tokens was made; null when there is none. */
  async #newestToken(owner: string): Promise<Millis | null> {
    let newest: Millis | null = null;
    let after: number | null = null;
    do {
      const page: Page<{ readonly token: { readonly createdAt: Millis } }> = await this.#parts.store.listTokens({
        owner,
        limit: 1000,
        after,
      });
      for (const { token } of page.items) newest = Math.max(newest ?? token.createdAt, token.createdAt);
      after = page.next;
    } while (after !== null);
    return newest;
  }

  /** An account that was deleted keeps its mark: what it revoked stays revoked. */
  #anew(id: string, members: AccountMembers, before: Account | null): Account {
    const createdAt = this.#parts.clock.wall();
    const revokedBefore = before?.revokedBefore ?? null;
    return {
      id,
      ...members,
      revokedBefore,
      deleted: false,
      createdAt,
      updatedAt: createdAt,
      version: 0,
    };
  }

  /** The store says which roles do not exist, but only to a change that is good otherwise. */
  async #refuse({ roles }: AccountMembers, faults: Faults): Promise<void> {
    if (faults.any && roles.length > 0) {
      const known = new Set((await this.#parts.store.listRoles()).map(({ id }) => id));
      noteRoles(roles, role => known.has(role), faults);
    }
    faults.throwIfAny();
  }

  async #write(
    actor: Actor,
    action: string,
    before: Account | null,
    wanted: Account,
    { awaited = false, more = {} }: { readonly awaited?: boolean; readonly more?: Changes } = {},
  ): Promise<Written | typeof stale> {
    const { clock, store, apply } = this.#parts;
    const changed = keepBound(before, wanted);
    const changes = { ...accountChanges(before, changed), ...more };
    if (before !== null && Object.keys(changes).length === 0) {
      await store.settled();
      return { account: before, ...madeBefore };
    }
    const version = before?.version ?? 0;
    const at = clock.wall();
    const next: Account = { ...changed, updatedAt: Math.max(at, changed.createdAt), version: version + 1 };
    const audit = { at, actor: actor.name, address: actor.address, action, changes };
    const outcome = await store.putAccount(next, version, audit, awaited);
    if (outcome.kind === 'stale') return stale;
    if (outcome.kind === 'no_role') {
      const faults = new Faults();
      noteRoles(next.roles, role => !outcome.ids.includes(role), faults);
      faults.throwIfAny();
      return stale;
    }
    const held = await apply(outcome.events);
    return { account: next, position: outcome.position, held };
  }
}

/**
 * An account that was bound once stays so: else its tokens would gain by what is taken from it. One that was deleted
 * has no tokens left.
 */
function keepBound(before: Account | null, wanted: Account): Account {
  const bound = wanted.roles.length > 0 || (before !== null && !before.deleted && isBound(before));
  return bound && wanted.permissions === null ? { ...wanted, permissions: [] } : wanted;
}

/** Every rule but that the roles exist: the store knows that. */
function checkMembers({ name, roles, permissions, owns }: AccountMembers, faults: Faults): void {
  checkName(name, faults);
  checkRoles(roles, faults);
  if (permissions !== null) checkPermissions('/permissions', permissions, faults);
  if (owns !== null) checkResources('/owns', owns, faults);
}

function checkRoles(roles: readonly string[], faults: Faults): void {
  if (roles.length > mostRoles) faults.add('/roles', `has more than ${mostRoles} roles`);
  const seen = new Set<string>();
  roles.slice(0, mostRoles).forEach((role, index) => {
    if (seen.has(role)) faults.add(`/roles/${index}`, 'stands twice');
    seen.add(role);
  });
}

function noteRoles(roles: readonly string[], exists: (role: string) => boolean, faults: Faults): void {
  roles.slice(0, mostRoles).forEach((role, index) => {
    if (!exists(role)) faults.add(`/roles/${index}`, 'does not exist');
  });
}

const unknownAccount = (): Refusal => new Refusal('not_found', 'There is no such account.');
