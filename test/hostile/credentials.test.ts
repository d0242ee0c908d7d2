import { describe, expect, test } from 'vitest';
import { spellings } from '../support/postern.ts';
import { H, useRig } from '../support/rig.ts';

/** Credentials: one token at one place, or the request is refused; what was judged does not travel on. */

const places = `
credentials:
  - { header: authorization, scheme: Bearer }
  - { header: x-api-key }
  - { query: auth_token }
  - { cookie: api_token }
  - { websocket_protocol: "token." }
guard: { failures: 0 }
`;
const routes = `
  - { path: /public/**, access: public }
  - { path: /optional/**, access: optional }
  - { path: /api/**, require: api }
  - { path: /admin/**, require: admin }`;

const rig = useRig({ more: places, routes });
const request = (target: string, fields = '', method = 'GET') => `${method} ${target} HTTP/1.1\r\n${H}${fields}\r\n`;
const bearer = (value: string) => request('/api/x', `Authorization: ${value}\r\n`);
const sent = () => rig.upstream.only;

/** No spelling of a secret is anywhere in what the upstream got. */
function expectNoSecret(...secrets: string[]): void {
  for (const secret of secrets) {
    for (const [how, spelling] of Object.entries(spellings(secret))) {
      expect(rig.upstream.bytes.includes(spelling), `${how} reached the upstream`).toBe(false);
    }
  }
}

describe('two tokens are refused, even equal ones', () => {
  const one = () => `Authorization: Bearer ${rig.tA}\r\n`;
  const other = () => `Authorization: Bearer ${rig.tAdmin}\r\n`;
  const twice: Record<string, () => string> = {
    'two lines, valid first': () => request('/api/x', `${one()}Authorization: Bearer x\r\n`),
    'two lines, valid second': () => request('/api/x', `Authorization: Bearer x\r\n${one()}`),
    'two equal lines': () => request('/api/x', one() + one()),
    'two valid lines': () => request('/admin/x', one() + other()),
    'two lines in other cases': () => request('/api/x', `${one()}aUTHORIZATION: bearer ${rig.tA}\r\n`),
    'two lines, far apart': () => request('/api/x', `${one()}${'X: 1\r\n'.repeat(80)}${one()}`),
    'two lines, one of them of another scheme': () => request('/api/x', `${one()}Authorization: Basic dTpw\r\n`),
    'two lines, the other one empty': () => request('/api/x', `${one()}Authorization:\r\n`),
    'a list in one line': () => bearer(`Bearer ${rig.tA}, Bearer ${rig.tAdmin}`),
    'a list without the scheme': () => bearer(`Bearer ${rig.tA},${rig.tA}`),
    'two words behind the scheme': () => bearer(`Bearer ${rig.tA} ${rig.tA}`),
    'two lines of a field without scheme': () => request('/api/x', `X-Api-Key: ${rig.tA}\r\nx-api-key: ${rig.tA}\r\n`),
    'header and other header': () => request('/api/x', `${one()}X-Api-Key: ${rig.tAdmin}\r\n`),
    'header and query': () => request(`/api/x?auth_token=${rig.tA}`, one()),
    'header and cookie': () => request('/api/x', `${one()}Cookie: api_token=${rig.tA}\r\n`),
    'header and subprotocol': () => request('/api/x', `${one()}Sec-WebSocket-Protocol: token.${rig.tA}\r\n`),
    'query twice': () => request(`/api/x?auth_token=${rig.tA}&auth_token=${rig.tA}`),
    'query twice, once encoded': () => request(`/api/x?auth_token=${rig.tA}&%61uth_token=${rig.tA}`),
    'cookie twice in a line': () => request('/api/x', `Cookie: api_token=${rig.tA}; api_token=${rig.tA}\r\n`),
    'cookie twice in two lines': () =>
      request('/api/x', `Cookie: api_token=${rig.tA}\r\nCookie: api_token=${rig.tA}\r\n`),
    'subprotocol twice': () => request('/api/x', `Sec-WebSocket-Protocol: token.${rig.tA}, token.${rig.tAdmin}\r\n`),
    'all at once': () => request(`/api/x?auth_token=${rig.tNone}`, `${one()}X-Api-Key: ${rig.tAdmin}\r\n`),
  };
  test.each(Object.entries(twice))('%s', async (_, bytes) => {
    const answer = await rig.denies(bytes(), 'ambiguous_credential');
    expect(answer.get('www-authenticate')).toBe('Bearer realm="postern", error="invalid_request"');
    expectNoSecret(rig.tA, rig.tAdmin, rig.tNone);
  });

  const twisted = [
    'AUTH_TOKEN',
    'Auth_Token',
    'auth_token[]',
    'auth_token[0]',
    'auth_token%5B%5D',
    '%41uth_token',
    'auth%5Ftoken[x]',
  ];
  test.each(twisted)('a parameter that servers may take for the token’s, %s', async name => {
    await rig.denies(request(`/api/x?${name}=${rig.tA}`), 'ambiguous_credential');
    await rig.denies(request(`/api/x?${name}=x`, rig.A), 'ambiguous_credential');
  });
});

describe('a configured scheme is followed by one space and one token, or the request is refused', () => {
  test.each([
    ['no token', () => 'Bearer'],
    ['a space and no token', () => 'Bearer '],
    ['two spaces', () => `Bearer  ${rig.tA}`],
    ['two spaces, in capitals', () => `BEARER  ${rig.tA}`],
    ['a tab', () => `Bearer\t${rig.tA}`],
    ['a comma', () => `Bearer,${rig.tA}`],
    ['quotes', () => `Bearer "${rig.tA}"`],
    ['a parameter', () => `Bearer token=${rig.tA} x`],
    ['percent-encoding', () => `Bearer ${rig.tA.replace('_', '%5F')}`],
    ['an 8-bit byte', () => `Bearer ${rig.tA}\xe9`],
    ['a no-break space behind', () => `Bearer ${rig.tA}\xa0`],
    ['something behind the padding', () => 'Bearer abc=d'],
    ['only padding', () => 'Bearer ='],
  ])('%s', async (_, value) => {
    await rig.denies(bearer(value()), 'ambiguous_credential');
    await rig.denies(request('/optional/x', `Authorization: ${value()}\r\n`), 'ambiguous_credential');
    expectNoSecret(rig.tA);
  });

  test.each(['bearer', 'BEARER', 'BeArEr'])('its case is no matter: %s', async scheme => {
    expect((await rig.ask(bearer(`${scheme} ${rig.tA}`))).status).toBe(200);
    expect(sent().get('authorization')).toBeUndefined();
  });
  test('white space around the value is no part of it', async () => {
    expect((await rig.ask(bearer(` \t Bearer ${rig.tA} \t `))).status).toBe(200);
    expectNoSecret(rig.tA);
  });
  test.each([
    'Basic dEE6',
    'Token tA',
    'Digest username="x"',
    'BearertA',
    'Bearer-tA',
    'Bearer=tA',
    'Bearer\xa0tA',
    'x',
    '',
  ])('another scheme is no token: %j', async value => {
    await rig.denies(bearer(value), 'missing_token');
  });
  test('another scheme is not ours to cut', async () => {
    expect((await rig.ask(request('/optional/x', 'Authorization: Basic dTpw\r\n'))).status).toBe(200);
    expect(sent().get('authorization')).toBe('Basic dTpw');
  });
});

describe('what is no token is refused before anything is looked up', () => {
  const lookups = async () => {
    const lines = (await rig.postern.metrics()).split('\n');
    const counted = lines.filter(line => /^postern_store_operations_total\{operation="find"/.test(line));
    return counted.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  };
  const wrongChecksum = () => rig.tA.slice(0, -1) + (rig.tA.endsWith('0') ? '1' : '0');
  const strings: Record<string, () => string> = {
    'another prefix': () => `abc_${rig.tA.slice(4)}`,
    'no prefix': () => rig.tA.slice(4),
    'the prefix in capitals': () => rig.tA.replace('pst', 'PST'),
    'a wrong checksum': wrongChecksum,
    'two characters exchanged': () => `${rig.tA.slice(0, 4)}${rig.tA[5]}${rig.tA[4]}${rig.tA.slice(6)}`,
    'one character less': () => rig.tA.slice(0, -1),
    'one character more': () => `${rig.tA}0`,
    'a character that tokens do not have': () => `${rig.tA.slice(0, -1)}-`,
    'the prefix alone': () => 'pst_',
    'ten thousand characters': () => `pst_${'a'.repeat(10_000)}`,
    'a JWT': () => 'eyJhbGciOiJub25lIn0.e30.',
    'names of an object’s own': () => '__proto__',
  };
  for (const [what, make] of Object.entries(strings)) {
    test(what, async () => {
      const before = await lookups();
      const secret = make();
      await rig.denies(bearer(`Bearer ${secret}`), 'invalid_token');
      await rig.denies(request('/api/x', `X-Api-Key: ${secret}\r\n`), 'invalid_token');
      await rig.denies(request(`/api/x?auth_token=${secret}`), 'invalid_token');
      await rig.denies(request('/api/x', `Cookie: api_token=${secret}\r\n`), 'invalid_token');
      await rig.denies(request('/optional/x', `X-Api-Key: ${secret}\r\n`), 'invalid_token');
      rig.upstream.requests.length = 0;
      expect(await lookups()).toBe(before);
    });
  }
  test('but a token that is well formed is looked up, once', async () => {
    const before = await lookups();
    const unknown = (await rig.postern.mint({ permissions: ['api'] })).secret;
    expect((await rig.ask(bearer(`Bearer ${unknown}`))).status).toBe(200);
    const once = await lookups();
    expect(once).toBeGreaterThan(before);
    expect((await rig.ask(bearer(`Bearer ${unknown}`))).status).toBe(200);
    expect(await lookups()).toBe(once);
  });

  const odd = ['%41', '"quoted"', 'a b', '\xe9', 'a,b', 'a;b', "'", '\\', '\x80\xff'];
  test.each(odd)('bytes that no token has, in other places than Authorization: %j', async value => {
    await rig.denies(request('/api/x', `X-Api-Key: ${value}\r\n`), 'invalid_token');
    if (!/[ \x80-\xff]/.test(value)) await rig.denies(request(`/api/x?auth_token=${value}`), 'invalid_token');
    if (!value.includes(';')) await rig.denies(request('/api/x', `Cookie: api_token=${value}\r\n`), 'invalid_token');
    rig.upstream.requests.length = 0;
  });
  test('NUL is refused as malformed', async () => {
    await rig.refuses(request('/api/x', 'X-Api-Key: a\0b\r\n'), 'malformed_request');
    await rig.refuses(bearer(`Bearer ${rig.tA}\0`), 'malformed_request');
  });
  test('an empty value is no token', async () => {
    for (const bytes of [
      request('/api/x', 'X-Api-Key:\r\n'),
      request('/api/x?auth_token='),
      request('/api/x?auth_token'),
      request('/api/x', 'Cookie: api_token=\r\n'),
      request('/api/x', 'Cookie: api_token\r\n'),
      request('/api/x', 'Sec-WebSocket-Protocol: token.\r\n'),
    ]) {
      await rig.denies(bytes, 'missing_token');
    }
    expect((await rig.ask(request('/api/x?auth_token=', `Cookie: api_token=\r\nX-Api-Key:\r\n${rig.A}`))).status).toBe(
      200,
    );
    rig.upstream.requests.length = 0;
  });
  test('a percent-encoded token is another string', async () => {
    await rig.denies(request(`/api/x?auth_token=${rig.tA.replace('_', '%5F')}`), 'invalid_token');
    rig.upstream.requests.length = 0;
  });
});

describe('the token is cut, and nothing else', () => {
  test.each(['Authorization', 'authorization', 'AUTHORIZATION', 'aUtHoRiZaTiOn'])('from %s', async name => {
    await rig.ask(request('/api/x', `X-A: 1\r\n${name}: Bearer ${rig.tA}\r\nX-B: 2\r\n`));
    expect(sent().get('authorization')).toBeUndefined();
    expect(sent().head).toContain('\r\nX-A: 1\r\nX-B: 2\r\n');
    expectNoSecret(rig.tA);
  });
  test('from a field of its own, with another scheme in Authorization left alone', async () => {
    await rig.ask(request('/api/x', `X-API-KEY: ${rig.tA}\r\nAuthorization: Basic dTpw\r\n`));
    expect([sent().get('x-api-key'), sent().get('authorization')]).toEqual([undefined, 'Basic dTpw']);
    expectNoSecret(rig.tA);
  });

  const queries: [query: string, left: string][] = [
    ['auth_token=T', ''],
    ['auth_token=T&a=1', '?a=1'],
    ['a=1&auth_token=T', '?a=1'],
    ['a=1&auth_token=T&b=2', '?a=1&b=2'],
    ['&auth_token=T', ''],
    ['auth_token=T&', ''],
    ['&&auth_token=T&&', '?&&&'],
    ['a&auth_token=T&a', '?a&a'],
    ['%61uth_token=T&x=%zz'.replace('%zz', '%41'), '?x=%41'],
    ['a=auth_token=1&auth_token=T', '?a=auth_token=1'],
    ['xauth_token=1&auth_token=T&auth_tokenx=2', '?xauth_token=1&auth_tokenx=2'],
    ['auth_token=&auth_token=T', '?auth_token='],
    ['a=1;auth_token=2&auth_token=T', '?a=1;auth_token=2'],
    ['q=%20+%2B\'"{}|^`\\[]&auth_token=T&r=é'.replace('é', '%C3%A9'), '?q=%20+%2B\'"{}|^`\\[]&r=%C3%A9'],
    ['auth_token=T?x=1'.replace('?x=1', ''), ''],
  ];
  test.each(queries)('from the query %s', async (query, left) => {
    expect((await rig.ask(request(`/api/x?${query.replace('=T', `=${rig.tA}`)}`))).status).toBe(200);
    expect(sent().target).toBe(`/api/x${left === '?' ? '' : left}`);
    expectNoSecret(rig.tA);
  });

  const cookies: [line: string, left: string | undefined][] = [
    ['api_token=T', undefined],
    ['a=1; api_token=T; b=2', 'a=1; b=2'],
    ['api_token=T; a=1', 'a=1'],
    ['a=1; api_token=T', 'a=1'],
    ['a=1;api_token=T;b="x y"', 'a=1;b="x y"'],
    [' ;api_token=T; ;', undefined],
    ['a; api_token = T ; =c', 'a; =c'],
    ['api_token=; api_token=T', 'api_token='],
    ['API_TOKEN=1; api_token=T', 'API_TOKEN=1'],
  ];
  test.each(cookies)('from the cookies %s', async (line, left) => {
    const cookie = `Cookie: ${line.replace(/(= ?)T/, `$1${rig.tA}`)}\r\n`;
    expect((await rig.ask(request('/api/x', cookie))).status).toBe(200);
    expect(sent().get('cookie')).toBe(left);
    expectNoSecret(rig.tA);
  });
  test('from one line of two', async () => {
    await rig.ask(request('/api/x', `Cookie: a=1\r\nCookie: b=2; api_token=${rig.tA}\r\ncookie: c=3\r\n`));
    expect(sent().all('cookie')).toEqual(['a=1', 'b=2', 'c=3']);
    expectNoSecret(rig.tA);
  });
  test('from the offered subprotocols', async () => {
    await rig.ask(request('/api/x', `Sec-WebSocket-Protocol: chat, token.${rig.tA},superchat\r\n`));
    expect(sent().get('sec-websocket-protocol')).toBe('chat, superchat');
    expectNoSecret(rig.tA);
  });
  test('from the offered subprotocols, when it is the only one', async () => {
    await rig.ask(request('/api/x', `Sec-WebSocket-Protocol: token.${rig.tA}\r\n`));
    expect(sent().get('sec-websocket-protocol')).toBeUndefined();
    expectNoSecret(rig.tA);
  });

  const referers: [referer: string, left: string | undefined][] = [
    ['http://a/page?auth_token={T}', 'http://a/page'],
    ['http://a/page?x=1&auth_token={T}&y=2#f', 'http://a/page?x=1&y=2#f'],
    ['http://a/page?auth%5Ftoken={T}', 'http://a/page'],
    ['http://a/page?AUTH_TOKEN={T}', 'http://a/page'],
    ['http://a/page?auth_token[]={T}&x', 'http://a/page?x'],
    ['http://a/page?auth_token={T}&auth_token={T}', 'http://a/page'],
    ['http://a/{T}/page', undefined],
    ['http://a/page#{T}', undefined],
    ['http://{T}@a/page', undefined],
    ['http://a/page?other={T}', undefined],
    ['http://a/page?x=1', 'http://a/page?x=1'],
  ];
  test.each(referers)('from Referer %s', async (referer, left) => {
    await rig.ask(request('/api/x', `${rig.A}Referer: ${referer.replaceAll('{T}', rig.tA)}\r\n`));
    expect(sent().get('referer')).toBe(left);
    expectNoSecret(rig.tA);
  });
  test('from Referer, where this request carries another token or none', async () => {
    const referer = `Referer: http://a/page?x=1&auth_token=${rig.tAdmin}\r\n`;
    for (const [target, fields] of [
      ['/api/x', rig.A],
      ['/public/x', ''],
      ['/optional/x', ''],
    ]) {
      rig.upstream.requests.length = 0;
      await rig.ask(request(target!, fields + referer));
      expect(sent().get('referer')).toBe('http://a/page?x=1');
    }
    expectNoSecret(rig.tA, rig.tAdmin);
  });
});

describe('public routes cut tokens of ours, and nothing else', () => {
  test('from every place, valid or not, all of them', async () => {
    const secret = rig.tAdmin;
    await rig.ask(
      request(
        `/public/x?auth_token=${secret}&a=1&auth_token=pst_broken&auth_token=other&AUTH_TOKEN=${secret}`,
        `Authorization: Bearer ${secret}\r\nX-Api-Key: ${secret}\r\nX-Api-Key: other\r\nCookie: a=1; api_token=${secret}; api_token=other\r\nCookie: api_token=${secret}\r\nSec-WebSocket-Protocol: chat, token.${secret}, token.other\r\n`,
      ),
    );
    expect(sent().target).toBe('/public/x?a=1&auth_token=other');
    expect(sent().get('authorization')).toBeUndefined();
    expect(sent().all('x-api-key')).toEqual(['other']);
    expect(sent().all('cookie')).toEqual(['a=1; api_token=other']);
    expect(sent().all('sec-websocket-protocol')).toEqual(['chat, token.other']);
    expect(sent().fields.filter(([name]) => /^x-postern/i.test(name))).toEqual([]);
    expectNoSecret(secret);
  });
  test('from quoted cookies and encoded parameters, which servers read as the same', async () => {
    const encoded = rig.tAdmin.replace('_', '%5F');
    await rig.ask(request(`/public/x?auth_token=${encoded}&a=1`, `Cookie: api_token="${rig.tAdmin}"; a=1\r\n`));
    expect([sent().target, sent().get('cookie')]).toEqual(['/public/x?a=1', 'a=1']);
    expectNoSecret(rig.tAdmin);
  });
  test('what is not ours passes as it is, however it looks', async () => {
    const fields = 'Authorization: Bearer eyJ.e30.x\r\nX-Api-Key: legacy\r\nCookie: api_token=legacy; session=1\r\n';
    expect((await rig.ask(request('/public/x?auth_token=legacy&auth_token[]=1', fields))).status).toBe(200);
    expect(sent().target).toBe('/public/x?auth_token=legacy&auth_token[]=1');
    expect(sent().head).toContain(`\r\n${fields.trimEnd()}\r\n`);
  });
  test('two tokens are no reason to refuse what needs none', async () => {
    expect((await rig.ask(request('/public/x', rig.A + rig.A))).status).toBe(200);
    expectNoSecret(rig.tA);
  });
});

describe('an optional token is judged where there is one', () => {
  test('none: forwarded without identity', async () => {
    expect((await rig.ask(request('/optional/x'))).status).toBe(200);
    expect(sent().fields.filter(([name]) => /^x-postern/i.test(name))).toEqual([]);
  });
  test('a good one: forwarded with identity, without the token', async () => {
    expect((await rig.ask(request('/optional/x', rig.A))).status).toBe(200);
    expect(sent().get('x-postern-token-id')).toMatch(/^tok_/);
    expectNoSecret(rig.tA);
  });
  test('a bad one, or two: refused', async () => {
    await rig.denies(request('/optional/x', 'Authorization: Bearer pst_x\r\n'), 'invalid_token');
    await rig.denies(request('/optional/x', rig.A + rig.A), 'ambiguous_credential');
    rig.upstream.requests.length = 0;
  });
});

describe('a token that is not in force gets one answer, whatever the reason', () => {
  test('expired, not yet valid, disabled, revoked, of a disabled account, unknown', async () => {
    const { postern } = rig;
    const hour = 3_600_000;
    const at = (ms: number) => new Date(Date.now() + ms).toISOString();
    const make = async (spec: Record<string, unknown>) => postern.mint({ permissions: ['api'], ...spec });
    expect((await postern.admin('POST', '/v1/accounts', { id: 'gone', enabled: false })).status).toBe(201);
    const disabled = await make({});
    await postern.admin('POST', `/v1/tokens/${disabled.id}/disable`);
    const revoked = await make({});
    await postern.admin('DELETE', `/v1/tokens/${revoked.id}`);
    const tokens = {
      expired: await make({}),
      early: await make({ not_before: at(hour) }),
      orphan: await make({ owner: 'gone' }),
      disabled,
      revoked,
    };
    const merge = { 'Content-Type': 'application/merge-patch+json' };
    const past = { expires_at: at(-1000) };
    expect((await postern.admin('PATCH', `/v1/tokens/${tokens.expired.id}`, past, merge)).status).toBe(200);
    const answers = new Set<string>();
    for (const { secret } of [...Object.values(tokens), { secret: 'pst_unknown' }]) {
      const answer = await rig.denies(bearer(`Bearer ${secret}`), 'invalid_token');
      const fields = answer.fields.filter(([name]) => !['date', 'x-request-id'].includes(name.toLowerCase()));
      const { request_id: _, ...body } = answer.json();
      answers.add(JSON.stringify([fields, body]));
      rig.upstream.requests.length = 0;
    }
    expect([...answers]).toHaveLength(1);
    const reasons = (await postern.requestLines()).slice(-20).map(line => line['reason']);
    for (const cause of ['expired', 'not_yet_valid', 'account_disabled', 'disabled', 'revoked']) {
      expect(reasons).toContain(`invalid_token_${cause}`);
    }
  });
});
