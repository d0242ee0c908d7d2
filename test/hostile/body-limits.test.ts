import { describe, expect, test } from 'vitest';
import { H, useRig } from '../support/rig.ts';

const limit = 10 << 10;
const rig = useRig({
  routes: `
  - { path: /api/**, require: api, max_body: 10KiB }
  - { path: /public/**, access: public }`,
});

const post = (fields: string): string => `POST /api/x HTTP/1.1\r\n${H}${rig.A}${fields}\r\n`;
const chunk = (size: number): string => `${size.toString(16)}\r\n${'x'.repeat(size)}\r\n`;

describe('a body over max_body', () => {
  test('that its length announces is refused before a byte of the request reaches the upstream', async () => {
    await rig.refuses(`${post(`Content-Length: ${limit + 1}\r\n`)}${'x'.repeat(limit + 1)}`, 'body_too_large');
  });

  test('is refused without 100 when the client waits for leave to send it', async () => {
    const client = await rig.send(post(`Content-Length: ${limit + 1}\r\nExpect: 100-continue\r\n`));
    expect((await client.answer()).status).toBe(413);
    await client.untilClosed();
    expect(client.text).toBe('');
    expect(rig.upstream.requests).toHaveLength(0);
  });

  test('is not read on: a client that sends a gigabyte all the same is cut off', async () => {
    const client = await rig.send(post(`Content-Length: ${1 << 30}\r\n`));
    expect((await client.answer()).status).toBe(413);
    const piece = Buffer.alloc(1 << 20);
    for (let sent = 0; !client.closed && !client.ended; sent += piece.length) {
      expect(sent, 'bytes that were still taken').toBeLessThan(64 << 20);
      if (!client.write(piece)) {
        await Promise.race([client.untilClosed(), new Promise(resolve => client.socket.once('drain', resolve))]);
      }
    }
    expect(rig.upstream.requests).toHaveLength(0);
  });

  test('that grows over it chunk by chunk is refused, and never looks whole to the upstream', async () => {
    const client = await rig.send(post('Transfer-Encoding: chunked\r\n') + chunk(limit));
    await rig.upstream.until(({ bytes }) => bytes.includes('x'.repeat(limit)), 'the bytes within the limit');
    client.write(`${chunk(1)}0\r\n\r\n`);
    const answer = await client.answer();
    expect([answer.status, answer.json()['code'], answer.get('connection')]).toEqual([413, 'body_too_large', 'close']);
    await client.untilClosed();
    await rig.upstream.until(({ sockets }) => sockets.size === 0, 'end of its connection');
    expect(rig.upstream.requests.map(({ complete }) => complete)).toEqual([false]);
  });

  test('that grows over it behind the beginning of an answer breaks that answer off', async () => {
    rig.upstream.early = true;
    rig.upstream.script = ({ write }) => write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf');
    const client = await rig.send(post('Transfer-Encoding: chunked\r\n') + chunk(limit));
    await client.until(({ text }) => text.endsWith('half'));
    client.write(`${chunk(1)}0\r\n\r\n`);
    await client.untilClosed();
    expect(client.text.endsWith('\r\n\r\nhalf')).toBe(true);
    await rig.upstream.until(({ sockets }) => sockets.size === 0, 'end of its connection');
    expect(rig.upstream.requests.map(({ complete }) => complete)).toEqual([false]);
  });
});

test.each([
  ['of exactly max_body', () => `${post(`Content-Length: ${limit}\r\n`)}${'x'.repeat(limit)}`],
  [
    'of exactly max_body in chunks',
    () => `${post('Transfer-Encoding: chunked\r\n')}${chunk(limit - 1)}${chunk(1)}0\r\n\r\n`,
  ],
])('a body %s arrives whole', async (_, bytes) => {
  expect((await rig.ask(bytes())).status).toBe(200);
  expect(rig.upstream.only.body.length).toBe(limit);
});

test('a route without max_body takes what comes', async () => {
  const size = 3 << 20;
  const client = await rig.send(`POST /public/x HTTP/1.1\r\n${H}Content-Length: ${size}\r\n\r\n`);
  client.write(Buffer.alloc(size, 'x'));
  expect((await client.answer()).status).toBe(200);
  expect(rig.upstream.only.body.length).toBe(size);
});
