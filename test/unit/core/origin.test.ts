import { describe, expect, test } from 'vitest';
import { allowedOrigin, cookieFault, readPreflight } from '../../../src/core/origin.ts';
import { type Cors, type Leaf, type Route, RouteTable } from '../../../src/core/route.ts';
import { aForm, aRoute, aTarget } from '../../support/request.ts';

const own = 'https://api.example.com';
const cors = (origins: string[], preflight: Cors['preflight'] = 'answer'): Cors => ({
  origins: new Set(origins),
  preflight,
});
const listed = cors(['https://app.example.com']);

/** Whether a token in a cookie is taken with these fields. */
const taken = (fields: string[], method = 'POST', rule: Cors | null = listed, origin = own): boolean =>
  cookieFault(aForm('/', fields, { method }), rule, origin) === null;

describe('a token in a cookie is taken for an unsafe method', () => {
  test.each<[string, string[]]>([
    ['from the own origin', ['Origin', own]],
    ['from the own origin in another case', ['Origin', 'HTTPS://API.Example.COM']],
    ['from the own origin with its default port', ['Origin', `${own}:443`]],
    ['from a listed origin', ['Origin', 'https://app.example.com']],
    ['from no browser', []],
    ['from the same page, as the browser says', ['Sec-Fetch-Site', 'same-origin']],
    ['from the address bar, as the browser says', ['Sec-Fetch-Site', 'none']],
  ])('%s', (_, fields) => {
    expect(taken(fields)).toBe(true);
  });
});

describe('a token in a cookie is refused for an unsafe method', () => {
  test.each<[string, string[]]>([
    ['from another origin', ['Origin', 'https://evil.example']],
    ['from an origin that begins alike', ['Origin', `${own}.evil.example`]],
    ['from another scheme', ['Origin', 'http://api.example.com']],
    ['from another port', ['Origin', `${own}:8443`]],
    ['from the other default port', ['Origin', `${own}:80`]],
    ['from an opaque origin', ['Origin', 'null']],
    ['from an empty origin', ['Origin', '']],
    ['from another site, as the browser says', ['Sec-Fetch-Site', 'cross-site']],
    ['from a sister site, as the browser says', ['Sec-Fetch-Site', 'same-site']],
    ['when the browser contradicts itself', ['Sec-Fetch-Site', 'same-origin', 'Sec-Fetch-Site', 'cross-site']],
    ['from another origin that calls itself the same', ['Origin', 'https://evil.example', 'Sec-Fetch-Site', 'none']],
  ])('%s', (_, fields) => {
    expect(taken(fields)).toBe(false);
  });

  test.each(['POST', 'PUT', 'PATCH', 'DELETE', 'PROPFIND'])('%s is unsafe', method => {
    expect(taken(['Origin', 'https://evil.example'], method)).toBe(false);
  });

  test('a list with * lets pages read, not act with cookies', () => {
    expect(taken(['Origin', 'https://evil.example'], 'POST', cors(['*']))).toBe(false);
  });

  test('without a list only the own origin is left', () => {
    expect(taken(['Origin', 'https://app.example.com'], 'POST', null)).toBe(false);
    expect(taken(['Origin', own], 'POST', null)).toBe(true);
  });

  test('an empty host of our own is no origin of anybody', () => {
    expect(taken(['Origin', 'null'], 'POST', null, 'http://')).toBe(false);
  });
});

test.each(['GET', 'HEAD', 'OPTIONS'])('%s is safe from anywhere', method => {
  expect(taken(['Origin', 'https://evil.example'], method)).toBe(true);
});

test('an upgrade acts, although it is a GET', () => {
  const upgrade = ['Connection', 'Upgrade', 'Upgrade', 'websocket'];
  expect(taken([...upgrade, 'Origin', 'https://evil.example'], 'GET')).toBe(false);
  expect(taken([...upgrade, 'Origin', own], 'GET')).toBe(true);
  expect(taken([...upgrade, 'Sec-Fetch-Site', 'cross-site'], 'GET')).toBe(false);
});

test('an origin is allowed when the list has it exactly, or *', () => {
  const from = (origin: string | null, rule: Cors | null): string | null =>
    allowedOrigin(aForm('/', origin === null ? [] : ['Origin', origin]), rule);
  expect(from('https://app.example.com', listed)).toBe('https://app.example.com');
  expect(from('https://APP.example.com', listed)).toBeNull();
  expect(from('https://evil.example', listed)).toBeNull();
  expect(from('https://evil.example', cors(['*']))).toBe('https://evil.example');
  expect(from(null, cors(['*']))).toBeNull();
  expect(from('https://app.example.com', null)).toBeNull();
});

describe('a preflight', () => {
  const leafOf = (...routes: Route[]): Leaf => {
    const match = new RouteTable(routes).match('a', 'TRACE', aTarget('/w'));
    if (match.kind !== 'method') throw new Error(match.kind);
    return match.leaf;
  };
  const leaf = leafOf(
    aRoute('/w', { methods: ['POST'], cors: listed }),
    aRoute('/w', { methods: ['PUT'], cors: cors(['https://app.example.com'], 'forward') }),
    aRoute('/w', { methods: ['DELETE'], cors: cors(['https://app.example.com'], 'refuse') }),
    aRoute('/w', { methods: ['PATCH'] }),
  );
  const ask = (method: string | null, fields: string[] = ['Origin', 'https://app.example.com'], by = 'OPTIONS') => {
    const asked = method === null ? [] : ['Access-Control-Request-Method', method];
    return readPreflight(aForm('/w', [...fields, ...asked], { method: by }), leaf);
  };

  test('is answered or forwarded as the route of the asked method says', () => {
    expect(ask('POST')).toMatchObject({ mode: 'answer', origin: 'https://app.example.com', headers: null });
    expect(ask('POST')?.route.methods).toEqual(['POST']);
    expect(ask('PUT')).toMatchObject({ mode: 'forward', route: { methods: ['PUT'] } });
  });

  test('lists the methods of the pattern, and the fields as asked', () => {
    const fields = ['Origin', 'https://app.example.com', 'Access-Control-Request-Headers', 'X-A, x-b'];
    expect(ask('POST', fields)).toMatchObject({ methods: ['POST', 'PUT', 'DELETE', 'PATCH'], headers: 'X-A, x-b' });
  });

  test.each<[string, string | null, string[], string]>([
    ['the route refuses them', 'DELETE', ['Origin', 'https://app.example.com'], 'OPTIONS'],
    ['the route has no list', 'PATCH', ['Origin', 'https://app.example.com'], 'OPTIONS'],
    ['no route takes the method', 'GET', ['Origin', 'https://app.example.com'], 'OPTIONS'],
    ['the method is never taken', 'TRACE', ['Origin', 'https://app.example.com'], 'OPTIONS'],
    ['the origin is not listed', 'POST', ['Origin', 'https://evil.example'], 'OPTIONS'],
    ['there is no origin', 'POST', [], 'OPTIONS'],
    ['no method is asked for', null, ['Origin', 'https://app.example.com'], 'OPTIONS'],
    ['it is no OPTIONS', 'POST', ['Origin', 'https://app.example.com'], 'POST'],
    [
      'two methods are asked for',
      'POST',
      ['Origin', 'https://app.example.com', 'Access-Control-Request-Method', 'PUT'],
      'OPTIONS',
    ],
  ])('is judged like any request when %s', (_, method, fields, by) => {
    expect(ask(method, fields, by)).toBeNull();
  });
});
