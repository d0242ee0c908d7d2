import { describe, expect, test } from 'vitest';
import { frame } from '../support/frames.ts';
import type { RawClient } from '../support/raw-client.ts';
import type { Scene } from '../support/recording-upstream.ts';
import { H, type Rig, useRig } from '../support/rig.ts';

/** Upgrades: judged like any request, tunnelled only once the upstream has switched, and never to h2c. */

const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n';
const websocket = 'Connection: Upgrade\r\nUpgrade: websocket\r\n';
const head = (target: string, fields = '', line = `GET ${target} HTTP/1.1`) => `${line}\r\n${H}${fields}\r\n`;
const upgrade = (target: string, fields = '') => head(target, websocket + key + fields);

const switched = (fields = '') =>
  `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n${fields}\r\n`;
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

for (const tls of [false, true]) {
  describe(tls ? 'over TLS' : 'in the clear', () => {
    const rig = useRig({
      tls,
      upstreamMembers: 'max_connections: 2, max_streams: 2',
      more: 'credentials: [{ header: authorization, scheme: Bearer }, { cookie: session }, { websocket_protocol: "token." }]',
      routes: `
  - { path: /public/**, access: public }
  - { path: /api/**, require: api, cors: { origins: ["https://app.example"] } }
  - { path: /admin/**, require: admin }`,
    });
    refused(rig);
    notYet(rig);
    tunnelled(rig);
    ended(rig);
  });
}

function refused(rig: Rig): void {
  describe('an upgrade is refused before a byte reaches the upstream', () => {
    const trailing = () => frame(20, true).toString('latin1') + head('/public/smuggled');

    test('without a token', async () => {
      const answer = await rig.refuses(upgrade('/api/x') + trailing(), 'missing_token');
      expect(answer.get('upgrade')).toBeUndefined();
    });
    test('with a bad token, in the field or the subprotocol', async () => {
      await rig.refuses(upgrade('/api/x', 'Authorization: Bearer pst_x\r\n') + trailing(), 'invalid_token');
      await rig.refuses(
        upgrade('/api/x', 'Sec-WebSocket-Protocol: chat, token.pst_x\r\n') + trailing(),
        'invalid_token',
      );
    });
    test('without the permission', async () => {
      await rig.refuses(upgrade('/admin/x', rig.A) + trailing(), 'insufficient_scope');
      await rig.refuses(upgrade('/admin/x', `Sec-WebSocket-Protocol: token.${rig.tA}\r\n`), 'insufficient_scope');
    });
    test('with two tokens', async () => {
      await rig.refuses(
        upgrade('/api/x', `${rig.A}Sec-WebSocket-Protocol: token.${rig.tA}\r\n`),
        'ambiguous_credential',
      );
    });
    test('without a route, or to a malformed path', async () => {
      await rig.refuses(upgrade('/nowhere') + trailing(), 'no_route');
      await rig.refuses(upgrade('/public/../admin/x', rig.A) + trailing(), 'malformed_request');
    });
    test('with a cookie, from another site', async () => {
      const cookie = `Cookie: session=${rig.tA}\r\n`;
      for (const origin of ['http://evil', 'null', 'https://app.example.evil', 'http://a.evil', 'https://a']) {
        if (rig.tls && origin === 'https://a') continue;
        await rig.refuses(upgrade('/api/x', `${cookie}Origin: ${origin}\r\n`), 'constraint_failed');
      }
      await rig.refuses(upgrade('/api/x', `${cookie}Sec-Fetch-Site: cross-site\r\n`), 'constraint_failed');
      await rig.refuses(upgrade('/api/x', `${cookie}Origin: http://a\r\nOrigin: http://evil\r\n`), 'malformed_request');
    });
    test('with a body', async () => {
      await rig.refuses(`${head('/public/x', `${websocket}${key}Content-Length: 5\r\n`)}hello`, 'malformed_request');
      const chunked = `${websocket}${key}Transfer-Encoding: chunked\r\n`;
      await rig.refuses(`${head('/public/x', chunked)}5\r\nhello\r\n0\r\n\r\n`, 'malformed_request');
      await rig.refuses(
        `${head('/public/x', 'Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n')}hello`,
        'malformed_request',
      );
      const post = head('/public/x', `${websocket}Content-Length: 5\r\n`, 'POST /public/x HTTP/1.1');
      await rig.refuses(`${post}hello`, 'malformed_request');
    });
    test('when its words are not those that the parser took for an upgrade', async () => {
      await rig.refuses(
        head('/public/x', `Connection: \xa0Upgrade\r\nUpgrade: websocket\r\n${key}`),
        'malformed_request',
      );
    });
  });

  describe('what is no upgrade to WebSocket is served as plain HTTP, without the offer', () => {
    const offers: Record<string, string> = {
      h2c: 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n',
      'h2c beside websocket':
        'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c, websocket\r\nHTTP2-Settings: AAMAAABk\r\n',
      'websocket beside h2c': 'Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n',
      'two lines': 'Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n',
      'the same twice': 'Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n',
      'an unknown protocol': 'Connection: Upgrade\r\nUpgrade: foo\r\n',
      'a version': 'Connection: Upgrade\r\nUpgrade: websocket/13\r\n',
      TLS: 'Connection: Upgrade\r\nUpgrade: TLS/1.3\r\n',
      'no Connection': 'Upgrade: websocket\r\n',
      'Connection without upgrade': 'Connection: keep-alive\r\nUpgrade: websocket\r\n',
      'Connection with another word': 'Connection: xupgrade\r\nUpgrade: websocket\r\n',
      'nothing offered': 'Connection: Upgrade\r\n',
      'an empty offer': 'Connection: Upgrade\r\nUpgrade:\r\n',
    };
    const offered = (what: string) => !/Connection|nothing offered|empty/.test(what);
    test.each(Object.entries(offers))('%s', async (what, fields) => {
      const client = await rig.send(head('/public/x', fields) + head('/api/y') + head('/public/z'));
      const answer = await client.answer();
      expect([answer.status, answer.get('upgrade')]).toEqual([200, undefined]);
      if (offered(what)) {
        // The parser loses what came with the offer: the connection ends, so that nobody waits for an answer to it.
        expect(answer.get('connection')).toBe('close');
        await client.untilClosed();
        expect(client.text).toBe('');
        expect(rig.upstream.only.target).toBe('/public/x');
      } else {
        expect((await client.answer()).status).toBe(401);
        expect((await client.answer()).status).toBe(200);
        expect(rig.upstream.requests.map(({ target }) => target)).toEqual(['/public/x', '/public/z']);
      }
      expect(rig.upstream.bytes).not.toMatch(/upgrade|http2-settings|h2c/i);
    });
    test('half a request behind the offer, in the same packet, is never taken for a whole one', async () => {
      const client = await rig.send(`${head('/public/x', offers['h2c']!)}POST /public/y HTTP/1.1\r\n${H}Content-Len`);
      client.write(`gth: 500\r\n\r\n${head('/public/z')}${head('/api/z', rig.A)}`);
      expect((await client.answer()).get('connection')).toBe('close');
      await client.untilClosed();
      expect(client.text).toBe('');
      expect(rig.upstream.only.target).toBe('/public/x');
    });
    test('an upgrade by another method', async () => {
      for (const method of ['POST', 'HEAD', 'OPTIONS', 'PUT']) {
        rig.upstream.requests.length = 0;
        const client = await rig.send(
          head('', `${websocket}${key}`, `${method} /public/x HTTP/1.1`) + head('/public/y'),
        );
        const answer = await client.answer({ head: method === 'HEAD' });
        expect([answer.status, answer.get('connection')]).toEqual([200, 'close']);
        await client.untilClosed();
        expect(rig.upstream.only.get('upgrade')).toBeUndefined();
      }
    });
    test('an upgrade on HTTP/1.0', async () => {
      const client = await rig.send(head('', websocket + key, 'GET /public/x HTTP/1.0'));
      expect((await client.answer()).status).toBe(200);
      await client.untilClosed();
      expect(rig.upstream.only.get('upgrade')).toBeUndefined();
    });
  });
}

function notYet(rig: Rig): void {
  describe('no tunnel before the upstream has switched', () => {
    const answers: Record<string, string> = {
      200: ok,
      '200 in chunks': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
      '200 with Upgrade': `HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nok`,
      404: 'HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nok',
      426: 'HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nok',
      '103, then 200': `HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n${ok}`,
    };
    for (const [what, answer] of Object.entries(answers)) {
      test(`an upstream that answers ${what}: what the client sent on never arrives, and the connection ends`, async () => {
        rig.upstream.script = ({ write }) => write(answer);
        const client = await rig.send(upgrade('/public/x') + head('/admin/y') + head('/public/smuggled'));
        let received = await client.answer();
        if (received.status === 103) received = await client.answer();
        expect([received.status, received.body.toString()]).toEqual([/^4/.test(what) ? Number(what) : 200, 'ok']);
        expect([received.get('connection'), received.get('upgrade')]).toEqual(['close', undefined]);
        client.write(head('/public/later'));
        await client.untilClosed();
        expect(client.text).toBe('');
        expect(rig.upstream.only.target).toBe('/public/x');
        expect(rig.upstream.bytes).not.toMatch(/admin|smuggled|later/);
      });
    }

    test('an upstream that closes instead of an answer', async () => {
      rig.upstream.script = ({ socket }) => socket.destroy();
      const client = await rig.send(upgrade('/public/x') + frame(5, true).toString('latin1'));
      await rig.refused(client, 'upstream_failed');
    });

    test.each(['h2c', 'foo', 'websocket, h2c', ''])(
      'an upstream that switches to %j, which nobody asked for',
      async protocol => {
        rig.upstream.script = ({ write }) =>
          write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\nEVIL`);
        const client = await rig.send(upgrade('/public/x') + frame(5, true).toString('latin1'));
        await rig.refused(client, 'upstream_failed');
        expect(rig.upstream.tunnelled).toBe('');
      },
    );

    test('bytes sent while the upstream thinks are kept, and arrive once it has switched', async () => {
      const scenes: Scene[] = [];
      rig.upstream.script = scene => scenes.push(scene);
      const first = frame(10, true);
      const second = frame(300, true);
      const client = await rig.send(Buffer.concat([Buffer.from(upgrade('/public/x'), 'latin1'), first]));
      await rig.upstream.until(({ requests }) => requests.length === 1);
      client.write(second);
      await inFlight(rig);
      expect(rig.upstream.tunnelled).toBe('');
      scenes[0]!.write(switched());
      await rig.upstream.until(({ tunnelled }) => tunnelled.length === first.length + second.length, 'early bytes');
      expect(rig.upstream.tunnelled).toBe(Buffer.concat([first, second]).toString('latin1'));
    });

    test('a flood while the upstream thinks ends the connection, and its request', async () => {
      rig.upstream.script = () => {};
      const client = await rig.send(upgrade('/public/x'));
      await rig.upstream.until(({ requests }) => requests.length === 1);
      client.write(frame(32 << 20, true));
      await client.untilClosed();
      await expect.poll(() => rig.upstream.sockets.size).toBe(0);
      expect(rig.upstream.tunnelled).toBe('');
    });
  });
}

function tunnelled(rig: Rig): void {
  describe('once the upstream has switched', () => {
    test('bytes pass both ways as they are, and nothing is read as HTTP', async () => {
      const scenes: Scene[] = [];
      rig.upstream.script = scene => {
        scenes.push(scene);
        scene.write(`${switched('Sec-WebSocket-Protocol: chat\r\nX-Postern-Owner: leak\r\nSet-Cookie: a=b\r\n')}glued`);
      };
      const client = await rig.send(upgrade('/api/x', `Sec-WebSocket-Protocol: chat, token.${rig.tA}\r\n`));
      const answer = await client.answer();
      expect([answer.status, answer.all('upgrade'), answer.all('connection')]).toEqual([
        101,
        ['websocket'],
        ['Upgrade'],
      ]);
      expect([answer.get('sec-websocket-protocol'), answer.get('set-cookie')]).toEqual(['chat', 'a=b']);
      expect(answer.get('sec-websocket-accept')).toBe('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
      expect([answer.get('x-postern-owner'), answer.get('x-request-id')]).toEqual([
        undefined,
        rig.upstream.only.get('x-request-id'),
      ]);
      expect(rig.upstream.only.get('sec-websocket-protocol')).toBe('chat');
      expect(rig.upstream.bytes).not.toContain(rig.tA);
      await client.until(({ text }) => text === 'glued');

      const bytes = Buffer.from(Array.from({ length: 1 << 16 }, (_, i) => i & 0xff));
      client.write(head('/admin/x') + head('/public/y'));
      client.write(bytes);
      const sent = head('/admin/x') + head('/public/y') + bytes.toString('latin1');
      await rig.upstream.until(({ tunnelled }) => tunnelled.length === sent.length, 'bytes');
      expect(rig.upstream.tunnelled).toBe(sent);
      scenes[0]!.write(bytes);
      await client.until(({ length }) => length === 5 + bytes.length);
      expect(client.bytes.subarray(5).equals(bytes)).toBe(true);
      expect(rig.upstream.requests).toHaveLength(1);
    });

    test('fields of a handshake arrive as they were sent', async () => {
      rig.upstream.script = ({ write }) => write(switched());
      const extensions = 'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nOrigin: http://b\r\n';
      const client = await rig.send(upgrade('/api/x', rig.A + extensions).replace('websocket', 'WebSocket'));
      expect((await client.answer()).status).toBe(101);
      expect(rig.upstream.only.head).toContain(`\r\n${(key + extensions).trimEnd()}\r\n`);
      expect(rig.upstream.only.get('x-postern-token-id')).toMatch(/^tok_/);
    });

    test.each([
      ['the same origin', () => `Origin: ${rig.tls ? 'https' : 'http'}://a\r\n`],
      ['a listed origin', () => 'Origin: https://app.example\r\n'],
      ['no origin, from no browser', () => ''],
      ['no origin, from the same site', () => 'Sec-Fetch-Site: same-origin\r\n'],
    ])('a cookie is taken from %s', async (_, fields) => {
      rig.upstream.script = ({ write }) => write(switched());
      const client = await rig.send(upgrade('/api/x', `Cookie: session=${rig.tA}; a=b\r\n${fields()}`));
      expect((await client.answer()).status).toBe(101);
      expect(rig.upstream.only.get('cookie')).toBe('a=b');
    });

    test('it is counted as a stream, beyond connections, and bounded', async () => {
      rig.upstream.script = ({ write, request }) => write(request.get('upgrade') === undefined ? ok : switched());
      const clients: RawClient[] = [];
      for (let i = 0; i < 2; i++) {
        const client = await rig.send(upgrade('/public/x'));
        expect((await client.answer()).status).toBe(101);
        clients.push(client);
      }
      expect(await rig.postern.metric('postern_streams_open{kind="websocket"}')).toBe(2);
      await rig.refused(await rig.send(upgrade('/public/x')), 'overloaded');
      expect((await rig.ask(head('/public/plain'))).status).toBe(200);
    });
  });

  describe('behind another request', () => {
    test('that is over, it is served', async () => {
      rig.upstream.script = ({ write, request }) => write(request.get('upgrade') === undefined ? ok : switched());
      const client = await rig.send(head('/public/1'));
      expect((await client.answer()).status).toBe(200);
      client.write(head('/api/2'));
      expect((await client.answer()).status).toBe(401);
      client.write(upgrade('/public/x') + frame(5, true).toString('latin1'));
      expect((await client.answer()).status).toBe(101);
      await rig.upstream.until(({ tunnelled }) => tunnelled.length === frame(5, true).length);
      expect(rig.upstream.requests.map(({ target }) => target)).toEqual(['/public/1', '/public/x']);
    });
    test('that is under way, it is refused in its turn', async () => {
      const client = await rig.send(head('/public/1') + head('/api/2') + upgrade('/public/x') + head('/public/2'));
      expect((await client.answer()).status).toBe(200);
      expect((await client.answer()).status).toBe(401);
      await rig.refused(client, 'malformed_request');
      expect(rig.upstream.only.target).toBe('/public/1');
    });
    test.each(['GET', 'CONNECT'])('with a long answer, %s leaves that answer whole for a slow client', async method => {
      const size = 8 << 20;
      rig.upstream.script = ({ write }) => {
        write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
        write('x'.repeat(size));
      };
      const client = await rig.open();
      client.socket.pause();
      client.write(head('/public/1') + (method === 'GET' ? upgrade('/public/x') : `CONNECT a:80 HTTP/1.1\r\n${H}\r\n`));
      await rig.upstream.until(({ requests }) => requests.length === 1);
      await inFlight(rig);
      client.socket.resume();
      expect((await client.answer()).body).toHaveLength(size);
      await rig.refused(client, method === 'GET' ? 'malformed_request' : 'method_not_allowed');
    });
    test('the client may go while it waits', async () => {
      let release = () => {};
      rig.upstream.script = ({ write }) => {
        release = () => write(ok);
      };
      const client = await rig.send(head('/public/1') + upgrade('/public/x'));
      await rig.upstream.until(({ requests }) => requests.length === 1);
      client.reset();
      await inFlight(rig);
      release();
      await rig.postern.quiet();
      expect(rig.upstream.only.target).toBe('/public/1');
    });
    test('a long answer instead of the upgrade is given whole to a slow client', async () => {
      const size = 8 << 20;
      rig.upstream.script = ({ write }) => {
        write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
        write('x'.repeat(size));
      };
      const client = await rig.open();
      client.socket.pause();
      client.write(upgrade('/public/x'));
      await rig.upstream.until(({ requests }) => requests.length === 1);
      await inFlight(rig);
      client.socket.resume();
      expect((await client.answer()).body).toHaveLength(size);
      await client.untilClosed();
    });
  });
}

function ended(rig: Rig): void {
  const pair = async () => {
    const scenes: Scene[] = [];
    rig.upstream.script = scene => {
      scenes.push(scene);
      scene.write(switched());
    };
    const client = await rig.send(upgrade('/public/x'));
    expect((await client.answer()).status).toBe(101);
    return { client, upstream: scenes[0]!.socket };
  };
  const soon = async (what: () => boolean) => {
    const from = performance.now();
    await expect.poll(what, { interval: 5, timeout: 5000 }).toBe(true);
    expect(performance.now() - from).toBeLessThan(5000);
  };

  describe('an end of one side reaches the other at once', () => {
    test('the client resets in the middle of a frame', async () => {
      const { client, upstream } = await pair();
      client.write(frame(1000, true).subarray(0, 500));
      await rig.upstream.until(({ tunnelled }) => tunnelled.length === 500);
      client.reset();
      await soon(() => upstream.destroyed);
    });
    test('the client ends its side', async () => {
      const { client, upstream } = await pair();
      client.write(frame(10, true));
      client.end();
      await rig.upstream.until(({ tunnelled }) => tunnelled.length === frame(10, true).length);
      await soon(() => upstream.destroyed);
      await soon(() => client.closed);
    });
    test('the upstream resets in the middle of a frame', async () => {
      const { client, upstream } = await pair();
      upstream.write(frame(1000, false).subarray(0, 500));
      await client.until(({ length }) => length === 500);
      upstream.resetAndDestroy();
      await soon(() => client.ended || client.closed);
    });
    test('the upstream ends its side, and what it said before arrives', async () => {
      const { client, upstream } = await pair();
      const last = frame(1 << 20, false);
      upstream.end(last);
      await client.untilClosed();
      expect(client.length).toBe(last.length);
    });
    test('the client goes before the upstream has answered', async () => {
      rig.upstream.script = () => {};
      const client = await rig.send(upgrade('/public/x'));
      await rig.upstream.until(({ requests }) => requests.length === 1);
      const [socket] = [...rig.upstream.sockets].slice(-1);
      client.reset();
      await soon(() => socket!.destroyed);
      const [line] = (await rig.postern.requestLines()).slice(-1);
      expect([line!['status'], line!['outcome']]).toEqual([499, 'aborted']);
    });
  });
}

/** Lets everything that is on its way in this process arrive. */
async function inFlight(rig: Rig): Promise<void> {
  await rig.postern.metrics();
  await rig.postern.metrics();
}
