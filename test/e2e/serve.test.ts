import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../support/ports.ts';
import { command, Program, postern, root } from '../support/program.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { Served } from '../support/served.ts';

/** The executable: how it starts, what it says, and with which code it ends. */

const upstream = new RecordingUpstream();
let folder = '';
beforeAll(async () => {
  await upstream.listen();
  folder = await mkdtemp(path.join(tmpdir(), 'postern-serve-'));
});
afterAll(async () => {
  await Program.killAll();
  await rm(folder, { recursive: true, force: true });
  await upstream.close();
});

const plain = (): string => `upstreams: { u: { url: "${upstream.url}" } }\nroutes: [{ path: /** }]\n`;

describe('it does not start, and says why', () => {
  test('with a bad configuration: 2, and every problem with its place', async () => {
    const file = path.join(folder, 'bad.yaml');
    await writeFile(
      file,
      `listen: { proxy: ":99999" }
upstreams:
  u: { url: "http://127.0.0.1:3000/path" }
routes:
  - { path: /x, methds: [GET] }
  - { path: /y, upstream: w }
colour: red
`,
    );
    for (const command of ['serve', 'check']) {
      const { code, stdout, stderr } = await postern([command, '--config', file], { cwd: folder });
      expect([code, stdout]).toEqual([2, '']);
      const lines = stderr.trimEnd().split('\n');
      const places = lines.map(line => /^(.*?):(\d+):(\d+) ([^:]+): .+; allowed: .+$/.exec(line)?.slice(1, 5));
      expect(places.map(place => place?.slice(0, 2).join(':')).sort()).toEqual(
        [`${file}:1`, `${file}:3`, `${file}:5`, `${file}:6`, `${file}:7`].sort(),
      );
      expect(places.map(place => place?.[3]).sort()).toEqual(
        ['colour', 'listen.proxy.address', 'routes[0].methds', 'routes[1].upstream', 'upstreams.u.url'].sort(),
      );
    }
  });

  test.each([
    ['without a configuration', ['serve'], 'no configuration'],
    ['with a file that is not there', ['serve', '--config', '/nowhere/postern.yaml'], '/nowhere/postern.yaml'],
    ['with an option that is none', ['serve', '--port', '80'], '--port'],
    ['with two configurations', ['serve', '--config', 'x', '--upstream', 'http://a'], 'exclude each other'],
    ['with an upstream that is no URL', ['serve', '--upstream', 'a'], '--upstream'],
    ['with a command that is none', ['sevre'], 'serve'],
    ['with an argument too many', ['version', 'x'], 'takes no arguments'],
    ['with a subcommand that is none', ['token', 'mint'], 'create'],
  ])('%s: 2', async (_, args, words) => {
    const { code, stdout, stderr } = await command(args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain(words);
    expect(stderr).not.toMatch(/at .*\.ts:\d+|node:internal/);
  });

  test('with a store that another process has open: 1', async () => {
    const first = await Served.start({ config: plain() });
    const file = path.join(first.folder, 'second.yaml');
    const listen = 'listen: { proxy: "127.0.0.1:0", admin: "127.0.0.1:0", telemetry: "127.0.0.1:0" }\n';
    await writeFile(file, listen + plain());
    const { code, stderr } = await postern(['serve', '--config', file]);
    expect(code).toBe(1);
    expect(stderr).toContain('in use');
    expect(stderr).toContain(path.join(first.folder, 'data'));
    // The first one is none the worse, and a third one gets it when it has gone, even by force.
    expect(await first.status('/x', null)).toBe(401);
    await first.program.kill();
    const third = await Served.start({ config: plain(), folder: first.folder });
    expect(third.adminKey).toBe(first.adminKey);
    await third.stop();
  });

  test.each(['proxy', 'admin', 'telemetry'])(
    'with the port of %s taken: 1, and the store is free again',
    async name => {
      const taken = createServer();
      await new Promise<void>(resolve => taken.listen(0, '127.0.0.1', resolve));
      const { port } = taken.address() as { port: number };
      const own = await mkdtemp(path.join(folder, 'taken-'));
      const file = path.join(own, 'postern.yaml');
      const ports = { proxy: 0, admin: 0, telemetry: 0, [name]: port };
      const listen = Object.entries(ports).map(([key, value]) => `${key}: "127.0.0.1:${value}"`);
      await writeFile(file, `listen: { ${listen.join(', ')} }\n${plain()}`);
      const { code, stdout, stderr } = await postern(['serve', '--config', file]);
      expect(code).toBe(1);
      expect(stderr).toBe(`postern: 127.0.0.1:${port} is in use by another process\n`);
      expect(stdout).not.toContain('listening');
      taken.close();
      const served = await Served.start({ config: plain(), folder: own });
      await served.stop();
    },
  );

  test('with a token declared for an account that does not exist: 2', async () => {
    const file = path.join(folder, 'owner.yaml');
    await writeFile(
      file,
      `${plain()}tokens:\n  declared:\n    - { id: ci, secret_sha256: "${'ab'.repeat(32)}", owner: nobody }\nstore: { path: ./owner-data }\n`,
    );
    const { code, stderr } = await postern(['serve', '--config', file]);
    expect(code).toBe(2);
    expect(stderr).toContain(`${file}:5`);
  });
});

describe('the admin key', () => {
  test('is made with the first start for its owner alone, and used again by the next', async () => {
    const first = await Served.start({ config: plain() });
    const file = path.join(first.folder, 'data/admin.key');
    const { mode } = await stat(file);
    expect(mode & 0o777).toBe(0o600);
    const text = await readFile(file, 'utf8');
    expect(text).toMatch(/^[!-~]{32,}\n$/);
    expect((await first.admin('GET', '/v1/tokens')).status).toBe(200);
    await first.stop({ keep: true });
    const second = await Served.start({ config: plain(), folder: first.folder });
    expect(await readFile(file, 'utf8')).toBe(text);
    expect((await second.admin('GET', '/v1/tokens')).status).toBe(200);
    await second.stop();
  });

  test('is not made where one is configured', async () => {
    const key = 'a-key-of-ours-0123456789abcdefghijklmnop';
    const served = await Served.start({
      config: `${plain()}admin: { keys: [{ name: ops, role: admin, key: "\${OPS_KEY}" }] }\n`,
      env: { OPS_KEY: key },
    });
    await expect(stat(path.join(served.folder, 'data/admin.key'))).rejects.toThrow('ENOENT');
    served.adminKey = key;
    expect((await served.admin('GET', '/v1/tokens')).status).toBe(200);
    await served.stop();
  });
});

describe('without a file', () => {
  /** Runs `serve` in a folder of its own, and waits until it listens. */
  async function start(
    args: string[],
    env: Record<string, string>,
  ): Promise<{ program: Program; cwd: string; proxy: number }> {
    const cwd = await mkdtemp(path.join(folder, 'nofile-'));
    const program = Program.postern(['serve', ...args], { cwd, env });
    await program.until(({ stdout }) => stdout.includes('"listening"'), 'listening');
    return { program, cwd, proxy: Number(program.lines.find(line => line['msg'] === 'listening')!['proxy']) };
  }

  const anyPorts = {
    POSTERN_LISTEN_PROXY: '127.0.0.1:0',
    POSTERN_LISTEN_ADMIN: '127.0.0.1:0',
    POSTERN_LISTEN_TELEMETRY: '127.0.0.1:0',
  };

  test.each([
    ['--upstream', ['--upstream'], {}],
    ['POSTERN_UPSTREAM', [], { POSTERN_UPSTREAM: '' }],
  ])('%s is enough: every path needs a token, and the store stands in the working folder', async (_, args, env) => {
    const url = upstream.url;
    const { program, cwd, proxy } = await start(
      args.length === 0 ? [] : [...args, url],
      args.length === 0 ? { ...anyPorts, ...env, POSTERN_UPSTREAM: url } : anyPorts,
    );
    const key = (await readFile(path.join(cwd, 'data/admin.key'), 'utf8')).trimEnd();
    const admin = program.lines.find(line => line['msg'] === 'listening')!['admin'];
    const target = { POSTERN_ADMIN_URL: `http://127.0.0.1:${admin}`, POSTERN_ADMIN_KEY: key };
    const made = await postern(['token', 'create', '--json'], { env: target });
    const { secret } = JSON.parse(made.stdout) as { secret: string };
    const statusOf = async (headers: Record<string, string>): Promise<number> =>
      (await fetch(`http://127.0.0.1:${proxy}/any/path`, { headers })).status;
    expect(await statusOf({})).toBe(401);
    expect(await statusOf({ Authorization: `Bearer ${secret}` })).toBe(200);
    program.signal('SIGINT');
    expect((await program.exited()).code).toBe(0);
  });

  test('variables say where the store is, and a bad one is told by its name', async () => {
    const store = path.join(folder, 'elsewhere');
    const { program, cwd } = await start([], { ...anyPorts, POSTERN_UPSTREAM: upstream.url, POSTERN_STORE_URL: store });
    expect((await stat(path.join(store, 'admin.key'))).isFile()).toBe(true);
    await expect(stat(path.join(cwd, 'data'))).rejects.toThrow('ENOENT');
    program.signal('SIGINT');
    await program.exited();
    const { code, stderr } = await postern(['serve'], {
      env: { POSTERN_UPSTREAM: 'ftp://x', POSTERN_LISTEN_PROXY: 'nowhere', POSTERN_STORE_URL: 'mysql://x' },
    });
    expect(code).toBe(2);
    for (const name of ['POSTERN_UPSTREAM', 'POSTERN_LISTEN_PROXY', 'POSTERN_STORE_URL'])
      expect(stderr).toContain(name);
  });
});

describe('commands beside it', () => {
  let served: Served;
  let env: Record<string, string>;
  beforeAll(async () => {
    served = await Served.start({ config: plain() });
    env = { POSTERN_ADMIN_URL: `http://127.0.0.1:${served.ports.admin}`, POSTERN_ADMIN_KEY: served.adminKey };
  });
  afterAll(() => served.stop());

  /** Runs a command that works, for people or (with --json) for programs. */
  async function works(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await command(args, { env });
    expect([args.join(' '), code, stderr]).toEqual([args.join(' '), 0, '']);
    return stdout;
  }
  const json = async (...args: string[]): Promise<Record<string, unknown>> =>
    JSON.parse(await works(...args, '--json')) as Record<string, unknown>;

  test('manage a token through its life', async () => {
    const text = await works(
      'token',
      'create',
      '--name',
      'ci',
      '--permission',
      'api',
      '--tag',
      'a',
      '--expires-in',
      '1h',
    );
    const secret = /^secret\s+(\S+)$/m.exec(text)![1]!;
    const id = /^id\s+(\S+)$/m.exec(text)![1]!;
    expect(text).toMatch(/^name\s+ci$/m);
    expect(text).toContain('the only time');
    expect(await served.status('/x', secret)).toBe(200);

    const [shown, listed, table] = await Promise.all([
      json('token', 'show', id),
      json('token', 'list', '--tag', 'a'),
      works('token', 'list'),
    ]);
    expect(shown).toMatchObject({ id, name: 'ci', permissions: ['api'], tags: ['a'], state: 'enabled' });
    expect((listed['tokens'] as { id: string }[]).map(token => token.id)).toEqual([id]);
    expect(table.split('\n')[0]).toMatch(
      /^ID\s+NAME\s+OWNER\s+STATE\s+HINT\s+PERMISSIONS\s+LIMITS\s+EXPIRES_AT\s+LAST_USED_AT$/,
    );
    expect(table).toMatch(new RegExp(`^${id}\\s+ci\\s+-\\s+enabled\\s+pst_`, 'm'));
    expect(table).not.toContain(secret);

    expect(await json('token', 'update', id, '--name', 'cd', '--permission', 'api', '--permission', 'x')).toMatchObject(
      {
        name: 'cd',
        permissions: ['api', 'x'],
      },
    );
    await works('token', 'disable', id);
    expect(await served.status('/x', secret)).toBe(401);
    await works('token', 'enable', id);
    expect(await served.status('/x', secret)).toBe(200);
    const rotated = await json('token', 'rotate', id);
    expect([await served.status('/x', secret), await served.status('/x', rotated['secret'] as string)]).toEqual([
      401, 200,
    ]);
    const usage = await json('token', 'usage', id);
    expect(usage).toMatchObject({ total: { allowed: 3 } });
    expect(await works('token', 'usage', id)).toMatch(/^allowed\s+3$/m);
    expect(await works('token', 'revoke', id)).toMatch(/^state\s+revoked$/m);
    expect(await served.status('/x', rotated['secret'] as string)).toBe(401);
    expect((await json('token', 'list', '--state', 'revoked'))['tokens']).toHaveLength(1);
  });

  test('import a secret that exists, by its digest or from standard input', async () => {
    const { code, stdout } = await postern(['token', 'import', 'known', '--secret-stdin', '--json'], {
      env,
      input: 'pst_not-really-one\n',
    });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ id: 'known', hint: null });
    const both = await postern(['token', 'import', 'known', '--secret-stdin', '--secret-sha256', 'ab'], {
      env,
      input: 'x',
    });
    expect(both.code).toBe(2);
  });

  test('manage an account', async () => {
    expect(await json('account', 'create', '--id', 'acme', '--name', 'Acme')).toMatchObject({
      id: 'acme',
      enabled: true,
    });
    const { secret } = (await json('token', 'create', '--owner', 'acme')) as { secret: string };
    await works('account', 'disable', 'acme');
    expect(await served.status('/x', secret)).toBe(401);
    await works('account', 'enable', 'acme');
    expect(await served.status('/x', secret)).toBe(200);
    expect(await works('account', 'list')).toMatch(/^acme\s+Acme\s+true\s/m);
    expect(await json('token', 'revoke', '--owner', 'acme')).toMatchObject({ revoked: 1 });
    expect(await served.status('/x', secret)).toBe(401);
    await works('account', 'delete', 'acme');
    expect((await command(['account', 'show', 'acme'], { env })).code).toBe(1);
  });

  test.each([
    [['token', 'show', 'tok_nobody'], 1, 'not_found (404)'],
    [['token', 'create', '--owner', 'nobody'], 1, 'validation_failed (422)'],
    [['token', 'create', '--expires-in', 'soon'], 2, 'no duration'],
    [['token', 'update', 'x'], 2, 'nothing to change'],
    [['token', 'revoke'], 2, 'name a token'],
    [['token', 'show'], 2, 'takes ID'],
    [['account', 'create', '--id', '-'], 1, 'validation_failed (422)'],
  ])('%j ends with %i and says %j', async (args, code, words) => {
    const ended = await command(args, { env });
    expect([ended.code, ended.stdout]).toEqual([code, '']);
    expect(ended.stderr).toContain(words);
  });

  test('an instance that does not answer, and a key that is none, are told apart', async () => {
    const nobody = `http://127.0.0.1:${await freePort()}`;
    const gone = await postern(['token', 'list'], { env: { ...env, POSTERN_ADMIN_URL: nobody } });
    expect([gone.code, gone.stderr]).toEqual([1, `postern: no answer from ${nobody}: ECONNREFUSED\n`]);
    const wrong = await command(['token', 'list'], { env: { ...env, POSTERN_ADMIN_KEY: 'x'.repeat(40) } });
    expect([wrong.code, wrong.stderr]).toMatchObject([1, expect.stringContaining('unauthenticated (401)')]);
    const none = await postern(['token', 'list'], {
      cwd: folder,
      env: { POSTERN_ADMIN_URL: env['POSTERN_ADMIN_URL']! },
    });
    expect([none.code, none.stderr]).toMatchObject([2, expect.stringContaining('no admin key')]);
  });

  test('healthcheck tells a ready instance from one that is not there', async () => {
    const url = served.telemetry;
    const ready = await postern(['healthcheck', '--url', url]);
    expect([ready.code, JSON.parse(ready.stdout)]).toEqual([0, { ready: true, missing: [] }]);
    expect((await command(['healthcheck', '--live', '--url', url])).code).toBe(0);
    const gone = await postern(['healthcheck', '--url', `http://127.0.0.1:${await freePort()}`]);
    expect(gone.code).toBe(1);
    expect((await command(['healthcheck', '--url', '//nowhere'])).code).toBe(2);
  });

  test('check tells what a configuration means, and that it is good', async () => {
    const text = await works('check', '--config', served.file);
    expect(text).toMatch(/^configuration\s.*is good/m);
    expect(text).toMatch(/^revocation\s/m);
    const parsed = await json('check', '--config', served.file);
    expect(parsed).toMatchObject({ ok: true, bounds: { connected: 5, cut_off: 5 } });
    const bad = path.join(folder, 'worse.yaml');
    await writeFile(bad, 'routes: []\n');
    const { code, stdout } = await postern(['check', '--config', bad, '--json']);
    expect([code, (JSON.parse(stdout) as { ok: boolean }).ok]).toEqual([2, false]);
  });

  test('version, help and the schema need nothing', async () => {
    const { version } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as { version: string };
    const empty = path.join(folder, 'empty');
    await mkdir(empty);
    const [plainVersion, jsonVersion, short, help, overview, schema] = await Promise.all(
      [
        ['version'],
        ['version', '--json'],
        ['--version'],
        ['token', 'create', '--help'],
        ['--help'],
        ['config', 'schema'],
      ].map(args => postern(args, { cwd: empty })),
    );
    for (const each of [plainVersion!, jsonVersion!, short!, help!, overview!, schema!]) expect(each.code).toBe(0);
    expect(plainVersion!.stdout).toBe(`${version}\n`);
    expect(JSON.parse(jsonVersion!.stdout)).toMatchObject({ version });
    expect(short!.stdout).toBe(`${version}\n`);
    expect(help!.stdout).toContain('--expires-in');
    for (const command of [
      'serve',
      'demo',
      'check',
      'drain',
      'healthcheck',
      'token',
      'account',
      'role',
      'config',
      'version',
    ]) {
      expect(overview!.stdout).toMatch(new RegExp(`^ {2}${command} `, 'm'));
    }
    expect(schema!.stdout).toBe(await readFile(path.join(root, 'config/schema.json'), 'utf8'));
  });
});
