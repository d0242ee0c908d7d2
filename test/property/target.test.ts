import { describe, expect, test } from 'vitest';
import { permitPublic } from '../../src/core/decide.ts';
import { RouteTable } from '../../src/core/route.ts';
import { allowances, readTarget, type Target } from '../../src/core/target.ts';
import type { Journey } from '../../src/ports/forwarder.ts';
import { type FieldRules, outgoing } from '../../src/proxy/fields.ts';
import { backends, decodeLoosely } from '../support/backends.ts';
import { below, pick, randomFrom, seed, several } from '../support/random.ts';
import { aForm, aRoute } from '../support/request.ts';

const rules: FieldRules = { identityPrefix: 'x-p-', identityName: 'X-P-', instance: 'p', tokenQueries: new Set() };

/** What is sent for a target when no credential is cut. */
function sentFor(target: Target, stripSegments = 0): string {
  const form = { ...aForm('/'), target };
  const permit = permitPublic(aRoute('/**', { stripSegments }), []);
  const journey = { form, client: { fields: [] }, requestId: '' } as unknown as Journey;
  return outgoing(permit, journey, rules, { kind: 'fixed', host: 'h' }).target;
}

test(`reading a target never throws, whatever it is made of (seed ${seed})`, () => {
  const random = randomFrom(seed);
  const pieces = [
    '/',
    '%',
    '%2',
    '%ff',
    '%c3%a9',
    '..',
    '.',
    ';',
    '?',
    '#',
    '\\',
    '\0',
    'é',
    '\ud800',
    'a',
    '2f',
    '%25',
  ];
  let accepted = 0;
  for (let i = 0; i < 20_000; i++) {
    const byte = (): string => (random() < 0.6 ? pick(random, pieces) : String.fromCharCode(below(random, 256)));
    const raw = (random() < 0.9 ? '/' : '') + several(random, 0, 12, byte).join('');
    const reading = readTarget(raw);
    if (!reading.ok) {
      expect(reading.why, raw).not.toBe('');
      continue;
    }
    accepted++;
    const { target } = reading;
    expect(target.raw).toBe(raw);
    expect(target.query === null ? target.path : `${target.path}?${target.query}`).toBe(raw);
    expect(raw, 'a target that is sent').toMatch(/^\/[!-~]*$/);
    expect(target.segments.length).toBe(target.path.split('/').length - 1);
    expect(sentFor(target)).toBe(raw);
  }
  expect(accepted).toBeGreaterThan(200);
});

const table = new RouteTable(
  ['/public/**', '/admin/**', '/admin', '/api/**', '/api/{id}/admin/**', '/api/db.{action}', '/a%20b/**', '/**'].map(
    pattern => aRoute(pattern),
  ),
);

/** The pattern that a path is judged by. */
function judged(segments: readonly string[]): string {
  const match = table.match('', 'GET', { segments } as Target);
  return match.kind === 'route' ? match.route.pattern : match.kind;
}

const words = ['public', 'admin', 'api', 'db.get', 'db.', 'a', 'x', '1', 'a b', 'é', '', '.', '..', '...', '*', '~'];
const oddSeparators = ['//', '/./', '/../', '\\', '%2f', '%2F', '%5c', '%252f', ';', ';x/', '%3b', '%3B'];
const oddEnds = [
  ';',
  ';x=1',
  '%3b',
  '%3bx',
  '%00',
  '%20',
  '%09',
  '%0a',
  '%23',
  '%3f',
  '%25',
  '%252e',
  '%c0%ae',
  '%ff',
  '.',
  '..',
  '%2e',
  '%u002e',
  '%',
];

function spelled(random: () => number, char: string): string {
  const style = char === ' ' || char === 'é' ? 0 : random();
  if (style >= 0.08) return char;
  const hex = [...Buffer.from(char, 'utf8')].map(byte => `%${byte.toString(16).padStart(2, '0')}`).join('');
  if (style < 0.04) return hex;
  if (style < 0.06) return hex.toUpperCase();
  if (style < 0.07) return hex.replaceAll('%', '%25');
  return [...hex].map(digit => (/[0-9]/.test(digit) ? `%3${digit}` : digit)).join('');
}

/** A target from words, encodings and separators that servers read differently. */
function anyTarget(random: () => number): string {
  let path = '';
  for (let i = 1 + below(random, 5); i > 0; i--) {
    path += path === '' || random() < 0.8 ? '/' : pick(random, oddSeparators);
    for (const char of pick(random, words)) path += spelled(random, char);
    if (random() < 0.2) path += pick(random, oddEnds);
  }
  return random() < 0.2 ? `${path}?${pick(random, ['', 'a=/../admin', 'x=%2e%2e', '/admin'])}` : path;
}

describe('what is judged is what any server behind would route by', () => {
  test(`no accepted target leads anywhere else (seed ${seed})`, () => {
    const random = randomFrom(seed);
    const seen = new Set<string>();
    let accepted = 0;
    for (let i = 0; i < 250_000; i++) {
      const raw = anyTarget(random);
      const reading = readTarget(raw);
      // What a route would have to allow is vouched for by whoever writes that route.
      if (!reading.ok || reading.target.needs.length > 0) continue;
      accepted++;
      const judgement = judged(reading.target.segments);
      seen.add(judgement);
      for (const [name, backend] of Object.entries(backends)) {
        const segments = backend(reading.target.path);
        if (segments === null || judged(segments) === judgement) continue;
        expect.fail(`${raw} is judged by ${judgement}, but ${name} makes /${segments.join('/')} of it`);
      }
    }
    // The generator reaches every place, and does not only make what is refused.
    expect(accepted).toBeGreaterThan(40_000);
    expect([...seen].toSorted()).toEqual([...table.routes.map(({ pattern }) => pattern), 'malformed'].toSorted());
  });

  test(`what one allowance lets through is only what it names (seed ${seed})`, () => {
    const random = randomFrom(seed + 1);
    const found = new Set<string>();
    for (let i = 0; i < 50_000; i++) {
      const raw = anyTarget(random);
      const reading = readTarget(raw);
      if (!reading.ok) continue;
      const { path, needs } = reading.target;
      needs.forEach(need => void found.add(need));
      const named = [/%2f/i, /%25/, /;|%3b/i, /\/\//].map(spelling => spelling.test(path));
      const has = allowances.map(allowance => needs.includes(allowance));
      if (`${named}` !== `${has}`) expect.fail(`${raw} needs ${needs}`);
      // Whatever is allowed, nothing climbs: to no server is there a dot segment in it.
      for (const spelling of [path, decodeURIComponent(path), decodeLoosely(decodeLoosely(path))]) {
        if (/(?:^|[/\\])\.\.?(?:[/\\;\0]|$)/.test(spelling)) expect.fail(`${raw} has a dot segment: ${spelling}`);
      }
    }
    expect(found.size).toBe(4);
  });

  test(`stripping segments leaves the rest as it was judged (seed ${seed})`, () => {
    const random = randomFrom(seed + 2);
    let stripped = 0;
    for (let i = 0; i < 20_000; i++) {
      const reading = readTarget(anyTarget(random));
      if (!reading.ok || reading.target.needs.length > 0) continue;
      const { target } = reading;
      for (let count = 1; count <= Math.min(2, target.segments.length); count++) {
        const rest = readTarget(sentFor(target, count));
        if (!rest.ok) expect.fail(`${target.raw} without ${count} segments: ${rest.why}`);
        const left = target.segments.slice(count);
        expect(rest.target.segments, target.raw).toEqual(left.length === 0 ? [''] : left);
        expect(rest.target.query).toBe(target.query);
        expect(target.raw.endsWith(rest.target.raw.slice(1))).toBe(true);
        stripped++;
      }
    }
    expect(stripped).toBeGreaterThan(5000);
  });
});
