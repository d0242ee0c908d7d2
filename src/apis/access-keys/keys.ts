import { Refusal } from '../../errors.ts';
import type { Actor } from '../../manage/parts.ts';
import { type ListPosition, listStart, type TokenFilter } from '../../manage/token-list.ts';
import type { TokenView } from '../../manage/token-view.ts';
import type { Owner } from '../../ports/token-store.ts';
import type { ApiParts } from '../parts.ts';
import { accountDisabled, notFound } from './answers.ts';
import type { KeyMembers } from './body.ts';
import { keyForm } from './secret.ts';
import { type WireKey, wireKey, wireOwnedKey } from './wire-key.ts';
import { Xids, xidForm } from './xid.ts';

const kind = 'access-keys';

/** Accounts with this role are bots. */
const botRole = 'bot';

/** Keys that are read at a time, and accounts that are asked for at a time. */
const pageSize = 1000;
const accountsAtOnce = 50;

/** What the calls do. An actor with a scope reaches the keys of its account, one without those of everybody. */
export class Keys {
  readonly #parts: ApiParts;
  readonly #ids: Xids;

  constructor(parts: ApiParts) {
    this.#parts = parts;
    this.#ids = new Xids(parts.clock);
  }

  async demandEnabled(actor: Actor, account: string): Promise<void> {
    const owner = await this.#parts.accounts.withRoles(actor, account);
    if (owner?.account.enabled !== true) throw accountDisabled();
  }

  /** A key has what its account has: whatever that is at each request. */
  async create(actor: Actor, account: string, { name, expiresAt }: KeyMembers): Promise<WireKey> {
    const owner = await this.#parts.accounts.withRoles({ ...actor, scope: null }, account);
    const isBot = owner?.roles.some(({ id }) => id === botRole) ?? false;
    const form = keyForm(isBot ? 'sdbak' : 'sdpak', this.#ids);
    const { token, secret } = await this.#parts.tokens.create(actor, {
      kind,
      form,
      name,
      expiresAt,
      permissions: 'inherit',
    });
    return wireKey(token, secret ?? undefined);
  }

  async list(actor: Actor): Promise<{ readonly keys: readonly WireKey[] }> {
    return { keys: (await this.#all(actor)).map(token => wireKey(token)) };
  }

  async listOwned(actor: Actor): Promise<{ readonly keys: readonly object[] }> {
    const tokens = await this.#all(actor);
    const owners = await this.#owners(actor, new Set(tokens.flatMap(({ owner }) => owner ?? [])));
    return { keys: tokens.map(token => wireOwnedKey(token, owners.get(token.owner ?? '') ?? null)) };
  }

  /** The key stays in the lists. Removing it again changes nothing. */
  async remove(actor: Actor, id: string): Promise<void> {
    if (!xidForm.test(id)) throw notFound();
    if (await this.#isRevoked(actor, id)) return;
    try {
      await this.#parts.tokens.disable({ actor, id });
    } catch (error) {
      // Somebody else may have revoked it for good in between.
      if (!(error instanceof Refusal) || !(await this.#isRevoked(actor, id))) throw error;
    }
  }

  /** What is revoked for good needs no disabling. Only keys of this API are here. */
  async #isRevoked(actor: Actor, id: string): Promise<boolean> {
    const token = await this.#parts.tokens.get(actor, id);
    if (token.kind !== kind) throw notFound();
    return token.state === 'revoked';
  }

  /** In the order of their creation, those that were revoked elsewhere included. */
  async #all(actor: Actor): Promise<readonly TokenView[]> {
    const found = new Map<string, TokenView>();
    for (const filter of [{ kind }, { kind, state: 'revoked' }] satisfies TokenFilter[]) {
      let position: ListPosition | null = listStart;
      while (position !== null) {
        const page: Awaited<ReturnType<ApiParts['tokens']['list']>> = await this.#parts.tokens.list(
          actor,
          filter,
          pageSize,
          position,
        );
        for (const token of page.tokens) found.set(token.id, token);
        position = page.next;
      }
    }
    return [...found.values()].sort((a, b) => a.createdAt - b.createdAt);
  }

  async #owners(actor: Actor, ids: ReadonlySet<string>): Promise<ReadonlyMap<string, Owner | null>> {
    const owners = new Map<string, Owner | null>();
    const left = [...ids];
    while (left.length > 0) {
      const some = left.splice(0, accountsAtOnce);
      const found = await Promise.all(some.map(id => this.#parts.accounts.withRoles(actor, id)));
      some.forEach((id, i) => void owners.set(id, found[i] ?? null));
    }
    return owners;
  }
}
