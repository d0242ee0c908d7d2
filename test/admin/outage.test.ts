import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { operations } from '../../src/admin/operations.ts';
import { StoreUnavailable } from '../../src/errors.ts';
import type { TokenStore } from '../../src/ports/token-store.ts';
import type { UsageLedger } from '../../src/ports/usage-ledger.ts';
import { openInFolder } from '../support/embedded.ts';
import { type Admin, openAdmin } from './harness.ts';

/** A store that fails as it is told to. */
let fault: { readonly of: RegExp; readonly error: () => Error } | null = null;
const failing = <T extends object>(target: T): T =>
  new Proxy(target, {
    get(object, name) {
      const method = Reflect.get(object, name) as ((...args: never[]) => unknown) | undefined;
      if (typeof method !== 'function') return method;
      return (...args: never[]) =>
        fault?.of.test(String(name)) ? Promise.reject(fault.error()) : method.apply(object, args);
    },
  });

let admin: Admin;
let id: string;
let dispose: () => Promise<void>;
beforeAll(async () => {
  const store = await openInFolder();
  dispose = () => store.dispose();
  const parts = {
    store: failing<TokenStore>(store.tokens),
    ledger: failing<UsageLedger>(store.usage),
    clock: store.clock,
  };
  admin = await openAdmin({ parts });
  const limits = [{ name: 'day', max: 5, per: '1d' }];
  await admin.ask('POST', '/v1/accounts', { json: { id: 'acme', limits } });
  for (const role of ['editor', 'viewer']) await admin.ask('POST', '/v1/roles', { json: { id: role } });
  ({ id } = await admin.make({ owner: 'acme', limits }));
});
afterEach(() => {
  fault = null;
  admin.log.length = 0;
});
afterAll(async () => {
  await admin.dispose();
  await dispose();
});

const mutations = /^(?:create|replace|put|order)/;
const everything = /./;
const bodies: Readonly<Record<string, unknown>> = {
  createToken: {},
  putToken: { secret_sha256: 'a'.repeat(64), name: 'x' },
  patchToken: { name: 'x' },
  putPermissions: ['x'],
  mergePermissions: { x: true },
  signRequest: { target: '/x', expires_in: '1m' },
  createAccount: {},
  putAccount: { name: 'x' },
  patchAccount: { name: 'x' },
  createRole: {},
  putRole: { name: 'x' },
  patchRole: { name: 'x' },
  orderRoles: ['viewer', 'editor'],
  createSession: { account: 'acme', ttl: '1h' },
};
/**
 * The document needs no store; streams have rules of their own: `events.test.ts`, `backup.test.ts`. What the gate is asked
 * is not asked here.
 */
const others = ['/v1/openapi.json', '/v1/events', '/v1/store/backup', '/v1/explain', '/v1/decisions/{request_id}'];
const calls = operations
  .filter(({ path }) => !others.includes(path))
  .map(({ method, path, name }) => ({ method, path, name, json: bodies[name] }));
const ask = ({ method, path, name, json }: (typeof calls)[number]) => {
  const kept = path.startsWith('/v1/accounts') ? 'acme' : path.startsWith('/v1/roles') ? 'editor' : id;
  // What it is already, it need not be told to become.
  const query = name === 'revokeTokensOfOwner' ? '?owner=acme' : '';
  return admin.ask(
    method,
    path.replace('{id}', kept).replace('{name}', 'day') + query,
    json === undefined ? {} : { json },
  );
};

describe('a store that does not answer', () => {
  test.each(calls)('$method $path is a 503 that says to try again, and no bad token', async call => {
    fault = { of: everything, error: () => new StoreUnavailable('secret detail', { sent: false }) };
    const { status, json, fields, text } = await ask(call);
    expect([status, json['code'], fields['retry-after']]).toEqual([503, 'store_unavailable', '1']);
    expect(json).not.toHaveProperty('outcome');
    expect(text).not.toContain('secret detail');
  });

  const unchanging = ['enableToken', 'signRequest'];
  test.each(calls.filter(({ method, name }) => method !== 'GET' && !unchanging.includes(name)))(
    '$method $path whose answer was lost has an unknown outcome, and says so',
    async call => {
      fault = { of: mutations, error: () => new StoreUnavailable('lost', { sent: true }) };
      const { status, json } = await ask(call);
      expect([status, json['outcome']]).toEqual([503, 'unknown']);
    },
  );

  test('reading has no outcome, lost or not', async () => {
    fault = { of: everything, error: () => new StoreUnavailable('lost', { sent: true }) };
    for (const call of calls.filter(({ method }) => method === 'GET')) {
      expect((await ask(call)).json).not.toHaveProperty('outcome');
    }
  });

  test('an expected outage is no line in the log', async () => {
    fault = { of: everything, error: () => new StoreUnavailable('lost', { sent: true }) };
    await ask(calls[0]!);
    expect(admin.log).toEqual([]);
  });
});

describe('a fault of ours', () => {
  test.each(calls)('$method $path is a 500 that says nothing, and a line in the log that does', async call => {
    fault = { of: everything, error: () => new TypeError('cannot read pst_secret of undefined') };
    const { status, json, text, fields } = await ask(call);
    expect([status, json['code'], fields.connection]).toEqual([500, 'internal_error', 'close']);
    expect(text).not.toMatch(/pst_secret|TypeError|\.ts/);
    expect(admin.log).toHaveLength(1);
    expect(admin.log[0]).toMatchObject({ fields: { request_id: json['request_id'] }, error: expect.any(TypeError) });
  });

  test('the next request is served', async () => {
    expect((await admin.ask('GET', `/v1/tokens/${id}`)).status).toBe(200);
  });
});
