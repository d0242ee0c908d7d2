import { mkdir, mkdtemp, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Config } from '../../../src/config/config.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { compareForReload } from '../../../src/config/reload.ts';
import { type ConfigWatch, type Watched, watchConfig } from '../../../src/config/watch.ts';
import { caseEnv } from './cases.ts';

const config = 'upstreams: { api: { url: http://127.0.0.1:3000 } }\nroutes: [{ path: /** }]\n';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'postern-watch-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const at = (name: string): string => path.join(folder, name);
const load = (name = 'postern.yaml') => loadConfig({ file: at(name), env: caseEnv });

/** A watch whose polls are made by hand. */
function watch(watched: Watched): { poll: () => Promise<number>; control: ConfigWatch; stopped: () => boolean } {
  let calls = 0;
  let stopped = false;
  let tick: () => Promise<void> = () => Promise.resolve();
  const control = watchConfig(
    watched,
    () => {
      calls++;
    },
    (milliseconds, poll) => {
      expect(milliseconds).toBe(1000);
      tick = poll;
      return () => {
        stopped = true;
      };
    },
  );
  const poll = async (): Promise<number> => {
    calls = 0;
    await tick();
    return calls;
  };
  return { poll, control, stopped: () => stopped };
}

describe('watching a configuration', () => {
  it('calls once for each change of what a file holds, and for nothing else', async () => {
    await writeFile(at('postern.yaml'), config);
    const { poll } = watch(await load());
    expect(await poll()).toBe(0);
    await utimes(at('postern.yaml'), new Date(), new Date(0));
    expect(await poll()).toBe(0);
    await writeFile(at('postern.yaml'), `${config}# more\n`);
    expect(await poll()).toBe(1);
    expect(await poll()).toBe(0);
    await writeFile(at('new'), `${config}# else\n`);
    await rename(at('new'), at('postern.yaml'));
    expect(await poll()).toBe(1);
    await rm(at('postern.yaml'));
    expect(await poll()).toBe(1);
    expect(await poll()).toBe(0);
    await writeFile(at('postern.yaml'), config);
    expect(await poll()).toBe(1);
  });

  it('sees a change that came between the load and the first look', async () => {
    await writeFile(at('postern.yaml'), config);
    const loaded = await load();
    await writeFile(at('postern.yaml'), `${config}# more\n`);
    const { poll } = watch(loaded);
    expect(await poll()).toBe(1);
  });

  it('follows the swap of the ..data link under a mounted Kubernetes volume', async () => {
    for (const [revision, secret] of [
      ['..1', caseEnv.KEY],
      ['..2', `${caseEnv.KEY}2`],
    ] as const) {
      await mkdir(at(revision));
      await writeFile(
        path.join(at(revision), 'postern.yaml'),
        `${config}admin: { keys: [{ name: a, role: admin, key_file: key }] }\n`,
      );
      await writeFile(path.join(at(revision), 'key'), secret);
    }
    await symlink('..1', at('..data'));
    await symlink('..data/postern.yaml', at('postern.yaml'));
    await symlink('..data/key', at('key'));
    const loaded = await load();
    expect(loaded).toMatchObject({ ok: true, files: [at('postern.yaml'), at('key')] });
    const { poll } = watch(loaded);
    expect(await poll()).toBe(0);
    await symlink('..2', at('..data_tmp'));
    await rename(at('..data_tmp'), at('..data'));
    expect(await poll()).toBe(1);
    expect(await poll()).toBe(0);
  });

  it('watches the files of a load that failed, so that mending any of them is seen', async () => {
    await writeFile(at('postern.yaml'), `${config}admin: { keys: [{ name: a, role: admin, key_file: key }] }\n`);
    const failed = await load();
    expect(failed.ok).toBe(false);
    const { poll, control } = watch(failed);
    expect(await poll()).toBe(0);
    await writeFile(at('key'), caseEnv.KEY);
    expect(await poll()).toBe(1);
    const good = await load();
    expect(good.ok).toBe(true);
    control.follow(good);
    expect(await poll()).toBe(0);
    await writeFile(at('key'), `${caseEnv.KEY}2`);
    expect(await poll()).toBe(1);
  });

  it('says nothing once it is closed', async () => {
    await writeFile(at('postern.yaml'), config);
    const { poll, control, stopped } = watch(await load());
    await writeFile(at('postern.yaml'), `${config}# more\n`);
    control.close();
    expect(stopped()).toBe(true);
    expect(await poll()).toBe(0);
  });
});

describe('what a reload cannot change', () => {
  const loaded = async (text: string): Promise<Config> => {
    await writeFile(at('postern.yaml'), config + text);
    const result = await load();
    if (!result.ok) throw new Error('the configuration is bad');
    return result.config;
  };

  it('is listeners and the store', async () => {
    const before = await loaded('');
    expect(compareForReload(before, await loaded('cache: { ttl: 1s }\nlog: { level: debug }\n'))).toEqual([]);
    expect(compareForReload(before, await loaded('listen: { proxy: { max_connections: 5 } }\n'))).toEqual([
      'listen.proxy',
    ]);
    expect(
      compareForReload(
        before,
        await loaded('listen: { admin: "127.0.0.1:1", telemetry: ":2" }\nstore: { path: other }\n'),
      ),
    ).toEqual(['listen.admin', 'listen.telemetry', 'store']);
  });

  it('is not what certificate files hold', async () => {
    const pem = path.join(import.meta.dirname, 'tls');
    await writeFile(at('tls.key'), await readFile(path.join(pem, 'localhost.key')));
    await writeFile(at('tls.crt'), await readFile(path.join(pem, 'localhost.crt')));
    const tls = 'listen: { proxy: { tls: { cert: tls.crt, key: tls.key } } }\n';
    const before = await loaded(tls);
    await writeFile(at('tls.crt'), `${await readFile(at('tls.crt'), 'utf8')}\n# renewed\n`);
    expect(compareForReload(before, await loaded(tls))).toEqual([]);
    expect(compareForReload(before, await loaded(''))).toEqual(['listen.proxy']);
  });
});
