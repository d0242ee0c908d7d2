import http from 'node:http';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Client } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { maxHeadersCount, serverSettings } from '../../src/gate/listener.ts';

/**
 * What the libraries below make of bytes, without us: what they hide and repair, what they let through and we refuse,
 * and in which events a fault arrives. `core/form.ts`, the listener and the relay are written against this table; when
 * a new version changes a row, look at them before you change the row.
 */

const H = 'Host: a\r\n';

describe('Node’s server, with the settings of ours', () => {
  let server: http.Server;
  const sockets: Socket[] = [];
  let seen: string[] = [];

  const text = ({ method, url, httpVersion, rawHeaders }: http.IncomingMessage): string => {
    const fields = rawHeaders.length > 20 ? `${rawHeaders.length / 2} fields` : JSON.stringify(rawHeaders);
    return `${method} ${url} ${httpVersion} ${fields}`;
  };

  beforeAll(async () => {
    const options = { host: undefined, port: 0, tls: null, bodyTimeoutMs: 0, maxConnections: 10, reusePort: false };
    server = http.createServer({
      ...serverSettings({ ...options, headTimeoutMs: 10_000, keepAliveMs: 10_000 }),
      shouldUpgradeCallback: request => request.headers.upgrade === 'websocket',
    });
    server.maxHeadersCount = maxHeadersCount;
    const onRequest = (event: string) => (request: http.IncomingMessage) => {
      seen.push(`${event} ${text(request)}`);
      const pieces: Buffer[] = [];
      request.on('data', piece => pieces.push(piece));
      request.on('error', () => {});
      request.on('end', () => {
        const body = Buffer.concat(pieces).toString('latin1');
        const trailers = request.rawTrailers.length === 0 ? '' : ` ${JSON.stringify(request.rawTrailers)}`;
        if (body !== '') seen.push(`body ${body}${trailers}`);
      });
    };
    const onUpgrade = (event: string) => (request: http.IncomingMessage, socket: unknown, head: Buffer) => {
      (socket as Socket).on('error', () => {});
      seen.push(`${event} ${text(request)}, then ${head.toString('latin1')}`);
    };
    for (const event of ['request', 'checkContinue', 'checkExpectation']) server.on(event, onRequest(event));
    for (const event of ['upgrade', 'connect']) server.on(event, onUpgrade(event));
    server.on('clientError', (error: NodeJS.ErrnoException & { reason?: string }, socket) => {
      // Nobody has ended anything: this is the client of the test before.
      if (error.code === 'HPE_INVALID_EOF_STATE') return;
      seen.push(`clientError ${error.code}: ${error.reason}`);
      socket.destroy();
    });
    server.on('connection', socket => sockets.push(socket));
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  /** What the server says of these bytes, once it has read them all. */
  async function events(bytes: string): Promise<string[]> {
    seen = [];
    const known = sockets.length;
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
    client.on('error', () => {});
    client.write(bytes, 'latin1');
    const turn = () => new Promise(resolve => setImmediate(resolve));
    while (sockets.length === known) await turn();
    const socket = sockets.at(-1)!;
    while (!socket.destroyed && socket.bytesRead < bytes.length) await turn();
    // Events of a body come a turn later.
    for (let i = 0; i < 3; i++) await turn();
    client.destroy();
    return seen;
  }

  const plain = 'request GET /x 1.1 ["Host","a"]';
  const post = (fields: string, body = '') => `POST /x HTTP/1.1\r\n${H}${fields}\r\n${body}`;
  const tables: Record<string, readonly [bytes: string, ...events: string[]][]> = {
    'hides or repairs': [
      [`GET  /x HTTP/1.1\r\n${H}\r\n`, plain],
      [`GET /x   HTTP/1.1\r\n${H}\r\n`, plain],
      [`\r\n\r\nGET /x HTTP/1.1\r\n${H}\r\n`, plain],
      [`\n\n\rGET /x HTTP/1.1\r\n${H}\r\n`, plain],
      [`GET /x RTSP/1.0\r\n${H}\r\n`, 'request GET /x 1.0 ["Host","a"]'],
      [`POST /x RTSP/1.0\r\n${H}\r\n`, 'request POST /x 1.0 ["Host","a"]'],
      [`OPTIONS /x RTSP/1.0\r\n${H}\r\n`, 'request OPTIONS /x 1.0 ["Host","a"]'],
      [`DESCRIBE /x RTSP/1.0\r\n${H}\r\n`, 'request DESCRIBE /x 1.0 ["Host","a"]'],
      [`SOURCE /x ICE/1.0\r\n${H}\r\n`, 'request SOURCE /x 1.0 ["Host","a"]'],
      [`SOURCE /x HTTP/1.1\r\n${H}\r\n`, 'request SOURCE /x 1.1 ["Host","a"]'],
      [`GET /x HTTP/1.1\r\n${H}A: \t b  c \t \r\nB:\r\n\r\n`, 'request GET /x 1.1 ["Host","a","A","b  c","B",""]'],
      [
        `GET /x HTTP/1.1\r\n${H}Connection: upgrade\r\nUpgrade: foo\r\n\r\nGET /y HTTP/1.1\r\n${H}\r\n`,
        'request GET /x 1.1 ["Host","a","Connection","upgrade","Upgrade","foo"]',
      ],
      [
        post('Transfer-Encoding: chunked\r\n', '2;a="b"\r\nhi\r\n0\r\nT: 1\r\n\r\n'),
        'request POST /x 1.1 ["Host","a","Transfer-Encoding","chunked"]',
        'body hi ["T","1"]',
      ],
    ],
    'lets through what is refused by us': [
      ['GET /x\r\n\r\n', 'request GET /x 0.9 []'],
      [`GET /x HTTP/0.9\r\n${H}\r\n`, 'request GET /x 0.9 ["Host","a"]'],
      [`GET /x HTTP/2.0\r\n${H}\r\n`, 'request GET /x 2.0 ["Host","a"]'],
      ['GET /x HTTP/1.1\r\n\r\n', 'request GET /x 1.1 []'],
      ['GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 'request GET /x 1.1 ["Host","a","Host","b"]'],
      ['GET /x HTTP/1.1\r\nHost: a b\r\n\r\n', 'request GET /x 1.1 ["Host","a b"]'],
      [`GET * HTTP/1.1\r\n${H}\r\n`, 'request GET * 1.1 ["Host","a"]'],
      [`GET http://b/x HTTP/1.1\r\n${H}\r\n`, 'request GET http://b/x 1.1 ["Host","a"]'],
      [`GET //b/../x HTTP/1.1\r\n${H}\r\n`, 'request GET //b/../x 1.1 ["Host","a"]'],
      [`GET /x#y HTTP/1.1\r\n${H}\r\n`, 'request GET /x#y 1.1 ["Host","a"]'],
      [`GET /"<>\\^\`{|} HTTP/1.1\r\n${H}\r\n`, 'request GET /"<>\\^`{|} 1.1 ["Host","a"]'],
      [`TRACE /x HTTP/1.1\r\n${H}\r\n`, 'request TRACE /x 1.1 ["Host","a"]'],
      [`CONNECT b:80 HTTP/1.1\r\n${H}\r\nabc`, 'connect CONNECT b:80 1.1 ["Host","a"], then abc'],
      [`GET /x HTTP/1.1\r\n${H}${'A: 1\r\n'.repeat(1500)}\r\n`, 'request GET /x 1.1 1501 fields'],
      [
        post('Transfer-Encoding: gzip, chunked\r\n', '0\r\n\r\n'),
        'request POST /x 1.1 ["Host","a","Transfer-Encoding","gzip, chunked"]',
      ],
      [
        'POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
        'request POST /x 1.0 ["Transfer-Encoding","chunked"]',
      ],
      [
        post('Content-Length: 18446744073709551615\r\n'),
        'request POST /x 1.1 ["Host","a","Content-Length","18446744073709551615"]',
      ],
      [
        post('Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n', 'hi'),
        'upgrade POST /x 1.1 ["Host","a","Connection","upgrade","Upgrade","websocket","Content-Length","2"], then ',
      ],
      [post('Expect: foo\r\n'), 'checkExpectation POST /x 1.1 ["Host","a","Expect","foo"]'],
      [post('Expect: foo, 100-continue\r\n'), 'checkContinue POST /x 1.1 ["Host","a","Expect","foo, 100-continue"]'],
    ],
    'tells of a message twice: first that it came, then that it is broken': [
      [
        post('Transfer-Encoding: xchunked\r\n', '0\r\n\r\n'),
        'request POST /x 1.1 ["Host","a","Transfer-Encoding","xchunked"]',
        'clientError HPE_INVALID_TRANSFER_ENCODING: Request has invalid `Transfer-Encoding`',
      ],
      [
        post('Transfer-Encoding: chunked\r\n', '2\r\nhi\r\nX'),
        'request POST /x 1.1 ["Host","a","Transfer-Encoding","chunked"]',
        'clientError HPE_INVALID_CHUNK_SIZE: Invalid character in chunk size',
      ],
      [
        post('Transfer-Encoding: chunked\r\n', '2\nhi\r\n0\r\n\r\n'),
        'request POST /x 1.1 ["Host","a","Transfer-Encoding","chunked"]',
        'clientError HPE_CR_EXPECTED: Missing expected CR after chunk size',
      ],
      [
        `GET /x HTTP/1.1\r\n${H}\r\nGARBAGE\r\n\r\n`,
        plain,
        'clientError HPE_INVALID_METHOD: Invalid method encountered',
      ],
      [
        `GET /x HTTP/1.1\r\n${H}Connection: close\r\n\r\nGET /y HTTP/1.1\r\n${H}\r\n`,
        'request GET /x 1.1 ["Host","a","Connection","close"]',
        'clientError HPE_CLOSED_CONNECTION: Data after `Connection: close`',
      ],
      [
        `GET /x HTTP/1.0\r\n\r\nGET /y HTTP/1.1\r\n${H}\r\n`,
        'request GET /x 1.0 []',
        'clientError HPE_CLOSED_CONNECTION: Data after `Connection: close`',
      ],
    ],
    'refuses by itself': [
      [`GET /x HTTP/1.2\r\n${H}\r\n`, 'clientError HPE_INVALID_VERSION: Invalid HTTP version'],
      [`GET /x HTTP/1.1 \r\n${H}\r\n`, 'clientError HPE_INVALID_VERSION: Expected CRLF after version'],
      [`GET /x HTTP/1.1\n${H}\r\n`, 'clientError HPE_INVALID_VERSION: Expected CRLF after version'],
      ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'clientError HPE_PAUSED_H2_UPGRADE: Pause on PRI/Upgrade'],
      [` GET /x HTTP/1.1\r\n${H}\r\n`, 'clientError HPE_INVALID_METHOD: Invalid method encountered'],
      [`GETX /x HTTP/1.1\r\n${H}\r\n`, 'clientError HPE_INVALID_METHOD: Expected space after method'],
      [`DESCRIBE /x HTTP/1.1\r\n${H}\r\n`, 'clientError HPE_INVALID_CONSTANT: Invalid method for HTTP/x.x request'],
      [`GET /\xe9 HTTP/1.1\r\n${H}\r\n`, 'clientError HPE_INVALID_URL: Invalid char in url path'],
      [
        post('Content-Length: 1\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
        "clientError HPE_INVALID_TRANSFER_ENCODING: Transfer-Encoding can't be present with Content-Length",
      ],
      [
        post('Transfer-Encoding: chunked, gzip\r\n'),
        'clientError HPE_INVALID_TRANSFER_ENCODING: Invalid `Transfer-Encoding` header value',
      ],
      [
        post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n'),
        'clientError HPE_INVALID_TRANSFER_ENCODING: Invalid `Transfer-Encoding` header value',
      ],
      [
        post('Content-Length: 1\r\nContent-Length: 1\r\n'),
        'clientError HPE_UNEXPECTED_CONTENT_LENGTH: Duplicate Content-Length',
      ],
      [post('Content-Length: +1\r\n'), 'clientError HPE_INVALID_CONTENT_LENGTH: Invalid character in Content-Length'],
      [post('A: 1\r\n b\r\n'), 'clientError HPE_INVALID_HEADER_TOKEN: Unexpected whitespace after header value'],
      [post('A : 1\r\n'), 'clientError HPE_INVALID_HEADER_TOKEN: Invalid header token'],
      [post('A: b\rc\r\n'), 'clientError HPE_LF_EXPECTED: Missing expected LF after header value'],
      [post('A: b\nC: d\r\n'), 'clientError HPE_CR_EXPECTED: Missing expected CR after header value'],
      [post('A: b\0\r\n'), 'clientError HPE_INVALID_HEADER_TOKEN: Invalid header value char'],
      [post(`A: ${'x'.repeat(17_000)}\r\n`), 'clientError HPE_HEADER_OVERFLOW: Header overflow'],
      [`GET /${'x'.repeat(17_000)} HTTP/1.1\r\n${H}\r\n`, 'clientError HPE_HEADER_OVERFLOW: Header overflow'],
    ],
    'passes on as it is': [
      [
        `GET /x HTTP/1.1\r\n${H}X_a: 1\r\nx-a: 2\r\nX-A: \xe9\x80\r\n\r\n`,
        'request GET /x 1.1 ["Host","a","X_a","1","x-a","2","X-A","\xe9\x80"]',
      ],
      [post('Content-Length: 002\r\n', 'hi'), 'request POST /x 1.1 ["Host","a","Content-Length","002"]', 'body hi'],
      [
        `GET /x HTTP/1.1\r\n${H}Connection: upgrade\r\nUpgrade: websocket\r\n\r\nGET /y`,
        'upgrade GET /x 1.1 ["Host","a","Connection","upgrade","Upgrade","websocket"], then GET /y',
      ],
      [`GET /x HTTP/1.1\r\n${H}Upgrade: websocket\r\n\r\n`, 'request GET /x 1.1 ["Host","a","Upgrade","websocket"]'],
    ],
  };
  for (const [what, rows] of Object.entries(tables)) {
    describe(what, () => {
      test.each(rows.map(([bytes, ...expected]) => [bytes.slice(0, 120), bytes, expected] as const))(
        '%j',
        async (_, bytes, expected) => {
          expect(await events(bytes)).toEqual(expected);
        },
      );
    });
  }
});

describe('undici', () => {
  /** What a request sees when the server answers it with these bytes, and ends. */
  async function events(bytes: string, options: Record<string, unknown> = {}): Promise<string[]> {
    const server = createServer(socket => {
      socket.on('error', () => {});
      socket.once('data', () => socket.end(bytes, 'latin1'));
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const client = new Client(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, {
      pipelining: 1,
      allowH2: false,
    });
    const seen: string[] = [];
    await new Promise<void>(resolve => {
      client.dispatch({ method: 'GET', path: '/', ...options } as never, {
        onRequestStart() {},
        onRequestUpgrade(_controller, status, _headers, socket) {
          seen.push(`upgrade ${status}`);
          socket.destroy();
          resolve();
        },
        onResponseStart(_controller, status, _headers, reason) {
          seen.push(`head ${status} ${JSON.stringify(reason)}`);
        },
        onResponseData(_controller, piece) {
          seen.push(`data ${piece.toString('latin1')}`);
        },
        onResponseEnd() {
          seen.push('end');
          resolve();
        },
        onResponseError(_controller, error) {
          seen.push(`error ${(error as NodeJS.ErrnoException).code}`);
          resolve();
        },
      });
    });
    await client.destroy();
    server.close();
    return seen;
  }

  const rows: readonly [bytes: string, options: Record<string, unknown>, ...events: string[]][] = [
    ['HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok', {}, 'head 200 "OK"', 'data ok', 'end'],
    ['HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nok', {}, 'head 200 "OK"', 'data ok', 'end'],
    ['HTTP/1.1 200 O\0K\r\nContent-Length: 2\r\n\r\nok', {}, 'head 200 "O\\u0000K"', 'data ok', 'end'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok', {}, 'head 200 "OK"', 'data ok', 'error UND_ERR_SOCKET'],
    ['HTTP/1.1 200 OK\r\n\r\nok', {}, 'head 200 "OK"', 'data ok', 'end'],
    ['HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', {}, 'error UND_ERR_SOCKET'],
    [
      'HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
      {},
      'head 103 "Early"',
      'head 200 "OK"',
      'end',
    ],
    ['HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n', {}, 'error UND_ERR_SOCKET'],
    ['HTTP/1.1 101 Switching\r\n\r\n', {}, 'head 101 "Switching"', 'error ERR_ASSERTION'],
    ['HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n', { upgrade: 'websocket' }, 'upgrade 101'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', { upgrade: 'websocket' }, 'head 200 "OK"', 'data ok', 'end'],
  ];
  test.each(rows.map(([bytes, options, ...expected]) => [bytes, options, expected] as const))(
    '%j %j',
    async (bytes, options, expected) => {
      expect(await events(bytes, options)).toEqual(expected);
    },
  );
});
