import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Account, isRevoked, type StoredToken } from '../../src/core/token.ts';
import type { TokenQuery } from '../../src/ports/token-store.ts';
import { pick, randomFrom, seed } from '../support/random.ts';
import { anAccount, anAudit, aToken, changed, made, type OpenStore, type TestedStore } from './harness.ts';

/** What every adapter of the TokenStore port guarantees about lists of tokens. */
/** A suite of its own, or its hooks would open a store for every test of the other contracts as well. */
export function tokenListContract(name: string, open: OpenStore): void {
  describe(name, () => suite(name, open));
}

function suite(name: string, open: OpenStore): void {
  let store: TestedStore;
  beforeEach(async () => {
    store = await open();
  });
  afterEach(() => store.dispose());

  const create = (token: StoredToken) => store.tokens.createToken(token, anAudit('create'), null);

  /** Every id that a query leads to, page by page. */
  async function walk(query: Omit<TokenQuery, 'after'>): Promise<string[]> {
    const ids: string[] = [];
    let after: number | null = null;
    do {
      const page = await store.tokens.listTokens({ ...query, after });
      expect(page.items.length).toBeLessThanOrEqual(query.limit);
      ids.push(...page.items.map(item => item.token.id));
      after = page.next;
    } while (after !== null);
    return ids;
  }

  describe(`${name}: lists of tokens`, () => {
    test('tokens are listed in the order of their creation, whatever their names, ids and times', async () => {
      for (const [i, id] of ['c', 'a', 'b'].entries()) await create(aToken(id, { createdAt: made - i }));
      expect(await walk({ limit: 10 })).toEqual(['c', 'a', 'b']);
      expect(await walk({ limit: 1 })).toEqual(['c', 'a', 'b']);
    });

    test('the last page has no next, when it is full too', async () => {
      for (const id of ['a', 'b', 'c', 'd']) await create(aToken(id));
      const first = await store.tokens.listTokens({ limit: 2, after: null });
      const second = await store.tokens.listTokens({ limit: 2, after: first.next });
      expect(second.items).toHaveLength(2);
      expect(second.next).toBeNull();
    });

    test('without a state, all are listed but the revoked, by their state or by a mark', async () => {
      await store.tokens.putAccount(anAccount('acme'), 0, anAudit('create'));
      await create(aToken('enabled'));
      await create(aToken('disabled', { state: 'disabled' }));
      await create(aToken('revoked', { state: 'revoked' }));
      await create(aToken('marked', { owner: 'acme', createdAt: made }));
      await create(aToken('later', { owner: 'acme', createdAt: made + 1 }));
      await store.tokens.putAccount(changed(anAccount('acme'), { revokedBefore: made }), 1, anAudit('revoke'));
      expect(await walk({ limit: 10 })).toEqual(['enabled', 'disabled', 'later']);
      expect(await walk({ limit: 10, state: 'enabled' })).toEqual(['enabled', 'later']);
      expect(await walk({ limit: 10, state: 'disabled' })).toEqual(['disabled']);
      expect(await walk({ limit: 10, state: 'revoked' })).toEqual(['revoked', 'marked']);
    });

    test('a kind can be asked for, or be left out', async () => {
      for (const id of ['a', 'b', 'c', 'd', 'e']) {
        await create(aToken(id, { kind: 'bd'.includes(id) ? 'session' : 'native', tags: ['x'], expiresAt: made + 1 }));
      }
      for (const limit of [1, 10]) {
        expect(await walk({ limit, notKind: 'session' })).toEqual(['a', 'c', 'e']);
        expect(await walk({ limit, notKind: 'session', tag: 'x' })).toEqual(['a', 'c', 'e']);
        expect(await walk({ limit, notKind: 'session', expiresBefore: made + 2 })).toEqual(['a', 'c', 'e']);
        expect(await walk({ limit, notKind: 'other' })).toEqual(['a', 'b', 'c', 'd', 'e']);
        expect(await walk({ limit, kind: 'session' })).toEqual(['b', 'd']);
        expect(await walk({ limit, kind: 'session', notKind: 'session' })).toEqual([]);
      }
    });

    test('a prefix is text: no character in it is a pattern, and case counts', async () => {
      const names = ['50%', '50% off', '5000', 'a_b', 'aXb', 'A_b', 'é', 'éa', '🔑', '🔑 ring'];
      for (const [i, text] of names.entries()) await create(aToken(`t${i}`, { name: text }));
      const found = async (prefix: string) => (await walk({ limit: 10, prefix })).map(id => names[Number(id.slice(1))]);
      expect(await found('50%')).toEqual(['50%', '50% off']);
      expect(await found('a_')).toEqual(['a_b']);
      expect(await found('é')).toEqual(['é', 'éa']);
      expect(await found('🔑')).toEqual(['🔑', '🔑 ring']);
      expect(await found('')).toEqual(names);
    });

    test('lists follow changes of a token', async () => {
      const token = aToken('a', { tags: ['x'], kind: 'one', name: 'first', expiresAt: made });
      await create(token);
      const next = changed(token, { tags: ['y'], name: 'second', expiresAt: null, state: 'disabled' });
      await store.tokens.replaceToken(next, 1, anAudit('update'));
      expect(await walk({ limit: 10, tag: 'x' })).toEqual([]);
      expect(await walk({ limit: 10, tag: 'y' })).toEqual(['a']);
      expect(await walk({ limit: 10, prefix: 'first' })).toEqual([]);
      expect(await walk({ limit: 10, state: 'enabled' })).toEqual([]);
      expect(await walk({ limit: 10, expiresBefore: made + 1 })).toEqual([]);
    });

    test(`filters combine as the words say, in pages of any size (seed ${seed})`, async () => {
      const random = randomFrom(seed);
      const accounts = new Map<string, Account>();
      for (const id of ['acme', 'umbrella', 'initech']) {
        const account = anAccount(id);
        accounts.set(id, account);
        await store.tokens.putAccount(account, 0, anAudit('create'));
      }
      const tokens = Array.from({ length: 300 }, (_, i) =>
        aToken(`t${i}`, {
          owner: pick(random, ['acme', 'umbrella', 'initech', null]),
          kind: pick(random, ['native', 'legacy']),
          state: pick(random, ['enabled', 'enabled', 'disabled', 'revoked']),
          name: pick(random, ['alpha', 'alpine', 'beta', 'al']) + (i % 7),
          tags: ['red', 'green', 'blue'].filter(() => random() < 0.4),
          createdAt: made + Math.floor(random() * 100),
          expiresAt: random() < 0.5 ? null : made + Math.floor(random() * 100),
        }),
      );
      await Promise.all(tokens.map(create));
      for (const id of ['acme', 'umbrella']) {
        const marked = changed(accounts.get(id)!, { revokedBefore: made + Math.floor(random() * 100) });
        accounts.set(id, marked);
        await store.tokens.putAccount(marked, 1, anAudit('revoke'));
      }

      const maybe = <T>(member: string, from: readonly T[]) => (random() < 0.4 ? { [member]: pick(random, from) } : {});
      for (let i = 0; i < 150; i++) {
        const query: Omit<TokenQuery, 'after' | 'limit'> = {
          ...maybe('owner', ['acme', 'umbrella', 'initech', 'nobody']),
          ...maybe('state', ['enabled', 'disabled', 'revoked'] as const),
          ...maybe('kind', ['native', 'legacy', 'other']),
          ...maybe('tag', ['red', 'green', 'blue', 'none']),
          ...maybe('prefix', ['al', 'alp', 'beta3', 'z']),
          ...maybe('expiresBefore', [made, made + 30, made + 70]),
        };
        const expected = tokens.filter(token => matches(token, accounts, query)).map(token => token.id);
        const limit = pick(random, [1, 7, 50, 1000]);
        expect(await walk({ ...query, limit }), JSON.stringify({ ...query, limit })).toEqual(expected);
      }
    });

    test('pages neither lose nor repeat tokens while others are created', async () => {
      const early = Array.from({ length: 60 }, (_, i) => `early-${i}`);
      await Promise.all(early.map(id => create(aToken(id, { tags: ['x'] }))));
      let done = false;
      const creations: Promise<unknown>[] = [];
      const writer = (async () => {
        for (let i = 0; !done; i++) {
          const creation = create(aToken(`late-${i}`, { tags: ['x'] }));
          creations.push(creation);
          if (i % 5 === 4) await creation;
        }
      })();
      for (const query of [{ limit: 7 }, { limit: 7, tag: 'x' }]) {
        // Pages of a walk that never catches up with the writer are read until every early token was seen.
        const seen: string[] = [];
        let after: number | null = null;
        do {
          const page = await store.tokens.listTokens({ ...query, after });
          seen.push(...page.items.map(item => item.token.id));
          after = page.next;
        } while (after !== null && seen.length < 200);
        expect(new Set(seen).size).toBe(seen.length);
        expect(seen.filter(id => id.startsWith('early'))).toEqual(early);
        const late = seen.filter(id => id.startsWith('late'));
        expect(late).toEqual(late.map((_, i) => `late-${i}`));
      }
      done = true;
      await writer;
      await Promise.all(creations);
      expect(await walk({ limit: 50 })).toHaveLength(early.length + creations.length);
    });
  });
}

function matches(
  token: StoredToken,
  accounts: ReadonlyMap<string, Account>,
  query: Omit<TokenQuery, 'after' | 'limit'>,
): boolean {
  const revoked = isRevoked(token, accounts.get(token.owner ?? '') ?? null);
  const { owner, state, kind, tag, prefix, expiresBefore } = query;
  if (revoked !== (state === 'revoked')) return false;
  if (state !== undefined && state !== 'revoked' && token.state !== state) return false;
  if (owner !== undefined && token.owner !== owner) return false;
  if (kind !== undefined && token.kind !== kind) return false;
  if (tag !== undefined && !token.tags.includes(tag)) return false;
  if (prefix !== undefined && !token.name.startsWith(prefix)) return false;
  return expiresBefore === undefined || (token.expiresAt !== null && token.expiresAt < expiresBefore);
}
