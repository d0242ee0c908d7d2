import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { operations } from '../../src/admin/operations.ts';
import { codes } from '../../src/errors.ts';
import { schemaFaults } from '../support/json-schema.ts';
import { aDeclaredToken } from '../support/managed.ts';
import { type Admin, type Ask, keys, openAdmin, type Reply } from './harness.ts';

/** The document against the running server: what it says is there, what is there it says, and answers fit it. */

interface Described {
  readonly operationId: string;
  readonly parameters: readonly { readonly name: string; readonly in: string; readonly schema: object }[];
  readonly requestBody?: { readonly required: boolean; readonly content: Record<string, { readonly schema: object }> };
  readonly responses: Record<
    string,
    { readonly headers: object; readonly content?: Record<string, { readonly schema: object }> }
  >;
}
interface Document {
  readonly openapi: string;
  readonly paths: Record<string, Record<string, Described>>;
  readonly components: { readonly schemas: Record<string, { readonly [keyword: string]: unknown }> };
}

let admin: Admin;
let document: Document;
const answered = new Map<string, Set<number>>();

beforeAll(async () => {
  admin = await openAdmin();
  document = (await admin.ask('GET', '/v1/openapi.json')).json as unknown as Document;
});
afterAll(() => admin.dispose());

const resolve = (reference: string) => {
  const schema = document.components.schemas[reference.replace('#/components/schemas/', '')];
  if (schema === undefined) throw new Error(`${reference} leads nowhere`);
  return schema;
};

/** Asks, and holds the answer against what the document says of the operation. */
async function asks(
  method: string,
  template: string,
  values: Record<string, string>,
  request: Ask & { query?: string } = {},
) {
  const path = template.replaceAll(/\{([^}]+)\}/g, (_, name: string) => values[name]!) + (request.query ?? '');
  const reply = await admin.ask(method, path, request);
  const described = document.paths[template]![method.toLowerCase()]!;
  const response = described.responses[reply.status];
  expect(response, `${method} ${path} answered ${reply.status}: ${reply.text}`).toBeDefined();
  const type = reply.fields['content-type'];
  if (response!.content === undefined) expect(reply.text).toBe('');
  else {
    expect(Object.keys(response!.content)).toEqual([type]);
    const schema = response!.content[type!]!.schema as { readonly [keyword: string]: unknown };
    const value = /[/+]json$/.test(type!) ? reply.json : reply.text;
    expect(schemaFaults(schema, value, resolve), `${method} ${path}`).toEqual([]);
  }
  for (const name of Object.keys(response!.headers)) {
    if (['idempotency-replayed', 'retry-after', 'www-authenticate'].includes(name.toLowerCase())) continue;
    expect(reply.fields, `${method} ${path}`).toHaveProperty(name.toLowerCase());
  }
  const key = `${method} ${template}`;
  answered.set(key, (answered.get(key) ?? new Set()).add(reply.status));
  return reply;
}

const sha = (digit: string) => digit.repeat(64);

describe('the document and the server', () => {
  test('every operation is described, once, and nothing else is', () => {
    expect(document.openapi).toBe('3.1.0');
    const described = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.keys(item)
        .filter(name => name !== 'parameters' && name !== 'head')
        .map(method => `${method.toUpperCase()} ${path}`),
    );
    expect(described.toSorted()).toEqual(operations.map(({ method, path }) => `${method} ${path}`).toSorted());
    const names = Object.values(document.paths).flatMap(item =>
      Object.entries(item).flatMap(([name, operation]) => (name === 'parameters' ? [] : operation.operationId)),
    );
    expect(new Set(names).size).toBe(names.length);
    for (const [path, item] of Object.entries(document.paths)) expect('head' in item, path).toBe('get' in item);
  });

  test('every reference leads somewhere, and every schema is used', () => {
    const text = JSON.stringify(document);
    const used = new Set([...text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(match => match[1]!));
    expect([...used].toSorted()).toEqual(Object.keys(document.components.schemas).toSorted());
  });

  test('what every operation answers, in success and in failure, is as described', async () => {
    const now = admin.managed.clock.wall();
    const at = (ms: number) => new Date(now + ms).toISOString();
    admin.managed.declared.set('conf', aDeclaredToken('conf'));
    const acme = { id: 'acme' };
    const limits = [
      { name: 'day', max: 10, per: '1d' },
      { name: 'pace', max: 10, per: '1s', algorithm: 'bucket', burst: 20 },
    ];

    // Accounts.
    await asks('POST', '/v1/accounts', {}, { json: { id: 'acme', name: 'Acme' } });
    await asks('POST', '/v1/accounts', {}, { json: { id: 'acme' } });
    await asks('POST', '/v1/accounts', {}, { json: {} });
    await asks('POST', '/v1/accounts', {}, { json: { limits: [{ name: 'a' }], name: 1 } });
    await asks('PUT', '/v1/accounts/{id}', { id: 'other' }, { json: { enabled: false } });
    await asks('PUT', '/v1/accounts/{id}', { id: 'other' }, { json: { name: 'x' } });
    await asks('PATCH', '/v1/accounts/{id}', acme, { json: { name: null } });
    await asks('PATCH', '/v1/accounts/{id}', acme, { json: { limits } });
    await asks('GET', '/v1/accounts/{id}/usage', acme);
    await asks('POST', '/v1/accounts/{id}/limits/{name}/reset', { ...acme, name: 'day' });
    await asks('POST', '/v1/accounts/{id}/limits/{name}/reset', { ...acme, name: 'none' });
    await asks('GET', '/v1/accounts/{id}', acme);
    await asks('GET', '/v1/accounts/{id}', acme, { fields: { 'if-none-match': '*' } });
    await asks('GET', '/v1/accounts', {}, { query: '?limit=1' });
    await asks('GET', '/v1/accounts', {}, { query: '?limit=0' });

    // Roles, and who has them.
    const grants = [{ resources: ['db/*'], actions: { 'db.get': true, 'db.drop': false } }];
    for (const role of ['viewer', 'editor']) {
      await asks('POST', '/v1/roles', {}, { json: { id: role, name: 'A role', permissions: grants } });
    }
    await asks('POST', '/v1/roles', {}, { json: { id: 'order', position: 1, permissions: [{}] } });
    await asks('PUT', '/v1/roles/{id}', { id: 'third' }, { json: { permissions: { a: true } } });
    await asks('PUT', '/v1/roles/{id}', { id: 'third' }, { json: { permissions: ['a'] } });
    await asks('PATCH', '/v1/roles/{id}', { id: 'third' }, { json: { permissions: { a: false, b: null } } });
    await asks('PATCH', '/v1/roles/{id}', { id: 'third' }, { json: {}, fields: { 'if-match': '"9"' } });
    await asks('PATCH', '/v1/roles/order', {}, { json: { order: ['third', 'viewer', 'editor'] } });
    await asks('PATCH', '/v1/roles/order', {}, { json: ['viewer'] });
    await asks('GET', '/v1/roles', {});
    await asks('GET', '/v1/roles/{id}', { id: 'viewer' });
    await asks('PATCH', '/v1/accounts/{id}', acme, {
      json: { roles: ['viewer'], permissions: grants, owns: ['db/*'] },
    });
    await asks('PATCH', '/v1/accounts/{id}', acme, { json: { roles: ['nothing'], permissions: 'inherit' } });
    await asks('GET', '/v1/accounts/{id}', acme);
    await asks('DELETE', '/v1/roles/{id}', { id: 'viewer' });
    await asks('DELETE', '/v1/roles/{id}', { id: 'third' });
    await asks('DELETE', '/v1/roles/{id}', { id: 'third' });

    // Events.
    await asks('GET', '/v1/events', {});
    await asks('GET', '/v1/events', {}, { query: '?type=x&token=/&since=1' });
    await asks('GET', '/v1/events', {}, { fields: { 'last-event-id': 'x' } });

    // Why.
    const request = { method: 'GET', target: '/' };
    await asks('POST', '/v1/explain', {}, { json: { request } });
    await asks(
      'POST',
      '/v1/explain',
      {},
      { json: { request: { method: ' ', headers: 1 }, token_id: 'a', secret: '' } },
    );
    await asks('POST', '/v1/explain', {}, { json: { request, secret: 'x' }, key: keys.read });
    await asks('GET', '/v1/decisions/{request_id}', { request_id: 'remembered' });
    await asks('GET', '/v1/decisions/{request_id}', { request_id: 'forgotten' });

    // Tokens.
    const members = {
      name: 'a token',
      owner: 'acme',
      state: 'disabled',
      not_before: at(0),
      expires_at: at(86_400_000),
      permissions: { 'widgets:read': true, '*': false },
      constraints: { methods: ['GET'], params: { a: 'b' }, signature: {}, basic: { alice: 'a password' } },
      limits,
      extra: { any: [null, { thing: 1.5 }] },
      tags: ['one'],
    };
    const body = { json: members, fields: { 'idempotency-key': 'k' } };
    const created = await asks('POST', '/v1/tokens', {}, body);
    const id = { id: created.json['token']!['id']! as string };
    await asks('POST', '/v1/tokens', {}, body);
    await asks('POST', '/v1/tokens', {}, { json: { rewrite: [], id: 'x', name: 1 } });
    await asks('POST', '/v1/tokens', {}, { body: '{' });
    await asks('POST', '/v1/tokens', {}, { body: 'name=x', fields: { 'content-type': 'text/plain' } });
    await asks('GET', '/v1/tokens', {});
    await asks('GET', '/v1/tokens', {}, { query: '?state=revoked' });
    await asks('GET', '/v1/tokens', {}, { query: '?colour=red' });
    await asks('GET', '/v1/tokens/{id}', id);
    await asks('GET', '/v1/tokens/{id}', id, { fields: { 'if-none-match': '"1"' } });
    await asks('GET', '/v1/tokens/{id}', { id: 'conf' });
    await asks('PUT', '/v1/tokens/{id}', { id: 'ci' }, { json: { secret_sha256: sha('a') } });
    await asks('PUT', '/v1/tokens/{id}', { id: 'ci' }, { json: { secret_sha256: sha('b'), tags: ['x'] } });
    await asks('PUT', '/v1/tokens/{id}', { id: 'conf' }, { json: { secret_sha256: sha('c') } });
    await asks('PUT', '/v1/tokens/{id}', { id: 'ci' }, { json: {} });
    await asks('PATCH', '/v1/tokens/{id}', id, { json: { name: 'b' }, fields: { 'if-match': '"9"' } });
    await asks('PATCH', '/v1/tokens/{id}', id, { json: { name: 'b', extra: null } });
    await asks('POST', '/v1/tokens/{id}/enable', id);
    await asks('POST', '/v1/tokens/{id}/disable', id, { json: {} });
    await asks('POST', '/v1/tokens/{id}/rotate', id, { json: { grace: '1h' } });
    await asks('POST', '/v1/tokens/{id}/sign', id, { json: { target: '/x', expires_in: '1m' } });
    await asks('POST', '/v1/tokens/{id}/sign', id, { json: { target: 'x' } });
    await asks('GET', '/v1/tokens/{id}/permissions', id);
    await asks('GET', '/v1/tokens/{id}/permissions', id, { fields: { 'if-none-match': '*' } });
    await asks('PATCH', '/v1/tokens/{id}/permissions', id, { json: { a: true } });
    for (const json of [grants, 'inherit', ['a']]) await asks('PUT', '/v1/tokens/{id}/permissions', id, { json });
    await asks('PATCH', '/v1/tokens/{id}', id, { json: { mode: 'shadow', permissions: grants } });
    await asks('PATCH', '/v1/tokens/{id}/permissions', id, { json: { a: true } });
    admin.managed.use(id.id, { allowed: 1, refused: { insufficient_scope: 1 }, status: { '2xx': 1, '4xx': 1 } });
    await asks('GET', '/v1/tokens/{id}/usage', id);
    await asks('GET', '/v1/tokens/{id}/usage', id, { query: '?step=1d&from=2029-12-01T00:00:00Z' });
    await asks('GET', '/v1/tokens/{id}/usage', id, { query: '?step=1w' });
    await asks('POST', '/v1/tokens/{id}/limits/{name}/reset', { ...id, name: 'day' });
    await asks('POST', '/v1/tokens/{id}/limits/{name}/reset', { ...id, name: 'none' });
    await asks('GET', '/v1/tokens/{id}/events', id);
    await asks('DELETE', '/v1/tokens/{id}', id);
    await asks('DELETE', '/v1/tokens/{id}', id, { query: '?wait=2s' });
    await asks('DELETE', '/v1/tokens', {}, { query: '?owner=acme' });
    await asks('DELETE', '/v1/tokens', {});
    await asks('DELETE', '/v1/accounts/{id}', acme);
    const { feed, registry } = admin.managed.store;
    const { epoch } = await feed.head();
    await registry.beat({ process: 'behind', applied: { epoch, seq: 0 }, cutOffMs: 60_000 });
    await asks('DELETE', '/v1/tokens/{id}', id);
    await asks('DELETE', '/v1/tokens', {}, { query: '?owner=other' });
    await asks('DELETE', '/v1/accounts/{id}', acme);
    await registry.signOff('behind');
    await asks('DELETE', '/v1/tokens/{id}', id, { query: '?wait=31s' });
    await asks('GET', '/v1/openapi.json', {});
    await asks('GET', '/v1/store/backup', {});

    // Sessions.
    await asks('PUT', '/v1/accounts/{id}', { id: 'managed' }, { json: {} });
    await asks('POST', '/v1/sessions', {}, { json: { account: 'managed', ttl: '1m' } });
    await asks('POST', '/v1/sessions', {}, { json: { account: 'nobody', ttl: 60 } });

    // What does not exist, may not be done, or has no key.
    for (const { method, path, body } of operations) {
      const request = body === null ? {} : { json: path === '/v1/tokens/{id}' ? { secret_sha256: sha('d') } : {} };
      const nobody = { id: 'nobody', request_id: 'nobody' };
      await asks(method, path, nobody, { ...request, key: null });
      await asks(method, path, nobody, { ...request, key: keys.read });
      await asks(method, path, nobody, request);
      await asks(method, path, nobody, { ...request, query: '?x=1' });
      if (method === 'GET') await asks('HEAD', path, nobody);
    }
    const silent = operations.filter(({ method, path, answers }) =>
      Object.keys(answers).some(status => !answered.get(`${method} ${path}`)?.has(Number(status))),
    );
    expect(
      silent.map(({ method, path }) => `${method} ${path}`),
      'answers that were not seen',
    ).toEqual([]);
  });

  test('problems are described under the status that their codes have', () => {
    for (const item of Object.values(document.paths)) {
      for (const [method, operation] of Object.entries(item)) {
        if (method === 'parameters') continue;
        for (const [status, response] of Object.entries(operation.responses)) {
          if (Number(status) < 400) continue;
          const named = [...(response as unknown as { description: string }).description.matchAll(/`([a-z_]+)`:/g)];
          expect(named.length).toBeGreaterThan(0);
          for (const [, code] of named) expect(codes[code as keyof typeof codes].status).toBe(Number(status));
        }
      }
    }
  });

  test('bodies that the document calls good are taken, and those that the server takes it calls good', async () => {
    const creation = resolve('#/components/schemas/TokenCreation');
    const bodies: [unknown, number][] = [
      [{}, 201],
      [{ name: 'x', tags: ['a', 'b'], permissions: ['a'], extra: {}, owner: null, expires_at: null }, 201],
      [{ permissions: { a: true } }, 201],
      [{ permissions: [{ resources: ['db/*', '*'], actions: { '*': true } }], mode: 'shadow' }, 201],
      [{ permissions: [{ resources: ['*'], actions: { a: 1 } }] }, 422],
      [{ permissions: [{ resources: ['*'], actions: { a: true }, effect: 'allow' }] }, 422],
      [{ permissions: [{ resources: '*', actions: { a: true } }] }, 422],
      [{ permissions: [{ actions: { a: true } }] }, 422],
      [{ permissions: ['a', { resources: ['*'], actions: { a: true } }] }, 422],
      [{ permissions: 'Inherit' }, 422],
      [{ mode: 'off' }, 422],
      [{ name: 'x'.repeat(257) }, 422],
      [{ name: null }, 422],
      [{ state: 'revoked' }, 422],
      [{ tags: ['a', 'a'] }, 422],
      [{ permissions: { a: 1 } }, 422],
      [{ extra: [] }, 422],
      [{ unknown: 1 }, 422],
      [[], 422],
    ];
    for (const [json, status] of bodies) {
      expect((await admin.ask('POST', '/v1/tokens', { json })).status, JSON.stringify(json)).toBe(status);
      expect(schemaFaults(creation, json, resolve).length === 0, JSON.stringify(json)).toBe(status === 201);
    }
  });

  test('it is the same document every time, and as long as it says', async () => {
    const replies: Reply[] = [await admin.ask('GET', '/v1/openapi.json'), await admin.ask('HEAD', '/v1/openapi.json')];
    expect(replies[1]!.fields['content-length']).toBe(String(Buffer.byteLength(replies[0]!.text)));
  });
});
