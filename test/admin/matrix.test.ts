import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { operations } from '../../src/admin/operations.ts';
import { type Admin, keys, openAdmin } from './harness.ts';

/** Every route, by every method, with every kind of credential: who gets in is decided before anything else is. */

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY'];
const templates = [...new Set(operations.map(({ path }) => path)), '/', '/v1', '/v1/nothing', '/metrics'];
const known = new Map(operations.map(operation => [`${operation.method} ${operation.path}`, operation]));
const operationOf = (method: string, template: string) =>
  known.get(`${method === 'HEAD' ? 'GET' : method} ${template}`) ?? null;

let admin: Admin;
let dataPlane: string;
beforeAll(async () => {
  admin = await openAdmin();
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

test('the matrix holds every operation, and only GET, and a question, is open to those who may only read', () => {
  expect(rows.filter(({ method, template }) => known.has(`${method} ${template}`))).toHaveLength(operations.length);
  const open = operations.filter(({ role, method }) => role === 'read' && method !== 'GET');
  expect(open.map(({ path }) => path)).toEqual(['/v1/explain']);
  // A backup has digests in it, which nobody is shown who may only read.
  const closed = operations.filter(({ role, method }) => role === 'admin' && method === 'GET');
  expect(closed.map(({ path }) => path)).toEqual(['/v1/store/backup']);
});
