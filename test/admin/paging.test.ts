import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { randomFrom, seed } from '../support/random.ts';
import { type Admin, openAdmin, pointersOf } from './harness.ts';

let admin: Admin;
beforeAll(async () => {
  admin = await openAdmin();
});
afterAll(() => admin.dispose());

/** Reads a list to its end. */
async function walk(path: string, member: string, seen: (id: string) => void, limit = 100): Promise<number> {
  let pages = 0;
  let cursor: string | null = null;
  do {
    const at: string = `${path}${path.includes('?') ? '&' : '?'}limit=${limit}${cursor === null ? '' : `&cursor=${cursor}`}`;
    const { status, json } = await admin.ask('GET', at);
    expect(status).toBe(200);
    for (const item of json[member] as unknown as { id: string }[]) seen(item.id);
    cursor = json['next_cursor'] as string | null;
    pages++;
  } while (cursor !== null);
  return pages;
}

describe('lists', () => {
  test(`1,000 tokens are listed whole and once while others are made and revoked (seed ${seed})`, async () => {
    const random = randomFrom(seed);
    const made: string[] = [];
    for (let batch = 0; batch < 20; batch++) {
      const all = await Promise.all(Array.from({ length: 50 }, () => admin.make({ tags: ['walked'] })));
      made.push(...all.map(({ id }) => id));
    }
    let going = true;
    const others = (async () => {
      while (going) {
        const { id } = await admin.make({ tags: ['walked'] });
        if (random() < 0.3) await admin.ask('DELETE', `/v1/tokens/${id}`);
      }
    })();
    for (const limit of [1000, 333, 37]) {
      const ids: string[] = [];
      await walk('/v1/tokens?tag=walked', 'tokens', id => ids.push(id), limit);
      expect(new Set(ids).size).toBe(ids.length);
      const seen = new Set(ids);
      expect(made.filter(id => !seen.has(id))).toEqual([]);
    }
    going = false;
    await others;
  });

  test('accounts and events have pages too', async () => {
    const accounts = await Promise.all(
      Array.from({ length: 7 }, () => admin.ask('POST', '/v1/accounts', { json: {} })),
    );
    const ids: string[] = [];
    expect(await walk('/v1/accounts', 'accounts', id => ids.push(id), 3)).toBe(3);
    expect(ids.toSorted()).toEqual(accounts.map(({ json }) => json['id'] as string).toSorted());
    const { id } = await admin.make();
    for (let i = 0; i < 4; i++) await admin.ask('PATCH', `/v1/tokens/${id}`, { json: { name: `n${i}` } });
    const events: string[] = [];
    expect(await walk(`/v1/tokens/${id}/events`, 'events', event => events.push(event), 2)).toBe(3);
    expect(new Set(events).size).toBe(5);
  });

  test('a cursor is good for its own list and filters alone, with any limit', async () => {
    const { id } = await admin.make();
    const cursorOf = async (path: string) => (await admin.ask('GET', path)).json['next_cursor'] as string;
    const cursor = await cursorOf('/v1/tokens?tag=walked&state=enabled&limit=2');
    expect((await admin.ask('GET', `/v1/tokens?cursor=${cursor}&state=enabled&limit=5&tag=walked`)).status).toBe(200);
    for (const path of [
      '/v1/tokens?tag=walked',
      '/v1/tokens?tag=walked&state=disabled',
      '/v1/tokens?tag=other&state=enabled',
      '/v1/tokens?',
      '/v1/accounts?',
      `/v1/tokens/${id}/events?`,
    ]) {
      const reply = await admin.ask('GET', `${path}&cursor=${cursor}`);
      expect([reply.status, pointersOf(reply)], path).toEqual([422, ['?cursor']]);
    }
  });

  test(`no invented cursor is taken (seed ${seed})`, async () => {
    const random = randomFrom(seed);
    const { json } = await admin.ask('GET', '/v1/tokens?limit=1');
    const good = json['next_cursor'] as string;
    const changed = [...good].map((_, i) => good.slice(0, i) + (good[i] === 'A' ? 'B' : 'A') + good.slice(i + 1));
    const invented = Array.from({ length: 30 }, () =>
      Buffer.from(Array.from({ length: 20 }, () => Math.floor(random() * 256))).toString('base64url'),
    );
    const plain = [
      '0',
      's1',
      Buffer.from('s1').toString('base64url'),
      '%00',
      'x'.repeat(5000),
      `${good}=`,
      `${good}A`,
      '1e9',
      '-1',
    ];
    for (const cursor of [...changed, ...invented, ...plain, '']) {
      expect((await admin.ask('GET', `/v1/tokens?cursor=${cursor}`)).status, cursor).toBe(422);
    }
  });

  test('the limit is a number from 1 to 1000', async () => {
    for (const limit of ['0', '1001', '1e9', '-1', '', '1.5', '0x10', '٣', 'NaN', '01', '99999999999999999999']) {
      expect(pointersOf(await admin.ask('GET', `/v1/tokens?limit=${encodeURIComponent(limit)}`)), limit).toEqual([
        '?limit',
      ]);
    }
    expect((await admin.ask('GET', '/v1/tokens?limit=1000')).status).toBe(200);
    expect((await admin.ask('GET', '/v1/tokens')).json['tokens']).toHaveLength(100);
  });
});

describe('parameters', () => {
  test('unknown ones, repeated ones and ones in another spelling are refused, all at once', async () => {
    const reply = await admin.ask(
      'GET',
      '/v1/tokens?Owner=a&tag=a&tag=b&owner[]=x&x&__proto__=1&state=odd&constructor=1',
    );
    expect(reply.status).toBe(422);
    expect(pointersOf(reply)).toEqual(['?Owner', '?tag', '?owner[]', '?x', '?__proto__', '?state', '?constructor']);
    for (const path of ['/v1/openapi.json', '/v1/accounts/x', '/v1/tokens/x/permissions']) {
      expect(pointersOf(await admin.ask('GET', `${path}?at=2030-01-01T00:00:00Z`))).toEqual(['?at']);
    }
    expect(pointersOf(await admin.ask('POST', '/v1/tokens?dry=1', { json: {} }))).toEqual(['?dry']);
    expect((await admin.ask('GET', '/v1/tokens?tag=%ff')).status).toBe(400);
  });

  test('filters are read decoded once, and mean what they say', async () => {
    const { id } = await admin.make({ name: 'a+b %41&c', tags: ['ta g'], expires_at: '2030-06-01T00:00:00Z' });
    const ids = async (query: string) =>
      ((await admin.ask('GET', `/v1/tokens?${query}`)).json['tokens'] as unknown as { id: string }[]).map(
        token => token.id,
      );
    expect(await ids('tag=ta+g')).toEqual([id]);
    expect(await ids('tag=ta%20g')).toEqual([id]);
    expect(await ids(`prefix=${encodeURIComponent('a+b %41&')}`)).toEqual([id]);
    expect(await ids('prefix=a%2Bb+%2541')).toEqual([id]);
    expect(await ids('prefix=a%2Bb+%41')).toEqual([]);
    expect(await ids('expires_before=2030-06-01T00:00:00.001Z')).toEqual([id]);
    expect(await ids('expires_before=2030-06-01T00:00:00Z')).toEqual([]);
    expect(await ids('kind=native&tag=ta+g&state=enabled')).toEqual([id]);
    expect(await ids('kind=other')).toEqual([]);
    expect(await ids('owner=nobody')).toEqual([]);
  });
});
