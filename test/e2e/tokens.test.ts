import { Agent, request } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Program } from '../support/program.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { Served } from '../support/served.ts';

/** Tokens over HTTP, against the program in a process of its own. */

/** How many are made, and listed on some 75 pages. */
const count = Number(process.env['POSTERN_LISTED'] ?? 4000);
const limit = Math.floor(count / 74);

const upstream = new RecordingUpstream();
let served: Served;
const agent = new Agent({ keepAlive: true, maxSockets: 32 });

const config = (more = ''): string => `
upstreams: { u: { url: "${upstream.url}" } }
routes:
  - { path: /api/**, require: api }
  - { path: /admin/**, require: admin }
log: { access: none }
guard: { failures: 0 }
store: { kind: embedded, path: ./data, deadline: 5s }
${more}`;

beforeAll(async () => {
  await upstream.listen();
  served = await Served.start({ config: config() });
});
afterAll(async () => {
  agent.destroy();
  await Program.killAll();
  await served.remove();
  await upstream.close();
});

/** `fetch` is too slow for thousands. */
function call(
  method: string,
  target: string,
  body?: unknown,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const text = body === undefined ? '' : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port: served.ports.admin,
        method,
        path: target,
        agent,
        headers: {
          Authorization: `Bearer ${served.adminKey}`,
          ...(body === undefined
            ? {}
            : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }),
        },
      },
      answer => {
        const pieces: Buffer[] = [];
        answer.on('data', (piece: Buffer) => pieces.push(piece));
        answer.on('end', () =>
          resolve({
            status: answer.statusCode!,
            body: JSON.parse(Buffer.concat(pieces).toString()) as Record<string, unknown>,
          }),
        );
        answer.on('error', reject);
      },
    );
    outgoing.on('error', reject);
    outgoing.end(text);
  });
}

/** Every page of a list. */
async function list(query: string, between: () => Promise<unknown> = async () => {}): Promise<string[]> {
  const ids: string[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const { status, body } = await call('GET', `/v1/tokens?${query}${cursor === '' ? '' : `&cursor=${cursor}`}`);
    expect(status).toBe(200);
    const tokens = body['tokens'] as { id: string }[];
    expect(tokens.length).toBeLessThanOrEqual(Number(/limit=(\d+)/.exec(query)?.[1] ?? 100));
    ids.push(...tokens.map(({ id }) => id));
    cursor = body['next_cursor'] as string | null;
    await between();
  }
  return ids;
}

describe(`${count} tokens`, () => {
  const ids: string[] = [];
  const secrets = new Set<string>();

  test('are made, 32 at a time, each with an id and a secret of its own', async () => {
    let next = 0;
    const lanes = Array.from({ length: 32 }, async () => {
      for (let i = next++; i < count; i = next++) {
        const { status, body } = await call('POST', '/v1/tokens', {
          name: `t${i}`,
          permissions: ['api'],
          tags: i % 100 === 0 ? ['hundredth', 'first'] : ['first'],
        });
        expect(status).toBe(201);
        ids.push((body['token'] as { id: string }).id);
        secrets.add(body['secret'] as string);
      }
    });
    await Promise.all(lanes);
    expect([ids.length, new Set(ids).size, secrets.size]).toEqual([count, count, count]);
  }, 60_000);

  test('are listed by cursor without loss or repetition, while others are made and some revoked', async () => {
    const made: Promise<unknown>[] = [];
    const revoked = new Set<string>();
    const listed = await list(`limit=${limit}&tag=first`, async () => {
      made.push(call('POST', '/v1/tokens', { name: 'meanwhile', tags: ['later'] }));
      // One that is listed already, so that places in the list change under the cursor.
      const victim = ids[revoked.size * 7]!;
      revoked.add(victim);
      await call('DELETE', `/v1/tokens/${victim}`);
    });
    await Promise.all(made);
    expect(made.length).toBeGreaterThan(70);
    const seen = new Set(listed);
    expect(seen.size, 'no repetition').toBe(listed.length);
    const missing = ids.filter(id => !seen.has(id) && !revoked.has(id));
    expect(missing, 'no loss').toEqual([]);
    expect((await list('limit=1000&tag=first')).length).toBe(count - revoked.size);
    expect(new Set(await list('limit=1000&tag=first&state=revoked'))).toEqual(revoked);
    expect((await list('limit=10&tag=hundredth')).length).toBeGreaterThan(0.9 * (count / 100));
  });

  test('work, whichever is used', async () => {
    const some = [...secrets].filter((_, i) => i % (count / 20) === count / 20 - 1);
    const statuses = await Promise.all(some.map(secret => served.status('/api/x', secret)));
    // Some of them were revoked meanwhile.
    expect(statuses.filter(status => status === 200).length).toBeGreaterThan(15);
    expect(new Set(statuses).difference(new Set([200, 401])).size).toBe(0);
  });
});

describe('on the process that took it, a change holds before it is answered', () => {
  test('a token that is revoked, disabled, expired or without its permission stops with the next request', async () => {
    for (let round = 0; round < 20; round++) {
      const { id, secret } = await served.mint({ permissions: ['api'] });
      expect(await served.status('/api/x', secret)).toBe(200);
      await served.admin('POST', `/v1/tokens/${id}/disable`);
      expect(await served.status('/api/x', secret)).toBe(401);
      await served.admin('POST', `/v1/tokens/${id}/enable`);
      expect(await served.status('/api/x', secret)).toBe(200);
      await served.admin('PATCH', `/v1/tokens/${id}`, { permissions: ['admin'] });
      expect([await served.status('/api/x', secret), await served.status('/admin/x', secret)]).toEqual([403, 200]);
      await served.admin('PATCH', `/v1/tokens/${id}`, { permissions: ['api'], not_before: '2090-01-01T00:00:00Z' });
      expect(await served.status('/api/x', secret)).toBe(401);
      await served.admin('PATCH', `/v1/tokens/${id}`, { not_before: null, expires_at: '2020-01-01T00:00:00Z' });
      expect(await served.status('/api/x', secret)).toBe(401);
      await served.admin('PATCH', `/v1/tokens/${id}`, { expires_at: null });
      expect(await served.status('/api/x', secret)).toBe(200);
      await served.admin('DELETE', `/v1/tokens/${id}`);
      expect(await served.status('/api/x', secret)).toBe(401);
    }
  });

  test('a rotated secret stops at once without grace, and at its end with it', async () => {
    const { id, secret } = await served.mint({ permissions: ['api'] });
    const first = await served.admin('POST', `/v1/tokens/${id}/rotate`);
    const next = first.body['secret'] as string;
    expect([await served.status('/api/x', secret), await served.status('/api/x', next)]).toEqual([401, 200]);
    const second = await served.admin('POST', `/v1/tokens/${id}/rotate`, { grace: '700ms' });
    const at = performance.now();
    const last = second.body['secret'] as string;
    expect([await served.status('/api/x', next), await served.status('/api/x', last)]).toEqual([200, 200]);
    await expect.poll(() => served.status('/api/x', next), { timeout: 5000, interval: 20 }).toBe(401);
    expect(performance.now() - at).toBeGreaterThan(600);
    expect(await served.status('/api/x', last)).toBe(200);
  });

  test('everything of an account stops with the account', async () => {
    await served.admin('POST', '/v1/accounts', { id: 'acme' });
    const tokens = await Promise.all(
      Array.from({ length: 5 }, () => served.mint({ owner: 'acme', permissions: ['api'] })),
    );
    const all = (): Promise<number[]> => Promise.all(tokens.map(({ secret }) => served.status('/api/x', secret)));
    expect(new Set(await all())).toEqual(new Set([200]));
    await served.admin('PATCH', '/v1/accounts/acme', { enabled: false });
    expect(new Set(await all())).toEqual(new Set([401]));
    await served.admin('PATCH', '/v1/accounts/acme', { enabled: true });
    expect(new Set(await all())).toEqual(new Set([200]));
    await served.admin('DELETE', '/v1/tokens?owner=acme');
    expect(new Set(await all())).toEqual(new Set([401]));
    const later = await served.mint({ owner: 'acme', permissions: ['api'] });
    expect(await served.status('/api/x', later.secret)).toBe(200);
  });
});

describe('usage', () => {
  const totalOf = async (on: Served, id: string): Promise<Record<string, unknown>> =>
    (await on.admin('GET', `/v1/tokens/${id}/usage`)).body['total'] as Record<string, unknown>;

  test('is what was sent, whatever it was', async () => {
    const { id, secret } = await served.mint({ permissions: ['api'] });
    const other = await served.mint({ permissions: ['api'] });
    upstream.script = ({ request: { target }, write, socket }) => {
      if (target === '/api/reset') return void socket.resetAndDestroy();
      const status = Number(/(\d{3})$/.exec(target)?.[1] ?? 200);
      const body = status === 204 || status === 304 ? '' : 'x'.repeat(10);
      write(`HTTP/1.1 ${status} X\r\n${body === '' ? '' : `Content-Length: ${body.length}\r\n`}\r\n${body}`);
    };
    const sent: [times: number, target: string, init?: RequestInit][] = [
      [40, '/api/x'],
      [7, '/api/x', { method: 'POST', body: 'y'.repeat(100) }],
      [5, '/api/404'],
      [4, '/api/500'],
      [3, '/api/204'],
      [2, '/api/302', { redirect: 'manual' }],
      [6, '/api/reset', { method: 'POST', body: 'z' }],
      [9, '/admin/x'],
      [8, '/nowhere'],
    ];
    const requests = sent.flatMap(([times, target, init]) =>
      Array.from({ length: times }, () => () => served.status(target, secret, init)),
    );
    await Promise.all(requests.map(send => send()));
    await served.status('/api/x', other.secret);
    const total = await totalOf(served, id);
    expect(total).toMatchObject({
      allowed: 40 + 7 + 5 + 4 + 3 + 2 + 6,
      refused: { insufficient_scope: 9 },
      status: { '2xx': 40 + 7 + 3, '3xx': 2, '4xx': 5 + 9, '5xx': 4 + 6 },
      bytes_in: 7 * 100 + 6,
    });
    expect(total['bytes_out']).toBeGreaterThanOrEqual(10 * (40 + 7 + 5 + 4 + 2));
    expect(Date.now() - Date.parse(total['last_used_at'] as string)).toBeLessThan(60_000);
    expect(await totalOf(served, other.id)).toMatchObject({ allowed: 1, refused: {}, bytes_in: 0 });
  });

  test('and tokens survive a restart, and a kill costs at most the last second of it', async () => {
    upstream.reset();
    let own = await Served.start({ config: config() });
    const { folder } = own;
    const { id, secret } = await own.mint({ permissions: ['api'] });
    const revoked = await own.mint({ permissions: ['api'] });
    await own.admin('DELETE', `/v1/tokens/${revoked.id}`);
    for (let i = 0; i < 25; i++) expect(await own.status('/api/x', secret)).toBe(200);
    expect(await own.stop({ keep: true })).toBe(0);

    own = await Served.start({ config: config(), folder });
    expect(await own.status('/api/x', revoked.secret)).toBe(401);
    expect(await totalOf(own, id)).toMatchObject({ allowed: 25 });
    // Traffic that goes on over the kill. What was answered more than a second before it must have been counted.
    const answered: number[] = [];
    const lanes = Array.from({ length: 4 }, async () => {
      for (;;) {
        try {
          if ((await own.status('/api/x', secret)) === 200) answered.push(performance.now());
        } catch {
          return;
        }
      }
    });
    const started = performance.now();
    await expect.poll(() => performance.now() - started, { interval: 50, timeout: 5000 }).toBeGreaterThan(2200);
    const killedAt = performance.now();
    await own.program.kill();
    await Promise.all(lanes);

    own = await Served.start({ config: config(), folder });
    const { allowed } = (await totalOf(own, id)) as { allowed: number };
    const safe = answered.filter(at => at < killedAt - 1100).length;
    expect(answered.length).toBeGreaterThan(100);
    expect(allowed).toBeGreaterThanOrEqual(25 + safe);
    // Requests whose answers were on their way may be counted; none is counted twice.
    expect(allowed).toBeLessThanOrEqual(25 + answered.length + 4);
    expect(await own.status('/api/x', secret)).toBe(200);
    expect(await own.status('/api/x', revoked.secret)).toBe(401);
    await own.stop();
  }, 60_000);
});
