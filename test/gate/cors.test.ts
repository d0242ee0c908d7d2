import { describe, expect, test } from 'vitest';
import { H, useRig } from '../support/rig.ts';

/** Browsers: preflights, refusals that scripts may read, and tokens in cookies. */

const app = 'https://app.example';
const rig = useRig({
  more: 'credentials: [{ header: authorization, scheme: Bearer }, { cookie: session }]',
  routes: `
  - { path: /public/**, access: public }
  - { path: /answers/**, methods: [GET, PUT], require: api, cors: { origins: ["${app}"], preflight: answer } }
  - { path: /answers/**, methods: [DELETE], require: admin }
  - { path: /forwards/**, require: api, cors: { origins: ["${app}"], preflight: forward } }
  - { path: /refuses/**, require: api, cors: { origins: ["${app}"] } }
  - { path: /none/**, require: api }`,
});
const request = (line: string, fields = '') => `${line} HTTP/1.1\r\n${H}${fields}\r\n`;
const preflight = (target: string, origin = app, method = 'PUT', more = '') =>
  request(`OPTIONS ${target}`, `Origin: ${origin}\r\nAccess-Control-Request-Method: ${method}\r\n${more}`);

describe('a preflight', () => {
  test('that is answered: the pattern’s methods, the fields as asked, for ten minutes; no token, no charge, no upstream', async () => {
    const answer = await rig.ask(
      preflight('/answers/x', app, 'PUT', 'Access-Control-Request-Headers: X-A, content-type\r\n'),
    );
    expect(answer.status).toBe(204);
    expect(Object.fromEntries(answer.fields.map(([name, value]) => [name.toLowerCase(), value]))).toMatchObject({
      'access-control-allow-origin': app,
      'access-control-allow-methods': 'GET, PUT, DELETE',
      'access-control-allow-headers': 'X-A, content-type',
      'access-control-max-age': '600',
      'access-control-allow-credentials': 'true',
      vary: 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers',
    });
    expect(rig.upstream.bytes).toBe('');
    expect((await rig.postern.requestLines()).at(-1)).toMatchObject({ status: 204, token_id: null, upstream: null });
  });
  test('that is answered with a token all the same: nobody is charged, nothing is judged', async () => {
    for (const fields of [rig.A, 'Authorization: Bearer pst_x\r\n', rig.A + rig.A]) {
      expect((await rig.ask(preflight('/answers/x', app, 'PUT', fields))).status).toBe(204);
    }
    expect((await rig.postern.requestLines()).at(-1)).toMatchObject({ token_id: null });
    expect(rig.upstream.bytes).toBe('');
  });
  test('that is forwarded carries no identity and no token', async () => {
    rig.upstream.script = ({ write }) => write('HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Origin: x\r\n\r\n');
    const answer = await rig.ask(preflight('/forwards/x', app, 'PUT', rig.A));
    expect([answer.status, answer.get('access-control-allow-origin')]).toEqual([204, 'x']);
    expect(rig.upstream.only.method).toBe('OPTIONS');
    expect(rig.upstream.only.fields.filter(([name]) => /^(x-postern|authorization)/i.test(name))).toEqual([]);
  });
  test.each([
    ['on a route that refuses', () => preflight('/refuses/x')],
    ['on a route without cors', () => preflight('/none/x')],
    ['for a method whose route has no cors', () => preflight('/answers/x', app, 'DELETE')],
    ['from an origin that is not listed', () => preflight('/forwards/x', 'https://evil.example')],
    ['from an origin in another case', () => preflight('/forwards/x', 'https://APP.example')],
    ['from null', () => preflight('/forwards/x', 'null')],
    ['without an origin', () => request('OPTIONS /forwards/x', 'Access-Control-Request-Method: PUT\r\n')],
    ['without a method', () => request('OPTIONS /forwards/x', `Origin: ${app}\r\n`)],
    ['with two methods', () => preflight('/forwards/x', app, 'PUT', 'Access-Control-Request-Method: GET\r\n')],
    ['for TRACE', () => preflight('/forwards/x', app, 'TRACE')],
    ['by another method', () => preflight('/forwards/x').replace('OPTIONS', 'GET')],
  ])('%s is judged like any request', async (what, bytes) => {
    const code = what.startsWith('for a method') ? 'method_not_allowed' : 'missing_token';
    await rig.denies(bytes(), code);
    rig.upstream.requests.length = 0;
  });
  test('for a method that no route lists is refused', async () => {
    await rig.denies(preflight('/answers/x', app, 'PATCH'), 'method_not_allowed');
    rig.upstream.requests.length = 0;
  });
  test('with two origins is malformed', async () => {
    await rig.refuses(preflight('/answers/x', app, 'PUT', 'Origin: https://evil.example\r\n'), 'malformed_request');
  });
});

describe('what a script may read', () => {
  test('a refusal, where its origin is listed', async () => {
    for (const [bytes, status] of [
      [request('GET /answers/x', `Origin: ${app}\r\n`), 401],
      [request('GET /answers/x', `Origin: ${app}\r\nAuthorization: Bearer pst_x\r\n`), 401],
      [request('GET /answers/x', `Origin: ${app}\r\n${rig.A}${rig.A}`), 400],
      [request('GET /refuses/x', `Origin: ${app}\r\nAuthorization: Bearer ${rig.tNone}\r\n`), 403],
    ] as const) {
      const answer = await rig.ask(bytes);
      expect([answer.status, answer.all('access-control-allow-origin')]).toEqual([status, [app]]);
      expect(answer.get('access-control-allow-credentials')).toBe('true');
      const exposed = answer.get('access-control-expose-headers')!.toLowerCase();
      for (const name of ['www-authenticate', 'retry-after', 'x-request-id']) expect(exposed).toContain(name);
      expect(answer.get('vary')).toBe('Origin');
    }
  });
  test('nothing, where it is not', async () => {
    for (const origin of ['https://evil.example', 'null', `${app}.evil`, 'https://app.example:444', 'x']) {
      const answer = await rig.ask(request('GET /answers/x', `Origin: ${origin}\r\n`));
      expect(answer.status).toBe(401);
      expect(answer.fields.filter(([name]) => /^access-control/i.test(name))).toEqual([]);
    }
  });
  test('an answer of an upstream that says nothing of it, where preflights are answered here; else what it says', async () => {
    const answer = await rig.ask(request('GET /answers/x', `Origin: ${app}\r\n${rig.A}`));
    expect([answer.status, answer.all('access-control-allow-origin')]).toEqual([200, [app]]);
    rig.upstream.script = ({ write }) =>
      write('HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: theirs\r\nContent-Length: 0\r\n\r\n');
    const theirs = await rig.ask(request('GET /answers/x', `Origin: ${app}\r\n${rig.A}`));
    expect(theirs.all('access-control-allow-origin')).toEqual(['theirs']);
    const none = await rig.ask(request('GET /none/x', `Origin: ${app}\r\n${rig.A}`));
    expect(none.get('access-control-allow-origin')).toBe('theirs');
  });
});

describe('a token in a cookie', () => {
  const unsafe = (fields: string, method = 'POST', target = '/refuses/x') =>
    request(`${method} ${target}`, `Cookie: session=${rig.tA}\r\nContent-Length: 0\r\n${fields}`);

  test.each(['POST', 'PUT', 'PATCH', 'DELETE', 'PROPFIND'])('is not taken from another site, by %s', async method => {
    for (const fields of [
      'Origin: https://evil.example\r\n',
      'Origin: null\r\n',
      'Origin: http://a.evil\r\n',
      'Origin: http://a:81\r\n',
      'Origin: https://a\r\n',
      `Origin: ${app}.evil\r\n`,
      'Origin:\r\n',
      'Sec-Fetch-Site: cross-site\r\n',
      'Sec-Fetch-Site: same-site\r\n',
      'Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n',
      'Sec-Fetch-Site: x\r\n',
    ]) {
      await rig.denies(unsafe(fields, method), 'constraint_failed');
      rig.upstream.requests.length = 0;
    }
  });
  test('is taken from the same origin, a listed one, or no browser', async () => {
    for (const fields of [
      'Origin: http://a\r\n',
      'Origin: http://a:80\r\n',
      'Origin: HTTP://A\r\n',
      `Origin: ${app}\r\n`,
      'Sec-Fetch-Site: same-origin\r\n',
      'Sec-Fetch-Site: none\r\n',
      '',
    ]) {
      expect((await rig.ask(unsafe(fields))).status, fields).toBe(200);
    }
  });
  test.each(['GET', 'HEAD', 'OPTIONS'])('is taken for %s, which changes nothing', async method => {
    const answer = await rig.ask(unsafe('Origin: https://evil.example\r\n', method), { head: method === 'HEAD' });
    expect(answer.status).toBe(200);
  });
  test('a token in Authorization needs no origin', async () => {
    const bytes = request('POST /refuses/x', `${rig.A}Content-Length: 0\r\nOrigin: https://evil.example\r\n`);
    expect((await rig.ask(bytes)).status).toBe(200);
  });
});

describe('where every origin is listed', () => {
  const open = useRig({
    routes: '\n  - { path: /anyone/**, require: api, cors: { origins: ["*"], preflight: answer } }',
  });

  test('its own name comes back, in one piece, and no credentials are allowed', async () => {
    for (const origin of ['https://any.example', 'null', 'https://caf\xe9']) {
      const answer = await open.ask(preflight('/anyone/x', origin, 'GET', 'Access-Control-Request-Headers: x\xe9\r\n'));
      expect(answer.all('access-control-allow-origin')).toEqual([origin]);
      expect(answer.get('access-control-allow-headers')).toBe('x\xe9');
      expect(answer.get('access-control-allow-credentials')).toBeUndefined();
      const refusal = await open.ask(request('GET /anyone/x', `Origin: ${origin}\r\n`));
      expect([refusal.status, refusal.all('access-control-allow-origin')]).toEqual([401, [origin]]);
    }
  });
});
