import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openEmbeddedStore } from '../../src/stores/embedded/open.ts';
import { beginEmbedded } from '../../src/stores/embedded/target.ts';
import { openRedisStore } from '../../src/stores/redis/open.ts';
import { dumpChanges } from '../../src/stores/redis/scripts/dump.ts';
import { finishFilling } from '../../src/stores/redis/scripts/fill.ts';
import type { Store } from '../../src/stores/store.ts';
import { aToken } from '../contract/harness.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { freePort } from '../support/ports.ts';
import { command, mainFile, Program, postern } from '../support/program.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { RedisServer } from '../support/redis.ts';
import { RespProxy } from '../support/resp-proxy.ts';
import { configText, Served } from '../support/served.ts';
import { contentsOf, furnish } from '../support/transfer.ts';

/** Backups, restores and moves, as they are run. */

const upstream = new RecordingUpstream();
const pepper = randomBytes(32).toString('hex');
const key = randomBytes(32).toString('hex');
let redis: RedisServer;
let folder: string;

beforeAll(async () => {
  redis = await RedisServer.start();
  await upstream.listen();
});
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'postern-store-'));
  await redis.client().flushall();
});
afterEach(async () => {
  await Program.killAll();
  await rm(folder, { recursive: true, force: true });
});
afterAll(async () => {
  await RedisServer.stopAll();
  await upstream.close();
});

const common = (): string => `
upstreams: { u: { url: "${upstream.url}" } }
routes: [{ path: /api/**, require: api }]
tokens: { peppers: [{ id: p1, key: "${pepper}" }] }
log: { access: none }
`;
const embedded = (): string => `${common()}store: { kind: embedded, path: ./data }\n`;
const onRedis = (): string =>
  `${common()}admin: { keys: [{ name: ops, role: admin, key: "${key}" }] }
store: { kind: redis, url: "redis://127.0.0.1:${redis.endpoint.port}/0" }\n`;

const inFolder = (name: string): string => path.join(folder, name);

/** A configuration file in the test's folder. */
function written(name: string, config: string): string {
  const file = inFolder(name);
  writeFileSync(file, configText({ config }));
  return file;
}

/** What a store holds, when nobody serves from it. */
async function contents(open: () => Promise<Store>): Promise<readonly string[]> {
  const store = await open();
  try {
    return await contentsOf(store.transfer);
  } finally {
    await store.close();
  }
}

const clock = new ManualClock(Date.now());
const openFolder = (name: string) => () => openEmbeddedStore({ folder: inFolder(name), clock, create: false });
const openServer = () => openRedisStore({ endpoint: redis.endpoint, clock, create: false });

/** A store in a folder with one of everything, and as many more tokens as are asked for. */
async function furnished(name: string, more = 0): Promise<readonly string[]> {
  const many = beginEmbedded(inFolder(name), clock);
  await many.add(Array.from({ length: more }, (_, i) => ({ kind: 'token', token: aToken(`more-${i}`) })));
  await many.finish();
  const store = await openEmbeddedStore({ folder: inFolder(name), clock });
  await furnish({
    ...store,
    clock,
    limitTime: () => Promise.reject(),
    reopen: () => Promise.reject(),
    dispose: async () => {},
  });
  const held = await contentsOf(store.transfer);
  await store.close();
  return held;
}

async function backupOf(name: string): Promise<string> {
  const file = inFolder(`${name}.jsonl`);
  const config = written(`${name}.yaml`, embedded().replace('./data', `./${name}`));
  expect(await command(['store', 'backup', file, '--config', config])).toMatchObject({ code: 0, stderr: '' });
  return file;
}

describe('a backup', () => {
  test('is taken of a store that is served from and written to, and holds all that was acknowledged before', async () => {
    const [proxy, admin, telemetry] = [await freePort(), await freePort(), await freePort()];
    const listen = `{ proxy: "127.0.0.1:${proxy}", admin: "127.0.0.1:${admin}", telemetry: "127.0.0.1:${telemetry}" }`;
    const served = await Served.start({ config: embedded(), folder, listen });
    const before: { id: string; secret: string }[] = [];
    const lane = async (): Promise<void> => {
      for (let i = 0; i < 25; i++) before.push(await served.mint({ permissions: ['api'], tags: [`t${i}`] }));
    };
    await Promise.all([lane(), lane(), lane(), lane()]);
    const revoked = before.splice(0, 10);
    for (const { id } of revoked) await served.admin('DELETE', `/v1/tokens/${id}`);
    for (const { secret } of before.slice(0, 5)) expect(await served.status('/api/x', secret)).toBe(200);
    await served.admin('GET', `/v1/tokens/${before[0]!.id}/usage`);

    let going = true;
    const writing = (async () => {
      while (going) await served.mint({ name: 'meanwhile' });
    })();
    const file = inFolder('backup.jsonl');
    const ran = await postern(['store', 'backup', file, '--config', served.file]);
    going = false;
    await writing;
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    expect(ran.stdout).toMatch(/tokens/);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const text = readFileSync(file, 'utf8');
    for (const { secret } of [...before, ...revoked]) expect(text).not.toContain(secret);
    for (const secret of [pepper, served.adminKey]) expect(text).not.toContain(secret);
    expect(await command(['store', 'check', '--config', served.file])).toMatchObject({ code: 0 });
    const used = await served.admin('GET', `/v1/tokens/${before[0]!.id}/usage?step=1d`);
    await served.stop({ keep: true });

    // Restored, it is what was served from.
    const config = written('restored.yaml', embedded().replace('./data', './restored'));
    expect(await command(['store', 'migrate', '--from', file, '--to', config])).toMatchObject({ code: 0, stderr: '' });
    const other = inFolder('other');
    expect(await command(['store', 'migrate', '--from', file, '--to', other])).toMatchObject({ code: 0 });
    expect(await contents(openFolder('restored'))).toEqual(await contents(openFolder('other')));
    const again = await Served.start({ config: embedded().replace('./data', './restored'), folder });
    again.adminKey = readFileSync(inFolder('restored/admin.key'), 'utf8').trim();
    for (const { secret } of before) expect(await again.status('/api/x', secret)).toBe(200);
    for (const { secret } of revoked) expect(await again.status('/api/x', secret)).toBe(401);
    const { total } = (await again.admin('GET', `/v1/tokens/${before[9]!.id}/usage?step=1d`)).body as { total: object };
    expect(total).toMatchObject({ allowed: 1 });
    const events = await again.admin('GET', `/v1/tokens/${revoked[0]!.id}/events`);
    expect((events.body['events'] as { action: string }[]).map(({ action }) => action)).toEqual(['create', 'revoke']);
    expect(used.status).toBe(200);
    await again.stop();
  }, 90_000);

  test('goes to standard output whole, or ends with an error', async () => {
    const held = await furnished('data');
    const config = written('postern.yaml', embedded());
    const { code, stdout } = await postern(['store', 'backup', '-', '--config', config]);
    expect(code).toBe(0);
    writeFileSync(inFolder('piped.jsonl'), stdout);
    const ran = await command(['store', 'migrate', '--from', inFolder('piped.jsonl'), '--to', inFolder('copy')]);
    expect(ran).toMatchObject({ code: 0 });
    expect(await contents(openFolder('copy'))).toEqual(held);
  });

  test('is not made of a store that is not there, nor is one made for it', async () => {
    const config = written('postern.yaml', embedded());
    const none = await command(['store', 'backup', inFolder('b.jsonl'), '--config', config]);
    expect(none).toMatchObject({ code: 1, stderr: expect.stringContaining('there is no store in') });
    const bare = await command(['store', 'backup', inFolder('b.jsonl'), '--config', written('r.yaml', onRedis())]);
    expect(bare).toMatchObject({ code: 1, stderr: expect.stringContaining('no store') });
    expect(readdirSync(folder).sort()).toEqual(['postern.yaml', 'r.yaml']);
    expect(await redis.client().dbsize()).toBe(0);
  });

  test('that a full disk cuts off leaves the one from before as it was', async () => {
    await furnished('data', 3000);
    const config = written('postern.yaml', embedded());
    const file = inFolder('backup.jsonl');
    writeFileSync(file, 'the one from before');
    // A limit on the size of files makes writes fail as a full disk does. SQLite's own are smaller than that.
    const limited = new Program('/bin/sh', [
      '-c',
      'ulimit -f 500; exec "$0" "$@"',
      process.execPath,
      mainFile,
      ...['store', 'backup', file, '--config', config],
    ]);
    expect(await limited.exited()).toMatchObject({ code: 1 });
    expect(limited.stderr).toMatch(/backup\.jsonl cannot be written/);
    expect(readFileSync(file, 'utf8')).toBe('the one from before');
    expect(readdirSync(folder).filter(name => name.endsWith('.part'))).toEqual([]);
  });

  test('whose source breaks off is never made to look whole', async () => {
    const listen = `{ proxy: "127.0.0.1:0", admin: "127.0.0.1:0", telemetry: "127.0.0.1:0" }`;
    await furnished('data', 20_000);
    const served = await Served.start({ config: embedded(), folder, listen });
    const file = inFolder('backup.jsonl');
    const program = Program.postern(['store', 'backup', '-', '--url', `http://127.0.0.1:${served.ports.admin}`], {
      env: { POSTERN_ADMIN_KEY: served.adminKey },
    });
    await program.until(({ stdout }) => stdout.length > 0, 'a piece of the backup');
    await served.program.kill();
    const { code } = await program.exited();
    writeFileSync(file, program.stdout);
    expect(code).toBe(1);
    expect(program.stderr).toMatch(/broke off|has no end/);
    const ran = await command(['store', 'migrate', '--from', file, '--to', inFolder('copy')]);
    expect(ran).toMatchObject({ code: 1 });
  });

  test('that is damaged, cut off or of another kind is refused by name, and nothing is left of it', async () => {
    await furnished('data');
    const file = await backupOf('data');
    const good = readFileSync(file, 'utf8');
    const lines = good.trimEnd().split('\n');
    const cases: [string, string | Buffer, RegExp][] = [
      ['half', good.slice(0, good.length / 2), /has no end after line \d+/],
      ['no-end', `${lines.slice(0, -1).join('\n')}\n`, /has no end after line/],
      ['no-newline', good.slice(0, -1), /has no end after line/],
      ['changed', good.replace('token plain', 'token PLAIN'), /contents are not those/],
      ['shorter', `${lines.filter((_, i) => i !== 3).join('\n')}\n`, /contents are not those/],
      ['twice', good + good, /stands behind the end/],
      ['no-json', `${lines[0]}\n{"kind":\n`, /line 2 : /],
      ['unknown-kind', `${lines[0]}\n{"kind":"limit"}\n`, /line 2 kind/],
      ['unknown-member', good.replace('"tags":', '"later":[],"tags":'), /line \d+ token.*later/],
      [
        'newer',
        good.replace('"version":3,"at"', '"version":4,"at"'),
        /format is version 4, this program knows those up to 3/,
      ],
      [
        'bytes',
        Buffer.concat([Buffer.from(good.slice(0, 300)), Buffer.from([0xff, 0]), Buffer.from(good.slice(302))]),
        /line|contents/,
      ],
    ];
    for (const [name, text, why] of cases) {
      const bad = inFolder(`${name}.jsonl`);
      writeFileSync(bad, text);
      for (const to of [inFolder('copy'), `redis://127.0.0.1:${redis.endpoint.port}/0`]) {
        const ran = await command(['store', 'migrate', '--from', bad, '--to', to]);
        expect(ran, name).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(why) });
      }
    }
    expect(readdirSync(inFolder('copy'))).toEqual([]);
    expect(await redis.client().dbsize()).toBe(0);
    // An empty file, and one that is something else.
    truncateSync(file, 0);
    expect(await command(['store', 'migrate', '--from', file, '--to', inFolder('copy')])).toMatchObject({ code: 2 });
  });
});

describe('a migration', () => {
  test('takes everything along to Redis and back again, and the fleet serves from it', async () => {
    const served = await Served.start({ config: embedded(), folder });
    await served.admin('POST', '/v1/accounts', { id: 'acme' });
    const good = await served.mint({ permissions: ['api'], owner: 'acme' });
    const bad = await served.mint({ permissions: ['api'] });
    for (const { secret } of [good, good, bad]) expect(await served.status('/api/x', secret)).toBe(200);
    await served.admin('DELETE', `/v1/tokens/${bad.id}`);
    const asked = [
      `/v1/tokens/${good.id}`,
      `/v1/tokens/${good.id}/usage?step=1d`,
      `/v1/tokens/${bad.id}/events`,
      '/v1/accounts/acme',
    ];
    const told = async (server: Served) => {
      const bodies: unknown[] = [];
      for (const target of asked) {
        // Until when is asked makes no difference to what is counted.
        const { from: _from, to: _to, ...body } = (await server.admin('GET', target)).body;
        bodies.push(body);
      }
      return bodies;
    };
    const before = await told(served);
    expect(before[1]).toMatchObject({ total: { allowed: 2 } });
    await served.stop({ keep: true });

    const [from, to] = [served.file, written('redis.yaml', onRedis())];
    expect(await command(['store', 'migrate', '--from', from, '--to', to])).toMatchObject({ code: 0, stderr: '' });
    const held = await contents(openFolder('data'));
    expect(await contents(openServer)).toEqual(held);
    const fleet = await Served.start({ config: onRedis(), folder });
    fleet.adminKey = key;
    expect(await told(fleet)).toEqual(before);
    expect(await fleet.status('/api/x', good.secret)).toBe(200);
    expect(await fleet.status('/api/x', bad.secret)).toBe(401);
    await fleet.stop({ keep: true });

    const copy = inFolder('copy');
    const back = await command([
      'store',
      'migrate',
      '--from',
      `redis://127.0.0.1:${redis.endpoint.port}`,
      '--to',
      copy,
      '--json',
    ]);
    expect(back).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(back.stdout)).toMatchObject({ records: { token: 2, account: 1 }, changes_since: 0 });
    expect(await contents(openFolder('copy'))).toEqual(await contents(openServer));
    for (const config of [to, written('copy.yaml', embedded().replace('./data', './copy'))]) {
      expect(await command(['store', 'check', '--config', config])).toMatchObject({ code: 0 });
    }
  }, 60_000);

  test('is not made into a place that has a store, and says so', async () => {
    await furnished('data');
    await furnished('other');
    const before = await contents(openFolder('other'));
    const config = written('redis.yaml', onRedis());
    const [data, other] = [inFolder('data'), inFolder('other')];
    const taken = { code: 1, stderr: expect.stringContaining('holds a store already') };
    expect(await command(['store', 'migrate', '--from', data, '--to', other])).toMatchObject(taken);
    expect(await command(['store', 'migrate', '--from', data, '--to', config])).toMatchObject({ code: 0 });
    expect(await command(['store', 'migrate', '--from', data, '--to', config])).toMatchObject(taken);
    expect(await contents(openFolder('other'))).toEqual(before);
    await redis.client().del('postern:{s}:meta');
    const torn = await command(['store', 'migrate', '--from', data, '--to', config]);
    expect(torn).toMatchObject({ code: 1, stderr: expect.stringContaining('belong to no whole store') });
  });

  test('into Redis that is killed in its middle has made no store, and can be made again', async () => {
    const held = await furnished('data');
    const proxy = await RespProxy.start(redis.endpoint.port);
    await proxy.be({ kind: 'hold-from', match: bytes => bytes.includes(finishFilling.sha) });
    const through = written('through.yaml', onRedis().replace(String(redis.endpoint.port), String(proxy.port)));
    const straight = written('straight.yaml', onRedis());
    const program = Program.postern(['store', 'migrate', '--from', inFolder('data'), '--to', through]);
    const client = redis.client();
    await expect.poll(() => client.exists('postern:{s}:token:plain'), { timeout: 20_000 }).toBe(1);
    await program.kill();
    await proxy.close();

    // Somebody who is to serve from it waits for it to become a store.
    const waiting = await Served.start({ config: onRedis(), folder });
    const ready = async (): Promise<number> => (await fetch(`${waiting.telemetry}/readyz`)).status;
    expect(await ready()).toBe(503);
    const soon = await command(['store', 'migrate', '--from', inFolder('data'), '--to', straight]);
    expect(soon).toMatchObject({ code: 1, stderr: expect.stringContaining('another migration') });
    await client.hset('postern:{s}:meta', 'importing_at', Date.now() - 60_000);
    await client.set('postern:{s}:token:stray', 'left by the one that was killed');
    const again = await command(['store', 'migrate', '--from', inFolder('data'), '--to', straight]);
    expect(again).toMatchObject({ code: 0, stderr: '' });
    await expect.poll(ready, { timeout: 20_000 }).toBe(200);
    expect(await client.exists('postern:{s}:token:stray')).toBe(0);
    await waiting.stop({ keep: true });
    // It has added the key of its pepper.
    expect(await contents(openServer)).toEqual(expect.arrayContaining([...held]));
  }, 60_000);

  test('into a folder that is killed in its middle has made no store, and can be made again', async () => {
    const held = await furnished('data');
    const straight = written('straight.yaml', onRedis());
    expect(await command(['store', 'migrate', '--from', inFolder('data'), '--to', straight])).toMatchObject({
      code: 0,
    });
    const proxy = await RespProxy.start(redis.endpoint.port);
    await proxy.be({ kind: 'hold-from', match: bytes => bytes.includes(dumpChanges.sha) });
    const through = written('through.yaml', onRedis().replace(String(redis.endpoint.port), String(proxy.port)));
    const copy = inFolder('copy');
    const program = Program.postern(['store', 'migrate', '--from', through, '--to', copy]);
    await expect.poll(() => existsSync(path.join(copy, 'migrating/postern.db')), { timeout: 20_000 }).toBe(true);
    const busy = await command(['store', 'migrate', '--from', inFolder('data'), '--to', copy]);
    expect(busy).toMatchObject({ code: 1, stderr: expect.stringContaining('another migration') });
    await program.kill();
    await proxy.close();

    expect(existsSync(path.join(copy, 'postern.db'))).toBe(false);
    const again = await command(['store', 'migrate', '--from', straight, '--to', copy]);
    expect(again).toMatchObject({ code: 0, stderr: '' });
    expect(readdirSync(copy)).toEqual(['postern.db']);
    expect(await contents(openFolder('copy'))).toEqual(held);
  }, 60_000);

  test('says which of its arguments names nothing, and takes no password', async () => {
    const to = inFolder('copy');
    const cases: [string[], RegExp][] = [
      [[], /needs --from PLACE and --to PLACE/],
      [['--from', inFolder('nothing'), '--to', to], /--from .*nothing: there is no such file or folder/],
      [['--from', to, '--to', inFolder('nothing.yaml')], /there is no such file or folder/],
      [['--from', 'redis://u:secret@127.0.0.1', '--to', to], /has a password in it/],
      [['--from', 'http://127.0.0.1', '--to', to], /allowed are redis:/],
      [['--from', written('bad.yaml', 'nonsense: 1'), '--to', to], /is no backup of Postern, and as a configuration/],
    ];
    for (const [args, why] of cases) {
      const { code, stderr } = await command(['store', 'migrate', ...args]);
      expect([code, stderr]).toEqual([2, expect.stringMatching(why)]);
      expect(stderr).not.toContain('secret');
    }
    expect(existsSync(to)).toBe(false);
  });
});

describe('a check', () => {
  test('finds what is wrong in an embedded store, and exits with 1', async () => {
    await furnished('data');
    const config = written('postern.yaml', embedded());
    expect(await command(['store', 'check', '--config', config])).toMatchObject({ code: 0, stderr: '' });
    const db = new DatabaseSync(inFolder('data/postern.db'));
    db.exec("DELETE FROM digests WHERE digest = 'rotated'; DELETE FROM feed WHERE seq = 3");
    db.exec("UPDATE tokens SET state = 'enabled' WHERE id = 'revoked'");
    db.close();
    const { code, stdout } = await command(['store', 'check', '--config', config, '--json']);
    const report = JSON.parse(stdout) as { ok: boolean; findings: { name: string; state: string }[] };
    const bad = report.findings.filter(({ state }) => state === 'bad').map(({ name }) => name);
    expect([code, report.ok, bad]).toEqual([1, false, ['digests', 'documents', 'feed']]);
  });

  test('finds what is wrong in Redis, and exits with 1', async () => {
    await furnished('data');
    const config = written('redis.yaml', onRedis());
    await command(['store', 'migrate', '--from', inFolder('data'), '--to', config]);
    expect(await command(['store', 'check', '--config', config])).toMatchObject({ code: 0, stderr: '' });
    const client = redis.client();
    await client.del('postern:{s}:digest:rotated', 'postern:{s}:audit:token:of-acme');
    await client.zrem('postern:{s}:tag:red', 'plain');
    await client.zrem('postern:{s}:state:enabled', 'of-gone');
    const { code, stdout } = await command(['store', 'check', '--config', config, '--json']);
    const report = JSON.parse(stdout) as { findings: { name: string; state: string; detail: string }[] };
    const bad = report.findings.filter(({ state }) => state === 'bad');
    expect([code, bad.map(({ name }) => name)]).toEqual([1, ['tokens', 'indexes']]);
    expect(bad[0]!.detail).toContain('1 of 5 are missing');
    expect(bad[1]!.detail).toMatch(
      /3 faults: plain is not in tag:red; plain is not found by its digest; of-acme has no audit trail/,
    );
  });

  test('tells a store that is away, and a wrong configuration, apart', async () => {
    const away = written('away.yaml', onRedis().replace(String(redis.endpoint.port), String(await freePort())));
    const { code, stdout } = await command(['store', 'check', '--config', away]);
    expect([code, stdout]).toEqual([1, expect.stringMatching(/reach +bad +the store cannot be reached/)]);
    expect(await command(['store', 'check', '--config', written('bad.yaml', 'x: 1')])).toMatchObject({ code: 2 });
  });
});
