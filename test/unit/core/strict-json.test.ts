import { describe, expect, test } from 'vitest';
import { deepestJson, readStrictJson } from '../../../src/core/strict-json.ts';
import { pick, randomFrom, seed } from '../../support/random.ts';

const value = (text: string) => {
  const reading = readStrictJson(text);
  if (!reading.ok) throw new Error(`${reading.line}:${reading.column} ${reading.why}`);
  return reading;
};
const why = (text: string) => {
  const reading = readStrictJson(text);
  return reading.ok ? null : `${reading.line}:${reading.column} ${reading.why}`;
};

/** A random JSON text: sometimes spaced, sometimes escaped, with names that objects inherit. */
function randomText(random: () => number, depth = 0): string {
  const gap = () => pick(random, ['', '', ' ', '\n', '\t', ' \r\n ']);
  const string = () =>
    JSON.stringify(
      pick(random, ['', 'a', 'constructor', 'toString', 'é', '😀', '"\\/\b\f\n\r\t', '\u2028', '\ud800']),
    ).replace(/é/g, pick(random, ['é', '\\u00e9', '\\u00E9']));
  const kind = depth > 5 ? Math.floor(random() * 4) : Math.floor(random() * 6);
  switch (kind) {
    case 0:
      return string();
    case 1:
      return pick(random, [
        '0',
        '-0',
        '1',
        '-12',
        '1.5',
        '0.1e-7',
        '1E2',
        '1e+3',
        '9007199254740991',
        '-9007199254740991',
      ]);
    case 2:
      return pick(random, ['true', 'false', 'null']);
    case 3:
      return String(Math.fround(random() * 1000));
    case 4: {
      const items = Array.from(
        { length: Math.floor(random() * 4) },
        () => gap() + randomText(random, depth + 1) + gap(),
      );
      return `[${items.join(',')}${items.length === 0 ? gap() : ''}]`;
    }
    default: {
      const members = Array.from({ length: Math.floor(random() * 4) }, (_, i) => {
        const name = JSON.stringify(`${pick(random, ['a', '', 'constructor', 'hasOwnProperty', '1'])}${i}`);
        return `${gap()}${name}${gap()}:${gap()}${randomText(random, depth + 1)}${gap()}`;
      });
      return `{${members.join(',')}${members.length === 0 ? gap() : ''}}`;
    }
  }
}

describe('strict JSON', () => {
  test(`agrees with JSON.parse on everything that it takes (seed ${seed})`, () => {
    const random = randomFrom(seed);
    for (let i = 0; i < 3000; i++) {
      const text = randomText(random);
      expect(value(text).value, text).toEqual(JSON.parse(text));
    }
  });

  test(`takes nothing that JSON.parse refuses, and what it refuses it places within the text (seed ${seed})`, () => {
    const random = randomFrom(seed);
    for (let i = 0; i < 10_000; i++) {
      const whole = randomText(random);
      const at = Math.floor(random() * (whole.length + 1));
      const text =
        whole.slice(0, at) +
        pick(random, ['', ',', '"', '\\', '}', ']', '1', 'e', '.', '\u0000', ':']) +
        whole.slice(at + (random() < 0.5 ? 1 : 0));
      const reading = readStrictJson(text);
      let parsed: unknown;
      let fine = true;
      try {
        parsed = JSON.parse(text);
      } catch {
        fine = false;
      }
      if (reading.ok) {
        expect(fine, text).toBe(true);
        if (reading.refused.length === 0) expect(reading.value, text).toEqual(parsed);
      } else {
        const lines = text.split('\n');
        expect(reading.line, text).toBeLessThanOrEqual(lines.length);
        expect(reading.column, text).toBeLessThanOrEqual(lines[reading.line - 1]!.length + 1);
        if (fine) expect(reading.why, text).toMatch(/stands twice/);
      }
    }
  });

  test.each([
    ['', '1:1 the text ends too soon'],
    ['   ', '1:4 the text ends too soon'],
    ['{"a":1,\n "b":tru}', '2:6 a value is expected'],
    ['{"a":1,}', '1:8 a member name is expected'],
    ['[1,]', '1:4 a value is expected'],
    ['[1 2]', '1:4 a comma or ] is expected'],
    ['{"a" 1}', '1:6 a colon is expected'],
    ['{a:1}', '1:2 a member name is expected'],
    ['{"a":1', '1:7 a comma or } is expected'],
    ['"abc', '1:5 a string has no end'],
    ['"a\nb"', '1:3 a control character must be escaped'],
    ['"\\x"', '1:2 this escape is not one of JSON'],
    ['"\\u12g4"', '1:2 this escape is not one of JSON'],
    ['1 2', '1:3 something follows the value'],
    ['{} // x', '1:4 something follows the value'],
    ['01', '1:2 something follows the value'],
    ['+1', '1:1 a value is expected'],
    ['.5', '1:1 a value is expected'],
    ['NaN', '1:1 a value is expected'],
    ["'a'", '1:1 a value is expected'],
    ['\ufeff{}', '1:1 a byte order mark is not taken'],
    ['\u00a01', '1:1 a value is expected'],
  ])('says where %j is wrong', (text, expected) => {
    expect(why(text)).toBe(expected);
  });

  test.each(['{"a":1,"a":1}', '{"a":1,"\\u0061":2}', '{"x":{"b":1,"c":2,"b":3}}', '[{"":1,"":2}]'])(
    'two members of one name are refused: %s',
    text => {
      expect(why(text)).toMatch(/this member stands twice$/);
    },
  );

  test('equal names in different objects are fine', () => {
    expect(value('[{"a":1},{"a":{"a":2}}]').value).toEqual([{ a: 1 }, { a: { a: 2 } }]);
  });

  test('64 levels are read, 65 are not, however many are opened', () => {
    const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);
    expect(why(nested(deepestJson))).toBeNull();
    expect(why(nested(deepestJson + 1))).toBe('1:65 more than 64 levels');
    expect(why('{"a":'.repeat(1_000_000))).toMatch(/more than 64 levels$/);
    expect(value(`[${'[],'.repeat(1000)}[]]`).refused).toEqual([]);
  });

  test.each(['9007199254740992', '-9007199254740993', '1e16', '1e400', '-1e400', '12345678901234567890'])(
    'the whole number %s, which is not exact, is listed with its place',
    text => {
      expect(value(`{"a":[0,${text}]}`).refused).toEqual([
        { pointer: '/a/1', detail: 'is a number too large to be exact' },
      ]);
    },
  );

  test('a member named __proto__ is listed, left out, and changes nothing that objects inherit', () => {
    const reading = value('{"a/b":{"~":{"__proto__":{"polluted":true},"x":1}},"\\u005f_proto__":[1]}');
    expect(reading.refused.map(({ pointer }) => pointer)).toEqual(['/a~1b/~0/__proto__', '/__proto__']);
    expect(JSON.stringify(reading.value)).toBe('{"a/b":{"~":{"x":1}}}');
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
    expect(Object.getPrototypeOf(reading.value)).toBe(Object.prototype);
  });

  test('names that objects inherit are members like any other', () => {
    const reading = value('{"constructor":{"prototype":{"x":1}},"toString":2,"hasOwnProperty":3}').value;
    expect(Object.entries(reading as object)).toEqual([
      ['constructor', { prototype: { x: 1 } }],
      ['toString', 2],
      ['hasOwnProperty', 3],
    ]);
    expect(({} as { x?: number }).x).toBeUndefined();
  });

  test('a megabyte of anything is read in no more than a moment', () => {
    const million = 1_000_000;
    const texts = [
      '['.repeat(64) + '1,'.repeat(million / 2),
      `"${'\\'.repeat(million)}`,
      `"${'a'.repeat(million)}`,
      `[${'"\\u0041",'.repeat(million / 9)}1]`,
      ' '.repeat(million),
      `{${Array.from({ length: million / 12 }, (_, i) => `"${i}":1`).join(',')}}`,
      '-'.repeat(million),
      '1'.repeat(million),
      '\n'.repeat(million),
    ];
    for (const text of texts) {
      const start = performance.now();
      readStrictJson(text);
      expect(performance.now() - start).toBeLessThan(2000);
    }
  });
});

test('what is listed as refused stays small, however large the body', () => {
  const name = 'a'.repeat(400_000);
  const reading = readStrictJson(`{"${name}":[${Array.from({ length: 100_000 }, () => '1e999').join()}]}`);
  if (!reading.ok) throw new Error(reading.why);
  expect(reading.refused).toHaveLength(100);
  expect(JSON.stringify(reading.refused).length).toBeLessThan(200_000);
});

test('more values than are asked for are a fault, and those within one another count each', () => {
  for (const [text, values] of [
    ['1', 1],
    ['[]', 1],
    ['[1,[2,{}]]', 5],
    ['{"a":{"b":null},"c":"x"}', 4],
  ] as const) {
    expect([text, readStrictJson(text, values).ok]).toEqual([text, true]);
    expect(readStrictJson(text, values - 1)).toMatchObject({ ok: false, tooMany: true });
  }
  expect(readStrictJson('[1,', 9)).toMatchObject({ ok: false, tooMany: false });
});

test('half a surrogate in a name is a fault, wherever it stands, and in a value is none', () => {
  for (const half of ['\\ud800', '\\udc00', 'a\\uD83Db', '\\ude00\\ud83d']) {
    for (const text of [`{"${half}":1}`, `{"a":[{"b":1,"${half}":1}]}`]) {
      expect(readStrictJson(text)).toMatchObject({ ok: false, tooMany: false });
    }
    expect(readStrictJson(`{"a":"${half}"}`).ok).toBe(true);
  }
  expect(readStrictJson('{"\\ud83d\\ude00":1}')).toMatchObject({ ok: true, value: { '\u{1f600}': 1 } });
});
