import { describe, expect, test } from 'vitest';
import { H, useRig } from '../support/rig.ts';

/** Smuggled answers: what an upstream sends beyond its answer is never taken for somebody else's. */

const rig = useRig({ upstreamMembers: 'max_connections: 1' });
const get = (target: string, fields = '', method = 'GET') => `${method} ${target} HTTP/1.1\r\n${H}${fields}\r\n`;
const evil = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL';
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** Another client asks, and must get what the upstream says to it. */
async function expectCleanNext(method = 'GET'): Promise<void> {
  rig.upstream.script = ({ write }) => write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nclean');
  const answer = await rig.ask(get('/public/next', method === 'POST' ? 'Content-Length: 0\r\n' : '', method));
  expect([answer.status, answer.body.toString()]).toEqual([200, 'clean']);
}

describe('bytes behind an answer never answer the next request', () => {
  const surplus: Record<string, [answer: string, status: number, body: string]> = {
    'a second answer in the same packet': [ok + evil, 200, 'ok'],
    'a body longer than its length': [`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok${evil}`, 200, 'ok'],
    'bytes behind the last chunk': [
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n${evil}`,
      200,
      'ok',
    ],
    'a body of 204': [`HTTP/1.1 204 No Content\r\nContent-Length: ${evil.length}\r\n\r\n${evil}`, 204, ''],
    'a body of 204 that nothing announces': [`HTTP/1.1 204 No Content\r\n\r\n${evil}`, 204, ''],
    'a chunked body of 204': [
      `HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n${evil.length.toString(16)}\r\n${evil}\r\n0\r\n\r\n`,
      204,
      '',
    ],
    'a body of 304': [`HTTP/1.1 304 Not Modified\r\nContent-Length: ${evil.length}\r\n\r\n${evil}`, 304, ''],
    'a body of 304 that nothing announces': [`HTTP/1.1 304 Not Modified\r\n\r\n${evil}`, 304, ''],
    garbage: [`${ok}\0\x01\x02`, 200, 'ok'],
    'an informational answer': [`${ok}HTTP/1.1 103 Early Hints\r\n\r\n`, 200, 'ok'],
    'an answer of HTTP/0.9': [`${ok}EVIL`, 200, 'ok'],
  };
  for (const [what, [bytes, status, body]] of Object.entries(surplus)) {
    test.each(['GET', 'POST'])(`${what}, then %s`, async method => {
      rig.upstream.script = ({ write }) => write(bytes);
      const answer = await rig.ask(get('/public/first'));
      expect([answer.status, answer.body.toString()]).toEqual([status, body]);
      await expectCleanNext(method);
      const [first, next] = rig.upstream.requests;
      expect(next!.connection, 'the connection was used again').not.toBe(first!.connection);
    });
  }

  test.each(['GET', 'POST'])('a body to HEAD, then %s', async method => {
    rig.upstream.script = ({ write }) => write(`HTTP/1.1 200 OK\r\nContent-Length: ${evil.length}\r\n\r\n${evil}`);
    const answer = await rig.ask(get('/public/first', '', 'HEAD'), { head: true });
    expect([answer.status, answer.get('content-length')]).toEqual([200, String(evil.length)]);
    await expectCleanNext(method);
    expect(rig.upstream.requests[1]!.connection).not.toBe(rig.upstream.requests[0]!.connection);
  });

  test('an answer that nobody asked for, on an idle connection', async () => {
    expect((await rig.ask(get('/public/first'))).status).toBe(200);
    const closed = rig.upstream.closedConnections;
    const [socket] = rig.upstream.sockets;
    socket!.write(evil);
    await rig.upstream.until(upstream => upstream.closedConnections > closed, 'end of the connection');
    await expectCleanNext();
  });

  test.each(['GET', 'POST', 'PUT'])('an answer that nobody asked for, in the moment of the next %s', async method => {
    for (let i = 0; i < 20; i++) {
      rig.upstream.requests.length = 0;
      rig.upstream.script = ({ write }) => write(ok);
      const first = await rig.open();
      const second = await rig.open();
      first.write(get('/public/first'));
      expect((await first.answer()).body.toString()).toBe('ok');
      const [socket] = rig.upstream.sockets;
      rig.upstream.script = ({ write }) => write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nclean');
      // Both lie in the proxy's buffers before it reads either.
      socket!.write(evil);
      second.write(get('/public/next', 'Content-Length: 0\r\n', method));
      expect((await second.answer()).body.toString()).toBe('clean');
      first.destroy();
      second.destroy();
    }
  });

  test('the same, with the next request waiting in the queue', async () => {
    let release = () => {};
    rig.upstream.script = ({ write }) => {
      release = () => write(ok + evil);
    };
    const first = await rig.send(get('/public/first'));
    await rig.upstream.until(({ requests }) => requests.length === 1);
    const second = await rig.send(get('/public/second'));
    await expect.poll(() => rig.postern.metric('postern_queue_length{upstream="u"}')).toBe(1);
    rig.upstream.script = ({ write }) => write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nclean');
    release();
    expect((await first.answer()).body.toString()).toBe('ok');
    expect((await second.answer()).body.toString()).toBe('clean');
  });
});

describe('an upstream that switches protocols unasked', () => {
  test.each(['websocket', 'h2c', 'TLS/1.0'])('101 to %s is a failure, and no byte passes', async protocol => {
    rig.upstream.script = ({ write }) =>
      write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n${evil}`);
    await expectFailed(get('/public/x'));
    await expectCleanNext();
  });
  test('101 without a word about the protocol', async () => {
    rig.upstream.script = ({ write }) => write(`HTTP/1.1 101 Switching Protocols\r\n\r\n${evil}`);
    await expectFailed(get('/public/x'));
    await expectCleanNext();
  });
  test('101 to a request with a body', async () => {
    rig.upstream.script = ({ write }) =>
      write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n${evil}`);
    await expectFailed(`POST /public/x HTTP/1.1\r\n${H}Content-Length: 5\r\n\r\nhello`);
    await expectCleanNext();
  });
  test('101 to a request whose offer to upgrade was not forwarded', async () => {
    rig.upstream.script = ({ write }) =>
      write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n${evil}`);
    await expectFailed(
      get('/public/x', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n'),
    );
    await expectCleanNext();
  });
  test('an unasked 100', async () => {
    rig.upstream.script = ({ write }) => write(`HTTP/1.1 100 Continue\r\n\r\n${evil}`);
    await expectFailed(get('/public/x'));
    await expectCleanNext();
  });
});

describe('answers that could be read in two ways are failures of the upstream', () => {
  const heads: Record<string, string> = {
    'two lengths': 'Content-Length: 2\r\nContent-Length: 4\r\n',
    'two equal lengths': 'Content-Length: 2\r\nContent-Length: 2\r\n',
    'a list of lengths': 'Content-Length: 2, 2\r\n',
    'a negative length': 'Content-Length: -1\r\n',
    'a length with a sign': 'Content-Length: +2\r\n',
    'a length and an encoding': 'Content-Length: 2\r\nTransfer-Encoding: chunked\r\n',
    'an encoding and a length': 'Transfer-Encoding: chunked\r\nContent-Length: 2\r\n',
    'two encodings': 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n',
    'a list of encodings': 'Transfer-Encoding: gzip, chunked\r\n',
    'an unknown encoding': 'Transfer-Encoding: xchunked\r\n',
    identity: 'Transfer-Encoding: identity\r\n',
    'a space before the colon': 'Transfer-Encoding : chunked\r\n',
    'bare CR in a value': 'X: a\rb\r\n',
    'NUL in a value': 'X: a\0b\r\n',
    'a control character in a value': 'X: a\x01b\r\n',
    'a fold': 'X: a\r\n b\r\n',
    'bare LF': 'X: a\nX-B: b\r\n',
    'no colon': 'X\r\n',
    'a space in a name': 'X Y: 1\r\n',
  };
  for (const [what, fields] of Object.entries(heads)) {
    test.each([200, 304, 204])(`${what}, with %i`, async status => {
      rig.upstream.script = ({ write, socket }) => {
        write(`HTTP/1.1 ${status} Yes\r\n${fields}\r\nok`);
        socket.end();
      };
      await expectFailed(get('/public/x'));
      await expectCleanNext();
    });
  }
  const lines = [
    'HTTP/1.2 200 OK',
    'HTTP/1.1 20 OK',
    'HTTP/1.1 2000 OK',
    'HTTP/1.1  200 OK',
    'http/1.1 200 OK',
    'HTTP/1.1 200 O\0K',
    'HTTP/1.1 200 O\rK',
    ' HTTP/1.1 200 OK',
    'ICY 200 OK',
    'SSH-2.0-x',
    'HTTP/1.1 000 No',
    'HTTP/1.1 099 No',
    'HTTP/1.1 999999 OK',
  ];
  test.each(lines)('the status line %j', async line => {
    rig.upstream.script = ({ write, socket }) => {
      write(`${line}\r\nContent-Length: 2\r\n\r\nok`);
      socket.end();
    };
    await expectFailed(get('/public/x'));
    await expectCleanNext();
  });
});

describe('what is relayed is framed by us', () => {
  test('chunk extensions and trailers of the upstream end here', async () => {
    rig.upstream.script = ({ write }) =>
      write(
        'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Postern-Owner\r\n\r\n2;a=b\r\nok\r\n0\r\nX-Postern-Owner: leak\r\nSet-Cookie: a=b\r\n\r\n',
      );
    const client = await rig.send(get('/public/x', 'TE: trailers\r\nConnection: TE\r\n'));
    const raw = (await untilQuiet(client)).text;
    expect(raw).toMatch(/\r\n\r\n2\r\nok\r\n0\r\n\r\n$/);
    expect(raw).not.toMatch(/trailer|leak|set-cookie|;a=b/i);
  });
  test('a status text with bytes beyond ASCII is left out', async () => {
    rig.upstream.script = ({ write }) => write('HTTP/1.1 200 Caf\xe9\r\nContent-Length: 2\r\n\r\nok');
    const answer = await rig.ask(get('/public/x'));
    expect([answer.status, answer.reason, answer.body.toString()]).toEqual([200, '', 'ok']);
  });
});

/** 502, without a byte of what the upstream sent. */
async function expectFailed(bytes: string): Promise<void> {
  const client = await rig.send(bytes);
  const answer = await client.answer();
  expect([answer.status, answer.json()['code']]).toEqual([502, 'upstream_failed']);
  client.write(get('/nowhere'));
  if (answer.get('connection') !== 'close') expect((await client.answer()).status).toBe(404);
  else await client.untilClosed();
  expect(client.text).toBe('');
  client.destroy();
}

/** Asks once more for what is refused, and takes everything that came before its answer. */
async function untilQuiet(client: Awaited<ReturnType<typeof rig.open>>): Promise<{ text: string }> {
  await client.until(({ text }) => text.includes('0\r\n\r\n'));
  const { text } = client;
  await client.answer();
  client.write(get('/nowhere'));
  expect((await client.answer()).status).toBe(404);
  return { text };
}
