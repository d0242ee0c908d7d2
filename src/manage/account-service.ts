import type { Account, Millis } from '../core/token.ts';
import { idPattern } from '../core/token.ts';
import { Refusal } from '../errors.ts';
import type { Page, PageQuery } from '../ports/token-store.ts';
import { accountChanges } from './changes.ts';
import { compareAndSet, stale } from './compare-and-set.ts';
import { Faults } from './faults.ts';
import type { Acknowledgement, Actor, ManageParts } from './parts.ts';
import { demand, type Precondition } from './precondition.ts';
import { checkName } from './token-members.ts';

/** What managers say of an account. */
export type AccountMembers = Pick<Account, 'name' | 'enabled'>;

const defaultMembers: AccountMembers = { name: '', enabled: true };

/** A change of one account: by whom, which, on what condition, and what is wrong with its members already. */
export interface AccountRequest {
  readonly actor: Actor;
  readonly id: string;
  readonly precondition?: Precondition | null;
  readonly faults?: Faults;
}

/** Tokens of an owner that were revoked together. */
export interface OwnerRevoked extends Acknowledgement {
  readonly owner: string;
  /** How many of them were live. */
  readonly revoked: number;
  /** The owner's tokens made at or before this instant are revoked. */
  readonly revokedBefore: Millis;
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
    { id, ...said }: Partial<AccountMembers> & { readonly id?: string },
    faults: Faults = new Faults(),
  ): Promise<Account> {
    const members = { ...defaultMembers, ...said };
    checkName(members.name, faults);
    if (id !== undefined && !idPattern.test(id)) {
      faults.add('/id', 'is not 1 to 64 letters, digits, ".", "_" and "-", the first a letter or digit');
    }
    faults.throwIfAny();
    return compareAndSet(async () => {
      const made = id ?? `acc_${this.#parts.randomText(20)}`;
      const before = await this.#parts.store.getAccount(made);
      if (before !== null && !before.deleted) {
        if (id === undefined) return stale;
        throw new Refusal('conflict', 'There is an account with this id.');
      }
      return this.#write(actor, 'create', before, this.#anew(made, members, before));
    });
  }

  /** Makes the account be as declared. What is not said is as at the beginning. */
  async put(
    { actor, id, precondition = null, faults = new Faults() }: AccountRequest,
    said: Partial<AccountMembers>,
  ): Promise<{ readonly account: Account; readonly created: boolean }> {
    const members = { ...defaultMembers, ...said };
    checkName(members.name, faults);
    return compareAndSet(async () => {
      const before = await this.#parts.store.getAccount(id);
      const created = before === null || before.deleted;
      demand(precondition, created ? null : before.version);
      faults.throwIfAny();
      const next = created ? this.#anew(id, members, before) : { ...before, ...members };
      const account = await this.#write(actor, created ? 'create' : 'replace', before, next);
      return account === stale ? stale : { account, created };
    });
  }

  /** A merge patch (RFC 7396): null resets a member. */
  async patch(
    { actor, id, precondition = null, faults = new Faults() }: AccountRequest,
    patch: { readonly [K in keyof AccountMembers]?: AccountMembers[K] | null },
  ): Promise<Account> {
    return compareAndSet(async () => {
      const before = await this.get(id);
      demand(precondition, before.version);
      const { name = before.name, enabled = before.enabled } = patch;
      const members = { name: name ?? defaultMembers.name, enabled: enabled ?? defaultMembers.enabled };
      checkName(members.name, faults);
      faults.throwIfAny();
      return this.#write(actor, 'update', before, { ...before, ...members });
    });
  }

  /** All its tokens stop for good, also when an account of this id is made again. Removing it again changes nothing. */
  async remove(request: AccountRequest): Promise<{ account: Account } & Acknowledgement> {
    const before = await this.#parts.store.getAccount(request.id);
    let account = before;
    if (account === null) throw unknownAccount();
    if (account.deleted) {
      demand(request.precondition ?? null, account.version);
      await this.#parts.store.settled();
    } else account = await this.#mark(request, 'delete', { deleted: true });
    return { account, ...this.#acknowledgement };
  }

  /** Revokes every token that the owner has now, with one mark on the account. */
  async revokeTokens(request: AccountRequest): Promise<OwnerRevoked> {
    const { id, precondition = null } = request;
    const before = await this.get(id);
    const revoked = await this.#parts.store.countLive(id);
    if (revoked === 0 && before.revokedBefore !== null) {
      demand(precondition, before.version);
      await this.#parts.store.settled();
      return { owner: id, revoked, revokedBefore: before.revokedBefore, ...this.#acknowledgement };
    }
    const { revokedBefore } = await this.#mark(request, 'revoke_tokens', {});
    return { owner: id, revoked, revokedBefore: revokedBefore!, ...this.#acknowledgement };
  }

  get #acknowledgement(): Acknowledgement {
    return { acknowledged: [this.#parts.process], pending: [] };
  }

  async get(id: string): Promise<Account> {
    const account = await this.#parts.store.getAccount(id);
    if (account === null || account.deleted) throw unknownAccount();
    return account;
  }

  /** Accounts in the order of their creation. */
  list(page: PageQuery): Promise<Page<Account>> {
    return this.#parts.store.listAccounts(page);
  }

  /** Marks the account, so that each of its tokens is revoked. */
  async #mark(
    { actor, id, precondition = null }: AccountRequest,
    action: string,
    more: Partial<Account>,
  ): Promise<Account> {
    const { clock, store } = this.#parts;
    const setMark = (condition: Precondition | null, least: Millis): Promise<Account> =>
      compareAndSet(async () => {
        const before = await store.getAccount(id);
        if (before === null) throw unknownAccount();
        demand(condition, before.version);
        const after = (before.revokedBefore ?? Number.NEGATIVE_INFINITY) + 1;
        return this.#write(actor, action, before, {
          ...before,
          ...more,
          revokedBefore: Math.max(clock.wall(), least, after),
        });
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
    return { id, ...members, revokedBefore, deleted: false, createdAt, updatedAt: createdAt, version: 0 };
  }

  async #write(
    actor: Actor,
    action: string,
    before: Account | null,
    changed: Account,
  ): Promise<Account | typeof stale> {
    const { clock, store, apply } = this.#parts;
    const changes = accountChanges(before, changed);
    if (before !== null && Object.keys(changes).length === 0) {
      await this.#parts.store.settled();
      return before;
    }
    const version = before?.version ?? 0;
    const at = clock.wall();
    const next: Account = { ...changed, updatedAt: Math.max(at, changed.createdAt), version: version + 1 };
    const audit = { at, actor: actor.name, address: actor.address, action, changes };
    const outcome = await store.putAccount(next, version, audit);
    if (outcome.kind !== 'done') return stale;
    apply(outcome.events);
    return next;
  }
}

const unknownAccount = (): Refusal => new Refusal('not_found', 'There is no such account.');
