import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { makeCertificate } from '../support/certificate.ts';
import { Program } from '../support/program.ts';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream, type Script } from '../support/recording-upstream.ts';
import { configText, Served } from '../support/served.ts';

const one = new RecordingUpstream();
const two = new RecordingUpstream();

beforeAll(async () => {
  await one.listen();
  await two.listen();
});
afterEach(async () => {
  await RawClient.closeAll();
  await Program.killAll();
  for (const upstream of [one, two]) upstream.reset();
});
afterAll(async () => {
  await one.close();
  await two.close();
});

const says =
  (text: string): Script =>
  ({ request, write }) => {
    const answer = `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
    if (request.target === '/api/slow') setTimeout(() => write(answer), 100);
    else write(answer);
  };

const config = (upstream: RecordingUpstream, require = 'api', more = ''): string => `
upstreams: { u: { url: "${upstream.url}" } }
routes: [{ path: /api/**, require: ${require} }]
log: { access: none }
guard: { failures: 0 }
${more}`;

/** Replaces the file, and waits until the result was counted. */
async function reload(served: Served, text: string, how: 'SIGHUP' | 'file'): Promise<boolean> {
  const count = async (): Promise<[number, number]> => [
    await served.metric('postern_config_reloads_total{result="success"}'),
    await served.metric('postern_config_reloads_total{result="failure"}'),
  ];
  const [successes, failures] = await count();
  // As an editor does it: a reader never sees half a file.
  await writeFile(`${served.file}.new`, configText({ config: text }));
  await rename(`${served.file}.new`, served.file);
  if (how === 'SIGHUP') served.program.signal('SIGHUP');
  let now: [number, number] = [successes, failures];
  await expect
    .poll(
      async () => {
        now = await count();
        return now[0] + now[1];
      },
      { interval: 10, timeout: 5000 },
    )
    .toBeGreaterThan(successes + failures);
  return now[0] > successes;
}

/** Requests without an end, until told; what went wrong with any of them. */
function traffic(served: Served, secret: string): { stop(): Promise<{ errors: string[]; answered: number }> } {
  let open = true;
  let answered = 0;
  const errors: string[] = [];
  const lanes = ['/api/x', '/api/y', '/api/slow', '/api/z'].map(async target => {
    let client = await RawClient.open(served.ports.proxy);
    while (open) {
      try {
        client.write(`GET ${target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${secret}\r\n\r\n`);
        const answer = await client.answer({ ms: 5000 });
        if (answer.status !== 200 || !/^(?:one|two)$/.test(answer.body.toString())) {
          errors.push(`${target}: ${answer.status} ${answer.body}`);
        } else answered++;
      } catch (error) {
        errors.push(`${target}: ${String(error)}`);
        client = await RawClient.open(served.ports.proxy);
      }
    }
  });
  return {
    stop: async () => {
      open = false;
      await Promise.all(lanes);
      return { errors, answered };
    },
  };
}

test('a hundred reloads under traffic lose no request; bad files among them change nothing and are told', async () => {
  one.script = says('one');
  two.script = says('two');
  const served = await Served.start({ config: config(one) });
  const { secret } = await served.mint({ permissions: ['api', 'admin'] });
  const load = traffic(served, secret);
  const bodyOf = async (): Promise<string> =>
    (await fetch(`${served.proxy}/api/x`, { headers: { Authorization: `Bearer ${secret}` } })).text();

  for (let i = 0; i < 100; i++) {
    const next = i % 2 === 0 ? two : one;
    if (i % 10 === 9) {
      const bad = `${config(next)}colour: red\n`;
      expect(await reload(served, bad, 'SIGHUP')).toBe(false);
      expect(await served.metric('postern_config_last_reload_successful')).toBe(0);
      expect(await bodyOf(), 'after a bad file').toBe(next === two ? 'one' : 'two');
    } else {
      expect(await reload(served, config(next, i % 3 === 0 ? 'admin' : 'api'), 'SIGHUP')).toBe(true);
      expect(await served.metric('postern_config_last_reload_successful')).toBe(1);
      expect(await bodyOf(), 'after a good file').toBe(next === two ? 'two' : 'one');
    }
  }
  const { errors, answered } = await load.stop();
  expect(errors).toEqual([]);
  expect(answered).toBeGreaterThan(100);
  // The watch may have come upon a bad file, too.
  expect(await served.metric('postern_config_reloads_total{result="failure"}')).toBeGreaterThanOrEqual(10);
  const refused = served.program.lines.filter(line => line['msg'] === 'the new configuration is not taken');
  expect(refused.length).toBeGreaterThan(0);
  for (const line of refused) {
    expect(line).toMatchObject({ level: 'error' });
    expect(line['problem']).toMatch(/\.yaml:\d+:\d+ colour: .+; allowed: /);
  }
  await served.stop();
}, 60_000);

describe('what a reload changes holds from the next request on', () => {
  test('permissions, routes and keys; a change of the file is enough', async () => {
    one.script = says('one');
    const served = await Served.start({ config: config(one) });
    const { secret } = await served.mint({ permissions: ['api'] });
    expect(await served.status('/api/x', secret)).toBe(200);
    expect(await reload(served, config(one, 'other'), 'file')).toBe(true);
    expect(await served.status('/api/x', secret)).toBe(403);

    const keys = { old: 'old-key-0123456789abcdefghijklmnopqrstuv', new: 'new-key-0123456789abcdefghijklmnopqrstuv' };
    const keyFile = path.join(served.folder, 'ops.key');
    await writeFile(keyFile, keys.old);
    const withKey = config(one, 'api', 'admin: { keys: [{ name: ops, role: admin, key_file: ops.key }] }\n');
    expect(await reload(served, withKey, 'SIGHUP')).toBe(true);
    const made = served.adminKey;
    const statusWith = async (key: string): Promise<number> => {
      served.adminKey = key;
      return (await served.admin('GET', '/v1/tokens')).status;
    };
    expect([await statusWith(keys.old), await statusWith(keys.new)]).toEqual([200, 401]);
    // A file that the configuration names is watched as well.
    await writeFile(keyFile, keys.new);
    await expect.poll(() => statusWith(keys.new), { timeout: 5000 }).toBe(200);
    expect(await statusWith(keys.old)).toBe(401);
    // Without any there is the store's own again.
    expect(await statusWith(made)).toBe(401);
    expect(await reload(served, config(one), 'SIGHUP')).toBe(true);
    expect([await statusWith(keys.new), await statusWith(made)]).toEqual([401, 200]);
    await served.stop();
  });

  test.each([
    ['listen', (text: string) => text.replace('proxy: "127.0.0.1:0"', 'proxy: "127.0.0.1:1"'), 'listen.proxy'],
    ['store', (text: string) => `${text}store: { kind: embedded, path: ./other }\n`, 'store'],
  ])('%s cannot change while it runs, which is told, and nothing else of that file holds', async (_, change, key) => {
    one.script = says('one');
    const served = await Served.start({ config: config(one) });
    const { secret } = await served.mint({ permissions: ['api'] });
    await writeFile(served.file, change(configText({ config: config(one, 'other') })));
    served.program.signal('SIGHUP');
    const line = await served.said('the new configuration is not taken');
    expect(line['problem']).toContain(key);
    expect(line['problem']).toContain('restart');
    expect(await served.status('/api/x', secret)).toBe(200);
    expect(await served.metric('postern_config_last_reload_successful')).toBe(0);
    await served.stop();
  });

  test('a pepper whose key is another under the same id is refused, while it runs and at a start', async () => {
    one.script = says('one');
    const pepper = (key: string): string => config(one, 'api', `tokens: { peppers: [{ id: p1, key: "${key}" }] }\n`);
    const keys = [randomBytes(32).toString('hex'), randomBytes(32).toString('hex')] as const;
    const served = await Served.start({ config: pepper(keys[0]) });
    const { secret } = await served.mint({ permissions: ['api'] });
    expect(await reload(served, pepper(keys[1]), 'file')).toBe(false);
    const line = await served.said('the new configuration is not taken');
    expect(line['problem']).toMatch(/^tokens\.peppers: "p1" .* id of its own/);
    expect(await served.status('/api/x', secret)).toBe(200);
    await served.stop({ keep: true });

    const again = Program.postern(['serve', '--config', served.file], {});
    expect((await again.exited()).code).toBe(2);
    expect(again.stderr).toContain('tokens.peppers: "p1"');

    const renewed = pepper(keys[0]).replace('[{ id', `[{ id: p2, key: "${keys[1]}" }, { id`);
    const third = await Served.start({ config: renewed, folder: served.folder });
    expect(await third.status('/api/x', secret)).toBe(200);
    await third.stop();
  });

  test('a file that vanishes leaves everything as it is', async () => {
    one.script = says('one');
    const served = await Served.start({ config: config(one) });
    const { secret } = await served.mint({ permissions: ['api'] });
    await rm(served.file);
    await expect
      .poll(() => served.metric('postern_config_reloads_total{result="failure"}'), { timeout: 5000 })
      .toBeGreaterThan(0);
    expect(await served.status('/api/x', secret)).toBe(200);
    expect(await reload(served, config(one, 'other'), 'file')).toBe(true);
    expect(await served.status('/api/x', secret)).toBe(403);
    await served.stop();
  });
});

describe('a volume of Kubernetes', () => {
  /** Files behind `..data`, as the kubelet lays them out; swapping it changes all of them at once. */
  class Volume {
    readonly folder: string;
    #generation = 0;
    constructor(folder: string) {
      this.folder = folder;
    }

    async write(files: Readonly<Record<string, string>>): Promise<void> {
      const generation = `..2030_01_01_00_00_00.${++this.#generation}`;
      await mkdir(path.join(this.folder, generation));
      for (const [name, text] of Object.entries(files)) await writeFile(path.join(this.folder, generation, name), text);
      await symlink(generation, path.join(this.folder, '..data_tmp'));
      await rename(path.join(this.folder, '..data_tmp'), path.join(this.folder, '..data'));
      for (const name of Object.keys(files)) {
        await symlink(path.join('..data', name), path.join(this.folder, name)).catch(() => {});
      }
    }
  }

  test('is followed through the swap of its ..data link, under traffic, a bad generation included', async () => {
    one.script = says('one');
    two.script = says('two');
    const folder = await mkdtemp(path.join(tmpdir(), 'postern-volume-'));
    const volume = new Volume(folder);
    const file = (text: string): Record<string, string> => ({ 'postern.yaml': configText({ config: text }) });
    await volume.write(file(config(one)));
    const served = await Served.start({ config: config(one), folder });
    const { secret } = await served.mint({ permissions: ['api'] });
    const load = traffic(served, secret);
    const seen = async (): Promise<string> =>
      (await fetch(`${served.proxy}/api/x`, { headers: { Authorization: `Bearer ${secret}` } })).text();

    await volume.write(file(config(two)));
    await expect.poll(seen, { timeout: 5000 }).toBe('two');
    await volume.write(file('routes: nonsense'));
    await expect.poll(() => served.metric('postern_config_last_reload_successful'), { timeout: 5000 }).toBe(0);
    expect(await seen()).toBe('two');
    await volume.write(file(config(one)));
    await expect.poll(seen, { timeout: 5000 }).toBe('one');
    expect(await served.metric('postern_config_last_reload_successful')).toBe(1);

    const { errors, answered } = await load.stop();
    expect(errors).toEqual([]);
    expect(answered).toBeGreaterThan(100);
    await served.stop();
  });

  test('certificates that it holds are renewed for connections to come, and those that are open go on', async () => {
    one.script = says('one');
    const folder = await mkdtemp(path.join(tmpdir(), 'postern-tls-'));
    const mount = path.join(folder, 'tls');
    await mkdir(mount);
    const volume = new Volume(mount);
    const certificates = [makeCertificate('first'), makeCertificate('second')];
    const files = ({ cert, key }: { cert: string; key: string }): Record<string, string> => ({
      'tls.crt': cert,
      'tls.key': key,
    });
    await volume.write(files(certificates[0]!));
    const served = await Served.start({
      folder,
      config: config(one),
      listen:
        '{ proxy: { address: "127.0.0.1:0", tls: { cert: tls/tls.crt, key: tls/tls.key } }, admin: "127.0.0.1:0", telemetry: "127.0.0.1:0" }',
    });
    const nameOf = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = connect({ port: served.ports.proxy, host: '127.0.0.1', rejectUnauthorized: false }, () => {
          resolve(String(socket.getPeerCertificate().subject.CN));
          socket.destroy();
        });
        socket.once('error', reject);
      });
    expect(await nameOf()).toBe('first');
    const { secret } = await served.mint({ permissions: ['api'] });
    const request = `GET /api/x HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${secret}\r\n\r\n`;
    const open = await RawClient.open(served.ports.proxy, { tls: { ca: certificates[0]!.cert } });
    open.write(request);
    expect((await open.answer()).status).toBe(200);

    await volume.write(files(certificates[1]!));
    await expect.poll(nameOf, { timeout: 5000 }).toBe('second');
    open.write(request);
    expect((await open.answer()).status).toBe(200);
    await served.stop();
  });
});

test('the log of a reload does not tell what the file holds', async () => {
  one.script = says('one');
  const served = await Served.start({ config: config(one) });
  const word = 'qT7vXk2LmZp9RwYb4NsHd8Jc';
  expect(
    await reload(served, `${config(one)}admin: { keys: [{ name: a, role: admin, key: "${word}" }] }\n`, 'SIGHUP'),
  ).toBe(false);
  await served.said('the new configuration is not taken');
  expect(served.program.stdout + served.program.stderr).not.toContain(word);
  expect(await readFile(served.file, 'utf8')).toContain(word);
  await served.stop();
});
