import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { LegacySystem } from '../support/legacy-system.ts';
import { Postern } from '../support/postern.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';

/** Sessions of another system at the real token APIs: what they may, and how often they may be guessed. */

const legacy = new LegacySystem();
const upstream = new RecordingUpstream();
/** By what is presented. */
const sessions = new Map<string, { account: { id: string }; permissions: readonly string[] }>();
let postern: Postern;

beforeAll(async () => {
  await Promise.all([legacy.listen(), upstream.listen(0)]);
  legacy.script = (response, { headers, url = '' }) => {
    const shown = /(?:^|; )storyden-session=([^;]*)/.exec(headers.cookie ?? '')?.[1];
    const said =
      shown ?? headers.authorization?.slice('Bearer '.length) ?? new URL(url, 'http://a').searchParams.get('s');
    const found = sessions.get(said ?? '');
    response.writeHead(found === undefined ? 401 : 200).end(JSON.stringify(found ?? {}));
  };
  const more = `
token_apis:
  - { api: api-tokens, mount: /rpc, listen: proxy }
  - { api: access-keys, mount: /api, listen: proxy }
  - { api: access-api, mount: /legacy, listen: proxy }
  - { api: api-tokens, mount: /rpc }
sessions:
  introspect:
    url: ${legacy.url}/whoami
    forward: [cookie, authorization, "param:s"]
    account: /account/id
    permissions: /permissions
guard: { failures: 3, per: 1m }`;
  postern = await Postern.start({
    upstream: upstream.url,
    routes: '\n  - { path: /reports, require: "reports:read" }',
    more,
  });
});
afterEach(() => postern.assertInvariants(upstream));
afterAll(async () => {
  await postern.stop();
  await Promise.all([legacy.close(), upstream.close()]);
});

const as = (bearer: string): Record<string, string> => ({ Authorization: `Bearer ${bearer}` });

async function rpc(bearer: string, method: string, ...values: readonly unknown[]) {
  const response = await fetch(`${postern.proxy}/rpc/v1/api-tokens/${method}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...as(bearer) },
    body: JSON.stringify(values),
  });
  return (await response.json()) as ReturnType<typeof JSON.parse>;
}

const makeKey = (session: string): Promise<Response> =>
  fetch(`${postern.proxy}/api/auth/access-keys`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Cookie: `storyden-session=${session}` },
    body: '{"name":"ci"}',
  });

describe('a role that an account was given here', () => {
  test('is among what its user may pass on to tokens, and stays with them', async () => {
    await postern.admin('POST', '/v1/roles', { id: 'reader', permissions: ['reports:read'] });
    await postern.admin('PUT', '/v1/accounts/ann', { roles: ['reader'] });
    sessions.set('s-ann', { account: { id: 'ann' }, permissions: ['own:write'] });
    const { id, token } = (await rpc('s-ann', 'create', 'ci')).data;
    postern.planted.push(token);
    const flags = async () => {
      const { data } = await rpc('s-ann', 'get-permissions', id);
      return (data as { id: string; enabled?: boolean }[]).map(row => [row.id, row.enabled]);
    };
    const use = async (): Promise<number> => (await fetch(`${postern.proxy}/reports`, { headers: as(token) })).status;
    expect([await flags(), await use()]).toEqual([
      [
        ['reports:read', undefined],
        ['own:write', undefined],
      ],
      403,
    ]);
    expect(await rpc('s-ann', 'update-permissions', id, { 'reports:read': true })).toMatchObject({ status: 200 });
    expect(await rpc('s-ann', 'update-permissions', id, { 'own:write': true })).toMatchObject({ status: 200 });
    expect([await flags(), await use()]).toEqual([
      [
        ['reports:read', true],
        ['own:write', true],
      ],
      200,
    ]);
  });

  test('lets its user make access keys', async () => {
    sessions.set('s-baldur', { account: { id: 'baldur' }, permissions: ['READ'] });
    expect((await makeKey('s-baldur')).status).toBe(403);
    await postern.admin('POST', '/v1/roles', { id: 'keys', permissions: ['USE_PERSONAL_ACCESS_KEYS'] });
    await postern.admin('PATCH', '/v1/accounts/baldur', { roles: ['keys'] });
    const made = await makeKey('s-baldur');
    expect(made.status).toBe(200);
    postern.planted.push(((await made.json()) as { secret: string }).secret);
  });
});

test('a token of api-tokens manages as its user does, whatever it may do itself', async () => {
  sessions.set('s-eve', { account: { id: 'eve' }, permissions: ['reports:read'] });
  const { id, token } = (await rpc('s-eve', 'create', 'ci')).data;
  postern.planted.push(token);
  const use = async (): Promise<number> => (await fetch(`${postern.proxy}/reports`, { headers: as(token) })).status;
  expect(await use()).toBe(403);
  const row = { id: 'reports:read', name: 'reports:read', description: '' };
  expect((await rpc(token, 'get-permissions', id)).data).toEqual([row]);
  expect(await rpc(token, 'set-permissions', id, { 'reports:read': true })).toMatchObject({ status: 200 });
  expect((await rpc(token, 'get-permissions', id)).data).toEqual([{ ...row, enabled: true }]);
  expect(await use()).toBe(200);
  expect(await rpc(token, 'set-permissions', id, { 'own:write': true })).toMatchObject({ status: 400 });
});

// The last: it takes a minute until they are forgotten.
test('a network that guessed too often is answered 429 by every API, and nobody is asked any more', async () => {
  const read = (at: string, bearer: string): Promise<Response> =>
    fetch(`${at}/rpc/v1/api-tokens/read`, { method: 'POST', headers: as(bearer) });
  const admin = `http://127.0.0.1:${postern.app.ports.admin}`;
  const ours = await postern.admin('POST', '/v1/sessions', { account: 'ann' });
  postern.planted.push(ours.body['session'] as string);
  await rpc('s-ann', 'read');
  sessions.set('s-new', { account: { id: 'ann' }, permissions: [] });
  for (const guess of ['guess-1', 'guess-2', 'guess-3'])
    expect(await rpc(guess, 'read')).toMatchObject({ status: 403 });

  const before = legacy.asked.length;
  const refused = [
    await read(postern.proxy, 'guess-4'),
    await read(postern.proxy, 's-new'),
    await read(admin, 's-new'),
    await makeKey('s-new'),
    await fetch(`${postern.proxy}/legacy?cmd=access.get_all&auth_token=s-new`),
  ];
  for (const answer of refused) {
    expect(answer.status).toBe(429);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await answer.json()).toMatchObject({ code: 'too_many_failures' });
  }
  expect(legacy.asked.length).toBe(before);
  // Who was known before, or shows a session of ours, is not locked out with them.
  expect(await rpc('s-ann', 'read')).toMatchObject({ status: 200 });
  expect(await rpc(ours.body['session'] as string, 'read')).toMatchObject({ status: 200 });
});
