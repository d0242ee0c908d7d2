import { describe, expect, test } from 'vitest';
import type { RawClient } from '../support/raw-client.ts';
import { H, type Rig, useRig } from '../support/rig.ts';

/** Parsing and smuggling: what two readers could take for different messages is refused, never repaired. */

const smuggled = 'GET /admin HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n';
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;
const chunks = (...pieces: string[]) => `${pieces.map(chunk).join('')}0\r\n\r\n`;

const statuses = async (client: RawClient, count: number): Promise<number[]> => {
  const seen: number[] = [];
  while (seen.length < count) seen.push((await client.answer()).status);
  return seen;
};

describe('in the clear', () => {
  const rig = useRig({ upstreamMembers: 'max_connections: 1' });
  framing(rig);
  pipelining(rig);
  earlyAnswers(rig);
});

describe('over TLS', () => {
  const rig = useRig({ tls: true, upstreamMembers: 'max_connections: 1' });
  pipelining(rig);
  earlyAnswers(rig);
});

/** One connection to the upstream, so that whatever is left over on it meets the next request. */
function framing(rig: Rig): void {
  const post = (fields: string, body = '', method = 'POST', version = '1.1') =>
    `${method} /api/x HTTP/${version}\r\n${H}${rig.A}${fields}\r\n${body}`;

  describe('framing that two servers could read differently is refused', () => {
    const twoWays: Record<string, string> = {
      'Content-Length before Transfer-Encoding': 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n',
      'Transfer-Encoding before Content-Length': 'Transfer-Encoding: chunked\r\nContent-Length: 5\r\n',
      'the right Content-Length with Transfer-Encoding': `Content-Length: ${5 + smuggled.length}\r\nTransfer-Encoding: chunked\r\n`,
      'Content-Length 0 with Transfer-Encoding': 'Content-Length: 0\r\nTransfer-Encoding: chunked\r\n',
      'names in other cases': 'cOnTeNt-lEnGtH: 5\r\ntRANSFER-eNCODING: chunked\r\n',
      'two Transfer-Encoding lines': 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n',
      'chunked, then identity': 'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n',
      'identity, then chunked': 'Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n',
    };
    const encodings = [
      'identity',
      'gzip',
      'xchunked',
      'chunkedx',
      'x chunked',
      'chunked chunked',
      'chunked, chunked',
      'chunked, identity',
      'identity, chunked',
      'gzip, chunked',
      'chunked, gzip',
      ',chunked',
      'chunked,',
      '"chunked"',
      'chunked;q=1',
      'c\thunked',
      '\x0bchunked',
      'chunked\x0b',
      '\xa0chunked',
      '',
    ];
    for (const value of encodings) {
      twoWays[`Transfer-Encoding ${JSON.stringify(value)}`] = `Transfer-Encoding: ${value}\r\n`;
    }
    const lengths = [
      '+1',
      '-1',
      '-0',
      '0x1',
      '1_0',
      '1 1',
      '1,1',
      '1, 1',
      '1e1',
      '1.0',
      '٣',
      '',
      '"1"',
      '\x0b1',
      '18446744073709551617',
      '18446744073709551616',
      '00000000000000000001',
      '9'.repeat(400),
    ];
    for (const value of lengths) twoWays[`Content-Length ${JSON.stringify(value)}`] = `Content-Length: ${value}\r\n`;
    twoWays['two equal Content-Length lines'] = 'Content-Length: 1\r\nContent-Length: 1\r\n';
    twoWays['two unequal Content-Length lines'] = 'Content-Length: 1\r\nContent-Length: 40\r\n';
    twoWays['two Content-Length lines, cases differ'] = 'content-length: 1\r\nCONTENT-LENGTH: 1\r\n';

    test.each(Object.entries(twoWays))('%s', async (_, fields) => {
      await rig.refuses(post(fields, `0\r\n\r\n${smuggled}`), 'malformed_request');
    });
    test.each(Object.entries(twoWays))('%s, on a public GET', async (_, fields) => {
      await rig.refuses(`GET /public/x HTTP/1.1\r\n${H}${fields}\r\n0\r\n\r\n${smuggled}`, 'malformed_request');
    });
    test('a length that is too large to be exact', async () => {
      await rig.refuses(post('Content-Length: 9007199254740992\r\n', 'x'.repeat(70_000)), 'malformed_request');
    });
    test.each(['POST', 'GET', 'DELETE'])('Transfer-Encoding on a %s of HTTP/1.0', async method => {
      await rig.refuses(post('Transfer-Encoding: chunked\r\n', chunks(), method, '1.0'), 'malformed_request');
      const keepAlive = 'Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n';
      await rig.refuses(post(keepAlive, chunks(smuggled), method, '1.0'), 'malformed_request');
    });
  });

  describe('names and lines that servers repair differently are refused', () => {
    const lines: Record<string, string> = {
      'a space before the colon': 'Transfer-Encoding : chunked\r\n',
      'a tab before the colon': 'Transfer-Encoding\t: chunked\r\n',
      'a space in a name': 'Transfer Encoding: chunked\r\n',
      'a vertical tab before the colon': 'Transfer-Encoding\x0b: chunked\r\n',
      'an obsolete fold': 'X: 1\r\n 2\r\n',
      'a fold with a tab': 'X: 1\r\n\t2\r\n',
      'a fold that hides a length': 'X: 1\r\n Content-Length: 5\r\n',
      'a folded Transfer-Encoding': 'Transfer-Encoding:\r\n chunked\r\n',
      'NUL in a name': 'X\0: 1\r\n',
      'brackets in a name': 'X[]: 1\r\n',
      'a quote in a name': '"X": 1\r\n',
      'an 8-bit name': 'X\xe9: 1\r\n',
      'a slash in a name': 'a/b: 1\r\n',
      'no colon': 'Transfer-Encoding\r\n',
      'no name': ': chunked\r\n',
      'a space as name': ' : chunked\r\n',
      'bare CR in a value': 'X-A: a\rb\r\n',
      'bare CR that hides a field': 'X-A: a\rTransfer-Encoding: chunked\r\n',
      'CR CR LF': 'X-A: a\r\r\n',
      'NUL in a value': 'X-A: a\0b\r\n',
      'a control character in a value': 'X-A: a\x01b\r\n',
      'DEL in a value': 'X-A: a\x7fb\r\n',
      'bare LF after a field': 'X-A: a\nX-B: b\r\n',
      'bare LF that hides a field': 'X-A: a\nTransfer-Encoding: chunked\r\n',
      'bare LF before the end of the head': 'X-A: a\r\n\n',
    };
    test.each(Object.entries(lines))('%s', async (_, line) => {
      await rig.refuses(post(line, smuggled), 'malformed_request');
      await rig.refuses(`GET /api/x HTTP/1.1\r\n${line}${H}${rig.A}\r\n`, 'malformed_request');
    });
    test('white space before the first field', async () => {
      for (const space of [' ', '\t', '\0', '\x0b']) {
        await rig.refuses(`GET /public/x HTTP/1.1\r\n${space}X: 1\r\n${H}\r\n`, 'malformed_request');
      }
    });
    test('bare LF everywhere', async () => {
      await rig.refuses(`GET /public/x HTTP/1.1\nHost: a\n\n`, 'malformed_request');
      await rig.refuses(`GET /public/x HTTP/1.1\r\n${H}\n`, 'malformed_request');
      await rig.refuses(`GET /public/x HTTP/1.1\n${H}\r\n`, 'malformed_request');
    });
    test('a CR as the end of the head', async () => {
      await rig.refuses(`GET /public/x HTTP/1.1\r\n${H}\rX`, 'malformed_request');
      await rig.refuses(`GET /public/x HTTP/1.1\r\n${H}\r\rX`, 'malformed_request');
    });
  });

  describe('chunks that two servers could read differently are refused, and never look whole to the upstream', () => {
    const bad: Record<string, string> = {
      'bare LF after a size': '5\nhello\r\n0\r\n\r\n',
      'bare CR after a size': '5\rhello\r\n0\r\n\r\n',
      'bare LF after the data': '5\r\nhello\n0\r\n\r\n',
      'no line end after the data': '5\r\nhello0\r\n\r\n',
      'more data than the size says': '5\r\nhelloworld\r\n0\r\n\r\n',
      'a size with 0x': '0x5\r\nhello\r\n0\r\n\r\n',
      'a size with a plus': '+5\r\nhello\r\n0\r\n\r\n',
      'a negative size': '-5\r\nhello\r\n0\r\n\r\n',
      'a size with white space before it': ' 5\r\nhello\r\n0\r\n\r\n',
      'a size with white space behind it': '5 \r\nhello\r\n0\r\n\r\n',
      'a size of 65 bits': '10000000000000005\r\nhello\r\n0\r\n\r\n',
      'no size': '\r\nhello\r\n0\r\n\r\n',
      'a size that is no number': 'zz\r\nhello\r\n0\r\n\r\n',
      'bare LF in an extension': '5;a\n\r\nhello\r\n0\r\n\r\n',
      'bare CR in an extension': '5;a\rb\r\nhello\r\n0\r\n\r\n',
      'NUL in an extension': '5;a\0\r\nhello\r\n0\r\n\r\n',
      'bare LF behind the last chunk': '5\r\nhello\r\n0\n\n',
      'a folded trailer': '5\r\nhello\r\n0\r\nX: 1\r\n 2\r\n\r\n',
      'a length in the trailers': '5\r\nhello\r\n0\r\nContent-Length: 0\r\n\r\n',
      'an encoding in the trailers': '5\r\nhello\r\n0\r\nTransfer-Encoding: gzip\r\n\r\n',
      'a trailer without a colon': '5\r\nhello\r\n0\r\nX\r\n\r\n',
    };
    test.each(Object.entries(bad))('%s', async (_, body) => {
      const client = await rig.send(post('Transfer-Encoding: chunked\r\n', body + smuggled));
      await rig.refused(client, 'malformed_request');
      await rig.upstream.until(upstream => upstream.unfinished.length === 0, 'end of the broken request');
      expect(rig.upstream.requests.map(({ target, complete }) => [target, complete])).toEqual(
        rig.upstream.requests.map(() => ['/api/x', false]),
      );
      expect(rig.upstream.requests.length).toBeLessThanOrEqual(1);
    });
    test('the same, when the upstream has answered already', async () => {
      rig.upstream.early = true;
      const client = await rig.send(post('Transfer-Encoding: chunked\r\n', chunk('hello')));
      await rig.upstream.until(({ requests }) => requests.length === 1);
      expect((await client.answer()).status).toBe(200);
      client.write(`5\rhello\r\n0\r\n\r\n${smuggled}`);
      await client.untilClosed();
      expect(client.text).toBe('');
      expect(rig.upstream.requests).toHaveLength(1);
    });
  });

  describe('a body stays a body', () => {
    const methods = [
      'DELETE',
      'OPTIONS',
      'PATCH',
      'GET',
      'HEAD',
      'POST',
      'PUT',
      'PROPFIND',
      'QUERY',
      'REPORT',
      'MKCOL',
    ];
    const bodies: Record<string, [fields: string, body: string]> = {
      'in one chunk': ['Transfer-Encoding: chunked\r\n', `26\r\n${smuggled}\r\n0\r\n\r\n`],
      'in chunks of one byte': ['Transfer-Encoding: chunked\r\n', chunks(...smuggled)],
      'with chunk extensions': [
        'Transfer-Encoding: chunked\r\n',
        `26;a=b;c="d \\" e"\r\n${smuggled}\r\n0;GET="/admin HTTP/1.1"\r\n\r\n`,
      ],
      'with a size in capitals and zeros': [
        'transfer-encoding: CHUNKED\r\n',
        `000000000000026\r\n${smuggled}\r\n000\r\n\r\n`,
      ],
      'with trailers': [
        'Transfer-Encoding: chunked\r\nTrailer: Authorization\r\n',
        `26\r\n${smuggled}\r\n0\r\nAuthorization: Bearer x\r\nHost: b\r\nX-Postern-Owner: root\r\n\r\n`,
      ],
      'with a length': [`Content-Length: ${smuggled.length}\r\n`, smuggled],
      'with a length that begins with zeros': [`Content-Length: 000${smuggled.length}\r\n`, smuggled],
    };
    for (const [how, [fields, body]] of Object.entries(bodies)) {
      test.each(methods)(`of %s, ${how}`, async method => {
        const client = await rig.send(post(fields, body, method));
        expect((await client.answer({ head: method === 'HEAD' })).status).toBe(200);
        expect(rig.upstream.only).toMatchObject({ method, target: '/api/x', complete: true });
        expect(rig.upstream.only.body.toString()).toBe(smuggled);
        expect(rig.upstream.only.head).not.toMatch(/trailer|owner|root/i);
        // What is left over anywhere would meet the next request on either connection.
        client.write(`GET /public/next HTTP/1.1\r\n${H}\r\n`);
        expect((await client.answer()).body.toString()).toBe('ok');
        expect(rig.upstream.requests.map(({ target }) => target)).toEqual(['/api/x', '/public/next']);
      });
    }

    test.each(['GET', 'HEAD', 'DELETE', 'OPTIONS'])(
      'of %s ends the connection, whose server may not read it',
      async method => {
        await rig.ask(`GET /public/first HTTP/1.1\r\n${H}\r\n`);
        const client = await rig.send(post(`Content-Length: ${smuggled.length}\r\n`, smuggled, method));
        expect((await client.answer({ head: method === 'HEAD' })).status).toBe(200);
        await rig.ask(`GET /public/next HTTP/1.1\r\n${H}\r\n`);
        const [first, body, next] = rig.upstream.requests.map(({ connection }) => connection);
        expect([body === first, next === body]).toEqual([true, false]);
      },
    );

    test.each(['GET', 'POST', 'HEAD'])('an empty one of %s is sent as none', async method => {
      for (const [fields, body] of [
        ['Content-Length: 0\r\n', ''],
        ['Transfer-Encoding: chunked\r\n', '0\r\n\r\n'],
        ['', ''],
      ]) {
        rig.upstream.requests.length = 0;
        const answer = await rig.ask(post(fields!, body, method), { head: method === 'HEAD' });
        expect(answer.status).toBe(200);
        expect(rig.upstream.only.body).toHaveLength(0);
        expect(rig.upstream.only.get('transfer-encoding')).toBeUndefined();
        expect(rig.upstream.only.get('content-length') ?? '0').toBe('0');
      }
    });
  });
}

function pipelining(rig: Rig): void {
  const get = (target: string, fields = '') => `GET ${target} HTTP/1.1\r\n${H}${fields}\r\n`;

  describe('requests in one packet', () => {
    test('are decided each for itself, in order', async () => {
      const client = await rig.send(get('/api/1', rig.A) + get('/admin/2', rig.A) + get('/api/3') + get('/public/4'));
      expect(await statuses(client, 4)).toEqual([200, 403, 401, 200]);
      expect(rig.upstream.requests.map(({ target }) => target)).toEqual(['/api/1', '/public/4']);
    });

    test('a credential does not outlive its request', async () => {
      const client = await rig.send(get('/api/1', rig.A) + get('/api/2') + get('/api/3', rig.A) + get('/api/4'));
      expect(await statuses(client, 4)).toEqual([200, 401, 200, 401]);
    });

    test('a malformed one behind a good one is refused after the good one is answered', async () => {
      const held = holdUpstream(rig);
      const client = await rig.send(`${get('/api/1', rig.A)}GARBAGE\r\n\r\n${get('/api/2', rig.A)}`);
      await rig.upstream.until(({ requests }) => requests.length === 1);
      client.write(`${'MORE GARBAGE\r\n\r\n'.repeat(100)}`);
      held();
      expect((await client.answer()).status).toBe(200);
      await rig.refused(client, 'malformed_request');
      expect(rig.upstream.requests).toHaveLength(1);
    });

    test.each(['xchunked', 'chunked, gzip'])('a second one with Transfer-Encoding %s is refused once', async value => {
      const bad = `POST /api/2 HTTP/1.1\r\n${H}${rig.A}Transfer-Encoding: ${value}\r\n\r\n0\r\n\r\n${smuggled}`;
      const client = await rig.send(get('/api/1', rig.A) + bad);
      expect((await client.answer()).status).toBe(200);
      await rig.refused(client, 'malformed_request');
      expect(rig.upstream.requests.map(({ target }) => target)).toEqual(['/api/1']);
    });

    test.each(['GARBAGE\r\n\r\n', '\0', 'HTTP/1.1 200 OK\r\n\r\n', '\x16\x03\x01\x02\x00'])(
      'bytes behind the end of a request, %j, are never answered with success',
      async garbage => {
        const client = await rig.send(get('/api/1', rig.A) + garbage);
        expect((await client.answer()).status).toBe(200);
        await rig.refused(client, 'malformed_request');
        expect(rig.upstream.only.target).toBe('/api/1');
      },
    );

    test('a body longer than its length is a malformed request behind a good one', async () => {
      const client = await rig.send(
        `POST /api/1 HTTP/1.1\r\n${H}${rig.A}Content-Length: 5\r\n\r\nhelloGARBAGE\r\n\r\n`,
      );
      expect((await client.answer()).status).toBe(200);
      await rig.refused(client, 'malformed_request');
      expect(rig.upstream.only.body.toString()).toBe('hello');
    });

    test('nothing follows an answer that closes', async () => {
      const client = await rig.send(
        `${get('/public/1', 'Connection: close\r\n')}${get('/public/2')}${get('/api/3', rig.A)}`,
      );
      expect((await client.answer()).get('connection')).toBe('close');
      await client.untilClosed();
      expect(client.text).toBe('');
      expect(rig.upstream.only.target).toBe('/public/1');
    });

    test('a broken body behind a request under way is refused once, in its turn', async () => {
      const held = holdUpstream(rig);
      const bad = `POST /api/2 HTTP/1.1\r\n${H}${rig.A}Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX`;
      const client = await rig.send(get('/api/1', rig.A) + bad + smuggled);
      await rig.upstream.until(({ requests }) => requests.length === 1);
      held();
      expect((await client.answer()).status).toBe(200);
      await rig.refused(client, 'malformed_request');
      expect(rig.upstream.only.target).toBe('/api/1');
    });

    test('a broken body behind a request under way, without a token, is refused once, in its turn', async () => {
      const held = holdUpstream(rig);
      const bad = `POST /api/2 HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX`;
      const client = await rig.send(get('/api/1', rig.A) + bad + smuggled);
      await rig.upstream.until(({ requests }) => requests.length === 1);
      held();
      expect((await client.answer()).status).toBe(200);
      await rig.refused(client, 'missing_token');
    });

    test('nothing is begun behind an answer that closes and is taken slowly', async () => {
      const size = 4 << 20;
      rig.upstream.script = ({ write }) => {
        write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
        write('x'.repeat(size));
      };
      const client = await rig.open();
      client.socket.pause();
      client.write(get('/public/1', 'Connection: close\r\n') + get('/public/2') + get('/api/3', rig.A));
      await rig.upstream.until(({ requests }) => requests.length === 1);
      client.socket.resume();
      expect((await client.answer()).body).toHaveLength(size);
      await client.untilClosed();
      expect(client.length).toBe(0);
      expect(rig.upstream.only.target).toBe('/public/1');
      expect((await rig.postern.requestLines()).at(-1)?.['path']).toBe('/public/1');
    });

    test('nothing behind a malformed request is looked at', async () => {
      await rig.refuses(
        `GET /public/\\x HTTP/1.1\r\n${H}\r\n${get('/public/2')}${get('/api/3', rig.A)}`,
        'malformed_request',
      );
    });

    test('a hundred are answered in order, one at a time', async () => {
      let atOnce = 0;
      rig.upstream.script = ({ request, write }) => {
        expect(++atOnce).toBe(1);
        setImmediate(() => {
          atOnce--;
          write(`HTTP/1.1 200 OK\r\nContent-Length: ${request.target.length}\r\n\r\n${request.target}`);
        });
      };
      const targets = Array.from({ length: 100 }, (_, i) => `/public/${i}`);
      const client = await rig.send(targets.map(target => get(target)).join(''));
      for (const target of targets) expect((await client.answer()).body.toString()).toBe(target);
      expect(rig.upstream.requests.map(({ target }) => target)).toEqual(targets);
    });
  });
}

function earlyAnswers(rig: Rig): void {
  describe('the body of a refused request is never parsed as a request', () => {
    const asBody = () => `GET /public/smuggled HTTP/1.1\r\n${H}${rig.A}\r\n`;
    const refusals: Record<string, [head: () => string, status: number]> = {
      'no token': [() => 'POST /api/x HTTP/1.1\r\nHost: a\r\n', 401],
      'a bad token': [() => `POST /api/x HTTP/1.1\r\n${H}Authorization: Bearer pst_nonsense\r\n`, 401],
      'a missing permission': [() => `POST /admin/x HTTP/1.1\r\n${H}${rig.A}`, 403],
      'no route': [() => `POST /nowhere HTTP/1.1\r\n${H}${rig.A}`, 404],
      'two tokens': [() => `POST /api/x HTTP/1.1\r\n${H}${rig.A}${rig.A}`, 400],
      'a malformed target': [() => `POST /api/../x HTTP/1.1\r\n${H}${rig.A}`, 400],
      'another expectation': [() => `POST /api/x HTTP/1.1\r\n${H}${rig.A}Expect: foo\r\n`, 417],
    };
    for (const [why, [head, status]] of Object.entries(refusals)) {
      test(`${why}, a long body`, async () => {
        const client = await rig.send(`${head()}Content-Length: ${1 << 20}\r\n\r\n`);
        const answer = await client.answer();
        expect([answer.status, answer.get('connection')]).toEqual([status, 'close']);
        client.write(asBody().repeat(1000));
        await client.untilClosed();
        expect(client.text).toBe('');
        expect(rig.upstream.bytes).toBe('');
      });

      test(`${why}, a chunked body`, async () => {
        const client = await rig.send(`${head()}Transfer-Encoding: chunked\r\n\r\n`);
        const answer = await client.answer();
        expect([answer.status, answer.get('connection')]).toEqual([status, 'close']);
        client.write(asBody().repeat(20));
        await client.untilClosed();
        expect(client.text).toBe('');
        expect(rig.upstream.bytes).toBe('');
      });

      test(`${why}, a short body: the connection stays in step or ends`, async () => {
        const body = asBody();
        const client = await rig.send(`${head()}Content-Length: ${body.length}\r\n\r\n`);
        const answer = await client.answer();
        expect(answer.status).toBe(status);
        client.write(`${body}GET /public/next HTTP/1.1\r\n${H}\r\n`);
        if (answer.get('connection') === 'close') {
          await client.untilClosed();
          expect(client.text).toBe('');
          expect(rig.upstream.bytes).toBe('');
        } else {
          expect((await client.answer()).status).toBe(200);
          expect(rig.upstream.only.target).toBe('/public/next');
        }
      });
    }

    test('an upstream that answers before it has read the body', async () => {
      rig.upstream.early = true;
      const body = asBody();
      const client = await rig.send(
        `POST /api/x HTTP/1.1\r\n${H}${rig.A}Content-Length: ${body.length + 5}\r\n\r\nhello`,
      );
      expect((await client.answer()).status).toBe(200);
      client.write(`${body}GET /public/next HTTP/1.1\r\n${H}\r\n`);
      expect((await client.answer()).status).toBe(200);
      // Nobody knows how much of the first body the server has taken, so the next request goes another way.
      const [first, next] = rig.upstream.requests;
      expect([next!.target, next!.connection === first!.connection]).toEqual(['/public/next', false]);
      expect(first!.complete).toBe(false);
    });

    test('an upstream that answers before it has read a body which never ends', async () => {
      rig.upstream.early = true;
      const client = await rig.send(
        `POST /api/x HTTP/1.1\r\n${H}${rig.A}Transfer-Encoding: chunked\r\n\r\n${chunk('hello')}`,
      );
      expect((await client.answer()).status).toBe(200);
      const piece = chunk('x'.repeat(16_000));
      const sent = performance.now();
      client.write(piece.repeat(10));
      await client.untilClosed();
      // It is swallowed while it comes, and ended once it is too much; not left lying until somebody loses patience.
      expect(performance.now() - sent).toBeLessThan(5000);
      expect(client.text).toBe('');
      await rig.upstream.until(({ closedConnections }) => closedConnections > 0);
      expect(rig.upstream.only.complete).toBe(false);
    });
  });
}

/** The upstream answers when told to. */
function holdUpstream(rig: Rig): () => void {
  const answers: (() => void)[] = [];
  let open = false;
  rig.upstream.script = ({ write }) => {
    const answer = () => write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    if (open) answer();
    else answers.push(answer);
  };
  return () => {
    open = true;
    for (const answer of answers) answer();
  };
}
