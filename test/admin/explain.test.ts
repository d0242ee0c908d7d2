import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Presented, Supposed } from '../../src/ports/decider.ts';
import { type Admin, keys, openAdmin, unasked } from './harness.ts';

/** Who may ask what, and what of a question reaches the gate. */

let admin: Admin;
const asked: { presented: Presented; request: Supposed }[] = [];
let carries: 'nothing' | 'credentials' | 'token' = 'nothing';

beforeAll(async () => {
  admin = await openAdmin({
    listenerParts: {
      decider: {
        ...unasked,
        carries: () => carries,
        explain: (presented, request) => {
          asked.push({ presented, request });
          return unasked.explain(presented, request);
        },
      },
    },
  });
});
afterAll(() => admin.dispose());

const request = { method: 'GET', target: '/x' };
const explain = (json: object, key: string = keys.admin) => admin.ask('POST', '/v1/explain', { json, key });

describe('a key that may only read', () => {
  test('asks about a token by its id, and about requests without credentials', async () => {
    carries = 'nothing';
    expect((await explain({ token_id: 'tok_a', request }, keys.read)).status).toBe(200);
    expect((await explain({ request }, keys.read)).status).toBe(200);
    expect(asked.splice(0).map(({ presented }) => presented)).toEqual([
      { kind: 'id', tokenId: 'tok_a' },
      { kind: 'headers' },
    ]);
  });
  test('does not try secrets or passwords: not as a secret, and not in a request', async () => {
    expect((await explain({ secret: 'x', request }, keys.read)).json['code']).toBe('forbidden');
    for (carries of ['credentials', 'token'] as const) {
      expect((await explain({ request }, keys.read)).json['code']).toBe('forbidden');
      expect((await explain({ token_id: 'tok_a', request }, keys.read)).json['code']).toBe('forbidden');
    }
    expect(asked).toEqual([]);
    carries = 'credentials';
    expect((await explain({ token_id: 'tok_a', request })).status).toBe(200);
    expect((await explain({ secret: 'x', request })).status).toBe(200);
    expect(asked.splice(0)).toHaveLength(2);
    carries = 'nothing';
  });
});

test('a request reaches the gate as it was written, with fields in their order and a peer', async () => {
  const headers = { Accept: 'a/b', 'X-Two': ['1', '2'], __proto__x: 'y' };
  await explain({ request: { ...request, headers, body: 'é', peer: '2001:db8::1' } });
  await explain({ request });
  expect(asked.splice(0).map(each => each.request)).toEqual([
    {
      ...request,
      headers: ['Accept', 'a/b', 'X-Two', '1', 'X-Two', '2', '__proto__x', 'y'],
      body: 'é',
      peer: '2001:db8::1',
    },
    { ...request, headers: [], body: null, peer: '127.0.0.1' },
  ]);
});

describe('what is no request is 422, and says where', () => {
  const rows: [string, object, string[]][] = [
    ['none', {}, ['/request']],
    ['unknown members', { request, more: 1 }, ['/more']],
    ['a line break in a field', { request: { ...request, headers: { a: 'b\r\nc: d' } } }, ['/request/headers/a']],
    ['a name that is none', { request: { ...request, headers: { 'a b': 'c' } } }, ['/request/headers/a b']],
    ['an empty list', { request: { ...request, headers: { a: [] } } }, ['/request/headers/a']],
    ['too many fields', { request: { ...request, headers: { a: Array(200).fill('x') } } }, ['/request/headers']],
    ['no text', { request: { ...request, headers: { a: 1 } } }, ['/request/headers/a']],
    ['a body that is too long', { request: { ...request, body: 'x'.repeat(300_000) } }, ['/request/body']],
    ['a target with a space', { request: { ...request, target: '/a b' } }, ['/request/target']],
    ['two ways to name a token', { token_id: 'a', secret: 'b', request }, ['/secret']],
  ];
  test.each(rows)('%s', async (_, json, pointers) => {
    const { status, json: problem } = await explain(json);
    expect(status).toBe(422);
    const errors = problem['errors'] as unknown as { pointer: string }[];
    expect(errors.map(({ pointer }) => pointer)).toEqual(pointers);
    expect(asked).toEqual([]);
  });
});
