import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { operations } from '../../src/admin/operations.ts';
import { type Admin, keys, openAdmin } from './harness.ts';

/** Every route, by every method, with every kind of credential: who gets in is decided before anything else is. */

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY'];
const templates = [...new Set(operations.map(({ path }) => path)), '/', '/v1', '/v1/nothing', '/metrics'];
const known = new Map(operations.map(operation => [`${operation.method} ${operation.path}`, operation]));
/** Written out: a call is closed to keys of owners until somebody says here that it is not. */
const ownersMay = new Set([
  'GET /v1/tokens',
  'POST /v1/tokens',
  'DELETE /v1/tokens',
  'GET /v1/tokens/{id}',
  'PUT /v1/tokens/{id}',
  'PATCH /v1/tokens/{id}',
  'DELETE /v1/tokens/{id}',
  'POST /v1/tokens/{id}/enable',
  'POST /v1/tokens/{id}/disable',
  'POST /v1/tokens/{id}/rotate',
  'GET /v1/tokens/{id}/permissions',
  'PUT /v1/tokens/{id}/permissions',
  'PATCH /v1/tokens/{id}/permissions',
  'GET /v1/tokens/{id}/usage',
  'GET /v1/tokens/{id}/events',
]);
const operationOf = (method: string, template: string) =>
  known.get(`${method === 'HEAD' ? 'GET' : method} ${template}`) ?? null;

let admin: Admin;
let dataPlane: string;
beforeAll(async () => {
  admin = await openAdmin();
  await admin.ask('PUT', '/v1/accounts/acme', { json: {} });
  dataPlane = (await admin.make({ permissions: ['*'] })).secret;
});
afterAll(() => admin.dispose());

const rows = templates.flatMap(template => methods.map(method => ({ method, template })));
const pathOf = (template: string) => template.replaceAll(/\{[^}]+\}/g, 'nobody');

describe.each(rows)('$method $template', ({ method, template }) => {
  const operation = operationOf(method, template);
  const isRoute = templates.indexOf(template) < templates.length - 4;
  const ask = (key: string | null) => admin.ask(method, pathOf(template), { key });
  const feed = () => admin.managed.store.feed.head();

  test('nobody gets in without a key, with a token, an expired or a wrong key', async () => {
    const before = await feed();
    for (const key of [null, dataPlane, keys.expired, `${keys.admin}x`, keys.admin.slice(0, -1)]) {
      const { status, fields, json } = await ask(key);
      expect(status).toBe(401);
      expect(fields['www-authenticate']).toBe('Bearer realm="postern-admin"');
      if (method !== 'HEAD') expect(json['code']).toBe('unauthenticated');
    }
    expect(await feed()).toEqual(before);
  });

  test('a key that may only read, reads; the admin key does what there is to be done', async () => {
    const reader = await ask(keys.read);
    const writer = await ask(keys.admin);
    if (operation === null) {
      expect(reader.status).toBe(isRoute ? 405 : 404);
      expect(writer.status).toBe(reader.status);
      if (isRoute) {
        const allow = (writer.fields.allow ?? '').split(', ');
        expect(allow.toSorted()).toEqual(methods.filter(other => operationOf(other, template) !== null).toSorted());
      }
    } else if (operation.role === 'admin') {
      expect(reader.status).toBe(403);
      if (method !== 'HEAD') expect(reader.json['code']).toBe('forbidden');
      expect([200, 201, 400, 404, 422]).toContain(writer.status);
    } else {
      expect(['GET', 'HEAD', 'POST']).toContain(method);
      expect(method === 'POST' ? [400] : [200, 404]).toContain(reader.status);
      expect(writer.status).toBe(reader.status);
    }
    if (method === 'HEAD') expect([reader.text, writer.text]).toEqual(['', '']);
  });
});

describe.each(rows)('$method $template with a key of an owner', ({ method, template }) => {
  const operation = operationOf(method, template);
  const isRoute = templates.indexOf(template) < templates.length - 4;
  const ask = (key: string) => admin.ask(method, pathOf(template), { key });

  test('is open if it is about tokens of an account, and shows and changes nothing of others', async () => {
    const before = await admin.managed.store.feed.head();
    const reply = await ask(keys.owner);
    const ours = await ask(keys.admin);
    if (operation === null) expect(reply.status).toBe(isRoute ? 405 : 404);
    else if (!ownersMay.has(`${operation.method} ${template}`)) {
      expect(reply.status).toBe(403);
      if (method !== 'HEAD') expect(reply.json['code']).toBe('forbidden');
      expect(operation.ownerKeys).toBe(false);
      if (method === 'GET' || method === 'HEAD') expect(await admin.managed.store.feed.head()).toEqual(before);
    } else {
      expect(operation.ownerKeys).toBe(true);
      expect(reply.status).toBe(ours.status);
    }
  });

  test('is closed when the account is not there, or disabled', async () => {
    if (operation === null) return;
    const patch = (enabled: boolean) => admin.ask('PATCH', '/v1/accounts/acme', { json: { enabled } });
    expect((await patch(false)).status).toBe(200);
    const query = operation.name === 'revokeTokensOfOwner' ? '?owner=acme' : '';
    const body = operation.body === null ? {} : { json: {} };
    const reply = await admin.ask(method, pathOf(template) + query, { key: keys.owner, ...body });
    expect(reply.status).toBe(403);
    expect((await patch(true)).status).toBe(200);
  });
});

test('the matrix holds every operation, and only GET, and a question, is open to those who may only read', () => {
  expect(rows.filter(({ method, template }) => known.has(`${method} ${template}`))).toHaveLength(operations.length);
  const open = operations.filter(({ role, method }) => role === 'read' && method !== 'GET');
  expect(open.map(({ path }) => path)).toEqual(['/v1/explain']);
  // A backup has digests in it, which nobody is shown who may only read.
  const closed = operations.filter(({ role, method }) => role === 'admin' && method === 'GET');
  expect(closed.map(({ path }) => path)).toEqual(['/v1/store/backup']);
});
