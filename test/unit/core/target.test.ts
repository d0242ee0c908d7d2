import { describe, expect, test } from 'vitest';
import { cutPair, decodeParameter, queryPairs, readTarget } from '../../../src/core/target.ts';
import { aTarget } from '../../support/request.ts';

const refused: readonly (readonly [why: string, ...targets: string[]])[] = [
  ['is not a path', '', '*', 'admin', 'http://evil/admin', 'HTTP://evil/', 'evil:443', '?x=1', '%2fadmin', ' /admin'],
  ['has a dot segment', '/..', '/.', '/a/..', '/a/../b', '/a/./b', '/./a', '/public/../admin/x', '/public/./../admin'],
  ['has a dot segment behind a parameter', '/api/..;/admin', '/api/..;x=1/admin', '/.;/admin', '/a/..%3b/admin'],
  ['has an encoded dot', '/public/%2e%2e/admin', '/public/%2E./admin', '/public/.%2e/admin', '/a%2eb', '/a/%2E'],
  ['has an encoded slash beside dots', '/public/..%2fadmin', '/public/x%2f..%2fadmin', '/public/x%2F.%2Fadmin'],
  ['has an encoded dot and slash', '/public/%2e%2e%2fadmin'],
  ['has a backslash', '/public\\..\\admin', '/\\evil/admin', '/a\\b', '/\\'],
  ['has an encoded backslash', '/public/..%5cadmin', '/a%5Cb', '/%5c'],
  ['has an encoded NUL', '/a%00', '/%00/admin', '/admin%00.png'],
  ['is encoded twice', '/public/%252e%252e/admin', '/a%252Fb', '/a%255cb', '/a%2525b', '/a%2500'],
  [
    'is encoded twice, digit by digit',
    '/a/%25%32%65%25%32%65/b',
    '/a%25%32%66b',
    '/a%25%35%63b',
    '/a%252%65',
    '/a%25%30%30',
  ],
  ['has a broken percent-encoding', '/%', '/a%1', '/%zz', '/%u002e', '/a%2', '/%%32%65', '/a%-1'],
  ['is not UTF-8', '/%c0%ae', '/%c0%af', '/%ff', '/%e0%80%af', '/a%80', '/%ed%a0%80', '/%f8%88%80%80%80'],
  ['has a fragment', '/a#b', '/a?b#c', '/#'],
  [
    'has what must be encoded',
    '/a b',
    '/a\tb',
    '/a"b',
    '/a<b',
    '/a>b',
    '/a^b',
    '/a`b',
    '/a{b',
    '/a}b',
    '/a\x7f',
    '/é',
    '/a\r\nb',
    '/a\0',
  ],
  ['has what must be encoded in its query', '/a?b c', '/a?é', '/a?b\tc', '/a?b\x7f', '/a?\0', '/a?b\r\nX: 1'],
  ['has a broken percent-encoding in its query', '/a?%', '/a?b=%1', '/a?b=%zz', '/a?%u0041'],
];

for (const [why, ...targets] of refused) {
  test.each(targets)(`a target that ${why} is refused, whatever the route allows: %j`, target => {
    expect(readTarget(target)).toEqual({ ok: false, why: expect.stringMatching(/\w/) });
  });
}

test.each([
  ['/', [''], null],
  ['/a', ['a'], null],
  ['/a/', ['a', ''], null],
  ['/a/b/c', ['a', 'b', 'c'], null],
  ['/a?', ['a'], ''],
  ['/?', [''], ''],
  ['/a?b=c&d', ['a'], 'b=c&d'],
  ['/a?b?c=/../;//%2e%2e', ['a'], 'b?c=/../;//%2e%2e'],
  [`/a?{"x":['y']}|\\^\`<>`, ['a'], `{"x":['y']}|\\^\`<>`],
  ['/%61dmin', ['admin'], null],
  ['/%41%42', ['AB'], null],
  ['/caf%C3%A9', ['café'], null],
  ['/%e2%82%ac/%F0%9F%98%80', ['€', '😀'], null],
  ['/.well-known/x', ['.well-known', 'x'], null],
  ['/...', ['...'], null],
  ['/a./.b/..c/d..', ['a.', '.b', '..c', 'd..'], null],
  ['/a%20b/%23%3f', ['a b', '#?'], null],
  [`/-._~!$&'()*+,=:@|[]`, [`-._~!$&'()*+,=:@|[]`], null],
] as const)('%s is read as it stands, its segments decoded once', (raw, segments, query) => {
  const target = aTarget(raw);
  expect(target.raw).toBe(raw);
  expect(target.segments).toEqual(segments);
  expect(target.query).toBe(query);
  expect(target.needs).toEqual([]);
  expect(query === null ? target.path : `${target.path}?${query}`).toBe(raw);
});

describe('what only a route can allow', () => {
  test.each([
    ['/a%2Fb', ['a/b'], ['encoded_slash']],
    ['/a%2fb/c', ['a/b', 'c'], ['encoded_slash']],
    ['/%2f', ['/'], ['encoded_slash']],
    ['/100%25', ['100%'], ['encoded_percent']],
    ['/a%2541', ['a%41'], ['encoded_percent']],
    ['/a;b=1/c', ['a;b=1', 'c'], ['semicolon']],
    ['/;', [';'], ['semicolon']],
    // Servers that decode before they cut parameters off see a parameter here too.
    ['/admin%3bx/y', ['admin;x', 'y'], ['semicolon']],
    ['/admin/%3Bname', ['admin', ';name'], ['semicolon']],
    ['//', ['', ''], ['double_slash']],
    ['//admin/x', ['', 'admin', 'x'], ['double_slash']],
    ['///admin', ['', '', 'admin'], ['double_slash']],
    ['/public//admin', ['public', '', 'admin'], ['double_slash']],
    ['//a;b%2F%25', ['', 'a;b/%'], ['encoded_slash', 'encoded_percent', 'semicolon', 'double_slash']],
  ] as const)('%s', (raw, segments, needs) => {
    const target = aTarget(raw);
    expect(target.needs).toEqual(needs);
    expect(target.segments).toEqual(segments);
    expect(target.raw).toBe(raw);
  });

  test('a query needs no allowance', () => {
    expect(aTarget('/a?b=%2f%25;//x%5c%00').needs).toEqual([]);
  });
});

describe('queries', () => {
  test.each([
    ['', []],
    ['&&', []],
    ['a', [[0, 1, 'a', '']]],
    ['a=', [[0, 2, 'a', '']]],
    ['=b', [[0, 2, '', 'b']]],
    ['a=b=c', [[0, 5, 'a', 'b=c']]],
    ['a=1;b=2', [[0, 7, 'a', '1;b=2']]],
    [
      '&a=1&&b=2&',
      [
        [1, 4, 'a', '1'],
        [6, 9, 'b', '2'],
      ],
    ],
    ['%61=%62', [[0, 7, '%61', '%62']]],
  ] as const)('%j is split at & only, and stays encoded', (query, pairs) => {
    expect(queryPairs(query).map(({ start, end, name, value }) => [start, end, name, value])).toEqual(pairs);
  });

  test.each([
    ['t=1', 0, null],
    ['t=1&a=2', 0, 'a=2'],
    ['a=2&t=1', 1, 'a=2'],
    ['a=2&t=1&b=3', 1, 'a=2&b=3'],
    ['&t=1', 0, null],
    ['t=1&', 0, null],
    ['&&t=1&&a', 0, '&&&a'],
    ['a&&t=1', 1, 'a&'],
  ] as const)('of %j a pair goes with one adjacent &, and a bare question mark with it', (query, index, rest) => {
    expect(cutPair(query, queryPairs(query)[index]!)).toBe(rest);
  });

  test.each([
    ['a+b%20c', 'a b c'],
    ['%2B', '+'],
    ['%2541', '%41'],
    ['%ff', null],
  ])('a parameter %j is decoded once, and + is a space', (text, decoded) => {
    expect(decodeParameter(text)).toBe(decoded);
  });
});
