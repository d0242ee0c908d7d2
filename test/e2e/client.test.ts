import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createServer } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeCertificate } from '../support/certificate.ts';
import { freePort } from '../support/ports.ts';
import { command, Program, postern, root } from '../support/program.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { Served } from '../support/served.ts';

/** Commands that speak to the admin API: which one they find, with which key, and what they say of its answers. */

const upstream = new RecordingUpstream();
let folder = '';
beforeAll(async () => {
  await upstream.listen();
  folder = await mkdtemp(path.join(tmpdir(), 'postern-client-'));
});
afterAll(async () => {
  await Program.killAll();
  await rm(folder, { recursive: true, force: true });
  await upstream.close();
});

const plain = (): string => `upstreams: { u: { url: "${upstream.url}" } }\nroutes: [{ path: /** }]\n`;
const adminUrl = (served: Served, scheme = 'http'): string => `${scheme}://127.0.0.1:${served.ports.admin}`;

/** A key of 43 characters, another one for each name. */
const keyOf = (name: string): string => createHash('sha256').update(name).digest('base64url');

async function keyFile(name: string): Promise<string> {
  const file = path.join(folder, `${name}.key`);
  await writeFile(file, `${keyOf(name)}\n`, { mode: 0o600 });
  return file;
}

/** Runs a command that works without a word on standard error. */
async function works(args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const { code, stdout, stderr } = await command(args, { env });
  expect([args.join(' '), code, stderr]).toEqual([args.join(' '), 0, '']);
  return stdout;
}
const json = async (args: readonly string[], env: Record<string, string> = {}): Promise<Record<string, unknown>> =>
  JSON.parse(await works([...args, '--json'], env)) as Record<string, unknown>;

describe('a list', () => {
  const count = 1205;
  let served: Served;
  let env: Record<string, string>;
  beforeAll(async () => {
    const declared = Array.from({ length: count }, (_, i) => {
      const digest = createHash('sha256').update(`declared ${i}`).digest('hex');
      return `- { id: d${String(i).padStart(4, '0')}, secret_sha256: "${digest}" }`;
    });
    const file = path.join(folder, 'declared.yaml');
    await writeFile(file, `${declared.join('\n')}\n`);
    served = await Served.start({ config: `${plain()}tokens: { declared_file: ${file} }\n` });
    env = { POSTERN_ADMIN_URL: adminUrl(served), POSTERN_ADMIN_KEY: served.adminKey };
  });
  afterAll(() => served.stop());

  test('goes to its end, over as many pages as there are', async () => {
    const { id } = await served.mint();
    const { tokens, next_cursor } = await json(['token', 'list'], env);
    const ids = (tokens as { id: string }[]).map(token => token.id);
    expect([ids.length, new Set(ids).size, ids.at(-1), next_cursor]).toEqual([count + 1, count + 1, id, null]);
    const lines = (await works(['token', 'list'], env)).trimEnd().split('\n');
    expect(lines.length).toBe(1 + count + 1);
    await served.admin('DELETE', `/v1/tokens/${id}`);
  });

  test('with --limit says when there is more, and where it goes on', async () => {
    for (const most of [3, 1000, 1001]) {
      const { code, stdout, stderr } = await command(['token', 'list', '--limit', String(most), '--json'], { env });
      const { tokens, next_cursor } = JSON.parse(stdout) as { tokens: unknown[]; next_cursor: string };
      expect([code, tokens.length]).toEqual([0, most]);
      expect(stderr).toMatch(new RegExp(`^note: these are the first ${most}, and there are more.*\n$`));
      const rest = await served.admin('GET', `/v1/tokens?limit=1000&cursor=${encodeURIComponent(next_cursor)}`);
      expect((rest.body['tokens'] as { id: string }[])[0]).toMatchObject({ id: `d${String(most).padStart(4, '0')}` });
    }
  });

  test('with a --limit that is reached exactly or not at all says nothing', async () => {
    for (const most of [count, 5000]) {
      const { tokens, next_cursor } = await json(['token', 'list', '--limit', String(most)], env);
      expect([(tokens as unknown[]).length, next_cursor]).toEqual([count, null]);
    }
  });
});

describe('the admin key', () => {
  let served: Served;
  let port = 0;
  beforeAll(async () => {
    port = await freePort();
    const keys = `
    - { name: reader, role: read, key_file: ${await keyFile('reader')} }
    - { name: old, role: admin, key_file: ${await keyFile('old')}, expires_at: 2020-01-01T00:00:00Z }
    - { name: ops, role: admin, key_file: ${await keyFile('ops')} }`;
    served = await Served.start({
      config: `${plain()}admin:\n  keys:${keys}\n`,
      listen: `{ proxy: "127.0.0.1:0", admin: "127.0.0.1:${port}", telemetry: "127.0.0.1:0" }`,
    });
  });
  afterAll(() => served.stop());

  test('is the one of the configuration that may do everything and has not expired', async () => {
    const { token } = await json(['token', 'create', '--config', served.file]);
    const { id } = token as { id: string };
    const [made] = (await json(['token', 'events', id, '--config', served.file]))['events'] as { actor: string }[];
    expect(made).toMatchObject({ action: 'create', actor: 'ops' });
    // The same when the environment names the file; and what is said beside it goes first.
    await works(['token', 'show', id], { POSTERN_CONFIG: served.file });
    await works(['token', 'disable', id, '--config', served.file, '--key-file', await keyFile('ops')]);
    const asReader = { POSTERN_ADMIN_KEY: keyOf('reader') };
    const refused = await command(['token', 'enable', id, '--config', served.file], { env: asReader });
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('forbidden (403)')]);
  });

  test('and the URL may be said without the configuration', async () => {
    const url = adminUrl(served);
    await works(['account', 'list', '--url', url, '--key-file', await keyFile('ops')]);
    // What is said goes before what the environment says.
    await works(['token', 'list', '--url', url], {
      POSTERN_ADMIN_URL: 'http://127.0.0.1:1',
      POSTERN_ADMIN_KEY: keyOf('ops'),
    });
    for (const bad of ['127.0.0.1:8081', 'ftp://127.0.0.1', 'nowhere', 'http://me:pass@127.0.0.1']) {
      const { code, stderr } = await command(['token', 'list', '--url', bad]);
      expect([code, stderr]).toEqual([2, expect.stringContaining('--url')]);
      expect(stderr).not.toContain('pass@');
    }
  });

  test.each([
    ['a key that is written out', 'key: "$' + '{INLINE}"', /only a digest is kept/],
    ['a digest', `key_sha256: "${createHash('sha256').update(keyOf('x')).digest('hex')}"`, /only a digest is kept/],
  ])('cannot be taken from %s, and the message says what can be done', async (_, member, words) => {
    const file = path.join(folder, 'inline.yaml');
    await writeFile(file, `${plain()}admin: { keys: [{ name: hidden, role: admin, ${member} }] }\n`);
    // One that lies in the store's folder from earlier is not in force.
    await mkdir(path.join(folder, 'data'), { recursive: true });
    await writeFile(path.join(folder, 'data/admin.key'), `${keyOf('stale')}\n`);
    const env = { INLINE: keyOf('inline') };
    const { code, stderr } = await command(['token', 'list', '--config', file], { env });
    expect([code, stderr]).toEqual([2, expect.stringMatching(words)]);
    for (const remedy of ['hidden', 'POSTERN_ADMIN_KEY', '--key-file', file]) expect(stderr).toContain(remedy);
    await rm(path.join(folder, 'data'), { recursive: true });
  });

  test('is not one with a smaller role, or that has expired', async () => {
    const file = path.join(folder, 'small.yaml');
    const keys = `
    - { name: reader, role: read, key_file: ${await keyFile('reader')} }
    - { name: old, role: admin, key_file: ${await keyFile('old')}, expires_at: 2020-01-01T00:00:00Z }`;
    await writeFile(file, `${plain()}admin:\n  keys:${keys}\n`);
    const { code, stderr } = await command(['token', 'list', '--config', file]);
    expect([code, stderr]).toEqual([2, expect.stringContaining('has no key with the role admin that has not expired')]);
  });
});

describe('a configuration that is named and cannot be used ends a client command with 2 and its problems', () => {
  // A key and a URL that are said do not make it good.
  const env = { POSTERN_ADMIN_URL: 'http://127.0.0.1:1', POSTERN_ADMIN_KEY: keyOf('any') };
  test.each([
    ['token', 'list'],
    ['token', 'create'],
    ['account', 'list'],
  ])('%s %s', async (...words) => {
    const bad = path.join(folder, 'bad.yaml');
    await writeFile(bad, `${plain()}colour: red\n`);
    for (const [file, problem] of [
      ['/nowhere/postern.yaml', '/nowhere/postern.yaml does not exist'],
      [bad, `${bad}:3:1 colour: unknown key`],
    ] as const) {
      for (const more of [{}, env]) {
        const said = await command([...words, '--config', file], { env: more });
        const set = await command(words, { env: { ...more, POSTERN_CONFIG: file } });
        for (const { code, stdout, stderr } of [said, set]) {
          expect([code, stdout]).toEqual([2, '']);
          expect(stderr).toContain(problem);
        }
      }
    }
  });

  test('and so does an environment that cannot be used', async () => {
    const { code, stderr } = await command(['token', 'list'], { env: { POSTERN_LISTEN_ADMIN: 'nowhere' } });
    expect([code, stderr]).toEqual([2, expect.stringContaining('POSTERN_LISTEN_ADMIN')]);
  });
});

describe('what people read', () => {
  let served: Served;
  let env: Record<string, string>;
  beforeAll(async () => {
    served = await Served.start({
      config: `upstreams: { u: { url: "${upstream.url}" } }\nroutes: [{ path: /get, require: "w:get" }, { path: /delete, require: "w:delete" }]\n`,
    });
    env = { POSTERN_ADMIN_URL: adminUrl(served), POSTERN_ADMIN_KEY: served.adminKey };
  });
  afterAll(() => served.stop());

  const statuses = async (secret: string): Promise<number[]> => [
    await served.status('/get', secret),
    await served.status('/delete', secret),
  ];

  test('a denied action is refused; the last of what is said decides, and an update replaces all of it', async () => {
    const made = await json(['token', 'create', '--permission', 'w:*', '--deny', 'w:delete'], env);
    const { id } = made['token'] as { id: string };
    const secret = made['secret'] as string;
    expect(await statuses(secret)).toEqual([200, 403]);
    const permissionsAfter = async (...args: string[]): Promise<[string, boolean][]> =>
      Object.entries((await json(['token', 'update', id, ...args], env))['permissions'] as Record<string, boolean>);
    expect(await permissionsAfter('--deny', 'w:delete', '--permission', 'w:*')).toEqual([
      ['w:delete', false],
      ['w:*', true],
    ]);
    expect(await statuses(secret)).toEqual([200, 200]);
    expect(await permissionsAfter('--name', 'n', '--permission', 'w:delete', '--deny', 'w:get')).toEqual([
      ['w:delete', true],
      ['w:get', false],
    ]);
    expect(await statuses(secret)).toEqual([403, 200]);
    expect(await json(['token', 'update', id, '--permission', 'w:get'], env)).toMatchObject({ permissions: ['w:get'] });
    expect(await permissionsAfter('--permission', 'w:*', '--deny', 'w:get')).toHaveLength(2);
    expect(await statuses(secret)).toEqual([403, 200]);
  });

  test('an action with = in it is refused before anything is asked', async () => {
    const { code, stderr } = await command(['token', 'create', '--permission', 'w:get=false']);
    expect([code, stderr]).toEqual([2, expect.stringContaining('write --deny w:get')]);
  });

  test('a revocation and a deletion say where they hold, and are no JSON', async () => {
    await works(['account', 'create', '--id', 'acme', '--name', 'Acme'], env);
    const { token } = await json(['token', 'create'], env);
    const revoked = await works(['token', 'revoke', (token as { id: string }).id], env);
    const deleted = await works(['account', 'delete', 'acme'], env);
    for (const text of [revoked, deleted]) {
      expect(text).toMatch(/^in force +on the process that answered$/m);
      expect(text).not.toMatch(/[{}[\]"]|acknowledged|pending/);
    }
    expect(deleted).toMatch(/^id +acme\nname +Acme$/m);
    await works(['account', 'create', '--id', 'other'], env);
    await works(['token', 'create', '--owner', 'other'], env);
    expect(await works(['token', 'revoke', '--owner', 'other'], env)).toMatch(/^revoked +1 tokens of other$/m);
    expect(await json(['account', 'delete', 'acme'], env)).toMatchObject({ account: { id: 'acme' }, pending: [] });
  });

  test('a revocation that is not in force everywhere is no failure, and says where and until when', async () => {
    const asked: (string | undefined)[] = [];
    const answers = [{ process: 'web-2-ab\u001b[2J', may_serve_until: '2030-01-01T00:00:05.000Z' }];
    const api = createHttpServer((request, response) => {
      asked.push(request.url);
      const body = { token: { id: 'tok_1' }, acknowledged: ['web-1-cd', 'web-3-ef'], pending: answers };
      response.writeHead(202, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
    });
    api.listen(0, '127.0.0.1');
    await once(api, 'listening');
    const url = `http://127.0.0.1:${(api.address() as AddressInfo).port}`;
    const revoke = (...more: string[]) =>
      command(['token', 'revoke', ...more], { env: { POSTERN_ADMIN_URL: url, POSTERN_ADMIN_KEY: keyOf('any') } });
    try {
      const shown = await revoke('tok_1', '--wait', '2s');
      const note = 'note: it is done, and not in force on every process yet\n';
      expect([shown.code, shown.stderr]).toEqual([0, note]);
      expect(shown.stdout).toMatch(/^in force +on 2 processes: web-1-cd, web-3-ef$/m);
      expect(shown.stdout).toMatch(/^not yet +on web-2-ab\?\[2J, at 2030-01-01T00:00:05\.000Z at the latest$/m);
      answers.length = 0;
      const unknown = await revoke('--owner', 'acme', '--json');
      expect([unknown.code, unknown.stderr]).toEqual([0, note]);
      expect(JSON.parse(unknown.stdout)).toMatchObject({ acknowledged: ['web-1-cd', 'web-3-ef'], pending: [] });
      expect((await revoke('tok_1')).stdout).toMatch(/^not known +on other processes/m);
      const from = (member: string) => ['account', 'delete', member, '--wait', '30s'];
      const env = { POSTERN_ADMIN_URL: url, POSTERN_ADMIN_KEY: keyOf('any') };
      expect(await command(from('acme'), { env })).toMatchObject({ code: 0, stderr: note });
      expect(asked).toEqual([
        '/v1/tokens/tok_1?wait=2s',
        '/v1/tokens?owner=acme',
        '/v1/tokens/tok_1',
        '/v1/accounts/acme?wait=30s',
      ]);
    } finally {
      api.close();
    }
  });

  test('events of a token are a table, oldest first', async () => {
    const { token } = await json(['token', 'create', '--name', 'a'], env);
    const { id } = token as { id: string };
    await works(['token', 'update', id, '--name', 'b'], env);
    await works(['token', 'disable', id], env);
    const [heading, ...lines] = (await works(['token', 'events', id], env)).trimEnd().split('\n');
    expect(heading).toMatch(/^AT\s+ACTOR\s+ADDRESS\s+ACTION\s+CHANGES$/);
    expect(lines.map(line => line.split(/\s{2,}/)[3])).toEqual(['create', 'update', 'disable']);
    expect(lines[1]).toContain('name: "a" -> "b"');
    const { events } = await json(['token', 'events', id], env);
    expect((events as { action: string }[]).map(event => event.action)).toEqual(['create', 'update', 'disable']);
    expect((await command(['token', 'events', 'tok_nobody'], { env })).code).toBe(1);
  });
});

describe('an imported secret', () => {
  let served: Served;
  beforeAll(async () => {
    const pepper = path.join(folder, 'pepper');
    await writeFile(pepper, keyOf('pepper'), { mode: 0o600 });
    served = await Served.start({
      config: `${plain()}tokens: { shapes: ["^legacy-[a-z]{8}$"], peppers: [{ id: p1, key_file: ${pepper} }] }\n`,
    });
  });
  afterAll(() => served.stop());

  const importOf = (id: string, secret: string, options: string[] = ['--config', served.file], env = {}) =>
    postern(['token', 'import', id, '--secret-stdin', '--url', adminUrl(served), ...options], {
      input: `${secret}\n`,
      env,
    });

  test('that the configuration lets in is imported without a word, and works', async () => {
    const { code, stderr } = await importOf('legacy', 'legacy-abcdefgh');
    expect([code, stderr]).toEqual([0, '']);
    expect(await served.status('/x', 'legacy-abcdefgh')).toBe(200);
    // One that was made here comes back under another id after the first is gone.
    const { id, secret } = await served.mint();
    await served.admin('DELETE', `/v1/tokens/${id}`);
    const again = await importOf(id, secret);
    expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('conflict (409)')]);
  });

  test.each([
    ['legacy-abc', 'tokens.shapes'],
    ['pst_abc', '38 letters and digits'],
    [`pst_${'a'.repeat(38)}`, 'none of tokens.peppers'],
    ['', 'is empty'],
  ])('that can never work (%j) is not imported: 2, and the reason', async (secret, words) => {
    const { code, stdout, stderr } = await importOf('never', secret);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain(words);
    if (secret !== '') expect(stderr).not.toContain(secret);
    expect((await served.admin('GET', '/v1/tokens/never')).status).toBe(404);
  });

  test('of which only the digest is known is imported with a note of what makes it work', async () => {
    const digest = createHash('sha256').update('whatever').digest('hex');
    const key = ['--key-file', path.join(served.folder, 'data/admin.key')];
    const byDigest = await command(
      ['token', 'import', 'digest', '--secret-sha256', digest, '--config', served.file, '--url', adminUrl(served)],
      {},
    );
    // Without a configuration nothing is known of what it lets in.
    const unchecked = await importOf('unchecked', 'legacy-zzz', key);
    // Nor does one that nobody named have to be that of the instance at a URL that was said.
    const elsewhere = await importOf('elsewhere', 'legacy-yyy', key, { POSTERN_UPSTREAM: upstream.url });
    for (const { code, stderr } of [byDigest, unchecked, elsewhere]) {
      expect(code).toBe(0);
      for (const word of ['note:', 'tokens.peppers', 'tokens.accept_unkeyed', 'tokens.shapes']) {
        expect(stderr).toContain(word);
      }
    }
  });
});

describe('an admin API with a certificate of a private authority', () => {
  const listenText = (port: number, name: string): string =>
    `{ proxy: "127.0.0.1:0", admin: { address: "127.0.0.1:${port}", tls: { cert: ${name}.pem, key: ${name}-key.pem } }, telemetry: "127.0.0.1:0" }`;
  let served: Served;
  let port = 0;
  let own = '';
  beforeAll(async () => {
    own = path.join(folder, 'tls');
    await mkdir(own);
    // For localhost and for a name elsewhere, and not for 127.0.0.1, which the configuration makes the URL of.
    const openssl = (...args: string[]): Buffer => execFileSync('openssl', args, { cwd: own, stdio: 'pipe' });
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    openssl('req', '-x509', ...key, '-subj', '/CN=authority', '-days', '2', '-keyout', 'ca-key.pem', '-out', 'ca.pem');
    openssl('req', ...key, '-subj', '/CN=postern.internal', '-keyout', 'leaf-key.pem', '-out', 'leaf.csr');
    await writeFile(path.join(own, 'names'), 'subjectAltName=DNS:postern.internal,DNS:localhost\n');
    const signer = ['-CA', 'ca.pem', '-CAkey', 'ca-key.pem', '-CAcreateserial', '-extfile', 'names'];
    openssl('x509', '-req', '-in', 'leaf.csr', ...signer, '-days', '2', '-out', 'leaf.pem');
    port = await freePort();
    served = await Served.start({ config: plain(), folder: own, listen: listenText(port, 'leaf') });
  });
  afterAll(() => served.stop());

  test('is believed at its own address by who has its configuration', async () => {
    const { token } = await json(['token', 'create', '--config', served.file]);
    await works(['token', 'revoke', (token as { id: string }).id, '--config', served.file]);
  });

  test('is believed with --ca, under the names that it has', async () => {
    const env = { POSTERN_ADMIN_KEY: served.adminKey };
    const ca = ['--ca', path.join(own, 'ca.pem')];
    await works(['token', 'list', '--url', `https://localhost:${port}`, ...ca], env);
    const other = await command(['token', 'list', '--url', `https://127.0.0.1:${port}`, ...ca], { env });
    expect([other.code, other.stderr]).toEqual([1, expect.stringContaining('is for other names')]);
  });

  test('is not believed otherwise, and the message names --ca', async () => {
    const env = { POSTERN_ADMIN_KEY: served.adminKey };
    const { code, stderr } = await command(['token', 'list', '--url', `https://localhost:${port}`], { env });
    expect([code, stderr]).toEqual([1, expect.stringContaining('--ca')]);
    // Another instance's configuration that speaks of the same address is no reason to believe this one.
    const stranger = makeCertificate('stranger');
    await writeFile(path.join(own, 'other.pem'), stranger.cert);
    await writeFile(path.join(own, 'other-key.pem'), stranger.key, { mode: 0o600 });
    const file = path.join(own, 'other.yaml');
    await writeFile(file, `listen: ${listenText(port, 'other')}\n${plain()}`);
    const wrong = await command(['token', 'list', '--config', file]);
    expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining('--ca')]);
  });

  test('that is not believed never sees the key', async () => {
    const stranger = createServer(makeCertificate('stranger'));
    let seen = '';
    stranger.on('secureConnection', socket => {
      socket.setEncoding('latin1').on('data', (text: string) => {
        seen += text;
      });
      socket.on('error', () => {});
    });
    stranger.listen(0, '127.0.0.1');
    await once(stranger, 'listening');
    const { port: there } = stranger.address() as AddressInfo;
    const over = once(stranger, 'connection').then(([socket]) => once(socket as Socket, 'close'));
    const env = { POSTERN_ADMIN_KEY: keyOf('any') };
    const { code } = await command(['token', 'list', '--url', `https://127.0.0.1:${there}`], { env });
    await over;
    stranger.close();
    expect([code, seen]).toEqual([1, '']);
  });

  test.each([
    ['is not there', '/nowhere/ca.pem'],
    ['holds no certificate', import.meta.filename],
  ])('and a file of authorities that %s is told: 2', async (words, file) => {
    const env = { POSTERN_ADMIN_KEY: keyOf('any') };
    const { code, stderr } = await command(['token', 'list', '--url', 'https://localhost:1', '--ca', file], { env });
    expect([code, stderr]).toEqual([2, expect.stringContaining(`--ca ${file} ${words}`)]);
  });
});

describe('the log of a start', () => {
  test('says where it listens, what it protects, and where its store and configuration are', async () => {
    // Without random letters in its name, which a log takes for a secret.
    const own = path.join(tmpdir(), 'postern-started', String(process.pid));
    await mkdir(own, { recursive: true });
    const served = await Served.start({
      config: `upstreams: { u: { url: "${upstream.url}" }, v: { url: "https://[::1]:8443" } }\nroutes: [{ path: /**, upstream: u }]\ntoken_apis: [{ api: access-keys, mount: /api }, { api: api-tokens, mount: /, listen: proxy }]\n`,
      folder: own,
    });
    const { proxy, admin, telemetry } = served.ports;
    const { hash } = await json(['check', '--config', served.file]);
    expect(await served.said('listening')).toMatchObject({
      addresses: `proxy 127.0.0.1:${proxy}, admin 127.0.0.1:${admin}, telemetry 127.0.0.1:${telemetry}`,
      upstreams: `u ${upstream.url}, v https://[::1]:8443`,
      token_apis: 'access-keys /api (admin), api-tokens / (proxy)',
      store: path.join(own, 'data'),
      file: served.file,
      config: (hash as string).slice(0, 12),
    });
    const checked = await command(['check', '--config', served.file]);
    expect(checked.stdout).toMatch(/^token APIs +access-keys \/api \(admin\), api-tokens \/ \(proxy\)$/m);
    const made = await served.said('an admin key was made');
    expect(made).toMatchObject({ level: 'info', file: path.join(own, 'data/admin.key') });
    const unkeyed = 'tokens are kept under plain digests: no pepper is configured';
    expect(await served.said(unkeyed)).toMatchObject({ level: 'info' });
    expect(served.program.stdout).not.toContain(served.adminKey);
    await served.stop({ keep: true });

    // The second start makes no key; with a pepper nothing is said of digests.
    await writeFile(path.join(own, 'pepper'), keyOf('pepper'), { mode: 0o600 });
    const again = await Served.start({
      config: `${plain()}tokens: { peppers: [{ id: p1, key_file: pepper }] }\n`,
      folder: own,
    });
    await again.stop();
    const messages = again.program.lines.map(line => line['msg']);
    expect(messages).toContain('listening');
    for (const absent of ['an admin key was made', unkeyed]) expect(messages).not.toContain(absent);
  });
});

describe('a Node that is too old', () => {
  /** `src/main.ts` without anything that it imports: what an older Node could not read is not there at all. */
  async function mainAlone(): Promise<string> {
    const file = path.join(folder, 'main.mjs');
    await copyFile(path.join(root, 'src/main.ts'), file);
    return file;
  }

  test('is told by name, before anything else is read: 1', async () => {
    const older = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.19.0' } });`;
    const args = ['--import', `data:text/javascript,${encodeURIComponent(older)}`, await mainAlone(), 'serve'];
    const program = new Program(process.execPath, args);
    expect((await program.exited()).code).toBe(1);
    expect(program.stdout).toBe('');
    expect(program.stderr).toBe('postern needs Node 26 or later; this is Node 20.19.0\n');
  });

  test('also where this machine has one', async () => {
    const file = await mainAlone();
    for (const node of ['/usr/bin/node', '/usr/local/bin/node']) {
      const version = await versionOf(node);
      if (version === null || Number.parseInt(version, 10) >= 26) continue;
      const program = new Program(node, [file, 'version']);
      expect((await program.exited()).code).toBe(1);
      expect(program.stderr).toBe(`postern needs Node 26 or later; this is Node ${version}\n`);
    }
  });

  async function versionOf(node: string): Promise<string | null> {
    if (
      !(await readFile(node).then(
        () => true,
        () => false,
      ))
    )
      return null;
    return execFileSync(node, ['-p', 'process.versions.node'], { encoding: 'utf8' }).trim();
  }
});
