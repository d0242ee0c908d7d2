import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { listLimits } from '../../../src/apis/api-tokens/list.ts';
import { apiTokenForm } from '../../../src/apis/api-tokens/token-form.ts';
import type { TokenService } from '../../../src/manage/token-service.ts';
import type { TokenView } from '../../../src/manage/token-view.ts';
import { ops } from '../../support/managed.ts';
import { type Office, openOffice } from './office.ts';

/** Lists: whole or refused, and never cut in silence. */

interface Listed {
  readonly data: readonly { readonly id: string; readonly name: string; readonly created: string }[];
  readonly total: number;
  readonly rows: number;
}

describe('of more tokens than the services answer at a time', () => {
  const count = 1234;
  /** Each name once, in another order than tokens are made in. */
  const nameOf = (i: number): string => `t${String((i * 7) % count).padStart(4, '0')}`;
  const sorted = Array.from({ length: count }, (_, i) => `t${String(i).padStart(4, '0')}`);
  let office: Office;

  beforeAll(async () => {
    office = await openOffice();
    const { tokens, clock } = office.managed;
    const make = (i: number, owner: string, kind: string) =>
      tokens.create(ops, { kind, owner, name: nameOf(i), permissions: {}, form: apiTokenForm });
    for (let from = 0; from < count; from += 100) {
      const to = Math.min(count, from + 100);
      await Promise.all(Array.from({ length: to - from }, (_, i) => make(from + i, 'ann', 'api-tokens')));
      // What stands between them is not theirs.
      await make(from, 'bob', 'api-tokens');
      await make(from, 'ann', 'native');
      clock.advance(1000);
    }
    return async () => {
      await office.managed.dispose();
      expect(office.faults).toEqual([]);
    };
  });

  const read = async (options?: object): Promise<Listed> => {
    const answer = await office.rpc('ann-session', 'read', ...(options === undefined ? [] : [options]));
    expect(answer).toMatchObject({ status: 200, summary: { total: answer.total }, rows: answer.data.length });
    return answer;
  };
  const names = ({ data }: Listed): string[] => data.map(({ name }) => name);

  test.each([[undefined], [{}], [{ limit: null }], [{ limit: 0 }], [{ limit: 5000 }]])(
    'all are answered, each once, by name: %j',
    async options => {
      const answer = await read(options);
      expect(answer.total).toBe(count);
      expect(names(answer)).toEqual(sorted);
    },
  );

  test('limit and offset cut where they say, and the total stays', async () => {
    for (const [limit, offset] of [
      [1, 0],
      [100, 0],
      [101, 0],
      [500, 900],
      [1001, 1],
      [10, count - 5],
      [10, count],
      [10, 999_999_999],
    ] as const) {
      const answer = await read({ limit, offset });
      expect(answer.total, `${limit} from ${offset}`).toBe(count);
      expect(names(answer)).toEqual(sorted.slice(offset, offset + limit));
    }
    expect(names(await read({ offset: 1100 }))).toEqual(sorted.slice(1100));
  });

  test('an order holds from end to end, and what is equal stays in the order of creation', async () => {
    expect(names(await read({ order_by: [['name', 'desc']] }))).toEqual(sorted.toReversed());
    const made = Array.from({ length: count }, (_, i) => nameOf(i));
    const byAge = await read({
      order_by: [
        ['created', 'desc'],
        ['name', 'asc'],
      ],
    });
    const youngest = made.slice(1200).toSorted();
    expect(names(byAge).slice(0, youngest.length)).toEqual(youngest);
    expect(names(byAge).slice(-100)).toEqual(made.slice(0, 100).toSorted());
    const { data } = await read({ order_by: [['enabled', 'asc']] });
    const times = data.map(({ created }) => created);
    expect(times).toEqual(times.toSorted());
    const ids = (await read({ order_by: [['id']], limit: 300 })).data.map(({ id }) => BigInt(id));
    expect(ids.every((id, i) => i === 0 || ids[i - 1]! < id)).toBe(true);
  });

  test('a condition is counted over all, and cut behind that', async () => {
    const answer = await read({ where: { name: ['like', 't0%'] }, limit: 20, offset: 30 });
    expect(answer.total).toBe(1000);
    expect(names(answer)).toEqual(sorted.slice(30, 50));
  });

  test('to search is to ask for a name', async () => {
    expect(names(await read({ where: { search: 't0042' } }))).toEqual(['t0042']);
    expect((await read({ where: { search: ['like', '%99%'] } })).total).toBe(
      sorted.filter(name => name.includes('99')).length,
    );
    expect((await read({ where: { search: ['like', 't1%'], name: ['like', '%0'] } })).total).toBe(24);
    for (const search of [['<', 'a'], [], {}, ['=', ['a']], null]) {
      expect(await office.rpc('ann-session', 'read', { where: { search } })).toMatchObject({ status: 400 });
    }
    expect(await office.rpc('ann-session', 'read', { order_by: [['search', 'asc']] })).toMatchObject({ status: 400 });
  });
});

describe('of more than there may be', () => {
  let office: Office | null = null;
  afterEach(async () => {
    await office?.managed.dispose();
    expect(office?.faults ?? []).toEqual([]);
    office = null;
  });

  /** An office where `ann` has so many tokens, without a store of that size. */
  async function crowded(count: number, permissions: TokenView['permissions'] = {}): Promise<Office> {
    let view: TokenView | null = null;
    const list: TokenService['list'] = async (_actor, _filter, limit, position) => {
      const at = position.at ?? 0;
      const to = Math.min(count, at + limit);
      const tokens = Array.from({ length: to - at }, (_, i) => ({ ...view!, id: String(at + i + 1), permissions }));
      return { tokens, next: to < count ? { from: 'store', at: to } : null };
    };
    office = await openOffice('result', '/rpc', { list });
    const { data } = await office.rpc('ann-session', 'create', 'ci');
    view = await office.managed.tokens.get(ops, data.id);
    return office;
  }

  test(`${listLimits.tokens} tokens are answered, and one more is refused whatever is asked`, async () => {
    const full = await (await crowded(listLimits.tokens)).rpc('ann-session', 'read');
    expect([full.status, full.total, full.data.length]).toEqual([200, listLimits.tokens, listLimits.tokens]);
    await office!.managed.dispose();
    const to = await crowded(listLimits.tokens + 1);
    for (const options of [{}, { limit: 1 }, { where: { search: 'x' } }]) {
      expect(await to.rpc('ann-session', 'read', options)).toEqual({
        status: 400,
        reason: 'Too many tokens to list, read them by id',
        exception: false,
      });
    }
  });

  test('permissions that are kept for a list are bounded, by those of tokens that match', async () => {
    const many = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`p${i}`, true]));
    const to = await crowded(1 + listLimits.permissions / 1000, many);
    expect(await to.rpc('ann-session', 'read', { limit: 1 })).toEqual({
      status: 400,
      reason: 'Too many permissions to list, narrow the condition',
      exception: false,
    });
    const some = await to.rpc('ann-session', 'read', { where: { id: ['!=', 1] }, limit: 1 });
    expect(some).toMatchObject({ status: 200, total: listLimits.permissions / 1000 });
  });

  test('permissions that are answered are bounded, and a limit helps', async () => {
    const to = await crowded(listLimits.tokens, 'inherit');
    const names = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`p${i}`, true]));
    await to.managed.accounts.patch({ actor: ops, id: 'ann' }, { permissions: names });
    expect(await to.rpc('ann-session', 'read')).toEqual({
      status: 400,
      reason: 'Too many permissions to list, set a limit',
      exception: false,
    });
    const some = await to.rpc('ann-session', 'read', { limit: 100 });
    expect(some).toMatchObject({ status: 200, total: listLimits.tokens, rows: 100 });
  });
});
