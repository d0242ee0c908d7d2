import { describe, expect, test } from 'vitest';
import {
  cookiePairs,
  cutCookies,
  cutProtocols,
  findOurs,
  type Place,
  Places,
  type Reading,
  readCredential,
  readFormCredential,
} from '../../../src/core/credential.ts';
import { headLimits } from '../../../src/core/form.ts';
import type { Json } from '../../../src/core/token.ts';
import { aForm } from '../../support/request.ts';

const everyPlace: readonly Place[] = [
  { kind: 'header', name: 'Authorization', scheme: 'Bearer' },
  { kind: 'header', name: 'X-Api-Key', scheme: null },
  { kind: 'query', name: 'auth_token' },
  { kind: 'cookie', name: 'api_token' },
  { kind: 'websocket_protocol', prefix: 'token.' },
];

const read = (target: string, fields: string[] = [], places = everyPlace): Reading =>
  readCredential(aForm(target, fields), new Places(places));

/** The value that was found, or how it went otherwise. */
function outcomeOf(reading: Reading): string {
  return reading.kind === 'one' ? `= ${reading.found.value}` : reading.kind;
}

describe('Authorization', () => {
  test.each([
    ['Bearer tA', '= tA'],
    ['bearer tA', '= tA'],
    ['BEARER tA', '= tA'],
    ['Bearer a.b~c+d/e-f_g==', '= a.b~c+d/e-f_g=='],
    ['Bearer', 'ambiguous'],
    ['Bearer  tA', 'ambiguous'],
    ['Bearer\ttA', 'ambiguous'],
    ['Bearer tA tB', 'ambiguous'],
    ['Bearer tA, Bearer tB', 'ambiguous'],
    ['Bearer tA,', 'ambiguous'],
    ['Bearer,tA', 'ambiguous'],
    ['Bearer tA, Basic dEE6', 'ambiguous'],
    ['Bearer "tA"', 'ambiguous'],
    ['Bearer t%41', 'ambiguous'],
    ['Bearer t=A', 'ambiguous'],
    ['Bearer t\u00e9', 'ambiguous'],
    ['Bearer t\0', 'ambiguous'],
    ['Bearer =', 'ambiguous'],
    ['BearertA', 'none'],
    ['Bearer-tA', 'none'],
    ['Basic dEE6', 'none'],
    ['Token tA', 'none'],
    ['tA', 'none'],
    ['', 'none'],
  ])('%j: the scheme in any case, one space, one token68, or %s', (value, outcome) => {
    expect(outcomeOf(read('/', ['Authorization', value]))).toBe(outcome);
  });

  test.each([
    ['Bearer', 'authorization: bearer is followed by no token'],
    ['BEARER \t', 'authorization: bearer is followed by no token'],
    ['Bearer  tA', 'authorization: bearer is not followed by one space and one token'],
    ['Bearer,tA', 'authorization: bearer is not followed by one space and one token'],
  ])('why %j is refused names the scheme, and nothing behind it', (value, why) => {
    expect(read('/', ['Authorization', value])).toEqual({ kind: 'ambiguous', why });
  });

  test.each<[string, string[]]>([
    ['valid first', ['Authorization', 'Bearer tA', 'Authorization', 'Bearer tB']],
    ['valid last', ['Authorization', 'Bearer tB', 'authorization', 'Bearer tA']],
    ['equal', ['Authorization', 'Bearer tA', 'AUTHORIZATION', 'Bearer tA']],
    ['one of another scheme', ['Authorization', 'Basic dEE6', 'Authorization', 'Bearer tA']],
    ['both of another scheme', ['Authorization', 'Basic dEE6', 'Authorization', 'Basic dEE6']],
  ])('two lines are ambiguous: %s', (_, fields) => {
    expect(read('/', fields).kind).toBe('ambiguous');
  });

  test('several schemes may be configured, and each is read', () => {
    const places: Place[] = ['Bearer', 'Token'].map(scheme => ({ kind: 'header', name: 'authorization', scheme }));
    expect(outcomeOf(read('/', ['Authorization', 'token tA'], places))).toBe('= tA');
    expect(outcomeOf(read('/', ['Authorization', 'Bearer tA'], places))).toBe('= tA');
    expect(outcomeOf(read('/', ['Authorization', 'ApiKey tA'], places))).toBe('none');
  });
});

describe('a field that is a token as a whole', () => {
  test.each([
    ['tA', '= tA'],
    ['any text, "at" all', '= any text, "at" all'],
    ['Bearer tA', '= Bearer tA'],
    ['', 'none'],
  ])('%j', (value, outcome) => {
    expect(outcomeOf(read('/', ['x-API-key', value]))).toBe(outcome);
  });

  test('an empty one beside a full one is no second token; two full ones are ambiguous', () => {
    expect(outcomeOf(read('/', ['X-Api-Key', '', 'X-Api-Key', 'tA']))).toBe('= tA');
    expect(outcomeOf(read('/', ['X-Api-Key', 'tA', 'X-Api-Key', 'tA']))).toBe('ambiguous');
  });

  test('may also take a scheme', () => {
    const places: Place[] = [
      { kind: 'header', name: 'x-api-key', scheme: null },
      { kind: 'header', name: 'x-api-key', scheme: 'Key' },
    ];
    expect(outcomeOf(read('/', ['X-Api-Key', 'key tA'], places))).toBe('= tA');
    expect(outcomeOf(read('/', ['X-Api-Key', 'tA'], places))).toBe('= tA');
    expect(outcomeOf(read('/', ['X-Api-Key', 'Key  tA'], places))).toBe('ambiguous');
  });
});

describe('the query', () => {
  test.each([
    ['/?auth_token=tA', '= tA'],
    ['/?a=1&auth_token=tA&b=2', '= tA'],
    ['/?auth%5Ftoken=tA', '= tA'],
    ['/?auth_token=t%41', '= t%41'],
    ['/?auth_token=a=b', '= a=b'],
    ['/?auth_token=', 'none'],
    ['/?auth_token', 'none'],
    ['/?auth_token=&auth_token=tA', '= tA'],
    ['/?auth_token=tA&auth_token=tA', 'ambiguous'],
    ['/?auth_token=tA&auth%5ftoken=tB', 'ambiguous'],
    ['/?auth_token[]=tA', 'ambiguous'],
    ['/?auth_token[0]=tA', 'ambiguous'],
    ['/?auth_token[', 'ambiguous'],
    ['/?auth_token%5B%5D=tA', 'ambiguous'],
    ['/?auth_token%5B%0A%5D=tA', 'ambiguous'],
    ['/?AUTH_token=tA', 'ambiguous'],
    ['/?Auth_Token', 'ambiguous'],
    ['/?a=1;auth_token=tA', 'none'],
    ['/?my_auth_token=tA', 'none'],
    ['/?auth%255Ftoken=tA', 'none'],
    ['/?%ff=tA', 'none'],
    ['/auth_token=tA', 'none'],
  ])('%s: %s', (target, outcome) => {
    expect(outcomeOf(read(target))).toBe(outcome);
  });

  test('is not looked at where no parameter carries tokens', () => {
    expect(outcomeOf(read('/?AUTH_TOKEN=a&auth_token=b', [], everyPlace.slice(0, 2)))).toBe('none');
  });
});

describe('cookies', () => {
  test.each([
    ['api_token=tA', '= tA'],
    ['a=1; api_token=tA; b=2', '= tA'],
    ['a=1;api_token=tA;b=2', '= tA'],
    ['api_token = tA', '= tA'],
    ['api_token=a=b', '= a=b'],
    ['api_token="tA"', '= "tA"'],
    ['api_token=', 'none'],
    ['api_token', 'none'],
    ['API_TOKEN=tA', 'none'],
    ['my_api_token=tA', 'none'],
    ['__proto__=tA; constructor=tB', 'none'],
    ['api_token=; api_token=tA', '= tA'],
    ['api_token=tA; api_token=tA', 'ambiguous'],
  ])('%j: %s', (line, outcome) => {
    expect(outcomeOf(read('/', ['Cookie', line]))).toBe(outcome);
  });

  test('two lines count as one list', () => {
    expect(read('/', ['Cookie', 'api_token=tA', 'cookie', 'api_token=tB']).kind).toBe('ambiguous');
    expect(outcomeOf(read('/', ['Cookie', 'a=1', 'Cookie', 'api_token=tB']))).toBe('= tB');
  });
});

describe('an offered WebSocket protocol', () => {
  test.each([
    ['token.tA', '= tA'],
    ['chat, token.tA,v2', '= tA'],
    ['token.', 'none'],
    ['Token.tA', 'none'],
    ['chat', 'none'],
    ['token.tA, token.tA', 'ambiguous'],
  ])('%j: %s', (line, outcome) => {
    expect(outcomeOf(read('/', ['Sec-WebSocket-Protocol', line]))).toBe(outcome);
  });

  test('two lines count as one list', () => {
    const fields = ['Sec-WebSocket-Protocol', 'token.tA', 'Sec-WebSocket-Protocol', 'token.tB'];
    expect(read('/', fields).kind).toBe('ambiguous');
  });
});

const oneEach: readonly (readonly [string, string, string[]])[] = [
  ['authorization', '/', ['Authorization', 'Bearer tA']],
  ['a field', '/', ['X-Api-Key', 'tA']],
  ['a parameter', '/?auth_token=tA', []],
  ['a cookie', '/', ['Cookie', 'api_token=tA']],
  ['a protocol', '/', ['Sec-WebSocket-Protocol', 'token.tA']],
];

test.each(
  oneEach.flatMap(([a, targetA, fieldsA], i) =>
    oneEach
      .slice(i + 1)
      .map(
        ([b, targetB, fieldsB]) =>
          [a, b, targetA === '/' ? targetB : targetA, [...fieldsA, ...fieldsB]] satisfies [
            string,
            string,
            string,
            string[],
          ],
      ),
  ),
)('tokens in %s and %s are ambiguous, equal ones too', (_a, _b, target, fields) => {
  expect(read(target, fields).kind).toBe('ambiguous');
});

test('nothing is read at places that are not configured', () => {
  for (const [, target, fields] of oneEach) expect(read(target, fields, []).kind).toBe('none');
});

test('a challenge names Bearer only where Authorization takes it', () => {
  expect(new Places(everyPlace).challengeScheme).toBe('Bearer');
  expect(new Places([{ kind: 'header', name: 'authorization', scheme: 'Token' }]).challengeScheme).toBe('ApiKey');
  expect(new Places([{ kind: 'header', name: 'x-key', scheme: 'Bearer' }]).challengeScheme).toBe('ApiKey');
  expect(new Places([]).challengeScheme).toBe('ApiKey');
});

describe('on public routes', () => {
  const isOurs = (value: string): boolean => value.startsWith('pst_');
  const ours = (target: string, fields: string[] = []): string[] =>
    findOurs(aForm(target, fields), new Places(everyPlace), isOurs).map(found => `${found.place} ${found.value}`);

  test('every value of ours at a configured place is found, however many there are', () => {
    const fields = [
      ...['Authorization', 'Bearer pst_1', 'AUTHORIZATION', 'bearer  pst_2', 'X-Api-Key', 'pst_3'],
      ...['Cookie', 'a=pst_0; api_token=pst_4; api_token=pst_5', 'Cookie', 'api_token=pst_6'],
      ...['Sec-WebSocket-Protocol', 'token.pst_7, chat, token.pst_8'],
    ];
    const target = '/?auth_token=pst_9&Auth_Token[]=pst_10&auth%5ftoken=pst_11&x=pst_0';
    expect(ours(target, fields)).toEqual([
      ...['header pst_1', 'header pst_2', 'header pst_3', 'cookie pst_4', 'cookie pst_5', 'cookie pst_6'],
      ...['websocket_protocol pst_7', 'websocket_protocol pst_8', 'query pst_9', 'query pst_10', 'query pst_11'],
    ]);
  });

  test('what is not ours, or stands elsewhere, passes', () => {
    const fields = [
      ...['Authorization', 'Bearer foreign', 'Authorization', 'Basic pst_1', 'X-Api-Key', 'xpst_1', 'X-Other', 'pst_1'],
      ...['Cookie', 'api_token=foreign; other=pst_1', 'Sec-WebSocket-Protocol', 'pst_1, token.foreign'],
    ];
    expect(ours('/pst_1?auth_token=foreign&other=pst_1', fields)).toEqual([]);
  });
});

describe('cutting', () => {
  test.each([
    ['t=1', ''],
    ['t=1; a=2', 'a=2'],
    ['a=2; t=1', 'a=2'],
    ['a=2; t=1; b=3', 'a=2; b=3'],
    ['a=2;t=1;b=3', 'a=2;b=3'],
    ['a=2;  t = 1 ;b=3', 'a=2;b=3'],
    ['t=1; a=2; t=1', 'a=2'],
    ['t=1; t=2', 't=2'],
    ['T=1; t=11; tt=1', 'T=1; t=11; tt=1'],
    ['; t=1;', ''],
    ['a="x y"; t=1; b=\u00a0', 'a="x y"; b=\u00a0'],
  ])('of the cookies %j the pair t=1 goes: %j', (line, rest) => {
    expect(cutCookies(line, new Set(['t=1']))).toBe(rest);
  });

  test.each([
    ['token.1', ''],
    ['chat, token.1', 'chat'],
    ['token.1, chat,v2', 'chat, v2'],
    ['token.1, token.1', ''],
    ['token.1,,token.11, Token.1', 'token.11, Token.1'],
  ])('of the protocols %j token.1 goes: %j', (line, rest) => {
    expect(cutProtocols(line, new Set(['token.1']))).toBe(rest);
  });

  test('a pair is cut in whatever spelling it was read', () => {
    for (const line of ['t=1', ' t=1', 't =1', 't= 1 ', '\tt=\t1']) {
      expect(cookiePairs(line)).toEqual([{ name: 't', value: '1' }]);
      expect(cutCookies(line, new Set(['t=1']))).toBe('');
    }
  });
});

describe('the largest heads cost no more than a few milliseconds', () => {
  const size = headLimits.bytes - 200;
  const fill = (piece: (i: number) => string): string => {
    let text = '';
    for (let i = 0; text.length < size - 30; i++) text += piece(i);
    return text;
  };
  const bracketed = `/?${'['.repeat(size - 10)}%0a=1`;

  test.each<[string, string, string[]]>([
    ['a name of brackets', bracketed, []],
    ['names that are not UTF-8', `/?${fill(() => '%ff&')}`, []],
    ['empty parameters', `/?${fill(() => 'a&')}`, []],
    ['cookies', '/', ['Cookie', fill(i => `a${i}=1;`)]],
    ['protocols', '/', ['Sec-WebSocket-Protocol', fill(() => 'a,')]],
  ])('%s', (_, target, fields) => {
    const form = aForm(target, fields);
    const places = new Places(everyPlace);
    const once = (): number => {
      const start = performance.now();
      readCredential(form, places);
      findOurs(form, places, value => value.startsWith('pst_'));
      return performance.now() - start;
    };
    expect(Math.min(...Array.from({ length: 5 }, once))).toBeLessThan(50);
  });
});

describe('a member of an inspected body', () => {
  const forms = new Places([{ kind: 'form', name: 'auth_token' }]);
  const none: Reading = { kind: 'none' };
  const inForm = (text: string, before: Reading = none): string =>
    outcomeOf(readFormCredential({ kind: 'form', text }, forms, before));
  const inJson = (value: Json, before: Reading = none): string =>
    outcomeOf(readFormCredential({ kind: 'json', value }, forms, before));

  test.each([
    ['auth_token=tA', '= tA'],
    ['a=1&auth%5Ftoken=t%41', '= tA'],
    ['auth_token=&auth_token=tA', '= tA'],
    ['auth_token=', 'none'],
    ['auth_token', 'none'],
    ['x=auth_token=tA', 'none'],
    ['x[auth_token]=tA', 'none'],
    ['auth_token=tA&auth_token=tA', 'ambiguous'],
    ['AUTH_TOKEN=tA', 'ambiguous'],
    ['auth_token[]=tA', 'ambiguous'],
    ['auth_token%5b%5D=', 'ambiguous'],
    ['auth_token=%ff', 'ambiguous'],
    ['auth_token=%', 'ambiguous'],
  ])('%j in a form: %s', (text, outcome) => {
    expect(inForm(text)).toBe(outcome);
  });

  test.each<[Json, string]>([
    [{ auth_token: 'tA', x: 1 }, '= tA'],
    [{ auth_token: '' }, 'none'],
    [{ x: { auth_token: 'tA' } }, 'none'],
    [{ 'auth%5Ftoken': 'tA' }, 'none'],
    [{ 'auth+token': 'tA' }, 'none'],
    [{ '\ud800': 1 }, 'none'],
    [{ auth_token: null }, 'ambiguous'],
    [{ auth_token: 1 }, 'ambiguous'],
    [{ auth_token: ['tA'] }, 'ambiguous'],
    [{ Auth_token: 'tA' }, 'ambiguous'],
    [{ 'auth_token[]': 'tA' }, 'ambiguous'],
    [['tA'], 'none'],
    ['tA', 'none'],
    [null, 'none'],
    [[{ x: 1 }, null, { auth_token: '' }], 'none'],
    [[{ auth_token: 'tA' }], 'ambiguous'],
    [[{}, { AUTH_TOKEN: '' }], 'ambiguous'],
  ])('%j: %s', (value, outcome) => {
    expect(inJson(value)).toBe(outcome);
  });

  test('beside a token in the head is one too many, even the same', () => {
    const before = { kind: 'one', found: { place: 'header', field: 0, value: 'tA' } } satisfies Reading;
    expect(inForm('auth_token=tA', before)).toBe('ambiguous');
    expect(inJson({ auth_token: 'tA' }, before)).toBe('ambiguous');
    expect(inForm('auth_token=', before)).toBe('= tA');
    expect(readFormCredential({ kind: 'closed' }, forms, before)).toBe(before);
  });

  test('is not looked for where no place says so', () => {
    const body = { kind: 'form', text: 'auth_token=tA' } as const;
    expect(readFormCredential(body, new Places(everyPlace), none)).toBe(none);
  });
});
