import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Code } from '../../src/errors.ts';
import { H, useRig } from '../support/rig.ts';

/** Constraints of tokens on sockets: each one broken is refused with its code, and nothing reaches the upstream. */

const folder = mkdtempSync(path.join(tmpdir(), 'postern-sealing-'));
const keyFile = path.join(folder, 'sealing.key');
writeFileSync(keyFile, `${Buffer.from('0123456789abcdef0123456789abcdef').toString('base64')}\n`, { mode: 0o600 });
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const rig = useRig({
  routes: '\n  - { path: /public/**, access: public }\n  - { path: /** }',
  more: `
credentials: [{ header: x-api-key }, { header: authorization, scheme: Bearer }, { query: auth_token }]
trusted_proxies: [127.0.0.1]
guard: { failures: 5, per: 60s }
store: { kind: embedded, path: ./data, deadline: 5s, encryption_key_file: "${keyFile}" }`,
});

const password = 'correct horse battery staple';
const key = 'a key of my own that has 32 chars'.replaceAll(' ', '-');
const secrets = new Map<string, string>();
const ids = new Map<string, string>();

beforeAll(async () => {
  const tokens = {
    networks: { networks: ['10.0.0.0/8', '2001:db8::/32', '192.0.2.7'] },
    methods: { methods: ['GET', 'PUT'] },
    paths: { paths: ['/db/**', '/w/{id}'] },
    params: { params: { cloudId: 'c1' } },
    origins: { origins: ['https://app.example.com'] },
    signature: { signature: { key } },
    made: { signature: {} },
    basic: { basic: { alice: password } },
    all: { methods: ['GET'], signature: { key }, basic: { alice: password } },
  };
  rig.postern.planted.push(password, key);
  for (const [name, constraints] of Object.entries(tokens)) {
    const { id, secret } = await rig.postern.mint({ constraints });
    secrets.set(name, secret);
    ids.set(name, id);
  }
});

interface Sent {
  readonly target?: string;
  readonly method?: string;
  readonly fields?: string;
  readonly client?: string;
}

const request = (
  token: string,
  { target = '/x', method = 'GET', fields = '', client = '10.1.1.1' }: Sent = {},
): string =>
  `${method} ${target} HTTP/1.1\r\n${H}X-Api-Key: ${secrets.get(token)}\r\nX-Forwarded-For: ${client}\r\n${fields}${
    method === 'GET' || method === 'HEAD' ? '' : 'Content-Length: 0\r\n'
  }\r\n`;

const basic = (user: string, secret: string): string =>
  `Authorization: Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}\r\n`;

const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1000) + seconds;

function signed(target: string, expires = inSeconds(60), method = 'GET', under = key): string {
  const expiring = `${target}${target.includes('?') ? '&' : '?'}postern_expires=${expires}`;
  const [pathPart, query] = expiring.split('?');
  const proof = createHmac('sha256', under).update(`${method}\n${pathPart}\n${query}`).digest('base64url');
  return `${expiring}&postern_signature=${proof}`;
}

describe('a request that breaks a constraint is refused, and nothing reaches the upstream', () => {
  const table: readonly [name: string, token: string, sent: () => Sent, code: Code][] = [
    ['another network', 'networks', () => ({ client: '11.0.0.1' }), 'constraint_failed'],
    ['another address of IPv6', 'networks', () => ({ client: '2001:db9::1' }), 'constraint_failed'],
    ['another method', 'methods', () => ({ method: 'POST' }), 'constraint_failed'],
    ['HEAD, where GET is listed', 'methods', () => ({ method: 'HEAD' }), 'constraint_failed'],
    ['another path', 'paths', () => ({ target: '/dbx' }), 'constraint_failed'],
    ['a path below a single segment', 'paths', () => ({ target: '/w/1/2' }), 'constraint_failed'],
    ['a parameter that is not there', 'params', () => ({ target: '/x' }), 'constraint_failed'],
    ['no Origin', 'origins', () => ({}), 'constraint_failed'],
    ['another Origin', 'origins', () => ({ fields: 'Origin: https://evil.example\r\n' }), 'constraint_failed'],
    ['no signature', 'signature', () => ({}), 'constraint_failed'],
    ['a signature that has expired', 'signature', () => ({ target: signed('/x', inSeconds(-2)) }), 'constraint_failed'],
    [
      'a signature of another method',
      'signature',
      () => ({ target: signed('/x', undefined, 'PUT') }),
      'constraint_failed',
    ],
    ['two signatures', 'signature', () => ({ target: `${signed('/x')}&postern_signature=x` }), 'malformed_request'],
    ['no Basic credentials', 'basic', () => ({}), 'basic_required'],
    ['Basic credentials twice', 'basic', () => ({ fields: basic('alice', 'x').repeat(2) }), 'ambiguous_credential'],
    ['Basic that is no base64', 'basic', () => ({ fields: 'Authorization: Basic ~~~\r\n' }), 'ambiguous_credential'],
    ['a good signature without Basic credentials', 'all', () => ({ target: signed('/x') }), 'basic_required'],
    ['good credentials without a signature', 'all', () => ({ fields: basic('alice', password) }), 'constraint_failed'],
  ];
  test.each(table)('%s', async (_, token, sent, code) => {
    const { method } = sent();
    const answer = await rig.denies(request(token, sent()), code, { head: method === 'HEAD' });
    const challenges: Partial<Record<Code, string>> = {
      basic_required: 'Basic realm="postern"',
      ambiguous_credential: 'Bearer realm="postern", error="invalid_request"',
    };
    expect(answer.get('www-authenticate')).toBe(challenges[code]);
  });
});

describe('a request that keeps them passes', () => {
  const passes = async (token: string, sent: Sent): Promise<void> => {
    const { status, body } = await rig.ask(request(token, sent));
    expect([status, status === 200 ? '' : body.toString()]).toEqual([200, '']);
  };
  test('networks, IPv4 within IPv6 as well', async () => {
    for (const client of ['10.255.0.1', '192.0.2.7', '2001:db8:ffff::1', '::ffff:10.0.0.1']) {
      await passes('networks', { client });
    }
  });
  test('methods, paths and origins', async () => {
    await passes('methods', { method: 'PUT' });
    for (const target of ['/db', '/db/', '/db/a/b', '/w/1', '/w/%61']) await passes('paths', { target });
    await passes('origins', { fields: 'Origin: https://app.example.com\r\n' });
  });
  test('a signature, which is forwarded with the target as it came', async () => {
    const target = signed('/x/%7e?b=2&&a=%20');
    await passes('signature', { target });
    expect(rig.upstream.requests.at(-1)?.target).toBe(target);
    await passes('all', { target: signed('/x'), fields: basic('alice', password) });
  });
  test('a signature beside a token in the query, which is not signed', async () => {
    for (const withToken of [
      `${signed('/x?a=1')}&auth_token=${secrets.get('signature')}`,
      signed('/x?a=1').replace('?', `?auth_token=${secrets.get('signature')}&`),
    ]) {
      const { status } = await rig.ask(`GET ${withToken} HTTP/1.1\r\n${H}\r\n`);
      expect(status).toBe(200);
      expect(rig.upstream.requests.at(-1)?.target).toMatch(
        /^\/x\?a=1&postern_expires=\d+&postern_signature=[\w-]{43}$/,
      );
    }
  });
  test('a request that Postern has signed, with a key that nobody knows', async () => {
    for (const method of ['GET', 'HEAD', 'PUT']) {
      const wanted = { method, target: '/x?q=a%20b', expires_in: '10m' };
      const { status, body } = await rig.postern.admin('POST', `/v1/tokens/${ids.get('made')}/sign`, wanted);
      expect([status, body['method']]).toEqual([200, method]);
      const sent = request('made', { method, target: body['target'] as string });
      expect((await rig.ask(sent, { head: method === 'HEAD' })).status).toBe(200);
    }
  });
  test('Basic credentials, which stay here', async () => {
    for (let i = 0; i < 2; i++) await passes('basic', { fields: basic('alice', password) });
    for (const { head } of rig.upstream.requests) expect(head.toLowerCase()).not.toContain('authorization');
  });
});

describe('guesses', () => {
  const wrong = (client: string, user = 'alice') =>
    request('basic', { fields: basic(user, `guess ${client}`), client });
  test('wrong pairs count against the network, and are then held back; a right one passes, a missing one does not count', async () => {
    expect((await rig.ask(request('basic', { fields: basic('alice', password) }))).status).toBe(200);
    for (let i = 0; i < 5; i++) await rig.denies(wrong('10.9.0.1', `user${i}`), 'basic_required');
    const answer = await rig.denies(wrong('10.9.0.1', 'another'), 'too_many_failures');
    expect(Number(answer.get('retry-after'))).toBeGreaterThanOrEqual(1);
    const { body } = await rig.postern.admin('GET', `/v1/decisions/${answer.get('x-request-id')}`);
    expect((body['steps'] as unknown[]).at(-1)).toMatchObject({
      phase: 'constraints',
      outcome: 'failed',
      compared: { constraint: 'basic' },
    });
    await rig.denies(wrong('10.9.0.1', 'user0'), 'too_many_failures');
    expect((await rig.ask(request('basic', { fields: basic('alice', password), client: '10.9.0.1' }))).status).toBe(
      200,
    );
    for (let i = 0; i < 7; i++) {
      await rig.denies(request('basic', { client: '10.9.0.2' }), 'basic_required');
    }
  });
  test('a user that there is and one that there is not get the same answer', async () => {
    const answers = [];
    for (const user of ['alice', 'nobody', 'constructor', '__proto__']) {
      const { status, fields, ...answer } = await rig.ask(wrong('10.9.0.3', user));
      const same = fields.filter(([name]) => !/^(?:x-request-id|date)$/i.test(name));
      answers.push(JSON.stringify([status, same, { ...answer.json(), request_id: null }]));
    }
    expect(new Set(answers).size).toBe(1);
  });
});
