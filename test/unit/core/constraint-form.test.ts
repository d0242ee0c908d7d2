import { describe, expect, test } from 'vitest';
import { checkConstraints, type SaidConstraints, shownConstraints } from '../../../src/core/constraint-form.ts';
import { readPasswordHash } from '../../../src/core/password-hash.ts';

const salt = 'A'.repeat(22);
const hash = 'A'.repeat(43);
const phc = (params: string, saltText = salt, hashText = hash): string => `$scrypt$${params}$${saltText}$${hashText}`;

function faults(said: unknown): string[] {
  const found: string[] = [];
  checkConstraints(said as SaidConstraints, pointer => found.push(pointer));
  return found;
}
const many = (count: number): string[] => Array.from({ length: count }, (_, i) => `${i}`);

test('good constraints of every kind are taken', () => {
  expect(
    faults({
      networks: ['10.0.0.0/8', '2001:db8::/32', '192.0.2.7', '::1', '0.0.0.0/0'],
      methods: ['GET', 'MKCOL', 'VERSION-CONTROL'],
      paths: ['/db/**', '/w/{id}', '/'],
      params: { cloudId: 'c1', 'params.database': 'sales' },
      origins: ['https://app.example.com', 'http://localhost:3000', 'chrome-extension://abc'],
      signature: { key: 'k'.repeat(32) },
      basic: { alice: 'x', bob: true, carol: phc('ln=15,r=8,p=1'), 'ü user': 'pässword with spaces' },
    }),
  ).toEqual([]);
  expect(faults({ signature: {} })).toEqual([]);
  expect(faults({})).toEqual([]);
});

describe('what is wrong has its pointer', () => {
  const rows: [said: object, pointers: string[]][] = [
    [
      { networks: ['10.0.0.1/8', 'x', '10.0.0.0/33', '::/129', '010.0.0.1', '1.2.3', '10.0.0.0/08'] },
      many(7).map(i => `/networks/${i}`),
    ],
    [{ networks: ['::1', '::1'] }, ['/networks/1']],
    [{ methods: ['get', '', 'A B', 'A'.repeat(33)] }, many(4).map(i => `/methods/${i}`)],
    [{ paths: ['x', '/a?b', '/*', '/**/b', `/${'a'.repeat(1024)}`] }, many(5).map(i => `/paths/${i}`)],
    [
      { params: { 'a[]': 'x', '': 'x', 'a.': 'x', good: '', 'a/b': 'x\n' } },
      ['/params/a[]', '/params/', '/params/a.', '/params/good', '/params/a~1b'],
    ],
    [
      { origins: ['null', '*', 'https://a/', 'https://A', 'https://a:443', 'http://a:80', 'a', 'https://u@a'] },
      many(8).map(i => `/origins/${i}`),
    ],
    [{ signature: { key: 'short' } }, ['/signature/key']],
    [{ signature: { key: 'k'.repeat(257) } }, ['/signature/key']],
    [{ signature: { key: `${'k'.repeat(32)} ` } }, ['/signature/key']],
    [
      { basic: { 'a:b': 'x', '': 'x', a: '', b: 'x\0', c: 'x'.repeat(257), d: '$argon2id$v=19$x', e: '$scrypt$' } },
      ['/basic/a:b', '/basic/', '/basic/a', '/basic/b', '/basic/c', '/basic/d', '/basic/e'],
    ],
    [
      { networks: [], methods: [], paths: [], params: {}, origins: [], basic: {} },
      ['/networks', '/methods', '/paths', '/params', '/origins', '/basic'],
    ],
    [{ networks: many(65) }, ['/networks']],
    [{ params: Object.fromEntries(many(65).map(i => [i, i])) }, ['/params']],
    [{ basic: Object.fromEntries(many(17).map(i => [i, 'x'])) }, ['/basic']],
  ];
  test.each(rows)('%j', (said, pointers) => {
    expect(faults(said)).toEqual(pointers);
  });
});

describe('an imported hash cannot burn the process', () => {
  test.each([
    'ln=18,r=8,p=1',
    'ln=17,r=9,p=1',
    'ln=17,r=8,p=2',
    'ln=15,r=8,p=5',
    'ln=30,r=1,p=1',
    'ln=63,r=8,p=1',
    'ln=99,r=99,p=99',
    'ln=10,r=99,p=99',
    'ln=9,r=8,p=1',
    'ln=015,r=8,p=1',
    'ln=15,r=0,p=1',
    'ln=15,r=8',
    'r=8,ln=15,p=1',
    'ln=1e1,r=8,p=1',
    'ln=15,r=8,p=1,x=1',
    'ln=15,r=-8,p=1',
  ])('%s is refused', params => {
    expect(readPasswordHash(phc(params))).toBeTypeOf('string');
  });
  test('nor do long or twisted texts', () => {
    expect(readPasswordHash(phc('ln=15,r=8,p=1', 'A'.repeat(87)))).toBeTypeOf('string');
    expect(readPasswordHash(phc('ln=15,r=8,p=1', salt, 'A'.repeat(1000)))).toBeTypeOf('string');
    expect(readPasswordHash(phc('ln=15,r=8,p=1', `${'A'.repeat(21)}B`))).toBeTypeOf('string');
    expect(readPasswordHash(`${phc('ln=15,r=8,p=1')}=`)).toBeTypeOf('string');
    expect(readPasswordHash(`${phc('ln=15,r=8,p=1')}\n`)).toBeTypeOf('string');
  });
  test('those of the OWASP cheat sheet are taken', () => {
    for (const params of ['ln=17,r=8,p=1', 'ln=16,r=8,p=2', 'ln=15,r=8,p=3', 'ln=14,r=8,p=5', 'ln=13,r=8,p=10']) {
      expect(readPasswordHash(phc(params))).toBeTypeOf('object');
    }
  });
});

test('what is shown has no secret, and shown again it is the same', () => {
  const shown = shownConstraints({ methods: ['GET'], signature: { sealed: 'v1.secret' }, basic: { alice: 'hash' } });
  expect(shown).toEqual({ methods: ['GET'], signature: {}, basic: { alice: true } });
  expect(shownConstraints(shown)).toEqual(shown);
});
