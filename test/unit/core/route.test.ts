import { describe, expect, test } from 'vitest';
import { readPattern } from '../../../src/core/path-pattern.ts';
import { allowedMethods, placesOf, type Route, RouteTable } from '../../../src/core/route.ts';
import { aRoute, aTarget } from '../../support/request.ts';

/** The winning pattern, or how the match went otherwise. */
function winner(routes: readonly Route[], path: string, method = 'GET', host = 'a'): string {
  const match = new RouteTable(routes).match(host, method, aTarget(path));
  if (match.kind === 'route') return match.route.pattern;
  return match.kind === 'method' ? `405 ${match.leaf.pattern}` : match.kind;
}

const patterns = (...list: string[]): Route[] => list.map(pattern => aRoute(pattern));

describe('the most specific pattern wins, whatever the order in the file', () => {
  const all = ['/**', '/{a}', '/a', '/a{x}', '/a{x}c', '/{x}c', '/a/**', '/a/{b}', '/a/b', '/{a}/b', '/a/{b}/c'];
  test.each([
    ['/a', '/a'],
    ['/x', '/{a}'],
    ['/ab', '/a{x}'],
    ['/abc', '/a{x}c'],
    ['/xc', '/{x}c'],
    ['/a/b', '/a/b'],
    ['/a/x', '/a/{b}'],
    ['/x/b', '/{a}/b'],
    ['/a/b/c', '/a/{b}/c'],
    ['/a/b/d', '/a/**'],
    ['/x/y', '/**'],
    ['/x/b/c', '/**'],
    ['/%61/%62', '/a/b'],
    ['/A', '/{a}'],
  ])('%s goes to %s', (path, pattern) => {
    expect(winner(patterns(...all), path)).toBe(pattern);
    expect(winner(patterns(...all.toReversed()), path)).toBe(pattern);
  });

  test('a dead end is left again: a less specific beginning may lead on', () => {
    expect(winner(patterns('/a/b/c', '/{x}/b/d', '/**'), '/a/b/d')).toBe('/{x}/b/d');
    expect(winner(patterns('/a/b/c', '/a/{y}/d', '/{x}/b/d'), '/a/b/d')).toBe('/a/{y}/d');
  });

  test('among parts of a segment more literal text wins, then the longer beginning', () => {
    expect(winner(patterns('/{x}', '/a{x}', '/ab{x}', '/a{x}d'), '/abcd')).toBe('/ab{x}');
    expect(winner(patterns('/a{x}cd', '/ab{x}d'), '/abxcd')).toBe('/ab{x}d');
    expect(winner(patterns('/db.{action}', '/{x}'), '/db.get')).toBe('/db.{action}');
  });
});

describe('a pattern', () => {
  test.each([
    ['/p/**', ['/p', '/p/', '/p/a', '/p/a/b/'], ['/', '/px', '/P']],
    ['/**', ['/', '/a', '/a/b'], []],
    ['/p/', ['/p/'], ['/p', '/p/a']],
    ['/p', ['/p'], ['/p/', '/p/a', '/']],
    ['/p/{x}', ['/p/a', '/p/a%20b'], ['/p', '/p/a/', '/p/a/b']],
    ['/p/a{x}b', ['/p/a1b', '/p/aab', '/p/abb'], ['/p/xab', '/p/a']],
    ['/caf%C3%A9', ['/caf%c3%a9', '/caf%C3%A9'], ['/cafe']],
    ['/%61', ['/a', '/%61'], ['/A']],
  ])('%s', (pattern, taken, left) => {
    expect(taken.filter(path => winner(patterns(pattern), path) !== pattern)).toEqual([]);
    expect(left.filter(path => winner(patterns(pattern), path) !== 'none')).toEqual([]);
  });

  test('with overlapping beginning and end does not match their overlap', () => {
    expect(winner(patterns('/aba{x}aba'), '/aba')).toBe('none');
    expect(winner(patterns('/aba{x}aba'), '/ababa')).toBe('none');
  });

  test.each([
    ['a', 'starts with /'],
    ['', 'starts with /'],
    ['/a?b', 'query'],
    ['/a#b', 'fragment'],
    ['/a b', 'white space'],
    ['/a\\b', 'backslash'],
    ['/**/a', 'end'],
    ['/a*', 'no wildcard'],
    ['/*', 'no wildcard'],
    ['/a**', 'no wildcard'],
    ['/{a}{b}', 'at most one'],
    ['/{a', 'not closed'],
    ['/a}', 'closes no {'],
    ['/}{', 'not closed'],
    ['/{a{b}}', 'at most one'],
    ['/{}', 'name'],
    ['/{1a}', 'name'],
    ['/{a-b}', 'name'],
    ['/{a}/{a}', 'twice'],
    ['/%', 'broken'],
    ['/%ff', 'broken'],
    ['/a%zz{x}', 'broken'],
    ['/..', 'never match'],
    ['/a/./b', 'never match'],
    ['/%2e%2e/a', 'never match'],
    ['//a', 'never matches'],
    ['/a//b', 'never matches'],
  ])('%s is none', (pattern, why) => {
    const reading = readPattern(pattern);
    expect(reading).toEqual({ ok: false, why: expect.stringContaining(why) });
    expect(() => new RouteTable(patterns(pattern))).toThrow(pattern);
  });
});

describe('a captured value is a literal', () => {
  test.each(['/p/', '/p/*', '/p/%2a', '/p/a*b'])('%s is malformed where it would name nothing, or everything', path => {
    expect(winner(patterns('/p/{x}'), path)).toBe('malformed');
    expect(winner(patterns('/p/**', '/p/{x}'), path)).toBe('malformed');
  });

  test.each(['/db.', '/db.*', '/db.%2A'])('%s as a part of a segment', path => {
    expect(winner(patterns('/db.{action}', '/**'), path)).toBe('malformed');
  });

  test('what ** takes is not captured', () => {
    expect(winner(patterns('/p/**'), '/p/*')).toBe('/p/**');
    expect(winner(patterns('/p/{x}/**'), '/p/a/*')).toBe('/p/{x}/**');
  });
});

describe('methods', () => {
  const routes = [
    aRoute('/w/{id}', { methods: ['GET', 'POST'] }),
    aRoute('/w/{name}', { methods: ['PUT'] }),
    aRoute('/**'),
  ];

  test('the winner that does not list the method is the answer, never a less specific route', () => {
    expect(winner(routes, '/w/1', 'GET')).toBe('/w/{id}');
    expect(winner(routes, '/w/1', 'PUT')).toBe('/w/{name}');
    expect(winner(routes, '/w/1', 'DELETE')).toBe('405 /w/{id}');
    expect(winner(routes, '/w/1', 'HEAD')).toBe('405 /w/{id}');
    expect(winner(routes, '/w/1', 'get')).toBe('405 /w/{id}');
  });

  test('a route without methods takes what no other at its place lists', () => {
    const mixed = [aRoute('/w', { methods: ['GET'], upstream: 'one' }), aRoute('/w', { upstream: 'rest' })];
    const table = new RouteTable(mixed);
    const upstreamOf = (method: string): string | null => {
      const match = table.match('a', method, aTarget('/w'));
      return match.kind === 'route' ? match.route.upstream : null;
    };
    expect(['GET', 'POST', 'PROPFIND'].map(upstreamOf)).toEqual(['one', 'rest', 'rest']);
  });

  test('CONNECT and TRACE are never taken', () => {
    expect(winner(routes, '/x', 'CONNECT')).toBe('405 /**');
    expect(winner([aRoute('/x', { methods: ['TRACE'] })], '/x', 'TRACE')).toBe('405 /x');
  });

  test('Allow lists the methods of the place', () => {
    const leafOf = (list: Route[]) => {
      const match = new RouteTable(list).match('a', 'TRACE', aTarget('/w'));
      if (match.kind !== 'method') throw new Error(match.kind);
      return allowedMethods(match.leaf);
    };
    expect(leafOf([aRoute('/w', { methods: ['GET'] }), aRoute('/w', { methods: ['PURGE'] })])).toEqual([
      'GET',
      'PURGE',
    ]);
    expect(leafOf([aRoute('/w', { methods: ['PURGE'] }), aRoute('/w')])).toEqual([
      ...['PURGE', 'GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
    ]);
  });
});

describe('hosts', () => {
  const routes = [
    aRoute('/a', { hosts: ['api.example.com'], upstream: 'exact' }),
    aRoute('/a', { hosts: ['*.example.com'], upstream: 'suffix' }),
    aRoute('/a', { hosts: ['*.eu.example.com'], upstream: 'longer suffix' }),
    aRoute('/a', { upstream: 'any' }),
    aRoute('/only-any', { upstream: 'any' }),
    aRoute('/a/**', { hosts: ['x.org', 'y.org'], upstream: 'both' }),
    aRoute('/a/b', { upstream: 'any' }),
  ];

  test.each([
    ['api.example.com', '/a', 'exact'],
    ['www.example.com', '/a', 'suffix'],
    ['a.b.example.com', '/a', 'suffix'],
    ['a.eu.example.com', '/a', 'longer suffix'],
    ['eu.example.com', '/a', 'suffix'],
    ['example.com', '/a', 'any'],
    ['evilexample.com', '/a', 'any'],
    ['.example.com', '/a', 'any'],
    ['api.example.com.evil.org', '/a', 'any'],
    ['', '/a', 'any'],
    ['x.org', '/a', 'both'],
    ['y.org', '/a/c', 'both'],
    // The host goes before the path: the less specific path of a named host wins.
    ['x.org', '/a/b', 'both'],
    ['z.org', '/a/b', 'any'],
    ['__proto__', '/a', 'any'],
  ])('%s%s goes to %s', (host, path, upstream) => {
    for (const list of [routes, routes.toReversed()]) {
      const match = new RouteTable(list).match(host, 'GET', aTarget(path));
      expect(match).toMatchObject({ kind: 'route', route: { upstream } });
    }
  });

  test('a method that the named host does not list is 405, whatever other hosts list', () => {
    const list = [aRoute('/a', { hosts: ['h'], methods: ['GET'] }), aRoute('/a')];
    expect(winner(list, '/a', 'POST', 'h')).toBe('405 /a');
    expect(winner(list, '/a', 'POST', 'x')).toBe('/a');
  });
});

test('two routes are the same place when host, shape of the path and method coincide', () => {
  const places = (pattern: string, methods: string[] | null, hosts: string[] = []): string[] =>
    placesOf({ pattern, methods, hosts });
  expect(places('/a/{x}', ['GET'])).toEqual(places('/a/{y}', ['GET']));
  expect(places('/a/b{x}', null)).toEqual(places('/a/b{y}', null));
  expect(places('/a/{x}', ['GET'])).not.toEqual(places('/a/{x}', ['PUT']));
  expect(places('/a', ['GET'])).not.toEqual(places('/a', null));
  expect(places('/a', null, ['h'])).not.toEqual(places('/a', null));
  expect(places('/a', ['GET', 'PUT'], ['h', 'i'])).toHaveLength(4);
});

test('segments that objects inherit are segments like others', () => {
  expect(winner(patterns('/constructor', '/__proto__/{x}'), '/__proto__/a')).toBe('/__proto__/{x}');
  expect(winner(patterns('/a'), '/constructor')).toBe('none');
});
