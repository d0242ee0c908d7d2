import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeCertificate } from '../support/certificate.ts';
import { Program } from '../support/program.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { RedisServer } from '../support/redis.ts';
import { documentedUser, setUser } from '../support/redis-acl.ts';
import { isReplica, RedisCluster } from '../support/redis-cluster.ts';
import { eventually, SentinelTrio } from '../support/redis-sentinel.ts';
import { Served } from '../support/served.ts';
import { patience } from '../support/tiers.ts';

const upstream = new RecordingUpstream();
let folder: string;
beforeAll(async () => {
  await upstream.listen();
  folder = await mkdtemp(path.join(tmpdir(), 'postern-topology-'));
});
afterAll(async () => {
  await Program.killAll();
  await RedisServer.stopAll();
  await upstream.close();
  await rm(folder, { recursive: true, force: true });
});

const adminKey = randomBytes(32).toString('hex');
const bound = 1500;

async function serve(store: string): Promise<Served> {
  const served = await Served.start({
    config: `
upstreams: { u: { url: "${upstream.url}" } }
routes: [{ path: /api/**, require: api }]
admin: { keys: [{ name: ops, role: admin, key: "${adminKey}" }] }
store: { kind: redis, deadline: 300ms, mutation_deadline: 1s, ${store} }
tokens: { peppers: [{ id: p1, key: "${randomBytes(32).toString('hex')}" }] }
revocation: { bound: ${bound}ms }
guard: { failures: 0 }
`,
  });
  served.adminKey = adminKey;
  return served;
}

const list = (servers: readonly RedisServer[]): string =>
  servers.map(({ endpoint }) => `"${endpoint.host}:${endpoint.port}"`).join(', ');

/** Asks with a good token and with a revoked one until something has come true; what was answered. */
async function askedUntil(
  served: Served,
  good: string,
  bad: string,
  end: () => Promise<boolean>,
): Promise<Set<string>> {
  const seen = new Set<string>();
  let ended = false;
  const asking = (async () => {
    while (!ended) {
      const [first, second] = await Promise.all([served.status('/api/x', good), served.status('/api/x', bad)]);
      seen.add(`good ${first}`).add(`revoked ${second}`);
    }
  })();
  try {
    while (!(await end()));
  } finally {
    ended = true;
    await asking;
  }
  return seen;
}

/** Whether a token can be made, is taken, and can be revoked. */
async function works(served: Served): Promise<boolean> {
  const made = await served.admin('POST', '/v1/tokens', { permissions: ['api'] });
  if (made.status !== 201) return false;
  const { id } = made.body['token'] as { id: string };
  const secret = made.body['secret'] as string;
  if ((await served.status('/api/x', secret)) !== 200) return false;
  if ((await served.admin('DELETE', `/v1/tokens/${id}`)).status !== 200) return false;
  return (await served.status('/api/x', secret)) === 401;
}

async function outlives(served: Served, fails: () => Promise<void>): Promise<void> {
  const good = await served.mint({ permissions: ['api'] });
  const revoked = await served.mint({ permissions: ['api'] });
  expect(await served.status('/api/x', revoked.secret)).toBe(200);
  expect((await served.admin('DELETE', `/v1/tokens/${revoked.id}`)).status).toBe(200);
  const failed = fails();
  const seen = await askedUntil(served, good.secret, revoked.secret, async () => {
    await failed;
    return works(served);
  });
  expect([...seen].filter(what => !/good (200|503)|revoked (401|503)/.test(what))).toEqual([]);
  expect(await served.status('/api/x', good.secret)).toBe(200);
  expect(await served.status('/api/x', revoked.secret)).toBe(401);
  expect(served.program.stdout).not.toContain('not-a-secret');
}

test(
  'behind sentinels, over TLS, as users with a password: a master that dies costs no restart and no good token',
  async () => {
    const tls = makeCertificate();
    const trio = await SentinelTrio.start({ tls });
    for (const server of trio.servers) await setUser(server, documentedUser('postern', 'not-a-secret'));
    for (const server of trio.sentinels) await setUser(server, documentedUser('postern-sentinel', 'not-a-secret-2'));
    const [ca, file] = [path.join(folder, 'ca.pem'), path.join(folder, 'redis.password')];
    await writeFile(ca, tls.cert);
    await writeFile(file, 'not-a-secret\n', { mode: 0o600 });
    const served = await serve(
      `sentinels: [${list(trio.sentinels)}], master: mymaster, tls: true, ca: ${ca}, username: postern, ` +
        `password_file: ${file}, sentinel_username: postern-sentinel, sentinel_password: not-a-secret-2`,
    );
    await outlives(served, async () => (await trio.master()).kill());
    expect(await served.stop()).toBe(0);
  },
  patience(60_000),
);

test(
  'in a cluster: the master of the tokens that dies costs no restart and no good token',
  async () => {
    const cluster = await RedisCluster.start();
    const served = await serve(`cluster: [${list(cluster.servers.slice(0, 2))}]`);
    await outlives(served, async () => {
      const { master, replica } = cluster.shardOf('postern:{s}:meta');
      await master.kill();
      await eventually(async () => !(await isReplica(replica)));
      // Two have to have a change, and there are no others.
      await master.restart();
    });
    expect(await served.stop()).toBe(0);
  },
  patience(60_000),
);
