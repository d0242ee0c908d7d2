import { decode, encode } from '@msgpack/msgpack';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Example, ExampleSystem, storeKinds } from '../support/example.ts';
import type { Served } from '../support/served.ts';
import { WebSocketClient } from '../support/websocket-client.ts';

/** The example for softvisio, round and round: manage, use, be refused, be counted, revoke, start again. */

describe.each(storeKinds)('with a store that is %s', kind => {
  const application = new ExampleSystem({
    session: ({ headers }) => headers.authorization?.replace(/^Bearer /, ''),
    noted: ({ method, url, headers }) => `${method} ${url.pathname} ${headers.authorization ?? ''}`.trim(),
    answer: { status: 200, reason: 'OK', exception: false },
  });
  let example: Example;
  let served: Served;

  beforeAll(async () => {
    application.sessions.set('s-ann', {
      user: { id: 'ann' },
      permissions: { 'reports:read': true, 'reports:write': true, 'users:manage': false },
    });
    application.sessions.set('s-bob', { user: { id: 'bob' }, permissions: { 'reports:read': true } });
    example = await Example.open('softvisio', application, kind);
    served = await example.start();
  });
  afterAll(async () => {
    await example.close();
    await served.remove();
  });

  /** One call through the proxy, as clients of this API send it. */
  async function rpc(bearer: string, method: string, ...args: readonly unknown[]) {
    const response = await fetch(`${served.proxy}/rpc/v1/api-tokens/${method}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${bearer}` },
      body: JSON.stringify(args),
    });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/json');
    return (await response.json()) as ReturnType<typeof JSON.parse>;
  }

  const make = async (session: string, name: string): Promise<{ id: string; token: string }> => {
    const { data } = await rpc(session, 'create', name);
    return data;
  };

  /** What a program is answered that calls the application. */
  const use = async (token: string, target = '/rpc/v1/reports/read', method = 'POST'): Promise<number> =>
    (await fetch(served.proxy + target, { method, headers: { authorization: `Bearer ${token}` } })).status;

  test('a token is made, may do nothing, is given a permission, works, is counted, and is listed everywhere', async () => {
    const { id, token } = await make('s-ann', 'ci');
    expect(token).toMatch(/^[A-Za-z0-9_-]{34}$/);
    expect(await use(token)).toBe(403);
    expect(await use(token, '/rpc/v1/other/ask')).toBe(200);
    expect(await rpc('s-ann', 'set-permissions', id, { 'reports:read': true })).toMatchObject({ status: 200 });
    expect(await use(token)).toBe(200);
    expect(await use(token, '/rpc/v1/reports/update')).toBe(403);
    expect(application.served).toEqual(['POST /rpc/v1/other/ask', 'POST /rpc/v1/reports/read']);

    expect(await rpc(token, 'read')).toMatchObject({
      data: [{ id, user_id: 'ann', name: 'ci', enabled: true, permissions: { 'reports:read': true } }],
      total: 1,
    });
    expect((await rpc('s-ann', 'get-permissions', id)).data).toEqual([
      { id: 'reports:read', name: 'reports:read', description: '', enabled: true },
      { id: 'reports:write', name: 'reports:write', description: '' },
    ]);
    const { text } = await served.admin('GET', '/v1/tokens?kind=api-tokens');
    expect(text).toContain(`"${id}"`);
    expect(text).not.toContain(token);
    const usage = await served.admin('GET', `/v1/tokens/${id}/usage`);
    expect(usage.text).toContain('"allowed":2');
    expect(usage.text).toContain('"insufficient_scope":2');
  });

  test('the same in MessagePack, and with a doubled slash behind the mount', async () => {
    const response = await fetch(`${served.proxy}/rpc//v1/api-tokens/create`, {
      method: 'POST',
      headers: { 'content-type': 'application/msgpack', authorization: 's-ann' },
      body: encode(['packed']),
    });
    expect(response.headers.get('content-type')).toBe('application/msgpack');
    const { data } = decode(new Uint8Array(await response.arrayBuffer())) as { data: { id: string; token: string } };
    expect(data).toMatchObject({ userId: 'ann', username: 'ann', permissions: {} });
    expect(await use(data.token, '/rpc/v1/other/ask')).toBe(200);
    expect(await use(data.token, '/rpc//v1/other/ask')).toBe(400);
  });

  test('nobody gets more than the user has, and what the user loses the token loses', async () => {
    const { id, token } = await make('s-bob', 'greedy');
    for (const name of ['reports:write', 'users:manage', '*', 'reports:*']) {
      expect(await rpc('s-bob', 'set-permissions', id, { [name]: true })).toEqual({
        status: 400,
        reason: `Token permission "${name}" is not valid`,
        exception: false,
      });
    }
    await rpc('s-bob', 'set-permissions', id, { 'reports:read': true });
    expect(await use(token)).toBe(200);
    expect(await rpc('s-ann', 'set-enabled', id, false)).toMatchObject({ status: 404 });
    await served.admin('PATCH', '/v1/accounts/bob', { permissions: [] });
    expect(await use(token)).toBe(403);
  });

  test('off and on again, and gone: on the proxy as in the API, and after a restart', async () => {
    const off = await make('s-ann', 'off');
    const gone = await make('s-ann', 'gone');
    const kept = await make('s-ann', 'kept');
    const there = (token: string) => use(token, '/rpc/v1/other/ask');
    expect(await rpc('s-ann', 'set-enabled', off.id, false)).toMatchObject({ status: 200 });
    expect(await there(off.token)).toBe(401);
    expect(await rpc('s-ann', 'set-enabled', off.id, 'true')).toMatchObject({ status: 200 });
    expect(await there(off.token)).toBe(200);
    await rpc('s-ann', 'set-enabled', off.id, 0);
    expect(await rpc(gone.token, 'delete', gone.id)).toEqual({ status: 200, reason: 'OK', exception: false });
    expect(await there(gone.token)).toBe(401);

    served = await example.restart(served);
    expect(await there(off.token)).toBe(401);
    expect(await there(gone.token)).toBe(401);
    expect(await there(kept.token)).toBe(200);
    const { data } = await rpc('s-ann', 'read', { where: { name: ['in', ['off', 'gone', 'kept']] } });
    expect(data.map((row: { name: string; enabled: boolean }) => [row.name, row.enabled])).toEqual([
      ['kept', true],
      ['off', false],
    ]);
  });

  test('a WebSocket serves until its token is revoked in /v1, and is closed with 1100', async () => {
    const { id, token } = await make('s-ann', 'live');
    const client = await WebSocketClient.open(served.ports.proxy, '/rpc', `rpc, ${token}`);
    client.say({ type: 'rpc', id: 1, method: '/v1/api-tokens/read', args: [{ id }] });
    expect(await client.message()).toMatchObject({ type: 'rpc', id: 1, result: { status: 200, data: { id } } });
    expect((await served.admin('DELETE', `/v1/tokens/${id}`)).status).toBeLessThan(300);
    expect(await client.end()).toBe(1100);
    expect(await use(token, '/rpc/v1/other/ask')).toBe(401);
  });

  test('guesses are 403, an outage of the application is 503, and tokens go on working', async () => {
    const { token } = await make('s-ann', 'steady');
    expect(await rpc('guess', 'read')).toEqual({ status: 403, reason: 'Insufficient permissions', exception: false });
    application.away = true;
    expect(await rpc('s-nobody-yet', 'read')).toMatchObject({ status: 503, reason: 'Service Unavailable' });
    application.away = false;
    expect(await rpc(token, 'read')).toMatchObject({ status: 200 });
  });

  test('a session made in /v1 manages, too', async () => {
    const { body } = await served.admin('POST', '/v1/sessions', { account: 'ann', ttl: '1h' });
    expect(await rpc(String(body['session']), 'create', 'by ops')).toMatchObject({
      status: 200,
      data: { userId: 'ann' },
    });
  });
});
