import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Store } from '../../src/stores/open-store.ts';
import { Postern } from '../support/postern.ts';
import { type Answer, RawClient } from '../support/raw-client.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';

/** Attempts to get more rights than one has: by the key of an account's owner, and by its tokens. */

const keys = {
  admin: 'admin-key-0123456789abcdefghijklmnopqrst',
  acme: 'acme-key-0123456789abcdefghijklmnopqrstu',
  globex: 'globex-key-0123456789abcdefghijklmnopqrs',
  loose: 'loose-key-0123456789abcdefghijklmnopqrst',
  off: 'off-key-0123456789abcdefghijklmnopqrstuv',
  gone: 'gone-key-0123456789abcdefghijklmnopqrstu',
  never: 'never-key-0123456789abcdefghijklmnopqrst',
};
type Who = keyof typeof keys;

let upstream: RecordingUpstream;
let postern: Postern;
let store: Store;

interface Ask {
  readonly key?: Who;
  /** An object is written as JSON; text as it is. */
  readonly body?: unknown;
  readonly fields?: readonly string[];
}

/** One request by hand to the admin listener. */
async function ask(method: string, target: string, { key = 'admin', body, fields = [] }: Ask = {}): Promise<Answer> {
  const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
  const { admin } = postern.app.ports;
  const lines = [
    `${method} ${target} HTTP/1.1`,
    `Host: 127.0.0.1:${admin}`,
    `Authorization: Bearer ${keys[key]}`,
    ...(body === undefined ? [] : ['Content-Type: application/json', `Content-Length: ${Buffer.byteLength(text)}`]),
    ...fields,
  ];
  const client = await RawClient.open(admin);
  client.write(Buffer.from(`${lines.join('\r\n')}\r\n\r\n${text}`));
  const answer = await client.answer({ head: method === 'HEAD' });
  client.destroy();
  return answer;
}

/** What a token's request is answered. */
async function present(secret: string, target: string, method = 'GET', body: string | null = null): Promise<number> {
  const typed = body === null ? '' : `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`;
  const client = await RawClient.open(postern.port);
  client.write(
    Buffer.from(
      `${method} ${target} HTTP/1.1\r\nHost: a.example\r\nAuthorization: Bearer ${secret}\r\n${typed}\r\n${body ?? ''}`,
    ),
  );
  const { status } = await client.answer();
  client.destroy();
  return status;
}

async function make(members: object, key: Who = 'admin'): Promise<{ id: string; secret: string }> {
  const answer = await ask('POST', '/v1/tokens', { key, body: members });
  if (answer.status !== 201) throw new Error(answer.body.toString());
  const { token, secret } = answer.json() as { token: { id: string }; secret: string };
  postern.planted.push(secret);
  return { id: token.id, secret };
}

/** Sets an account to be like this, whatever it was. */
async function account(id: string, members: object): Promise<void> {
  const answer = await ask('PUT', `/v1/accounts/${id}`, { body: members });
  if (answer.status > 201) throw new Error(answer.body.toString());
}

async function change(id: string, members: object): Promise<void> {
  const answer = await ask('PATCH', `/v1/tokens/${id}`, { body: members });
  if (answer.status !== 200) throw new Error(answer.body.toString());
}

/** Tokens by what they are to the key of acme. */
const ids: Record<string, string> = {};
const [soon, later] = ['2998-12-31T00:00:00Z', '2999-01-01T00:00:00Z'];
const sha = (digit: string): string => digit.repeat(64);

const limit = { name: 'day', max: 10, per: '1d' };
const declaredSha = { acme: `4f1d${'0a1b2c3d4e5f'.repeat(5)}`, globex: `5f1d${'0a1b2c3d4e5f'.repeat(5)}` };
const settings = `
admin:
  keys:
    - { name: root, role: admin, key: "${keys.admin}" }
${Object.entries(keys)
  .filter(([who]) => who !== 'admin')
  .map(([who, key]) => `    - { name: ${who}, role: "owner:${who}", key: "${key}" }`)
  .join('\n')}
guard: { failures: 0 }`;
const declared = `
tokens:
  declared:
    - { id: conf-acme, secret_sha256: "${declaredSha.acme}", owner: acme, permissions: [db.get] }
    - { id: conf-globex, secret_sha256: "${declaredSha.globex}", owner: globex, permissions: [] }`;
const routes = `
  - { path: /db.get, require: db.get }
  - { path: /db.drop, require: db.drop }
  - { path: /globex, require: "globex:read" }
  - { path: "/api/db.{action}", require: "db.{action}" }
  - { path: "/r/{name}", require: db.get, resource: "db/{name}" }
  - { path: /p, require: db.get, resource: "db/{param.db}" }
  - { path: /any }`;

beforeAll(async () => {
  upstream = await new RecordingUpstream().listen();
  const throughStore = (opened: Store): Store => {
    store = opened;
    return opened;
  };
  const options = { upstream: upstream.url, routes, throughStore };
  postern = await Postern.start({ ...options, more: settings });
  // Declared tokens need accounts that exist.
  await seed();
  const { folder, planted } = postern;
  await postern.stop({ keep: true });
  postern = await Postern.start({ ...options, folder, more: settings + declared });
  postern.planted.push(...planted, ...Object.values(keys));
});
afterEach(async () => {
  await RawClient.closeAll();
  await postern.assertInvariants(upstream);
  upstream.reset();
});
afterAll(async () => {
  await postern.stop();
  await upstream.close();
});

/**
 * Acme may do all of db but drop, by two roles of which the later withholds, and read widgets; it owns three resources.
 * Globex has something of its own. Loose was never given anything.
 */
async function seed(): Promise<void> {
  await ask('PUT', '/v1/roles/reader', { body: { permissions: { 'db.*': true } } });
  await ask('PUT', '/v1/roles/withholder', { body: { permissions: { 'db.drop': false } } });
  await account('acme', {
    roles: ['withholder', 'reader'],
    permissions: [{ resources: ['widgets/*'], actions: { 'widgets:read': true } }],
    owns: ['db/sales', 'db/hr', 'widgets/*'],
  });
  await account('globex', { permissions: ['globex:read', 'db.*'] });
  await account('loose', {});
  await account('off', { enabled: false, permissions: ['*'] });
  await account('gone', { permissions: ['*'] });
  ids['ofGone'] = (await make({ owner: 'gone', permissions: ['*'] })).id;
  await ask('DELETE', '/v1/accounts/gone');

  ids['own'] = (await make({ name: 'own', owner: 'acme', permissions: { 'db.get': true } })).id;
  ids['listed'] = (await make({ owner: 'acme', permissions: ['db.get'] })).id;
  ids['shadow'] = (await make({ owner: 'acme', permissions: ['db.get'], mode: 'shadow' })).id;
  ids['revoked'] = (await make({ owner: 'acme' })).id;
  await ask('DELETE', `/v1/tokens/${ids['revoked']}`);
  ids['foreign'] = (await make({ name: 'theirs', owner: 'globex', permissions: ['globex:read'] })).id;
  ids['unowned'] = (await make({ name: 'nobody', permissions: ['*'] })).id;
  ids['left'] = (await make({ owner: 'acme' })).id;
  await change(ids['left'], { owner: 'globex' });
  ids['ofLoose'] = (await make({ owner: 'loose', permissions: ['globex:read'] })).id;
  const bounds = { not_before: soon, expires_at: later, constraints: { networks: ['192.0.2.0/24'] } };
  ids['stronger'] = (await make({ owner: 'loose', permissions: ['*'], ...bounds })).id;
  ids['strongest'] = (await make({ owner: 'loose', permissions: ['*'] })).id;
  ids['stopped'] = (await make({ owner: 'loose', permissions: ['*'], state: 'disabled' })).id;
  ids['strongerAcme'] = (await make({ owner: 'acme', permissions: ['*'] })).id;
  ids['confForeign'] = 'conf-globex';
  ids['conf'] = 'conf-acme';
  ids['limited'] = (await make({ owner: 'acme', permissions: ['db.get'], limits: [limit] })).id;
}

const elsewhere = ['foreign', 'unowned', 'left', 'confForeign'] as const;

/** What tells one answer from another, without what every answer has of its own. */
function told({ status, fields, body }: Answer): unknown {
  const text = body.toString().replace(/"request_id":"[^"]*"/, '');
  const kept = fields.filter(([name]) => !/^(?:date|x-request-id)$/i.test(name));
  return { status, fields: kept, text };
}

interface Attempt {
  readonly name: string;
  readonly key?: Who;
  readonly method: string;
  /** `{own}` is the id of that token. */
  readonly target: string;
  readonly body?: unknown;
  readonly fields?: readonly string[];
  readonly status: number;
  readonly code: string;
  readonly pointers?: readonly string[];
}

const targetOf = (target: string): string => target.replace(/\{(\w+)\}/, (_, name: string) => ids[name]!);

/** Refused as the row says, and nothing has changed. */
async function refused({ key = 'acme', method, target, body, fields = [], status, code, pointers }: Attempt) {
  const before = await store.feed.head();
  const answer = await ask(method, targetOf(target), { key, body, fields });
  expect([answer.status, answer.json()['code']], answer.body.toString()).toEqual([status, code]);
  if (pointers !== undefined) {
    const errors = (answer.json()['errors'] ?? []) as { pointer: string }[];
    expect(errors.map(({ pointer }) => pointer)).toEqual(pointers);
  }
  expect(await store.feed.head()).toEqual(before);
}

const forbidden = { status: 403, code: 'forbidden' } as const;

describe("an owner's key", () => {
  test('manages the tokens of its account: what is refused below is not refused for want of anything else', async () => {
    const key = 'acme';
    const { id, secret } = await make({ name: 'mine', permissions: ['db.get'] }, key);
    const one = `/v1/tokens/${id}`;
    expect((await ask('GET', one, { key })).json()).toMatchObject({ owner: 'acme', mode: 'enforce' });
    expect(await present(secret, '/db.get')).toBe(200);
    const fine: [string, string, unknown?][] = [
      ['HEAD', one],
      ['PATCH', one, { name: 'renamed', owner: 'acme', mode: 'enforce', permissions: 'inherit' }],
      ['PUT', `${one}/permissions`, { 'db.*': true, 'db.drop': false }],
      ['PATCH', `${one}/permissions`, { 'db.list': true }],
      ['PUT', `${one}/permissions`, [{ resources: ['widgets/*'], actions: { 'widgets:read': true } }]],
      ['GET', `${one}/permissions`],
      ['GET', `${one}/usage`],
      ['GET', `${one}/events`],
      ['GET', `${one}?at=${new Date().toISOString()}`],
      ['POST', `${one}/disable`],
      ['POST', `${one}/enable`],
      ['DELETE', one],
      ['GET', '/v1/tokens?owner=acme'],
      ['GET', '/v1/tokens/{conf}'],
      ['GET', '/v1/tokens/{shadow}'],
      ['GET', '/v1/tokens/{revoked}/usage'],
    ];
    for (const [method, target, body] of fine) {
      expect([method, target, (await ask(method, targetOf(target), { key, body })).status]).toEqual([
        method,
        target,
        200,
      ]);
    }
    const put = { key, body: { secret_sha256: sha('1'), permissions: ['db.get'] } } as const;
    expect((await ask('PUT', '/v1/tokens/put-by-acme', put)).status).toBe(201);
    expect((await ask('PUT', '/v1/tokens/put-by-acme', put)).json()).toMatchObject({ owner: 'acme' });
    const rotated = (await ask('POST', '/v1/tokens/put-by-acme/rotate', { key })).json()['secret'] as string;
    postern.planted.push(rotated);
    expect(await present(rotated, '/db.get')).toBe(200);
  });

  const calls: [method: string, more: string, body?: unknown][] = [
    ['GET', ''],
    ['HEAD', ''],
    ['GET', `?at=2026-01-01T00:00:00Z`],
    ['GET', `?at=${new Date().toISOString()}`],
    ['GET', '?at=2999-01-01T00:00:00Z'],
    ['PATCH', '', { name: 'taken' }],
    ['PATCH', '', { owner: 'acme' }],
    ['PATCH', '', { mode: 'shadow', owner: null, nonsense: 1 }],
    ['POST', '/enable'],
    ['POST', '/disable'],
    ['POST', '/rotate'],
    ['POST', '/rotate', { grace: '30d' }],
    ['POST', '/rotate', { grace: '31d' }],
    ['DELETE', ''],
    ['DELETE', '?wait=1s'],
    ['GET', '/permissions'],
    ['PUT', '/permissions', ['*']],
    ['PUT', '/permissions', []],
    ['PATCH', '/permissions', { 'db.get': true }],
    ['GET', '/usage'],
    ['GET', '/usage?from=2026-01-01T00:00:00Z&step=1d'],
    ['POST', '/limits/day/reset'],
    ['GET', '/events'],
    ['GET', '/events?limit=1'],
    ['PUT', '', { secret_sha256: 'short' }],
    ['PUT', '', { secret_sha256: sha('2'), owner: 'globex' }],
    ['PUT', '', { secret_sha256: sha('2'), permissions: ['*'] }],
    ['PUT', '', { secret_sha256: sha('2'), owner: null }],
  ];
  const conditions = [[], ['If-Match: "1"'], ['If-Match: *'], ['If-None-Match: "1"'], ['If-None-Match: *']];
  const probes = calls.flatMap(call => elsewhere.map(whose => [call[0], call[1], whose, call[2]] as const));

  test.each(probes)('%s …%s answers the same of a token that is %s and of none', async (method, more, whose, body) => {
    const before = await store.feed.head();
    for (const fields of conditions) {
      const ofNone = await ask(method, `/v1/tokens/tok_none${more}`, { key: 'acme', body, fields });
      const answer = await ask(method, `/v1/tokens/${ids[whose]}${more}`, { key: 'acme', body, fields });
      expect(told(answer), fields.join()).toEqual(told(ofNone));
      expect(answer.status).toBeGreaterThanOrEqual(400);
    }
    expect(await store.feed.head()).toEqual(before);
  });

  test.each(elsewhere)(
    'PUT over a token that is %s changes nothing, and shows nothing but that the id is taken',
    async whose => {
      const before = await store.feed.head();
      const shown = (await ask('GET', `/v1/tokens/${ids[whose]}`)).json();
      const body = { secret_sha256: sha('2'), permissions: ['db.get'] };
      for (const fields of [[], ['If-None-Match: *'], ['If-None-Match: "1"']]) {
        const answer = await ask('PUT', `/v1/tokens/${ids[whose]}`, { key: 'acme', body, fields });
        expect([answer.status, answer.json()['code']]).toEqual([409, 'conflict']);
        expect(answer.get('etag')).toBeUndefined();
        expect(answer.body.toString()).not.toMatch(/globex|theirs|nobody|declared|version/);
      }
      for (const fields of [['If-Match: *'], ['If-Match: "1"']]) {
        expect((await ask('PUT', `/v1/tokens/${ids[whose]}`, { key: 'acme', body, fields })).status).toBe(412);
      }
      expect(await store.feed.head()).toEqual(before);
      expect((await ask('GET', `/v1/tokens/${ids[whose]}`)).json()).toEqual(shown);
    },
  );

  test('lists its own tokens alone, whatever the filters, the state and the page', async () => {
    for (const query of [
      '',
      '?limit=1',
      '?state=revoked',
      '?state=enabled',
      '?owner=acme',
      '?kind=declared',
      '?prefix=t',
    ]) {
      let cursor: string | null = null;
      do {
        const sign: string = query === '' ? '?' : '&';
        const page: Answer = await ask('GET', `/v1/tokens${query}${cursor === null ? '' : `${sign}cursor=${cursor}`}`, {
          key: 'acme',
        });
        expect(page.status).toBe(200);
        const { tokens, next_cursor } = page.json() as { tokens: { owner: string }[]; next_cursor: string | null };
        expect(tokens.filter(({ owner }) => owner !== 'acme')).toEqual([]);
        cursor = next_cursor;
      } while (cursor !== null);
    }
    const all = (await ask('GET', '/v1/tokens?limit=1000', { key: 'acme' })).json() as { tokens: { id: string }[] };
    expect(all.tokens.map(({ id }) => id)).toEqual(expect.arrayContaining([ids['own'], ids['conf'], ids['shadow']]));
  });

  test.each(['/v1/tokens', '/v1/tokens?owner=acme', '/v1/tokens/{own}/events'])(
    'a cursor of %s that another key was given is none',
    async target => {
      await change(ids['own']!, { tags: [] });
      await change(ids['own']!, { tags: [`t${Math.random()}`] });
      const sign = target.includes('?') ? '&' : '?';
      const { next_cursor } = (await ask('GET', `${targetOf(target)}${sign}limit=1`)).json();
      expect(next_cursor).toEqual(expect.any(String));
      await refused({
        name: '',
        method: 'GET',
        target: `${targetOf(target)}${sign}limit=1&cursor=${next_cursor}`,
        status: 422,
        code: 'validation_failed',
        pointers: ['?cursor'],
      });
    },
  );

  test("another actor's Idempotency-Key is not its own", async () => {
    const fields = ['Idempotency-Key: once'];
    const body = { name: 'once', owner: 'acme', permissions: ['db.get'] };
    const first = (await ask('POST', '/v1/tokens', { body, fields })).json();
    const second = await ask('POST', '/v1/tokens', { key: 'acme', body, fields });
    const third = await ask('POST', '/v1/tokens', { key: 'acme', body: { ...body, name: 'other' }, fields });
    const again = await ask('POST', '/v1/tokens', { key: 'acme', body, fields });
    for (const { secret } of [first, second.json()]) postern.planted.push(secret as string);
    expect([second.status, second.get('idempotency-replayed')]).toEqual([201, undefined]);
    expect((second.json()['token'] as { id: string }).id).not.toBe((first['token'] as { id: string }).id);
    expect([third.status, third.json()['code']]).toEqual([422, 'validation_failed']);
    expect([again.status, again.get('idempotency-replayed'), again.json()['secret']]).toEqual([201, 'true', undefined]);
  });

  test('a creation that it asks for again is not shown once its token is another account’s', async () => {
    const fields = ['Idempotency-Key: moved'];
    const body = { name: 'moved' };
    const made = (await ask('POST', '/v1/tokens', { key: 'acme', body, fields })).json();
    postern.planted.push(made['secret'] as string);
    await change((made['token'] as { id: string }).id, { owner: 'globex', name: 'theirs now' });
    const again = await ask('POST', '/v1/tokens', { key: 'acme', body, fields });
    expect([again.status, again.json()['code']]).toEqual([404, 'not_found']);
  });

  test('a token that was another account’s shows neither what it was then nor how it came', async () => {
    const { id } = await make({ name: 'their secret plan', owner: 'globex', permissions: ['globex:read'] });
    await change(id, { tags: ['their-tag'] });
    const then = new Date().toISOString();
    await expect.poll(() => new Date().toISOString() > then).toBe(true);
    await change(id, { owner: 'acme', name: 'handed over', tags: [] });
    await change(id, { name: 'ours' });
    const one = `/v1/tokens/${id}`;
    const past = await ask('GET', `${one}?at=${then}`, { key: 'acme' });
    const never = await ask('GET', `${one}?at=2001-01-01T00:00:00Z`, { key: 'acme' });
    expect(told(past)).toEqual(told(never));
    expect(past.status).toBe(404);
    const shown = await ask('GET', `${one}/events`, { key: 'acme' });
    expect(shown.body.toString()).not.toMatch(/globex|their/);
    const { events } = shown.json() as { events: { changes: object }[] };
    expect(events.map(({ changes }) => Object.keys(changes))).toEqual([['name']]);
    const paged = (await ask('GET', `${one}/events?limit=1`, { key: 'acme' })).json();
    expect(paged).toMatchObject({ events, next_cursor: null });
    // And while it is away again, nothing at all.
    await change(id, { owner: 'globex' });
    await refused({ name: '', method: 'GET', target: `${one}/events`, status: 404, code: 'not_found' });
    await change(id, { owner: 'acme' });
    expect((await ask('GET', `${one}/events`, { key: 'acme' })).json()['events']).toEqual(events);
  });

  const attempts: Attempt[] = [
    // Whose tokens they are.
    {
      name: 'a token of another account',
      method: 'POST',
      target: '/v1/tokens',
      body: { owner: 'globex' },
      ...forbidden,
      pointers: ['/owner'],
    },
    {
      name: 'a token of an account that is not there',
      method: 'POST',
      target: '/v1/tokens',
      body: { owner: 'nobody' },
      ...forbidden,
      pointers: ['/owner'],
    },
    {
      name: 'a token of nobody',
      method: 'POST',
      target: '/v1/tokens',
      body: { owner: null },
      ...forbidden,
      pointers: ['/owner'],
    },
    {
      name: 'a bad token of an account that may not be there',
      method: 'POST',
      target: '/v1/tokens',
      body: { owner: 'nobody', tags: 1 },
      ...forbidden,
      pointers: ['/owner'],
    },
    {
      name: 'a token that is given away',
      method: 'PATCH',
      target: '/v1/tokens/{own}',
      body: { owner: 'globex' },
      ...forbidden,
      pointers: ['/owner'],
    },
    {
      name: 'a token that is set free',
      method: 'PATCH',
      target: '/v1/tokens/{own}',
      body: { owner: null },
      ...forbidden,
      pointers: ['/owner'],
    },
    {
      name: 'a token that is declared free',
      method: 'PUT',
      target: '/v1/tokens/{own}',
      body: { secret_sha256: sha('3'), owner: null },
      ...forbidden,
      pointers: ['/owner'],
    },
    {
      name: 'a token that is declared for another',
      method: 'PUT',
      target: '/v1/tokens/fresh',
      body: { secret_sha256: sha('3'), owner: 'globex' },
      ...forbidden,
      pointers: ['/owner'],
    },
    {
      name: 'the list of another account',
      method: 'GET',
      target: '/v1/tokens?owner=globex',
      ...forbidden,
      pointers: ['?owner'],
    },
    {
      name: 'the list of an account that is not there',
      method: 'GET',
      target: '/v1/tokens?owner=nobody',
      ...forbidden,
      pointers: ['?owner'],
    },
    {
      name: 'revoking all of another account',
      method: 'DELETE',
      target: '/v1/tokens?owner=globex',
      ...forbidden,
      pointers: ['?owner'],
    },
    {
      name: 'revoking all of an account that is not there',
      method: 'DELETE',
      target: '/v1/tokens?owner=nobody',
      ...forbidden,
      pointers: ['?owner'],
    },
    {
      name: 'revoking all of another, by its version',
      method: 'DELETE',
      target: '/v1/tokens?owner=globex',
      fields: ['If-Match: "1"'],
      ...forbidden,
    },
    { name: 'revoking all of everybody', method: 'DELETE', target: '/v1/tokens', status: 400, code: 'invalid_body' },
    {
      name: 'an owner twice',
      method: 'GET',
      target: '/v1/tokens?owner=acme&owner=globex',
      status: 422,
      code: 'validation_failed',
    },
    {
      name: 'an owner by a longer name',
      method: 'GET',
      target: '/v1/tokens?owner[]=globex',
      status: 422,
      code: 'validation_failed',
    },
    // Shadow mode.
    {
      name: 'a token that nothing is refused to',
      method: 'POST',
      target: '/v1/tokens',
      body: { mode: 'shadow' },
      ...forbidden,
      pointers: ['/mode'],
    },
    {
      name: 'a token that is put in shadow mode',
      method: 'PATCH',
      target: '/v1/tokens/{own}',
      body: { mode: 'shadow' },
      ...forbidden,
      pointers: ['/mode'],
    },
    {
      name: 'a token that is declared in shadow mode',
      method: 'PUT',
      target: '/v1/tokens/fresh',
      body: { secret_sha256: sha('3'), mode: 'shadow' },
      ...forbidden,
      pointers: ['/mode'],
    },
    { name: 'a secret for a token in shadow mode', method: 'POST', target: '/v1/tokens/{shadow}/rotate', ...forbidden },
    {
      name: 'another secret for a token in shadow mode',
      method: 'PUT',
      target: '/v1/tokens/{shadow}',
      body: { secret_sha256: sha('3') },
      ...forbidden,
    },
    {
      name: 'a name for a token in shadow mode',
      method: 'PATCH',
      target: '/v1/tokens/{shadow}',
      body: { name: 'x' },
      ...forbidden,
    },
    {
      name: 'a longer life for a token in shadow mode',
      method: 'PATCH',
      target: '/v1/tokens/{shadow}',
      body: { expires_at: null },
      ...forbidden,
    },
    { name: 'a token in shadow mode, enabled', method: 'POST', target: '/v1/tokens/{shadow}/enable', ...forbidden },
    {
      name: 'a token in shadow mode, enabled by a patch',
      method: 'PATCH',
      target: '/v1/tokens/{shadow}',
      body: { state: 'enabled' },
      ...forbidden,
    },
    {
      name: 'permissions of a token in shadow mode',
      method: 'PUT',
      target: '/v1/tokens/{shadow}/permissions',
      body: [],
      ...forbidden,
    },
    // Beyond the account.
    {
      name: 'everything',
      method: 'POST',
      target: '/v1/tokens',
      body: { permissions: ['*'] },
      ...forbidden,
      pointers: ['/permissions/0'],
    },
    {
      name: 'everything of two pieces',
      method: 'POST',
      target: '/v1/tokens',
      body: { permissions: ['db.get', '*:*', '*.*'] },
      ...forbidden,
      pointers: ['/permissions/1', '/permissions/2'],
    },
    {
      name: 'all of db, of which the account lacks one',
      method: 'POST',
      target: '/v1/tokens',
      body: { permissions: ['db.*'] },
      ...forbidden,
      pointers: ['/permissions/0'],
    },
    {
      name: 'all of db, what is withheld first',
      method: 'POST',
      target: '/v1/tokens',
      body: { permissions: { 'db.drop': false, 'db.*': true } },
      ...forbidden,
      pointers: ['/permissions/db.*'],
    },
    {
      name: 'what a later role withholds',
      method: 'POST',
      target: '/v1/tokens',
      body: { permissions: ['db.drop'] },
      ...forbidden,
      pointers: ['/permissions/0'],
    },
    {
      name: 'what another account has',
      method: 'POST',
      target: '/v1/tokens',
      body: { permissions: ['globex:read'] },
      ...forbidden,
      pointers: ['/permissions/0'],
    },
    {
      name: 'an action of any place',
      method: 'POST',
      target: '/v1/tokens',
      body: { permissions: { '*.get': true } },
      ...forbidden,
      pointers: ['/permissions/*.get'],
    },
    {
      name: 'an action deeper than the account’s',
      method: 'POST',
      target: '/v1/tokens',
      body: { permissions: ['db.get.all', 'db:get'] },
      ...forbidden,
      pointers: ['/permissions/0', '/permissions/1'],
    },
    {
      name: 'widgets on everything that is owned',
      method: 'POST',
      target: '/v1/tokens',
      body: { permissions: ['widgets:read'] },
      ...forbidden,
      pointers: ['/permissions/0'],
    },
    {
      name: 'all databases, of which two are owned',
      method: 'POST',
      target: '/v1/tokens',
      body: { permissions: [{ resources: ['db/*'], actions: { 'db.get': true } }] },
      ...forbidden,
      pointers: ['/permissions/0/actions/db.get'],
    },
    {
      name: 'a database that is not owned',
      method: 'POST',
      target: '/v1/tokens',
      body: { permissions: [{ resources: ['db/sales', 'db/all'], actions: { 'db.get': true } }] },
      ...forbidden,
      pointers: ['/permissions/0/actions/db.get'],
    },
    {
      name: 'all resources of two segments',
      method: 'POST',
      target: '/v1/tokens',
      body: { permissions: [{ resources: ['*/*'], actions: { 'db.get': true } }] },
      ...forbidden,
      pointers: ['/permissions/0/actions/db.get'],
    },
    {
      name: 'more actions on what is owned',
      method: 'POST',
      target: '/v1/tokens',
      body: { permissions: [{ resources: ['*'], actions: { 'db.get': true, '*': true } }] },
      ...forbidden,
      pointers: ['/permissions/0/actions/*'],
    },
    {
      name: 'more by a patch',
      method: 'PATCH',
      target: '/v1/tokens/{own}',
      body: { permissions: { 'globex:read': true } },
      ...forbidden,
      pointers: ['/permissions/globex:read'],
    },
    {
      name: 'more by a merge',
      method: 'PATCH',
      target: '/v1/tokens/{own}/permissions',
      body: { 'db.drop': true },
      ...forbidden,
      pointers: ['/db.drop'],
    },
    {
      name: 'more by replacing permissions',
      method: 'PUT',
      target: '/v1/tokens/{own}/permissions',
      body: ['db.get', 'a'],
      ...forbidden,
      pointers: ['/1'],
    },
    {
      name: 'more by a declaration',
      method: 'PUT',
      target: '/v1/tokens/{own}',
      body: { secret_sha256: sha('3'), permissions: ['*'] },
      ...forbidden,
      pointers: ['/permissions/0'],
    },
    {
      name: 'more by a new declaration',
      method: 'PUT',
      target: '/v1/tokens/fresh',
      body: { secret_sha256: sha('3'), permissions: ['*'] },
      ...forbidden,
      pointers: ['/permissions/0'],
    },
    {
      name: 'a * within a piece',
      method: 'POST',
      target: '/v1/tokens',
      body: { permissions: ['db*', 'd*.get', '**', 'db.**'] },
      status: 422,
      code: 'validation_failed',
      pointers: ['/permissions/0', '/permissions/1', '/permissions/2', '/permissions/3'],
    },
    {
      name: 'empty pieces',
      method: 'POST',
      target: '/v1/tokens',
      body: { permissions: ['', 'db.', '.get', 'db..get'] },
      status: 422,
      code: 'validation_failed',
    },
    {
      name: 'anything of an account that has nothing',
      key: 'loose',
      method: 'POST',
      target: '/v1/tokens',
      body: { permissions: ['a'] },
      ...forbidden,
      pointers: ['/permissions/0'],
    },
    {
      name: 'everything of an account that has nothing',
      key: 'loose',
      method: 'POST',
      target: '/v1/tokens',
      body: { permissions: ['*'] },
      ...forbidden,
      pointers: ['/permissions/0'],
    },
    {
      name: 'more for a token of an account that has nothing',
      key: 'loose',
      method: 'PATCH',
      target: '/v1/tokens/{ofLoose}/permissions',
      body: { 'globex:write': true },
      status: 409,
      code: 'conflict',
    },
    {
      name: 'more in the place of what an admin gave',
      key: 'loose',
      method: 'PUT',
      target: '/v1/tokens/{ofLoose}/permissions',
      body: ['globex:read', 'globex:write'],
      ...forbidden,
      pointers: ['/0', '/1'],
    },
    // Names that objects have of their own.
    {
      name: 'an action called __proto__',
      method: 'POST',
      target: '/v1/tokens',
      body: '{"permissions":{"__proto__":true}}',
      status: 422,
      code: 'validation_failed',
      pointers: ['/permissions/__proto__'],
    },
    {
      name: 'an action called constructor',
      method: 'POST',
      target: '/v1/tokens',
      body: { permissions: ['constructor', 'toString'] },
      ...forbidden,
      pointers: ['/permissions/0', '/permissions/1'],
    },
    {
      name: 'members behind __proto__',
      method: 'POST',
      target: '/v1/tokens',
      body: '{"__proto__":{"owner":"globex","mode":"shadow"}}',
      status: 422,
      code: 'validation_failed',
      pointers: ['/__proto__'],
    },
    {
      name: 'members behind constructor',
      method: 'PATCH',
      target: '/v1/tokens/{own}',
      body: '{"constructor":{"prototype":{"owner":"globex"}}}',
      status: 422,
      code: 'validation_failed',
      pointers: ['/constructor'],
    },
    {
      name: 'members of ours',
      method: 'POST',
      target: '/v1/tokens',
      body: { id: 'x', kind: 'declared', hint: 'x', digest: 'x', version: 9, created_at: '2001-01-01T00:00:00Z' },
      status: 422,
      code: 'validation_failed',
    },
    {
      name: 'members of keys and accounts',
      method: 'PATCH',
      target: '/v1/tokens/{own}',
      body: { role: 'admin', scope: null, roles: ['reader'], owns: null, account: 'globex' },
      status: 422,
      code: 'validation_failed',
    },
    {
      name: 'an owner twice in a body',
      method: 'POST',
      target: '/v1/tokens',
      body: '{"owner":"acme","owner":"globex"}',
      status: 400,
      code: 'invalid_body',
    },
    {
      name: 'an owner in another case',
      method: 'POST',
      target: '/v1/tokens',
      body: { Owner: 'globex', OWNER: 'globex' },
      status: 422,
      code: 'validation_failed',
    },
    {
      name: 'an owner that is a list',
      method: 'POST',
      target: '/v1/tokens',
      body: { owner: ['acme', 'globex'] },
      status: 422,
      code: 'validation_failed',
    },
    {
      name: 'grants with members of ours',
      method: 'POST',
      target: '/v1/tokens',
      body: { permissions: [{ resources: ['db/sales'], actions: { 'db.get': true }, owner: 'globex' }] },
      status: 422,
      code: 'validation_failed',
    },
    // What is not tokens.
    { name: 'its account', method: 'GET', target: '/v1/accounts/acme', ...forbidden },
    {
      name: 'its account, with more',
      method: 'PATCH',
      target: '/v1/accounts/acme',
      body: { permissions: ['*'] },
      ...forbidden,
    },
    { name: 'its account, anew', method: 'PUT', target: '/v1/accounts/acme', body: { owns: null }, ...forbidden },
    {
      name: 'an account of its own',
      method: 'POST',
      target: '/v1/accounts',
      body: { permissions: ['*'] },
      ...forbidden,
    },
    { name: 'no account', method: 'DELETE', target: '/v1/accounts/acme', ...forbidden },
    { name: 'accounts', method: 'GET', target: '/v1/accounts', ...forbidden },
    { name: 'roles', method: 'GET', target: '/v1/roles', ...forbidden },
    { name: 'its role', method: 'GET', target: '/v1/roles/reader', ...forbidden },
    {
      name: 'its role, with more',
      method: 'PATCH',
      target: '/v1/roles/reader',
      body: { permissions: { '*': true } },
      ...forbidden,
    },
    { name: 'no role that withholds', method: 'DELETE', target: '/v1/roles/withholder', ...forbidden },
    { name: 'a role of its own', method: 'POST', target: '/v1/roles', body: { permissions: ['*'] }, ...forbidden },
    {
      name: 'the roles the other way round',
      method: 'PATCH',
      target: '/v1/roles/order',
      body: ['withholder', 'reader'],
      ...forbidden,
    },
    { name: 'the live feed', method: 'GET', target: '/v1/events', ...forbidden },
    { name: 'the live feed of its account', method: 'GET', target: '/v1/events?owner=acme', ...forbidden },
    { name: 'a backup', method: 'GET', target: '/v1/store/backup', ...forbidden },
    { name: 'the document', method: 'GET', target: '/v1/openapi.json', ...forbidden },
    // What is declared is not changed here.
    {
      name: 'a declared token, changed',
      method: 'PATCH',
      target: '/v1/tokens/{conf}',
      body: { name: 'x' },
      status: 409,
      code: 'conflict',
    },
    {
      name: 'a declared token, rotated',
      method: 'POST',
      target: '/v1/tokens/{conf}/rotate',
      status: 409,
      code: 'conflict',
    },
    {
      name: 'a declared token, replaced',
      method: 'PUT',
      target: '/v1/tokens/{conf}',
      body: { secret_sha256: sha('3') },
      status: 409,
      code: 'conflict',
    },
    {
      name: 'the secret of a token that is declared for another',
      method: 'PUT',
      target: '/v1/tokens/fresh',
      body: { secret_sha256: declaredSha.globex },
      status: 409,
      code: 'conflict',
    },
    // Use of what somebody else gave.
    {
      name: 'a new secret of a token that may do more',
      key: 'loose',
      method: 'POST',
      target: '/v1/tokens/{stronger}/rotate',
      ...forbidden,
    },
    {
      name: 'a new secret of a token that may do more, the old one beside it',
      key: 'loose',
      method: 'POST',
      target: '/v1/tokens/{stronger}/rotate',
      body: { grace: '1h' },
      ...forbidden,
    },
    {
      name: 'a secret of one’s own for a token that may do more',
      key: 'loose',
      method: 'PUT',
      target: '/v1/tokens/{stronger}',
      body: {
        secret_sha256: sha('6'),
        permissions: ['*'],
        not_before: soon,
        expires_at: later,
        constraints: { networks: ['192.0.2.0/24'] },
      },
      ...forbidden,
    },
    {
      name: 'a secret of one’s own for a token that may do more and has no constraints',
      key: 'loose',
      method: 'PUT',
      target: '/v1/tokens/{strongest}',
      body: { secret_sha256: sha('6'), permissions: ['*'] },
      ...forbidden,
    },
    {
      name: 'no constraints of a token that may do more',
      key: 'loose',
      method: 'PATCH',
      target: '/v1/tokens/{stronger}',
      body: { constraints: null },
      ...forbidden,
    },
    {
      name: 'fewer constraints of a token that may do more',
      key: 'loose',
      method: 'PATCH',
      target: '/v1/tokens/{stronger}',
      body: { constraints: { networks: null } },
      ...forbidden,
    },
    {
      name: 'wider constraints of a token that may do more',
      key: 'loose',
      method: 'PATCH',
      target: '/v1/tokens/{stronger}',
      body: { constraints: { networks: ['0.0.0.0/0'] } },
      ...forbidden,
    },
    {
      name: 'no constraints of a token that may do more, beside its permissions',
      key: 'loose',
      method: 'PATCH',
      target: '/v1/tokens/{stronger}',
      body: { permissions: ['*'], constraints: null },
      ...forbidden,
    },
    {
      name: 'a token that may do more, enabled',
      key: 'loose',
      method: 'POST',
      target: '/v1/tokens/{stopped}/enable',
      ...forbidden,
    },
    {
      name: 'a token that may do more, enabled by a patch',
      key: 'loose',
      method: 'PATCH',
      target: '/v1/tokens/{stopped}',
      body: { state: 'enabled' },
      ...forbidden,
    },
    {
      name: 'no end of a token that may do more',
      key: 'loose',
      method: 'PATCH',
      target: '/v1/tokens/{stronger}',
      body: { expires_at: null },
      ...forbidden,
    },
    {
      name: 'a later end of a token that may do more',
      key: 'loose',
      method: 'PATCH',
      target: '/v1/tokens/{stronger}',
      body: { expires_at: '2999-01-02T00:00:00Z' },
      ...forbidden,
    },
    {
      name: 'an earlier beginning of a token that may do more',
      key: 'loose',
      method: 'PATCH',
      target: '/v1/tokens/{stronger}',
      body: { not_before: '2998-01-01T00:00:00Z' },
      ...forbidden,
    },
    {
      name: 'no beginning of a token that may do more',
      key: 'loose',
      method: 'PATCH',
      target: '/v1/tokens/{stronger}',
      body: { not_before: null },
      ...forbidden,
    },
    {
      name: 'a new secret of a token that may do more than a bound account',
      key: 'acme',
      method: 'POST',
      target: '/v1/tokens/{strongerAcme}/rotate',
      ...forbidden,
    },
    // Limits that somebody has set.
    ...[
      { name: 'no limits any more', limits: [], pointers: ['/limits'] },
      { name: 'limits as at the beginning', limits: null, pointers: ['/limits'] },
      { name: 'a limit raised', limits: [{ ...limit, max: 11 }], pointers: ['/limits/0/max'] },
      { name: 'a limit of a shorter window', limits: [{ ...limit, per: '1s' }], pointers: ['/limits/0/per'] },
      {
        name: 'a limit of which nothing is used yet',
        limits: [{ ...limit, algorithm: 'bucket' }],
        pointers: ['/limits/0/algorithm'],
      },
      { name: 'a limit under another name', limits: [{ ...limit, name: 'days' }], pointers: ['/limits'] },
    ].map(({ name, limits, pointers }) => ({
      name,
      method: 'PATCH',
      target: '/v1/tokens/{limited}',
      body: { limits },
      ...forbidden,
      pointers,
    })),
    {
      name: 'a limited token that is declared without',
      method: 'PUT',
      target: '/v1/tokens/{limited}',
      body: { secret_sha256: sha('7'), permissions: ['db.get'] },
      ...forbidden,
      pointers: ['/limits'],
    },
    { name: 'a limit begun anew', method: 'POST', target: '/v1/tokens/{limited}/limits/day/reset', ...forbidden },
    {
      name: 'limits of its account',
      method: 'PATCH',
      target: '/v1/accounts/acme',
      body: { limits: [] },
      ...forbidden,
    },
    {
      name: 'a limit of its account begun anew',
      method: 'POST',
      target: '/v1/accounts/acme/limits/day/reset',
      ...forbidden,
    },
    // What is revoked is revoked.
    {
      name: 'a revoked token, enabled',
      method: 'POST',
      target: '/v1/tokens/{revoked}/enable',
      status: 409,
      code: 'conflict',
    },
    {
      name: 'a revoked token, rotated',
      method: 'POST',
      target: '/v1/tokens/{revoked}/rotate',
      status: 409,
      code: 'conflict',
    },
  ];

  test.each(attempts.map(attempt => [attempt.name, attempt] as const))('is refused %s', (_, attempt) =>
    refused(attempt),
  );

  test.each(['off', 'gone', 'never'] as const)('may do nothing when its account is %s', async key => {
    const token = `/v1/tokens/${ids['ofGone']}`;
    const every: [string, string, unknown?][] = [
      ['GET', '/v1/tokens'],
      ['GET', `/v1/tokens?owner=${key}`],
      ['GET', '/v1/tokens?owner=globex'],
      ['POST', '/v1/tokens', {}],
      ['POST', '/v1/tokens', { owner: key, permissions: ['*'] }],
      ['PUT', '/v1/tokens/fresh', { secret_sha256: sha('4') }],
      ['DELETE', `/v1/tokens?owner=${key}`],
      ['GET', token],
      ['GET', '/v1/tokens/tok_none'],
      ['PATCH', token, { name: 'x' }],
      ['PUT', `${token}/permissions`, []],
      ['POST', `${token}/enable`],
      ['POST', `${token}/rotate`],
      ['DELETE', token],
      ['GET', `${token}/usage`],
      ['POST', `${token}/limits/day/reset`],
      ['GET', `${token}/events`],
      ['GET', `${token}?at=${new Date().toISOString()}`],
    ];
    for (const [method, target, body] of every) await refused({ name: '', key, method, target, body, ...forbidden });
  });

  test('may stop a token in shadow mode: disable and revoke it', async () => {
    const { id } = await make({ owner: 'acme', mode: 'shadow' });
    for (const [method, more] of [
      ['POST', '/disable'],
      ['DELETE', ''],
    ] as const) {
      expect((await ask(method, `/v1/tokens/${id}${more}`, { key: 'acme' })).status).toBe(200);
    }
  });
});

describe("an owner's key, of a token that may do more than the account,", () => {
  test('may take from it what it likes, and has all of it again once it is within', async () => {
    const key = 'loose';
    const { id, secret } = await make({ owner: 'loose', permissions: ['*'], constraints: { methods: ['GET'] } });
    const one = `/v1/tokens/${id}`;
    const status = async (method: string, target: string, body?: unknown): Promise<number> => {
      const answer = await ask(method, target, { key, body });
      const { secret: made } = answer.json();
      if (typeof made === 'string') postern.planted.push(made);
      return answer.status;
    };
    expect(await status('PATCH', one, { name: 'x', tags: ['t'], expires_at: later, not_before: null })).toBe(200);
    expect(await status('PATCH', one, { expires_at: '2998-01-01T00:00:00Z' })).toBe(200);
    expect(await status('POST', `${one}/disable`)).toBe(200);
    expect(await status('POST', `${one}/enable`)).toBe(403);
    expect(await present(secret, '/globex')).toBe(401);
    expect(await status('PATCH', one, { permissions: 'inherit', constraints: null, state: 'enabled' })).toBe(200);
    expect(await status('POST', `${one}/rotate`, { grace: '1h' })).toBe(200);
    expect([await present(secret, '/globex'), await present(secret, '/any', 'POST')]).toEqual([403, 200]);
    expect(await status('DELETE', one)).toBe(200);
  });
});

describe('a token', () => {
  /** Answered so as soon as this process has heard of the change: which it has before the call was answered. */
  const may = async (secret: string, more: Record<string, number>): Promise<void> => {
    for (const [target, status] of Object.entries(more))
      expect([target, await present(secret, target)]).toEqual([target, status]);
  };

  test('has of "*" what its account has, and of roles what the last one says', async () => {
    const { secret } = await make({ owner: 'acme', permissions: ['*'] });
    await may(secret, { '/db.get': 200, '/db.drop': 403, '/globex': 403, '/any': 200 });
  });

  test.each([
    ['*:*', 403],
    ['db.*', 200],
    ['db:*', 403],
    ['*.get', 200],
    ['db.get.*', 403],
    ['*', 200],
    ['db', 403],
    ['*.*.*', 403],
    ['DB.GET', 403],
  ])('that may do %s is answered %d where db.get is asked for', async (pattern, status) => {
    const { secret } = await make({ permissions: [pattern] });
    await may(secret, { '/db.get': status });
  });

  test.each([
    [[{ resources: ['db/*'], actions: { '*': true } }]],
    [[{ resources: ['*/*'], actions: { 'db.get': true } }]],
    [[{ resources: ['db/sales'], actions: { 'db.get': true } }]],
  ])('with %j on some resources may do nothing on a route that names none', async permissions => {
    const { secret } = await make({ permissions });
    await may(secret, { '/db.get': 403 });
  });

  test('gets no more by being rotated: not under the old secret, not under the new one', async () => {
    const key = 'acme';
    const { id, secret } = await make({ permissions: ['db.get'] }, key);
    const rotate = async (): Promise<string> => {
      const answer = await ask('POST', `/v1/tokens/${id}/rotate`, { key, body: { grace: '1h' } });
      const next = answer.json()['secret'] as string;
      postern.planted.push(next);
      return next;
    };
    const second = await rotate();
    for (const one of [secret, second]) await may(one, { '/db.get': 200, '/db.drop': 403 });
    await change(id, { permissions: [] });
    for (const one of [secret, second]) await may(one, { '/db.get': 403 });
    const third = await rotate();
    await may(secret, { '/any': 401 });
    for (const one of [second, third]) await may(one, { '/db.get': 403, '/any': 200 });
    expect((await ask('DELETE', `/v1/tokens/${id}`, { key })).status).toBe(200);
    for (const one of [second, third]) await may(one, { '/any': 401 });
  });

  test('that inherits has nothing of an account that was given nothing, and not more than an account is left with', async () => {
    await account('heirs', {});
    const permissions = 'inherit';
    const [inheriting, own] = [
      await make({ owner: 'heirs', permissions }),
      await make({ owner: 'heirs', permissions: ['*'] }),
    ];
    const patch = async (members: object): Promise<void> => {
      expect((await ask('PATCH', '/v1/accounts/heirs', { body: members })).status).toBe(200);
    };
    await may(inheriting.secret, { '/db.get': 403, '/any': 200 });
    await patch({ permissions: ['db.get', 'globex:read'] });
    for (const { secret } of [inheriting, own]) await may(secret, { '/db.get': 200, '/globex': 200, '/db.drop': 403 });
    await patch({ permissions: ['globex:read'] });
    for (const { secret } of [inheriting, own]) await may(secret, { '/db.get': 403, '/globex': 200 });
    // Nothing left is not the same as nothing said.
    await patch({ permissions: null });
    for (const { secret } of [inheriting, own]) await may(secret, { '/db.get': 403, '/globex': 403 });
    await patch({ roles: ['reader'] });
    for (const { secret } of [inheriting, own]) await may(secret, { '/db.get': 200, '/db.drop': 200 });
    await patch({ roles: ['reader', 'withholder'] });
    for (const { secret } of [inheriting, own]) await may(secret, { '/db.get': 200, '/db.drop': 403 });
    await patch({ roles: [] });
    for (const { secret } of [inheriting, own]) await may(secret, { '/db.get': 403 });
  });

  test('of an account that was deleted stays revoked when the id is given to another', async () => {
    const members = { permissions: ['db.get'] };
    await account('reused', members);
    const { id, secret } = await make({ owner: 'reused', permissions: 'inherit' });
    await may(secret, { '/db.get': 200 });
    expect((await ask('DELETE', '/v1/accounts/reused')).status).toBe(200);
    await may(secret, { '/db.get': 401 });
    await account('reused', members);
    await may(secret, { '/db.get': 401, '/any': 401 });
    for (const [method, more, body] of [
      ['POST', '/enable', undefined],
      ['POST', '/rotate', undefined],
      ['PATCH', '', { owner: null }],
      ['PATCH', '', { state: 'enabled' }],
      ['PUT', '', { secret_sha256: sha('5') }],
    ] as const) {
      expect([more, (await ask(method, `/v1/tokens/${id}${more}`, { body })).status]).toEqual([more, 409]);
    }
    await may(secret, { '/db.get': 401, '/any': 401 });
  });

  test('has as much as before when roles are put in an order by somebody who may not', async () => {
    const { secret } = await make({ owner: 'acme', permissions: 'inherit' });
    for (const key of ['acme', 'globex', 'loose'] as const) {
      await refused({
        name: '',
        key,
        method: 'PATCH',
        target: '/v1/roles/order',
        body: ['withholder', 'reader'],
        ...forbidden,
      });
    }
    await may(secret, { '/db.get': 200, '/db.drop': 403 });
    // Who may, sees it hold.
    expect((await ask('PATCH', '/v1/roles/order', { body: ['withholder', 'reader'] })).status).toBe(200);
    await may(secret, { '/db.drop': 200 });
    expect((await ask('PATCH', '/v1/roles/order', { body: ['reader', 'withholder'] })).status).toBe(200);
    await may(secret, { '/db.drop': 403 });
  });
});

describe('a captured value', () => {
  const onSales = [{ resources: ['db/sales'], actions: { 'db.get': true } }];
  const onEach = [{ resources: ['db/*'], actions: { 'db.get': true } }];
  const holders = {
    'one action': { permissions: ['db.get'] },
    'one action of its account': { owner: 'acme', permissions: ['db.get'] },
    'all actions of its account': { owner: 'acme', permissions: 'inherit' },
    everything: { permissions: ['*'] },
    'one database': { permissions: onSales },
    'each database': { permissions: onEach },
  };
  const secrets = new Map<string, string>();
  beforeAll(async () => {
    for (const [holder, members] of Object.entries(holders)) secrets.set(holder, (await make(members)).secret);
  });

  const rows: [holder: keyof typeof holders, target: string, status: number][] = [
    ['one action', '/api/db.get', 200],
    ['one action', '/api/db.%67et', 200],
    ['one action', '/api/db.get?action=drop', 200],
    ['one action', '/api/db.drop', 403],
    ['one action', '/api/db.dro%70', 403],
    ['one action', '/api/db.GET', 403],
    ['one action', '/api/db.get%20', 400],
    ['all actions of its account', '/api/db.list', 200],
    ['all actions of its account', '/api/db.drop', 403],
    ['everything', '/api/db.drop', 200],
    // Whoever may do everything, too: it is the request that is wrong.
    ...(['one action', 'all actions of its account', 'everything'] as const).flatMap(holder =>
      [
        '*',
        '%2a',
        '%2A',
        '',
        'a.b',
        'get.',
        '.get',
        'get:x',
        '%3aget',
        'a%2eb',
        'get%2fx',
        'get%5cx',
        'get%00',
        '..',
      ].map((action): [keyof typeof holders, string, number] => [holder, `/api/db.${action}`, 400]),
    ),
    ['one database', '/r/sales', 200],
    ['one database', '/r/hr', 403],
    ['one database', '/r/Sales', 403],
    ['one database', '/r/sales?name=hr', 200],
    ['one database', '/r/hr?name=sales', 403],
    ['one database', '/db.get', 403],
    ['each database', '/r/hr', 200],
    ['each database', '/db.get', 403],
    // `*` is what the owner owns.
    ['one action of its account', '/r/sales', 200],
    ['one action of its account', '/r/all', 403],
    ['all actions of its account', '/r/hr', 200],
    ['all actions of its account', '/r/all', 403],
    ['everything', '/r/all', 200],
    ...(['one database', 'each database', 'one action of its account', 'everything'] as const).flatMap(holder => [
      ...[
        '*',
        '%2a',
        'sales%2fx',
        '%2fsales',
        'sales%2f',
        '..',
        '%2e%2e',
        '.',
        'x%2f..%2fsales',
        'sales%5c..',
        'sales%00',
      ].map((name): [keyof typeof holders, string, number] => [holder, `/r/${name}`, 400]),
      ...[
        'db=*',
        'db=%2a',
        'db=',
        'db=sales/x',
        'db=sales%2fx',
        'db=/sales',
        'db=sales&db=hr',
        'db=sales&DB=hr',
        'db[]=sales',
        'db=sales&db[]=hr',
      ].map((query): [keyof typeof holders, string, number] => [holder, `/p?${query}`, 400]),
    ]),
    ['one database', '/p?db=sales', 200],
    ['one database', '/p?db=s%61les', 200],
    ['one database', '/p?db=hr', 403],
    ['one database', '/p?db=..', 403],
    ['one database', '/p?db=sales+', 403],
    ['one database', '/p', 400],
    ['everything', '/p', 400],
    ['one action of its account', '/p?db=all', 403],
  ];

  test.each(rows)('of a token that may do %s: %s is answered %d', async (holder, target, status) => {
    expect(await present(secrets.get(holder)!, target)).toBe(status);
    expect(upstream.requests.length).toBe(status === 200 ? 1 : 0);
  });
});
