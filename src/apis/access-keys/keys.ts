import type { Millis } from '../../core/token.ts';
import { Refusal } from '../../errors.ts';
import type { Actor } from '../../manage/parts.ts';
import { type ListPosition, listStart, type TokenFilter } from '../../manage/token-list.ts';
import type { TokenView } from '../../manage/token-view.ts';
import type { ApiParts } from '../parts.ts';
import { Busy, Turns } from '../turns.ts';
import { accountDisabled, keysUsedUp, notFound, tooManyKeys, unavailable } from './answers.ts';
import type { KeyMembers } from './body.ts';
import { keyForm } from './secret.ts';
import { type OwnerFacts, ownerFacts, type WireKey, wireKey, wireOwnedKey } from './wire-key.ts';
import { Xids, xidForm } from './xid.ts';

const kind = 'access-keys';

/** Accounts with this role are bots. */
const botRole = 'bot';

/**
 * Keys that are read at a time, accounts that are asked for at a time, most characters of a list, and most keys of an account
 * that are enabled: for one more, one has to be deleted.
 */
const limits = { page: 100, accounts: 50, text: 4 * 1024 * 1024, enabled: 1000 } as const;

/** What the calls do. An actor with a scope reaches the keys of its account, one without those of everybody. */
export class Keys {
  readonly #parts: ApiParts;
  readonly #ids: Xids;
  readonly #turns = new Turns();

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
    await this.#demandRoom(actor);
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

  /** JSON of the answer. */
  list(actor: Actor, account: string): Promise<string> {
    return this.#inTurn(account, () => this.#listed(actor, async tokens => tokens.map(token => wireKey(token))));
  }

  /** The same for administrators, with whose each key is. */
  listOwned(actor: Actor, account: string): Promise<string> {
    const owners = new Map<string, OwnerFacts>();
    const written = async (tokens: readonly TokenView[]): Promise<readonly object[]> => {
      await this.#learn(actor, new Set(tokens.flatMap(({ owner }) => owner ?? [])), owners);
      return tokens.map(token => wireOwnedKey(token, owners.get(token.owner ?? '') ?? null));
    };
    return this.#inTurn(account, () => this.#listed(actor, written));
  }

  async #inTurn(account: string, list: () => Promise<string>): Promise<string> {
    try {
      return await this.#turns.take(account, list);
    } catch (error) {
      throw error instanceof Busy ? unavailable(1) : error;
    }
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

  /**
   * All of them, in the order of their creation, those that were revoked elsewhere included: there are no pages, and clients
   * take a list for whole. So it is refused where it would fill the memory, and never cut short.
   */
  async #listed(actor: Actor, written: (tokens: readonly TokenView[]) => Promise<readonly object[]>): Promise<string> {
    const found = new Map<string, { readonly createdAt: Millis; readonly text: string }>();
    let length = 0;
    for (const filter of [{ kind }, { kind, state: 'revoked' }] satisfies TokenFilter[]) {
      for await (const tokens of this.#pages(actor, filter)) {
        const keys = await written(tokens);
        tokens.forEach(({ id, createdAt }, i) => {
          const text = JSON.stringify(keys[i]);
          length += text.length;
          found.set(id, { createdAt, text });
        });
        if (length > limits.text) throw tooManyKeys();
      }
    }
    const keys = [...found.values()].sort((a, b) => a.createdAt - b.createdAt);
    return `{"keys":[${keys.map(({ text }) => text).join(',')}]}`;
  }

  async #demandRoom(actor: Actor): Promise<void> {
    let count = 0;
    for await (const { length } of this.#pages(actor, { kind, state: 'enabled' })) {
      count += length;
      if (count >= limits.enabled) throw keysUsedUp(limits.enabled);
    }
  }

  async *#pages(actor: Actor, filter: TokenFilter): AsyncGenerator<readonly TokenView[]> {
    for (let at: ListPosition | null = listStart; at !== null; ) {
      const page: Awaited<ReturnType<ApiParts['tokens']['list']>> = await this.#parts.tokens.list(
        actor,
        filter,
        limits.page,
        at,
      );
      yield page.tokens;
      at = page.next;
    }
  }

  async #learn(actor: Actor, ids: ReadonlySet<string>, owners: Map<string, OwnerFacts>): Promise<void> {
    const left = [...ids].filter(id => !owners.has(id));
    while (left.length > 0) {
      const some = left.splice(0, limits.accounts);
      const found = await Promise.all(some.map(id => this.#parts.accounts.withRoles(actor, id)));
      some.forEach((id, i) => void owners.set(id, ownerFacts(id, found[i] ?? null)));
    }
  }
}
