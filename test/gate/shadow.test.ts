import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { frame } from '../support/frames.ts';
import { Postern } from '../support/postern.ts';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream, type Scene } from '../support/recording-upstream.ts';

/** Shadow mode: 401, 403 and 429 are recorded, and the request is forwarded all the same. */

let upstream: RecordingUpstream;
let here: Postern;

const isShadow = (pattern: string): boolean => pattern.startsWith('/shadow');

beforeAll(async () => {
  upstream = await new RecordingUpstream().listen();
  here = await Postern.start({
    upstream: upstream.url,
    routes:
      '  - { path: /shadow/**, require: api }\n  - { path: /strict/**, require: api }\n  - { path: /public/**, access: public }',
    more: 'guard: { failures: 3, per: 60s }\ntrusted_proxies: [127.0.0.1]',
    changeRoute: route => ({ ...route, mode: isShadow(route.pattern) ? 'shadow' : 'enforce' }),
    // A token with this tag is in shadow mode.
    throughStore: store => {
      const create = store.tokens.createToken.bind(store.tokens);
      store.tokens.createToken = (token, ...more) =>
        create({ ...token, mode: token.tags.includes('shadow') ? 'shadow' : 'enforce' }, ...more);
      return store;
    },
  });
});
afterEach(async () => {
  await RawClient.closeAll();
  await here.assertInvariants(upstream);
  upstream.reset();
});
afterAll(async () => {
  await here.stop();
  await upstream.close();
});

let clients = 0;
const get = (target: string, secret: string | null, client = `10.0.0.${++clients}`, more = ''): string =>
  `GET ${target} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: ${client}\r\n${secret === null ? '' : `Authorization: Bearer ${secret}\r\n`}${more}\r\n`;

async function ask(bytes: string) {
  const client = await RawClient.open(here.port);
  client.write(bytes);
  const answer = await client.answer();
  client.destroy();
  await here.quiet();
  return { answer, line: (await here.requestLines()).at(-1)! };
}

const patch = async (id: string, body: unknown): Promise<void> => {
  const { status, text } = await here.admin('PATCH', `/v1/tokens/${id}`, body);
  expect(status, text).toBe(200);
};
const past = { expires_at: new Date(Date.now() - 3_600_000).toISOString() };
const decisions = (live: string, shadow: string) =>
  here.metric(`postern_shadow_decisions_total{live="${live}",shadow="${shadow}"}`);
const unknown = 'pst_00000000000000000000000000000000000000';

describe('a route in shadow mode', () => {
  const rows: [string, () => Promise<{ secret: string | null; id: string | null }>, string, boolean][] = [
    ['no token', async () => ({ secret: null, id: null }), 'missing_token', false],
    ['a string that is no token', async () => ({ secret: 'nonsense', id: null }), 'invalid_token_malformed', false],
    ['a disabled token', () => here.mint({ state: 'disabled' }), 'invalid_token_disabled', false],
    [
      'a revoked token',
      async () => {
        const token = await here.mint();
        await here.admin('DELETE', `/v1/tokens/${token.id}`);
        return token;
      },
      'invalid_token_revoked',
      false,
    ],
    ['a token without the permission', () => here.mint(), 'insufficient_scope', true],
  ];
  test.each(rows)('forwards %s, and records what it would have been', async (_, make, reason, valid) => {
    const { id, secret } = await make();
    const live = valid ? 'allowed' : 'public';
    const before = await decisions(live, reason);
    const { answer, line } = await ask(get('/shadow/x', secret, undefined, 'X-Postern-Token-Id: tok_mine\r\n'));
    expect(answer.status).toBe(200);
    const request = upstream.only;
    expect(request.get('x-postern-token-id')).toBe(valid ? id! : undefined);
    expect(request.get('x-postern-permission')).toBeUndefined();
    expect(request.get('authorization'), 'the credential is cut').toBeUndefined();
    expect(line).toMatchObject({ outcome: 'shadow', shadow: reason, status: 200, code: null, token_id: id });
    expect(await decisions(live, reason)).toBe(before + 1);
    const { body } = await here.admin('GET', `/v1/decisions/${line['request_id']}`);
    const code = reason.replace(/^invalid_token_.*/, 'invalid_token');
    expect(body).toMatchObject({ allow: true, status: 200, code: null, shadow: code });
    expect((body['steps'] as { outcome: string }[]).at(-1)).toMatchObject({ outcome: 'shadowed' });
    expect(body['remedy']).not.toBeNull();
  });

  test('counts what it would have allowed, and leaves other routes alone', async () => {
    const { secret } = await here.mint({ permissions: ['api'] });
    const before = await decisions('allowed', 'allowed');
    const { line } = await ask(get('/shadow/x', secret));
    expect(line).toMatchObject({ outcome: 'allowed', shadow: 'allowed' });
    expect(await decisions('allowed', 'allowed')).toBe(before + 1);
    const strict = await ask(get('/strict/x', secret));
    expect([strict.answer.status, 'shadow' in strict.line]).toEqual([200, false]);
    expect((await ask(get('/strict/x', null))).answer.status).toBe(401);
  });

  test('never forwards what is malformed or ambiguous, or has no route', async () => {
    const { secret } = await here.mint({ permissions: ['api'] });
    const bearer = `Authorization: Bearer ${secret}\r\n`;
    expect((await ask(get('/shadow/../shadow/x', secret))).answer.status).toBe(400);
    expect((await ask(get('/shadow/x', secret, undefined, bearer))).answer.json()['code']).toBe('ambiguous_credential');
    expect((await ask(get('/elsewhere', secret))).answer.status).toBe(404);
    expect(upstream.requests).toEqual([]);
  });

  test('failing tokens count in the guard, beyond whose bound the record says so, and they are forwarded still', async () => {
    const client = '10.9.9.9';
    for (let i = 0; i < 3; i++)
      expect((await ask(get('/shadow/x', unknown, client))).line['shadow']).not.toBe('too_many_failures');
    const over = await ask(get('/shadow/x', unknown, client));
    expect(over.answer.status).toBe(200);
    expect(over.line).toMatchObject({ outcome: 'shadow', shadow: 'too_many_failures' });
    expect((await ask(get('/strict/x', unknown, client))).answer.status).toBe(429);
  });
});

describe('a token in shadow mode', () => {
  const shadow = { tags: ['shadow'] };
  test('passes where it lacks a permission, and when it has expired, as nobody', async () => {
    const { id, secret } = await here.mint(shadow);
    const lacking = await ask(get('/strict/x', secret));
    expect(lacking.answer.status).toBe(200);
    expect(lacking.line).toMatchObject({ outcome: 'shadow', shadow: 'insufficient_scope', token_id: id });
    expect(upstream.requests.at(-1)!.get('x-postern-token-id')).toBe(id);
    await patch(id, past);
    const expired = await ask(get('/strict/x', secret));
    expect(expired.line).toMatchObject({ outcome: 'shadow', shadow: 'invalid_token_expired', token_id: id });
    expect(upstream.requests.at(-1)!.get('x-postern-token-id')).toBeUndefined();
  });
  test('is refused when somebody has stopped it', async () => {
    const { id, secret } = await here.mint({ ...shadow, permissions: ['api'] });
    await here.admin('POST', `/v1/tokens/${id}/disable`);
    const disabled = await ask(get('/strict/x', secret));
    expect(disabled.answer.status).toBe(401);
    expect(disabled.line).toMatchObject({ outcome: 'refused', shadow: 'invalid_token_disabled' });
    await here.admin('DELETE', `/v1/tokens/${id}`);
    expect((await ask(get('/strict/x', secret))).answer.status).toBe(401);
    expect(upstream.requests).toEqual([]);
  });
});

describe('a WebSocket', () => {
  const upgrade =
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n';
  async function open(target: string, secret: string | null) {
    let scene: Scene | null = null;
    upstream.script = it => {
      scene = it;
      it.write(
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n',
      );
    };
    const client = await RawClient.open(here.port);
    client.write(get(target, secret, undefined, upgrade));
    expect((await client.answer()).status).toBe(101);
    const echo = async (): Promise<void> => {
      const before = client.length;
      scene!.write(frame(3, false));
      await client.until(({ length }) => length > before);
      expect(client.ended || client.closed).toBe(false);
    };
    return { client, echo };
  }
  /** Another stream of the same change, which is cut, shows that the change has been judged. */
  const judged = async (secret: string) => (await open('/strict/ws', secret)).client;

  test('opens without a token on a route in shadow mode, and is recorded when it ends', async () => {
    const { client, echo } = await open('/shadow/ws', null);
    await echo();
    client.destroy();
    await here.quiet();
    expect((await here.requestLines()).at(-1)).toMatchObject({ status: 101, shadow: 'missing_token' });
  });
  test('of a token that is revoked goes on there, and ends elsewhere', async () => {
    const { id, secret } = await here.mint({ permissions: ['api'] });
    const stays = await open('/shadow/ws', secret);
    const ends = await judged(secret);
    await here.admin('DELETE', `/v1/tokens/${id}`);
    await ends.untilClosed(5000);
    await stays.echo();
  });
  test('of a token that expires goes on there, and ends elsewhere', async () => {
    const { id, secret } = await here.mint({ permissions: ['api'] });
    await patch(id, { expires_at: new Date(Date.now() + 1500).toISOString() });
    const stays = await open('/shadow/ws', secret);
    const ends = await judged(secret);
    await ends.untilClosed(8000);
    await stays.echo();
  });
  test('of a token in shadow mode outlives its expiry, and not its revocation', async () => {
    const { id, secret } = await here.mint({ permissions: ['api'], tags: ['shadow'] });
    const other = await here.mint({ permissions: ['api'] });
    await patch(id, past);
    const { client, echo } = await open('/strict/ws', secret);
    const ends = await judged(other.secret);
    await patch(id, { name: 'changed' });
    await here.admin('DELETE', `/v1/tokens/${other.id}`);
    await ends.untilClosed(5000);
    await echo();
    await here.admin('DELETE', `/v1/tokens/${id}`);
    await client.untilClosed(5000);
  });
});
