import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { RawClient } from '../support/raw-client.ts';
import { H, useRig } from '../support/rig.ts';

/** Bodies that rules read: understood in one way or refused, and sent on byte for byte, framed as they came. */

const limit = 1024;
const routes = `
  - { path: /b, require: "{param.act}", inspect_body: ${limit}B }
  - { path: /small, require: api, inspect_body: 1KiB, max_body: 10B }
  - { path: /w, require: api, inspect_body: 64KiB }
  - { path: /admin, require: admin, inspect_body: 64KiB }
  - { path: /maybe, access: optional, inspect_body: 64KiB }
  - { path: /api/**, require: api }
  - { path: /public/**, access: public }`;
const rig = useRig({ routes, upstreamMembers: 'max_connections: 1' });

const json = 'Content-Type: application/json\r\n';
const urlencoded = 'Content-Type: application/x-www-form-urlencoded\r\n';
const head = (fields: string, target = '/b', method = 'POST'): string =>
  `${method} ${target} HTTP/1.1\r\n${H}${rig.A}${fields}\r\n`;
const sized = (fields: string, body: string, target?: string): string =>
  `${head(`${fields}Content-Length: ${body.length}\r\n`, target)}${body}`;
const chunks = (...pieces: string[]): string =>
  `${pieces.map(piece => `${piece.length.toString(16)}\r\n${piece}\r\n`).join('')}0\r\n\r\n`;
const chunked = 'Transfer-Encoding: chunked\r\n';
const body = '{"act":"api"}';
const inStep = `GET /public/next HTTP/1.1\r\n${H}\r\n`;
const latin1 = (bytes: Buffer): string => bytes.toString('latin1');

/** What is announced and does not come is refused in one answer, and the connection ends. */
async function endsWith(status: number, bytes: string, on = rig, continued = false): Promise<void> {
  const client = await on.send(bytes);
  if (continued) expect((await client.answer()).status).toBe(100);
  const answer = await client.answer();
  expect([answer.status, answer.get('connection')]).toEqual([status, 'close']);
  client.end();
  await client.untilClosed();
  expect(client.text, 'bytes behind the answer').toBe('');
}

async function next(client: RawClient): Promise<void> {
  client.write(inStep);
  expect((await client.answer()).status).toBe(200);
}

describe('a body that is understood', () => {
  test.each<[string, string, string]>([
    ['JSON', json, body],
    ['JSON with a charset', 'Content-Type: application/json; charset=utf-8\r\n', body],
    ['JSON with a quoted charset', 'Content-Type: Application/JSON;charset="UTF-8"\r\n', body],
    ['JSON of a kind', 'content-type: application/vnd.api+json\r\n', body],
    ['JSON as it is', `${json}Content-Encoding: identity\r\n`, body],
    ['JSON with white space', json, ` \r\n${body}\t\n`],
    ['JSON beyond ASCII', json, '{"x":"\u00c3\u00a9","act":"api"}'],
    ['a form', urlencoded, 'act=api&x=1'],
    ['a form with a charset', 'Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\n', 'act=api'],
  ])('%s arrives as it was sent, by length', async (_, fields, text) => {
    const client = await rig.send(sized(fields, text));
    expect((await client.answer()).status).toBe(200);
    const { only } = rig.upstream;
    expect([latin1(only.body), only.get('content-length'), only.get('transfer-encoding')]).toEqual([
      text,
      String(text.length),
      undefined,
    ]);
    await next(client);
  });

  test('in chunks arrives in chunks', async () => {
    const client = await rig.send(`${head(json + chunked)}${chunks('{"act"', ':"api"}')}`);
    expect((await client.answer()).status).toBe(200);
    const { only } = rig.upstream;
    expect([latin1(only.body), only.get('content-length'), only.get('transfer-encoding')]).toEqual([
      body,
      undefined,
      'chunked',
    ]);
    await next(client);
  });

  test('arrives whole wherever the client divides what it sends', async () => {
    const whole = `${head(json + chunked)}${chunks('{"act"', ':"api"}')}`;
    const from = whole.indexOf('\r\n\r\n');
    for (let at = from; at < whole.length; at++) {
      rig.upstream.forget();
      const client = await rig.send(whole.slice(0, at));
      await new Promise(resolve => setImmediate(resolve));
      client.write(whole.slice(at));
      expect([at, (await client.answer()).status]).toEqual([at, 200]);
      expect(latin1(rig.upstream.only.body)).toBe(body);
      client.destroy();
    }
  });

  test('of exactly inspect_body is taken, by length and in chunks of one byte', async () => {
    const full = `{"act":"api"${' '.repeat(limit - body.length)}}`;
    expect((await rig.ask(sized(json, full))).status).toBe(200);
    expect(latin1(rig.upstream.only.body)).toBe(full);
    rig.upstream.forget();
    expect((await rig.ask(`${head(json + chunked)}${chunks(...full)}`)).status).toBe(200);
    expect(latin1(rig.upstream.only.body)).toBe(full);
  });

  test('is counted once', async () => {
    await rig.ask(sized(json, body));
    await expect.poll(async () => (await rig.postern.requestLines()).at(-1)?.['bytes_in']).toBe(body.length);
  });

  test('that is empty is none, and is framed as it would be without being read', async () => {
    for (const target of ['/w', '/api/x']) {
      for (const [framing, method] of [
        [chunked, 'POST'],
        ['Content-Length: 0\r\n', 'POST'],
        ['', 'GET'],
      ] as const) {
        rig.upstream.forget();
        const end = framing === chunked ? '0\r\n\r\n' : '';
        expect((await rig.ask(head(json + framing, target, method) + end)).status).toBe(200);
        const { only } = rig.upstream;
        expect([only.get('content-length'), only.body.length]).toEqual([method === 'POST' ? '0' : undefined, 0]);
      }
    }
  });

  test('of a request without a token is read where a token is optional', async () => {
    const bytes = `POST /maybe HTTP/1.1\r\n${H}${json}Content-Length: 2\r\n\r\n{}`;
    expect((await rig.ask(bytes)).status).toBe(200);
    expect(latin1(rig.upstream.only.body)).toBe('{}');
    await rig.denies(bytes.replace('{}', '{]'), 'unsupported_media');
  });

  test('is followed by the next request, which is judged by itself', async () => {
    const client = await rig.send(`${sized(json, body)}${sized(json, '{"act":"admin"}')}${inStep}`);
    expect((await client.answer()).status).toBe(200);
    expect((await client.answer()).status).toBe(403);
    expect((await client.answer()).status).toBe(200);
    expect(rig.upstream.requests.map(({ target }) => target)).toEqual(['/b', '/public/next']);
  });

  test('that looks like a request is one body, and bytes behind it are another request', async () => {
    const smuggled = `{"act":"api","x":"${'x'.repeat(10)}"}`;
    const client = await rig.send(`${sized(json, smuggled)}GET /admin HTTP/1.1\r\n${H}${rig.A}\r\n`);
    expect((await client.answer()).status).toBe(200);
    expect((await client.answer()).status).toBe(403);
    expect(rig.upstream.requests.map(({ target }) => target)).toEqual(['/b']);
  });
});

describe('a body that is not understood is refused, and nothing of the request arrives', () => {
  const bytesOf = (text: string, encoding: BufferEncoding): string => latin1(Buffer.from(text, encoding));
  const multipart = '--x\r\nContent-Disposition: form-data; name="act"\r\n\r\napi\r\n--x--\r\n';
  test.each<[string, string, string]>([
    ['no type', '', body],
    ['an empty type', 'Content-Type:\r\n', body],
    ['two types', `${json}${json}`, body],
    ['two types in a list', 'Content-Type: application/json, application/json\r\n', body],
    ['two types, one underscored', `${json}Content_Type: application/x-www-form-urlencoded\r\n`, body],
    ['text', 'Content-Type: text/plain\r\n', body],
    ['text that ends in json', 'Content-Type: text/x+json\r\n', body],
    ['lines of JSON', 'Content-Type: application/x-ndjson\r\n', body],
    ['no name of a type', 'Content-Type: application/ json\r\n', body],
    ['something behind the type', 'Content-Type: application/json x\r\n', body],
    ['another charset', 'Content-Type: application/json; charset=utf-16\r\n', body],
    ['two charsets', 'Content-Type: application/json; charset=utf-8; charset=utf-7\r\n', body],
    ['another charset of a form', 'Content-Type: application/x-www-form-urlencoded; charset=iso-8859-1\r\n', 'act=api'],
    ['an extended charset', "Content-Type: application/json; charset*=utf-8''utf-7\r\n", body],
    ['an extended charset beside one', 'Content-Type: application/json; charset=utf-8; charset*=utf-7\r\n', body],
    ['a charset that is no UTF-8 to all', 'Content-Type: application/json; charset=utf8\r\n', body],
    ['one charset twice', 'Content-Type: application/json; charset=utf-8; charset=utf-8\r\n', body],
    ['another parameter', 'Content-Type: application/json; profile="a;b" ; v=1\r\n', body],
    ['another type in a parameter', 'Content-Type: application/json; x="application/x-www-form-urlencoded"\r\n', body],
    [
      'a form with JSON in a parameter',
      'Content-Type: application/x-www-form-urlencoded; a=application/json\r\n',
      'act=api',
    ],
    ['parts in a parameter', 'Content-Type: application/json; boundary=x; x=multipart/form-data\r\n', body],
    ['parts', 'Content-Type: multipart/form-data; boundary=x\r\n', multipart],
    ['gzip', `${json}Content-Encoding: gzip\r\n`, latin1(gzipSync(body))],
    ['gzip that is none', `${json}Content-Encoding: gzip\r\n`, body],
    ['a list of encodings', `${json}Content-Encoding: identity, gzip\r\n`, body],
    ['two encodings', `${json}Content-Encoding: identity\r\nContent-Encoding: identity\r\n`, body],
    ['an underscored encoding', `${json}Content_Encoding: gzip\r\n`, body],
    ['a byte order mark', json, `\u00ef\u00bb\u00bf${body}`],
    ['a byte order mark before a form', urlencoded, '\u00ef\u00bb\u00bfact=api'],
    ['UTF-16', json, bytesOf(body, 'utf16le')],
    ['UTF-16 with a mark', json, `\u00ff\u00fe${bytesOf(body, 'utf16le')}`],
    ['Latin-1', json, '{"act":"api","x":"\u00e9"}'],
    ['an overlong form', json, '{"\u00c1\u00a1ct":"api","act":"api"}'],
    ['half a surrogate in UTF-8', json, '{"act":"api","x":"\u00ed\u00a0\u0080"}'],
    ['half a surrogate in a name', json, '{"act":"api","act\\ud800":"admin"}'],
    ['half a surrogate in a name deep within', json, '{"act":"api","x":[{"\\udc00":1}]}'],
    ['a Latin-1 form', urlencoded, 'act=api&x=\u00e9'],
    ['two members of one name', json, '{"act":"api","act":"api"}'],
    ['a comment', json, '{"act":"api"/**/}'],
    ['a comma too many', json, '{"act":"api",}'],
    ['single quotes', json, "{'act':'api'}"],
    ['something behind', json, '{"act":"api"}{"act":"admin"}'],
    ['a NUL behind', json, '{"act":"api"}\0'],
    ['only white space', json, '  '],
    ['JSON cut off', json, '{"act":"api"'],
    ['65 levels', json, `{"act":"api","x":${'['.repeat(64)}${']'.repeat(64)}}`],
    ['a number that is not exact', json, '{"act":"api","x":9007199254740993}'],
    ['a number beyond all', json, '{"act":"api","x":1e999}'],
    ['a prototype', json, '{"act":"api","__proto__":{}}'],
    ['JSON as a form', urlencoded, body],
    ['a list as a form', urlencoded, ` [${body}]`],
  ])('%s', async (_, fields, text) => {
    await rig.denies(sized(fields, text), 'unsupported_media');
    await rig.denies(`${head(fields + chunked)}${chunks(text)}`, 'unsupported_media');
  });

  test('whatever it is for: it is said before the client sends it', async () => {
    const types = ['', 'Content-Type: text/plain\r\n', `${json}Content-Encoding: br\r\n`];
    const announced = types.map(fields => head(`${fields}Expect: 100-continue\r\nContent-Length: 13\r\n`));
    await Promise.all(announced.map(bytes => endsWith(415, bytes)));
    expect(rig.upstream.bytes).toBe('');
  });
});

describe('a body that is too large', () => {
  test('by its length is refused before it is read, without 100', async () => {
    await endsWith(413, head(`${json}Expect: 100-continue\r\nContent-Length: ${limit + 1}\r\n`));
    await rig.refuses(sized(json, ' '.repeat(limit + 1)), 'body_too_large');
  });
  test('in chunks is refused where it crosses the bound, and nothing of it arrives', async () => {
    await rig.refuses(`${head(json + chunked)}${chunks(' '.repeat(limit), ' ')}`, 'body_too_large');
    await endsWith(413, `${head(json + chunked)}${(limit + 1).toString(16)}\r\n${' '.repeat(limit + 1)}`);
    expect(rig.upstream.bytes).toBe('');
  });
  test('by max_body, which is the smaller one', async () => {
    expect((await rig.ask(sized(json, '{"x":1}   ', '/small'))).status).toBe(200);
    rig.upstream.forget();
    await rig.refuses(sized(json, '{"x":1}    ', '/small'), 'body_too_large');
    await rig.refuses(`${head(json + chunked, '/small')}${chunks('{"x":1}', '    ')}`, 'body_too_large');
  });
  test('by its values, few as its bytes are, whatever of it is read', async () => {
    const list = (values: number): string => `[${'0,'.repeat(values - 2)}0]`;
    expect((await rig.ask(sized(json, list(10_000), '/w'))).status).toBe(200);
    rig.upstream.forget();
    await rig.denies(sized(json, list(10_001), '/w'), 'body_too_large');
    await rig.denies(sized(json, `{"act":"api","x":[${'{},'.repeat(10_000)}{}]}`, '/w'), 'body_too_large');
    await rig.denies(`${head(json + chunked, '/w')}${chunks(list(10_001))}`, 'body_too_large');
    await rig.denies(sized(json, `{"a":1,${'"a":1,'.repeat(10_000)}"a":1}`, '/w'), 'unsupported_media');
  });
  test('is not read on', async () => {
    const client = await rig.send(head(json + chunked));
    const piece = `10000\r\n${' '.repeat(1 << 16)}\r\n`;
    for (let sent = 0; !client.closed && !client.ended; sent += piece.length) {
      expect(sent, 'bytes that were still taken').toBeLessThan(64 << 20);
      if (!client.write(piece)) {
        await Promise.race([client.untilClosed(), new Promise(resolve => client.socket.once('drain', resolve))]);
      }
    }
    expect(client.text).toMatch(/^HTTP\/1\.1 413 /);
  });
});

describe('100-continue', () => {
  test('is said once, before the body is read', async () => {
    for (const framing of [`Content-Length: ${body.length}\r\n`, chunked]) {
      rig.upstream.forget();
      const client = await rig.send(head(`${json}Expect: 100-continue\r\n${framing}`));
      expect((await client.answer()).status).toBe(100);
      expect([client.text, rig.upstream.bytes]).toEqual(['', '']);
      client.write(framing === chunked ? chunks(body) : body);
      expect((await client.answer()).status).toBe(200);
      expect(latin1(rig.upstream.only.body)).toBe(body);
      expect(rig.upstream.only.get('expect')).toBeUndefined();
      await next(client);
    }
  });
  test('is not said to a token that is no good, and its body is not read', async () => {
    const tokens = ['', 'Authorization: Bearer pst_x\r\n'];
    const asks = `${json}Expect: 100-continue\r\nContent-Length: 13\r\n\r\n`;
    await Promise.all(tokens.map(fields => endsWith(401, `POST /b HTTP/1.1\r\n${H}${fields}${asks}`)));
  });
  test('is said where the permission depends on the body; then it is refused', async () => {
    const client = await rig.send(head(`${json}Expect: 100-continue\r\nContent-Length: 15\r\n`));
    expect((await client.answer()).status).toBe(100);
    client.write('{"act":"admin"}');
    expect((await client.answer()).status).toBe(403);
    await next(client);
  });
});

describe('a client that does not send its body to the end', () => {
  test('and goes: nothing arrives, and it is recorded as aborted', async () => {
    for (const [framing, part] of [
      ['Content-Length: 13\r\n', body.slice(0, 5)],
      ['Content-Length: 13\r\n', ''],
      [chunked, '5\r\n{"act'],
    ] as const) {
      for (const leave of ['end', 'reset'] as const) {
        const before = (await rig.postern.requestLines()).length;
        const client = await rig.send(head(json + framing) + part);
        // Half of it was read.
        await expect.poll(() => rig.postern.metric('postern_connections{listener="proxy"}')).toBeGreaterThan(0);
        client[leave]();
        await expect.poll(async () => (await rig.postern.requestLines()).length).toBe(before + 1);
        const line = (await rig.postern.requestLines()).at(-1);
        expect([line?.['status'], line?.['outcome'], line?.['upstream']]).toEqual([499, 'aborted', null]);
        client.destroy();
      }
    }
    expect(rig.upstream.bytes).toBe('');
  });
  test.each([
    ['a chunk that is none', 'x\r\n'],
    ['a chunk longer than it says', '2\r\n{"act":"api"}\r\n0\r\n\r\n'],
    ['two lengths of a chunk', 'd 1\r\n{"act":"api"}\r\n0\r\n\r\n'],
  ])('but %s: nothing arrives', async (_, bytes) => {
    await rig.refuses(head(json + chunked) + bytes, 'malformed_request');
  });
});

test('a request with a body is not sent again, though it is known by heart', async () => {
  let seen = 0;
  rig.upstream.script = ({ socket, request, write }) => {
    seen++;
    if (request.method === 'GET') write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    else socket.resetAndDestroy();
  };
  const client = await rig.send(inStep);
  expect((await client.answer()).status).toBe(200);
  client.write(sized(json, body).replace('POST', 'PUT'));
  expect((await client.answer()).status).toBe(502);
  expect(seen).toBe(2);
});

test('a token that is revoked while its body comes in is refused, and nothing arrives', async () => {
  const { id, secret } = await rig.postern.mint({ permissions: ['api'] });
  const request = sized(json, body).replace(rig.tA, secret);
  const client = await rig.send(request.slice(0, -5));
  const waiting = await rig.send(request.slice(0, -body.length).replace(json, `${json}Expect: 100-continue\r\n`));
  expect((await waiting.answer()).status).toBe(100);
  expect((await rig.postern.admin('DELETE', `/v1/tokens/${id}`)).status).toBe(200);
  client.write(request.slice(-5));
  waiting.write(body);
  expect((await client.answer()).status).toBe(401);
  expect((await waiting.answer()).status).toBe(401);
  expect(rig.upstream.bytes).toBe('');
});

test('a stream whose body was read goes on for what its token asked of the body, and ends when it asks more', async () => {
  const constraints = { params: { act: 'api' } };
  const tokens = await Promise.all([1, 2].map(() => rig.postern.mint({ permissions: ['api'], constraints })));
  rig.upstream.script = ({ write }) =>
    write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n');
  const clients = await Promise.all(
    tokens.map(({ secret }) =>
      rig.send(sized(json, '[{"act":"api","x":1},{"act":"api"}]', '/w').replace(rig.tA, secret)),
    ),
  );
  for (const client of clients) await client.until(({ text }) => text.includes('one'));
  const [kept, cut] = clients;
  const change = async (i: number, params: object): Promise<void> => {
    const answer = await rig.postern.admin('PATCH', `/v1/tokens/${tokens[i]!.id}`, { constraints: { params } });
    expect(answer.status, answer.text).toBe(200);
  };
  await change(0, { act: 'api' });
  // Judged behind the first: when this one is cut, the first has been judged.
  await change(1, { act: 'api', y: '1' });
  await cut!.untilClosed(5000);
  expect(kept!.ended || kept!.closed).toBe(false);
  await change(0, { act: 'other' });
  await kept!.untilClosed(5000);
});

describe('where bodies are timed', () => {
  const slow = useRig({ routes, proxyMembers: 'body_timeout: 300ms' });
  test('one that comes too slowly is 408, and nothing arrives', async () => {
    const start = `POST /b HTTP/1.1\r\n${H}${slow.A}${json}`;
    const starts = [`Content-Length: 13\r\n\r\n{"act"`, `${chunked}\r\n1\r\n{\r\n`].map(rest => start + rest);
    const told = endsWith(408, `${start}Content-Length: 13\r\nExpect: 100-continue\r\n\r\n`, slow, true);
    await Promise.all([...starts.map(bytes => endsWith(408, bytes, slow)), told]);
    expect(slow.upstream.bytes).toBe('');
  });
});

describe('a token in a body', () => {
  const forms = useRig({
    routes,
    more: 'credentials: [{ header: authorization, scheme: Bearer }, { query: auth_token }, { form: auth_token }]',
  });
  const post = (target: string, type: string, text: string, fields = ''): string =>
    `POST ${target} HTTP/1.1\r\n${H}${fields}${type}Content-Length: ${text.length}\r\n\r\n${text}`;

  test('is found in a form and in JSON, and stays there', async () => {
    for (const [type, text] of [
      [urlencoded, `act=api&auth_token=${forms.tA}`],
      [urlencoded, `%61uth_token=${forms.tA}&act=api`],
      [urlencoded, `auth_token=&act=api&auth_token=${forms.tA}`],
      [json, JSON.stringify({ auth_token: forms.tA, act: 'api' })],
    ] as const) {
      forms.upstream.forget();
      expect((await forms.ask(post('/b', type, text))).status).toBe(200);
      expect(latin1(forms.upstream.only.body)).toBe(text);
      expect(forms.upstream.only.get('x-postern-token-id')).toMatch(/^tok_/);
    }
  });

  test('is in vain where it is no good, lacks a permission, or is not there', async () => {
    await forms.denies(post('/b', urlencoded, 'act=api&auth_token=pst_x'), 'invalid_token');
    await forms.denies(post('/b', urlencoded, `act=admin&auth_token=${forms.tA}`), 'insufficient_scope');
    await forms.denies(post('/admin', json, JSON.stringify({ auth_token: forms.tA })), 'insufficient_scope');
    await forms.denies(post('/b', urlencoded, 'act=api'), 'missing_token');
    await forms.denies(post('/b', urlencoded, 'act=api&auth_token='), 'missing_token');
    await forms.denies(post('/b', json, '{"auth_token":"","act":"api"}'), 'missing_token');
    await forms.denies(post('/b', json, JSON.stringify({ x: { auth_token: forms.tA } })), 'missing_token');
  });

  test('is not looked for where bodies are not looked into', async () => {
    await forms.denies(post('/api/x', urlencoded, `auth_token=${forms.tA}`), 'missing_token');
  });

  test('beside another, or in a spelling of its own, is ambiguous', async () => {
    const A = `Authorization: Bearer ${forms.tA}\r\n`;
    const twice: [string, string, string, string?][] = [
      ['/b', urlencoded, `auth_token=${forms.tA}&auth_token=${forms.tA}`],
      ['/b', urlencoded, `auth_token=${forms.tA}&%61uth_token=x`],
      ['/b', urlencoded, `Auth_Token=${forms.tA}`],
      ['/b', urlencoded, `auth_token[]=${forms.tA}`],
      ['/b', urlencoded, `auth_token%5B%5D=${forms.tA}`],
      ['/b', urlencoded, 'auth_token=%ff'],
      ['/b', urlencoded, `act=api&auth_token=${forms.tA}`, A],
      ['/b', urlencoded, `act=api&auth_token=${forms.tNone}`, A],
      [`/b?auth_token=${forms.tA}`, urlencoded, `act=api&auth_token=${forms.tA}`],
      [`/b?auth_token=${forms.tA}`, json, JSON.stringify({ act: 'api', auth_token: forms.tA })],
      ['/b', json, JSON.stringify({ act: 'api', AUTH_TOKEN: forms.tA })],
      ['/b', json, JSON.stringify({ act: 'api', 'auth_token[]': forms.tA })],
      ['/b', json, JSON.stringify({ act: 'api', auth_token: [forms.tA] })],
      ['/b', json, JSON.stringify({ act: 'api', auth_token: null }), A],
      ['/b', json, JSON.stringify({ act: 'api', auth_token: 1 })],
      ['/b', json, JSON.stringify([{ act: 'api', auth_token: forms.tA }])],
      ['/b', json, JSON.stringify([{ act: 'api' }, { act: 'api', auth_token: forms.tA }]), A],
    ];
    for (const [target, type, text, fields] of twice) {
      await forms.denies(post(target, type, text, fields), 'ambiguous_credential');
    }
  });
});
