import { beforeAll, describe, expect, test } from 'vitest';
import { H, useRig } from '../support/rig.ts';

/**
 * A parameter that a rule reads is judged as every upstream would read it, or it is not judged at all: whatever two
 * servers could read differently is refused before a byte of the request reaches the upstream.
 */
const rig = useRig({
  routes: `
  - { path: /q, require: "{param.act}" }
  - { path: /c, require: api }
  - { path: "/c/db.{act}", require: "{act}" }
  - { path: /b, require: "{param.act}", inspect_body: 64KiB }
  - { path: /n, require: "{param.params.act}", inspect_body: 64KiB }
  - { path: /l, require: "{param.params.0}", inspect_body: 64KiB }
  - { path: /m, require: "{param.cmd}", commands: { site.get: api, site.remove: admin }, inspect_body: 64KiB }
  - { path: /s, require: "{param.act}", inspect_body: 64KiB, mode: shadow }
  - { path: /public/**, access: public }`,
});

/** The field that carries a token which reads parameters, whatever the route does. */
let constrained = '';
beforeAll(async () => {
  const { secret } = await rig.postern.mint({ permissions: ['api'], constraints: { params: { act: 'api' } } });
  constrained = `Authorization: Bearer ${secret}\r\n`;
});

const get = (target: string): string => `GET ${target} HTTP/1.1\r\n${H}${rig.A}\r\n`;
const post = (target: string, type: string, body: string): string =>
  `POST ${target} HTTP/1.1\r\n${H}${rig.A}Content-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const form = (target: string, body: string): string => post(target, 'application/x-www-form-urlencoded', body);
const json = (target: string, body: unknown): string =>
  post(target, 'application/json', typeof body === 'string' ? body : JSON.stringify(body));

/** It is permitted, and arrives as it was sent. */
async function passes(bytes: string): Promise<void> {
  rig.upstream.forget();
  const answer = await rig.ask(bytes);
  expect([answer.status, bytes]).toEqual([200, bytes]);
  expect(rig.upstream.only.body.toString('latin1')).toBe(bytes.slice(bytes.indexOf('\r\n\r\n') + 4));
  expect(rig.upstream.only.target).toBe(bytes.split(' ')[1]);
}

describe('a parameter in the query', () => {
  test.each([
    '/q?act=api',
    '/q?x=1&act=api&y=2',
    '/q?%61ct=api',
    '/q?act=%61pi',
    '/q?&&act=api&',
    '/q?x[act]=admin&act=api',
    '/q?x=act=admin&act=api',
    '/q?x=a;b&act=api',
    '/q?active=admin&act=api&activate=x',
  ])('%s is read', target => passes(get(target)));

  test.each([
    ['twice', '/q?act=api&act=admin'],
    ['twice, with one value', '/q?act=api&act=api'],
    ['twice, once empty', '/q?act=api&act='],
    ['twice, once without a value', '/q?act&act=api'],
    ['twice, once with its name encoded', '/q?act=api&%61ct=admin'],
    ['as a list', '/q?act[]=api'],
    ['beside a list', '/q?act=api&act[]=admin'],
    ['beside a list with encoded brackets', '/q?act=api&act%5B%5D=admin'],
    ['beside a map', '/q?act=api&act[x]=admin'],
    ['beside a bracket that is not closed', '/q?act=api&act[=admin'],
    ['in another case', '/q?ACT=api'],
    ['beside another case', '/q?act=api&Act=admin'],
    ['beside another case, encoded', '/q?act=api&%41ct=admin'],
    ['behind a space', '/q?act=api&+act=admin'],
    ['behind an encoded space', '/q?act=api&%20act=admin'],
    ['before a NUL', '/q?act=api&act%00x=admin'],
    ['behind a semicolon', '/q?act=api&x=1;act=admin'],
    ['before a semicolon', '/q?act=api;act=admin'],
    ['with a semicolon in its value', '/q?act=api;x'],
    ['behind a semicolon alone', '/q?x=1;act=api'],
    ['beside a name that is not UTF-8', '/q?act=api&%ff=1'],
    ['beside its overlong spelling', '/q?act=api&%c1%a1ct=admin'],
    ['with a value that is not UTF-8', '/q?act=%ff'],
    ['behind a question mark', '/q??act=admin&act=api'],
    ['behind a question mark alone', '/q??act=api'],
    ['before a question mark', '/q?act=api&?act=admin'],
    ['behind an encoded question mark', '/q?%3fact=admin&act=api'],
    ['in brackets', '/q?[act]=api'],
    ['beside brackets', '/q?act=api&[act]=admin'],
    ['beside encoded brackets', '/q?act=api&%5bact%5d=admin'],
    ['before a bracket that closes nothing', '/q?act=api&act]=admin'],
    ['behind a bracket that closes nothing', '/q?act=api&]act=admin'],
    ['in brackets behind a question mark', '/q??[act]=admin&act=api'],
    ['not at all', '/q'],
    ['not at all, but another', '/q?action=api'],
    ['empty', '/q?act='],
    ['without a value', '/q?act'],
    ['as a wildcard', '/q?act=*'],
    ['as an encoded wildcard', '/q?act=%2a'],
    ['with a separator', '/q?act=api:x'],
    ['with another separator', '/q?act=a.pi'],
    ['with a control character', '/q?act=api%0d%0a'],
    ['with a NUL', '/q?act=api%00'],
    ['with a space', '/q?act=api+'],
    ['beyond ASCII', '/q?act=%c3%a1pi'],
    ['as digits', '/q?act=1'],
    ['too long', `/q?act=${'a'.repeat(257)}`],
  ])('that stands %s is refused', async (_, target) => {
    await rig.refuses(get(target), 'malformed_request');
  });

  test.each(['/q?act=admin', '/q?act=API', '/q?act=__proto__', '/q?act=constructor', '/q?act=%2561pi'])(
    '%s asks for another permission',
    async target => {
      await rig.denies(get(target), 'insufficient_scope');
    },
  );

  test.each([
    'text/plain;charset=utf-7',
    "text/plain;charset*=utf-8''utf-7",
    'text/plain; charset=utf-8; charset=utf-7',
    'text/plain; x="; charset=utf-7"',
    'application/x-www-form-urlencoded; charset=utf-16',
    'text/plain, text/plain; charset=utf-7',
  ])('that a server would decode by %s is refused, also without a body', async type => {
    for (const target of ['/q?act=api', '/q?act=api&+AGE-ct=admin', '/b?act=api', '/c?act=api']) {
      for (const more of ['', 'Content-Length: 0\r\n']) {
        const fields = `${H}${target.startsWith('/c') ? constrained : rig.A}Content-Type: ${type}\r\n${more}`;
        await rig.denies(`GET ${target} HTTP/1.1\r\n${fields}\r\n`, 'malformed_request');
      }
    }
  });

  test.each([
    'act=admin',
    'x=1; act=admin',
    'act[]=admin',
    'ACT=admin',
    '%61ct=admin',
    'act',
    'x=1, act=admin',
    'act=api',
  ])('beside the cookie %s is refused', async cookie => {
    for (const target of ['/q?act=api', '/b?act=api', '/q']) {
      await rig.denies(`GET ${target} HTTP/1.1\r\n${H}${rig.A}Cookie: ${cookie}\r\n\r\n`, 'malformed_request');
    }
    await rig.denies(json('/b', { act: 'api' }).replace(H, `${H}Cookie: ${cookie}\r\n`), 'malformed_request');
    await rig.denies(`GET /c?act=api HTTP/1.1\r\n${H}${constrained}Cookie: ${cookie}\r\n\r\n`, 'malformed_request');
  });

  test('beside other cookies is read, and where nothing is read they may have any name', async () => {
    await passes(`GET /q?act=api HTTP/1.1\r\n${H}${rig.A}Cookie: sid=act; acts=1\r\n\r\n`);
    await passes(`GET /c?act=x HTTP/1.1\r\n${H}${rig.A}Cookie: act=admin\r\n\r\n`);
  });

  test('among more than some servers read is refused', async () => {
    await passes(get(`/q?${'a&'.repeat(999)}act=api`));
    await rig.denies(get(`/q?${'a&'.repeat(1000)}act=api`), 'malformed_request');
    await rig.denies(get(`/q?${'&'.repeat(1000)}act=api`), 'malformed_request');
    await rig.denies(get(`/q?act=api${'&a'.repeat(1000)}`), 'malformed_request');
    await rig.denies(form('/b', `${'a&'.repeat(1000)}act=api`), 'malformed_request');
    await rig.denies(form(`/b?${'a&'.repeat(600)}`, `${'a&'.repeat(600)}act=api`), 'malformed_request');
  });

  test('beside a Content-Type that all servers read alike is read, and one that reads no parameters takes any', async () => {
    await passes(`GET /q?act=api HTTP/1.1\r\n${H}${rig.A}Content-Type: text/plain; charset=utf-8\r\n\r\n`);
    await passes(`GET /c?act=x HTTP/1.1\r\n${H}${rig.A}Content-Type: text/plain; charset=utf-7\r\n\r\n`);
    await passes(`GET /c?act=api HTTP/1.1\r\n${H}${constrained}\r\n`);
  });

  test('may stand in a body that is not looked into: then nothing is judged', async () => {
    await rig.denies(form('/q?act=api', 'act=admin'), 'unsupported_media');
    await rig.denies(form('/q', 'act=api'), 'unsupported_media');
    await rig.denies(json('/q?act=api', '{}'), 'unsupported_media');
  });
});

describe('a part of the path', () => {
  test('is read', () => passes(get('/c/db.api')));
  test('asks for another permission', async () => {
    await rig.denies(get('/c/db.admin'), 'insufficient_scope');
  });
  test.each(['/c/db.', '/c/db.*', '/c/db.%2a', '/c/db.a.pi', '/c/db.a:pi', '/c/db.%C3%A1pi', '/c/db.%0A', '/c/db.7'])(
    '%s is refused',
    async target => {
      await rig.refuses(get(target), 'malformed_request');
    },
  );
});

describe('a parameter in a form', () => {
  test.each(['act=api', 'x=1&act=api', '%61ct=%61pi', 'x=%e9&act=api', 'x=100%&act=api', 'x=\u00c3\u00a9&act=api'])(
    '%s is read',
    body => passes(form('/b', body)),
  );

  test.each([
    ['twice', 'act=api&act=admin'],
    ['as a list', 'act[]=api'],
    ['in another case', 'act=api&ACT=admin'],
    ['behind a semicolon', 'act=api;act=admin'],
    ['beside a name that is encoded badly', 'act=api&%=1'],
    ['with a value that is encoded badly', 'act=api%'],
    ['with the end of a line', 'act=api\r\n'],
    ['with a nested name', 'params[act]=api'],
    ['beside a charset of its own', 'act=api&_charset_=utf-7'],
    ['behind a question mark', '?act=admin&act=api'],
    ['behind a hash', '#act=admin&act=api'],
    ['beside brackets', 'act=api&[act]=admin'],
    ['before a bracket', 'act=api&act]=admin'],
    ['not at all', 'x=1'],
  ])('that stands %s is refused', async (_, body) => {
    await rig.refuses(form('/b', body), 'malformed_request');
  });

  test.each([
    ['act=api', '/b?act=admin'],
    ['act=api', '/b?act=api'],
    ['act=api', '/b?ACT=admin'],
    ['act=api', '/b?act[]=admin'],
    ['act=api', '/b?act'],
    ['act[]=api', '/b?act=api'],
    ['x=1;act=admin', '/b?act=api'],
    ['act=api', '/b??act=admin'],
    ['?act=admin', '/b?act=api'],
    ['x=1&[act]=admin', '/b?act=api'],
  ])('%s beside %s is refused', async (body, target) => {
    await rig.refuses(form(target, body), 'malformed_request');
  });

  test('may stand in the query alone', () => passes(form('/b?act=api', 'x=1')));
});

describe('a parameter in JSON', () => {
  test.each<[string, unknown]>([
    ['/b', { act: 'api' }],
    ['/b', { x: { act: 'admin' }, act: 'api' }],
    ['/b', '{"\\u0061ct":"\\u0061pi"}'],
    ['/b', ' {"act" : "api"}\n'],
    ['/b?x=1', { act: 'api' }],
    ['/b?act=api', { x: 1 }],
    ['/b?act=api', {}],
    ['/n', { params: { act: 'api', x: [] }, act: 'admin' }],
    ['/l', { params: ['api', 'admin'] }],
    ['/l', { params: { 0: 'api' } }],
  ])('%s %j is read', (target, body) => passes(json(target, body)));

  test.each<[string, string, unknown]>([
    ['null', '/b', { act: null }],
    ['a list', '/b', { act: ['api'] }],
    ['a map', '/b', { act: { api: true } }],
    ['a number', '/b', { act: 1 }],
    ['missing', '/b', { action: 'api' }],
    ['empty', '/b', { act: '' }],
    ['in another case', '/b', { ACT: 'api' }],
    ['beside another case', '/b', { act: 'api', Act: 'admin' }],
    ['beside a bracket', '/b', { act: 'api', 'act[]': 'admin' }],
    ['beside a bracketed map', '/b', { act: 'api', 'act[x]': 'admin' }],
    ['beside brackets around it', '/b', { act: 'api', '[act]': 'admin' }],
    ['beside a bracket behind it', '/b', { act: 'api', 'act]': 'admin' }],
    ['beside a question mark', '/b', { act: 'api', '?act': 'admin' }],
    ['nested, and its parent in brackets', '/n', { params: { act: 'api' }, '[params][act]': 'admin' }],
    ['nested, and bracketed within', '/n', { params: { act: 'api', '[act]': 'admin' } }],
    ['nested, and its parent in brackets in the query', '/n?[params][act]=admin', { params: { act: 'api' } }],
    ['beside a NUL', '/b', { act: 'api', 'act\0': 'admin' }],
    ['in the query, too', '/b?act=admin', { act: 'api' }],
    ['in the query, too, the same', '/b?act=api', { act: 'api' }],
    ['in the query in another case, too', '/b?ACT=admin', { act: 'api' }],
    ['null, and in the query', '/b?act=api', { act: null }],
    ['in text', '/b', '"act=api"'],
    ['beside what is a list to Rails', '/b', { act: 'api', _json: [{ act: 'admin' }] }],
    ['in the query beside what is a list to Rails', '/b?act=api', { _json: [{ act: 'admin' }] }],
    ['beside what is a list to Rails, in the query', '/b?_json[][act]=admin', [{ act: 'api' }]],
    ['beside a charset of its own', '/b', { act: 'api', _charset_: 'utf-7' }],
    ['in a number', '/b', '7'],
    ['in null', '/b', 'null'],
    ['in the query of a body that is no object', '/b?act=api', '"x"'],
    ['nested in text', '/n', { params: '{"act":"api"}' }],
    ['nested in null', '/n', { params: null }],
    ['nested in a list', '/n', { params: ['api'] }],
    ['nested, and dotted', '/n', { params: { act: 'api' }, 'params.act': 'admin' }],
    ['dotted', '/n', { 'params.act': 'api' }],
    ['nested, and bracketed', '/n', { params: { act: 'api' }, 'params[act]': 'admin' }],
    ['nested in another case', '/n', { params: { act: 'api' }, Params: { act: 'admin' } }],
    ['nested, and another case within', '/n', { params: { act: 'api', ACT: 'admin' } }],
    ['nested, and missing', '/n', { params: {} }],
    ['nested, and in the query', '/n?params[act]=admin', { params: { act: 'api' } }],
    ['nested, and dotted in the query', '/n?params.act=admin', { params: { act: 'api' } }],
    ['nested, and its parent in the query', '/n?PARAMS=x', { params: { act: 'api' } }],
    ['behind the end of a list', '/l', { params: [] }],
    ['an index of text', '/l', { params: 'api' }],
  ])('that is %s is refused', async (_, target, body) => {
    await rig.refuses(json(target, body), 'malformed_request');
  });

  test.each([
    '{"act":"api","act":"admin"}',
    '{"act":"admin","\\u0061ct":"api"}',
    '{"act":"api","__proto__":{"act":"admin"}}',
  ])('%s is no JSON that is taken', async body => {
    await rig.denies(json('/b', body), 'unsupported_media');
  });
});

describe('a batch', () => {
  const call = (act: unknown) => ({ method: 'x', act });
  test('of permitted calls passes', () => passes(json('/b', [call('api'), call('api')])));
  test('of one call passes', () => passes(json('/b', [call('api')])));
  test('takes what stands in the query for all of its calls', () => passes(json('/b?act=api', [{}, {}])));
  test('of thousands of equal calls passes, and they are one demand', async () => {
    const body = JSON.stringify(Array.from({ length: 4000 }, () => ({ act: 'api' })));
    await passes(json('/b', body));
    expect(rig.upstream.only.get('x-postern-permission')).toBe('api');
  });
  test.each([0, 1, 2])('with one forbidden call at %i is refused whole', async at => {
    const calls = [call('api'), call('api')];
    calls.splice(at, 0, call('admin'));
    const answer = await rig.denies(json('/b', calls), 'insufficient_scope');
    expect(answer.json()['required']).toEqual(['admin']);
  });
  test.each<[string, string, unknown]>([
    ['no call', '/b', []],
    ['no call, and a parameter in the query', '/b?act=api', []],
    ['a call that is no object', '/b', [call('api'), 'x']],
    ['a call that is null', '/b?act=api', [null]],
    ['a call that is a list', '/b', [[call('api')]]],
    ['a call without the parameter', '/b', [call('api'), {}]],
    ['a call with the parameter in another case', '/b', [call('api'), { ...call('api'), ACT: 'admin' }]],
    ['a call that says again what the query says', '/b?act=api', [{}, call('admin')]],
    ['a call with a null', '/b', [call(null)]],
    ['too many different calls', '/b', Array.from({ length: 1001 }, (_, i) => call(`a${i}`))],
  ])('with %s is refused', async (_, target, body) => {
    await rig.refuses(json(target, body), 'malformed_request');
  });
});

describe('a command', () => {
  test.each(['/m?cmd=site.get'])('%s needs the action of the table', target => passes(get(target)));
  test('in a form and in JSON, too', async () => {
    await passes(form('/m', 'cmd=site.get&x=1'));
    await passes(json('/m', { cmd: 'site.get' }));
    await passes(json('/m', [{ cmd: 'site.get' }, { cmd: 'site.get' }]));
  });
  test.each([
    ['another action', '/m?cmd=site.remove', ['admin']],
    ['one that is not listed', '/m?cmd=site.add', []],
    ['another case', '/m?cmd=SITE.get', []],
    ['what every object has', '/m?cmd=constructor', []],
    ['a name with a meaning', '/m?cmd=__proto__', []],
    ['the action itself', '/m?cmd=api', []],
    ['a space behind', '/m?cmd=site.get+', []],
  ])('with %s is forbidden', async (_, target, required) => {
    const answer = await rig.denies(get(target), 'insufficient_scope');
    expect(answer.json()['required']).toEqual(required);
  });
  test.each(['/m', '/m?cmd=', '/m?cmd=*', '/m?cmd=site.get&cmd=site.remove', `/m?cmd=${'a'.repeat(300)}`])(
    '%s is refused',
    async target => {
      await rig.refuses(get(target), 'malformed_request');
    },
  );
  test('one that is not listed, in a batch, forbids it whole', async () => {
    await rig.denies(json('/m', [{ cmd: 'site.get' }, { cmd: 'site.other' }]), 'insufficient_scope');
  });
});

describe('a route in shadow mode', () => {
  test.each(['/s?act=api', '/s?act=admin'])('%s is forwarded, permitted or not', target => passes(get(target)));
  test('and a batch with a forbidden call, as it came', () => passes(json('/s', [{ act: 'api' }, { act: 'admin' }])));
  test('but what is ambiguous is refused all the same', async () => {
    await rig.refuses(get('/s?act=api&act=admin'), 'malformed_request');
    await rig.refuses(json('/s', []), 'malformed_request');
    await rig.denies(post('/s', 'text/plain', 'act=api'), 'unsupported_media');
  });
});
