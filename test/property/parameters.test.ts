import { expect, test } from 'vitest';
import { Places, readFormCredential } from '../../src/core/credential.ts';
import { type BodyReading, Parameters } from '../../src/core/parameters.ts';
import { Rule } from '../../src/core/rule.ts';
import { readStrictJson } from '../../src/core/strict-json.ts';
import { readTemplate } from '../../src/core/template.ts';
import type { Json } from '../../src/core/token.ts';
import { below, pick, randomFrom, seed, several } from '../support/random.ts';
import { aRoute } from '../support/request.ts';

const encoded = (random: () => number, text: string): string =>
  [...text]
    .map(char => (random() < 0.2 && char !== '%' ? `%${char.charCodeAt(0).toString(16).padStart(2, '0')}` : char))
    .join('');

const bits = [
  'db',
  'Db',
  'id',
  'a',
  '.',
  '[',
  ']',
  '[]',
  '?',
  '%3f',
  ';',
  ' ',
  '+',
  '\0',
  '%',
  '%ff',
  '%e2%82%ac',
  '\u017f',
  '0',
  '',
];

function randomPairs(random: () => number): string {
  const name = (): string =>
    random() < 0.5 ? pick(random, ['db', 'id', 'a']) : several(random, 0, 3, () => pick(random, bits)).join('');
  const value = (): string => several(random, 0, 3, () => pick(random, [...bits, '=', '7'])).join('');
  return several(random, 0, 5, () => {
    const pair = `${encoded(random, name())}${random() < 0.9 ? '=' : ''}${encoded(random, value())}`;
    return random() < 0.1 ? '' : pair;
  }).join('&');
}

test(`a parameter that is read in pairs is what URLSearchParams reads, and the only one (seed ${seed})`, () => {
  const random = randomFrom(seed);
  let values = 0;
  for (let i = 0; i < 8_000; i++) {
    const [query, form] = [randomPairs(random), random() < 0.5 ? randomPairs(random) : null];
    const body: BodyReading = form === null ? { kind: 'none' } : { kind: 'form', text: form };
    const parameters = new Parameters(query, body);
    const texts = [query, form ?? ''];
    for (const name of ['db', 'id', 'a', 'a.db', 'A', 'constructor']) {
      const reading = parameters.read(name);
      const seen = texts.flatMap(text => new URLSearchParams(text).getAll(name));
      if (reading.kind === 'value') {
        values++;
        if (seen.length !== 1 || seen[0] !== reading.value)
          expect.fail(`${query} | ${form}: ${name} is ${reading.value}`);
        const others = texts.flatMap(text => [...new URLSearchParams(text).keys()]);
        const alike = others.filter(
          other => other.toLowerCase().trim().startsWith(`${name}[`) || other.toLowerCase() === name,
        );
        // Rack reads a name without brackets around it; what it would take for this one stands once as well.
        const racks = others.filter(other => /^[[\]]*([^[\]]+)/.exec(other)?.[1] === name);
        if (alike.length !== 1 || racks.length !== 1) expect.fail(`${query} | ${form}: ${name} stands beside ${alike}`);
      } else if (reading.kind === 'absent' && seen.length > 0) expect.fail(`${query} | ${form}: ${name} is not absent`);
    }
  }
  expect(values).toBeGreaterThan(1000);
});

function randomJson(random: () => number, depth = 0): Json {
  const plain = (): Json => pick<Json>(random, ['x', '', 0, 1, -1, 0.5, 1e-9, true, false, null, '\ud800', '*']);
  if (depth > 3 || random() < (depth === 0 ? 0.05 : 0.3)) return plain();
  if (random() < 0.25) return several(random, 0, 3, () => randomJson(random, depth + 1));
  const names = ['db', 'id', 'a', 'db', 'a', 'id', 'Db', 'a.db', 'a[db]', 'db[]', '0', 'constructor', ' db'];
  const map: Record<string, Json> = {};
  for (let i = below(random, 4); i > 0; i--) map[pick(random, names)] = randomJson(random, depth + 1);
  return map;
}

test(`a parameter that is read in JSON is what JSON.parse has there (seed ${seed})`, () => {
  const random = randomFrom(seed + 1);
  let values = 0;
  for (let i = 0; i < 8_000; i++) {
    const text = JSON.stringify(randomJson(random));
    const strict = readStrictJson(text);
    if (!strict.ok) expect.fail(`${text}: ${strict.why}`);
    const parameters = new Parameters(null, { kind: 'json', value: strict.value });
    const parsed = JSON.parse(text) as unknown;
    for (let call = 0; call < parameters.calls; call++) {
      const of = Array.isArray(parsed) ? (parsed[call] as unknown) : parsed;
      for (const name of ['db', 'a.db', 'a.0', 'a.a.id', 'constructor', '0']) {
        const reading = parameters.read(name, call);
        if (reading.kind !== 'value') continue;
        let at: unknown = of;
        for (const step of name.split('.')) {
          at =
            typeof at === 'object' && at !== null && Object.hasOwn(at, step)
              ? (at as Record<string, unknown>)[step]
              : undefined;
        }
        values++;
        if (String(at) !== reading.value) expect.fail(`${text}: ${name} is ${reading.value}`);
      }
    }
  }
  expect(values).toBeGreaterThan(500);
});

test(`rules, templates and tokens in bodies never throw, and what a rule names holds what the values are (seed ${seed})`, () => {
  const random = randomFrom(seed + 2);
  const places = new Places([{ kind: 'form', name: 'db' }]);
  const rule = new Rule(
    aRoute('/{id}', {
      require: { mode: 'all', permissions: ['x.{param.db}', '{id}'] },
      resource: '{param.a.db}/{param.id}',
      inspectBody: 1,
    }),
  );
  const commands = new Rule(
    aRoute('/', { require: { mode: 'any', permissions: ['{param.db}'] }, commands: { x: 'y', constructor: 'z' } }),
  );
  let demands = 0;
  for (let i = 0; i < 8_000; i++) {
    const value = random() < 0.3 ? { db: 'get', id: 1, a: { db: `${i}` } } : randomJson(random);
    const body: BodyReading = random() < 0.2 ? { kind: 'form', text: randomPairs(random) } : { kind: 'json', value };
    const parameters = new Parameters(random() < 0.5 ? null : randomPairs(random), body);
    const claim = rule.claim([pick(random, ['', '*', 'a', 'a.b', '\ud800'])], parameters);
    expect(commands.claim([], parameters).kind).toMatch(/^(?:demands|malformed|unlisted)$/);
    expect(readFormCredential(body, places, { kind: 'none' }).kind).toMatch(/^(?:none|one|ambiguous)$/);
    readTemplate(several(random, 0, 6, () => pick(random, ['{', '}', 'param.', 'a', '.', '*'])).join(''));
    if (claim.kind !== 'demands') continue;
    for (const { permissions, resource } of claim.demands) {
      demands++;
      expect(permissions[0]).toMatch(/^x\.[^.:*]+$/);
      expect(permissions[1]).toMatch(/^[^.:*]+$/);
      expect(resource).toMatch(/^[^/*]+\/[^/*]+$/);
    }
  }
  expect(demands).toBeGreaterThan(50);
});
