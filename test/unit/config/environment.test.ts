import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';
import { problemLine } from '../../../src/config/problems.ts';

const folder = path.resolve('/somewhere');

async function load(upstream: string | null, env: Record<string, string>) {
  return loadConfig({ upstream, env, folder });
}

async function problems(upstream: string | null, env: Record<string, string>): Promise<string[]> {
  const result = await load(upstream, env);
  return result.ok ? [] : result.problems.map(problemLine);
}

describe('a configuration without a file', () => {
  it('has one upstream, and every path needs a valid token', async () => {
    const result = await load('http://127.0.0.1:3000', {});
    expect(result).toMatchObject({
      ok: true,
      files: [],
      warnings: [],
      config: {
        file: null,
        upstreams: [{ name: 'default', addresses: [{ hostname: '127.0.0.1', port: 3000 }] }],
        routes: [{ pattern: '/**', access: 'token', methods: null, hosts: [], upstream: 'default', require: null }],
        credentials: [{ kind: 'header', name: 'authorization', scheme: 'Bearer' }],
        listen: { proxy: { port: 8080 }, admin: { address: '127.0.0.1:8081' }, telemetry: { port: 9464 } },
        store: { kind: 'embedded', path: path.join(folder, 'data') },
      },
    });
  });

  it('takes upstream, store and listeners from the environment, the upstream after --upstream', async () => {
    const env = {
      POSTERN_UPSTREAM: 'http://127.0.0.1:3001',
      POSTERN_STORE_URL: 'file:///var/lib/postern%20data',
      POSTERN_LISTEN_PROXY: '127.0.0.1:0',
      POSTERN_LISTEN_ADMIN: '127.0.0.1:0',
      POSTERN_LISTEN_TELEMETRY: '[::1]:0',
      OTHER: '1',
    };
    expect(await load(null, env)).toMatchObject({
      config: {
        upstreams: [{ addresses: [{ port: 3001 }] }],
        store: { path: '/var/lib/postern data' },
        listen: { proxy: { host: '127.0.0.1', port: 0 }, admin: { port: 0 }, telemetry: { host: '::1', port: 0 } },
      },
    });
    expect(await load('http://127.0.0.1:3002', env)).toMatchObject({
      config: { upstreams: [{ addresses: [{ port: 3002 }] }] },
    });
    const relative = await load(null, { ...env, POSTERN_STORE_URL: 'tokens', POSTERN_LISTEN_PROXY: '' });
    expect(relative).toMatchObject({
      config: { store: { path: path.join(folder, 'tokens') }, listen: { proxy: { port: 8080 } } },
    });
  });

  it('takes variables as they are: nothing is substituted in them', async () => {
    expect(await problems(`http://\${HOST}`, { HOST: '127.0.0.1' })).toHaveLength(1);
    expect(await load('http://127.0.0.1:1', { POSTERN_STORE_URL: `$HOME/\${X}` })).toMatchObject({
      config: { store: { path: path.join(folder, `$HOME/\${X}`) } },
    });
  });

  it('names the variable or option of each mistake', async () => {
    expect(
      await problems(null, {
        POSTERN_STORE_URL: 'mysql://127.0.0.1',
        POSTERN_LISTEN_PROXY: '8080',
        POSTERN_LISTEN_ADMIN: ':8081',
        POSTERN_LISTEN_DECISION: ':8082',
        POSTERN_LISTEN_PROXI: ':8083',
      }),
    ).toEqual([
      'POSTERN_UPSTREAM: is not set; allowed: the URL of the API that is protected',
      'POSTERN_STORE_URL: has the scheme mysql; allowed: a path, file:///PATH, redis://… or rediss://…',
      'POSTERN_LISTEN_PROXI: unknown key, did you mean proxy?; allowed: proxy, admin, telemetry',
      expect.stringMatching(/^POSTERN_LISTEN_PROXY: "8080" is no address and port; allowed: /),
      'POSTERN_LISTEN_DECISION: not supported yet; allowed: to leave it out',
      'POSTERN_LISTEN_ADMIN: is no loopback address and has no tls; allowed: loopback, tls, or insecure: true',
    ]);
    expect(await problems('http://localhost:8080', {})).toEqual([
      '--upstream: is the proxy itself; allowed: the URL of the API behind it',
    ]);
    expect(await problems('http://a/b', { POSTERN_STORE_URL: 'mysql://x' })).toEqual([
      'POSTERN_STORE_URL: has the scheme mysql; allowed: a path, file:///PATH, redis://… or rediss://…',
      expect.stringMatching(/^--upstream: has a path; allowed: /),
    ]);
  });
});

describe('variables beside a file', () => {
  let own = '';
  beforeAll(async () => {
    own = await mkdtemp(path.join(tmpdir(), 'postern-environment-'));
  });
  afterAll(() => rm(own, { recursive: true }));

  const needed = 'upstreams: { api: { url: http://127.0.0.1:3000 } }\nroutes: [{ path: /** }]\n';
  async function beside(more: string, env: Record<string, string>) {
    const file = path.join(own, 'postern.yaml');
    await writeFile(file, needed + more);
    return loadConfig({ file, env });
  }
  const store = '/var/lib/postern';

  it('POSTERN_STORE_URL is where the store is, unless the file says where', async () => {
    const env = { POSTERN_STORE_URL: store };
    for (const [more, expected] of [
      ['', store],
      ['store: {}\n', store],
      ['store: { kind: embedded, deadline: 70ms }\n', store],
      ['store: { path: ./tokens }\n', path.join(own, 'tokens')],
    ] as const) {
      expect(await beside(more, env), more).toMatchObject({
        ok: true,
        warnings: [],
        config: { store: { path: expected } },
      });
    }
    expect(await beside('store: { deadline: 70ms }\n', env)).toMatchObject({ config: { store: { deadlineMs: 70 } } });
    expect(await beside('', { POSTERN_STORE_URL: 'file:///var/lib/postern' })).toMatchObject({
      config: { store: { path: store } },
    });
    expect(await beside('', { POSTERN_STORE_URL: '' })).toMatchObject({
      config: { store: { path: path.join(own, 'data') } },
    });
  });

  it('it may be a Redis, if the file says nothing else', async () => {
    const env = { POSTERN_STORE_URL: 'redis://:password@redis.internal:6380/2' };
    const key = `admin: { keys: [{ name: ops, role: admin, key: "${randomBytes(24).toString('hex')}" }] }\n`;
    const servers = { form: 'url', host: 'redis.internal', port: 6380 };
    for (const more of [key, `${key}store: { kind: redis }\n`, `${key}store: { deadline: 70ms }\n`]) {
      expect(await beside(more, env), more).toMatchObject({
        config: { store: { kind: 'redis', servers, database: 2 } },
      });
    }
    const elsewhere = await beside(`${key}store: { kind: redis, sentinels: ["a:1"], master: m }\n`, env);
    expect(elsewhere).toMatchObject({ config: { store: { servers: { form: 'sentinel' } } } });
    for (const more of ['', `${key}store: { kind: embedded }\n`]) {
      const refused = await beside(more, env);
      const lines = refused.ok ? [] : refused.problems.map(problemLine);
      expect(lines, more).toHaveLength(1);
      expect(lines.join()).not.toContain('password');
    }
  });

  it('a relative POSTERN_STORE_URL starts at the working folder', async () => {
    expect(await beside('', { POSTERN_STORE_URL: 'tokens' })).toMatchObject({
      config: { store: { path: path.resolve('tokens') } },
    });
  });

  it('what is wrong with it is said where it counts', async () => {
    const env = { POSTERN_STORE_URL: 'mysql://127.0.0.1' };
    expect(await beside('store: { path: ./tokens }\n', env)).toMatchObject({ ok: true });
    const refused = await beside('', env);
    expect(refused.ok ? [] : refused.problems.map(problemLine)).toEqual([
      'POSTERN_STORE_URL: has the scheme mysql; allowed: a path, file:///PATH, redis://… or rediss://…',
    ]);
    const odd = await beside('store: 7\n', { POSTERN_STORE_URL: store });
    expect(odd.ok ? [] : odd.problems.map(problemLine)).toEqual([
      expect.stringMatching(/ store: is a number; allowed: /),
    ]);
  });

  it('others are ignored, with a warning', async () => {
    const loaded = await beside('', {
      POSTERN_UPSTREAM: 'http://127.0.0.1:1',
      POSTERN_LISTEN_PROXY: ':9090',
      POSTERN_LISTEN_ADMIN: '',
      POSTERN_ADMIN_URL: 'http://127.0.0.1:8081',
    });
    expect(loaded).toMatchObject({
      ok: true,
      config: { upstreams: [{ addresses: [{ port: 3000 }] }], listen: { proxy: { port: 8080 } } },
    });
    expect(loaded.ok ? loaded.warnings.map(problemLine) : []).toEqual([
      'POSTERN_LISTEN_PROXY: is ignored: the file says where to listen',
      'POSTERN_UPSTREAM: is ignored: the file says where requests go',
    ]);
  });
});
