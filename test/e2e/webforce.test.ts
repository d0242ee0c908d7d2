import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { boundMs, Example, ExampleSystem, storeKinds } from '../support/example.ts';
import type { Served } from '../support/served.ts';

/** The example for Webforce, round and round: manage, use, be refused, be counted, revoke, start again. */

const everything = ['db.get', 'db.update', 'db.add', 'db.remove', 'db.alter'];
const acme = { account: { id: 'acme' }, permissions: everything, owns: ['db/101', 'db/102'] };

describe.each(storeKinds)('with a store that is %s', kind => {
  const webforce = new ExampleSystem({
    session: ({ url }) => url.searchParams.get('auth_token') ?? undefined,
    noted: ({ url, body }) => url.search + body,
    answer: { return_code: 'SUCCESS', message: '', data: { from: 'webforce' } },
  });
  let example: Example;
  let served: Served;

  beforeAll(async () => {
    webforce.sessions.set('s-acme', acme);
    webforce.sessions.set('s-globex', { account: { id: 'globex' }, permissions: ['db.get'], owns: ['db/1'] });
    example = await Example.open('webforce', webforce, kind);
    served = await example.start();
  });
  afterAll(async () => {
    await example.close();
    await served.remove();
  });

  async function call(parameters: Record<string, string>, method: 'GET' | 'POST' = 'GET', by: Served = served) {
    const pairs = new URLSearchParams(parameters);
    const response =
      method === 'GET'
        ? await fetch(`${by.proxy}/api?${pairs}`)
        : await fetch(`${by.proxy}/api`, { method, body: pairs });
    return { status: response.status, body: (await response.json()) as Answer, headers: response.headers };
  }

  async function manage(session: string, command: string, parameters: Record<string, string> = {}) {
    const { status, body } = await call({ cmd: `access.${command}`, auth_token: session, ...parameters }, 'POST');
    expect(status).toBe(200);
    return body;
  }

  async function add(session: string, name: string, extra: object): Promise<{ id: string; token: string }> {
    const answer = await manage(session, 'add', { name, extra: JSON.stringify(extra) });
    expect(answer, answer.message).toMatchObject({ return_code: 'SUCCESS', data: { name, extra } });
    return answer.data as unknown as { id: string; token: string };
  }

  const on = (databases: string[], permissions: Record<string, 0 | 1>) => ({ databases, permissions });

  test('a session manages; what it manages is seen in /v1, and nothing of it reaches Webforce', async () => {
    webforce.served.length = 0;
    const { id, token } = await add('s-acme', 'CI', { db_permissions: [on(['101'], { get: 1 })], note: 'kept' });
    const masked = { id, name: 'CI', token: `pst_…${token.slice(-4)}` };
    expect((await manage('s-acme', 'get', { token_id: id })).data).toMatchObject(masked);
    expect((await manage('s-acme', 'get_all')).data).toMatchObject([masked]);
    const updated = await manage('s-acme', 'update', { token_id: id, meta: '{"name":"Build"}' });
    expect(updated.data).toMatchObject({ id, name: 'Build', extra: { note: 'kept' } });
    expect((await served.admin('GET', `/v1/tokens/${id}`)).body).toMatchObject({
      kind: 'access-api',
      owner: 'acme',
      name: 'Build',
      permissions: [{ resources: ['db/101'], actions: { 'db.get': true } }],
    });
    const listed = await served.admin('GET', '/v1/tokens?kind=access-api');
    expect(listed.body['tokens']).toMatchObject([{ id, owner: 'acme', kind: 'access-api', name: 'Build' }]);
    expect(listed.text).not.toContain(token);
    const events = await served.admin('GET', `/v1/tokens/${id}/events`);
    expect(events.body['events']).toMatchObject([{ actor: 'access-api:acme' }, { actor: 'access-api:acme' }]);
    expect(webforce.served).toEqual([]);
    expect((await manage('s-acme', 'remove', { token_id: id })).return_code).toBe('SUCCESS');
    expect((await served.admin('GET', '/v1/tokens?kind=access-api')).body['tokens']).toEqual([]);
  });

  test('a token is used, is refused, and is counted', async () => {
    webforce.served.length = 0;
    const said = JSON.stringify({ stock_images: '1' });
    expect(await manage('s-acme', 'add', { name: 'Early', extra: said })).toMatchObject({ return_code: 'FAILURE' });
    await served.admin('POST', '/v1/roles', { id: 'stock-images', permissions: ['site.stock_images.*'] });
    await served.admin('PATCH', '/v1/accounts/acme', { roles: ['stock-images'] });
    const { id, token } = await add('s-acme', 'Sync', {
      db_permissions: [on(['*'], { get: 1, remove: 1 }), on(['101'], { remove: 0, update: 1 })],
      stock_images: '1',
    });
    const statusOf = async (cmd: string, more: Record<string, string> = {}, method: 'GET' | 'POST' = 'GET') =>
      (await call({ cmd, auth_token: token, ...more }, method)).status;
    expect(await statusOf('db.get', { db_id: '101' })).toBe(200);
    expect(await statusOf('db.get', { db_id: '102' }, 'POST')).toBe(200);
    expect(await statusOf('db.get_all')).toBe(200);
    expect(await statusOf('db.cell.update', { db_id: '101', value: 'x' }, 'POST')).toBe(200);
    expect(await statusOf('db.remove', { db_id: '102' })).toBe(200);
    expect(await statusOf('site.stock_images.search', { query: 'trees' })).toBe(200);
    expect(webforce.served).toHaveLength(6);
    expect(webforce.served[0]).toBe('?cmd=db.get&db_id=101');
    // A body is forwarded as it came.
    expect(webforce.served[1]).toBe(`cmd=db.get&auth_token=${token}&db_id=102`);

    expect(await statusOf('db.remove', { db_id: '101' })).toBe(403);
    expect(await statusOf('db.cell.update', { db_id: '102' }, 'POST')).toBe(403);
    expect(await statusOf('db.add', { name: 'New' })).toBe(403);
    expect(await statusOf('db.get', { db_id: '999' })).toBe(403);
    expect(await statusOf('site.stock_images.drop')).toBe(403);
    expect(await statusOf('db.get')).toBe(400);
    expect(await statusOf('db.get', { db_id: '*' })).toBe(400);
    expect(webforce.served).toHaveLength(6);
    const usage = await served.admin('GET', `/v1/tokens/${id}/usage`);
    expect(usage.body['total']).toMatchObject({ allowed: 6, refused: { insufficient_scope: 5, malformed_request: 2 } });
  });

  test('every database is every one that the owner owns', async () => {
    const { token } = await add('s-acme', 'All', { db_permissions: [on(['*'], { get: 1 })] });
    const reached = async () => {
      const ids = ['101', '102', '999'];
      const answers = ids.map(id => call({ cmd: 'db.get', auth_token: token, db_id: id }));
      return (await Promise.all(answers)).map(({ status }) => status);
    };
    expect((await served.admin('GET', '/v1/accounts/acme')).body).toMatchObject({ owns: acme.owns });
    expect(await reached()).toEqual([200, 200, 403]);
    const beyond = JSON.stringify({ db_permissions: [on(['999'], { get: 1 })] });
    expect(await manage('s-acme', 'add', { name: 'x', extra: beyond })).toMatchObject({ return_code: 'FAILURE' });
    // What Webforce says next holds for the tokens that there are.
    webforce.sessions.set('s-fewer', { ...acme, owns: ['db/102'] });
    await manage('s-fewer', 'get_all');
    expect(await reached()).toEqual([403, 200, 403]);
    webforce.sessions.set('s-silent', { account: { id: 'acme' }, permissions: everything });
    await manage('s-silent', 'get_all');
    expect(await reached()).toEqual([403, 403, 403]);
    webforce.sessions.set('s-again', acme);
    await manage('s-again', 'get_all');
    expect(await reached()).toEqual([200, 200, 403]);
  });

  test('nobody gets beyond the own account, or at the tokens of another', async () => {
    const { id } = await add('s-acme', 'Mine', {});
    for (const command of ['get', 'remove']) {
      expect(await manage('s-globex', command, { token_id: id })).toMatchObject({ message: 'There is no such token.' });
    }
    const more = JSON.stringify({ db_permissions: [on(['1'], { remove: 1 })] });
    expect(await manage('s-globex', 'add', { name: 'x', extra: more })).toMatchObject({ return_code: 'FAILURE' });
    const { token } = await add('s-globex', 'Reader', {});
    expect((await call({ cmd: 'db.get', auth_token: token, db_id: '1' })).status).toBe(200);
    expect((await call({ cmd: 'db.remove', auth_token: token, db_id: '1' })).status).toBe(403);
    // An issued token manages nothing, and neither does who is unknown to Webforce.
    expect(await manage(token, 'get_all')).toMatchObject({ return_code: 'FAILURE', data: {} });
    expect(await manage('guess', 'get_all')).toMatchObject({ return_code: 'FAILURE', data: {} });
  });

  test('commands that could be read as ours are not let through', async () => {
    webforce.served.length = 0;
    const { token } = await add('s-acme', 'Any', {});
    for (const query of [
      'cmd=db.get&cmd=access.get_all',
      'cmd[]=access.get_all',
      'CMD=access.get_all',
      'cmd=access%2Eget_all%00',
      'cmd=%2561ccess.get_all',
      'cmd=Access.get_all',
    ]) {
      const answer = await fetch(`${served.proxy}/api?${query}&auth_token=${token}&db_id=1`);
      expect([answer.status, ((await answer.json()) as Answer).return_code], query).toEqual([200, 'FAILURE']);
    }
    const hidden = await fetch(`${served.proxy}/api?cmd=db.get&db_id=1&auth_token=${token}`, {
      method: 'POST',
      body: new URLSearchParams({ cmd: 'access.get_all' }),
    });
    expect(((await hidden.json()) as Answer).return_code).toBe('FAILURE');
    for (const place of ['/api/', '//api', '/API', '/api;x', '/%2fapi', '/api%2f']) {
      const answer = await fetch(`${served.proxy}${place}?cmd=access.get_all&auth_token=s-acme`);
      expect([400, 401, 404], place).toContain(answer.status);
    }
    expect(webforce.served).toEqual([]);
  });

  test('an outage of Webforce is not told as nobody', async () => {
    webforce.away = true;
    webforce.sessions.set('s-new', acme);
    const answer = await manage('s-new', 'get_all');
    expect(answer).toMatchObject({ return_code: 'FAILURE', message: expect.stringContaining('cannot be checked') });
    webforce.away = false;
    expect((await manage('s-new', 'get_all')).return_code).toBe('SUCCESS');
  });

  test('a session of ours is as good as one of Webforce, and no credential', async () => {
    const { body } = await served.admin('POST', '/v1/sessions', { account: 'acme', ttl: '1h' });
    const session = String(body['session']);
    expect((await manage(session, 'get_all')).return_code).toBe('SUCCESS');
    expect((await call({ cmd: 'db.get', auth_token: session, db_id: '101' })).status).toBe(401);
  });

  test('tokens outlive a restart; removed ones are refused at once, everywhere within the bound', async () => {
    const kept = await add('s-acme', 'Kept', { db_permissions: [on(['101'], { get: 1 })] });
    const gone = await add('s-acme', 'Gone', { db_permissions: [on(['101'], { get: 1 })] });
    const statusOf = async (token: string, by: Served = served) =>
      (await call({ cmd: 'db.get', auth_token: token, db_id: '101' }, 'GET', by)).status;

    const other = kind === 'redis' ? await example.start() : served;
    expect(await statusOf(gone.token, other)).toBe(200);
    expect((await manage('s-acme', 'remove', { token_id: gone.id })).return_code).toBe('SUCCESS');
    expect(await statusOf(gone.token)).toBe(401);
    await expect.poll(() => statusOf(gone.token, other), { timeout: boundMs, interval: 20 }).toBe(401);
    if (other !== served) await other.stop();

    served = await example.restart(served);
    expect([await statusOf(kept.token), await statusOf(gone.token)]).toEqual([200, 401]);
    const all = (await manage('s-acme', 'get_all')).data as unknown as { id: string }[];
    expect(all.map(({ id }) => id)).toContain(kept.id);
    expect(all.map(({ id }) => id)).not.toContain(gone.id);
  });

  test('no secret is in the log', async () => {
    const { token } = await add('s-acme', 'Quiet', {});
    await call({ cmd: 'db.get', auth_token: token, db_id: '1' });
    await served.logged();
    expect(served.program.stdout).not.toContain(token.slice(4));
    expect(served.program.stdout).not.toContain('s-acme');
  });
});

interface Answer {
  readonly return_code: string;
  readonly message: string;
  readonly data: Record<string, unknown>;
}
