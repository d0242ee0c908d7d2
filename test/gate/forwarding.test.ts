import { describe, expect, test } from 'vitest';
import { H, useRig } from '../support/rig.ts';

/** What is sent to the upstream beside what the client sent: ids, hops, traces, Host, targets, credentials. */

const get = (target: string, fields = '', version = '1.1') => `GET ${target} HTTP/${version}\r\n${H}${fields}\r\n`;

describe('ids, hops and traces', () => {
  const rig = useRig();
  const sent = () => rig.upstream.only;

  test('every request has an id of ours, the same for the upstream, the client and the log', async () => {
    const ids = new Set<string>();
    for (let i = 0; i < 5; i++) {
      rig.upstream.requests.length = 0;
      const answer = await rig.ask(get('/public/x', 'X-Request-Id: mine\r\n'));
      const id = answer.get('x-request-id')!;
      expect(answer.all('x-request-id')).toEqual([id]);
      expect(sent().all('x-request-id')).toEqual([id]);
      expect((await rig.postern.requestLines()).at(-1)).toMatchObject({ request_id: id });
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      ids.add(id);
    }
    expect(ids.size).toBe(5);
    expect([...ids].sort()).toEqual([...ids]);
    expect(JSON.stringify(await rig.postern.requestLines())).not.toContain('mine');
  });

  test('Via names us behind the hops before', async () => {
    await rig.ask(get('/public/x', 'Via: 1.0 first, HTTP/1.1 second (comment)\r\nVia: 1.1 third\r\n'));
    expect(sent().all('via')).toEqual([
      expect.stringMatching(/^1\.0 first, HTTP\/1\.1 second \(comment\), 1\.1 third, 1\.1 postern-[0-9a-f]{8}$/),
    ]);
  });

  test('a request that has been here before is refused, wherever our name stands', async () => {
    await rig.ask(get('/public/x'));
    const via = sent().get('via')!;
    const name = via.split(' ')[1]!;
    rig.upstream.forget();
    for (const value of [via, `1.1 a, ${via}, 1.1 b`, `1.0\t ${name}`, `HTTP/1.1 ${name} (comment)`]) {
      const answer = await rig.denies(get('/public/x', `Via: ${value}\r\n`), 'loop_detected');
      expect(answer.status).toBe(508);
      rig.upstream.forget();
    }
    await rig.denies(get('/public/x', `Via: 1.1 a\r\nVia: ${via}\r\n`), 'loop_detected');
    rig.upstream.forget();
    // Somebody else's name is no loop.
    for (const value of [`1.1 ${name}0`, `1.1 x${name}`, '1.1 postern-00000000', name]) {
      expect((await rig.ask(get('/public/x', `Via: ${value}\r\n`))).status).toBe(200);
    }
  });

  const parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  test('a trace is kept, with its state', async () => {
    await rig.ask(get('/public/x', `traceparent: ${parent}\r\ntracestate: a=1,b=2\r\ntracestate: c=3\r\n`));
    expect([sent().all('traceparent'), sent().all('tracestate')]).toEqual([[parent], ['a=1,b=2', 'c=3']]);
  });
  test.each([
    ['none', ''],
    ['two', `traceparent: ${parent}\r\ntraceparent: ${parent}\r\n`],
    ['no ids', 'traceparent: 00-00000000000000000000000000000000-0000000000000000-01\r\n'],
    ['capitals', `traceparent: ${parent.toUpperCase()}\r\n`],
    ['a forbidden version', `traceparent: ff${parent.slice(2)}\r\n`],
    ['something behind it', `traceparent: ${parent}-extra\r\n`],
    ['nonsense', 'traceparent: x\r\n'],
    ['nothing', 'traceparent:\r\n'],
  ])('one is started where there is %s that is valid, without a state of others', async (_, fields) => {
    await rig.ask(get('/public/x', `${fields}tracestate: a=1\r\n`));
    expect(sent().all('traceparent')).toEqual([
      expect.stringMatching(/^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[01]$/),
    ]);
    expect(sent().get('traceparent')).not.toContain(parent.slice(3, 35));
    expect(sent().all('tracestate')).toEqual([]);
  });
  test('a later version that begins alike is kept', async () => {
    const later = `cc${parent.slice(2)}-what-comes`;
    await rig.ask(get('/public/x', `traceparent: ${later}\r\n`));
    expect(sent().get('traceparent')).toBe(later);
  });
});

describe('the Host that is sent', () => {
  const routes = '\n  - { path: /**, access: public }';
  const policies: Record<string, (url: string) => string | undefined> = {
    preserve: () => 'Client.Example:8080',
    upstream: url => new URL(url).host,
    'fixed.example:81': () => 'fixed.example:81',
  };
  for (const [host, expected] of Object.entries(policies)) {
    describe(host, () => {
      const rig = useRig({ routes, upstreamMembers: `host: "${host}"` });
      test('is sent once, and what the client asked for is told beside it', async () => {
        await rig.ask('GET /x HTTP/1.1\r\nHost: Client.Example:8080\r\nX-Forwarded-Host: evil\r\n\r\n');
        const { only } = rig.upstream;
        expect(only.all('host')).toEqual([expected(rig.upstream.url)]);
        expect(only.all('x-forwarded-host')).toEqual(['Client.Example:8080']);
        expect(only.get('forwarded')).toBe('for=127.0.0.1;proto=http;host="Client.Example:8080"');
      });
      test('of a client without one', async () => {
        await rig.ask('GET /x HTTP/1.0\r\n\r\n');
        const { only } = rig.upstream;
        const named = host === 'preserve' ? new URL(rig.upstream.url).host : expected(rig.upstream.url);
        expect(only.all('host')).toEqual([named]);
        expect(only.get('x-forwarded-host')).toBeUndefined();
        expect(only.get('forwarded')).toBe('for=127.0.0.1;proto=http');
      });
    });
  }
});

describe('routes by host', () => {
  const rig = useRig({
    routes: `
  - { path: /**, access: public, hosts: [a.example] }
  - { path: /**, require: api, hosts: ["*.example"] }
  - { path: /**, require: admin }`,
  });
  const from = (host: string) => `GET /x HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
  test('are chosen by the name alone: not by its case, port or last dot', async () => {
    for (const host of ['a.example', 'A.EXAMPLE', 'a.example.', 'a.example:1', 'a.Example.:65535']) {
      expect((await rig.ask(from(host))).status, host).toBe(200);
    }
    for (const host of ['b.example', 'x.a.example', 'xa.example', 'example', 'a.example.evil', '127.0.0.1', '[::1]']) {
      expect((await rig.ask(from(host))).status, host).toBe(401);
    }
    const withToken = (host: string) => from(host).replace('\r\n\r\n', `\r\n${rig.A}\r\n`);
    expect((await rig.ask(withToken('b.example'))).status).toBe(200);
    expect((await rig.ask(withToken('example'))).status).toBe(403);
    expect((await rig.ask(withToken('a.example.evil'))).status).toBe(403);
  });
});

describe('strip_prefix', () => {
  const rig = useRig({
    routes: `
  - { path: /api/**, access: public, strip_prefix: /api }
  - { path: /a/b/c/**, access: public, strip_prefix: /a/b }
  - { path: /one/**, access: public, strip_prefix: /one, allow: [encoded_slash] }`,
    strips: '/api',
  });
  test.each([
    ['/api', '/'],
    ['/api/', '/'],
    ['/api/x', '/x'],
    ['/api/api/x', '/api/x'],
    ['/api?x=/api', '/?x=/api'],
    ['/api/?x', '/?x'],
    ['/api/x/?y=%2e%2e', '/x/?y=%2e%2e'],
    ['/%61pi/%41', '/%41'],
  ])('%s is sent as %s', async (target, expected) => {
    expect((await rig.ask(get(target))).status).toBe(200);
    expect(rig.upstream.only.target).toBe(expected);
    rig.upstream.requests.length = 0;
  });
  test.each([
    ['/a/b/c', '/c'],
    ['/a/b/c/d?e', '/c/d?e'],
    ['/one/x%2Fy', '/x%2Fy'],
  ])('%s is sent as %s, by whole segments', async (target, expected) => {
    expect((await rig.ask(get(target))).status).toBe(200);
    expect(rig.upstream.only.target).toBe(expected);
    rig.upstream.requests.length = 0;
  });
});

describe('forward_credential', () => {
  const rig = useRig({
    forwardsSecrets: true,
    more: 'credentials: [{ header: authorization, scheme: Bearer }, { query: auth_token }, { cookie: session }]',
    routes: '\n  - { path: /keeps/**, require: api, forward_credential: true }\n  - { path: /cuts/**, require: api }',
  });
  test('leaves the token where it stands, where the route says so', async () => {
    const referer = `Referer: http://a/?auth_token=${rig.tA}\r\n`;
    await rig.ask(get('/keeps/x', rig.A + referer));
    expect(rig.upstream.only.head).toContain(`\r\n${(rig.A + referer).trimEnd()}\r\n`);
    rig.upstream.requests.length = 0;
    await rig.ask(get(`/keeps/x?a=1&auth_token=${rig.tA}`));
    expect(rig.upstream.only.target).toBe(`/keeps/x?a=1&auth_token=${rig.tA}`);
    rig.upstream.requests.length = 0;
    await rig.ask(get('/keeps/x', `Cookie: session=${rig.tA}\r\n`));
    expect(rig.upstream.only.get('cookie')).toBe(`session=${rig.tA}`);
  });
  test('and there only', async () => {
    await rig.ask(get('/cuts/x', rig.A));
    expect(rig.upstream.bytes).not.toContain(rig.tA);
  });
});
