import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { Cursor } from '../../src/ports/change-feed.ts';
import { type Admin, type Ask, keys, openAdmin } from './harness.ts';

let admin: Admin;
let head: Cursor;
beforeAll(async () => {
  admin = await openAdmin();
  head = await admin.managed.store.feed.head();
});
afterAll(() => admin.dispose());
// Nothing in here may change anything.
afterEach(async () => {
  expect(await admin.managed.store.feed.head()).toEqual(head);
});

const post = (body: string | Uint8Array, fields: Ask['fields'] = {}) =>
  admin.ask('POST', '/v1/tokens', { body, fields });

test.each([
  ['cut off', '{"name":"x"', 'line 1, column 12'],
  ['with a trailing comma', '{"name":"x",}', 'line 1, column 13'],
  ['with a member twice', '{"name":"x",\n  "na\\u006de":"y"}', 'line 2, column 3'],
  ['with something behind it', '{}{}', 'line 1, column 3'],
  ['with a byte order mark', '\ufeff{}', 'line 1, column 1'],
  ['65 levels deep', `{"extra":${'['.repeat(64)}${']'.repeat(64)}}`, 'line 1, column 73'],
  ['of comments', '{/* x */}', 'line 1, column 2'],
  ['empty but for a space', ' ', 'line 1, column 2'],
])('a body %s is refused with its place', async (_what, body, place) => {
  const { status, json } = await post(body);
  expect([status, json['code']]).toEqual([400, 'invalid_body']);
  expect(json['detail']).toContain(place);
});

test.each([
  ['latin1', Buffer.from('{"name":"\xe9"}', 'latin1')],
  ['an overlong form', Buffer.from('{"name":"\xc0\xaf"}', 'latin1')],
  ['a surrogate', Buffer.from('{"name":"\xed\xa0\x80"}', 'latin1')],
  ['UTF-16', Buffer.from('\ufeff{}', 'utf16le')],
])('a body with %s is not UTF-8, and refused', async (_what, body) => {
  const { status, json } = await post(body);
  expect([status, json['code']]).toEqual([400, 'invalid_body']);
});

test.each([
  ['a number that is not exact', '{"extra":{"n":9007199254740993}}', '/extra/n'],
  ['a number beyond all', '{"extra":[1e999]}', '/extra/0'],
  ['an inherited name', '{"extra":{"a":{"__proto__":1}}}', '/extra/a/__proto__'],
])('%s is told with its place', async (_what, body, pointer) => {
  const { status, json } = await post(body);
  expect(status).toBe(422);
  expect(json['errors']).toContainEqual({ pointer, detail: expect.any(String) });
});

test('a body of 1 MiB is read, and one byte more is not', async () => {
  const sized = (bytes: number) => `{"x":"${'a'.repeat(bytes - 8)}"}`;
  expect((await post(sized(1024 * 1024))).status).toBe(422);
  for (const fields of [{}, { 'transfer-encoding': 'chunked', 'content-length': [] }]) {
    const { status, json } = await post(sized(1024 * 1024 + 1), fields);
    expect([status, json['code']]).toEqual([413, 'body_too_large']);
  }
});

test.each([
  'text/plain',
  'text/plain; charset=application/json',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'application/json; charset=latin1',
  'application/json;charset="utf-16"',
  'application/json; charset=utf-8; charset=utf-16',
  'application/jsonx',
  'application/merge-patch+json',
  'text/json',
  '*/*',
  '',
])('a body of the type %j is not looked at', async type => {
  const { status, json } = await post('{}', { 'content-type': type });
  expect([status, json['code']]).toEqual([415, 'unsupported_media']);
});

test('a body of two types, of none, or in an encoding is not looked at', async () => {
  for (const fields of [
    { 'content-type': ['application/json', 'text/plain'] },
    { 'content-type': [] },
    { 'content-encoding': 'gzip' },
    { 'content-encoding': 'identity' },
  ]) {
    expect((await post('{}', fields)).status).toBe(415);
  }
});

test.each([
  'application/json; charset=utf-8',
  'Application/JSON;charset="UTF-8"',
  'application/json ; charset=utf-8; x=y',
])('a body of the type %j is read', async type => {
  expect((await post('{"x":1}', { 'content-type': type })).status).toBe(422);
});

test('PATCH takes merge patches under both of their types', async () => {
  for (const [type, status] of [
    ['application/merge-patch+json', 404],
    ['application/json', 404],
    ['application/json-patch+json', 415],
  ] as const) {
    const reply = await admin.ask('PATCH', '/v1/tokens/nothing', { body: '{}', fields: { 'content-type': type } });
    expect(reply.status, type).toBe(status);
  }
});

test('a call that needs a body says so; an action needs none, and takes none that says something', async () => {
  const none = await admin.ask('POST', '/v1/tokens');
  expect([none.status, none.json['code']]).toEqual([400, 'invalid_body']);
  expect((await admin.ask('PUT', '/v1/tokens/x/permissions')).status).toBe(400);
  for (const [ask, status] of [
    [{}, 404],
    [{ json: {} }, 404],
    [{ json: { x: 1 } }, 404],
    [{ body: '{}', fields: { 'content-type': 'text/plain' } }, 415],
    [{ body: '{' }, 400],
  ] as [Ask, number][]) {
    expect((await admin.ask('POST', '/v1/tokens/nothing/disable', ask)).status).toBe(status);
  }
});

test.each(['[]', '"text"', 'null', '7', 'true'])('a body that is %s is no token', async body => {
  const { status, json } = await post(body);
  expect([status, json['errors']]).toEqual([422, [{ pointer: '', detail: 'is not an object' }]]);
});

test('a hundred thousand unknown members are refused with a bounded answer', async () => {
  const members = Array.from({ length: 60_000 }, (_, i) => `"${i.toString(36)}":0`);
  const { status, text, json } = await post(`{${members.join(',')}}`);
  expect(status).toBe(422);
  expect(json['detail']).toContain('59999 more');
  expect(text.length).toBeLessThan(100_000);
});

test('who may not write is told so before the body is read', async () => {
  const { status } = await admin.ask('POST', '/v1/tokens', { body: '{', key: keys.read });
  expect(status).toBe(403);
  expect((await admin.ask('POST', '/v1/tokens', { body: '{', key: null })).status).toBe(401);
});
