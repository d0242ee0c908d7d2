import { describe, expect, test } from 'vitest';
import { type Code, codes } from '../../src/errors.ts';
import { H, useRig } from '../support/rig.ts';

/** Fields: what a client says of itself never stands in for what we say, and nothing of ours leaks back. */

const rig = useRig({
  routes: `
  - { path: /public/**, access: public }
  - { path: /public/override, access: public, forward_headers: [x-http-method-override, x-original-url] }
  - { path: /optional/**, access: optional }
  - { path: /api/**, require: api }
  - { path: /admin/**, require: admin }
  - { path: /post/only, methods: [POST], require: api }`,
});

const get = (target: string, fields = '', method = 'GET') => `${method} ${target} HTTP/1.1\r\n${H}${fields}\r\n`;
const ask = (target: string, fields = '') => rig.ask(get(target, fields));
const sent = () => rig.upstream.only;
const names = () => sent().fields.map(([name]) => name.toLowerCase());

describe('identity is ours alone', () => {
  const spellings = (name: string): string[] => [
    name,
    name.toLowerCase(),
    name.toUpperCase(),
    name.replaceAll('-', '_'),
    name.replace('-', '_'),
    name.replace(/-(?=[^-]*$)/, '_'),
    name.replaceAll('-', '.'),
    name.replaceAll('-', '_').toUpperCase(),
    name.replace('-', '.').toLowerCase(),
    name.replaceAll('-', '!'),
    name.replace('-', '~'),
  ];
  const identity = [
    'X-Postern-Token-Id',
    'X-Postern-Owner',
    'X-Postern-Permission',
    'X-Postern-',
    'X-Postern-Anything',
  ];
  const ours = [
    'X-Request-Id',
    'X-Real-IP',
    'X-Forwarded-For',
    'X-Forwarded-Proto',
    'X-Forwarded-Anything',
    'Forwarded',
    'Via',
    'traceparent',
  ];

  test.each([...identity, ...ours])('%s in any spelling does not arrive from a client, with a token', async name => {
    await ask(
      '/api/x',
      spellings(name)
        .map(spelling => `${spelling}: root\r\n`)
        .join('') + rig.A,
    );
    const arrived = sent().fields.filter(([, value]) => /root/.test(value));
    // Of those that pass through every hop, the first part is the client's, with ours behind it.
    expect(arrived.map(([field]) => field)).toEqual(name === 'Via' ? ['Via'] : []);
    expect(new Set(names()).size, `fields twice: ${names()}`).toBe(names().length);
  });

  test.each([...identity, ...ours])('%s in any spelling does not arrive from a client, without one', async name => {
    for (const target of ['/public/x', '/optional/x']) {
      rig.upstream.requests.length = 0;
      await ask(
        target,
        spellings(name)
          .map(spelling => `${spelling}: root\r\n`)
          .join(''),
      );
      expect(sent().fields.filter(([field, value]) => /root/.test(value) && field !== 'Via')).toEqual([]);
      expect(names().filter(field => field.startsWith('x-postern'))).toEqual([]);
    }
  });

  test('with a token they say who it is, once', async () => {
    await ask('/api/x', rig.A);
    expect(sent().all('x-postern-token-id')).toEqual([expect.stringMatching(/^tok_/)]);
    expect(sent().all('x-postern-permission')).toEqual(['api']);
    expect(sent().all('x-postern-owner')).toEqual([]);
  });

  test('a space before the colon is refused, not read as the name without it', async () => {
    await rig.refuses(get('/public/x', 'X-Postern-Owner : root\r\n'), 'malformed_request');
  });
});

describe('Connection names nothing away that is ours or that servers judge by', () => {
  const protectedFields = {
    'X-Custom': null,
    'Content-Type': 'text/plain',
    Cookie: 'a=b',
    Origin: 'http://a',
    Referer: 'http://a/',
    'If-None-Match': '"x"',
    Range: 'bytes=0-1',
    Accept: 'text/html',
    'User-Agent': 'me',
    'Cache-Control': 'no-store',
  };
  const listed =
    'close, X-Postern-Token-Id, X-Postern-Permission, X-Request-Id, X-Forwarded-For, X-Forwarded-Proto, X-Real-IP, Forwarded, Via, traceparent, Authorization, Host, Content-Length, Transfer-Encoding, X-Custom, Content-Type, Cookie, Origin, Referer, If-None-Match, Range, Accept, User-Agent, Cache-Control';

  test.each([
    ['in one line', `Connection: ${listed}\r\n`],
    [
      'in many lines',
      listed
        .split(', ')
        .map(name => `Connection: ${name}\r\n`)
        .join(''),
    ],
    ['in small letters', `connection: ${listed.toLowerCase()}\r\n`],
    ['with empty elements', `Connection: ,,${listed.replaceAll(', ', ' ,\t,')},\r\n`],
  ])('%s', async (_, connection) => {
    const fields = Object.entries(protectedFields).map(([name, value]) => `${name}: ${value ?? 'x'}\r\n`);
    await rig.ask(`POST /api/x HTTP/1.1\r\n${H}${connection}${rig.A}${fields.join('')}Content-Length: 5\r\n\r\nhello`);
    for (const [name, value] of Object.entries(protectedFields)) {
      expect(sent().get(name), name).toBe(value ?? undefined);
    }
    expect(sent().get('host')).toBe('a');
    expect(sent().body.toString()).toBe('hello');
    for (const name of [
      'x-postern-token-id',
      'x-postern-permission',
      'x-request-id',
      'x-forwarded-for',
      'x-real-ip',
      'forwarded',
      'via',
      'traceparent',
    ]) {
      expect(sent().all(name), name).toHaveLength(1);
    }
  });

  test('naming the token’s own field does not make it go through', async () => {
    await ask('/api/x', `Connection: Authorization\r\n${rig.A}`);
    expect(sent().get('authorization')).toBeUndefined();
    await rig.denies(get('/api/x', `Connection: Authorization\r\nAuthorization: Bearer pst_x\r\n`), 'invalid_token');
  });
});

describe('hop-by-hop fields', () => {
  const fields = {
    Connection: 'keep-alive, X-Hop',
    'Keep-Alive': 'timeout=5',
    'Proxy-Connection': 'keep-alive',
    'Proxy-Authorization': 'Basic eDp5',
    'Proxy-Authenticate': 'Basic',
    TE: 'trailers, deflate',
    Trailer: 'X-T',
    Upgrade: 'foo',
    'HTTP2-Settings': 'AAMAAABk',
    'X-Hop': 'secret',
  };
  const lines = Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');

  test('end here, in requests', async () => {
    expect((await ask('/public/x', lines)).status).toBe(200);
    const kept = names().filter(name => Object.keys(fields).some(field => field.toLowerCase() === name));
    expect(kept).toEqual(['connection']);
    expect(sent().get('connection')).toBe('keep-alive');
  });
  test('end here in other spellings', async () => {
    const spelled = [
      'Transfer_Encoding: chunked',
      'transfer.encoding: chunked',
      'Proxy_Authorization: x',
      'Keep_Alive: x',
      'X_Request_Id: x',
      'HOST_: x',
    ];
    await ask('/public/x', `${spelled.join('\r\n')}\r\n`);
    expect(names().filter(name => /[_.]/.test(name))).toEqual(['host_']);
  });
  test('end here, in answers', async () => {
    rig.upstream.script = ({ write }) => write(`HTTP/1.1 200 OK\r\n${lines}Content-Length: 2\r\n\r\nok`);
    const answer = await ask('/public/x');
    const kept = answer.fields.filter(
      ([name, value]) => name !== 'Connection' && Object.values(fields).includes(value),
    );
    expect(kept).toEqual([]);
    expect(answer.all('connection')).toEqual(['keep-alive']);
  });
  test('a list of TE, Trailer or Keep-Alive that is nonsense is no failure', async () => {
    const answer = await ask(
      '/public/x',
      'TE: ;;;\r\nKeep-Alive: \r\nTrailer: Content-Length\r\nProxy-Connection: x\r\n',
    );
    expect(answer.status).toBe(200);
  });
});

describe('fields that name another request than the one that was judged', () => {
  const misleading: Record<string, string> = {
    Forwarded: 'for=1.2.3.4;host=evil;proto=https',
    'X-Forwarded-For': '1.2.3.4',
    'X-Forwarded-Proto': 'https',
    'X-Forwarded-Host': 'evil',
    'X-Forwarded-Uri': '/public/x',
    'X-Forwarded-Port': '443',
    'X-Forwarded-Prefix': '/public',
    'X-Forwarded-Method': 'GET',
    'X-Forwarded-Server': 'evil',
    'X-Real-IP': '1.2.3.4',
    'X-Original-URL': '/public/x',
    'X-Original-URI': '/public/x',
    'X-Original-Method': 'GET',
    'X-Original-Host': 'evil',
    'X-Rewrite-URL': '/public/x',
    'X-Envoy-Original-Path': '/public/x',
    'X-Envoy-Decorator-Operation': 'evil',
    'X-HTTP-Method': 'DELETE',
    'X-HTTP-Method-Override': 'DELETE',
    'X-Method-Override': 'DELETE',
  };
  const lines = Object.entries(misleading)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');

  test('do not move the decision', async () => {
    await rig.denies(get('/admin/x', lines + rig.A), 'insufficient_scope');
    await rig.denies(get('/admin/x', lines), 'missing_token');
    await rig.denies(get('/post/only', lines + rig.A), 'method_not_allowed');
  });
  test('do not arrive', async () => {
    await rig.ask(`POST /post/only HTTP/1.1\r\n${H}${lines}${rig.A}Content-Length: 0\r\n\r\n`);
    expect(sent().fields.filter(([, value]) => /evil|1\.2\.3\.4|^\/public|DELETE|^GET$|^443$/.test(value))).toEqual([]);
    expect(sent().all('x-forwarded-for')).toEqual(['127.0.0.1']);
    expect(sent().all('x-forwarded-proto')).toEqual(['http']);
    expect(sent().all('x-forwarded-host')).toEqual(['a']);
    expect(sent().all('x-real-ip')).toEqual(['127.0.0.1']);
    expect(sent().all('forwarded')).toEqual(['for=127.0.0.1;proto=http;host="a"']);
  });
  test('do not arrive in other spellings', async () => {
    const spelled = Object.entries(misleading).flatMap(([name, value]) =>
      [name.replaceAll('-', '_'), name.replaceAll('-', '.').toLowerCase(), name.replace('-', '_').toUpperCase()].map(
        spelling => (spelling.toLowerCase() === 'forwarded' ? '' : `${spelling}: ${value}\r\n`),
      ),
    );
    await ask('/api/x', spelled.join('') + rig.A);
    expect(sent().fields.filter(([, value]) => /evil|1\.2\.3\.4|^\/public|DELETE|^GET$|^443$/.test(value))).toEqual([]);
  });
  test('arrive where the route says so, and only those', async () => {
    await ask('/public/override', lines);
    const arrived = names().filter(
      name => name in Object.fromEntries(Object.keys(misleading).map(n => [n.toLowerCase(), 0])),
    );
    expect(new Set(arrived)).toEqual(
      new Set([
        'x-http-method-override',
        'x-original-url',
        'forwarded',
        'x-forwarded-for',
        'x-forwarded-proto',
        'x-forwarded-host',
        'x-real-ip',
      ]),
    );
  });
  test('a method in the query is the upstream’s own business, byte for byte', async () => {
    await rig.ask(`POST /post/only?_method=DELETE HTTP/1.1\r\n${H}${rig.A}Content-Length: 0\r\n\r\n`);
    expect(sent().target).toBe('/post/only?_method=DELETE');
  });
});

describe('everything else arrives as it was sent', () => {
  test('order, case, duplicates, 8-bit bytes, odd names, empty values', async () => {
    const fields: [string, string][] = [
      ['X-B', '1'],
      ['x-a', '2'],
      ['X-B', '3'],
      ['Content-Type', 'text/plain'],
      ['content-type', 'application/json'],
      ['Cookie', 'a=1'],
      ['Cookie', 'b=2; c=3'],
      ['Accept', ''],
      ["!#$%&'*+.^_`|~0z", 'odd'],
      ['__proto__', 'x'],
      ['constructor', 'x'],
      ['toString', 'x'],
      ['hasOwnProperty', 'x'],
      ['X-Bytes', '\x80\xe9\xff\t\xa0'],
      ['X-Spaces', 'a  b\t c'],
      ['Authorization', 'Basic dTpw'],
      ['X-Postern', 'no prefix'],
      ['XX-Postern-Owner', 'no prefix'],
    ];
    await ask('/public/x', fields.map(([name, value]) => `${name}: ${value}\r\n`).join(''));
    const first = sent().fields.findIndex(([name]) => name === 'X-B');
    expect(sent().fields.slice(first, first + fields.length)).toEqual(fields);
  });
  test('white space around a value does not', async () => {
    await ask('/public/x', 'X-A:1\r\nX-B: \t 2 \t \r\n');
    expect([sent().get('x-a'), sent().get('x-b')]).toEqual(['1', '2']);
    expect(sent().head).toContain('\r\nX-B: 2\r\n');
  });
});

describe('answers of the upstream', () => {
  const answerWith = (fields: string, body = 'ok') => {
    rig.upstream.script = ({ write }) =>
      write(`HTTP/1.1 200 OK\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body}`);
    return ask('/api/x', rig.A);
  };

  test('arrive in order, with duplicates and 8-bit bytes', async () => {
    const fields: [string, string][] = [
      ['Set-Cookie', 'a=1; Path=/'],
      ['Server', 'legacy/1.0'],
      ['set-cookie', 'b=2'],
      ['Content-Type', 'text/plain'],
      ['Content-Type', 'text/html'],
      ['Set-Cookie', 'c=3, d'],
      ['X-Bytes', '\x80\xe9\xff'],
      ['__proto__', 'x'],
      ['ETag', '"x"'],
      ['Date', 'Tue, 01 Jan 2030 00:00:00 GMT'],
    ];
    const answer = await answerWith(fields.map(([name, value]) => `${name}: ${value}\r\n`).join(''));
    expect(answer.fields.slice(0, fields.length)).toEqual(fields);
    expect(answer.all('date')).toHaveLength(1);
  });
  test('do not carry what is reserved for us', async () => {
    const leaks = [
      'X-Postern-Owner',
      'x-postern-token-id',
      'X_Postern_Permission',
      'X.Postern.Secret',
      'X-POSTERN-ANY',
      'X-Request-Id',
    ];
    const answer = await answerWith(leaks.map(name => `${name}: leak\r\n`).join(''));
    expect(answer.fields.filter(([, value]) => value === 'leak')).toEqual([]);
    expect(answer.all('x-request-id')).toEqual([sent().get('x-request-id')]);
  });
  test('do not carry what their Connection names, but what clients judge by', async () => {
    const answer = await answerWith(
      'Connection: X-Internal, Content-Type, Set-Cookie, Cache-Control, Content-Encoding, X-Request-Id\r\nX-Internal: leak\r\nContent-Type: text/plain\r\nSet-Cookie: a=b\r\nCache-Control: private\r\nContent-Encoding: identity\r\n',
    );
    expect(answer.get('x-internal')).toBeUndefined();
    for (const name of ['content-type', 'set-cookie', 'cache-control', 'content-encoding', 'x-request-id']) {
      expect(answer.all(name), name).toHaveLength(1);
    }
  });
  test('carry no identity of the request in an informational head either', async () => {
    rig.upstream.script = ({ write }) =>
      write(
        'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nX-Postern-Owner: leak\r\nConnection: X-Internal\r\nX-Internal: leak\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
      );
    const client = await rig.send(get('/api/x', rig.A));
    const hints = await client.answer();
    expect([hints.status, hints.get('link')]).toEqual([103, '</x>']);
    expect(hints.fields.filter(([, value]) => value === 'leak')).toEqual([]);
    expect((await client.answer()).status).toBe(200);
  });
});

describe('answers of our own', () => {
  const challenges: Record<string, string> = {
    missing_token: 'Bearer realm="postern"',
    invalid_token: 'Bearer realm="postern", error="invalid_token"',
    ambiguous_credential: 'Bearer realm="postern", error="invalid_request"',
    insufficient_scope: 'Bearer realm="postern", error="insufficient_scope", scope="admin"',
  };
  const requests: Record<string, () => string> = {
    missing_token: () => get('/api/x'),
    invalid_token: () => get('/api/x', 'Authorization: Bearer pst_x\r\n'),
    ambiguous_credential: () => get('/api/x', rig.A + rig.A),
    insufficient_scope: () => get('/admin/x', rig.A),
    no_route: () => get('/nowhere'),
    method_not_allowed: () => get('/post/only', rig.A),
    malformed_request: () => get('/api/../x'),
    version_not_supported: () => get('/api/x').replace('1.1', '2.0'),
    expectation_failed: () => get('/api/x', 'Expect: x\r\n'),
    head_too_large: () => get('/api/x', 'X: 1\r\n'.repeat(120)),
  };
  test.each(Object.keys(requests))(
    '%s is a problem document with its challenge, and to HEAD the same without body',
    async code => {
      const request = requests[code]!();
      const answer = await rig.denies(request, code as Code);
      expect(answer.get('www-authenticate')).toBe(challenges[code]);
      expect(answer.json()).toMatchObject({ type: `urn:postern:problem:${code}`, status: codes[code as Code].status });
      expect(answer.get('allow')).toBe(code === 'method_not_allowed' ? 'POST' : undefined);
      const toHead = await rig.denies(request.replace(/^GET/, 'HEAD'), code as Code, { head: true });
      // The text of this one names the method.
      const longer = code === 'method_not_allowed' ? 1 : 0;
      expect(Number(toHead.get('content-length'))).toBe(Number(answer.get('content-length')) + longer);
    },
  );

  test('echo nothing of the request that could break out of a field or document', async () => {
    const nasty = '"><script>alert(1)</script>';
    for (const bytes of [
      get('/admin/x', `Authorization: Bearer ${rig.tA}\r\nX: ${nasty}\r\n`),
      get(`/nowhere/%22%3E%3Cscript%3E`, `Origin: ${nasty}\r\n`),
      get('/api/x', `Authorization: Bearer ${nasty}\r\n`),
    ]) {
      const answer = await rig.ask(bytes);
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.body.toString() + answer.fields.join()).not.toContain('script');
    }
  });
});
