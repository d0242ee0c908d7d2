import { describe, expect, test } from 'vitest';
import { H, useRig } from '../support/rig.ts';

/** trusted_proxies: what a peer says of a client is believed only if the configuration names the peer. */

const get = (target: string, fields = '') => `GET ${target} HTTP/1.1\r\n${H}${fields}\r\n`;

describe('a peer that is trusted', () => {
  const rig = useRig({
    more: 'trusted_proxies: [127.0.0.0/8, 10.0.0.0/8, "2001:db8::/32"]\ncredentials: [{ header: authorization, scheme: Bearer }, { query: auth_token }]',
  });
  const sent = () => rig.upstream.only;
  const client = async () => (await rig.postern.requestLines()).at(-1)!['client_ip'];

  const chains: [fields: string, client: string, forwardedFor: string][] = [
    ['', '127.0.0.1', '127.0.0.1'],
    ['X-Forwarded-For: 1.2.3.4\r\n', '1.2.3.4', '1.2.3.4, 127.0.0.1'],
    ['X-Forwarded-For: 1.2.3.4, 9.9.9.9\r\n', '9.9.9.9', '1.2.3.4, 9.9.9.9, 127.0.0.1'],
    ['X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 9.9.9.9\r\n', '9.9.9.9', '1.2.3.4, 9.9.9.9, 127.0.0.1'],
    ['X-Forwarded-For: 1.2.3.4, 10.0.0.7\r\n', '1.2.3.4', '1.2.3.4, 10.0.0.7, 127.0.0.1'],
    ['X-Forwarded-For: 10.1.1.1, 10.0.0.7\r\n', '10.1.1.1', '10.1.1.1, 10.0.0.7, 127.0.0.1'],
    ['X-Forwarded-For: 1.2.3.4:5678\r\n', '1.2.3.4', '1.2.3.4:5678, 127.0.0.1'],
    ['X-Forwarded-For: [2001:db9::1]:443\r\n', '2001:db9::1', '[2001:db9::1]:443, 127.0.0.1'],
    ['X-Forwarded-For: 6.6.6.6, 2001:db8::7\r\n', '6.6.6.6', '6.6.6.6, 2001:db8::7, 127.0.0.1'],
    ['X-Forwarded-For: ::ffff:1.2.3.4\r\n', '1.2.3.4', '::ffff:1.2.3.4, 127.0.0.1'],
    // Beyond what cannot be read nothing can be told from invention: the last hop that could be is the client.
    ['X-Forwarded-For: 1.2.3.4, garbage\r\n', '127.0.0.1', '1.2.3.4, garbage, 127.0.0.1'],
    ['X-Forwarded-For: 1.2.3.4, garbage, 10.0.0.7\r\n', '10.0.0.7', '1.2.3.4, garbage, 10.0.0.7, 127.0.0.1'],
    ['X-Forwarded-For: 1.2.3.4,, 10.0.0.7\r\n', '10.0.0.7', '1.2.3.4, , 10.0.0.7, 127.0.0.1'],
    ['X-Forwarded-For: 010.0.0.7\r\n', '127.0.0.1', '010.0.0.7, 127.0.0.1'],
    ['X-Forwarded-For:\r\n', '127.0.0.1', ', 127.0.0.1'],
    ['Forwarded: for=1.2.3.4, for="[2001:db9::1]:80"\r\n', '2001:db9::1', '1.2.3.4, [2001:db9::1]:80, 127.0.0.1'],
    ['Forwarded: for=unknown\r\n', '127.0.0.1', 'unknown, 127.0.0.1'],
    // Two that disagree: the one that tells every hop is taken.
    ['Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 1.2.3.4\r\n', '1.2.3.4', '1.2.3.4, 127.0.0.1'],
    ['X-Real-IP: 6.6.6.6\r\n', '127.0.0.1', '127.0.0.1'],
  ];
  test.each(chains)('%j: the client is %s', async (fields, address, forwardedFor) => {
    await rig.ask(get('/public/x', fields));
    expect([await client(), sent().all('x-real-ip'), sent().all('x-forwarded-for')]).toEqual([
      address,
      [address],
      [forwardedFor],
    ]);
  });
  const rebuilt: [fields: string, forwarded: string][] = [
    ['X-Forwarded-For: 1.2.3.4\r\n', 'for=1.2.3.4, for=127.0.0.1;proto=http;host="a"'],
    // The proxy wrote the one, and passed on the other that its client made up.
    [
      'X-Forwarded-For: 1.2.3.4\r\nForwarded: for=6.6.6.6;host=evil;proto=https\r\n',
      'for=1.2.3.4, for=127.0.0.1;proto=http;host="a"',
    ],
    [
      'X-Forwarded-For: 2001:db9::1, garbage;host=evil, _hidden\r\n',
      'for="[2001:db9::1]", for=unknown, for=_hidden, for=127.0.0.1;proto=http;host="a"',
    ],
  ];
  test.each(rebuilt)('%j: Forwarded and X-Forwarded-For tell one chain', async (fields, forwarded) => {
    await rig.ask(get('/public/x', fields));
    expect(sent().all('forwarded')).toEqual([forwarded]);
  });
  test('two hundred hops are fifty', async () => {
    const hops = Array.from({ length: 200 }, (_, i) => `1.1.1.${i}`);
    await rig.ask(get('/public/x', `X-Forwarded-For: ${hops.join(', ')}\r\n`));
    expect(await client()).toBe('1.1.1.199');
    expect(sent().get('x-forwarded-for')).toBe([...hops.slice(-50), '127.0.0.1'].join(', '));
  });

  test('what else it says is passed on, once', async () => {
    await rig.ask(
      get(
        '/public/x',
        'X-Forwarded-Proto: https\r\nX-Forwarded-Host: app.example\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Prefix: /app\r\nForwarded: for=1.2.3.4;proto=https;by=x\r\nX-Request-Id: from-the-edge\r\n',
      ),
    );
    expect(sent().all('x-forwarded-proto')).toEqual(['https']);
    expect(sent().all('x-forwarded-host')).toEqual(['app.example']);
    expect(sent().all('x-forwarded-port')).toEqual(['443']);
    expect(sent().all('x-forwarded-prefix')).toEqual(['/app']);
    expect(sent().all('forwarded')).toEqual(['for=1.2.3.4;proto=https, for=127.0.0.1;proto=https;host="app.example"']);
    expect(sent().get('x-request-id')).not.toBe('from-the-edge');
    expect((await rig.postern.requestLines()).at(-1)).toMatchObject({ parent_request_id: 'from-the-edge' });
  });
  test('nonsense in what it says is left out', async () => {
    await rig.ask(get('/public/x', 'X-Forwarded-Proto: gopher\r\nX-Forwarded-Host: a/b, c\r\nX-Request-Id: a b\r\n'));
    expect([sent().get('x-forwarded-proto'), sent().get('x-forwarded-host')]).toEqual(['http', 'a']);
    expect((await rig.postern.requestLines()).at(-1)).not.toHaveProperty('parent_request_id');
  });
  test('it does not move the decision: the target is the request line’s', async () => {
    const lines =
      'X-Forwarded-Uri: /public/x\r\nX-Original-URL: /public/x\r\nX-Rewrite-URL: /public/x\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Prefix: /public\r\n';
    await rig.denies(get('/admin/x', lines), 'missing_token');
    rig.upstream.requests.length = 0;
    await rig.ask(get('/api/x', lines + rig.A));
    for (const name of ['x-original-url', 'x-rewrite-url']) expect(sent().get(name)).toBeUndefined();
  });
  test('spellings that some servers take for these fields do not arrive from it either', async () => {
    await rig.ask(get('/public/x', 'X_Forwarded_For: 6.6.6.6\r\nX.Forwarded.Host: evil\r\nX_Real_IP: 6.6.6.6\r\n'));
    expect(sent().head).not.toMatch(/6\.6\.6\.6|evil/);
  });
  test('a token in the target that it tells does not arrive', async () => {
    await rig.ask(get(`/api/x?auth_token=${rig.tA}`, `X-Forwarded-Uri: /api/x?auth_token=${rig.tA}\r\n`));
    expect(rig.upstream.bytes).not.toContain(rig.tA);
    rig.upstream.forget();
    await rig.ask(get('/public/x', `X-Forwarded-Uri: /public/x?a=1&auth_token=${rig.tA}\r\n`));
    expect(rig.upstream.bytes).not.toContain(rig.tA);
  });
});

describe('a peer that is not trusted', () => {
  const rig = useRig({ more: 'trusted_proxies: [10.0.0.0/8, "::1"]' });
  test('is believed nothing', async () => {
    await rig.ask(
      get(
        '/public/x',
        'X-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1;host=evil\r\nX-Real-IP: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Uri: /evil\r\nX-Request-Id: evil\r\n',
      ),
    );
    const { only } = rig.upstream;
    expect(only.head).not.toMatch(/10\.0\.0\.1|evil|443|https/);
    expect(only.all('x-forwarded-for')).toEqual(['127.0.0.1']);
    expect((await rig.postern.requestLines()).at(-1)).toMatchObject({ client_ip: '127.0.0.1', peer: '127.0.0.1' });
    expect((await rig.postern.requestLines()).at(-1)).not.toHaveProperty('parent_request_id');
  });
});
