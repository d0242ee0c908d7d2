import { connect } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Postern } from '../support/postern.ts';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { patience } from '../support/tiers.ts';

/** Limits over sockets, on the embedded store. */

let upstream: RecordingUpstream;
let here: Postern;

beforeAll(async () => {
  upstream = await new RecordingUpstream().listen();
  here = await Postern.start({
    upstream: upstream.url,
    upstreamMembers: 'queue: { size: 20000, timeout: 60s }',
    routes: `
  - { path: /one, upstream: u }
  - { path: /five, cost: 5, upstream: u }
  - { path: /shadow, mode: shadow, upstream: u }`,
    more: 'log: { access: none }\nlimits: { wait: 30s }',
  });
});
afterEach(async () => {
  await RawClient.closeAll();
  await here.quiet();
  upstream.reset();
});
afterAll(async () => {
  await here.stop();
  await upstream.close();
});

interface Use {
  readonly name: string;
  readonly used: number;
  readonly remaining: number;
}

const request = (secret: string, target = '/one'): string =>
  `GET ${target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${secret}\r\n\r\n`;

async function ask(secret: string, target = '/one') {
  const client = await RawClient.open(here.port);
  client.write(request(secret, target));
  const answer = await client.answer();
  client.destroy();
  return answer;
}

async function uses(path: string): Promise<readonly Use[]> {
  const { status, body, text } = await here.admin('GET', `/v1/${path}/usage`);
  expect(status, text).toBe(200);
  return body['limits'] as readonly Use[];
}

const lifetime = (max: number, name = 'n') => ({ name, max, per: 'lifetime' });
const mint = (limits: readonly unknown[], more = {}) => here.mint({ limits, ...more });

async function anAccount(limits: readonly unknown[]): Promise<string> {
  const { status, body, text } = await here.admin('POST', '/v1/accounts', { limits });
  expect(status, text).toBe(201);
  return body['id'] as string;
}

/** So many requests at the same time, on so many connections; statuses and how often each came. */
async function flood(secret: string, requests: number, connections: number): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {};
  const own = (i: number): number => Math.floor(requests / connections) + (i < requests % connections ? 1 : 0);
  const one = (left: number): Promise<void> =>
    new Promise((resolve, reject) => {
      if (left === 0) return resolve();
      let rest: Buffer = Buffer.alloc(0);
      let open = left;
      const socket = connect(here.port, '127.0.0.1', () => socket.write(request(secret)));
      socket.on('error', reject);
      socket.on('data', piece => {
        rest = Buffer.concat([rest, Buffer.from(piece)]);
        const end = rest.indexOf('\r\n\r\n');
        if (end === -1) return;
        const head = rest.toString('latin1', 0, end);
        const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
        if (rest.length < end + 4 + length) return;
        rest = rest.subarray(end + 4 + length);
        const status = head.slice(9, 12);
        counts[status] = (counts[status] ?? 0) + 1;
        if (--open === 0) {
          socket.destroy();
          resolve();
        } else socket.write(request(secret));
      });
    });
  await Promise.all(Array.from({ length: connections }, (_, i) => one(own(i))));
  return counts;
}

const rounds = Number(process.env['POSTERN_LIMIT_RUNS'] ?? 1);
const offered = Number(process.env['POSTERN_LIMIT_REQUESTS'] ?? 2000);
const most = offered / 10;

describe(`of ${offered} requests at once exactly ${most} pass a limit of ${most}`, () => {
  for (let round = 0; round < rounds; round++) {
    test(`each on a connection of its own (${round})`, { timeout: patience(60_000) }, async () => {
      const { id, secret } = await mint([lifetime(most)]);
      // The system gives so many connections to one listener at a time, and not more.
      const counts: Record<string, number> = {};
      for (let left = offered; left > 0; left -= 1000) {
        const part = Math.min(1000, left);
        for (const [status, n] of Object.entries(await flood(secret, part, part)))
          counts[status] = (counts[status] ?? 0) + n;
      }
      expect(counts).toEqual({ 200: most, 429: offered - most });
      expect(upstream.requests.length).toBe(most);
      expect(await uses(`tokens/${id}`)).toMatchObject([{ used: most, remaining: 0 }]);
    });

    test(`on kept connections (${round})`, { timeout: patience(60_000) }, async () => {
      const { id, secret } = await mint([lifetime(most)]);
      expect(await flood(secret, offered, 200)).toEqual({ 200: most, 429: offered - most });
      expect(upstream.requests.length).toBe(most);
      expect(await uses(`tokens/${id}`)).toMatchObject([{ used: most, remaining: 0 }]);
    });
  }
});

describe('a limit', () => {
  test('of 0 lets nothing pass, of 1 one request; without one there is no end', async () => {
    const none = await mint([lifetime(0)]);
    const one = await mint([lifetime(1)]);
    const free = await mint([]);
    expect((await ask(none.secret)).status).toBe(429);
    expect([(await ask(one.secret)).status, (await ask(one.secret)).status]).toEqual([200, 429]);
    for (let i = 0; i < 20; i++) expect((await ask(free.secret)).status).toBe(200);
    expect(upstream.requests.length).toBe(21);
  });

  test('refuses a cost that is more than what is left, takes nothing for it, and lets a smaller one pass', async () => {
    const { id, secret } = await mint([lifetime(7)]);
    expect((await ask(secret, '/five')).status).toBe(200);
    const refused = await ask(secret, '/five');
    expect(refused.status).toBe(429);
    expect(refused.get('retry-after')).toBeUndefined();
    expect(await uses(`tokens/${id}`)).toMatchObject([{ used: 5, remaining: 2 }]);
    expect((await ask(secret)).status).toBe(200);
    expect((await ask(secret)).status).toBe(200);
    expect((await ask(secret)).status).toBe(429);
  });

  test('refuses a cost above all that it ever has, and does not say that waiting helps', async () => {
    const { secret } = await mint([{ name: 'n', max: 4, per: '1m' }]);
    const refused = await ask(secret, '/five');
    expect(refused.status).toBe(429);
    expect(refused.get('retry-after')).toBeUndefined();
    expect((await ask(secret)).status).toBe(200);
  });

  test('says when its window ends', async () => {
    const { secret } = await mint([{ name: 'n', max: 1, per: '1h' }]);
    expect((await ask(secret)).status).toBe(200);
    const refused = await ask(secret);
    expect(refused.status).toBe(429);
    const left = 3600 - ((Date.now() / 1000) % 3600);
    expect(Math.abs(Number(refused.get('retry-after')) - left)).toBeLessThan(3);
  });

  test('is what it is called in the answer that it refuses', async () => {
    const { secret } = await mint([lifetime(0, 'trial'), lifetime(9, 'wide')]);
    const body = JSON.parse((await ask(secret)).body.toString()) as Record<string, unknown>;
    expect(body).toMatchObject({ code: 'limit_exceeded', violated_policies: ['trial'] });
  });

  test('is told beside another that is spent too: all of them are named, and waited for', async () => {
    const hour = { name: 'b', max: 2, per: '1h' };
    const bucket = { name: 'c', max: 1, per: '1mo', algorithm: 'bucket', burst: 2 };
    const told = async (limits: readonly unknown[], owner?: string) => {
      const { secret } = await mint(limits, owner === undefined ? {} : { owner });
      for (let i = 0; i < 2; i++) expect((await ask(secret)).status).toBe(200);
      const refused = await ask(secret);
      expect(refused.status).toBe(429);
      const { violated_policies } = JSON.parse(refused.body.toString()) as { violated_policies: unknown };
      return { violated_policies, wait: refused.get('retry-after') };
    };
    const day = { name: 'a', max: 2, per: '1d' };
    const both = await told([day, hour]);
    expect(both.violated_policies).toEqual(['a', 'b']);
    const left = 86_400 - ((Date.now() / 1000) % 86_400);
    expect(Math.abs(Number(both.wait) - left)).toBeLessThan(3);
    const slow = await told([day, bucket]);
    expect(slow.violated_policies).toEqual(['a', 'c']);
    expect(Math.abs(Number(slow.wait) - 30 * 86_400)).toBeLessThan(100);
    const account = await told([day], await anAccount([lifetime(2, 'all')]));
    expect(account).toEqual({ violated_policies: ['a', 'all'], wait: undefined });
  });

  test('of a second begins anew', { timeout: 20_000 }, async () => {
    const { secret } = await mint([{ name: 'n', max: 2, per: '1s' }]);
    for (let seconds = 0; seconds < 3; seconds++) {
      // As a client would that heeds Retry-After.
      await expect.poll(async () => (await ask(secret)).status, { interval: 50, timeout: 5000 }).toBe(200);
      await expect.poll(async () => (await ask(secret)).status, { interval: 10, timeout: 5000 }).toBe(429);
    }
  });

  test('of an account is shared by its tokens, and charged with theirs or not at all', async () => {
    const owner = await anAccount([lifetime(10, 'all')]);
    const [a, b] = [await mint([lifetime(8)], { owner }), await mint([lifetime(8)], { owner })];
    for (let i = 0; i < 8; i++) expect((await ask(a.secret)).status).toBe(200);
    expect((await ask(a.secret)).status).toBe(429);
    expect((await ask(b.secret)).status).toBe(200);
    expect((await ask(b.secret, '/five')).status).toBe(429);
    expect(await uses(`tokens/${b.id}`)).toMatchObject([{ used: 1, remaining: 7 }]);
    expect((await ask(b.secret)).status).toBe(200);
    expect((await ask(b.secret)).status).toBe(429);
    expect(await uses(`accounts/${owner}`)).toMatchObject([{ used: 10, remaining: 0 }]);
    expect(await uses(`tokens/${b.id}`)).toMatchObject([{ used: 2, remaining: 6 }]);
  });

  test('that is raised lets more pass, and one that is lowered no more', async () => {
    const { id, secret } = await mint([lifetime(2)]);
    const change = async (max: number) => {
      const { status, text } = await here.admin('PATCH', `/v1/tokens/${id}`, { limits: [lifetime(max)] });
      expect(status, text).toBe(200);
    };
    expect([(await ask(secret)).status, (await ask(secret)).status, (await ask(secret)).status]).toEqual([
      200, 200, 429,
    ]);
    await change(4);
    expect((await ask(secret)).status).toBe(200);
    await change(3);
    expect((await ask(secret)).status).toBe(429);
    await change(1);
    expect((await ask(secret)).status).toBe(429);
    expect(await uses(`tokens/${id}`)).toMatchObject([{ used: 3, remaining: 0 }]);
    await change(5);
    expect([(await ask(secret)).status, (await ask(secret)).status, (await ask(secret)).status]).toEqual([
      200, 200, 429,
    ]);
  });

  test('that is reset begins anew at once, also where it was refused a moment ago', async () => {
    const { id, secret } = await mint([lifetime(1)]);
    expect([(await ask(secret)).status, (await ask(secret)).status]).toEqual([200, 429]);
    expect((await here.admin('POST', `/v1/tokens/${id}/limits/n/reset`)).status).toBe(200);
    await expect.poll(async () => (await ask(secret)).status).toBe(200);
    expect((await ask(secret)).status).toBe(429);
  });

  test('in shadow mode is told in the record, and lets all pass', async () => {
    const { secret } = await mint([lifetime(1)]);
    const sample = 'postern_shadow_decisions_total{live="allowed",shadow="limit_exceeded"}';
    const before = await here.metric(sample);
    expect([(await ask(secret, '/shadow')).status, (await ask(secret, '/shadow')).status]).toEqual([200, 200]);
    await here.quiet();
    expect((await here.metric(sample)) - before).toBe(1);
  });

  test('is counted where it refuses, and tells of 80, 90 and 100 percent once each', async () => {
    const sample = (percent: number) => `postern_limit_thresholds_total{percent="${percent}"}`;
    const refusals = 'postern_limit_refusals_total{scope="token",algorithm="window"}';
    const values = async () =>
      Promise.all([sample(80), sample(90), sample(100), refusals].map(name => here.metric(name)));
    const { id, secret } = await mint([lifetime(20)]);
    const before = await values();
    for (let i = 0; i < 17; i++) await ask(secret);
    await uses(`tokens/${id}`);
    expect((await values()).map((value, i) => value - before[i]!)).toEqual([1, 0, 0, 0]);
    for (let i = 0; i < 4; i++) await ask(secret);
    await uses(`tokens/${id}`);
    expect((await values()).map((value, i) => value - before[i]!)).toEqual([1, 1, 1, 1]);
  });
});

test('asking why charges nothing, and names the limit that would refuse', async () => {
  const { id, secret } = await mint([lifetime(1, 'trial')]);
  const why = async () => {
    const { status, body, text } = await here.admin('POST', '/v1/explain', {
      token_id: id,
      request: { method: 'GET', target: '/one' },
    });
    expect(status, text).toBe(200);
    return body;
  };
  for (let i = 0; i < 3; i++) expect(await why()).toMatchObject({ allow: true });
  expect((await ask(secret)).status).toBe(200);
  await uses(`tokens/${id}`);
  expect(await why()).toMatchObject({ allow: false, status: 429, code: 'limit_exceeded' });
});

test('a bucket lets no more pass than it holds and what comes in', { timeout: 20_000 }, async () => {
  const { secret } = await mint([{ name: 'n', max: 2, per: '1s', algorithm: 'bucket', burst: 5 }]);
  const began = performance.now();
  let passed = 0;
  for (let i = 0; i < 40; i++) {
    const { status } = await ask(secret);
    if (status === 200) passed++;
    else expect(status).toBe(429);
  }
  const seconds = (performance.now() - began) / 1000;
  expect(passed).toBeGreaterThanOrEqual(5);
  expect(passed).toBeLessThanOrEqual(5 + Math.ceil(2 * seconds));
});
