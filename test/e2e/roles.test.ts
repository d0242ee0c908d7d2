import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { command, mainFile, Program, root } from '../support/program.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { Served } from '../support/served.ts';

/** Accounts and roles from the command line, and what they mean for requests: from the next one on. */

const upstream = new RecordingUpstream();
let served: Served;
let env: Record<string, string>;

beforeAll(async () => {
  await upstream.listen();
  served = await Served.start({
    config: `
upstreams: { u: { url: "${upstream.url}" } }
routes:
  - { path: /get, require: "w:get" }
  - { path: /delete, require: "w:delete" }
  - { path: "/db/{name}", require: "db.get", resource: "db/{name}" }
  - { path: /widgets, methods: [GET], require: "widgets:read" }
  - { path: /gone, require: "widgets:delete" }
guard: { failures: 0 }
store: { kind: embedded, path: ./data, deadline: 5s }
`,
  });
  env = { POSTERN_ADMIN_URL: `http://127.0.0.1:${served.ports.admin}`, POSTERN_ADMIN_KEY: served.adminKey };
});
afterAll(async () => {
  await Program.killAll();
  await served.remove();
  await upstream.close();
});

/** Runs a command that works without a word on standard error. */
async function works(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await command(args, { env });
  expect([args.join(' '), code, stderr]).toEqual([args.join(' '), 0, '']);
  return stdout;
}
const json = async (...args: string[]): Promise<Record<string, unknown>> =>
  JSON.parse(await works(...args, '--json')) as Record<string, unknown>;

/** Whether a token may get and delete. */
const may = async (secret: string): Promise<string> => {
  const statuses = [await served.status('/get', secret), await served.status('/delete', secret)];
  return statuses.map(status => (status === 200 ? 'yes' : status === 403 ? 'no' : String(status))).join(' ');
};
const mint = async (...args: string[]): Promise<string> => (await json('token', 'create', ...args))['secret'] as string;
const rolesNow = async (): Promise<string[]> =>
  ((await json('role', 'list'))['roles'] as { id: string }[]).map(({ id }) => id);

describe('roles from the command line', () => {
  test('are made, shown, listed in their order, changed and deleted', async () => {
    expect(await json('role', 'create', '--id', 'viewer', '--name', 'Viewer', '--permission', 'w:get')).toMatchObject({
      id: 'viewer',
      name: 'Viewer',
      permissions: ['w:get'],
      position: 0,
    });
    const grants = [{ resources: ['w/*'], actions: { 'w:*': true, 'w:delete': false } }];
    const made = await json('role', 'create', '--permissions', JSON.stringify(grants));
    expect(made).toMatchObject({ permissions: grants, position: 1 });
    const id = made['id'] as string;
    expect(await works('role', 'show', 'viewer')).toMatch(/^id +viewer\nname +Viewer\npermissions +\["w:get"\]$/m);
    const lines = (await works('role', 'list')).trimEnd().split('\n');
    expect(lines[0]).toMatch(/^POSITION +ID +NAME +PERMISSIONS$/);
    expect(lines.slice(1).map(line => line.split(/ +/).slice(0, 2))).toEqual([
      ['0', 'viewer'],
      ['1', id],
    ]);
    // Whatever was there is replaced by what is said.
    for (const [args, permissions] of [
      [['--permission', 'a', '--deny', 'b'], { a: true, b: false }],
      [['--deny', 'c', '--permission', 'a'], { c: false, a: true }],
      [['--permissions', '{"d": true}'], { d: true }],
      [['--permissions', JSON.stringify(grants)], grants],
      [['--permission', 'a', '--deny', 'b'], { a: true, b: false }],
      [['--permission='], []],
    ] as const) {
      expect(await json('role', 'update', id, ...args)).toMatchObject({ permissions });
    }
    expect(await json('role', 'update', id, '--name', 'N')).toMatchObject({ name: 'N', permissions: [] });
    expect(await works('role', 'order', id, 'viewer')).toMatch(new RegExp(`^0 +${id} +N .*\n1 +viewer `, 'm'));
    expect(await rolesNow()).toEqual([id, 'viewer']);
    await works('role', 'delete', id);
    await works('role', 'delete', id);
    await works('role', 'delete', 'viewer');
    expect(await rolesNow()).toEqual([]);
  });

  test.each([
    [['role', 'create', '--id', 'order'], 1, '/id'],
    [['role', 'create', '--permissions', 'inherit'], 1, '/permissions'],
    [['role', 'create', '--permissions', '{a: true}'], 2, '--permissions is not JSON'],
    [['role', 'create', '--permissions', '{"a":true,"a":false}'], 2, '--permissions is not JSON'],
    [['role', 'create', '--permissions', '7'], 2, 'neither a list nor a map'],
    [['role', 'create', '--permissions', '[]', '--deny', 'a'], 2, 'exclude each other'],
    [['role', 'create', '--permissions', '[{"resources":["a"]}]'], 1, '/permissions/0/actions: is missing'],
    [['role', 'update', 'nobody'], 2, 'nothing to change'],
    [['role', 'update', 'nobody', '--name', 'x'], 1, 'not_found (404)'],
    [['role', 'order'], 2, 'takes ID…'],
    [['role', 'order', 'x'], 1, '/order/0: is no role'],
    [['role', 'show', 'a', 'b'], 2, 'takes ID'],
    [['role', 'delete', 'nobody'], 1, 'not_found (404)'],
    [['account', 'create', '--role', 'nobody'], 1, '/roles/0: does not exist'],
    [['account', 'create', '--owns', 'a//b'], 1, '/owns/0'],
    [['account', 'update', 'nobody'], 2, 'nothing to change'],
    [['token', 'create', '--permissions', 'inherit'], 1, '/permissions: is "inherit"'],
    [['token', 'create', '--mode', 'off'], 1, '/mode'],
  ] as [string[], number, string][])('%j ends with %i and says why', async (args, code, words) => {
    const ran = await command(args, { env });
    expect([ran.code, ran.stdout, ran.stderr]).toEqual([code, '', expect.stringContaining(words)]);
  });

  test('help names every command and option', async () => {
    expect(await works('role', '--help')).toMatch(/ create .* list .* show .* update .* delete .* order /s);
    for (const [words, options] of [
      [
        ['role', 'create'],
        ['--id', '--name', '--permission', '--deny', '--permissions'],
      ],
      [
        ['account', 'update'],
        ['--role', '--owns', '--permissions'],
      ],
      [
        ['token', 'update'],
        ['--mode', '--permissions', 'inherit'],
      ],
    ] as const) {
      const help = await works(...words, '--help');
      for (const option of options) expect(help).toContain(option);
    }
  });
});

describe('accounts from the command line', () => {
  test('get roles, permissions and what they own, and each is replaced by what is said', async () => {
    await works('role', 'create', '--id', 'a');
    await works('role', 'create', '--id', 'b');
    const words = ['--id', 'acme', '--role', 'a', '--role', 'b', '--permission', 'x', '--owns', 'db/*', '--owns', 'y'];
    expect(await json('account', 'create', ...words)).toMatchObject({
      roles: ['a', 'b'],
      permissions: ['x'],
      owns: ['db/*', 'y'],
    });
    expect(await works('account', 'show', 'acme')).toMatch(/^roles +a, b\npermissions +x\nowns +db\/\*, y$/m);
    expect(await works('account', 'list')).toMatch(/^acme .* a, b /m);
    expect(await json('account', 'update', 'acme', '--role', 'b', '--name', 'N')).toMatchObject({
      name: 'N',
      roles: ['b'],
      permissions: ['x'],
    });
    const refused = await command(['role', 'delete', 'b'], { env });
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('acme')]);
    expect(await json('account', 'update', 'acme', '--role=', '--owns=', '--deny', 'z')).toMatchObject({
      roles: [],
      permissions: { z: false },
      owns: [],
    });
    expect(await json('account', 'update', 'acme', '--permission', 'q', '--deny', 'r')).toMatchObject({
      permissions: { q: true, r: false },
    });
    for (const id of ['a', 'b']) await works('role', 'delete', id);
    await works('account', 'delete', 'acme');
  });

  test('tokens take permissions in every form, and a mode', async () => {
    await works('account', 'create', '--id', 'forms');
    const { token } = await json('token', 'create', '--owner', 'forms', '--permissions', 'inherit', '--mode', 'shadow');
    expect(token).toMatchObject({ permissions: 'inherit', mode: 'shadow' });
    const { id } = token as { id: string };
    expect(await works('token', 'show', id)).toMatch(/^mode +shadow\npermissions +inherit$/m);
    for (const [args, members] of [
      [['--permission', 'a', '--deny', 'b'], { permissions: { a: true, b: false } }],
      [['--permissions', 'inherit', '--mode', 'enforce'], { permissions: 'inherit', mode: 'enforce' }],
      [['--deny', 'b'], { permissions: { b: false } }],
      [['--permissions', '[{"resources":["x"],"actions":{"a":true}}]'], { permissions: [{ resources: ['x'] }] }],
      [['--permissions', '{"c":true}'], { permissions: { c: true } }],
    ] as const) {
      expect(await json('token', 'update', id, ...args)).toMatchObject(members);
    }
    expect((await json('token', 'update', id, '--permissions', '{"d":true}'))['permissions']).toEqual({ d: true });
  });
});

describe('what a request may do changes with the next one', () => {
  test('with the roles of its account, what is in them, and their order', async () => {
    await works('role', 'create', '--id', 'reader', '--permission', 'w:get');
    await works('role', 'create', '--id', 'keeper', '--deny', 'w:delete');
    await works('role', 'create', '--id', 'writer', '--permission', 'w:*');
    await works('account', 'create', '--id', 'team', '--role', 'reader');
    const inherits = await mint('--owner', 'team', '--permissions', 'inherit');
    const all = await mint('--owner', 'team', '--permission', '*');
    const some = await mint('--owner', 'team', '--permission', 'w:delete');
    const now = async (): Promise<string[]> => [await may(inherits), await may(all), await may(some)];
    expect(await now()).toEqual(['yes no', 'yes no', 'no no']);
    await works('account', 'update', 'team', '--role', 'reader', '--role', 'keeper', '--role', 'writer');
    expect(await now()).toEqual(['yes yes', 'yes yes', 'no yes']);
    await works('role', 'order', 'reader', 'writer', 'keeper');
    expect(await now()).toEqual(['yes no', 'yes no', 'no no']);
    await works('role', 'update', 'keeper', '--deny', 'w:get');
    expect(await now()).toEqual(['no yes', 'no yes', 'no yes']);
    // Its own grants come after all roles.
    await works('account', 'update', 'team', '--permission', 'w:get');
    expect(await now()).toEqual(['yes yes', 'yes yes', 'no yes']);
    await works('account', 'update', 'team', '--role=', '--permission=');
    expect(await now()).toEqual(['no no', 'no no', 'no no']);
  });

  test('with the permissions of its account, from the first that it is given, and never without them again', async () => {
    await works('account', 'create', '--id', 'late');
    const all = await mint('--owner', 'late', '--permission', '*');
    const inherits = await mint('--owner', 'late', '--permissions', 'inherit');
    const now = async (): Promise<string[]> => [await may(all), await may(inherits)];
    // An account that was never given any bounds nothing, and passes nothing on.
    expect(await now()).toEqual(['yes yes', 'no no']);
    await works('account', 'update', 'late', '--permission', 'w:get');
    expect(await now()).toEqual(['yes no', 'yes no']);
    await served.admin('PATCH', '/v1/accounts/late', { permissions: null });
    expect(await now()).toEqual(['no no', 'no no']);
  });
});

test('what an account owns bounds * from the next request on, for what it permits and for its tokens', async () => {
  await works('account', 'create', '--id', 'owner', '--permission', 'db.*');
  const all = await mint('--owner', 'owner', '--permission', '*');
  const inherits = await mint('--owner', 'owner', '--permissions', 'inherit');
  const one = JSON.stringify([{ resources: ['db/a'], actions: { 'db.get': true } }]);
  const named = await mint('--owner', 'owner', '--permissions', one);
  const now = async (): Promise<string[]> => {
    const rows = [all, inherits, named].map(async secret => {
      const statuses = [await served.status('/db/a', secret), await served.status('/db/b', secret)];
      return statuses.map(status => (status === 200 ? 'yes' : status === 403 ? 'no' : String(status))).join(' ');
    });
    return Promise.all(rows);
  };
  expect(await now()).toEqual(['yes yes', 'yes yes', 'yes no']);
  await works('account', 'update', 'owner', '--owns', 'db/b');
  expect(await now()).toEqual(['no yes', 'no yes', 'no no']);
  await works('account', 'update', 'owner', '--owns', 'db/*');
  expect(await now()).toEqual(['yes yes', 'yes yes', 'yes no']);
  await works('account', 'update', 'owner', '--owns=');
  expect(await now()).toEqual(['no no', 'no no', 'no no']);
  // A grant that names a resource reaches it whoever owns it, if the account has one as well.
  await works('account', 'update', 'owner', '--permissions', one);
  expect(await now()).toEqual(['no no', 'yes no', 'yes no']);
  await served.admin('PATCH', '/v1/accounts/owner', { owns: null });
  expect(await now()).toEqual(['yes no', 'yes no', 'yes no']);
});

test('the commands of the README do what they say', async () => {
  for (const id of await rolesNow()) {
    // Nobody has them any more but accounts of the tests above.
    const { accounts } = await json('account', 'list');
    for (const account of accounts as { id: string }[]) await works('account', 'update', account.id, '--role=');
    await works('role', 'delete', id);
  }
  const readme = await readFile(path.join(root, 'README.md'), 'utf8');
  const section = readme.split(/^## /m).find(text => text.startsWith('Permissions, accounts, roles')) ?? '';
  const lines = /```sh\n(.*?)```/s.exec(section)?.[1]?.trimEnd().split('\n') ?? [];
  const run = (line: string): string =>
    execFileSync('sh', ['-c', `postern() { "${process.execPath}" "${mainFile}" "$@"; }; ${line}`], {
      env: { ...process.env, ...env },
      encoding: 'utf8',
    });
  const said = lines.slice(0, -1).map(run).join('');
  const secret = /^secret +(\S+)$/m.exec(said)?.[1] ?? '';
  const may = async () => [await served.status('/widgets', secret), await served.status('/gone', secret)];
  expect(await may()).toEqual([200, 403]);
  run(lines.at(-1)!);
  expect(await may()).toEqual([200, 200]);
  const grants = /```json\n(.*?)```/s.exec(section)?.[1] ?? '';
  expect((await json('token', 'create', '--permissions', grants))['token']).toMatchObject({
    permissions: JSON.parse(grants) as unknown,
  });
});
