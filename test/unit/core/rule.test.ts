import { describe, expect, test } from 'vitest';
import { type BodyReading, noBody, Parameters } from '../../../src/core/parameters.ts';
import type { Route } from '../../../src/core/route.ts';
import { type Claim, Rule } from '../../../src/core/rule.ts';
import type { Json } from '../../../src/core/token.ts';
import { aRoute } from '../../support/request.ts';

const all = (...permissions: string[]): Partial<Route> => ({ require: { mode: 'all', permissions } });
const json = (value: Json): BodyReading => ({ kind: 'json', value });

interface Asked {
  readonly pattern?: string;
  readonly captures?: readonly string[];
  readonly query?: string;
  readonly body?: BodyReading;
}

function claim(rule: Partial<Route>, { pattern = '/x', captures = [], query, body = noBody }: Asked = {}): Claim {
  return new Rule(aRoute(pattern, rule)).claim(captures, new Parameters(query ?? null, body));
}

/** `action on resource` of every demand, or how it went otherwise. */
function outcome(rule: Partial<Route>, asked: Asked): readonly string[] | string {
  const made = claim(rule, asked);
  if (made.kind !== 'demands') return made.kind;
  return made.demands.flatMap(({ permissions, resource }) => permissions.map(action => `${action} on ${resource}`));
}

describe('a rule that reads nothing', () => {
  test('claims the same of every request', () => {
    expect(new Rule(aRoute('/x')).fixed).toEqual({ kind: 'demands', demands: [] });
    const rule = new Rule(aRoute('/x', { ...all('a', 'b'), resource: 'db/x' }));
    expect(rule.fixed).toEqual({
      kind: 'demands',
      demands: [{ mode: 'all', permissions: ['a', 'b'], resource: 'db/x' }],
    });
    expect(rule.parameters).toEqual([]);
    expect(rule.claim([], new Parameters('a=1&a=2', { kind: 'closed' }))).toBe(rule.fixed);
  });

  test('but the path asks one thing, whatever body there is', () => {
    const rule = { ...all('db.{act}'), resource: 'db/{id}' };
    const asked = { pattern: '/{id}/{act}', captures: ['7', 'get'] };
    expect(outcome(rule, asked)).toEqual(['db.get on db/7']);
    expect(outcome(rule, { ...asked, body: { kind: 'closed' } })).toEqual(['db.get on db/7']);
    expect(outcome(rule, { ...asked, body: json([1, 2]) })).toEqual(['db.get on db/7']);
  });
});

describe('a value', () => {
  const rule = { ...all('db.{param.act}'), resource: 'db/{param.id}' };

  test('stands where its slot is', () => {
    expect(outcome(rule, { query: 'act=get&id=7' })).toEqual(['db.get on db/7']);
    expect(outcome(rule, { query: 'act=get&id=a.b:c' })).toEqual(['db.get on db/a.b:c']);
    expect(outcome(rule, { query: 'act=a/b&id=7' })).toEqual(['db.a/b on db/7']);
    expect(outcome(rule, { body: json({ act: 'get', id: 7 }) })).toEqual(['db.get on db/7']);
    expect(new Rule(aRoute('/x', rule)).parameters).toEqual(['act', 'id']);
  });

  test.each([
    'act=get',
    'id=7',
    'act=get&id=',
    'act=&id=7',
    'act=*&id=7',
    'act=get&id=*',
    'act=get&id=a*',
    'act=a.b&id=7',
    'act=a:b&id=7',
    'act=get&id=a/b',
    'act=get&id=a%2fb',
    'act=get&id=%00',
    'act=get&id=%e2%80%ae',
    'act=get&id=%ed%a0%80',
    'act=g%20t&id=7',
    'act=%22&id=7',
    'act=%5c&id=7',
    `act=get&id=${'a'.repeat(257)}`,
    `act=get&id=${'a'.repeat(254)}`,
  ])('that is none by itself is malformed: %s', query => {
    const made = claim(rule, { query });
    expect(made.kind).toBe('malformed');
    if (made.kind === 'malformed') expect(made.why).toMatch(/^[A-Z].*\.$/);
  });

  test('half of a character is malformed', () => {
    expect(outcome(rule, { body: json({ act: 'get', id: '\ud800' }) })).toBe('malformed');
  });

  test('of the path is held to the same', () => {
    const ofPath = { ...all('db.{act}'), resource: 'db/{id}' };
    const at = (act: string, id: string) => outcome(ofPath, { pattern: '/{act}/{id}', captures: [act, id] });
    expect(at('get', 'a.b')).toEqual(['db.get on db/a.b']);
    for (const [act, id] of [
      ['a.b', '7'],
      ['get', 'a/b'],
      ['', '7'],
      ['*', '7'],
      ['get', ''],
    ] as const) {
      expect([act, id, at(act, id)]).toEqual([act, id, 'malformed']);
    }
  });

  test('of no body that can be read is closed, not missing', () => {
    expect(claim(rule, { query: 'act=get&id=7', body: { kind: 'closed' } })).toEqual({
      kind: 'closed',
      parameter: 'act',
    });
  });
});

describe('commands', () => {
  const rule: Partial<Route> = {
    ...all('db.{param.cmd}'),
    resource: 'db/{param.cmd}',
    commands: { 'db.cell.update': 'update', 'db.x': 'row.add', get: 'get' },
  };

  test('map the value in require, and not the one in resource', () => {
    expect(outcome(rule, { query: 'cmd=db.cell.update' })).toEqual(['db.update on db/db.cell.update']);
    expect(outcome(rule, { query: 'cmd=db.x' })).toEqual(['db.row.add on db/db.x']);
  });

  test.each(['update', 'GET', 'constructor', '__proto__', 'toString', 'get%20', 'db%2ecell'])(
    '%s is not listed, and nobody has it',
    cmd => {
      expect(outcome(rule, { query: `cmd=${cmd}` })).toBe('unlisted');
    },
  );

  test.each(['', 'cmd=', 'cmd=*', `cmd=${'a'.repeat(257)}`, 'cmd=get&cmd=get'])('%s is malformed', query => {
    expect(outcome(rule, { query })).toBe('malformed');
  });

  test('on * are for no one resource, whatever is named beside them; others are for theirs', () => {
    const wide = {
      ...all('db.{param.cmd}'),
      resource: 'db/{param.id}',
      commands: { get: 'get', list: 'get on *', 'on *': 'add' },
    };
    expect(outcome(wide, { query: 'cmd=list' })).toEqual(['db.get on null']);
    expect(outcome(wide, { query: 'cmd=list&id=7' })).toEqual(['db.get on null']);
    expect(outcome(wide, { query: 'cmd=get&id=7' })).toEqual(['db.get on db/7']);
    expect(outcome(wide, { query: 'cmd=get' })).toBe('malformed');
    expect(outcome(wide, { query: 'cmd=list&cmd=list' })).toBe('malformed');
    expect(outcome(wide, { query: 'cmd=list+on+*' })).toBe('malformed');
    expect(outcome(wide, { query: 'cmd=on+*&id=7' })).toEqual(['db.add on db/7']);
    const batch = json([{ cmd: 'list' }, { cmd: 'get', id: 7 }, { cmd: 'get' }]);
    expect(outcome(wide, { body: batch })).toBe('malformed');
  });

  test('can be of the path', () => {
    const ofPath = { ...all('{call}'), commands: { 'db.get': 'read' } };
    expect(outcome(ofPath, { pattern: '/{call}', captures: ['db.get'] })).toEqual(['read on null']);
    expect(outcome(ofPath, { pattern: '/{call}', captures: ['db.put'] })).toBe('unlisted');
  });
});

describe('a batch', () => {
  const rule = { ...all('{param.act}'), resource: 'db/{param.id}' };
  const batch = (...calls: [act: string, id: number][]) => json(calls.map(([act, id]) => ({ act, id })));

  test('is a demand for each call, and equal ones are one', () => {
    expect(outcome(rule, { body: batch(['get', 1], ['put', 1], ['get', 1], ['get', 2]) })).toEqual([
      'get on db/1',
      'put on db/1',
      'get on db/2',
    ]);
    expect(outcome(rule, { body: json(Array.from({ length: 10_000 }, () => ({ act: 'get', id: 1 }))) })).toEqual([
      'get on db/1',
    ]);
  });

  test('with one call that cannot be read is malformed', () => {
    for (const odd of [null, 1, 'x', [], {}, { act: 'get' }, { act: 'get', id: null }, { act: 'get', id: 1, ID: 2 }]) {
      expect([odd, outcome(rule, { body: json([{ act: 'get', id: 1 }, odd as Json]) })]).toEqual([odd, 'malformed']);
    }
    expect(outcome(rule, { body: json([]) })).toBe('malformed');
  });

  test('asks for a bounded number of different things, and of different actions', () => {
    const calls = (count: number, make: (i: number) => Json): BodyReading =>
      json(Array.from({ length: count }, (_, i) => make(i)));
    expect(outcome(rule, { body: calls(1000, i => ({ act: 'get', id: i })) })).toHaveLength(1000);
    expect(outcome(rule, { body: calls(1001, i => ({ act: 'get', id: i })) })).toBe('malformed');
    expect(outcome(rule, { body: calls(20, i => ({ act: `${'a'.repeat(240)}${i}x`, id: 1 })) })).toBe('malformed');
  });
});
