import { describe, expect, test } from 'vitest';
import { Clients } from '../../../src/gate/client.ts';
import type { Connection } from '../../../src/ports/exchange.ts';
import type { ClientFacts } from '../../../src/ports/forwarder.ts';
import { aForm } from '../../support/request.ts';

const connection = (peer: string, tls = false): Connection => ({ peer, port: 4711, localPort: 8080, tls });
const trusted = ['10.0.0.0/8', '192.168.1.1', '2001:db8:aaaa::/48'];
const proxy = '10.0.0.7';

const facts = (peer: string, fields: string[], tls = false): ClientFacts =>
  new Clients(trusted).factsOf(connection(peer, tls), aForm('/admin', fields));

/** One field of those that go to the upstream. */
function sent({ fields }: ClientFacts, name: string): string[] {
  return fields.filter((_, i) => i % 2 === 1 && fields[i - 1]!.toLowerCase() === name);
}

describe('what a peer that is not trusted says of itself is not believed', () => {
  const said = [
    ...['Forwarded', 'for=1.2.3.4;proto=https;host=evil', 'X-Forwarded-For', '1.2.3.4', 'X-Forwarded-Proto', 'https'],
    ...[
      'X-Forwarded-Host',
      'evil',
      'X-Forwarded-Uri',
      '/public/x',
      'X-Forwarded-Port',
      '1',
      'X-Forwarded-Prefix',
      '/p',
    ],
    ...['X-Forwarded-Method', 'GET', 'X-Real-IP', '1.2.3.4', 'X-Request-Id', 'mine'],
  ];

  test.each(['203.0.113.5', '::1', '192.168.1.2', '11.0.0.1'])('%s', peer => {
    const client = facts(peer, said);
    expect(client).toMatchObject({ address: peer, proto: 'http', host: 'api.example.com', parentRequestId: null });
    expect(client.fields).toEqual(facts(peer, []).fields);
    expect(client.fields.join(' ')).not.toMatch(/1\.2\.3\.4|evil|public|mine/);
  });

  test('nor is anybody when nobody is trusted', () => {
    const client = new Clients([]).factsOf(connection(proxy), aForm('/', said));
    expect(client.address).toBe(proxy);
  });

  test('all that the upstream learns is the connection and the Host', () => {
    expect(facts('203.0.113.5', []).fields).toEqual([
      ...['X-Forwarded-For', '203.0.113.5', 'X-Forwarded-Proto', 'http', 'X-Forwarded-Host', 'api.example.com'],
      ...['X-Real-IP', '203.0.113.5', 'Forwarded', 'for=203.0.113.5;proto=http;host="api.example.com"'],
    ]);
    expect(sent(facts('2001:db8::1', [], true), 'forwarded')).toEqual([
      'for="[2001:db8::1]";proto=https;host="api.example.com"',
    ]);
  });

  test('facts of a connection follow the Host that it names', () => {
    const clients = new Clients(trusted);
    const peer = connection('203.0.113.5');
    const hostOf = (host: string): string => clients.factsOf(peer, aForm('/', [], { fields: ['Host', host] })).host;
    expect([hostOf('a'), hostOf('a'), hostOf('b'), hostOf('a')]).toEqual(['a', 'a', 'b', 'a']);
    expect(clients.factsOf(peer, null).host).toBe('');
    const old = aForm('/', [], { fields: [], version: '1.0' });
    expect(sent(clients.factsOf(peer, old), 'x-forwarded-host')).toEqual([]);
  });
});

describe('behind a trusted proxy the client is the rightmost hop that is not trusted', () => {
  test.each([
    ['nothing', '', proxy],
    ['one hop', '1.2.3.4', '1.2.3.4'],
    ['an invented hop left of the real one', '1.2.3.4, 9.9.9.9', '9.9.9.9'],
    ['trusted hops behind it', '1.2.3.4, 9.9.9.9, 10.1.1.1, 192.168.1.1', '9.9.9.9'],
    ['an invented trusted hop left of it', '10.9.9.9, 9.9.9.9, 10.1.1.1', '9.9.9.9'],
    ['only trusted hops', '10.3.3.3, 10.2.2.2', '10.3.3.3'],
    ['IPv6 with a port', '1.2.3.4, [2001:db8::9]:4711', '2001:db8::9'],
    ['IPv4 with a port', '9.9.9.9:80', '9.9.9.9'],
    ['a trusted IPv6 network', '9.9.9.9, 2001:db8:aaaa::1', '9.9.9.9'],
    ['IPv4 mapped into IPv6, trusted', '9.9.9.9, ::ffff:10.1.1.1', '9.9.9.9'],
    ['IPv4 mapped into IPv6 in groups, trusted', '9.9.9.9, ::ffff:a01:101', '9.9.9.9'],
    ['garbage', 'garbage', proxy],
    ['garbage right of an invention', '1.2.3.4, garbage', proxy],
    ['garbage behind a trusted hop', '1.2.3.4, unknown, 10.1.1.1', '10.1.1.1'],
    ['an address that readers take differently', '1.2.3.4, 011.2.3.4', proxy],
    ['an empty element', '1.2.3.4,', proxy],
  ])('%s', (_, chain, address) => {
    const client = facts(proxy, ['X-Forwarded-For', chain]);
    expect(client.address).toBe(address);
    expect(sent(client, 'x-real-ip')).toEqual([address]);
  });

  test('several fields are one list', () => {
    const fields = ['X-Forwarded-For', '1.2.3.4', 'x-forwarded-for', '9.9.9.9, 10.1.1.1'];
    const client = facts(proxy, fields);
    expect(client.address).toBe('9.9.9.9');
    expect(sent(client, 'x-forwarded-for')).toEqual([`1.2.3.4, 9.9.9.9, 10.1.1.1, ${proxy}`]);
  });

  test('of a long chain the nearest hops are looked at and passed on', () => {
    const chain = Array.from({ length: 200 }, (_, i) => `10.2.0.${i}`);
    const client = facts(proxy, ['X-Forwarded-For', ['9.9.9.9', ...chain].join(', ')]);
    expect(client.address).toBe('10.2.0.150');
    expect(sent(client, 'x-forwarded-for')[0]!.split(', ')).toEqual([...chain.slice(-50), proxy]);
  });

  test('the guard counts by its network', () => {
    expect(facts(proxy, ['X-Forwarded-For', '9.9.9.9']).network).toBe('9.9.9.9');
    expect(facts(proxy, ['X-Forwarded-For', '2001:db8:1:2:3::9']).network).toBe('2001:db8:1:2::/64');
    const same = ['::ffff:9.9.9.9', '::ffff:909:909', '9.9.9.9:81'].map(hop => facts(proxy, ['X-Forwarded-For', hop]));
    expect(new Set(same.map(({ network }) => network))).toEqual(new Set(['9.9.9.9']));
  });

  test("a spelling with underscores is nobody's word", () => {
    expect(facts(proxy, ['X_Forwarded_For', '1.2.3.4']).address).toBe(proxy);
  });
});

describe('a trusted proxy is believed about', () => {
  test('scheme and host', () => {
    const client = facts(proxy, ['X-Forwarded-Proto', 'https', 'X-Forwarded-Host', 'shop.example:8443']);
    expect(client).toMatchObject({ proto: 'https', host: 'shop.example:8443' });
    expect(sent(client, 'x-forwarded-proto')).toEqual(['https']);
    expect(sent(client, 'x-forwarded-host')).toEqual(['shop.example:8443']);
  });

  test('not a scheme or host that is none', () => {
    const client = facts(proxy, ['X-Forwarded-Proto', 'gopher', 'X-Forwarded-Host', 'a", for="b'], true);
    expect(client).toMatchObject({ proto: 'https', host: 'api.example.com' });
    expect(client.fields.join(' ')).not.toMatch(/gopher|a"/);
  });

  test('what it says last, which is what the nearest proxy says', () => {
    const twice = [
      'X-Forwarded-Proto',
      'http',
      'X-Forwarded-Proto',
      'https',
      'X-Forwarded-Host',
      'a',
      'X-Forwarded-Host',
      'b',
    ];
    expect(facts(proxy, twice)).toMatchObject({ proto: 'https', host: 'b' });
  });

  test('its request id, if that can be logged', () => {
    expect(facts(proxy, ['X-Request-Id', 'abc-1']).parentRequestId).toBe('abc-1');
    expect(facts(proxy, ['X-Request-Id', 'a b']).parentRequestId).toBeNull();
    expect(facts(proxy, ['X-Request-Id', 'x'.repeat(129)]).parentRequestId).toBeNull();
  });

  test('other X-Forwarded fields, which are passed on', () => {
    const client = facts(proxy, ['X-Forwarded-Port', '8443', 'X-Forwarded-Prefix', '/shop']);
    expect([sent(client, 'x-forwarded-port'), sent(client, 'x-forwarded-prefix')]).toEqual([['8443'], ['/shop']]);
  });
});

describe('Forwarded', () => {
  test('tells the hops where X-Forwarded-For does not', () => {
    const client = facts(proxy, ['Forwarded', 'for=1.2.3.4, For="[2001:db8::9]:4711";by=10.1.1.1, for=10.1.1.1']);
    expect(client.address).toBe('2001:db8::9');
    expect(sent(client, 'x-forwarded-for')).toEqual([`1.2.3.4, [2001:db8::9]:4711, 10.1.1.1, ${proxy}`]);
    const both = facts(proxy, ['Forwarded', 'for=1.2.3.4', 'X-Forwarded-For', '9.9.9.9']);
    expect(both.address).toBe('9.9.9.9');
  });

  test('tells scheme and host with the hop that is the client, where X-Forwarded fields do not', () => {
    const said =
      'for=1.2.3.4;proto=http;host=evil, for=9.9.9.9;proto=https;host="shop.example:8443", for=10.1.1.1;proto=http';
    expect(facts(proxy, ['Forwarded', said])).toMatchObject({
      address: '9.9.9.9',
      proto: 'https',
      host: 'shop.example:8443',
    });
    expect(facts(proxy, ['Forwarded', said, 'X-Forwarded-Proto', 'http', 'X-Forwarded-Host', 'a'])).toMatchObject({
      proto: 'http',
      host: 'a',
    });
    // A proxy that tells hops otherwise may have left a client's Forwarded as it came.
    expect(facts(proxy, ['Forwarded', said, 'X-Forwarded-For', '9.9.9.9'])).toMatchObject({
      proto: 'http',
      host: 'api.example.com',
    });
  });

  test('is kept, and our hop stands last', () => {
    const client = facts(proxy, ['Forwarded', 'for=1.2.3.4', 'Forwarded', 'for=9.9.9.9']);
    expect(sent(client, 'forwarded')).toEqual([
      `for=1.2.3.4, for=9.9.9.9, for=${proxy};proto=http;host="api.example.com"`,
    ]);
  });

  test.each([
    ['a hidden hop', 'for=1.2.3.4, for=_hidden'],
    ['an unknown hop', 'for=1.2.3.4, for=unknown'],
    ['a broken hop', 'for=1.2.3.4, for="'],
  ])('stops at %s', (_, said) => {
    expect(facts(proxy, ['Forwarded', said]).address).toBe(proxy);
  });

  test('a quote that a client opened does not swallow the hop of the proxy', () => {
    expect(facts(proxy, ['Forwarded', 'for="1.2.3.4, for=9.9.9.9']).address).toBe('9.9.9.9');
  });
});

test('containment in networks knows both families, and nothing else', () => {
  const clients = new Clients(trusted);
  const inside = ['10.0.0.0', '10.255.255.255', '192.168.1.1', '2001:db8:aaaa:ffff::1'];
  const outside = [
    '9.255.255.255',
    '11.0.0.0',
    '192.168.1.2',
    '2001:db8:aaab::',
    '',
    'garbage',
    '10.0.0.1/8',
    '010.0.0.1',
  ];
  expect(inside.filter(address => !clients.isTrusted(address))).toEqual([]);
  expect(outside.filter(address => clients.isTrusted(address))).toEqual([]);
});
