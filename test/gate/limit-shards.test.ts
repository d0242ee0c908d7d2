import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { Keys } from '../../src/stores/redis/keys.ts';
import { Postern } from '../support/postern.ts';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { RedisServer } from '../support/redis.ts';
import { type ClusterShard, RedisCluster } from '../support/redis-cluster.ts';
import { patience } from '../support/tiers.ts';

/** Limits of a token and of its account that lie on different servers of a cluster: no script sees both. */

const prefix = 'postern:';
const keys = new Keys(prefix);
let cluster: RedisCluster;
let upstream: RecordingUpstream;
let here: Postern;

beforeAll(async () => {
  // Nobody takes the place of a master that is away for as long as these tests take.
  [cluster, upstream] = await Promise.all([RedisCluster.start(60_000), new RecordingUpstream().listen()]);
  const nodes = cluster.endpoint.cluster.map(({ host, port }) => `"${host}:${port}"`);
  here = await Postern.start({
    upstream: upstream.url,
    routes: `
  - { path: /one, upstream: u }
  - { path: /five, cost: 5, upstream: u }`,
    more: `
store: { kind: redis, cluster: [${nodes.join(', ')}], prefix: "${prefix}", deadline: 1s, mutation_deadline: 2s }
admin: { keys: [{ name: ops, role: admin, key: "${adminKey}" }] }
tokens: { peppers: [{ id: p1, key: "${randomBytes(32).toString('hex')}" }] }
revocation: { bound: 30s }
guard: { failures: 0 }
log: { access: none }`,
  });
});
afterEach(async () => {
  await RawClient.closeAll();
  await here.quiet();
  upstream.reset();
});
afterAll(async () => {
  await here?.stop();
  await upstream.close();
  await RedisServer.stopAll();
});

const adminKey = randomBytes(32).toString('hex');
const admin = (method: string, target: string, body?: unknown) =>
  here.admin(method, target, body, { Authorization: `Bearer ${adminKey}` });

async function status(secret: string, target = '/one'): Promise<number> {
  const client = await RawClient.open(here.port);
  client.write(`GET ${target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${secret}\r\n\r\n`);
  const answer = await client.answer();
  client.destroy();
  return answer.status;
}

async function passingOf(requests: number, secret: string): Promise<number> {
  const codes = await Promise.all(Array.from({ length: requests }, () => status(secret)));
  expect(codes.filter(code => code !== 200 && code !== 429)).toEqual([]);
  return codes.filter(code => code === 200).length;
}

interface Pair {
  readonly owner: string;
  readonly token: { readonly id: string; readonly secret: string };
  readonly ofToken: ClusterShard;
  readonly ofAccount: ClusterShard;
}

let names = 0;
/** A token and its account that lie on different servers, neither of them where tokens themselves are kept. */
async function apart(ofToken: number, ofAccount: number): Promise<Pair> {
  const unit = cluster.shardOf(keys.meta);
  for (;;) {
    const owner = `account-${++names}`;
    const accountAt = cluster.shardOf(keys.limits({ kind: 'account', id: owner }));
    if (accountAt === unit) continue;
    const made = await admin('POST', '/v1/accounts', { id: owner, limits: [lifetime(ofAccount)] });
    expect(made.status, made.text).toBe(201);
    for (;;) {
      const answer = await admin('POST', '/v1/tokens', { owner, limits: [lifetime(ofToken)] });
      expect(answer.status, answer.text).toBe(201);
      const { id } = answer.body['token'] as { id: string };
      const tokenAt = cluster.shardOf(keys.limits({ kind: 'token', id }));
      if (tokenAt === unit || tokenAt === accountAt) continue;
      const token = { id, secret: answer.body['secret'] as string };
      return { owner, token, ofToken: tokenAt, ofAccount: accountAt };
    }
  }
}

const lifetime = (max: number) => ({ name: 'n', max, per: 'lifetime' });

async function used({ owner, token }: Pair): Promise<{ token: unknown; account: unknown }> {
  const of = async (path: string): Promise<unknown> => {
    const { status: code, body, text } = await admin('GET', `/v1/${path}/usage`);
    expect(code, text).toBe(200);
    const [{ used: n, remaining }] = body['limits'] as [{ used: number; remaining: number }];
    return [n, remaining];
  };
  return { token: await of(`tokens/${token.id}`), account: await of(`accounts/${owner}`) };
}

test(
  'both are charged or neither, whichever is spent',
  async () => {
    const accountIsSpent = await apart(20, 6);
    expect(await passingOf(20, accountIsSpent.token.secret)).toBe(6);
    expect(await used(accountIsSpent)).toEqual({ token: [6, 14], account: [6, 0] });
    const tokenIsSpent = await apart(6, 20);
    expect(await passingOf(20, tokenIsSpent.token.secret)).toBe(6);
    expect(await used(tokenIsSpent)).toEqual({ token: [6, 0], account: [6, 14] });
    const tooMuch = await apart(20, 4);
    expect(await status(tooMuch.token.secret, '/five')).toBe(429);
    expect(await used(tooMuch)).toEqual({ token: [0, 20], account: [0, 4] });
    expect(upstream.requests.length).toBe(12);
  },
  patience(60_000),
);

test.each([['account'], ['token']] as const)(
  'while the server of the %s’s is away nothing passes, and nothing stays charged to the other',
  async which => {
    const pair = await apart(20, 10);
    // The token itself is known here; its units are not asked for yet.
    expect(await status(pair.token.secret, '/unknown')).toBe(404);
    const { master } = which === 'account' ? pair.ofAccount : pair.ofToken;
    await master.suspend();
    try {
      const codes = await Promise.all(Array.from({ length: 5 }, () => status(pair.token.secret)));
      expect([...new Set(codes)]).toEqual([503]);
    } finally {
      master.resume();
    }
    expect(upstream.requests.length).toBe(0);
    await expect.poll(() => status(pair.token.secret), { timeout: 15_000 }).toBe(200);
    expect(await passingOf(30, pair.token.secret)).toBe(9);
    expect(await used(pair)).toEqual({ token: [10, 10], account: [10, 0] });
  },
  patience(60_000),
);
