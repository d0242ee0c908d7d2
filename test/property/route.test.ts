import { describe, expect, test, vi } from 'vitest';
import { readPattern } from '../../src/core/path-pattern.ts';
import { type Route, RouteTable } from '../../src/core/route.ts';
import type { Target } from '../../src/core/target.ts';
import { pick, randomFrom, seed, several } from '../support/random.ts';
import { aRoute } from '../support/request.ts';

/**
 * The rule as it is written, slowly: of all patterns that match, the most specific from left to right. A segment is
 * worth more the more of it is literal; of equal ones the longer beginning, then the alphabet.
 */
type Worth = readonly [kind: number, literal: number, before: number, text: string];

interface Part {
  readonly worth: Worth;
  matches(segment: string): boolean;
}

function partOf(text: string): Part | 'rest' {
  if (text === '**') return 'rest';
  const open = text.indexOf('{');
  if (open === -1) return { worth: [3, 0, 0, ''], matches: segment => segment === text };
  const [before, after] = [text.slice(0, open), text.slice(text.indexOf('}') + 1)];
  const literal = before.length + after.length;
  return {
    worth: literal === 0 ? [1, 0, 0, ''] : [2, literal, before.length, before + after],
    matches: segment => segment.length >= literal && segment.startsWith(before) && segment.endsWith(after),
  };
}

const partsOf = (pattern: string): (Part | 'rest')[] => pattern.slice(1).split('/').map(partOf);

function matches(pattern: string, segments: readonly string[]): boolean {
  const parts = partsOf(pattern);
  const rest = parts.at(-1) === 'rest';
  const fixed = rest ? parts.slice(0, -1) : parts;
  if (rest ? segments.length < fixed.length : segments.length !== fixed.length) return false;
  return fixed.every((part, i) => (part as Part).matches(segments[i]!));
}

function compare(a: string, b: string): number {
  const [left, right] = [partsOf(a), partsOf(b)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    // A pattern that ends here goes over one whose rest is empty; anything goes over a rest.
    const rank = (part: Part | 'rest' | undefined): Worth =>
      part === undefined ? [4, 0, 0, ''] : part === 'rest' ? [0, 0, 0, ''] : part.worth;
    const [x, y] = [rank(left[i]), rank(right[i])];
    for (const k of [0, 1, 2] as const) if (x[k] !== y[k]) return y[k] - x[k];
    if (x[3] !== y[3]) return x[3] < y[3] ? -1 : 1;
  }
  return 0;
}

const slowWinner = (patterns: readonly string[], segments: readonly string[]): string =>
  patterns.filter(pattern => matches(pattern, segments)).toSorted(compare)[0] ?? 'none';

function anyPattern(random: () => number): string {
  let count = 0;
  const part = (): string =>
    pick(random, ['a', 'b', 'ab', 'aba', '{}', '{}', 'a{}', '{}b', 'a{}b', 'ab{}', '{}ba', 'a{}a']).replace(
      '{}',
      () => `{x${count++}}`,
    );
  const parts = several(random, 0, 3, part);
  if (random() < 0.3 || parts.length === 0) parts.push('**');
  return `/${parts.join('/')}`;
}

const anyPath = (random: () => number): string[] =>
  several(random, 1, 4, () => pick(random, ['a', 'b', 'ab', 'aba', 'abba', 'aa', 'bb', 'ba', 'c', 'axb']));

const shapeOf = (pattern: string): string => pattern.replace(/\{\w+\}/g, '{}');

test(`the winner is that of a slow look at every pattern, whatever their order (seed ${seed})`, () => {
  const random = randomFrom(seed);
  const won = new Set<string>();
  for (let round = 0; round < 2000; round++) {
    const patterns = new Map(several(random, 1, 12, () => anyPattern(random)).map(text => [shapeOf(text), text]));
    const list = [...patterns.values()];
    const tables = [list, list.toReversed()].map(order => new RouteTable(order.map(pattern => aRoute(pattern))));
    for (let i = 0; i < 20; i++) {
      const segments = anyPath(random);
      const slow = slowWinner(list, segments);
      won.add(shapeOf(slow));
      for (const table of tables) {
        const match = table.match('h', 'GET', { segments } as unknown as Target);
        // Where the winner captures nothing of what stands there, it is still the winner.
        const fast = match.kind === 'route' ? match.route.pattern : match.kind;
        if (fast === slow || (fast === 'malformed' && captures(slow, segments).includes(''))) continue;
        expect.fail(`/${segments.join('/')} goes to ${fast}, not ${slow}, of ${list.join(' ')}`);
      }
    }
  }
  expect(won.size).toBeGreaterThan(200);
});

test(`hosts and parts of segments together go where a look at every route goes (seed ${seed})`, () => {
  const random = randomFrom(seed + 3);
  const hosts = ['a.x', '*.x', '*.a.x', null];
  const text = (most: number): string => several(random, 0, most, () => pick(random, ['a', 'b', '.'])).join('');
  const segment = (): string => pick(random, [`x${text(4)}`, `${text(3)}{}${text(3)}`, `${text(3)}{}${text(3)}`, '{}']);
  let won = 0;
  for (let round = 0; round < 400; round++) {
    const routes = new Map<string, Route>();
    for (let i = 0; i < 30; i++) {
      let names = 0;
      const pattern = `/${several(random, 1, 2, segment).join('/')}`.replaceAll('{}', () => `{x${names++}}`);
      const host = pick(random, hosts);
      routes.set(
        `${host} ${shapeOf(pattern)}`,
        aRoute(pattern, { hosts: host === null ? [] : [host], upstream: `${host} ${pattern}` }),
      );
    }
    const list = [...routes.values()];
    const table = new RouteTable(list);
    for (let i = 0; i < 20; i++) {
      const host = pick(random, ['a.x', 'b.a.x', 'c.x', 'x', 'y']);
      const segments = several(random, 1, 2, () => pick(random, [text(6), `x${text(4)}`]));
      const slow = linearMatch(list, host, segments);
      const match = table.match(host, 'GET', { segments } as unknown as Target);
      if (slow === null) expect(match.kind).toBe('none');
      else if (captures(slow.pattern, segments).includes('')) expect(match.kind).toBe('malformed');
      else {
        won++;
        expect(match).toMatchObject({ kind: 'route', captures: captures(slow.pattern, segments) });
        if (match.kind === 'route') expect(match.route.upstream).toBe(slow.upstream);
      }
    }
  }
  expect(won).toBeGreaterThan(1000);
});

/** Hosts in their order, and among the routes of each one after the other. */
function linearMatch(routes: readonly Route[], host: string, segments: readonly string[]): Route | null {
  const groups = [...new Set(routes.map(route => route.hosts[0]))].filter(group => fits(group, host));
  for (const group of groups.toSorted((a, b) => weight(b, host) - weight(a, host))) {
    const own = routes.filter(route => route.hosts[0] === group && matches(route.pattern, segments));
    const winner = own.toSorted((a, b) => compare(a.pattern, b.pattern))[0];
    if (winner !== undefined) return winner;
  }
  return null;
}

describe('ten thousand routes cost as many look-ups as ten', () => {
  const kinds: Record<string, (i: number) => Route> = {
    'literal segments': i => aRoute(`/things-${i}/{id}`),
    'beginnings of segments': i => aRoute(`/thing${String(i).padStart(6, '0')}.{action}/x`),
    'ends of segments': i => aRoute(`/{name}.${String(i).padStart(6, '0')}/x`),
    'both of segments': i => aRoute(`/${String(i).padStart(6, '0')}-{x}-${String(i).padStart(6, '0')}`),
    'rests of paths': i => aRoute(`/things-${i}/**`),
    hosts: i => aRoute('/{id}', { hosts: [`h${i}.example.com`] }),
    'suffixes of hosts': i => aRoute('/{id}', { hosts: [`*.h${String(i).padStart(6, '0')}.example.com`] }),
    methods: i => aRoute('/{id}', { methods: [`M${i}`] }),
  };

  test.each(Object.entries(kinds))('%s', (_, make) => {
    const cost = (count: number): number => {
      const routes = Array.from({ length: count }, (_, i) => make(i));
      const table = new RouteTable(routes);
      let most = 0;
      for (let i = 0; i < count; i += Math.ceil(count / 100)) {
        const route = routes[i]!;
        const host = route.hosts[0]?.replace('*', 'a.b') ?? 'h';
        const segments = route.pattern
          .slice(1)
          .replace('**', 'r/s')
          .replace(/\{\w+\}/, 'value')
          .split('/');
        const look = vi.spyOn(Map.prototype, 'get');
        const match = table.match(host, route.methods?.[0] ?? 'GET', { segments } as unknown as Target);
        most = Math.max(most, look.mock.calls.length);
        look.mockRestore();
        expect(match.kind === 'route' && match.route).toBe(route);
        table.match(`no.${host}`, 'GET', { segments: [...segments, 'no'] } as unknown as Target);
      }
      return most;
    };
    expect(cost(10_000)).toBe(cost(10));
  });

  test('a host as long as a head is looked up only as far as a suffix may reach', () => {
    const table = new RouteTable([aRoute('/a', { hosts: ['*.x.y'] })]);
    const look = vi.spyOn(Map.prototype, 'get');
    table.match('a.'.repeat(8000), 'GET', { segments: ['a'] } as unknown as Target);
    const calls = look.mock.calls.length;
    look.mockRestore();
    expect(calls).toBeLessThan(10);
    const match = table.match(`${'a.'.repeat(8000)}x.y`, 'GET', { segments: ['a'] } as unknown as Target);
    expect(match.kind).toBe('route');
  });
});

/** What the parts of a pattern take of a path. */
function captures(pattern: string, segments: readonly string[]): string[] {
  const out: string[] = [];
  for (const [i, text] of pattern.slice(1).split('/').entries()) {
    const open = text.indexOf('{');
    if (open === -1) continue;
    const after = text.length - text.indexOf('}') - 1;
    out.push(segments[i]!.slice(open, segments[i]!.length - after));
  }
  return out;
}

test(`hosts go before paths, exact ones before suffixes, longer ones first (seed ${seed})`, () => {
  const random = randomFrom(seed + 1);
  const hosts = ['a.x', 'b.x', '*.x', '*.a.x', 'x', '*.b.a.x', null];
  for (let round = 0; round < 1000; round++) {
    const routes = new Map<string, Route>();
    for (const host of several(random, 1, 8, () => pick(random, hosts))) {
      const pattern = shapeOf(pick(random, ['/a', '/{x}', '/**']));
      const name = pattern.replace('{}', '{x}');
      routes.set(
        `${host} ${pattern}`,
        aRoute(name, { hosts: host === null ? [] : [host], upstream: `${host} ${name}` }),
      );
    }
    const list = [...routes.values()];
    const table = new RouteTable(list);
    for (const host of ['a.x', 'b.a.x', 'c.b.a.x', 'x', 'y', 'ax', '.x']) {
      const segments = [pick(random, ['a', 'b'])];
      // Groups of routes by their host, the most telling first; the first group that knows the path decides.
      const groups = [...new Set(list.map(route => route.hosts[0]))].filter(group => fits(group, host));
      groups.sort((a, b) => weight(b, host) - weight(a, host));
      let slow = 'none';
      for (const group of groups) {
        const own = list.filter(route => route.hosts[0] === group).map(({ pattern }) => pattern);
        const winner = slowWinner(own, segments);
        if (winner === 'none') continue;
        slow = `${group ?? null} ${winner}`;
        break;
      }
      const match = table.match(host, 'GET', { segments } as unknown as Target);
      const fast = match.kind === 'route' ? match.route.upstream : match.kind;
      if (fast !== slow) expect.fail(`${host}/${segments} goes to ${fast}, not ${slow}, of ${[...routes.keys()]}`);
    }
  }
});

const fits = (group: string | undefined, host: string): boolean =>
  group === undefined ||
  group === host ||
  (group.startsWith('*.') && host.length > group.length - 1 && host.endsWith(group.slice(1)));
const weight = (group: string | undefined, host: string): number =>
  group === undefined ? -1 : group === host ? 1000 : group.length;

test(`reading a pattern never throws, and what it takes makes a table (seed ${seed})`, () => {
  const random = randomFrom(seed + 2);
  const bits = [
    '/',
    '/',
    'a',
    '{',
    '}',
    '{x}',
    '*',
    '**',
    '%',
    '%41',
    '%ff',
    '.',
    '..',
    '?',
    '#',
    ' ',
    '\\',
    'é',
    ';',
    '%2f',
  ];
  let taken = 0;
  for (let i = 0; i < 20_000; i++) {
    const pattern = `/${several(random, 0, 6, () => pick(random, bits)).join('')}`;
    const reading = readPattern(pattern);
    if (!reading.ok) continue;
    taken++;
    new RouteTable([aRoute(pattern)]);
  }
  expect(taken).toBeGreaterThan(1000);
});
