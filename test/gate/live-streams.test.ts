import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { frame } from '../support/frames.ts';
import type { RawClient } from '../support/raw-client.ts';
import type { Scene } from '../support/recording-upstream.ts';
import { H, useRig } from '../support/rig.ts';

/** Answers under way follow their token: whoever is denied now is cut off, everybody else is left alone. */

const rig = useRig();
const websocket =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n';
const heads = {
  websocket: `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n`,
  'event stream':
    'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n',
  download: 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\none',
};
type Kind = keyof typeof heads;
const kinds = Object.keys(heads) as Kind[];

/** Close frame, unmasked, with the code for a violated policy. */
const close1008 = Buffer.from([0x88, 2, 0x03, 0xf0]);

interface Live {
  readonly client: RawClient;
  readonly scene: Scene;
  /** Bytes that came before anything changed. */
  readonly length: number;
}

async function open(kind: Kind, secret: string): Promise<Live> {
  let scene: Scene | null = null;
  rig.upstream.script = it => {
    scene = it;
    it.write(heads[kind]);
  };
  const fields = `${H}Authorization: Bearer ${secret}\r\n${kind === 'websocket' ? websocket : ''}`;
  const client = await rig.send(`GET /api/x HTTP/1.1\r\n${fields}\r\n`);
  if (kind === 'websocket') expect((await client.answer()).status).toBe(101);
  else await client.until(({ text }) => text.includes('one'));
  return { client, scene: scene!, length: client.length };
}

async function expectCut(kind: Kind, { client, scene, length }: Live): Promise<void> {
  await client.untilClosed(5000);
  if (kind === 'websocket') expect(client.bytes.subarray(length)).toEqual(close1008);
  else expect(client.text.endsWith('0\r\n\r\n'), 'looks whole').toBe(false);
  // The upstream is told, too: nobody is left to send to.
  await expect.poll(() => scene.socket.destroyed || scene.socket.readableEnded, { timeout: 5000 }).toBe(true);
}

/** Bytes still pass. */
async function expectAlive(kind: Kind, { client, scene }: Live): Promise<void> {
  const before = client.length;
  scene.write(kind === 'websocket' ? frame(3, false) : kind === 'download' ? 'two' : '3\r\ntwo\r\n');
  await client.until(({ length }) => length > before);
  expect(client.ended || client.closed).toBe(false);
}

const mint = (spec: Record<string, unknown> = {}) => rig.postern.mint({ permissions: ['api'], ...spec });
const change = async (method: string, target: string, body?: unknown): Promise<void> => {
  const { status, text } = await rig.postern.admin(method, target, body);
  expect(status, text).toBeLessThan(300);
};
const lastLine = async () => {
  await rig.postern.quiet();
  return (await rig.postern.requestLines()).at(-1)!;
};

describe.each(kinds)('%s', kind => {
  const closes: [string, (id: string) => Promise<void>][] = [
    ['revoked', id => change('DELETE', `/v1/tokens/${id}`)],
    ['disabled', id => change('POST', `/v1/tokens/${id}/disable`)],
    ['left without the permission', id => change('PATCH', `/v1/tokens/${id}`, { permissions: ['other'] })],
  ];
  test.each(closes)('of a token that is %s is closed, and no other', async (_, make) => {
    const [one, other] = [await mint(), await mint()];
    const mine = await open(kind, one.secret);
    const theirs = await open(kind, other.secret);
    await make(one.id);
    await expectCut(kind, mine);
    await expectAlive(kind, theirs);
  });

  test('of an account is closed when that is disabled', async () => {
    const id = `acme-${kind.replace(' ', '-')}`;
    await change('POST', '/v1/accounts', { id });
    const mine = await open(kind, (await mint({ owner: id })).secret);
    await change('PATCH', `/v1/accounts/${id}`, { enabled: false });
    await expectCut(kind, mine);
  });

  test('goes on when the change leaves it its permission', async () => {
    const { id, secret } = await mint();
    const mine = await open(kind, secret);
    const witness = await mint();
    const other = await open(kind, witness.secret);
    await change('PATCH', `/v1/tokens/${id}`, { name: 'another', permissions: ['api', 'more'] });
    // Judged behind the first: when this one is cut, the first has been judged.
    await change('DELETE', `/v1/tokens/${witness.id}`);
    await expectCut(kind, other);
    await expectAlive(kind, mine);
  });

  test('ends with its token, at the time that was last set', async () => {
    const { id, secret } = await mint();
    const mine = await open(kind, secret);
    await change('PATCH', `/v1/tokens/${id}`, { expires_at: new Date(Date.now() + 300).toISOString() });
    await expectCut(kind, mine);
  });

  test('ends with the grace of a secret that was rotated', async () => {
    const { id, secret } = await mint();
    const mine = await open(kind, secret);
    const answer = await rig.postern.admin('POST', `/v1/tokens/${id}/rotate`, { grace: '1s' });
    rig.postern.planted.push(answer.body['secret'] as string);
    const renewed = await open(kind, answer.body['secret'] as string);
    await expectCut(kind, mine);
    await expectAlive(kind, renewed);
  });
});

test('a WebSocket is closed between two frames, not within one', async () => {
  const { id, secret } = await mint();
  const { client, scene } = await open('websocket', secret);
  const whole = frame(1000, false);
  scene.write(whole.subarray(0, 400));
  await client.until(({ length }) => length === 400);
  await change('DELETE', `/v1/tokens/${id}`);
  // It is judged by the next tick, a tenth of a second later at most; the rest comes while the Close frame waits for it.
  await pause(400);
  expect(client.length).toBe(400);
  scene.write(whole.subarray(400));
  await client.untilClosed(5000);
  expect(client.bytes).toEqual(Buffer.concat([whole, close1008]));
});

test('a client that takes nothing does not keep its download', async () => {
  const { id, secret } = await mint();
  const size = 64 << 20;
  rig.upstream.script = ({ write }) => write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n${'x'.repeat(size)}`);
  const client = await rig.open();
  client.socket.pause();
  client.write(`GET /api/x HTTP/1.1\r\n${H}Authorization: Bearer ${secret}\r\n\r\n`);
  await rig.upstream.until(({ requests }) => requests.length === 1);
  await change('DELETE', `/v1/tokens/${id}`);
  expect((await lastLine())['fault']).toBe('revoked');
  client.socket.resume();
  await client.untilClosed();
  expect(client.length).toBeLessThan(size);
});

test('what is not answered yet is let through, but an endless answer to it is not', async () => {
  const { id, secret } = await mint();
  const scenes: Scene[] = [];
  rig.upstream.script = scene => scenes.push(scene);
  const ask = () => rig.send(`GET /api/x HTTP/1.1\r\n${H}Authorization: Bearer ${secret}\r\n\r\n`);
  const [short, long] = [await ask(), await ask()];
  await rig.upstream.until(() => scenes.length === 2);
  const witness = await mint();
  const other = await open('download', witness.secret);
  await change('DELETE', `/v1/tokens/${id}`);
  await change('DELETE', `/v1/tokens/${witness.id}`);
  await expectCut('download', other);
  scenes[0]!.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  scenes[1]!.write(heads['event stream']);
  expect((await short.answer()).body.toString()).toBe('ok');
  await long.untilClosed(5000);
  expect(long.text.endsWith('0\r\n\r\n'), 'looks whole').toBe(false);
});

test('the log and the metrics say why', async () => {
  const before = await rig.postern.metric('postern_streams_closed_total{reason="revoked"}');
  const expired = await rig.postern.metric('postern_streams_closed_total{reason="expired"}');
  const { id, secret } = await mint();
  await open('websocket', secret);
  await change('DELETE', `/v1/tokens/${id}`);
  expect(await lastLine()).toMatchObject({ token_id: id, status: 101, outcome: 'allowed', fault: 'revoked' });
  const soon = await mint({ expires_at: new Date(Date.now() + 1500).toISOString() });
  await open('event stream', soon.secret);
  await expect.poll(lastLine, { timeout: 5000 }).toMatchObject({ status: 200, outcome: 'aborted', fault: 'expired' });
  expect(await rig.postern.metric('postern_streams_closed_total{reason="revoked"}')).toBe(before + 1);
  expect(await rig.postern.metric('postern_streams_closed_total{reason="expired"}')).toBe(expired + 1);
});
