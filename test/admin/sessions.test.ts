import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Admin, keys, openAdmin, pointersOf, type Reply } from './harness.ts';

/** Sessions of managers on the wire. */

let admin: Admin;
beforeEach(async () => {
  admin = await openAdmin();
  await admin.ask('PUT', '/v1/accounts/acme', { json: {} });
});
afterEach(() => admin.dispose());

const make = (json: object, key: string = keys.admin): Promise<Reply> =>
  admin.ask('POST', '/v1/sessions', { json, key });
const place = async (): Promise<string> => (await make({ account: 'acme' })).fields.location!;

test('a session is made for an account, shown once, and ends when it is said to', async () => {
  const { status, json, fields } = await make({ account: 'acme', ttl: '90s' });
  expect([status, fields['cache-control']]).toEqual([201, 'no-store']);
  const expires = new Date(admin.managed.clock.wall() + 90_000).toISOString();
  const id = fields.location!.split('/').at(-1);
  expect(json).toEqual({ id, session: expect.stringMatching(/^pst_[0-9A-Za-z]{38}$/), expires_at: expires });
  const token = await admin.ask('GET', fields.location!);
  expect(token.json).toMatchObject({ kind: 'session', owner: 'acme', expires_at: expires, permissions: 'inherit' });
  expect(token.text).not.toContain(json['session']!);
  const events = await admin.ask('GET', `${fields.location}/events`);
  expect(events.text).not.toContain(json['session']!);
  expect((await admin.ask('DELETE', `/v1/tokens/${json['id']}`)).json).toMatchObject({ token: { state: 'revoked' } });
});

test('a member that is unknown is answered with those that there are', async () => {
  const refused = await make({ acount: 'acme', id: 'x' });
  expect(refused.json['errors']).toEqual([
    { pointer: '/acount', detail: 'is not a member of this; allowed: account, ttl' },
    { pointer: '/id', detail: 'cannot be set' },
    { pointer: '/account', detail: 'is missing' },
  ]);
});

test('it lasts an hour where nothing is said, and from a second to seven days', async () => {
  const lasts = async (ttl?: string): Promise<number> => {
    const { json } = await make({ account: 'acme', ...(ttl !== undefined && { ttl }) });
    return Date.parse(json['expires_at']!) - admin.managed.clock.wall();
  };
  expect([await lasts(), await lasts('1s'), await lasts('7d')]).toEqual([3_600_000, 1000, 7 * 86_400_000]);
  for (const ttl of ['0', '999ms', '8d', '604801s', 60, null, 'soon', '-1s', '']) {
    const refused = await make({ account: 'acme', ttl });
    expect([refused.status, refused.json['code'], pointersOf(refused)]).toEqual([422, 'validation_failed', ['/ttl']]);
  }
});

test('an account that is unknown, deleted, disabled or not said has none, and everything wrong is told', async () => {
  await admin.ask('PUT', '/v1/accounts/gone', { json: {} });
  await admin.ask('DELETE', '/v1/accounts/gone');
  await admin.ask('PUT', '/v1/accounts/off', { json: { enabled: false } });
  for (const account of ['nobody', 'gone', 'off', '', '../x', null, 1]) {
    const refused = await make({ account });
    expect([refused.status, pointersOf(refused)]).toEqual([422, ['/account']]);
  }
  expect(pointersOf(await make({}))).toEqual(['/account']);
  expect(pointersOf(await make({ account: 'nobody', ttl: '8d', kind: 'x', session: 'y' })).sort()).toEqual([
    '/account',
    '/kind',
    '/session',
    '/ttl',
  ]);
  expect((await admin.ask('GET', '/v1/tokens?kind=session')).json['tokens']).toEqual([]);
});

test('only the role admin makes sessions: not a reader, and not an account for itself', async () => {
  for (const key of [keys.read, keys.owner]) expect((await make({ account: 'acme' }, key)).status).toBe(403);
});

describe('as a token', () => {
  test('it is listed where its kind is asked for, and nowhere else', async () => {
    const { id } = await admin.make({ owner: 'acme' });
    const session = (await place()).split('/').at(-1);
    const list = async (query: string, key: string = keys.admin): Promise<string[]> => {
      const { json } = await admin.ask('GET', `/v1/tokens${query}`, { key });
      return (json['tokens'] as unknown as { id: string }[]).map(token => token.id);
    };
    for (const query of ['', '?owner=acme', '?state=enabled', '?prefix=', '?kind=native', '?limit=1']) {
      expect(await list(query)).toEqual([id]);
    }
    expect(await list('', keys.owner)).toEqual([id]);
    expect(await list('?expires_before=2040-01-01T00:00:00Z')).toEqual([]);
    expect(await list('?kind=session')).toEqual([session]);
    expect(await list('?kind=session&owner=acme', keys.owner)).toEqual([session]);
  });

  test('it cannot be changed, replaced, rotated, stopped for a while or signed for', async () => {
    const at = await place();
    const before = (await admin.ask('GET', at)).json;
    const secret_sha256 = 'ab'.repeat(32);
    for (const [method, path, json] of [
      ['PATCH', at, { expires_at: null }],
      ['PATCH', at, {}],
      ['PUT', at, { secret_sha256, owner: 'acme' }],
      ['PUT', `${at}/permissions`, ['*']],
      ['POST', `${at}/rotate`, {}],
      ['POST', `${at}/disable`, {}],
      ['POST', `${at}/enable`, {}],
      ['POST', `${at}/sign`, { target: '/', expires_in: '1m' }],
    ] as const) {
      for (const key of method === 'POST' && path.endsWith('sign') ? [keys.admin] : [keys.admin, keys.owner]) {
        expect((await admin.ask(method, path, { json, key })).status, `${method} ${path}`).toBe(409);
      }
    }
    expect((await admin.ask('GET', at)).json).toEqual(before);
  });

  test('it can be revoked, with its account’s other tokens too', async () => {
    const at = await place();
    expect((await admin.ask('DELETE', at)).json).toMatchObject({ token: { state: 'revoked' } });
    const other = await place();
    expect((await admin.ask('DELETE', '/v1/tokens?owner=acme')).json).toMatchObject({ revoked: 1 });
    expect((await admin.ask('GET', other)).json['state']).toBe('revoked');
    const { json } = await admin.ask('GET', await place());
    expect(json['state']).toBe('enabled');
  });
});
