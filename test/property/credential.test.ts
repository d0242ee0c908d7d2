import { describe, expect, test } from 'vitest';
import { cookiePairs, cutCookies, cutProtocols, findOurs, Places, readCredential } from '../../src/core/credential.ts';
import { permitPublic } from '../../src/core/decide.ts';
import { cutPair, queryPairs } from '../../src/core/target.ts';
import type { Journey } from '../../src/ports/forwarder.ts';
import { type FieldRules, outgoing } from '../../src/proxy/fields.ts';
import { below, pick, randomFrom, seed, several } from '../support/random.ts';
import { aForm, aRoute } from '../support/request.ts';

const places = new Places([
  { kind: 'header', name: 'authorization', scheme: 'Bearer' },
  { kind: 'header', name: 'x-api-key', scheme: null },
  { kind: 'query', name: 'tok' },
  { kind: 'cookie', name: 'tok' },
  { kind: 'websocket_protocol', prefix: 'tok.' },
]);
const rules: FieldRules = {
  identityPrefix: 'x-p-',
  identityName: 'X-P-',
  instance: 'p',
  tokenQueries: places.queries,
};
const isOurs = (value: string): boolean => value.startsWith('pst_');

describe('cutting a credential from a query', () => {
  const pieces = ['', '', 'a', 'a=1', 'b=%26', 'c==', '=', 'tok', 'tok=', 'tok2=x', 'a=tok', '%74ok', '?', 'x;tok=y'];

  test(`leaves every other byte, with one adjacent & the less (seed ${seed})`, () => {
    const random = randomFrom(seed);
    for (let i = 0; i < 20_000; i++) {
      const list = several(random, 0, 6, () => pick(random, pieces));
      const at = below(random, list.length + 1);
      list.splice(at, 0, 'tok=pst_1');
      const query = list.join('&');
      const pair = queryPairs(query).find(({ value }) => value === 'pst_1')!;
      const left = list.toSpliced(at, 1).join('&');
      if ((cutPair(query, pair) ?? '') !== left) expect.fail(`${query} became ${cutPair(query, pair)}`);
    }
  });

  test(`is what becomes of a whole target, however many there are (seed ${seed})`, () => {
    const random = randomFrom(seed + 1);
    for (let i = 0; i < 10_000; i++) {
      const list = several(random, 1, 6, () => (random() < 0.3 ? `tok=pst_${below(random, 9)}` : pick(random, pieces)));
      const form = aForm(`/p%20q?${list.join('&')}`);
      const permit = permitPublic(aRoute('/**'), findOurs(form, places, isOurs));
      const journey = { form, client: { fields: [] }, requestId: '' } as unknown as Journey;
      const { target } = outgoing(permit, journey, rules, { kind: 'fixed', host: 'h' });
      const left = list.filter(piece => !piece.startsWith('tok=pst_'));
      const expected = left.length === list.length || left.join('&') !== '' ? `/p%20q?${left.join('&')}` : '/p%20q';
      if (target !== expected) expect.fail(`${form.target.raw} became ${target}, not ${expected}`);
    }
  });
});

test(`cutting cookies leaves the other pairs, in order, and no trace of those that are cut (seed ${seed})`, () => {
  const random = randomFrom(seed + 2);
  const odd = ['', ' ', 'tok', '=pst_1', 'a', '\u00a0'];
  for (let i = 0; i < 20_000; i++) {
    const pair = (): string => {
      const space = (): string => pick(random, ['', '', ' ', '\t']);
      const name = pick(random, ['tok', 'a', 'b', 'TOK', 'toke']);
      const value = pick(random, ['pst_1', 'pst_2', '1', '"x y"', '', 'é', 'pst_1=']);
      return random() < 0.15 ? pick(random, odd) : `${space()}${name}${space()}=${space()}${value}${space()}`;
    };
    const line = several(random, 1, 6, pair).join(';').trim();
    const cut = new Set(['tok=pst_1', ...(random() < 0.5 ? ['tok=pst_2'] : [])]);
    const left = cutCookies(line, cut);
    const others = cookiePairs(line).filter(({ name, value }) => !cut.has(`${name}=${value}`));
    if (JSON.stringify(cookiePairs(left)) !== JSON.stringify(others)) expect.fail(`${line} became ${left}`);
    // What is left stands in the line as it stood, whatever it is.
    const pieces = line.split(';').map(piece => piece.trim());
    if (left !== '' && !left.split(';').every(piece => pieces.includes(piece.trim()))) expect.fail(`${line}: ${left}`);
    if (cutCookies(left, cut) !== left) expect.fail(`${left} is not cut whole`);
  }
});

test(`cutting protocols leaves the other elements, in order (seed ${seed})`, () => {
  const random = randomFrom(seed + 3);
  for (let i = 0; i < 10_000; i++) {
    const list = several(random, 1, 6, () => pick(random, ['tok.1', 'tok.2', 'v1', 'v2', 'TOK.1', 'tok', '']));
    const line = list.map(element => element + pick(random, ['', ' '])).join(pick(random, [',', ', ']));
    const left = list.filter(element => element !== '' && element !== 'tok.1').join(', ');
    if (cutProtocols(line, new Set(['tok.1'])) !== left) expect.fail(`${line} became ${left}`);
  }
});

test(`a credential is read once, or not at all, and is cut wherever it was read (seed ${seed})`, () => {
  const random = randomFrom(seed + 4);
  const outcomes = { none: 0, one: 0, ambiguous: 0 };
  for (let i = 0; i < 20_000; i++) {
    const value = (): string => pick(random, ['pst_1', 'pst_1', 'foreign', '', 'a b']);
    const field = (): string[] =>
      pick(random, [
        () => ['Authorization', `Bearer ${value()}`.trim()],
        () => ['Authorization', `Basic ${value()}`.trim()],
        () => ['x-api-KEY', value()],
        () => ['Cookie', `a=1; tok=${value()}`],
        () => ['Sec-WebSocket-Protocol', `v1, tok.${value()}`],
        () => ['X-Other', value()],
      ])();
    const query = random() < 0.3 ? `?tok=${value().replace(' ', '+')}` : '';
    const form = aForm(`/${query}`, several(random, 0, 3, field).flat());
    const reading = readCredential(form, places);
    outcomes[reading.kind]++;
    if (reading.kind !== 'one') continue;
    const permit = permitPublic(aRoute('/**'), [reading.found]);
    const journey = { form, client: { fields: [] }, requestId: '' } as unknown as Journey;
    const sent = outgoing(permit, journey, rules, { kind: 'fixed', host: 'h' });
    const again = readCredential(aForm(sent.target, sent.fields.slice(2)), places);
    if (again.kind !== 'none') expect.fail(`${form.target.raw} ${form.fields} became ${sent.target} ${sent.fields}`);
  }
  expect(Math.min(...Object.values(outcomes))).toBeGreaterThan(500);
});

test(`reading credentials never throws, whatever stands in the fields (seed ${seed})`, () => {
  const random = randomFrom(seed + 5);
  const names = ['authorization', 'x-api-key', 'cookie', 'sec-websocket-protocol', 'referer'];
  const bits = ['Bearer', ' ', ';', ',', '=', 'tok', 'tok.', 'pst_1', '\t', '"', '%', '\u00ff', 'x'];
  for (let i = 0; i < 10_000; i++) {
    const fields = several(random, 0, 5, () => [
      pick(random, names),
      several(random, 0, 8, () => pick(random, bits)).join(''),
    ]).flat();
    const form = aForm('/?%74ok[=&=&tok', fields);
    expect(readCredential(form, places).kind).toMatch(/^(?:none|one|ambiguous)$/);
    expect(findOurs(form, places, isOurs).every(found => isOurs(found.value))).toBe(true);
  }
});
