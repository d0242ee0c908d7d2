import { randomBytes } from 'node:crypto';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Program } from '../support/program.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { RedisServer } from '../support/redis.ts';
import { Served } from '../support/served.ts';
import { WebSocketClient } from '../support/websocket-client.ts';

/** What mounts of token APIs can be told, in programs as they are run: over a restart, and with another process beside. */

const upstream = new RecordingUpstream();
const adminKey = randomBytes(32).toString('hex');
const pepper = randomBytes(32).toString('hex');
const boundMs = 3000;
const patience = 'deadline: 5s, mutation_deadline: 10s';
const newKey = () => randomBytes(32).toString('base64');

beforeAll(() => upstream.listen());
afterAll(async () => {
  await Program.killAll();
  await RedisServer.stopAll();
  await upstream.close();
});

async function start(store: string, recoveryKey: string, at?: string): Promise<Served> {
  const folder = at ?? (await mkdtemp(path.join(tmpdir(), 'postern-e2e-')));
  await writeFile(path.join(folder, 'recovery.key'), recoveryKey, { mode: 0o600 });
  const config = `
upstreams: { u: { url: "${upstream.url}" } }
routes:
  - { path: /reports, require: "reports:read" }
  - { path: /** }
token_apis:
  - { api: api-tokens, mount: /rpc, listen: proxy, envelope: jsonrpc }
  - { api: access-api, mount: /legacy, listen: proxy, recoverable: { key_file: recovery.key } }
admin: { keys: [{ name: ops, role: admin, key: "${adminKey}" }] }
tokens: { peppers: [{ id: p1, key: "${pepper}" }] }
revocation: { bound: ${boundMs}ms }
store: ${store}
`;
  const served = await Served.start({ config, folder });
  served.adminKey = adminKey;
  return served;
}

/** Ann, and a session of hers. */
async function signIn(served: Served): Promise<string> {
  const account = { id: 'ann', name: 'Ann', permissions: { 'reports:read': true, 'reports:write': true } };
  expect((await served.admin('POST', '/v1/accounts', account)).status).toBe(201);
  const { body } = await served.admin('POST', '/v1/sessions', { account: 'ann', ttl: '1h' });
  return String(body['session']);
}

async function rpc(at: Served, bearer: string, method: string, ...args: readonly unknown[]) {
  const response = await fetch(`${at.proxy}/rpc/v1/api-tokens/${method}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
    body: JSON.stringify(args),
  });
  expect(response.status).toBe(200);
  return (await response.json()) as ReturnType<typeof JSON.parse>;
}

/** A command of access-api. */
async function command(at: Served, cmd: string, parameters: Record<string, string>) {
  const body = new URLSearchParams({ cmd: `access.${cmd}`, ...parameters });
  const answer = await (await fetch(`${at.proxy}/legacy`, { method: 'POST', body })).json();
  expect(answer).toMatchObject({ return_code: 'SUCCESS' });
  return (answer as { data: { id: string; token: string } }).data;
}

const done = (data?: unknown, meta = {}) => ({
  jsonrpc: '2.0',
  result: { status: 200, status_text: 'OK', exception: false, ...(data !== undefined && { data }), meta },
});
const refused = (code: number, message: string) => ({
  jsonrpc: '2.0',
  error: { code, message, data: { exception: false, meta: {} } },
});

describe.each(['embedded', 'redis'] as const)('over a restart, with a store that is %s', kind => {
  const recoveryKey = newKey();
  let store = `{ kind: embedded, path: ./data, ${patience} }`;
  let served: Served;
  let session = '';

  beforeAll(async () => {
    if (kind === 'redis') {
      const { endpoint } = await RedisServer.start();
      store = `{ kind: redis, url: "redis://127.0.0.1:${endpoint.port}/1", ${patience} }`;
    }
    served = await start(store, recoveryKey);
    session = await signIn(served);
  });
  afterAll(() => served.stop());

  async function restart(key: string): Promise<void> {
    await served.stop({ keep: true });
    served = await start(store, key, served.folder);
  }

  test('JSON-RPC is spoken, and what was made is as it was', async () => {
    const made = await rpc(served, session, 'create', 'ci');
    const { id, token } = made.result.data;
    expect(made).toEqual(done({ id, token, userId: 'ann', username: 'Ann', permissions: {} }));
    expect(await rpc(served, session, 'set-permissions', id, { 'reports:drop': true })).toEqual(
      refused(400, 'Token permission "reports:drop" is not valid'),
    );
    expect(await rpc(served, session, 'set-permissions', id, { 'reports:read': true })).toEqual(done());
    expect(await rpc(served, 'guess', 'read')).toEqual(refused(403, 'Insufficient permissions'));
    expect(await served.status('/reports', token)).toBe(200);

    await restart(recoveryKey);
    expect(await served.status('/reports', token)).toBe(200);
    const { result } = await rpc(served, token, 'read');
    expect(result).toMatchObject({
      status_text: 'OK',
      data: [{ id, user_id: 'ann', name: 'ci', enabled: true, permissions: { 'reports:read': true } }],
      meta: { total: 1, rows: 1, summary: { total: 1 } },
    });
    const client = await WebSocketClient.open(served.ports.proxy, '/rpc', `jsonrpc_2.0, ${token}`);
    client.say({ jsonrpc: '2.0', id: 1, method: '/v1/api-tokens/get-permissions', params: ['7'] });
    expect(await client.message()).toEqual({ ...refused(404, 'Not Found'), id: 1 });
    expect(await served.metric('postern_streams_open{kind="websocket"}')).toBe(1);
    client.say({ jsonrpc: '2.0', id: 2, method: '/v1/api-tokens/delete', params: [id] });
    expect(await client.message()).toEqual({ ...done(), id: 2 });
    expect(await client.end()).toBe(1100);
    expect(await served.status('/reports', token)).toBe(401);
  });

  test('a secret that is recoverable is shown again, by its mount alone and with its key alone', async () => {
    const { id, token } = await command(served, 'add', { auth_token: session, name: 'CI', extra: '{"note":1}' });
    const get = () => command(served, 'get', { auth_token: session, token_id: id });
    expect((await get()).token).toBe(token);
    expect((await served.admin('GET', `/v1/tokens/${id}`)).text).not.toContain(token);

    await restart(recoveryKey);
    expect((await get()).token).toBe(token);
    expect(await served.status('/x', token)).toBe(200);

    await restart(newKey());
    expect((await get()).token).toBe(`pst_…${token.slice(-4)}`);
    expect(await served.status('/x', token)).toBe(200);
    await served.logged();
    expect(served.program.stdout + served.program.stderr).not.toContain(token);
  });
});

describe('with another process on the same Redis', () => {
  let one: Served;
  let two: Served;
  let session = '';

  beforeAll(async () => {
    const { endpoint } = await RedisServer.start();
    const store = `{ kind: redis, url: "redis://127.0.0.1:${endpoint.port}/1", ${patience} }`;
    const key = newKey();
    one = await start(store, key);
    two = await start(store, key);
    session = await signIn(one);
  });
  afterAll(() => Promise.all([one.stop(), two.stop()]));

  /** Within the bound, but for what a busy machine adds. */
  const within = (what: () => Promise<number>, wanted: number) =>
    expect.poll(what, { interval: 20, timeout: boundMs + 2000 }).toBe(wanted);

  test('a token that is made over one is good at the other, and manages there', async () => {
    const { id, token } = (await rpc(one, session, 'create', 'ci')).result.data;
    expect(await two.status('/x', token)).toBe(200);
    expect((await rpc(two, token, 'read', { id })).result.data).toMatchObject({ id, name: 'ci' });
    expect(await two.status('/reports', token)).toBe(403);
    await rpc(one, session, 'set-permissions', id, { 'reports:read': true });
    await within(() => two.status('/reports', token), 200);
    await rpc(two, session, 'update-permissions', id, { 'reports:read': false });
    await within(() => one.status('/reports', token), 403);
  });

  test('one that is disabled or removed over one is refused at the other, and its WebSocket is closed there', async () => {
    const { id, token } = (await rpc(one, session, 'create', 'gone')).result.data;
    const away = (await rpc(two, session, 'create', 'away')).result.data;
    expect(await two.status('/x', token)).toBe(200);
    expect(await one.status('/x', away.token)).toBe(200);
    const client = await WebSocketClient.open(two.ports.proxy, '/rpc', `rpc, ${token}`);
    client.say({ type: 'ping' });
    expect(await client.message()).toEqual({ type: 'pong' });

    expect(await rpc(one, session, 'delete', id)).toEqual(done());
    expect(await one.status('/x', token)).toBe(401);
    await within(() => two.status('/x', token), 401);
    expect(await client.end()).toBe(1100);
    expect(await rpc(two, token, 'read')).toEqual(refused(403, 'Insufficient permissions'));
    expect(await rpc(two, session, 'read', { id })).toEqual(refused(404, 'Not Found'));

    expect(await rpc(two, session, 'set-enabled', away.id, false)).toEqual(done());
    await within(() => one.status('/x', away.token), 401);
    await rpc(one, session, 'set-enabled', away.id, true);
    await within(() => two.status('/x', away.token), 200);
  });

  test('a recoverable secret is shown over the other, too', async () => {
    const { id, token } = await command(one, 'add', { auth_token: session, name: 'CI', extra: '{}' });
    expect((await command(two, 'get', { auth_token: session, token_id: id })).token).toBe(token);
    await command(two, 'remove', { auth_token: session, token_id: id });
    await within(() => one.status('/x', token), 401);
  });
});
