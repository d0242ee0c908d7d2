import { describe, expect, test } from 'vitest';
import { lowerNames } from '../../../src/core/fields.ts';
import { type BodyReading, noBody, Parameters } from '../../../src/core/parameters.ts';
import type { Json } from '../../../src/core/token.ts';

/** The value that is read, or how it went otherwise. */
function read(name: string, query: string | null, body: BodyReading = noBody, call = 0): string {
  const reading = new Parameters(query, body).read(name, call);
  return reading.kind === 'value' ? `= ${reading.value}` : reading.kind;
}

const json = (value: Json): BodyReading => ({ kind: 'json', value });
const form = (text: string): BodyReading => ({ kind: 'form', text });

describe('pairs', () => {
  test.each<[string | null, string]>([
    [null, 'absent'],
    ['', 'absent'],
    ['x=1', '= 1'],
    ['x', '= '],
    ['x=', '= '],
    ['x=a=b', '= a=b'],
    ['x=a+b%2Bc', '= a b+c'],
    ['x=%e2%82%ac', '= €'],
    ['x=a&y[x]=1', '= a'],
    ['xy=1&yx=2', 'absent'],
    ['x=a&x=a', 'ambiguous'],
    ['x=a&X=b', 'ambiguous'],
    ['X=a', 'ambiguous'],
    ['x[]=a', 'ambiguous'],
    ['x%5b0%5d=a', 'ambiguous'],
    ['x=a&x.y=b', '= a'],
    ['x=a;b', 'ambiguous'],
    ['x=a%3Bb', '= a;b'],
    ['y=1;x=2', 'ambiguous'],
    ['%e9=1&x=2', 'ambiguous'],
    ['x=%e9', 'ambiguous'],
  ])('%j: x is %s, in a query and in a form', (text, expected) => {
    expect(read('x', text)).toBe(expected);
    if (text !== null) expect(read('x', null, form(text))).toBe(expected);
  });

  test('are one list, of query and form', () => {
    expect(read('x', 'x=1', form('y=2'))).toBe('= 1');
    expect(read('x', 'y=1', form('x=2'))).toBe('= 2');
    expect(read('x', 'x=1', form('x=1'))).toBe('ambiguous');
    expect(read('x', 'x=1', form('X[]=1'))).toBe('ambiguous');
  });

  test('have names that servers fold in ways of their own', () => {
    for (const other of ['a.b', 'a b', 'a+b', 'a[b', '%20a_b', 'A_B', 'a_b%00', 'a_b%00x', '%e2%80%a8a_b']) {
      expect([other, read('a_b', `a_b=1&${other}=2`)]).toEqual([other, 'ambiguous']);
    }
    // What PHP makes of white space behind a name, and others do not.
    expect(read('a_', 'a_=1&a+=2')).toBe('ambiguous');
    // The long s and the sign of Kelvin are letters to those who fold one way only.
    expect(read('sk', 'sk=1&%c5%bfk=2')).toBe('ambiguous');
    expect(read('sk', 'sk=1&s%e2%84%aa=2')).toBe('ambiguous');
    expect(read('a-b', 'a-b=1&a_b=2')).toBe('= 1');
  });

  test.each(['?x', '%3fx', '??x', '?#x', '#x', '+?x', '?+x', '?X', '?[x]', '[?x'])(
    '%s in front is what parsers that drop a question mark take for x',
    name => {
      for (const pairs of [`${name}=2`, `x=1&${name}=2`, `${name}=2&x=1`]) {
        expect([pairs, read('x', pairs)]).toEqual([pairs, 'ambiguous']);
        expect([pairs, read('x', null, form(pairs))]).toEqual([pairs, 'ambiguous']);
        expect([pairs, read('x.y', pairs)]).toEqual([pairs, 'ambiguous']);
      }
    },
  );

  test.each(['[x]', '[x', 'x]', ']x', ']]x[[', '[[x]]', '[]x', '[x][y]', 'x][y]', '%5bx%5d', '+[x]', '.[x]', '[ x ]'])(
    '%s is in some server x',
    name => {
      for (const pairs of [`${name}=2`, `x=1&${name}=2`]) {
        expect([pairs, read('x', pairs)]).toEqual([pairs, 'ambiguous']);
        expect([pairs, read('x.y', pairs)]).toEqual([pairs, 'ambiguous']);
      }
      const member = decodeURIComponent(name.replaceAll('+', ' '));
      expect(read('x', null, json({ x: 1, [member]: 2 }))).toBe('ambiguous');
      expect(read('x.y', null, json({ x: { y: 1 }, [member]: 2 }))).toBe('ambiguous');
      expect(read('x.y', null, json({ x: { y: 1 }, [`${member}.z`]: 2 }))).toBe('ambiguous');
      expect(read('y.x', null, json({ y: { x: 1, [member]: 2 } }))).toBe('ambiguous');
    },
  );

  test('are not nested: what could be meant so is ambiguous', () => {
    for (const query of ['a.b=1', 'a[b]=1', 'a=1', 'A=1', 'a%5bb%5d=1', 'a.c=1']) {
      expect([query, read('a.b', query)]).toEqual([query, 'ambiguous']);
    }
    expect(read('a.b', 'ab=1&b=2')).toBe('absent');
  });
});

describe('members of JSON', () => {
  test.each<[Json, string]>([
    [{ x: 'a' }, '= a'],
    [{ x: '' }, '= '],
    [{ x: 7 }, '= 7'],
    [{ x: -0 }, '= 0'],
    [{ x: 0.1 }, '= 0.1'],
    [{ x: 1e-7 }, '= 1e-7'],
    [{ x: true }, '= true'],
    [{ x: false }, '= false'],
    [{ x: null }, 'ambiguous'],
    [{ x: [] }, 'ambiguous'],
    [{ x: {} }, 'ambiguous'],
    [{}, 'absent'],
    [{ y: { x: 1 } }, 'absent'],
    [{ X: 'a' }, 'ambiguous'],
    [{ x: 'a', X: 'b' }, 'ambiguous'],
    [{ x: 'a', 'x[]': 'b' }, 'ambiguous'],
    [{ x: 'a', ' x': 'b' }, 'ambiguous'],
    [{ x: 'a', 'x.y': 'b' }, '= a'],
    ['x', 'ambiguous'],
    [null, 'ambiguous'],
    [1, 'ambiguous'],
    [[], 'ambiguous'],
    [['x'], 'ambiguous'],
    [[{ x: 'a' }], '= a'],
  ])('of %j: x is %s', (value, expected) => {
    expect(read('x', null, json(value))).toBe(expected);
  });

  test('inherit nothing', () => {
    for (const name of ['constructor', 'toString', 'hasOwnProperty', 'length', 'constructor.name', 'a.length']) {
      expect([name, read(name, null, json({ a: [] })).startsWith('=')]).toEqual([name, false]);
      expect([name, read(name, null).startsWith('=')]).toEqual([name, false]);
    }
    expect(read('a.b.c', null, json({ a: 'text' }))).toBe('ambiguous');
  });

  test('of members, and items of lists', () => {
    expect(read('a.b.c', null, json({ a: { b: { c: 'x' } } }))).toBe('= x');
    expect(read('a.1.c', null, json({ a: [{}, { c: 'x' }] }))).toBe('= x');
    expect(read('a.2', null, json({ a: ['x', 'y'] }))).toBe('absent');
    for (const index of ['-1', '01', '1e0', '0x1', '1_', '4294967296']) {
      expect([index, read(`a.${index}`, null, json({ a: ['x', 'y'] })).startsWith('=')]).toEqual([index, false]);
    }
    for (const twisted of [{ 'a.b': 'y' }, { A: {} }, { 'a[b]': 'y' }, { 'a[]': 'y' }, { 'A.c': 1 }]) {
      expect([twisted, read('a.b', null, json({ a: { b: 'x' }, ...twisted }))]).toEqual([twisted, 'ambiguous']);
    }
  });

  test('of each call of a batch, with what stands in the query for all', () => {
    const batch = json([{ x: 'a' }, { x: 'b' }, {}]);
    const parameters = new Parameters('y=1', batch);
    expect(parameters.calls).toBe(3);
    expect([0, 1, 2, 3].map(call => read('x', 'y=1', batch, call))).toEqual(['= a', '= b', 'absent', 'ambiguous']);
    expect([0, 1, 2].map(call => read('y', 'y=1', batch, call))).toEqual(['= 1', '= 1', '= 1']);
    expect([0, 1, 2].map(call => read('x', 'x=1', batch, call))).toEqual(['ambiguous', 'ambiguous', '= 1']);
  });

  test('an empty batch is a call that nothing can be read of, so that nobody passes for want of calls', () => {
    expect(new Parameters(null, json([])).calls).toBe(1);
    expect(read('x', 'x=1', json([]))).toBe('ambiguous');
  });
});

describe('a cookie', () => {
  const beside = (cookie: string, name = 'x', query: string | null = 'x=1', body: BodyReading = noBody): string => {
    const fields = ['Cookie', cookie];
    const reading = new Parameters(query, body, { fields, names: lowerNames(fields) }).read(name);
    return reading.kind === 'value' ? `= ${reading.value}` : reading.kind;
  };
  test.each([
    'x=2',
    'x',
    'x=',
    'a=1; x=2',
    'a=1;x=2',
    'a=1, x=2',
    'X=2',
    'x[]=2',
    '%78=2',
    'x%5b%5d=2',
    ' x =2',
    '%zz; x=2',
  ])('%j is what some servers read for x', cookie => {
    expect(beside(cookie)).toBe('ambiguous');
    expect(beside(cookie, 'x', null)).toBe('ambiguous');
    expect(beside(cookie, 'x.y', null, json({ x: { y: 1 } }))).toBe('ambiguous');
  });
  test.each(['y=x', 'xy=2', '%zz=2', '', ';;=', 'y=1; z="2"', '%ff=1'])('%j is none of x', cookie => {
    expect(beside(cookie)).toBe('= 1');
  });
  test('counts on each of its lines', () => {
    const fields = ['Cookie', 'a=1', 'cookie', 'x=2'];
    expect(new Parameters('x=1', noBody, { fields, names: lowerNames(fields) }).read('x').kind).toBe('ambiguous');
  });
});

test('more pairs than some server reads are ambiguous, empty ones and those of both places counted', () => {
  expect(read('x', `${'a&'.repeat(999)}x=1`)).toBe('= 1');
  for (const piece of ['a&', 'a=1&', '&', 'a;']) expect(read('x', `${piece.repeat(1000)}x=1`)).toBe('ambiguous');
  expect(read('x', 'a&'.repeat(500), form(`${'a&'.repeat(400)}x=1`))).toBe('= 1');
  expect(read('x', 'a&'.repeat(500), form(`${'a&'.repeat(500)}x=1`))).toBe('ambiguous');
  expect(read('x', 'a&'.repeat(1000), json({ x: 1 }))).toBe('ambiguous');
});

test.each(['_json', '_JSON', '_json[]', '[_json]', '_charset_'])('beside %s nothing is told', name => {
  expect(read('x', `x=1&${name}=2`)).toBe('ambiguous');
  expect(read('x', null, form(`${name}=2&x=1`))).toBe('ambiguous');
  expect(read('x', `${name}=1`, json([{ x: 1 }]))).toBe('ambiguous');
  expect(read('x', null, json({ x: 1, [name]: [] }))).toBe('ambiguous');
  expect(read('x', 'x=1', json({ [name]: [] }))).toBe('ambiguous');
});

test('names take work that grows with their length alone', () => {
  for (const filler of ['+', '[', ']', '?', '.', '%00', '%01', '%01+', '+[', 'a+', '%c3%a9+']) {
    const long = filler.repeat(300_000);
    const reading = read('y', null, form(`y=1&x${long}x=1&${long}x=1`));
    expect([filler, reading]).toEqual([filler, '= 1']);
  }
});

describe('in every call', () => {
  const batch = json([{ x: 'a', y: 'a' }, { x: 'a', y: 'b' }, { x: 'a' }]);
  const one = (value: string) => ({ kind: 'value', value }) as const;
  test('a parameter is what it is in the first, and what it is in the first that differs', () => {
    const parameters = new Parameters('z=1', batch);
    expect(parameters.readEvery('x')).toEqual({ first: one('a'), other: null });
    expect(parameters.readEvery('y')).toEqual({ first: one('a'), other: { call: 1, reading: one('b') } });
    expect(parameters.readEvery('z')).toEqual({ first: one('1'), other: null });
    expect(parameters.readEvery('w')).toEqual({ first: { kind: 'absent' }, other: null });
  });

  test('it stays known when the body is released, and whatever was not asked for is closed', () => {
    for (const body of [batch, form('x=a')]) {
      const parameters = new Parameters('z=1', body);
      const before = parameters.readEvery('x');
      parameters.release();
      expect(parameters.readEvery('x')).toEqual(before);
      expect(parameters.readEvery('y').first.kind).toBe('closed');
      expect(parameters.readEvery('z').first.kind).toBe('closed');
      expect(parameters.read('x').kind).toBe('closed');
      expect(parameters.kind).toBe(body.kind);
    }
  });

  test('a query is read again, as it is not released with the body that there is not', () => {
    const parameters = new Parameters('x=1', noBody);
    parameters.release();
    expect(parameters.readEvery('x')).toEqual({ first: one('1'), other: null });
  });
});

test('names are folded once, however many parameters are asked for', () => {
  let folds = 0;
  const members: Record<string, Json> = { a: 1 };
  for (let i = 0; i < 500; i++) members[`\u00e9${i}`] = 1;
  const counted = new Proxy(members, {
    ownKeys: target => {
      folds++;
      return Reflect.ownKeys(target);
    },
  });
  const parameters = new Parameters(null, json([counted, counted]));
  for (let i = 0; i < 64; i++) for (const call of [0, 1]) parameters.read(i === 0 ? 'a' : `a${i}`, call);
  expect(folds).toBe(1);
});

describe('the Content-Type', () => {
  const typed = (...fields: string[]): string => {
    const reading = new Parameters('x=1', noBody, { fields, names: lowerNames(fields) }).read('x');
    return reading.kind === 'value' ? `= ${reading.value}` : reading.kind;
  };
  test.each([
    '',
    'text/plain',
    'text/plain; charset=utf-8',
    'application/json ;\tCHARSET="UTF-8"',
    'x/y;charset=Utf-8 ',
  ])('%j leaves a query what it is', type => {
    expect(typed('Content-Type', type)).toBe('= 1');
  });
  test.each([
    'text/plain;charset=utf-7',
    'text/plain;charset=utf8',
    'text/plain;charset*=utf-7',
    "text/plain;charset*=utf-8''utf-7",
    'text/plain;charset*0=utf;charset*1=-7',
    'text/plain;charset=utf-8;charset=utf-8',
    'text/plain;charset=utf-8;charset=utf-7',
    'text/plain;charset="utf-7"',
    "text/plain;charset='utf-8'",
    'text/plain;charset="\\utf-8"',
    'text/plain;charset=',
    'text/plain;charset',
    'text/plain;',
    'text/plain,text/plain',
    'text/plain;x=1',
    'text/plain;x="charset=utf-7"',
    'multipart/form-data; boundary=x',
    ';charset=utf-7',
    'text',
    ' ',
  ])('%j makes it ambiguous: some servers decode a query by it', type => {
    expect(typed('Content-Type', type)).toBe('ambiguous');
  });
  test('that stands twice, or in a spelling that some servers take for it, does so too', () => {
    expect(typed('Content-Type', 'x/y', 'content-type', 'x/y')).toBe('ambiguous');
    expect(typed('Content_Type', 'x/y')).toBe('ambiguous');
  });
});

test('a body that is not looked into may have any parameter', () => {
  expect(read('x', null, { kind: 'closed' })).toBe('closed');
  expect(read('x', 'x=1', { kind: 'closed' })).toBe('closed');
});
