import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { invalidCauses } from '../../src/core/token.ts';
import { type Code, codes, problemType, StoreUnavailable } from '../../src/errors.ts';
import { Mint } from '../../src/secrets/mint.ts';
import { Peppers } from '../../src/secrets/peppers.ts';
import { Postern } from '../support/postern.ts';
import { type Answer, RawClient } from '../support/raw-client.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';

/** Codes that only listeners of management answer with. */
const ofManagement: readonly Code[] = [
  'invalid_body',
  'unauthenticated',
  'forbidden',
  'not_found',
  'conflict',
  'version_mismatch',
  'validation_failed',
  'unsupported_member',
];

/** Codes that no request can bring about yet. */
const outOfReach: Partial<Record<Code, string>> = {
  internal_error: 'it takes a fault of ours',
};

/** Codes whose detail is in the log too: of these it is always text of ours. */
const explained: readonly Code[] = [
  'malformed_request',
  'ambiguous_credential',
  'head_too_large',
  'expectation_failed',
  'version_not_supported',
];

/** What stands in the answer beside what stands in every refusal. */
interface Refusal {
  /** Bytes to send; a function when they depend on what was set up. */
  readonly send: string | (() => string);
  /** What the upstream does with a request; none may reach it when there is nothing here. */
  readonly upstream?: (upstream: RecordingUpstream) => void;
  /** Which instance: `here` unless the policy has to be another one. */
  readonly on?: () => Postern;
  /** Runs once the bytes are sent. */
  readonly meanwhile?: () => () => void;
  readonly challenge?: string;
  readonly allow?: string;
  readonly retryAfter?: RegExp;
  /** Members of the body. */
  readonly required?: readonly string[];
  readonly violated?: readonly string[];
  /** Names and values about limits. */
  readonly limits?: readonly (readonly [string, RegExp])[];
  /** The connection goes on behind it. */
  readonly stays: boolean;
}

const H = 'Host: a\r\n';
const merge = { 'Content-Type': 'application/merge-patch+json' };
let upstream: RecordingUpstream;
let here: Postern;
let guarded: Postern;
let cutOff: Postern;
const secrets = { tA: '', none: '', fresh: '', constrained: '', spent: '', shut: '' };
let via = '';

const bearer = (secret: string): string => `Authorization: Bearer ${secret}\r\n`;
const get = (path: string, fields = '', version = '1.1'): string => `GET ${path} HTTP/${version}\r\n${H}${fields}\r\n`;
const unknown = 'pst_00000000000000000000000000000000000000';

/** At least one row for each code; the name says which. */
const table: Readonly<Record<string, Refusal>> = {
  'malformed_request: a dot segment': { send: get('/public/../admin'), stays: false },
  'malformed_request: what the parser gives up on': { send: 'GET / HTTP/1.1\r\nBad Name: x\r\n\r\n', stays: false },
  'malformed_request: no Host': { send: 'GET /public/x HTTP/1.1\r\n\r\n', stays: false },
  'request_timeout: a slow head': { send: 'GET /public/x HTTP/1.1\r\nHo', stays: false },
  'request_timeout: a slow body': {
    send: `POST /public/x HTTP/1.1\r\n${H}Content-Length: 10\r\n\r\nhalf`,
    upstream: () => {},
    stays: false,
  },
  'body_too_large: by its length': {
    send: `POST /small HTTP/1.1\r\n${H}Content-Length: 11\r\n\r\n01234567890`,
    stays: false,
  },
  'body_too_large: to be inspected': {
    send: () =>
      `POST /read HTTP/1.1\r\n${H}${bearer(secrets.tA)}Content-Type: application/json\r\nContent-Length: 33\r\n\r\n${' '.repeat(33)}`,
    stays: false,
  },
  'unsupported_media: a rule reads bodies, and not of this kind': {
    send: () =>
      `POST /read HTTP/1.1\r\n${H}${bearer(secrets.tA)}Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}`,
    stays: true,
  },
  'unsupported_media: a rule reads parameters, and the route no bodies': {
    send: () => `POST /asked?act=api HTTP/1.1\r\n${H}${bearer(secrets.tA)}Content-Length: 2\r\n\r\n{}`,
    stays: true,
  },
  'unsupported_media: what was read is not JSON': {
    send: () =>
      `POST /read HTTP/1.1\r\n${H}${bearer(secrets.tA)}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{]`,
    stays: true,
  },
  'malformed_request: a parameter that stands twice': {
    send: () => get('/asked?act=api&act=admin', bearer(secrets.tA)),
    stays: false,
  },
  'request_timeout: a slow body that is to be inspected': {
    send: () =>
      `POST /read HTTP/1.1\r\n${H}${bearer(secrets.tA)}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{`,
    stays: false,
  },
  'insufficient_scope: a command that is not listed': {
    send: () => get('/command?cmd=other', bearer(secrets.tA)),
    challenge: 'Bearer realm="postern", error="insufficient_scope", scope=""',
    required: [],
    stays: true,
  },
  'expectation_failed: another than 100-continue': { send: get('/public/x', 'Expect: miracles\r\n'), stays: false },
  'head_too_large: 101 fields': { send: get('/public/x', 'X: y\r\n'.repeat(100)), stays: false },
  'head_too_large: a field of 17 KiB': { send: get('/public/x', `X: ${'y'.repeat(17 << 10)}\r\n`), stays: false },
  'method_not_allowed: one that the route does not list': {
    send: `POST /readable HTTP/1.1\r\n${H}Content-Length: 0\r\n\r\n`,
    allow: 'GET, HEAD',
    stays: true,
  },
  'method_not_allowed: CONNECT': {
    send: `CONNECT a:80 HTTP/1.1\r\n${H}\r\n`,
    allow: 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS',
    stays: false,
  },
  'version_not_supported: HTTP/2.0': { send: get('/public/x', '', '2.0'), stays: false },
  'version_not_supported: the preface of HTTP/2': { send: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', stays: false },
  'no_route: another path': { send: get('/elsewhere'), stays: true },
  'missing_token: none': { send: get('/api/x'), challenge: 'Bearer realm="postern"', stays: true },
  'missing_token: another scheme': {
    send: get('/api/x', 'Authorization: Basic dEE6\r\n'),
    challenge: 'Bearer realm="postern"',
    stays: true,
  },
  'ambiguous_credential: two tokens': {
    send: () => get('/api/x', `${bearer(secrets.tA)}X-Api-Key: ${secrets.tA}\r\n`),
    challenge: 'Bearer realm="postern", error="invalid_request"',
    stays: true,
  },
  'invalid_token: one that nobody made': {
    send: get('/api/x', bearer(unknown)),
    challenge: 'Bearer realm="postern", error="invalid_token"',
    stays: true,
  },
  'insufficient_scope: a permission too few': {
    send: () => get('/api/x', bearer(secrets.none)),
    challenge: 'Bearer realm="postern", error="insufficient_scope", scope="api"',
    required: ['api'],
    stays: true,
  },
  'constraint_failed: a cookie from another origin': {
    send: () =>
      `POST /api/x HTTP/1.1\r\n${H}Cookie: token=${secrets.tA}\r\nOrigin: http://evil\r\nContent-Length: 0\r\n\r\n`,
    stays: true,
  },
  'constraint_failed: another method than the token is for': {
    send: () => get('/api/x', bearer(secrets.constrained)).replace('GET', 'DELETE'),
    stays: true,
  },
  'basic_required: no Basic credentials beside the token': {
    send: () => get('/api/x', `X-Api-Key: ${secrets.constrained}\r\n`),
    challenge: 'Basic realm="postern"',
    stays: true,
  },
  'limit_exceeded: a window that is spent': {
    send: () => get('/api/x', bearer(secrets.spent)),
    retryAfter: /^[1-9][0-9]{0,4}$/,
    violated: ['day'],
    limits: [
      ['RateLimit-Policy', /^"day";q=1;w=86400, "trial";q=9$/],
      ['RateLimit', /^"day";r=0;t=[1-9][0-9]{0,4}, "trial";r=8$/],
    ],
    stays: true,
  },
  'limit_exceeded: one that no waiting helps with': {
    send: () => get('/api/x', bearer(secrets.shut)),
    violated: ['none'],
    limits: [
      ['RateLimit-Policy', /^"none";q=0;w=1$/],
      ['RateLimit', /^"none";r=0$/],
    ],
    stays: true,
  },
  'too_many_failures: the second bad token, where one is allowed': {
    on: () => guarded,
    send: get('/api/x', bearer(unknown)),
    retryAfter: /^(?:[1-9]|[1-5][0-9]|60)$/,
    stays: true,
  },
  'store_unavailable: no look-up is answered': {
    on: () => cutOff,
    send: () => get('/api/x', bearer(secrets.fresh)),
    retryAfter: /^[1-9][0-9]?$/,
    stays: true,
  },
  'upstream_failed: it breaks off': {
    send: get('/public/x'),
    upstream: each => {
      each.script = ({ socket }) => void socket.resetAndDestroy();
    },
    stays: true,
  },
  'upstream_timeout: it says nothing': {
    send: get('/public/x'),
    upstream: each => {
      each.script = () => {};
    },
    stays: true,
  },
  'overloaded: the queue is full': {
    send: get('/narrow'),
    meanwhile: () => () => {},
    retryAfter: /^1$/,
    stays: false,
  },
  'loop_detected: it has been here before': { send: () => get('/public/x', `Via: 1.1 b, ${via}\r\n`), stays: true },
};

beforeAll(async () => {
  upstream = await new RecordingUpstream().listen();
  const credentials =
    'credentials: [{ header: authorization, scheme: Bearer }, { header: x-api-key }, { cookie: token }]';
  here = await Postern.start({
    upstream: upstream.url,
    upstreamMembers: 'response_timeout: 400ms',
    upstreams: { full: `url: "${upstream.url}", max_connections: 1, queue: { size: 0 }` },
    proxyMembers: 'head_timeout: 400ms, body_timeout: 400ms',
    routes: `
  - { path: /public/**, access: public, upstream: u }
  - { path: /api/**, require: api, upstream: u }
  - { path: /read, require: "{param.act}", inspect_body: 32B, upstream: u }
  - { path: /asked, require: "{param.act}", upstream: u }
  - { path: /command, require: "{param.cmd}", commands: { get: api }, upstream: u }
  - { path: /small, access: public, max_body: 10B, upstream: u }
  - { path: /readable, methods: [GET, HEAD], access: public, upstream: u }
  - { path: /narrow, access: public, upstream: full }`,
    more: credentials,
  });
  guarded = await Postern.start({ upstream: upstream.url, more: 'guard: { failures: 1, per: 60s }' });
  cutOff = await Postern.start({
    upstream: upstream.url,
    throughStore: store => {
      store.tokens.find = () => Promise.reject(new StoreUnavailable('nobody is there'));
      return store;
    },
  });
  secrets.tA = (await here.mint({ permissions: ['api'] })).secret;
  const constraints = { methods: ['GET'], basic: { alice: 'a password' } };
  secrets.constrained = (await here.mint({ permissions: ['api'], constraints })).secret;
  secrets.none = (await here.mint()).secret;
  const limits = [
    { name: 'day', max: 1, per: '1d' },
    { name: 'trial', max: 9, per: 'lifetime' },
  ];
  secrets.spent = (await here.mint({ permissions: ['api'], limits })).secret;
  secrets.shut = (await here.mint({ permissions: ['api'], limits: [{ name: 'none', max: 0, per: '1s' }] })).secret;
  secrets.fresh = (await cutOff.mint({ permissions: ['api'] })).secret;

  const client = await RawClient.open(here.port);
  client.write(get('/public/via'));
  await client.answer();
  via = upstream.only.get('via')!;
  client.write(get('/api/x', bearer(secrets.spent)));
  expect((await client.answer()).status).toBe(200);
  client.destroy();

  const bad = await RawClient.open(guarded.port);
  bad.write(get('/api/x', bearer(unknown)));
  expect((await bad.answer()).status).toBe(401);
  bad.destroy();
});
afterAll(async () => {
  for (const postern of [here, guarded, cutOff]) await postern.stop();
  await upstream.close();
});

const codeOf = (name: string): Code => name.slice(0, name.indexOf(':')) as Code;

test('every code that a request on the proxy port can get has a row here', () => {
  const rows = new Set(Object.keys(table).map(codeOf));
  const accounted = [...rows, ...ofManagement, ...Object.keys(outOfReach)].sort();
  expect(accounted).toEqual(Object.keys(codes).sort());
});

describe('a refusal says why in one form, and whether the connection goes on', () => {
  test.each(Object.keys(table))('%s', async name => {
    const row = table[name]!;
    const postern = row.on?.() ?? here;
    upstream.reset();
    row.upstream?.(upstream);
    const holder = codeOf(name) === 'overloaded' ? await occupied() : null;
    const lines = (await postern.requestLines()).length;
    const seen = upstream.requests.length;

    const client = await RawClient.open(postern.port);
    client.write(typeof row.send === 'string' ? row.send : row.send());
    const end = row.meanwhile?.();
    const answer = await client.answer();
    end?.();

    expectProblem(answer, name, row);
    if (row.upstream === undefined) expect(upstream.requests.length, 'requests at the upstream').toBe(seen);
    if (row.stays) {
      expect(answer.get('connection')?.toLowerCase()).not.toBe('close');
      upstream.reset();
      client.write(get('/public/after'));
      expect((await client.answer()).status, 'the next request on this connection').toBe(200);
    } else {
      expect(answer.get('connection')).toBe('close');
      await client.untilClosed();
      expect(client.text, 'bytes behind the answer').toBe('');
    }
    client.destroy();
    holder?.destroy();
    await postern.quiet();
    const line = (await postern.requestLines()).slice(lines).find(({ path }) => path !== '/narrow/holder');
    expect(line).toMatchObject({ status: answer.status, code: codeOf(name) });
    expect(line?.['detail']).toBe(explained.includes(codeOf(name)) ? answer.json()['detail'] : undefined);
    await postern.assertNoSecrets({ answer: answer.body.toString() + answer.fields.join() });
  });
});

test('HEAD gets the same refusal without its body, and the connection stays in step', async () => {
  upstream.reset();
  const client = await RawClient.open(here.port);
  for (const [path, fields] of [
    ['/elsewhere', ''],
    ['/api/x', ''],
    ['/api/x', bearer(secrets.none)],
  ] as const) {
    client.write(get(path, fields));
    const whole = await client.answer();
    client.write(get(path, fields).replace('GET', 'HEAD'));
    const head = await client.answer({ head: true });
    expect(head.status).toBe(whole.status);
    expect(head.get('www-authenticate')).toBe(whole.get('www-authenticate'));
    expect(head.get('content-length')).toBe(String(whole.body.length));
  }
  expect(client.length).toBe(0);
  client.destroy();
});

test('the reasons for which a token is not valid look alike to the client, and are told apart in the log', async () => {
  upstream.reset();
  const { id: disabled, secret: disabledSecret } = await here.mint({ permissions: ['api'], state: 'disabled' });
  const { id: revoked, secret: revokedSecret } = await here.mint({ permissions: ['api'] });
  await here.admin('DELETE', `/v1/tokens/${revoked}`);
  const expired = await here.mint({ permissions: ['api'] });
  const past = { expires_at: new Date(Date.now() - 1000).toISOString() };
  expect((await here.admin('PATCH', `/v1/tokens/${expired.id}`, past, merge)).status).toBe(200);
  const early = await here.mint({ permissions: ['api'], not_before: new Date(Date.now() + 3_600_000).toISOString() });
  await here.admin('POST', '/v1/accounts', { id: 'off', enabled: false });
  const ofDisabledAccount = await here.mint({ permissions: ['api'], owner: 'off' });

  const before = (await here.requestLines()).length;
  const presented = [
    secrets.tA.slice(0, -1),
    `${secrets.tA.slice(0, -1)}${secrets.tA.endsWith('a') ? 'b' : 'a'}`,
    'something-else',
    new Mint(new Peppers([], true), 'pst').mint().secret,
    disabledSecret,
    revokedSecret,
    expired.secret,
    early.secret,
    ofDisabledAccount.secret,
  ];
  const client = await RawClient.open(here.port);
  const answers = new Set<string>();
  for (const secret of presented) {
    client.write(get('/api/x', bearer(secret)));
    const answer = await client.answer();
    const body = { ...answer.json(), request_id: null };
    const fields = answer.fields.filter(([field]) => !/^(?:x-request-id|date)$/i.test(field));
    answers.add(JSON.stringify([answer.status, fields, body]));
  }
  client.destroy();
  expect(answers.size, 'different answers').toBe(1);
  await here.quiet();
  const lines = (await here.requestLines()).slice(before);
  expect(new Set(lines.map(({ code }) => code))).toEqual(new Set(['invalid_token']));
  expect(new Set(lines.map(({ reason }) => reason))).toEqual(
    new Set(invalidCauses.map(cause => `invalid_token_${cause}`)),
  );
  expect(lines.find(({ reason }) => reason === 'invalid_token_disabled')?.['token_id']).toBe(disabled);
});

/** The only connection to the narrow upstream is in use. */
async function occupied(): Promise<RawClient> {
  upstream.script = () => {};
  const holder = await RawClient.open(here.port);
  holder.write(get('/narrow'));
  await upstream.until(({ requests }) => requests.length === 1);
  return holder;
}

function expectProblem(answer: Answer, name: string, row: Refusal): void {
  const code = codeOf(name);
  const { status, title } = codes[code];
  expect([answer.status, answer.get('content-type')]).toEqual([status, 'application/problem+json']);
  expect(answer.get('cache-control')).toBe('no-store');
  expect(answer.all('content-length')).toEqual([String(answer.body.length)]);
  expect(answer.framing).toBe('length');
  const id = answer.get('x-request-id');
  expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  const { detail, ...body } = answer.json();
  expect(body).toEqual({
    type: problemType(code),
    title,
    status,
    code,
    request_id: id,
    ...(row.required === undefined ? {} : { required: row.required }),
    ...(row.violated === undefined ? {} : { violated_policies: row.violated }),
  });
  expect(detail).toMatch(/^[A-Z].*\.$/);
  expect(detail).not.toMatch(/127\.0\.0\.1|ECONN|at .*:\d+|undefined|\[object/);
  expect(answer.all('www-authenticate')).toEqual(row.challenge === undefined ? [] : [row.challenge]);
  expect(answer.all('allow')).toEqual(row.allow === undefined ? [] : [row.allow]);
  const limits = answer.fields.filter(([field]) => /rate-?limit/i.test(field));
  expect(limits).toEqual((row.limits ?? []).map(([field, form]) => [field, expect.stringMatching(form)]));
  if (row.retryAfter === undefined) expect(answer.all('retry-after')).toEqual([]);
  else expect(answer.get('retry-after')).toMatch(row.retryAfter);
}
