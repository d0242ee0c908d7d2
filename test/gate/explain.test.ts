import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { StoreUnavailable } from '../../src/errors.ts';
import { Postern, type PosternOptions } from '../support/postern.ts';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';

/** For every kind of refusal: the explanation names what the gate acted on, and its advice makes the request pass. */

interface Wish {
  readonly method?: string;
  readonly target: string;
  readonly fields?: readonly string[];
  readonly body?: string;
  /** Presented as a Bearer token. */
  readonly secret?: string | null;
}

interface Row {
  readonly code: string;
  /** The phase that refuses. */
  readonly phase: string;
  /** Part of what that phase compared. */
  readonly compared?: Record<string, unknown>;
  /** The request; made when the row runs. */
  wish(): Promise<Wish> | Wish;
  /** What the remedy says has to be done to the request, after its calls were made. `secrets` are those that they gave. */
  apply?(wish: Wish, remedy: string, secrets: readonly string[]): Promise<Wish> | Wish;
  /** How many calls the remedy has. */
  readonly calls?: number;
}

let upstream: RecordingUpstream;
let here: Postern;
const reusable = { good: '', via: '' };

const routes = `
  - { path: /public/**, access: public }
  - { path: /api/**, require: api }
  - { path: /both, require: [one, two.read] }
  - { path: /any, require: { any: [first, second] } }
  - { path: /readable, methods: [GET, HEAD] }
  - { path: "/widgets/{id}" }
  - { path: /small, max_body: 10B }
  - { path: /free }
  - { path: /db, require: "db.{param.cmd}", resource: "db/{param.database}", commands: { get: get }, inspect_body: 64B }
  - { path: /unread, require: "db.{param.cmd}" }
  - { path: /batch, require: ["db.{param.cmd}", "db.seen"], resource: "db/{param.database}", inspect_body: 64KiB }
  - { path: /dear, cost: 5 }
  - { path: /sales, require: db.get, resource: db/sales }
`;

const config = (): string => path.join(here.folder, 'postern.yaml');

/** Changes a line of the configuration, and takes it. */
async function reconfigure(from: string, to: string): Promise<void> {
  const text = await readFile(config(), 'utf8');
  expect(text).toContain(from);
  await writeFile(config(), text.replace(from, to));
  expect(await here.app.reload()).toBe(true);
}

const mint = (spec: Record<string, unknown> = {}) => here.mint(spec);
const patch = async (target: string, body: unknown): Promise<void> => {
  const { status, text } = await here.admin('PATCH', target, body);
  expect(status, text).toBe(200);
};
const hour = (sign: 1 | -1): string => new Date(Date.now() + sign * 3_600_000).toISOString();
const present = (wish: Wish, _remedy: string, secrets: readonly string[]): Wish => ({
  ...wish,
  secret: secrets.at(-1)!,
});

let accounts = 0;
async function anAccount(more: Record<string, unknown> = {}): Promise<string> {
  const id = `acc${++accounts}`;
  const { status, text } = await here.admin('POST', '/v1/accounts', { id, ...more });
  expect(status, text).toBe(201);
  return id;
}

/**
 * A token with constraints, and a request that breaks one of them: the remedy takes it back, or widens it. `sent`: what
 * stands behind the path, and fields. `apart`: the token stands in a field of its own.
 */
const constrained = (
  constraints: Record<string, unknown>,
  compared: Record<string, unknown>,
  { apart = false }: { readonly apart?: boolean } = {},
  [query = '', ...fields]: readonly string[] = [],
  more: Partial<Row> = {},
): Row => ({
  code: 'constraint_failed',
  phase: 'constraints',
  compared,
  calls: 1,
  wish: async () => {
    const { secret } = await mint({ constraints });
    return {
      target: `/free${query}`,
      fields: apart ? [...fields, `X-Api-Key: ${secret}`] : fields,
      secret: apart ? null : secret,
    };
  },
  ...more,
});

const trial = { name: 'trial', max: 1, per: 'lifetime' };
/** A request with a token that has been used once. */
async function onceUsed(spec: Record<string, unknown>): Promise<Wish> {
  const wish = { target: '/free', secret: (await mint(spec)).secret };
  expect((await send(wish)).status).toBe(200);
  return wish;
}

/** Whoever has refused a request hears of a change a moment later. It passes then, once: after it another has to be sent. */
async function passesOnce(wish: Wish): Promise<Wish> {
  await expect.poll(async () => (await send(wish)).status).toBe(200);
  return { target: '/free', secret: reusable.good };
}

const unknown = 'pst_00000000000000000000000000000000000000';

const table: Readonly<Record<string, Row>> = {
  'a Host that is none': {
    code: 'malformed_request',
    phase: 'form',
    wish: () => ({ target: '/free', fields: ['Host: a b'], secret: reusable.good }),
    apply: wish => ({ ...wish, fields: [] }),
  },
  'a dot segment': {
    code: 'malformed_request',
    phase: 'form',
    wish: () => ({ target: '/public/../free', secret: reusable.good }),
    apply: wish => ({ ...wish, target: '/free' }),
  },
  'too many fields': {
    code: 'head_too_large',
    phase: 'form',
    wish: () => ({ target: '/free', fields: Array.from({ length: 101 }, () => 'X: y'), secret: reusable.good }),
    apply: (wish, remedy) => {
      expect(remedy).toContain('100 fields');
      return { ...wish, fields: ['X: y'] };
    },
  },
  'an expectation': {
    code: 'expectation_failed',
    phase: 'form',
    wish: () => ({ target: '/free', fields: ['Expect: miracles'], secret: reusable.good }),
    apply: wish => ({ ...wish, fields: [] }),
  },
  'a loop': {
    code: 'loop_detected',
    phase: 'form',
    wish: () => ({ target: '/free', fields: [`Via: 1.1 ${reusable.via}`], secret: reusable.good }),
    apply: (wish, remedy) => {
      expect(remedy).toContain('Via');
      return { ...wish, fields: [] };
    },
  },
  'no route': {
    code: 'no_route',
    phase: 'route',
    compared: { path: '/elsewhere', pattern: null },
    wish: () => ({ target: '/elsewhere', secret: reusable.good }),
    apply: async (wish, remedy) => {
      expect(remedy).toContain('takes /elsewhere');
      await reconfigure('  - { path: /free }', '  - { path: /free }\n  - { path: /elsewhere }');
      return wish;
    },
  },
  'a method that the route does not list': {
    code: 'method_not_allowed',
    phase: 'route',
    compared: { method: 'DELETE', pattern: '/readable', methods: ['GET', 'HEAD'] },
    wish: () => ({ method: 'DELETE', target: '/readable', secret: reusable.good }),
    apply: async (wish, remedy) => {
      expect(remedy).toContain('add DELETE to `methods`');
      await reconfigure('methods: [GET, HEAD]', 'methods: [GET, HEAD, DELETE]');
      return wish;
    },
  },
  'a captured value that is empty': {
    code: 'malformed_request',
    phase: 'route',
    wish: () => ({ target: '/widgets/', secret: reusable.good }),
    apply: wish => ({ ...wish, target: '/widgets/1' }),
  },
  'a spelling that the route does not take': {
    code: 'malformed_request',
    phase: 'route',
    wish: () => ({ target: '/widgets/a;b', secret: reusable.good }),
    apply: async (wish, remedy) => {
      expect(remedy).toContain('`allow`');
      await reconfigure('"/widgets/{id}"', '"/widgets/{id}", allow: [semicolon]');
      return wish;
    },
  },
  'no token': {
    code: 'missing_token',
    phase: 'credential',
    calls: 1,
    wish: () => ({ target: '/api/x', secret: null }),
    apply: present,
  },
  'two tokens': {
    code: 'ambiguous_credential',
    phase: 'credential',
    wish: () => ({ target: '/free', fields: [`X-Api-Key: ${reusable.good}`], secret: reusable.good }),
    apply: wish => ({ ...wish, fields: [] }),
  },
  'what cannot be a token': {
    code: 'invalid_token',
    phase: 'token',
    compared: { cause: 'malformed' },
    calls: 1,
    wish: () => ({ target: '/api/x', secret: 'something-else' }),
    apply: present,
  },
  'a wrong checksum': {
    code: 'invalid_token',
    phase: 'token',
    compared: { cause: 'checksum' },
    calls: 1,
    wish: () => ({ target: '/both', secret: `${reusable.good.slice(0, -6)}${'0'.repeat(6)}` }),
    apply: present,
  },
  'a token that nobody made': {
    code: 'invalid_token',
    phase: 'token',
    calls: 1,
    wish: () => ({ target: '/both', secret: unknown }),
    apply: present,
  },
  'a disabled token': {
    code: 'invalid_token',
    phase: 'token',
    compared: { cause: 'disabled', state: 'disabled' },
    calls: 1,
    wish: async () => ({ target: '/api/x', secret: (await mint({ permissions: ['api'], state: 'disabled' })).secret }),
  },
  'a disabled token that has expired and lacks the permission, of a disabled account': {
    code: 'invalid_token',
    phase: 'token',
    compared: { cause: 'disabled', owner_enabled: false },
    calls: 4,
    wish: async () => {
      const { id, secret } = await mint({ state: 'disabled', owner: await anAccount({ enabled: false }) });
      await patch(`/v1/tokens/${id}`, { expires_at: hour(-1) });
      return { target: '/api/x', secret };
    },
  },
  'a revoked token': {
    code: 'invalid_token',
    phase: 'token',
    compared: { cause: 'revoked', state: 'revoked' },
    calls: 1,
    wish: async () => {
      const { id, secret } = await mint({ permissions: { other: true } });
      await here.admin('DELETE', `/v1/tokens/${id}`);
      return { target: '/api/x', secret };
    },
    apply: present,
  },
  'a token of an account that is gone': {
    code: 'invalid_token',
    phase: 'token',
    calls: 1,
    wish: async () => {
      const owner = await anAccount();
      const { secret } = await mint({ permissions: ['api'], owner });
      await here.admin('DELETE', `/v1/accounts/${owner}`);
      return { target: '/api/x', secret };
    },
    apply: present,
  },
  'a token of a disabled account': {
    code: 'invalid_token',
    phase: 'token',
    compared: { cause: 'account_disabled', owner_enabled: false },
    calls: 1,
    wish: async () => {
      const owner = await anAccount({ enabled: false });
      return { target: '/api/x', secret: (await mint({ permissions: ['api'], owner })).secret };
    },
  },
  'an expired token': {
    code: 'invalid_token',
    phase: 'token',
    compared: { cause: 'expired' },
    calls: 1,
    wish: async () => {
      const { id, secret } = await mint({ permissions: ['api'] });
      await patch(`/v1/tokens/${id}`, { expires_at: hour(-1) });
      return { target: '/api/x', secret };
    },
  },
  'a token that is not valid yet': {
    code: 'invalid_token',
    phase: 'token',
    compared: { cause: 'not_yet_valid' },
    calls: 1,
    wish: async () => ({
      target: '/api/x',
      secret: (await mint({ permissions: ['api'], not_before: hour(1) })).secret,
    }),
  },
  'a limit that is spent': {
    code: 'limit_exceeded',
    phase: 'limits',
    compared: { cost: 1, limits: [{ name: 'trial', of: 'token', most: 1, left: 0 }] },
    calls: 1,
    wish: () => onceUsed({ limits: [trial] }),
    apply: passesOnce,
  },
  'a limit of the account that is spent': {
    code: 'limit_exceeded',
    phase: 'limits',
    compared: { cost: 1, limits: [{ name: 'trial', of: 'account', most: 1, left: 0 }] },
    calls: 1,
    wish: async () => onceUsed({ limits: [{ ...trial, max: 2 }], owner: await anAccount({ limits: [trial] }) }),
    apply: passesOnce,
  },
  'a cost beyond limits': {
    code: 'limit_exceeded',
    phase: 'limits',
    compared: {
      cost: 5,
      limits: [
        { name: 'pace', most: 4 },
        { name: 'none', most: 0 },
      ],
    },
    calls: 1,
    wish: async () => {
      const pace = { name: 'pace', max: 2, per: '1s', algorithm: 'bucket', burst: 4 };
      const limits = [pace, { name: 'wide', max: 10, per: '1d' }, { name: 'none', max: 0, per: '1d' }];
      return { target: '/dear', secret: (await mint({ limits })).secret };
    },
    apply: passesOnce,
  },
  'a list that lacks a permission': {
    code: 'insufficient_scope',
    phase: 'permission',
    compared: { action: 'api', resource: null, token: 'names it nowhere' },
    calls: 1,
    wish: async () => ({ target: '/api/x', secret: (await mint({ permissions: ['other'] })).secret }),
  },
  'a map that withholds a permission': {
    code: 'insufficient_scope',
    phase: 'permission',
    compared: { action: 'api', token: 'withholds it' },
    calls: 1,
    wish: async () => ({ target: '/api/x', secret: (await mint({ permissions: { api: true, '*': false } })).secret }),
  },
  'one of two permissions': {
    code: 'insufficient_scope',
    phase: 'permission',
    compared: { action: 'two.read' },
    calls: 1,
    wish: async () => ({ target: '/both', secret: (await mint({ permissions: { one: true } })).secret }),
  },
  'any of two permissions': {
    code: 'insufficient_scope',
    phase: 'permission',
    compared: { mode: 'any' },
    calls: 1,
    wish: async () => ({ target: '/any', secret: (await mint()).secret }),
  },
  'a cookie from another origin': {
    code: 'constraint_failed',
    phase: 'constraints',
    wish: () => ({
      method: 'POST',
      target: '/free',
      fields: [`Cookie: token=${reusable.good}`, 'Origin: http://evil', 'Content-Length: 0'],
      secret: null,
    }),
    apply: (wish, remedy) => {
      expect(remedy).toContain('the token in a header');
      return { ...wish, fields: ['Origin: http://evil', 'Content-Length: 0'], secret: reusable.good };
    },
  },
  'a network': constrained({ networks: ['192.0.2.0/24'] }, { client: '127.0.0.1', networks: ['192.0.2.0/24'] }),
  'a method': constrained({ methods: ['PUT'] }, { method: 'GET' }),
  'a path': constrained({ paths: ['/api/**'] }, { path: '/free' }),
  'the one parameter': constrained({ params: { cloud: 'c1' } }, { parameter: 'cloud', found: 'absent' }),
  'one of two parameters': constrained({ params: { cloud: 'c1', zone: 'z' } }, { parameter: 'zone', found: 'y' }, {}, [
    '?zone=y&cloud=c1',
  ]),
  'no Origin': constrained({ origins: ['https://a.example'] }, { origin: null }),
  'another Origin': constrained({ origins: ['https://a.example'] }, { origin: 'https://b.example' }, {}, [
    '',
    'Origin: https://b.example',
  ]),
  'no signature': constrained({ signature: {} }, { signature: 'missing' }),
  'no Basic credentials': constrained({ basic: { alice: 'secret of alice' } }, { basic: 'missing' }, {}, [''], {
    code: 'basic_required',
  }),
  'wrong Basic credentials': constrained(
    { basic: { alice: 'secret of alice' } },
    { basic: 'wrong' },
    { apart: true },
    ['', `Authorization: Basic ${Buffer.from('alice:guessed').toString('base64')}`],
    { code: 'basic_required' },
  ),
  'Basic credentials that are none': constrained(
    { basic: { alice: 'secret of alice' } },
    { basic: 'ambiguous' },
    {
      apart: true,
    },
    ['', 'Authorization: Basic ~'],
    { code: 'ambiguous_credential' },
  ),
  'a parameter of a constraint, twice': constrained(
    { params: { cloud: 'c1' } },
    { found: 'ambiguous' },
    {},
    ['?cloud=c1&cloud=c2'],
    { code: 'malformed_request', calls: 0, apply: wish => ({ ...wish, target: '/free?cloud=c1' }) },
  ),
  'a parameter of a constraint, in a body that nobody reads': constrained(
    { params: { cloud: 'c1' } },
    { found: 'closed' },
    {},
    [''],
    {
      code: 'unsupported_media',
      calls: 0,
      wish: async () => ({
        method: 'POST',
        target: '/free?cloud=c1',
        body: 'x',
        secret: (await mint({ constraints: { params: { cloud: 'c1' } } })).secret,
      }),
      apply: ({ secret }, remedy) => {
        expect(remedy).toContain('in the query and no body');
        return { method: 'POST', target: '/free?cloud=c1', fields: ['Content-Length: 0'], secret: secret! };
      },
    },
  ),
  'a resource that no grant names': {
    code: 'insufficient_scope',
    phase: 'permission',
    compared: { action: 'db.get', resource: 'db/sales', token: 'names it nowhere' },
    calls: 1,
    wish: async () => ({
      target: '/sales',
      secret: (await mint({ permissions: [{ resources: ['db/crm'], actions: { 'db.get': true } }] })).secret,
    }),
  },
  'the last call of a long batch': {
    code: 'insufficient_scope',
    phase: 'permission',
    compared: { action: 'db.drop', resource: 'db/d39', token: 'names it nowhere' },
    calls: 1,
    wish: async () => {
      const calls = Array.from({ length: 40 }, (_, i) => ({ cmd: i === 39 ? 'drop' : 'get', database: `d${i}` }));
      return {
        method: 'POST',
        target: '/batch',
        fields: ['Content-Type: application/json'],
        body: JSON.stringify(calls),
        secret: (await mint({ permissions: ['db.seen', 'db.get'] })).secret,
      };
    },
  },
  'what the account does not own': {
    code: 'insufficient_scope',
    phase: 'permission',
    compared: { token: 'names it nowhere', account: 'names it nowhere' },
    calls: 2,
    wish: async () => {
      const owner = await anAccount({ permissions: ['*'], owns: ['db/crm'] });
      return { target: '/sales', secret: (await mint({ permissions: ['*'], owner })).secret };
    },
  },
  'what a role of the account withholds': {
    code: 'insufficient_scope',
    phase: 'permission',
    compared: { account: 'withholds it' },
    calls: 1,
    wish: async () => {
      const { status } = await here.admin('PUT', '/v1/roles/careful', { permissions: { 'db.get': false } });
      expect(status).toBe(201);
      const owner = await anAccount({ roles: ['careful'] });
      return { target: '/sales', secret: (await mint({ permissions: 'inherit', owner })).secret };
    },
  },
  'a command that is not listed': {
    code: 'insufficient_scope',
    phase: 'permission',
    compared: { command: 'drop', commands: ['get'] },
    wish: async () => ({ target: '/db?cmd=drop&database=sales', secret: (await mint({ permissions: ['*'] })).secret }),
    apply: (wish, remedy) => {
      expect(remedy).toContain('Use a command that the route /db lists');
      return { ...wish, target: '/db?cmd=get&database=sales' };
    },
  },
  'a parameter that is missing': {
    code: 'malformed_request',
    phase: 'permission',
    wish: async () => ({ target: '/db?cmd=get', secret: (await mint({ permissions: ['*'] })).secret }),
    apply: (wish, remedy) => {
      expect(remedy).toContain('"database" is missing');
      return { ...wish, target: '/db?cmd=get&database=sales' };
    },
  },
  'a body that is not inspected, where a rule reads parameters': {
    code: 'unsupported_media',
    phase: 'permission',
    compared: { parameter: 'cmd', inspect_body: null },
    wish: async () => ({
      method: 'POST',
      target: '/unread?cmd=get',
      body: 'x',
      secret: (await mint({ permissions: ['*'] })).secret,
    }),
    apply: (wish, remedy) => {
      expect(remedy).toContain('in the query and no body');
      return { method: 'POST', target: wish.target, fields: ['Content-Length: 0'], secret: wish.secret! };
    },
  },
  'a body of another kind than is read': {
    code: 'unsupported_media',
    phase: 'body',
    compared: { inspect_body: 64 },
    wish: async () => ({
      method: 'POST',
      target: '/db',
      fields: ['Content-Type: text/plain'],
      body: 'cmd=get&database=sales',
      secret: (await mint({ permissions: ['*'] })).secret,
    }),
    apply: (wish, remedy) => {
      const type = /application\/x-www-form-urlencoded/.exec(remedy)![0];
      return { ...wish, fields: [`Content-Type: ${type}`] };
    },
  },
  'a body over inspect_body': {
    code: 'body_too_large',
    phase: 'body',
    compared: { inspect_body: 64 },
    wish: async () => ({
      method: 'POST',
      target: '/db',
      fields: ['Content-Type: application/x-www-form-urlencoded'],
      body: `cmd=get&database=sales&more=${'x'.repeat(64)}`,
      secret: (await mint({ permissions: ['*'] })).secret,
    }),
    apply: async (wish, remedy) => {
      expect(remedy).toContain('`inspect_body` (64 bytes)');
      await reconfigure('inspect_body: 64B', 'inspect_body: 1KiB');
      return wish;
    },
  },
  'a second token in a form': {
    code: 'ambiguous_credential',
    phase: 'credential',
    wish: () => ({
      method: 'POST',
      target: '/db',
      fields: ['Content-Type: application/x-www-form-urlencoded'],
      body: `auth_token=${reusable.good}`,
      secret: reusable.good,
    }),
    apply: async () => ({
      target: '/db?cmd=get&database=sales',
      secret: (await mint({ permissions: ['*'] })).secret,
    }),
  },
  'a body over max_body': {
    code: 'body_too_large',
    phase: 'forward',
    compared: { max_body: 10 },
    wish: () => ({ method: 'POST', target: '/small', body: '01234567890', secret: reusable.good }),
    apply: async (wish, remedy) => {
      expect(remedy).toContain('`max_body` (10 bytes)');
      await reconfigure('max_body: 10B', 'max_body: 11B');
      return wish;
    },
  },
};

let sealing: string;

beforeAll(async () => {
  sealing = await mkdtemp(path.join(tmpdir(), 'postern-sealing-'));
  const keyFile = path.join(sealing, 'sealing.key');
  await writeFile(keyFile, `${Buffer.from('0123456789abcdef0123456789abcdef').toString('base64')}\n`, { mode: 0o600 });
  upstream = await new RecordingUpstream().listen();
  here = await Postern.start({
    upstream: upstream.url,
    routes,
    more: `
guard: { failures: 0 }
credentials: [{ header: authorization, scheme: Bearer }, { header: x-api-key }, { cookie: token }, { form: auth_token }]
store: { kind: embedded, path: ./data, deadline: 5s, encryption_key_file: "${keyFile}" }`,
  });
  reusable.good = (await mint()).secret;
  await send({ target: '/free', secret: reusable.good });
  reusable.via = upstream.requests.at(-1)!.get('via')!.replace(/^.* /, '');
});
afterAll(async () => {
  await here.stop();
  await upstream.close();
  await rm(sealing, { recursive: true });
});

async function send({ method = 'GET', target, fields = [], body, secret = null }: Wish, postern = here) {
  const own = fields.some(field => /^host:/i.test(field)) ? [] : ['Host: a'];
  const lines = [
    ...own,
    ...(secret === null ? [] : [`Authorization: Bearer ${secret}`]),
    ...fields,
    ...(body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]),
  ];
  const client = await RawClient.open(postern.port);
  client.write(`${method} ${target} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body ?? ''}`);
  const answer = await client.answer();
  client.destroy();
  return answer;
}

interface Explained {
  readonly allow: boolean;
  readonly status: number;
  readonly code: string | null;
  readonly steps: { readonly phase: string; readonly outcome: string; readonly compared: Record<string, unknown> }[];
  readonly remedy: string | null;
}

/** The same request, asked about. */
async function explained({ method = 'GET', target, fields = [], body, secret = null }: Wish, postern = here) {
  const own = fields.some(field => /^host:/i.test(field)) ? [] : ['Host: a'];
  const split = [...own, ...fields].map(field => /^([^:]+): *(.*)$/.exec(field)!);
  const byName = Map.groupBy(split, ([, name]) => name!);
  const headers = Object.fromEntries([...byName].map(([name, some]) => [name, some.map(([, , value]) => value!)]));
  const answer = await postern.admin('POST', '/v1/explain', {
    ...(secret === null ? {} : { secret }),
    request: { method, target, headers, ...(body === undefined ? {} : { body }) },
  });
  expect(answer.status, answer.text).toBe(200);
  return answer.body as unknown as Explained;
}

/** Makes the calls of a remedy; answers with the secrets that they gave. */
async function carryOut(remedy: string, postern = here): Promise<{ calls: number; secrets: string[] }> {
  const secrets: string[] = [];
  let calls = 0;
  for (const line of remedy.split('\n')) {
    const call = /^(GET|POST|PUT|PATCH|DELETE) (\/v1\/\S+)(?: (.+))?$/.exec(line);
    if (call === null) continue;
    const [, method, target, body] = call;
    const { status, text, body: made } = await postern.admin(method!, target!, body);
    expect([200, 201], `${line}: ${text}`).toContain(status);
    if (typeof made['secret'] === 'string') secrets.push(made['secret']);
    calls++;
  }
  postern.planted.push(...secrets);
  return { calls, secrets };
}

const ofDecision = async (id: string, postern = here) => {
  const answer = await postern.admin('GET', `/v1/decisions/${id}`);
  expect(answer.status, answer.text).toBe(200);
  return answer.body as unknown as Explained & { readonly request_id: string };
};

describe('explain names the cause that the gate acted on, and its advice makes the request pass', () => {
  test.each(Object.entries(table))('%s', async (_, row) => {
    const wish = await row.wish();
    const answer = await send(wish);
    const problem = answer.json();
    expect(problem['code']).toBe(row.code);

    const decision = await ofDecision(problem['request_id'] as string);
    const asked = await explained(wish);
    for (const explanation of [decision, asked]) {
      expect(explanation).toMatchObject({ allow: false, status: answer.status, code: row.code });
      const last = explanation.steps.at(-1)!;
      expect([last.phase, last.outcome]).toEqual([row.phase, 'failed']);
      expect(last.compared).toMatchObject(row.compared ?? {});
      expect(explanation.steps.slice(0, -1).filter(({ outcome }) => outcome === 'failed').length).toBeLessThan(2);
      await here.assertNoSecrets({ explanation: JSON.stringify(explanation) });
    }
    expect(asked.remedy).toBe(decision.remedy);

    const { calls, secrets } = await carryOut(decision.remedy!);
    expect(calls).toBe(row.calls ?? 0);
    const better = (await row.apply?.(wish, decision.remedy!, secrets)) ?? wish;
    // In this order: what passes may use up what it was given.
    expect(await explained(better)).toMatchObject({ allow: true, status: 200, code: null, remedy: null });
    expect((await send(better)).status, decision.remedy!).toBe(200);
  });
});

test('a token with many constraints: the advice tells which are held against the request next, until it passes', async () => {
  const constraints = { networks: ['10.0.0.0/8'], methods: ['POST'], paths: ['/db/**'], params: { cloud: 'c1' } };
  const wish = { target: '/free', secret: (await mint({ constraints })).secret };
  const rest = ['methods, paths, params', 'paths, params', 'params', null];
  for (const next of rest) {
    const { code, remedy } = await explained(wish);
    expect(code).toBe('constraint_failed');
    if (next === null) expect(remedy).not.toContain('Then it is held');
    else expect(remedy).toContain(`Then it is held against ${next}.`);
    expect((await carryOut(remedy!)).calls).toBe(1);
  }
  expect((await send(wish)).status).toBe(200);
});

describe('what another instance refuses', () => {
  const others: Postern[] = [];
  afterAll(async () => {
    for (const postern of others) await postern.stop();
  });
  const start = async (options: Partial<PosternOptions>): Promise<Postern> => {
    const postern = await Postern.start({ upstream: upstream.url, routes, ...options });
    others.push(postern);
    return postern;
  };

  test('a network that fails too often: the wait, and what is wrong with its token; asking counts as no failure', async () => {
    const postern = await start({ more: 'guard: { failures: 2, per: 2s }' });
    const { secret } = await postern.mint({ permissions: ['api'], state: 'disabled' });
    const wish = { target: '/api/x', secret };
    for (let i = 0; i < 5; i++) expect((await explained(wish, postern)).code).toBe('invalid_token');
    for (let i = 0; i < 2; i++) expect((await send(wish, postern)).status).toBe(401);
    const answer = await send(wish, postern);
    expect(answer.json()['code']).toBe('too_many_failures');
    const decision = await ofDecision(answer.json()['request_id'] as string, postern);
    for (const explanation of [decision, await explained(wish, postern)]) {
      expect(explanation).toMatchObject({ allow: false, status: 429, code: 'too_many_failures' });
      expect(explanation.steps.at(-1)).toMatchObject({
        phase: 'token',
        outcome: 'failed',
        compared: { cause: 'disabled' },
      });
      expect(explanation.remedy).toMatch(/^Wait [12] s/);
    }
    await carryOut(decision.remedy!, postern);
    await expect.poll(async () => (await send(wish, postern)).status, { timeout: 5000 }).toBe(200);
  });

  test('a store that does not answer: that nothing speaks against the request, which passes once it does', async () => {
    let away = false;
    const postern = await start({
      throughStore: store => {
        const find = store.tokens.find.bind(store.tokens);
        store.tokens.find = digests => (away ? Promise.reject(new StoreUnavailable('nobody is there')) : find(digests));
        return store;
      },
    });
    const { secret } = await postern.mint({ permissions: ['api'] });
    const wish = { target: '/api/x', secret };
    away = true;
    const answer = await send(wish, postern);
    for (const explanation of [
      await ofDecision(answer.json()['request_id'] as string, postern),
      await explained(wish, postern),
    ]) {
      expect(explanation).toMatchObject({ allow: false, status: 503, code: 'store_unavailable' });
      expect(explanation.steps.at(-1)).toMatchObject({ phase: 'token', outcome: 'failed' });
      expect(explanation.remedy).toContain('Nothing speaks against this request');
    }
    away = false;
    await expect.poll(async () => (await send(wish, postern)).status, { timeout: 5000 }).toBe(200);
  });

  test('a secret that was replaced, past its grace: the newer one, or another', async () => {
    const postern = await start({});
    const { id, secret } = await postern.mint({ permissions: ['api'] });
    await postern.admin('POST', `/v1/tokens/${id}/rotate`, { grace: '300ms' });
    const wish = { target: '/api/x', secret };
    expect((await send(wish, postern)).status).toBe(200);
    await expect.poll(async () => (await send(wish, postern)).status, { timeout: 5000 }).toBe(401);
    const { remedy, code } = await explained(wish, postern);
    expect(code).toBe('invalid_token');
    const { secrets } = await carryOut(remedy!, postern);
    expect((await send({ ...wish, secret: secrets.at(-1)! }, postern)).status).toBe(200);
  });

  test('what never became a request, and what the upstream did, are remembered as well', async () => {
    const client = await RawClient.open(here.port);
    client.write('GET /free HTTP/1.1\r\nBad Name: x\r\n\r\n');
    const unparsed = await ofDecision((await client.answer()).json()['request_id'] as string);
    client.destroy();
    expect(unparsed).toMatchObject({ status: 400, code: 'malformed_request', method: 'other', path: null });
    expect(unparsed.steps).toMatchObject([{ phase: 'form', outcome: 'failed' }]);
    expect(unparsed.remedy).toMatch(/^Change the request: /);

    upstream.script = ({ socket }) => void socket.resetAndDestroy();
    const failed = await send({ method: 'POST', target: '/free', body: 'x', secret: reusable.good });
    upstream.reset();
    const decision = await ofDecision(failed.json()['request_id'] as string);
    expect(decision).toMatchObject({ allow: false, status: 502, code: 'upstream_failed', route: '/free' });
    expect(decision.steps.at(-1)).toMatchObject({ phase: 'forward', outcome: 'failed', compared: { upstream: 'u' } });
  });
});

describe('asking', () => {
  test('by the id of a token is like presenting it, and nothing is counted, logged or forwarded', async () => {
    const { id, secret } = await mint({ permissions: ['api'] });
    await send({ target: '/free', secret });
    await here.quiet();
    const before = [upstream.requests.length, (await here.requestLines()).length];
    const counters = async () =>
      (await here.metrics())
        .split('\n')
        .filter(line => /^postern_(?:requests|decisions|cache_lookups|upstream_requests)_total/.test(line));
    const counted = await counters();
    for (const [target, status, code] of [
      ['/api/x', 200, null],
      ['/both', 403, 'insufficient_scope'],
      ['/public/x', 200, null],
      ['/nowhere', 404, 'no_route'],
    ]) {
      const { body } = await here.admin('POST', '/v1/explain', { token_id: id, request: { method: 'GET', target } });
      expect(body).toMatchObject({ allow: status === 200, status, code });
    }
    await explained({ target: '/api/x', secret });
    expect([upstream.requests.length, (await here.requestLines()).length]).toEqual(before);
    expect(await counters()).toEqual(counted);
    const usage = await here.admin('GET', `/v1/tokens/${id}/usage`);
    expect(usage.body['total']).toMatchObject({ allowed: 1, refused: {} });
  });

  test('about a token or a decision that nobody knows is 404, and says who could know', async () => {
    const request = { method: 'GET', target: '/free' };
    const token = await here.admin('POST', '/v1/explain', { token_id: 'tok_nobody', request });
    expect([token.status, token.body['code']]).toEqual([404, 'not_found']);
    const decision = await here.admin('GET', '/v1/decisions/018f3c2e-7b1a-7c3d-9f00-0123456789ab');
    expect(decision.status).toBe(404);
    expect(decision.body['detail']).toMatch(/only the one that answered knows/);
  });

  test('with a body that is not what it takes is 422, with everything that is wrong', async () => {
    const answer = await here.admin('POST', '/v1/explain', {
      token_id: 'a',
      secret: 'b',
      request: { method: 'GET x', target: '/a b', headers: { 'X Y': 'z', Good: 'a\r\nb' }, peer: 'nowhere', more: 1 },
    });
    expect(answer.status).toBe(422);
    const errors = answer.body['errors'] as { pointer: string }[];
    expect(errors.map(({ pointer }) => pointer).toSorted()).toEqual(
      [
        '/request/headers/Good',
        '/request/headers/X Y',
        '/request/method',
        '/request/more',
        '/request/peer',
        '/request/target',
        '/secret',
      ].toSorted(),
    );
    const two = await here.admin('POST', '/v1/explain', {
      token_id: 'a',
      request: { method: 'GET', target: '/free', headers: { 'X-Api-Key': 'x' } },
    });
    expect(two.status).toBe(422);
  });

  test('tells nothing of a token that stands in a path, query or method, nor of what was presented', async () => {
    const { secret } = await mint();
    const foreign = 'correct-horse-battery-staple';
    const wishes: Wish[] = [
      { target: `/widgets-of/${secret}`, secret },
      { target: `/api/${encodeURIComponent(secret).replace('_', '%5F')}?x=${secret}`, secret: null },
      { target: `/api/${foreign}`, secret: foreign },
      { target: `/api/x?token=${foreign}`, secret: foreign },
    ];
    for (const wish of wishes) {
      const { body } = await here.admin('GET', `/v1/decisions/${(await send(wish)).json()['request_id']}`);
      const text = JSON.stringify([body, await explained(wish)]);
      await here.assertNoSecrets({ explanation: text });
      expect(text).not.toContain(foreign);
    }
  });
});
