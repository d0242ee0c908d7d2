import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Config } from '../../../src/config/config.ts';
import { missingOwners } from '../../../src/config/declared.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { problemLine } from '../../../src/config/problems.ts';
import { substitute } from '../../../src/config/substitute.ts';
import { configHash, redactedView } from '../../../src/config/view.ts';
import { caseEnv, loadCase } from './cases.ts';

const minimal = 'upstreams: { api: { url: http://127.0.0.1:3000 } }\nroutes: [{ path: /** }]\n';

type File = { name: string; mode: number; text: string };
const file = (name: string, text: string): File => ({ name, mode: 0o600, text });

async function load(config: string, ...files: File[]) {
  const { result, lines } = await loadCase({ config, files });
  if (!result.ok) throw new Error(lines.join('\n'));
  return result;
}

/** The hash, wherever the store is: each case has a folder of its own. */
const hashOf = (config: Config): string =>
  configHash({ ...config, store: { ...config.store, kind: 'embedded', path: '' } as Config['store'] });

const redisWith = (members: string): string => `${minimal}
admin: { keys: [{ name: ops, role: admin, key: ${createHash('sha256').update('a key').digest('hex')} }] }
store: { kind: redis, ${members} }
`;

const redisAt = (url: string): string => redisWith(`url: "${url}"`);

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();

describe('what a configuration comes out as', () => {
  it('has the published default of every key that is left out', async () => {
    const { config } = await load(minimal);
    expect(config).toMatchObject({
      listen: {
        proxy: {
          address: ':8080',
          host: undefined,
          port: 8080,
          tls: null,
          headTimeoutMs: 10_000,
          bodyTimeoutMs: 30_000,
          keepAliveMs: 75_000,
          maxConnections: 10_000,
        },
        admin: { address: '127.0.0.1:8081', host: '127.0.0.1', port: 8081, tls: null, insecure: false },
        telemetry: { address: ':9464', host: undefined, port: 9464, tls: null },
      },
      admin: { keys: [], hosts: null },
      upstreams: [
        {
          name: 'api',
          addresses: [{ protocol: 'http', hostname: '127.0.0.1', port: 3000 }],
          host: 'preserve',
          tls: null,
          connectTimeoutMs: 1000,
          responseTimeoutMs: 30_000,
          idleTimeoutMs: 300_000,
          streamIdleTimeoutMs: 0,
          maxConnections: 1024,
          maxStreams: 10_000,
          queue: { size: 8192, timeoutMs: 5000 },
        },
      ],
      credentials: [{ kind: 'header', name: 'authorization', scheme: 'Bearer' }],
      routes: [
        {
          pattern: '/**',
          hosts: [],
          methods: null,
          access: 'token',
          upstream: 'api',
          require: null,
          allow: new Set(),
          cors: null,
          forwardCredential: false,
          forwardHeaders: new Set(),
          stripSegments: 0,
          maxBody: null,
        },
      ],
      store: { kind: 'embedded', deadlineMs: 50, mutationDeadlineMs: 5000 },
      tokens: { prefix: 'pst', peppers: [], declared: [], shapes: [], acceptUnkeyed: false },
      cache: { maxEntries: 100_000, ttlMs: 60_000, negativeTtlMs: 5000 },
      revocation: { boundMs: 5000, feedReadMs: 1666 },
      outage: { serveCachedMs: 0, snapshot: null, limits: 'closed' },
      limits: { waitMs: 1000 },
      headers: { identityPrefix: 'X-Postern-', realm: 'postern', rateLimit: 'draft' },
      trustedProxies: [],
      guard: { failures: 20, perMs: 10_000 },
      shutdown: { delayMs: 5000, graceMs: 20_000 },
      log: { level: 'info', access: 'all', sample: 1 },
    });
  });

  it('has the store and every relative path beside the file, wherever the program runs', async () => {
    const { config, files } = await load(minimal);
    expect(config.store).toMatchObject({ kind: 'embedded', path: path.join(path.dirname(files[0]!), 'data') });
    expect(files).toEqual([expect.stringMatching(/postern\.yaml$/)]);
  });

  it.each([
    [
      'redis://127.0.0.1',
      {
        servers: { form: 'url', host: '127.0.0.1', port: 6379 },
        username: null,
        password: null,
        database: 0,
        tls: null,
      },
    ],
    ['redis://[::1]:6380/3', { servers: { form: 'url', host: '::1', port: 6380 }, database: 3 }],
    ['redis://:p%40ss@h', { servers: { host: 'h' }, password: Buffer.from('p@ss') }],
    [
      'rediss://me:you@h:1/',
      { servers: { form: 'url', host: 'h', port: 1 }, username: 'me', password: Buffer.from('you'), tls: { ca: null } },
    ],
  ])('has the parts of the address of a Redis: %s', async (url, parts) => {
    const { config } = await load(redisAt(url));
    expect(config.store).toMatchObject({
      kind: 'redis',
      prefix: 'postern:',
      confirm: 'none',
      allowEviction: false,
      ...parts,
    });
  });

  it.each([
    'h:6379',
    'http://h',
    'redis://',
    'redis://:s3cret@h/db',
    'redis://:s3cret@h:99999',
    'redis://:s3cret@h?a=b',
  ])('is refused for an address of none, which is not repeated: %s', async url => {
    const { result, lines } = await loadCase({ config: redisAt(url), files: [] });
    expect(result.ok).toBe(false);
    expect(lines).toEqual([expect.stringMatching(/^postern\.yaml:\d+:\d+ store\.url: .+; allowed: redis:\/\//)]);
    expect(lines.join()).not.toContain('s3cret');
  });

  it('has sentinels with what they watch, and the nodes of a cluster, with whom to speak to them as', async () => {
    const secrets = { files: [{ name: 'redis.password', mode: 0o600, text: 's3cret\n' }] };
    const sentinels =
      'sentinels: [a, "b:1", "[::1]"], master: main, database: 2, sentinel_username: w, sentinel_password: x';
    const behind = await loadCase({
      config: redisWith(`${sentinels}, username: u, password_file: redis.password`),
      ...secrets,
    });
    expect(behind.lines).toEqual([]);
    expect(behind.result.ok && behind.result.config.store).toMatchObject({
      servers: {
        form: 'sentinel',
        sentinels: [
          { host: 'a', port: 26_379 },
          { host: 'b', port: 1 },
          { host: '::1', port: 26_379 },
        ],
        master: 'main',
        username: 'w',
        password: Buffer.from('x'),
      },
      username: 'u',
      password: Buffer.from('s3cret'),
      database: 2,
      tls: null,
      confirm: 'majority',
    });
    const { config } = await load(redisWith('cluster: [a, "b:1"], tls: true, confirm: none'));
    expect(config.store).toMatchObject({
      servers: {
        form: 'cluster',
        nodes: [
          { host: 'a', port: 6379 },
          { host: 'b', port: 1 },
        ],
      },
      username: null,
      password: null,
      tls: { ca: null },
      confirm: 'none',
    });
  });

  it('needs an admin key with a Redis, and says what belongs to which store', async () => {
    const keyless = await loadCase({ config: `${minimal}store: { kind: redis, url: "redis://h" }\n`, files: [] });
    expect(keyless.lines.join()).toMatch(/admin\.keys: is empty, and Redis/);
    const mixed = await loadCase({ config: `${minimal}store: { kind: embedded, url: "redis://h" }\n`, files: [] });
    expect(mixed.lines.join()).toMatch(/store\.url: is of Redis/);
    const nowhere = await loadCase({ config: redisAt('redis://h').replace(/, url: [^,}]+/, ''), files: [] });
    expect(nowhere.lines.join()).toMatch(/store: has no url, url_file, sentinels, cluster/);
  });

  it('has routes and places ready for the gate', async () => {
    const { config } = await load(`
upstreams: { a: { url: "https://a.example.com" }, b: { url: ["http://[::1]:3000/"], host: upstream } }
credentials: [{ header: X-API-Key }, { query: auth_token }, { websocket_protocol: "token." }, { form: auth_token }]
forward_headers: [X-Original-URL]
max_body: 1MiB
routes:
  - { path: "/v1/{id}", upstream: a, methods: [GET], hosts: [API.example.com., "*.Example.org"], require: "x:read", allow: [semicolon] }
  - { path: /v2/x/**, upstream: b, cost: 5, require: [a, b], strip_prefix: /v2/x, max_body: unlimited, forward_headers: [], forward_credential: true }
  - { path: /v3, upstream: b, cost: 0, require: { any: [a, b] }, max_body: 64KiB, cors: { origins: ["https://x.example", "*"], preflight: answer } }
  - { path: "/v4/{api}", upstream: b, cost: { reserve: 10, response_header: X-Cost }, require: "api.{param.cmd}", resource: "db/{param.extra.db}", inspect_body: 64KiB, commands: { db.get: get, __proto__: add }, mode: shadow }
`);
    expect(config.credentials).toEqual([
      { kind: 'header', name: 'x-api-key', scheme: null },
      { kind: 'query', name: 'auth_token' },
      { kind: 'websocket_protocol', prefix: 'token.' },
      { kind: 'form', name: 'auth_token' },
    ]);
    expect(config.upstreams).toMatchObject([
      {
        addresses: [{ protocol: 'https', hostname: 'a.example.com', port: 443 }],
        tls: { ca: null, cert: null, key: null, serverName: null },
      },
      { addresses: [{ protocol: 'http', hostname: '::1', port: 3000 }], host: 'upstream', tls: null },
    ]);
    expect(config.routes).toEqual([
      {
        pattern: '/v1/{id}',
        hosts: ['api.example.com', '*.example.org'],
        methods: ['GET'],
        access: 'token',
        upstream: 'a',
        require: { mode: 'all', permissions: ['x:read'] },
        resource: null,
        commands: null,
        inspectBody: null,
        mode: 'enforce',
        cost: { units: 1, header: null },
        allow: new Set(['semicolon']),
        cors: null,
        forwardCredential: false,
        forwardHeaders: new Set(['x-original-url']),
        stripSegments: 0,
        maxBody: 1024 ** 2,
      },
      {
        pattern: '/v2/x/**',
        hosts: [],
        methods: null,
        access: 'token',
        upstream: 'b',
        require: { mode: 'all', permissions: ['a', 'b'] },
        resource: null,
        commands: null,
        inspectBody: null,
        mode: 'enforce',
        cost: { units: 5, header: null },
        allow: new Set(),
        cors: null,
        forwardCredential: true,
        forwardHeaders: new Set(),
        stripSegments: 2,
        maxBody: null,
      },
      {
        pattern: '/v3',
        hosts: [],
        methods: null,
        access: 'token',
        upstream: 'b',
        require: { mode: 'any', permissions: ['a', 'b'] },
        resource: null,
        commands: null,
        inspectBody: null,
        mode: 'enforce',
        cost: { units: 0, header: null },
        allow: new Set(),
        cors: { origins: new Set(['https://x.example', '*']), preflight: 'answer' },
        forwardCredential: false,
        forwardHeaders: new Set(['x-original-url']),
        stripSegments: 0,
        maxBody: 65_536,
      },
      {
        pattern: '/v4/{api}',
        hosts: [],
        methods: null,
        access: 'token',
        upstream: 'b',
        require: { mode: 'all', permissions: ['api.{param.cmd}'] },
        resource: 'db/{param.extra.db}',
        commands: { 'db.get': 'get', ['__proto__']: 'add' },
        inspectBody: 65_536,
        mode: 'shadow',
        cost: { units: 10, header: 'x-cost' },
        allow: new Set(),
        cors: null,
        forwardCredential: false,
        forwardHeaders: new Set(['x-original-url']),
        stripSegments: 0,
        maxBody: 1024 ** 2,
      },
    ]);
  });

  it('takes a listener as an address or as a map, with the same defaults', async () => {
    const asText = await load(`${minimal}listen: { proxy: "[::1]:0", admin: "[::1]:8081" }\n`);
    const asMap = await load(`${minimal}listen: { proxy: { address: "[::1]:0" }, admin: { address: "[::1]:8081" } }\n`);
    expect(asMap.config.listen).toEqual(asText.config.listen);
    expect(asText.config.listen.proxy).toMatchObject({ host: '::1', port: 0, keepAliveMs: 75_000 });
    expect(asText.config.admin.hosts).toBeNull();
    const elsewhere = await load(`${minimal}listen: { proxy: { max_connections: 5 } }\n`);
    expect(elsewhere.config.listen.proxy).toMatchObject({ address: ':8080', maxConnections: 5 });
  });

  it('takes JSON', async () => {
    const json = { upstreams: { api: { url: 'http://127.0.0.1:3000' } }, routes: [{ path: '/**' }] };
    const fromJson = await load(JSON.stringify(json, null, '\t'));
    expect(hashOf(fromJson.config)).toBe(hashOf((await load(minimal)).config));
  });

  it('keeps keys such as __proto__ as names of actions, and pollutes nothing', async () => {
    const { config } = await load(
      `${minimal}tokens: { declared: [{ id: __x, secret_sha256: "\${DIGEST}", permissions: { __proto__: true, toString: false } }] }\n`.replace(
        '__x',
        'x__proto__',
      ),
    );
    expect(Object.entries(config.tokens.declared[0]!.permissions)).toEqual([
      ['__proto__', true],
      ['toString', false],
    ]);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
    expect(Object.prototype).not.toHaveProperty('ttl');
  });
});

describe('variables', () => {
  it('stand for text in values, typed again only where they are not quoted', async () => {
    const { config } = await load(`
upstreams:
  api: { url: "http://\${HOST:-127.0.0.1}:300\${NUMBER}" }
routes:
  - path: "/$$\${WORD}/$x/\${WORD}"
    require: "\${EMPTY:-widgets:read}"
  - path: "/{id}"
cache:
  max_entries: \${NUMBER}00
log:
  sample: \${SAMPLE:-0.5}
tokens:
  accept_unkeyed: \${FLAG:-true}
`);
    expect(config.upstreams[0]!.addresses[0]!.port).toBe(3007);
    expect(config.routes[0]).toMatchObject({
      pattern: '/$widgets/$x/widgets',
      require: { permissions: ['widgets:read'] },
    });
    expect(config.cache.maxEntries).toBe(700);
    expect(config.log.sample).toBe(0.5);
    expect(config.tokens.acceptUnkeyed).toBe(true);
  });

  it('are not looked for in what a variable holds, and cannot add keys', async () => {
    const env = { A: `\${B}`, B: 'x' };
    expect(substitute(`$A-$$-$-\${A}-$$\{A}-\${}-\${1}-$`, env)).toEqual({
      ok: true,
      text: `$A-$-$-\${B}-$\{A}-\${}-\${1}-$`,
      changed: true,
    });
    expect(substitute(`\${toString}`, env)).toMatchObject({ ok: false });
    expect(substitute(`\${toString:-x}`, env)).toMatchObject({ ok: true, text: 'x' });
    const { lines } = await loadCase({ config: `${minimal}log:\n  level: \${LINES}\n`, files: [] });
    expect(lines).toEqual([`postern.yaml:4:10 log.level: "\${LINES}" is not valid; allowed: debug, info, warn, error`]);
  });
});

describe('secrets', () => {
  const keys = `
admin:
  keys:
    - { name: written, role: admin, key: "\${KEY}" }
    - { name: filed, role: read, key_file: secrets/admin, expires_at: 2030-01-31T00:00:00+01:00 }
    - { name: hashed, role: read, key_sha256: "\${DIGEST}" }
    - { name: owning, role: "owner:not-made-yet", key: "\${KEY}3" }
tokens:
  peppers: [{ id: p2, key_file: secrets/pepper }, { id: p1, key: "\${PEPPER}" }]
`;
  const files = [file('secrets/admin', `${caseEnv.KEY}2\r\n`), file('secrets/pepper', `${caseEnv.PEPPER}\n\n`)];

  it('are read from files less one newline, and of admin keys only the digest and the file are kept', async () => {
    const { config, files: read } = await load(minimal + keys, ...files);
    const [keyFile] = read.filter(name => path.basename(name) === 'admin');
    const filed = { sha256: sha256(`${caseEnv.KEY}2`), expiresAt: Date.UTC(2030, 0, 30, 23), keyFile };
    expect(config.admin.keys).toEqual([
      { name: 'written', role: 'admin', sha256: sha256(caseEnv.KEY), expiresAt: null, keyFile: null },
      { name: 'filed', role: 'read', ...filed },
      { name: 'hashed', role: 'read', sha256: Buffer.from(caseEnv.DIGEST, 'hex'), expiresAt: null, keyFile: null },
      { name: 'owning', role: 'owner:not-made-yet', sha256: sha256(`${caseEnv.KEY}3`), expiresAt: null, keyFile: null },
    ]);
    expect(path.isAbsolute(keyFile!)).toBe(true);
    expect(config.tokens.peppers).toEqual([
      { id: 'p2', key: Buffer.from(`${caseEnv.PEPPER}\n`) },
      { id: 'p1', key: Buffer.from(caseEnv.PEPPER) },
    ]);
    expect(read.map(name => path.basename(name))).toEqual(['postern.yaml', 'admin', 'pepper']);
  });

  it('are in no view of the configuration, in no form', async () => {
    const { config } = await load(minimal + keys, ...files);
    const shown = JSON.stringify(redactedView(config));
    for (const secret of [caseEnv.KEY, caseEnv.PEPPER, caseEnv.DIGEST]) {
      for (const form of [secret, sha256(secret).toString('hex'), sha256(secret).toString('base64')]) {
        expect(shown).not.toContain(form);
      }
    }
    expect(shown).toContain('[masked]');
    expect(shown).toContain('"name":"filed"');
  });

  it('are in no problem', async () => {
    const secret = 'Zk8-a-secret-that-nobody-may-see';
    const { lines, result } = await loadCase({
      config: `
upstreams: { api: { url: "http://user:${secret}@127.0.0.1" } }
routes: [{ path: /** }]
admin: { keys: [{ name: a, role: admin, key: ["${secret}"] }, { name: b, role: x, key: ${secret.slice(0, 20)} }] }
tokens: { peppers: [{ id: p, key: { x: ${secret} } }], declared: [{ id: a, secret_sha256: ${secret} }] }
cache: ${secret}
`,
      files: [],
    });
    expect(result.ok).toBe(false);
    expect(lines.length).toBeGreaterThan(5);
    expect(lines.join('\n')).not.toContain(secret.slice(0, 20));
    const broken = await loadCase({ config: `admin: { keys: [] }\n ${secret}: "${secret}\n`, files: [] });
    expect(broken.lines.join('\n')).not.toContain(secret);
  });

  it('are part of the hash, so that a changed one shows', async () => {
    const { config } = await load(minimal + keys, ...files);
    const changed = await load(minimal + keys, files[0]!, file('secrets/pepper', `${caseEnv.PEPPER}!`));
    expect(hashOf(changed.config)).not.toBe(hashOf(config));
  });
});

describe('certificates', () => {
  const pem = async (name: string): Promise<File> =>
    file(name, await readFile(path.join(import.meta.dirname, 'tls', name), 'utf8'));

  it('are read whole, and can serve as they are', async () => {
    const { config, files } = await load(
      `
listen: { proxy: { address: ":8443", tls: { cert: localhost.crt, key: localhost.key, client_ca: localhost.crt } } }
upstreams: { api: { url: https://127.0.0.1, tls: { ca: localhost.crt, cert: localhost.crt, key: localhost.key, server_name: Localhost } } }
routes: [{ path: /** }]
`,
      await pem('localhost.crt'),
      await pem('localhost.key'),
    );
    const { tls } = config.listen.proxy;
    expect(tls?.cert.toString()).toContain('BEGIN CERTIFICATE');
    expect(tls?.key.toString()).toContain('PRIVATE KEY');
    expect(tls?.clientCa).toEqual(tls?.cert);
    expect(tls?.files.cert).toBe(files[1]);
    expect(config.upstreams[0]!.tls).toMatchObject({ serverName: 'localhost', ca: tls?.cert, key: tls?.key });
    expect(JSON.stringify(redactedView(config))).not.toContain('PRIVATE KEY');
  });

  it('need the key that belongs to them', async () => {
    const { lines } = await loadCase({
      config: `${minimal}listen: { proxy: { tls: { cert: localhost.crt, key: other.key } } }\n`,
      files: [await pem('localhost.crt'), await pem('other.key')],
    });
    expect(lines).toEqual([
      'postern.yaml:3:53 listen.proxy.tls.key: <folder>/other.key is not the key of the certificate; allowed: its private key in PEM',
    ]);
  });

  it('that have expired are warned of', async () => {
    const folder = path.join(import.meta.dirname, 'tls');
    const result = await loadConfig({ file: path.join(folder, 'expired.yaml'), env: {} }, Date.UTC(2200, 0, 1));
    expect(result.ok && result.warnings.map(problemLine).filter(line => line.includes('expired on'))).toHaveLength(1);
  });
});

describe('declared tokens', () => {
  const declared = `
- { id: ci, secret_sha256: "\${DIGEST}", owner: acme, permissions: ["widgets:read", "db.*"], tags: [ci] }
- id: old
  secret_sha256: 0fe4a7af4c9eb9ee8a1dbc8b9dd8d8f8a6ab9dd8a9a9e1f0c7e5d4b3a2918070
  state: disabled
  mode: shadow
  limits: [{ name: day, max: 0, per: 1d }, { name: pace, max: 5, per: 1s, algorithm: bucket }]
  name: An old one
  permissions: { "*": true, "db.get": false }
  not_before: 2026-01-01T00:00:00Z
  expires_at: 2027-01-01T00:00:00.5Z
- { id: heir, secret_sha256: 1fe4a7af4c9eb9ee8a1dbc8b9dd8d8f8a6ab9dd8a9a9e1f0c7e5d4b3a2918070, owner: acme, permissions: inherit }
- id: granted
  secret_sha256: 2fe4a7af4c9eb9ee8a1dbc8b9dd8d8f8a6ab9dd8a9a9e1f0c7e5d4b3a2918070
  permissions:
    - { resources: [db/sales, "db/*"], actions: { "db.*": true, "db.drop": false } }
    - { resources: ["*"], actions: { db.list: true } }
`;
  const ready = [
    {
      id: 'ci',
      name: 'ci',
      owner: 'acme',
      state: 'enabled',
      mode: 'enforce',
      secretSha256: Buffer.from(caseEnv.DIGEST, 'hex'),
      permissions: ['widgets:read', 'db.*'],
      notBefore: null,
      expiresAt: null,
      limits: [],
      tags: ['ci'],
    },
    {
      id: 'old',
      name: 'An old one',
      owner: null,
      state: 'disabled',
      mode: 'shadow',
      limits: [
        { name: 'day', max: 0, per: '1d', algorithm: 'window', burst: 0 },
        { name: 'pace', max: 5, per: '1s', algorithm: 'bucket', burst: 5 },
      ],
      notBefore: Date.UTC(2026, 0, 1),
      expiresAt: Date.UTC(2027, 0, 1) + 500,
      tags: [],
    },
    { id: 'heir', owner: 'acme', permissions: 'inherit' },
    {
      id: 'granted',
      owner: null,
      permissions: [
        { resources: ['db/sales', 'db/*'], actions: { 'db.*': true, 'db.drop': false } },
        { resources: ['*'], actions: { 'db.list': true } },
      ],
    },
  ];

  it('come from the file, or from one of their own', async () => {
    const inline = await load(`${minimal}tokens:\n  declared:\n${declared.replaceAll('\n', '\n    ')}\n`);
    const filed = await load(`${minimal}tokens: { declared_file: tokens.yaml }\n`, file('tokens.yaml', declared));
    expect(inline.config.tokens.declared).toMatchObject(ready);
    expect(filed.config.tokens.declared).toMatchObject(ready);
    expect(Object.entries(filed.config.tokens.declared[1]!.permissions)).toEqual([
      ['*', true],
      ['db.get', false],
    ]);
    expect(hashOf(filed.config)).toBe(hashOf(inline.config));
    expect(filed.files.map(name => path.basename(name))).toEqual(['postern.yaml', 'tokens.yaml']);
  });

  it('name an owner whose existence is for the store to say', async () => {
    const { config } = await load(`${minimal}tokens: { declared_file: tokens.yaml }\n`, file('tokens.yaml', declared));
    expect(missingOwners(config, new Set(['acme']))).toEqual([]);
    expect(missingOwners(config, new Set(['other']))).toEqual([
      expect.stringMatching(/tokens\.yaml:2:3 \[0\]\.owner: "acme" is no account; allowed: /),
      expect.stringMatching(/tokens\.yaml:12:3 \[2\]\.owner: "acme" is no account; allowed: /),
    ]);
  });
});

describe('the hash', () => {
  it('is the same for the same effect, whatever the writing', async () => {
    const { hash, config } = await load(minimal);
    const written = `# a remark\nroutes:\n  - path: /**\n    upstream: api\ncache: { ttl: 1m }\nupstreams: { "api": { url: [http://127.0.0.1:3000/] } }\n`;
    expect(hashOf((await load(written)).config)).toBe(hashOf(config));
    expect(hash).toMatch(/^[0-9a-f]{64}$/);
    const other: Config = { ...config, log: { ...config.log, level: 'debug' } };
    expect(configHash(other)).not.toBe(hash);
  });
});

describe('a file that is not there or cannot be read', () => {
  it('is a problem that names it', async () => {
    const missing = path.join(import.meta.dirname, 'nowhere', 'postern.yaml');
    const result = await loadConfig({ file: missing, env: {} });
    expect(result).toMatchObject({ ok: false, files: [missing] });
    expect(!result.ok && result.problems.map(problemLine)).toEqual([
      `${missing} does not exist; allowed: a file that can be read`,
    ]);
    const folder = await loadConfig({ file: import.meta.dirname, env: {} });
    expect(!folder.ok && folder.problems.map(problemLine)[0]).toContain('is a folder');
    const endless = await loadConfig({ file: '/dev/zero', env: {} });
    expect(!endless.ok && endless.problems.map(problemLine)[0]).toContain('is larger than 1 MiB');
  });
});
