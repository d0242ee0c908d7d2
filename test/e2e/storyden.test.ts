import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { boundMs, Example, ExampleSystem, storeKinds } from '../support/example.ts';
import type { Served } from '../support/served.ts';

/** The example for Storyden, round and round: manage, use, be refused, be counted, revoke, start again. */

const member = ['USE_PERSONAL_ACCESS_KEYS', 'READ_PUBLISHED_THREADS'];

describe.each(storeKinds)('with a store that is %s', kind => {
  const forum = new ExampleSystem({
    session: ({ headers }) => /(?:^|; )storyden-session=([^;]*)/.exec(headers.cookie ?? '')?.[1],
    noted: ({ method, url, headers }) => `${method} ${url.pathname} ${headers.authorization ?? 'without a key'}`,
    answer: { threads: [] },
  });
  let example: Example;
  let served: Served;

  beforeAll(async () => {
    forum.sessions.set('s-odin', { account: { id: 'odin' }, permissions: ['ADMINISTRATOR'] });
    forum.sessions.set('s-baldur', { account: { id: 'baldur' }, permissions: member });
    forum.sessions.set('s-loki', { account: { id: 'loki' }, permissions: ['READ_PUBLISHED_THREADS'] });
    example = await Example.open('storyden', forum, kind);
    served = await example.start();
  });
  afterAll(async () => {
    await example.close();
    await served.remove();
  });

  interface Call {
    readonly session?: string;
    readonly key?: string;
    readonly body?: unknown;
    readonly headers?: Readonly<Record<string, string>>;
  }

  /** One request through the proxy, as clients of this API send it: always with a type. */
  async function call(method: string, target: string, { session, key, body, headers }: Call = {}) {
    const response = await fetch(served.proxy + target, {
      method,
      headers: {
        'content-type': 'application/json',
        ...(session !== undefined && { cookie: `theme=dark; storyden-session=${session}` }),
        ...(key !== undefined && { authorization: `Bearer ${key}` }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body, null, 2) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      type: response.headers.get('content-type'),
      text,
      json: text && JSON.parse(text),
    };
  }

  const make = async (session: string, name: string): Promise<{ id: string; secret: string }> => {
    const made = await call('POST', '/api/auth/access-keys', { session, body: { name } });
    expect(made).toMatchObject({ status: 200, type: 'application/json' });
    return made.json;
  };

  test('a member makes a key, which works on the proxy, is counted, and is listed everywhere', async () => {
    const { id, secret } = await make('s-baldur', 'ci');
    expect(id).toMatch(/^[0-9a-v]{20}$/);
    expect(secret).toMatch(/^sdpak_[A-Za-z0-9]{44}$/);

    expect((await call('GET', '/api/threads', { key: secret })).status).toBe(200);
    expect((await call('GET', '/api/nodes', { key: secret })).status).toBe(200);
    expect(forum.served).toEqual(['GET /api/threads without a key', 'GET /api/nodes without a key']);

    const list = await call('GET', '/api/auth/access-keys', { session: 's-baldur' });
    expect(list.json.keys).toEqual([
      { id, createdAt: expect.any(String), updatedAt: expect.any(String), name: 'ci', enabled: true },
    ]);
    expect((await call('GET', '/api/auth/access-keys', { key: secret })).json).toEqual(list.json);
    const { body } = await served.admin('GET', '/v1/tokens?kind=access-keys');
    expect(body['tokens']).toMatchObject([
      { id, owner: 'baldur', kind: 'access-keys', name: 'ci', permissions: 'inherit' },
    ]);
    const usage = await served.admin('GET', `/v1/tokens/${id}/usage`);
    expect(usage.text).toContain('"allowed":2');
  });

  test('a key is refused what its account may not, until it may', async () => {
    const { secret } = await make('s-baldur', 'poster');
    const post = () => call('POST', '/api/threads/new', { key: secret, body: { title: 'Ragnarok' } });
    expect((await post()).status).toBe(403);
    await served.admin('POST', '/v1/roles', { id: 'writer', permissions: ['CREATE_POST'] });
    await served.admin('PATCH', '/v1/accounts/baldur', { roles: ['writer'] });
    expect((await post()).status).toBe(200);
    await served.admin('PATCH', '/v1/accounts/baldur', { roles: [] });
    expect((await post()).status).toBe(403);
  });

  test('without a session, a permission or the own site there is no key', async () => {
    const body = { name: 'x' };
    const { secret } = await make('s-baldur', 'parent');
    const refused = [
      await call('POST', '/api/auth/access-keys', { body }),
      await call('POST', '/api/auth/access-keys', { body, session: 'guess' }),
      await call('POST', '/api/auth/access-keys', { body, session: 's-loki' }),
      await call('POST', '/api/auth/access-keys', { body, key: secret }),
      await call('POST', '/api/auth/access-keys', {
        body,
        session: 's-baldur',
        headers: { origin: 'https://evil.example' },
      }),
      await call('GET', '/api/admin/access-keys', { session: 's-baldur' }),
      await call('POST', '/api/auth/access-keys', { body: { name: 7 }, session: 's-baldur' }),
      await call('PUT', '/api/auth/access-keys', { body, session: 's-baldur' }),
    ];
    expect(refused.map(({ status }) => status)).toEqual([401, 401, 403, 403, 403, 403, 400, 405]);
    for (const { type, json } of refused) {
      expect(type).toBe('application/json');
      expect(json).toMatchObject({ error: expect.any(String), message: expect.any(String) });
    }
  });

  test('other paths below the mount are the routes’, and none reaches the forum without a key', async () => {
    const before = forum.served.length;
    for (const target of [
      '/api/accounts',
      '/api/auth/access-keys/',
      '/api/Auth/access-keys',
      '/api/auth/access-keys/x/y',
    ]) {
      expect((await call('GET', target, { session: 's-baldur' })).status).toBe(401);
    }
    for (const target of ['/api//auth/access-keys', '/api/auth%2Faccess-keys', '/api/auth/access-keys;x']) {
      expect((await call('GET', target, { session: 's-baldur' })).status).toBe(400);
    }
    expect(forum.served).toHaveLength(before);
  });

  test('a key that is deleted is refused from then on; it stays in the list, and after a restart all is as it was', async () => {
    const gone = await make('s-baldur', 'gone');
    const kept = await make('s-baldur', 'kept');
    expect((await call('GET', '/api/threads', { key: gone.secret })).status).toBe(200);
    const remove = () => call('DELETE', `/api/auth/access-keys/${gone.id}`, { session: 's-baldur' });
    expect(await remove()).toMatchObject({ status: 204, text: '' });
    expect((await call('GET', '/api/threads', { key: gone.secret })).status).toBe(401);
    expect((await call('GET', '/api/auth/access-keys', { key: gone.secret })).status).toBe(401);
    expect((await remove()).status).toBe(204);

    served = await example.restart(served);
    const { json } = await call('GET', '/api/auth/access-keys', { session: 's-baldur' });
    const enabled = new Map(json.keys.map((key: { id: string; enabled: boolean }) => [key.id, key.enabled]));
    expect([enabled.get(gone.id), enabled.get(kept.id)]).toEqual([false, true]);
    expect((await call('GET', '/api/threads', { key: gone.secret })).status).toBe(401);
    expect((await call('GET', '/api/threads', { key: kept.secret })).status).toBe(200);
  });

  test('an administrator sees whose keys there are, and disables them', async () => {
    const { id, secret } = await make('s-baldur', 'watched');
    const seen = await call('GET', '/api/admin/access-keys', { session: 's-odin' });
    expect(seen).toMatchObject({ status: 200, type: 'application/json' });
    const { json } = seen;
    const key = json.keys.find((each: { id: string }) => each.id === id);
    expect(key).toMatchObject({
      name: 'watched',
      created_by: { id: 'baldur', handle: 'baldur', name: 'baldur', joined: expect.any(String), roles: [] },
    });
    expect((await call('DELETE', `/api/admin/access-keys/${id}`, { session: 's-odin' })).status).toBe(204);
    expect((await call('GET', '/api/threads', { key: secret })).status).toBe(401);
  });

  test('a revocation in /v1 ends a key like any token', async () => {
    const { id, secret } = await make('s-baldur', 'ended');
    expect((await served.admin('DELETE', `/v1/tokens/${id}`)).status).toBeLessThan(300);
    expect((await call('GET', '/api/threads', { key: secret })).status).toBe(401);
    expect((await call('DELETE', `/api/auth/access-keys/${id}`, { session: 's-baldur' })).status).toBe(204);
  });

  test('who manages is asked once for many calls; when the forum cannot say, that is 503, and keys go on working', async () => {
    const { secret } = await make('s-baldur', 'steady');
    const before = forum.asked;
    await Promise.all(Array.from({ length: 5 }, () => call('GET', '/api/auth/access-keys', { session: 's-baldur' })));
    expect(forum.asked - before).toBeLessThanOrEqual(1);
    forum.away = true;
    const answer = await call('GET', '/api/auth/access-keys', { session: 's-nobody-yet' });
    forum.away = false;
    expect(answer).toMatchObject({ status: 503, type: 'application/json', json: { error: 'unavailable' } });
    expect((await call('GET', '/api/threads', { key: secret })).status).toBe(200);
  });

  // An embedded store has one process.
  if (kind === 'redis') {
    test('a key that is deleted through one process is refused by another within the bound', async () => {
      const other = await example.start();
      const { id, secret } = await make('s-baldur', 'shared');
      const elsewhere = () => other.status('/api/threads', secret);
      await expect.poll(elsewhere).toBe(200);
      expect((await call('DELETE', `/api/auth/access-keys/${id}`, { session: 's-baldur' })).status).toBe(204);
      await expect.poll(elsewhere, { timeout: boundMs, interval: 20 }).toBe(401);
      await other.stop();
    });
  }
});
