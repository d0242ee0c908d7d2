import { describe, expect, test } from 'vitest';
import { H, useRig } from '../support/rig.ts';

/** Request lines, Host, and the limits of a head. */

const rig = useRig({ upstreamMembers: 'max_connections: 1' });
const get = (target: string, fields = '', version = 'HTTP/1.1') => `GET ${target} ${version}\r\n${fields}\r\n`;

describe('a Host that servers could read differently is refused', () => {
  const hosts: Record<string, string> = {
    none: '',
    'two, equal': 'Host: a\r\nHost: a\r\n',
    'two, different': 'Host: a\r\nHost: b\r\n',
    'two, in other cases': 'Host: a\r\nhOST: b\r\n',
    'two, the second one empty': 'Host: a\r\nHost:\r\n',
    'two, far apart': `Host: a\r\n${'X: 1\r\n'.repeat(50)}Host: b\r\n`,
  };
  const values = [
    '',
    ' ',
    'a b',
    'a\tb',
    'a,b',
    'a, b',
    'u@a',
    'u:p@a',
    '@a',
    'a:99999',
    'a:65536',
    'a:x',
    'a:-1',
    'a:+80',
    'a:80:80',
    'a: 80',
    ':80',
    'a/b',
    'a/',
    '//a',
    'http://a',
    'a?b',
    'a#b',
    'a\\b',
    'a%2eb',
    'a%00',
    'a;b',
    '"a"',
    '<a>',
    'a|b',
    '[::1',
    '::1',
    '[::1]x',
    '[::1]:x',
    '[::1%25eth0]',
    '[v1.x]',
    '[]',
    'a..b',
    'a..',
    '..',
    '.',
    'caf\xe9',
    '*',
    '*.a',
  ];
  for (const value of values) hosts[JSON.stringify(value)] = `Host: ${value}\r\n`;
  test.each(Object.entries(hosts))('%s', async (_, fields) => {
    await rig.refuses(get('/public/x', fields), 'malformed_request');
    await rig.refuses(`POST /api/x HTTP/1.1\r\n${rig.A}${fields}Content-Length: 5\r\n\r\nhello`, 'malformed_request');
  });
  test.each(['a\0b', 'a\x01', 'a\x7f', 'a\rb'])('%j', async value => {
    await rig.refuses(get('/public/x', `Host: ${value}\r\n`), 'malformed_request');
  });
  test('on HTTP/1.0 too, where it may be absent', async () => {
    await rig.refuses(get('/public/x', 'Host: a\r\nHost: b\r\n', 'HTTP/1.0'), 'malformed_request');
    await rig.refuses(get('/public/x', 'Host: a/b\r\n', 'HTTP/1.0'), 'malformed_request');
    expect((await rig.ask(get('/public/x', '', 'HTTP/1.0'))).status).toBe(200);
    expect(rig.upstream.only.get('host')).toBe(new URL(rig.upstream.url).host);
  });
  test.each(['a', 'A.Example.COM', 'a.', 'a_b-c', 'a:80', 'a:', '127.0.0.1:1', '[::1]', '[2001:DB8::1]:443'])(
    'a good one, %s, arrives as it was sent',
    async value => {
      expect((await rig.ask(get('/public/x', `Host: ${value}\r\n`))).status).toBe(200);
      expect(rig.upstream.only.get('host')).toBe(value);
    },
  );
});

describe('request lines', () => {
  const versions = [
    'HTTP/0.9',
    'HTTP/1.2',
    'HTTP/1.9',
    'HTTP/2.0',
    'HTTP/3.0',
    'HTTP/1',
    'HTTP/2',
    'HTTP/01.1',
    'HTTP/11.1',
  ];
  test.each(versions)('%s is refused by name', async version => {
    await rig.refuses(get('/public/x', H, version), 'version_not_supported');
    await rig.refuses(get('/api/x', H + rig.A, version), 'version_not_supported');
  });
  test('HTTP/0.9 is refused by name', async () => {
    await rig.refuses('GET /public/x\r\n\r\n', 'version_not_supported');
  });
  test('the HTTP/2 preface is refused by name', async () => {
    const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
    await rig.refuses(preface, 'version_not_supported');
    await rig.refuses(get('/public/x', H).replace('GET', 'PRI'), 'version_not_supported');
    await rig.refuses(`${preface}\0\0\0\x04\0\0\0\0\0${get('/public/x', H)}`, 'version_not_supported');
  });
  const lines: Record<string, string> = {
    'a method in small letters': 'get /public/x HTTP/1.1',
    'a method in both cases': 'Get /public/x HTTP/1.1',
    'an unknown method': 'GETX /public/x HTTP/1.1',
    'the beginning of a method': 'GE /public/x HTTP/1.1',
    'no method': ' /public/x HTTP/1.1',
    'no target': 'GET HTTP/1.1',
    'an empty target': 'GET  HTTP/1.1',
    'a tab behind the method': 'GET\t/public/x HTTP/1.1',
    'a tab before the version': 'GET /public/x\tHTTP/1.1',
    'a tab in the target': 'GET /public/\tx HTTP/1.1',
    'a space in the target': 'GET /public/x y HTTP/1.1',
    'NUL in the target': 'GET /public/\0 HTTP/1.1',
    'DEL in the target': 'GET /public/\x7f HTTP/1.1',
    'an 8-bit byte in the target': 'GET /public/\xe9 HTTP/1.1',
    'an 8-bit byte in the query': 'GET /public/x?\xe9 HTTP/1.1',
    'text behind the version': 'GET /public/x HTTP/1.1 x',
    'a space behind the version': 'GET /public/x HTTP/1.1 ',
    'a longer version': 'GET /public/x HTTP/1.10',
    'a version in small letters': 'GET /public/x http/1.1',
    'another protocol': 'GET /public/x HTTPS/1.1',
    'an answer': 'HTTP/1.1 200 OK',
    'a vertical tab between': 'GET\x0b/public/x\x0bHTTP/1.1',
    'a method of RTSP': 'DESCRIBE /public/x RTSP/1.0',
    'a method of RTSP on HTTP': 'DESCRIBE /public/x HTTP/1.1',
    'a method of SHOUTcast': 'SOURCE /public/x ICE/1.0',
    'a method of SHOUTcast on HTTP': 'SOURCE /public/x HTTP/1.1',
  };
  test.each(Object.entries(lines))('%s is refused', async (_, line) => {
    await rig.refuses(`${line}\r\n${H}\r\n`, 'malformed_request');
  });
  test.each(['', '\r\n', '\r\n\r\n'])('what is no HTTP is refused: a TLS hello behind %j', async before => {
    await rig.refuses(`${before}\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03`, 'malformed_request');
    await rig.refuses(`${before}SSH-2.0-OpenSSH_9.9\r\n`, 'malformed_request');
    await rig.refuses(`${before}PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n${get('/public/x', H)}`, 'malformed_request');
    await rig.refuses(`${before}\r\n\0\r\n${get('/public/x', H)}`, 'malformed_request');
  });
});

describe('methods', () => {
  const common = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS';
  test.each(['/public/x', '/api/x', '/nowhere', '/'])('TRACE %s is never forwarded', async target => {
    const answer = await rig.refuses(`TRACE ${target} HTTP/1.1\r\n${H}${rig.A}\r\n`, 'method_not_allowed');
    expect(answer.get('allow')).toBe(common);
  });
  test.each(['a:80', '127.0.0.1:1', '/public/x', '*', 'http://a/', '[::1]:22', 'a', 'a:80/../x'])(
    'CONNECT %s opens nothing',
    async target => {
      const smuggled = get('/public/smuggled', H);
      const answer = await rig.refuses(
        `CONNECT ${target} HTTP/1.1\r\n${H}${rig.A}\r\n${smuggled}`,
        'method_not_allowed',
      );
      expect(answer.get('allow')).toBe(common);
      expect(rig.upstream.requests).toHaveLength(0);
    },
  );
  test('CONNECT behind a request opens nothing', async () => {
    const client = await rig.send(`${get('/public/x', H)}CONNECT a:80 HTTP/1.1\r\n${H}\r\n${get('/public/y', H)}`);
    expect((await client.answer()).status).toBe(200);
    await rig.refused(client, 'method_not_allowed');
    expect(rig.upstream.only.target).toBe('/public/x');
  });
  test('CONNECT with a body, or an upgrade, opens nothing', async () => {
    const head = `CONNECT a:80 HTTP/1.1\r\n${H}${rig.A}`;
    await rig.refuses(`${head}Content-Length: 5\r\n\r\nhello`, 'method_not_allowed');
    await rig.refuses(`${head}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`, 'method_not_allowed');
  });
  test('OPTIONS * asks the server as a whole, which is no route', async () => {
    await rig.denies(`OPTIONS * HTTP/1.1\r\n${H}\r\n`, 'no_route');
  });
  test.each(['GET', 'HEAD', 'POST'])('%s * is malformed', async method => {
    await rig.refuses(`${method} * HTTP/1.1\r\n${H}\r\n`, 'malformed_request', { head: method === 'HEAD' });
  });
  test('OPTIONS on a protected path needs a token like anything else', async () => {
    await rig.denies(`OPTIONS /api/x HTTP/1.1\r\n${H}\r\n`, 'missing_token');
    const preflight = 'Origin: https://evil.example\r\nAccess-Control-Request-Method: GET\r\n';
    await rig.denies(`OPTIONS /admin/x HTTP/1.1\r\n${H}${preflight}\r\n`, 'missing_token');
  });
  test.each(['QUERY', 'PROPFIND', 'M-SEARCH', 'BIND', 'LINK', 'PURGE'])(
    '%s, which the parser knows, is judged like any other',
    async method => {
      await rig.denies(`${method} /api/x HTTP/1.1\r\n${H}\r\n`, 'missing_token');
      expect((await rig.ask(`${method} /api/x HTTP/1.1\r\n${H}${rig.A}\r\n`)).status).toBe(200);
    },
  );
});

describe('the size of a head', () => {
  const filler = (count: number) => Array.from({ length: count }, (_, i) => `X-${i}: 1\r\n`).join('');

  test.each([98, 99])('%i fields beside Host and token: all arrive, or none', async count => {
    const request = `GET /api/x HTTP/1.1\r\n${H}${filler(count)}${rig.A}\r\n`;
    if (count + 2 > 100) await rig.refuses(request, 'head_too_large');
    else {
      expect((await rig.ask(request)).status).toBe(200);
      const arrived = rig.upstream.only.fields.filter(([name]) => /^X-\d+$/.test(name));
      expect(arrived).toHaveLength(count);
    }
  });
  test.each([100, 101, 998, 1000, 1001, 1502, 2001, 4000])(
    '%i more fields are refused, whatever stands last',
    async count => {
      await rig.refuses(`GET /api/x HTTP/1.1\r\n${H}${filler(count)}${rig.A}\r\n`, 'head_too_large');
      await rig.refuses(
        `POST /public/x HTTP/1.1\r\n${H}${filler(count)}Content-Length: 5\r\n\r\nhello`,
        'head_too_large',
      );
    },
  );
  test('fields without a value count too', async () => {
    await rig.refuses(`GET /public/x HTTP/1.1\r\n${H}${'A:\r\n'.repeat(100)}\r\n`, 'head_too_large');
  });

  const exactly = (bytes: number, make: (filler: string) => string) => make('x'.repeat(bytes - make('').length));
  const forms: Record<string, (filler: string) => string> = {
    'a long field': filler => `GET /public/x HTTP/1.1\r\n${H}X: ${filler}\r\n\r\n`,
    'a long path': filler => `GET /public/${filler} HTTP/1.1\r\n${H}\r\n`,
    'a long query': filler => `GET /public/x?${filler} HTTP/1.1\r\n${H}\r\n`,
    'a long name': filler => `GET /public/x HTTP/1.1\r\n${H}X${filler}: 1\r\n\r\n`,
  };
  test.each(Object.entries(forms))('%s: 16 000 bytes work, 17 KiB are refused', async (_, make) => {
    const whole = exactly(16_000, make);
    expect((await rig.ask(whole)).status).toBe(200);
    expect(rig.upstream.only.head).toContain('x'.repeat(15_000));
    await rig.refuses(exactly(17 * 1024, make), 'head_too_large');
    await rig.refuses(exactly(64 * 1024, make), 'head_too_large');
  });
  test('a head that never ends is refused as soon as it is too large', async () => {
    const client = await rig.send(`GET /public/x HTTP/1.1\r\n${H}`);
    for (let i = 0; i < 40 && client.length === 0; i++) {
      client.write(`X-${i}: ${'x'.repeat(500)}\r\n`);
      await new Promise(setImmediate);
    }
    await rig.refused(client, 'head_too_large');
  });
  test('a long token is no token', async () => {
    await rig.denies(`GET /api/x HTTP/1.1\r\n${H}Authorization: Bearer ${'a'.repeat(8192)}\r\n\r\n`, 'invalid_token');
    await rig.denies(
      `GET /api/x HTTP/1.1\r\n${H}Authorization: Bearer pst_${'a'.repeat(8192)}\r\n\r\n`,
      'invalid_token',
    );
  });
});
