import { decode, encode } from '@msgpack/msgpack';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { connectionLimits } from '../../../src/apis/api-tokens/connections.ts';
import { ops } from '../../support/managed.ts';
import { maskedFrame, WebSocketClient } from '../../support/websocket-client.ts';
import { NotClaimed } from '../transcript.ts';
import { type Office, openOffice, parsed } from './office.ts';

let office: Office | null = null;
const clients: WebSocketClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await office?.managed.dispose();
  expect(office?.faults ?? []).toEqual([]);
  office = null;
});

const open = async (...args: Parameters<typeof openOffice>): Promise<Office> => {
  office = await openOffice(...args);
  return office;
};

const connect = async (to: Office, bearer = 'ann-session', protocol = 'rpc'): Promise<WebSocketClient> => {
  const client = new WebSocketClient(await to.socket(`${protocol}, ${bearer}`));
  clients.push(client);
  return client;
};

const rpc = (id: unknown, method: string, ...args: readonly unknown[]) => ({
  type: 'rpc',
  id,
  method: `/v1/api-tokens/${method}`,
  args,
});

test('the first of the subprotocols is answered, and never the token', async () => {
  const to = await open();
  const accepted = await to.shake(['Sec-WebSocket-Protocol', 'rpc, ann-session']);
  expect(accepted).toMatchObject({ fields: ['Sec-WebSocket-Protocol', 'rpc'] });
  const inTwo = await to.shake(['Sec-WebSocket-Protocol', 'rpc', 'Sec-WebSocket-Protocol', 'ann-session']);
  expect(inTwo).toMatchObject({ fields: ['Sec-WebSocket-Protocol', 'rpc'] });
  const inAuthorization = await to.shake(['Sec-WebSocket-Protocol', 'rpc', 'Authorization', 'Bearer ann-session']);
  expect(inAuthorization).toMatchObject({ fields: ['Sec-WebSocket-Protocol', 'rpc'] });
});

test.each<[string, readonly string[], number]>([
  ['nobody', ['Sec-WebSocket-Protocol', 'rpc'], 403],
  ['an unknown token', ['Sec-WebSocket-Protocol', 'rpc, unknown'], 403],
  ['a token alone', ['Sec-WebSocket-Protocol', 'ann-session'], 400],
  ['no subprotocol', ['Authorization', 'Bearer ann-session'], 400],
  ['another subprotocol', ['Sec-WebSocket-Protocol', 'jsonrpc_2.0, ann-session'], 400],
  ['two tokens', ['Sec-WebSocket-Protocol', 'rpc, ann-session, bob-session'], 400],
  [
    'two tokens in two places',
    ['Sec-WebSocket-Protocol', 'rpc, ann-session', 'Authorization', 'Bearer ann-session'],
    400,
  ],
  [
    'a cookie',
    ['Sec-WebSocket-Protocol', 'rpc', 'Cookie', 'session=ann-session', 'Origin', 'https://evil.example'],
    403,
  ],
])('a handshake with %s is refused before the upgrade', async (_, fields, status) => {
  const to = await open();
  const answer = await to.shake(fields);
  if (!('status' in answer)) throw new Error('it was accepted');
  expect(answer.status).toBe(status);
  expect(parsed(answer)).toMatchObject({ status, exception: false });
});

test('handshakes elsewhere go on to the routes, at methods are refused, and an outage is a 503', async () => {
  const to = await open();
  expect(await to.shake([], { target: '/rpc/v1/api-tokens/read' })).toMatchObject({ status: 404 });
  await expect(to.shake([], { target: '/other' })).rejects.toThrow(NotClaimed);
  to.sessionsOut = true;
  expect(await to.shake(['Sec-WebSocket-Protocol', 'rpc, ann-session'])).toMatchObject({ status: 503 });
});

test('calls in text are answered in text, and in the order in which they came', async () => {
  const client = await connect(await open());
  client.say(rpc(1, 'create', 'ci'));
  client.say(rpc('two', 'read'));
  const created = await client.message();
  expect(Object.keys(created)).toEqual(['type', 'id', 'result']);
  expect(created).toMatchObject({ type: 'rpc', id: 1, result: { status: 200, reason: 'OK', exception: false } });
  const { id } = created.result.data;
  expect(await client.message()).toMatchObject({ id: 'two', result: { data: [{ id, name: 'ci' }], total: 1 } });
});

test('calls in bytes are answered in bytes', async () => {
  const client = await connect(await open());
  client.sayBytes(encode(rpc(7, 'create', 'ci')));
  const frame = await client.frame();
  expect(frame?.opcode).toBe(2);
  expect(decode(frame!.data)).toMatchObject({ type: 'rpc', id: 7, result: { status: 200, data: { userId: 'ann' } } });
});

test('a call without an id is made, and not answered', async () => {
  const client = await connect(await open());
  client.say({ type: 'rpc', method: '/v1/api-tokens/create', args: ['quiet'] });
  client.say(rpc(2, 'read'));
  expect(await client.message()).toMatchObject({ id: 2, result: { data: [{ name: 'quiet' }] } });
});

test('pings are answered, as frames and as messages; other messages are not', async () => {
  const client = await connect(await open());
  client.write(maskedFrame(0x89, 'beat'));
  expect(await client.frame()).toMatchObject({ opcode: 10, data: Buffer.from('beat') });
  client.say({ type: 'ping' });
  expect(await client.message()).toEqual({ type: 'pong' });
  client.say({ type: 'ping', id: 3 });
  expect(await client.message()).toEqual({ type: 'pong', id: 3 });
  client.say('ping');
  expect((await client.frame())?.data.toString()).toBe('pong');
  client.say({ type: 'pong' });
  client.say({ type: 'event', name: 'x', args: [] });
  client.say({ type: 'ping', id: 4 });
  expect(await client.message()).toEqual({ type: 'pong', id: 4 });
});

test('mounts of the newer envelope speak JSON-RPC, to both kinds of requests', async () => {
  const client = await connect(await open('jsonrpc'), 'ann-session', 'jsonrpc_2.0');
  client.say({ jsonrpc: '2.0', id: 1, method: '/v1/api-tokens/create', params: ['ci'] });
  const created = await client.message();
  expect(created).toMatchObject({ jsonrpc: '2.0', id: 1, result: { status: 200, status_text: 'OK', meta: {} } });
  client.say(rpc(2, 'delete', 'nobody'));
  expect(await client.message()).toEqual({
    jsonrpc: '2.0',
    error: { code: 404, message: 'Not Found', data: { exception: false, meta: {} } },
    id: 2,
  });
});

test.each(['disable', 'revoke'] as const)('to %s a token closes its socket with 1100', async how => {
  const to = await open();
  const { data } = await to.rpc('ann-session', 'create', 'ci');
  const client = await connect(to, data.token);
  const other = await connect(to, 'bob-session');
  client.say(rpc(1, 'read'));
  expect(await client.message()).toMatchObject({ result: { total: 1 } });
  await to.managed.tokens[how]({ actor: ops, id: data.id });
  expect(await client.end()).toBe(1100);
  other.say(rpc(1, 'read'));
  expect(await other.message()).toMatchObject({ result: { total: 0 } });
});

test('a token that deletes itself is answered, and then signed out', async () => {
  const to = await open();
  const { data } = await to.rpc('ann-session', 'create', 'ci');
  const client = await connect(to, data.token);
  client.say(rpc(1, 'delete', data.id));
  expect(await client.message()).toEqual({
    type: 'rpc',
    id: 1,
    result: { status: 200, reason: 'OK', exception: false },
  });
  expect(await client.end()).toBe(1100);
});

test('a disabled account, and a session that is over by a call, close with 1100', async () => {
  const to = await open();
  const { data } = await to.rpc('bob-session', 'create', 'ci');
  const client = await connect(to, data.token);
  await to.managed.accounts.patch({ actor: ops, id: 'bob' }, { enabled: false });
  expect(await client.end()).toBe(1100);
  const session = await connect(to);
  to.sessions.delete('ann-session');
  session.say(rpc(1, 'create', 'late'));
  expect(await session.end()).toBe(1100);
  to.sessions.set('ann-session', 'ann');
  expect(await to.rpc('ann-session', 'read')).toMatchObject({ total: 0 });
});

test('a session that is somebody else’s by a call calls in nobody’s name, and closes with 1100', async () => {
  const to = await open();
  const client = await connect(to);
  to.sessions.set('ann-session', 'bob');
  client.say(rpc(1, 'create', 'late'));
  expect(await client.end()).toBe(1100);
  expect(await to.rpc('bob-session', 'read')).toMatchObject({ total: 0 });
});

test('an outage is answered, and closes nothing', async () => {
  const to = await open();
  const client = await connect(to);
  to.sessionsOut = true;
  client.say(rpc(1, 'read'));
  expect(await client.message()).toMatchObject({ result: { status: 503, reason: 'Service Unavailable' } });
  to.sessionsOut = false;
  client.say(rpc(2, 'read'));
  expect(await client.message()).toMatchObject({ result: { status: 200 } });
});

describe('connections of one account are bounded', () => {
  const offer = ['Sec-WebSocket-Protocol', 'rpc, ann-session'];
  const most = connectionLimits.account;

  test('and one more is refused before the upgrade, until another has ended', async () => {
    const to = await open();
    const { data } = await to.rpc('ann-session', 'create', 'ci');
    const first = await connect(to);
    for (let i = 1; i < most; i++) await connect(to, i % 2 === 0 ? 'ann-session' : data.token);
    const isUp = async (client: WebSocketClient) => {
      client.say({ type: 'ping' });
      expect(await client.message()).toEqual({ type: 'pong' });
    };
    for (const client of clients) await isUp(client);
    const refused = await to.shake(offer);
    if (!('status' in refused)) throw new Error('it was accepted');
    expect([refused.status, parsed(refused)]).toEqual([
      503,
      { status: 503, reason: 'Too many connections of this user', exception: true },
    ]);
    const other = await connect(to, 'bob-session');
    await isUp(other);
    first.destroy();
    await vi.waitFor(async () => expect(await to.shake(offer)).toHaveProperty('run'));
    await isUp(await connect(to));
    expect(await to.shake(offer)).toHaveProperty('status', 503);
  });

  test('also where handshakes were taken side by side: one too many is told to come later', async () => {
    const to = await open();
    const taken = await Promise.all(Array.from({ length: most + 1 }, () => to.shake(offer)));
    for (const connection of taken) {
      if (!('run' in connection)) throw new Error('it was refused');
      clients.push(new WebSocketClient(await to.upgraded(connection)));
    }
    for (const client of clients) client.say({ type: 'ping' });
    const said = await Promise.all(clients.map(client => client.frame()));
    const refused = said.filter(frame => frame?.opcode === 8);
    expect(refused.map(frame => frame!.data.readUInt16BE(0))).toEqual([1013]);
    expect(said.filter(frame => frame?.data.toString() === '{"type":"pong"}')).toHaveLength(most);
  });
});

test('nobody listens to changes when nobody is connected', async () => {
  const to = await open();
  const client = await connect(to);
  client.say({ type: 'ping' });
  await client.message();
  expect(to.listening()).toBe(1);
  client.write(maskedFrame(0x88, Buffer.of(3, 232)));
  expect(await client.end()).toBe(1000);
  await vi.waitFor(() => expect(to.listening()).toBe(0));
});

test.each<[string, number, Uint8Array]>([
  ['a frame without a mask', 1002, Buffer.of(0x81, 0x02, 0x7b, 0x7d)],
  ['a frame that says it has 2^62 bytes', 1009, Buffer.of(0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4)],
  ['a message over 256 KiB', 1009, maskedFrame(0x82, new Uint8Array(256 * 1024 + 1))],
  [
    'a flood of empty continuations',
    1009,
    Buffer.concat([maskedFrame(0x01, ''), ...new Array(2000).fill(maskedFrame(0x00, ''))]),
  ],
  ['text that is not JSON', 1007, maskedFrame(0x81, '{')],
  ['text that is not UTF-8', 1007, maskedFrame(0x81, Buffer.of(0x22, 0xc0, 0xaf, 0x22))],
  ['a message that is a list', 1007, maskedFrame(0x81, '[]')],
  ['doubled members', 1007, maskedFrame(0x81, '{"type":"rpc","type":"ping"}')],
  ['__proto__', 1007, maskedFrame(0x81, '{"type":"ping","__proto__":{"id":1}}')],
  ['an id that is an object', 1007, maskedFrame(0x81, '{"type":"ping","id":{"toJSON":1}}')],
  ['a method that is a list', 1007, maskedFrame(0x81, '{"type":"rpc","id":1,"method":["/v1/api-tokens/read"]}')],
  ['nested JSON', 1007, maskedFrame(0x81, '['.repeat(100_000))],
  ['nested MessagePack', 1007, maskedFrame(0x82, new Uint8Array(200_000).fill(0x91))],
  [
    'a MessagePack list that says it has 4 billion values',
    1007,
    maskedFrame(0x82, Buffer.of(0xdd, 255, 255, 255, 255)),
  ],
])('%s closes with %d', async (_, code, bytes) => {
  const client = await connect(await open());
  client.write(bytes);
  expect(await client.end()).toBe(code);
});

test('a flood of calls is worked off one by one, and none is lost', async () => {
  const to = await open();
  const client = await connect(to);
  for (let i = 0; i < 500; i++) client.say(rpc(i + 1, 'get-permissions', 'x'));
  for (let i = 0; i < 500; i++) expect((await client.message()).id).toBe(i + 1);
});

test('calls that come with the revocation are not made', async () => {
  const to = await open();
  const { data } = await to.rpc('ann-session', 'create', 'ci');
  const client = await connect(to, data.token);
  const many = Array.from({ length: 50 }, (_, i) => maskedFrame(0x81, JSON.stringify(rpc(i, 'create', `n${i}`))));
  client.write(Buffer.concat([maskedFrame(0x81, JSON.stringify(rpc('x', 'delete', data.id))), ...many]));
  expect(await client.end()).toBe(1100);
  expect(await to.rpc('ann-session', 'read')).toMatchObject({ total: 0 });
});
