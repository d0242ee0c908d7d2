import type { Redis } from 'ioredis';
import { expect, test } from 'vitest';
import type { TokenQuery } from '../../../../src/ports/token-store.ts';
import type { Store } from '../../../../src/stores/store.ts';
import { anAccount, anAudit, aToken, changed, made } from '../../../contract/harness.ts';
import { redisRig } from './rig.ts';

const rig = redisRig();

async function walk(store: Store, query: Omit<TokenQuery, 'after'>): Promise<string[]> {
  const ids: string[] = [];
  let after: number | null = null;
  do {
    const page = await store.tokens.listTokens({ ...query, after });
    ids.push(...page.items.map(item => item.token.id));
    after = page.next;
  } while (after !== null);
  return ids;
}

/** How many scripts and how many reads of records something takes. */
async function cost(client: Redis, act: () => Promise<unknown>): Promise<{ scripts: number; records: number }> {
  const calls = async (command: string): Promise<number> => {
    const line = new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await client.info('commandstats'));
    return Number(line?.[1] ?? 0);
  };
  const before = [await calls('evalsha'), await calls('get')];
  await act();
  return { scripts: (await calls('evalsha')) - before[0]!, records: (await calls('get')) - before[1]! };
}

test('the most selective filter leads, however many tokens there are; what is wide is read in steps', async () => {
  const store = await rig.open();
  const client = rig.server.client();
  const count = 3000;
  await store.tokens.putAccount(anAccount('few'), 0, anAudit('create'));
  const tokens = Array.from({ length: count }, (_, i) =>
    aToken(`t${i}`, {
      owner: i % 1000 === 7 ? 'few' : null,
      kind: i % 1000 === 8 ? 'rare' : 'native',
      tags: i % 1000 === 9 ? ['rare'] : ['common'],
      state: i % 1000 === 10 ? 'disabled' : i % 1000 === 11 ? 'revoked' : 'enabled',
      name: i % 1000 === 12 ? `rare ${i}` : `common ${i}`,
      expiresAt: i % 1000 === 13 ? made : made + 1000,
    }),
  );
  await Promise.all(tokens.map(token => store.tokens.createToken(token, anAudit('create'), null)));
  const selective: [Omit<TokenQuery, 'after' | 'limit'>, number][] = [
    [{ owner: 'few' }, 7],
    [{ kind: 'rare', tag: 'common' }, 8],
    [{ tag: 'rare', kind: 'native' }, 9],
    [{ state: 'disabled' }, 10],
    [{ state: 'revoked' }, 11],
    [{ prefix: 'rare', state: 'enabled' }, 12],
    [{ expiresBefore: made + 1 }, 13],
  ];
  for (const [query, first] of selective) {
    let found: string[] = [];
    const { scripts, records } = await cost(client, async () => {
      found = await walk(store, { ...query, limit: 10 });
    });
    expect(found, JSON.stringify(query)).toEqual([first, first + 1000, first + 2000].map(i => `t${i}`));
    expect(scripts).toBe(1);
    expect(records).toBeLessThan(10);
  }
  // Where every filter is wide, its entries are looked at in steps, each of a bounded number of records.
  const wide = await cost(client, async () => {
    expect(await walk(store, { limit: 10, tag: 'common', expiresBefore: made, kind: 'native' })).toEqual([]);
    expect(await walk(store, { limit: 5000, tag: 'common', kind: 'native', prefix: 'common' })).toHaveLength(2988);
  });
  expect(wide.scripts).toBeGreaterThan(5);
  // A page in the middle of many costs what a page costs.
  const page = await cost(client, () => store.tokens.listTokens({ limit: 10, after: 1500 }));
  expect(page.scripts).toBe(1);
  expect(page.records).toBeLessThan(20);
});

test('revoked tokens are listed in order among many marked owners', async () => {
  const store = await rig.open();
  const owners = Array.from({ length: 60 }, (_, i) => anAccount(`o${i}`));
  for (const owner of owners) await store.tokens.putAccount(owner, 0, anAudit('create'));
  const ids: string[] = [];
  for (let i = 0; i < 240; i++) {
    await store.tokens.createToken(aToken(`t${i}`, { owner: `o${i % 60}` }), anAudit('create'), null);
  }
  for (const marked of [10, 60]) {
    for (const [i, owner] of owners.slice(0, marked).entries()) {
      const version = (await store.tokens.getAccount(owner.id))!.version;
      await store.tokens.putAccount(
        { ...changed(owner, { revokedBefore: made }), version: version + 1 },
        version,
        anAudit('revoke'),
      );
      if (marked === 10 || i >= 10) ids.push(...[0, 60, 120, 180].map(j => `t${i + j}`));
    }
    const inOrder = ids.toSorted((a, b) => Number(a.slice(1)) - Number(b.slice(1)));
    expect(await walk(store, { limit: 7, state: 'revoked' })).toEqual(inOrder);
    expect(await walk(store, { limit: 7 })).toHaveLength(240 - ids.length);
  }
});

test('text that is no Unicode is kept in documents and does not break lists', async () => {
  const store = await rig.open();
  const token = aToken('a', { name: 'half \ud83d', tags: ['\udd11', 'nul \0 nul'], extra: { note: '\ud83d' } });
  await store.tokens.createToken(token, anAudit('create'), null);
  expect(await store.tokens.getToken('a')).toEqual({ token, account: null });
  expect(await walk(store, { limit: 10, tag: '\udd11', prefix: 'half \ud83d' })).toEqual(['a']);
  expect(await walk(store, { limit: 10, tag: 'nul \0 nul' })).toEqual(['a']);
});
