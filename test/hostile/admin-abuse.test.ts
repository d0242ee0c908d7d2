import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Postern } from '../support/postern.ts';
import { type Answer, RawClient } from '../support/raw-client.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';

const keys = {
  admin: 'admin-key-0123456789abcdefghijklmnopqrst',
  read: 'read-key-0123456789abcdefghijklmnopqrstu',
  owner: 'owner-key-0123456789abcdefghijklmnopqrst',
  expired: 'expired-key-0123456789abcdefghijklmnopqr',
};
let upstream: RecordingUpstream;
let postern: Postern;
let token = '';

beforeAll(async () => {
  upstream = await new RecordingUpstream().listen();
  postern = await Postern.start({
    upstream: upstream.url,
    routes: '\n  - { path: /**, access: public }\n  - { path: /api/**, require: api }',
    more: `
admin:
  keys:
    - { name: root, role: admin, key: "${keys.admin}" }
    - { name: eyes, role: read, key: "${keys.read}" }
    - { name: acme, role: "owner:acme", key: "${keys.owner}" }
    - { name: old, role: admin, key: "${keys.expired}", expires_at: 2020-01-01T00:00:00Z }
guard: { failures: 0 }`,
  });
  postern.planted.push(...Object.values(keys));
  const made = await ask('POST', '/v1/tokens', { body: { permissions: ['api'] } });
  token = made.json()['secret'] as string;
  postern.planted.push(token);
});
afterEach(async () => {
  await RawClient.closeAll();
  await postern.quiet();
  await postern.assertNoSecrets();
  upstream.reset();
});
afterAll(async () => {
  await postern.stop();
  await upstream.close();
});

interface Ask {
  readonly key?: string | null;
  /** An object is written as JSON; text as it is. */
  readonly body?: unknown;
  readonly fields?: readonly string[];
  /** Host; null for none. */
  readonly host?: string | null;
  readonly port?: number;
  readonly version?: string;
}

/** One request by hand, to the admin listener unless told otherwise. */
async function ask(method: string, target: string, options: Ask = {}): Promise<Answer> {
  const { key = keys.admin, body, fields = [], port = postern.app.ports.admin, version = '1.1' } = options;
  const host = options.host === undefined ? `127.0.0.1:${port}` : options.host;
  const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
  const typed = fields.some(field => /^content-type/i.test(field));
  const lines = [
    `${method} ${target} HTTP/${version}`,
    ...(host === null ? [] : [`Host: ${host}`]),
    ...(key === null ? [] : [`Authorization: Bearer ${key}`]),
    ...(body === undefined || typed ? [] : ['Content-Type: application/json']),
    ...(body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(text)}`]),
    ...fields.filter(field => field !== 'Content-Type: -'),
  ];
  const client = await RawClient.open(port);
  client.write(Buffer.from(`${lines.join('\r\n')}\r\n\r\n${text}`));
  const answer = await client.answer({ head: method === 'HEAD' });
  client.destroy();
  return answer;
}

/** Everything that management knows, so that a refusal can be seen to have changed nothing. */
async function everything(): Promise<unknown> {
  const lists = ['/v1/tokens?limit=1000', '/v1/tokens?limit=1000&state=revoked', '/v1/accounts?limit=1000'];
  return Promise.all(lists.map(async target => (await ask('GET', target)).json()));
}

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'TRACE'];

/** Paths of the document that the listener itself gives, with ids put in. */
async function paths(): Promise<Map<string, Set<string>>> {
  const document = (await ask('GET', '/v1/openapi.json')).json() as { paths: Record<string, Record<string, unknown>> };
  const found = new Map<string, Set<string>>();
  for (const [path, operations] of Object.entries(document.paths)) {
    const listed = new Set(Object.keys(operations).map(name => name.toUpperCase()));
    found.set(path.replaceAll(/\{[^}]+\}/g, 'x'), listed.union(new Set(listed.has('GET') ? ['HEAD'] : [])));
  }
  return found;
}

describe('every path of management, with every method', () => {
  test('answers nobody without a key in force, and no read-only key that would change something', async () => {
    const before = await everything();
    const matrix = await paths();
    expect(matrix.size).toBeGreaterThan(8);
    const wrong: Record<string, string | null> = {
      'no key': null,
      'a token': token,
      'an expired key': keys.expired,
      'another key': `${keys.admin}x`,
      'half a key': keys.admin.slice(0, 20),
      'an empty key': '',
    };
    const seen: string[] = [];
    for (const path of matrix.keys()) {
      for (const method of methods) {
        for (const [who, key] of Object.entries(wrong)) {
          const { status } = await ask(method, path, { key });
          if (status !== 401) seen.push(`${method} ${path} with ${who}: ${status}`);
        }
        const owner = await ask(method, path, { key: keys.owner });
        // Its account is not there: it may not even see that nothing is.
        const listed = matrix.get(path)!.has(method);
        const closed = listed ? [403, 400] : [405];
        if (!closed.includes(owner.status)) seen.push(`${method} ${path} with an owner's: ${owner.status}`);
        // A stream of events does not end.
        if (method === 'GET' && path === '/v1/events') continue;
        const { status } = await ask(method, path, { key: keys.read });
        const reads = method === 'GET' || method === 'HEAD';
        // A backup has digests in it: nobody is shown those who may only read.
        const open = reads && path !== '/v1/store/backup';
        // A question that changes nothing, and here asks nothing.
        const asks = method === 'POST' && path === '/v1/explain';
        const expected = !listed ? [405] : asks ? [400] : open ? [200, 404] : [403];
        if (!expected.includes(status)) seen.push(`${method} ${path} with a read-only key: ${status}`);
      }
    }
    expect(seen).toEqual([]);
    expect(await everything()).toEqual(before);
  }, 60_000);

  test('is out of reach on the proxy port, whatever the path or the Host', async () => {
    const admin = postern.app.ports.admin;
    const hosts = [`127.0.0.1:${admin}`, `localhost:${admin}`, '127.0.0.1', 'admin', `[::1]:${admin}`];
    const tricks = [
      [],
      [`X-Forwarded-Host: 127.0.0.1:${admin}`, `X-Forwarded-Port: ${admin}`],
      [`X-Original-URL: /v1/tokens`, 'X-Rewrite-URL: /v1/tokens'],
      [`Forwarded: host="127.0.0.1:${admin}"`],
    ];
    for (const path of (await paths()).keys()) {
      for (const host of hosts) {
        for (const fields of tricks) {
          const answer = await ask('GET', path, { host, fields, port: postern.port });
          expect([answer.status, answer.body.toString()], `${path} of ${host}`).toEqual([200, 'ok']);
        }
      }
    }
    // The upstream answered them all; in absolute form, or upwards, nobody does.
    for (const target of [`http://127.0.0.1:${admin}/v1/tokens`, '/x/../v1/tokens', '//127.0.0.1/v1/tokens']) {
      expect((await ask('GET', target, { port: postern.port })).status, target).toBe(400);
    }
    for (const path of ['/metrics', '/livez', '/readyz', '/drain', '/healthz']) {
      const answer = await ask(path === '/drain' ? 'POST' : 'GET', path, {
        port: postern.port,
        fields: ['User-Agent: kube-probe/1.30', ...(path === '/drain' ? ['Content-Length: 0'] : [])],
      });
      expect([answer.status, answer.body.toString()], path).toEqual([200, 'ok']);
    }
    expect(await postern.metric('postern_draining')).toBe(0);
  });

  test('is out of reach on the telemetry port', async () => {
    for (const path of (await paths()).keys()) {
      expect((await ask('GET', path, { port: postern.app.ports.telemetry })).status, path).toBe(404);
    }
  });
});

describe('what a page in a browser can send', () => {
  const body = { name: 'from a page' };
  const evil = 'Origin: http://evil.example';
  const cases: Record<string, [status: number, options: Ask]> = {
    'JSON as text': [415, { body, fields: ['Content-Type: text/plain'] }],
    'JSON as a form': [415, { body, fields: ['Content-Type: application/x-www-form-urlencoded'] }],
    'JSON as a multipart form': [415, { body, fields: ['Content-Type: multipart/form-data; boundary=x'] }],
    'JSON of no kind': [415, { body, fields: ['Content-Type: -'] }],
    'JSON of two kinds': [415, { body, fields: ['Content-Type: text/plain', 'Content-Type: application/json'] }],
    'JSON as text that names JSON': [415, { body, fields: ['Content-Type: text/plain; application/json'] }],
    // Refused for its Origin first.
    'a form': [403, { body: 'name=x', fields: ['Content-Type: application/x-www-form-urlencoded', evil] }],
    'another Origin': [403, { body, fields: [evil] }],
    'an Origin of nothing': [403, { body, fields: ['Origin: null'] }],
    'an Origin that begins like ours': [403, { body, fields: ['Origin: http://127.0.0.1.evil.example'] }],
    'an Origin with our name as user': [403, { body, fields: ['Origin: http://127.0.0.1@evil.example'] }],
    'two Origins': [400, { body, fields: ['Origin: http://127.0.0.1', evil] }],
    'a Host of its own': [403, { body, host: 'evil.example:9901' }],
    'a Host that resolves to us': [403, { body, host: `rebind.evil.example:${8081}` }],
    'a Host that begins like ours': [403, { body, host: '127.0.0.1.evil.example' }],
    'a Host that ends like ours': [403, { body, host: 'evil.localhost' }],
    'no Host': [400, { body, host: null }],
    'no Host, on HTTP/1.0': [403, { body, host: null, version: '1.0' }],
    'two Hosts': [400, { body, fields: ['Host: evil.example'] }],
    'the key in a cookie': [
      401,
      { body, key: null, fields: [`Cookie: admin=${keys.admin}; Authorization=Bearer ${keys.admin}`] },
    ],
    'the key as Basic': [
      401,
      { body, key: null, fields: [`Authorization: Basic ${Buffer.from(`admin:${keys.admin}`).toString('base64')}`] },
    ],
  };

  test.each(Object.keys(cases))('%s changes nothing, and no answer may be read by it', async name => {
    const [status, options] = cases[name]!;
    const before = await everything();
    const answer = await ask('POST', '/v1/tokens', options);
    expect(answer.status).toBe(status);
    expect(answer.fields.filter(([field]) => /^(?:access-control|set-cookie)/i.test(field))).toEqual([]);
    expect(answer.get('cache-control')).toBe('no-store');
    expect(await everything()).toEqual(before);
  });

  test('the key in the query is no key', async () => {
    expect((await ask('GET', `/v1/tokens?key=${keys.admin}&access_token=${keys.admin}`, { key: null })).status).toBe(
      401,
    );
  });

  test('a preflight is not granted', async () => {
    const fields = [evil, 'Access-Control-Request-Method: POST', 'Access-Control-Request-Headers: authorization'];
    const answer = await ask('OPTIONS', '/v1/tokens', { key: null, fields });
    expect(answer.status).toBe(403);
    expect(answer.fields.filter(([field]) => /^access-control/i.test(field))).toEqual([]);
  });

  test.each(['localhost', '127.0.0.1', '[::1]', 'LOCALHOST'])(
    'our own name %s is answered, on any port',
    async host => {
      expect((await ask('GET', '/v1/tokens', { host: `${host}:1234` })).status).toBe(200);
      expect((await ask('GET', '/v1/tokens', { fields: [`Origin: http://${host}:99`] })).status).toBe(200);
    },
  );

  test('methods by field, parameter or form are not looked at', async () => {
    const { id } = (await ask('POST', '/v1/tokens', { body: {} })).json()['token'] as { id: string };
    const fields = ['X-HTTP-Method-Override: DELETE', 'X-HTTP-Method: DELETE', 'X-Method-Override: DELETE'];
    expect((await ask('GET', `/v1/tokens/${id}`, { fields })).status).toBe(200);
    expect((await ask('GET', `/v1/tokens/${id}?_method=DELETE`, { fields })).status).toBe(422);
    expect((await ask('GET', `/v1/tokens/${id}`)).json()['state']).toBe('enabled');
  });
});

describe('members that are not the client’s to set', () => {
  const foreign: Record<string, unknown> = {
    id: 'mine',
    hash: 'x',
    digest: 'x',
    secret: 'x',
    hint: 'x',
    kind: 'x',
    version: 7,
    created_at: '2020-01-01T00:00:00Z',
    updated_at: '2020-01-01T00:00:00Z',
    last_used_at: '2020-01-01T00:00:00Z',
    usage: {},
    used: 0,
    limit: -1,
    scopes: ['*'],
    isAdmin: true,
    role: 'admin',
    revoked_before: null,
    constructor: { prototype: { x: 1 } },
  };

  test.each(Object.keys(foreign))('%s is refused in every write, by its name', async name => {
    const { id } = (await ask('POST', '/v1/tokens', { body: { name: 'kept' } })).json()['token'] as { id: string };
    const before = await everything();
    const member = { [name]: foreign[name] };
    const writes: [string, string, object][] = [
      ['POST', '/v1/tokens', { name: 'new', ...member }],
      ['PATCH', `/v1/tokens/${id}`, { name: 'changed', ...member }],
      ['PUT', `/v1/tokens/${id}`, { secret_sha256: 'ab'.repeat(32), ...member }],
      ['POST', `/v1/tokens/${id}/rotate`, { grace: '1s', ...member }],
    ];
    for (const [method, target, body] of writes) {
      const answer = await ask(method, target, { body });
      expect([method, answer.status]).toEqual([method, 422]);
      const { errors } = answer.json() as { errors: { pointer: string }[] };
      expect(errors.map(({ pointer }) => pointer)).toEqual([`/${name}`]);
    }
    expect(await everything()).toEqual(before);
  });

  test('all of them at once are all told', async () => {
    const answer = await ask('POST', '/v1/tokens', { body: foreign });
    const { errors } = answer.json() as { errors: { pointer: string }[] };
    expect(new Set(errors.map(({ pointer }) => pointer))).toEqual(
      new Set(Object.keys(foreign).map(name => `/${name}`)),
    );
  });

  test.each([
    ['name', 'named', ''],
    ['permissions', ['api'], []],
    ['tags', ['a'], []],
    ['extra', { a: 1 }, {}],
    ['expires_at', '2040-01-01T00:00:00.000Z', null],
    ['owner', undefined, null],
  ])('null takes %s back to what it is when nothing is said, and nothing beside it', async (name, value, unsaid) => {
    const made = await ask('POST', '/v1/tokens', { body: value === undefined ? {} : { [name]: value } });
    const { id, ...before } = made.json()['token'] as Record<string, unknown>;
    const { version, updated_at, ...after } = (
      await ask('PATCH', `/v1/tokens/${id}`, { body: { [name]: null } })
    ).json();
    const same = { id, ...before, [name]: unsaid } as Record<string, unknown>;
    delete same['version'];
    delete same['updated_at'];
    expect(after).toEqual(same);
  });

  test('a revoked token stays revoked', async () => {
    const { id } = (await ask('POST', '/v1/tokens', { body: {} })).json()['token'] as { id: string };
    expect((await ask('DELETE', `/v1/tokens/${id}`)).status).toBe(200);
    await ask('POST', `/v1/tokens/${id}/enable`);
    await ask('PATCH', `/v1/tokens/${id}`, { body: { state: 'enabled' } });
    await ask('PUT', `/v1/tokens/${id}`, { body: { secret_sha256: 'cd'.repeat(32) } });
    await ask('POST', `/v1/tokens/${id}/rotate`);
    expect((await ask('GET', `/v1/tokens/${id}`)).json()['state']).toBe('revoked');
  });
});

describe('names that objects of JavaScript have of their own', () => {
  const texts = [
    '{"__proto__":{"scopes":["admin"],"permissions":["*"]}}',
    '{"constructor":{"prototype":{"scopes":["admin"]}}}',
    '{"extra":{"__proto__":{"scopes":["admin"]}}}',
    '{"extra":{"a":{"__proto__":{"scopes":["admin"]}}}}',
    '{"extra":{"constructor":{"prototype":{"scopes":["admin"]}}}}',
    '{"permissions":{"__proto__":true}}',
    '{"permissions":["__proto__","constructor","toString"]}',
    '{"tags":["__proto__","constructor"]}',
    '{"name":"__proto__"}',
    '{"\\u005f_proto__":{"scopes":["admin"]}}',
  ];

  test.each(texts)('%s leaves every object as it was, and grants nothing', async text => {
    const answer = await ask('POST', '/v1/tokens', { body: text });
    expect([201, 400, 422]).toContain(answer.status);
    if (answer.status === 201) {
      const { token: made, secret } = answer.json() as { token: { id: string; permissions: unknown }; secret: string };
      postern.planted.push(secret);
      expect((await ask('GET', `/v1/tokens/${made.id}`)).json()).toEqual(made);
      expect((await ask('GET', '/api/x', { key: secret, port: postern.port })).status).toBe(403);
    }
    expect(({} as Record<string, unknown>)['scopes']).toBeUndefined();
    expect(({} as Record<string, unknown>)['permissions']).toBeUndefined();
    expect(Object.keys(Object.prototype)).toEqual([]);
  });

  test.each(['constructor', 'toString', 'hasOwnProperty', 'valueOf'])(
    'a token called %s is one like every other',
    async id => {
      expect((await ask('GET', `/v1/tokens/${id}`)).status).toBe(404);
      const made = await ask('PUT', `/v1/tokens/${id}`, {
        body: { secret_sha256: Buffer.from(id).toString('hex').padEnd(64, '0') },
      });
      expect(made.status).toBe(201);
      expect((await ask('GET', `/v1/tokens/${id}`)).json()['id']).toBe(id);
      expect((await ask('GET', `/v1/tokens/${id}/usage`)).json()['token_id']).toBe(id);
      expect((await ask('PUT', `/v1/accounts/${id}`, { body: {} })).status).toBe(201);
      expect((await ask('GET', `/v1/accounts/${id}`)).json()['id']).toBe(id);
    },
  );

  test.each(['__proto__', '__defineGetter__'])('nothing can be called %s', async id => {
    expect((await ask('GET', `/v1/tokens/${id}`)).status).toBe(404);
    const answer = await ask('PUT', `/v1/tokens/${id}`, { body: { secret_sha256: '0'.repeat(64) } });
    expect([404, 422]).toContain(answer.status);
  });

  test('as fields, cookies, parameters, methods and hosts of requests they are text', async () => {
    for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      upstream.reset();
      const answer = await ask('GET', `/${name}?${name}=1&${name}[x]=2`, {
        port: postern.port,
        host: name.replaceAll('_', '-').replace(/^-+|-+$/g, ''),
        fields: [`${name}: x`, `Cookie: ${name}=x`, `X-${name}: y`],
      });
      expect(answer.status).toBe(200);
      expect(upstream.only.target).toBe(`/${name}?${name}=1&${name}[x]=2`);
      expect(upstream.only.all(name)).toEqual(['x']);
      expect((await ask('GET', `/v1/tokens?${name}=1`)).status).toBe(422);
      expect((await ask('GET', `/v1/${name}`)).status).toBe(404);
    }
    expect(await postern.metrics()).not.toMatch(/__proto__|hasOwnProperty|native code/);
  });
});
