import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Admin, openAdmin } from './harness.ts';

let admin: Admin;
beforeAll(async () => {
  admin = await openAdmin();
});
afterAll(() => admin.dispose());

const match = (tags: string | string[]) => ({ fields: { 'if-match': tags } });
const noneMatch = (tags: string | string[]) => ({ fields: { 'if-none-match': tags } });

describe('changes on a condition', () => {
  const changes = [
    ['PUT', '', { secret_sha256: 'a'.repeat(64) }],
    ['PATCH', '', { name: 'x' }],
    ['DELETE', '', undefined],
    ['POST', '/enable', undefined],
    ['POST', '/disable', undefined],
    ['POST', '/rotate', undefined],
    ['PUT', '/permissions', ['a']],
    ['PATCH', '/permissions', { a: true }],
  ] as const;

  test.each(changes)('%s %s with an old version is refused and changes nothing', async (method, path, json) => {
    const { id } = await admin.make();
    const at = `/v1/tokens/${id}`;
    await admin.ask('PATCH', at, { json: { tags: ['moved'] } });
    for (const tags of ['"1"', '"3"', 'W/"2"', '"1", "3"', '""', '"02"', '"2 "'.replace(' ', '\u0021')]) {
      const reply = await admin.ask(method, at + path, { ...match(tags), ...(json && { json }) });
      expect([reply.status, reply.json['code']], tags).toEqual([412, 'version_mismatch']);
    }
    expect((await admin.ask('GET', at)).fields.etag).toBe('"2"');
    for (const tags of ['2', '"2', '*, "2"', '"2" "3"', 'W/*']) {
      expect((await admin.ask(method, at + path, { ...match(tags), ...(json && { json }) })).status, tags).toBe(400);
    }
  });

  test.each(['"1"', '*', '"0", "1"', ' "1" ,\t"5"', ['"7"', '"1"']])('a PATCH with %j is made', async tags => {
    const { id } = await admin.make();
    const reply = await admin.ask('PATCH', `/v1/tokens/${id}`, { json: { name: 'x' }, ...match(tags) });
    expect([reply.status, reply.fields.etag]).toEqual([200, '"2"']);
  });

  test('a PUT makes nothing where something had to be, and nothing over what had not to be there', async () => {
    const json = { secret_sha256: 'b'.repeat(64) };
    const at = '/v1/tokens/conditional';
    expect((await admin.ask('PUT', at, { json, ...match('*') })).status).toBe(412);
    expect((await admin.ask('PUT', at, { json, ...match('"1"') })).status).toBe(412);
    expect((await admin.ask('PUT', at, { json, ...noneMatch('*') })).status).toBe(201);
    expect((await admin.ask('PUT', at, { json: { ...json, name: 'x' }, ...noneMatch('*') })).status).toBe(412);
    expect((await admin.ask('PUT', at, { json: { ...json, name: 'x' }, ...noneMatch('"1"') })).status).toBe(412);
    expect((await admin.ask('PUT', at, { json: { ...json, name: 'x' }, ...noneMatch('"2"') })).status).toBe(200);
    const account = '/v1/accounts/conditional';
    expect((await admin.ask('PUT', account, { json: {}, ...match('*') })).status).toBe(412);
    expect((await admin.ask('PUT', account, { json: {}, ...noneMatch('*') })).status).toBe(201);
    expect((await admin.ask('PATCH', account, { json: { name: 'x' }, ...match('"2"') })).status).toBe(412);
    expect((await admin.ask('DELETE', account, match('"2"'))).status).toBe(412);
    expect((await admin.ask('DELETE', account, match('"1"'))).status).toBe(200);
  });
});

describe('reading on a condition', () => {
  test('what the client has already is not sent again, weak or strong', async () => {
    const { id } = await admin.make();
    for (const path of ['', '/permissions']) {
      const at = `/v1/tokens/${id}${path}`;
      for (const tags of ['"1"', 'W/"1"', '*', '"0", "1"']) {
        for (const method of ['GET', 'HEAD']) {
          const reply = await admin.ask(method, at, noneMatch(tags));
          expect([reply.status, reply.text, reply.fields.etag], tags).toEqual([304, '', '"1"']);
          expect(reply.fields).not.toHaveProperty('content-length');
        }
      }
      expect((await admin.ask('GET', at, noneMatch('"2"'))).status).toBe(200);
    }
  });

  test("a token that its owner's mark has revoked is sent, although its version is the same", async () => {
    await admin.ask('POST', '/v1/accounts', { json: { id: 'marked' } });
    const { id } = await admin.make({ owner: 'marked' });
    expect((await admin.ask('GET', `/v1/tokens/${id}`, noneMatch('"1"'))).status).toBe(304);
    await admin.ask('DELETE', '/v1/tokens?owner=marked');
    const reply = await admin.ask('GET', `/v1/tokens/${id}`, noneMatch('"1"'));
    expect([reply.status, reply.json['state']]).toEqual([200, 'revoked']);
  });

  test('HEAD answers as GET, with the length and without the body', async () => {
    const { id } = await admin.make();
    for (const path of [
      '/v1/tokens',
      `/v1/tokens/${id}`,
      `/v1/tokens/${id}/usage`,
      `/v1/tokens/${id}/events`,
      '/v1/tokens/nothing',
    ]) {
      const [get, head] = [await admin.ask('GET', path), await admin.ask('HEAD', path)];
      expect(head.status).toBe(get.status);
      expect(head.text).toBe('');
      for (const name of ['content-length', 'content-type', 'etag']) expect(head.fields[name]).toBe(get.fields[name]);
    }
  });
});
