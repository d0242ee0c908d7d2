import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { createToken } from '../../src/stores/redis/scripts/create-token.ts';
import { replaceToken, revokeToken } from '../../src/stores/redis/scripts/replace-token.ts';
import { below, pick, randomFrom, seed } from '../support/random.ts';
import { type Asked, redisFleet, times, until } from '../support/redis-fleet.ts';
import type { Mode } from '../support/resp-proxy.ts';

/** The whole program behind a network that loses, keeps and delays what passes between it and Redis. */

const fleet = redisFleet();

/** A test machine is slow, and no bound of the product: how much later than promised an answer may come. */
const slack = 1500;
const mebibyte = 1 << 20;

const of = (asked: readonly Asked[], what: string): Asked[] => asked.filter(one => one.what === what);
const statuses = (asked: readonly Asked[]): number[] => [...new Set(asked.map(({ status }) => status))].sort();
const is = (script: { readonly sha: string }) => (bytes: Buffer) => bytes.includes(script.sha);
const mint = () => fleet.near.mint({ permissions: ['api'] });

const outages: [string, () => Promise<void>, () => Promise<void>][] = [
  ['that swallows everything', () => fleet.proxy.be({ kind: 'swallow' }), () => fleet.proxy.be({ kind: 'pass' })],
  ['that is cut in two', () => fleet.proxy.be({ kind: 'hold' }), () => fleet.proxy.be({ kind: 'pass' })],
  ['that delays', () => fleet.proxy.be({ kind: 'delay', ms: 2000 }), () => fleet.proxy.be({ kind: 'pass' })],
  ['that refuses', () => fleet.proxy.be({ kind: 'refuse' }), () => fleet.proxy.be({ kind: 'pass' })],
];

describe('a network', () => {
  test.each(outages)(
    '%s: known tokens work for the bound, unknown ones are 503 in time, none is refused, none outlives its end',
    async (_name, begin, end) => {
      const { far, near } = fleet;
      const [known, revoked, unknown] = [await mint(), await mint(), await mint()];
      for (const { secret } of [known, revoked]) expect(await far.status('/api/x', secret)).toBe(200);
      const memory = far.program.memory.now;
      const began = performance.now();
      await begin();
      const secrets = { known: known.secret, revoked: revoked.secret, unknown: unknown.secret };
      const asking = fleet.ask(secrets, times.bound + 1200);
      expect((await near.admin('DELETE', `/v1/tokens/${revoked.id}`)).status).toBe(202);
      const acknowledged = performance.now();
      const asked = await asking;

      expect(asked.length).toBeGreaterThan(150);
      for (const { took } of asked) expect(took).toBeLessThan(times.deadline + slack);
      expect(statuses(of(asked, 'unknown'))).toEqual([503]);
      expect(statuses(of(asked, 'known'))).toEqual([200, 503]);
      const early = of(asked, 'known').filter(({ sent }) => sent < began + times.bound / 3);
      expect(statuses(early)).toEqual([200]);
      const late = of(asked, 'known').filter(({ sent }) => sent > began + times.bound + 500);
      expect(statuses(late)).toEqual([503]);
      const dead = of(asked, 'revoked').filter(({ sent }) => sent > acknowledged + times.bound);
      expect(statuses(dead)).toEqual([503]);
      expect(far.program.memory.now - memory).toBeLessThan(100 * mebibyte);
      // One for reads, one for changes, one for the feed; others may be on their way out.
      expect(fleet.proxy.connections).toBeLessThan(12);

      await end();
      await until(() => far.status('/api/x', known.secret), 200);
      await until(() => far.status('/api/x', unknown.secret), 200);
      expect(await far.status('/api/x', revoked.secret)).toBe(401);
      await until(async () => (await far.admin('POST', '/v1/tokens', {})).status, 201);
      await until(async () => (await fetch(`${far.telemetry}/readyz`)).status, 200);
    },
  );

  test('that flaps leaves neither connections nor a flood of lines', async () => {
    const { secret } = await mint();
    const lines = fleet.far.program.lines.filter(line => 'level' in line && line['path'] === undefined).length;
    for (let i = 0; i < 10; i++) {
      await fleet.proxy.be({ kind: i % 2 === 0 ? 'refuse' : 'swallow' });
      await pause(150);
      await fleet.proxy.be({ kind: 'pass' });
      await pause(150);
      fleet.proxy.reset();
    }
    await until(() => fleet.far.status('/api/x', secret), 200);
    await expect.poll(() => fleet.proxy.connections, { timeout: 5000 }).toBeLessThanOrEqual(3);
    const said = fleet.far.program.lines.filter(line => 'level' in line && line['path'] === undefined);
    expect(said.length - lines).toBeLessThan(80);
  });
});

describe('a change', () => {
  test('that was given up during a partition does not happen after it', async () => {
    await fleet.proxy.be({ kind: 'hold' });
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => fleet.create(`late-${i}`)));
    expect(statuses(answers.map(({ status }) => ({ what: '', sent: 0, took: 0, status })))).toEqual([503]);
    // All deadlines have passed; what was sent arrives now.
    await pause(200);
    await fleet.proxy.be({ kind: 'pass' });
    await until(async () => (await fleet.create(fleet.fresh('after'))).status, 201);
    await pause(500);
    expect([...(await fleet.named()).keys()].filter(name => name.startsWith('late-'))).toEqual([]);
  });

  test('whose answer is lost is 503 with an unknown outcome; asked for again with its key, it is the same', async () => {
    await fleet.create('warm');
    const { cuts } = fleet.proxy.seen;
    fleet.proxy.cutAnswerOf(is(createToken));
    const lost = await fleet.create('once');
    expect(lost.status).toBe(503);
    expect(lost.body).toMatchObject({ code: 'store_unavailable', outcome: 'unknown' });
    expect(fleet.proxy.seen.cuts).toBe(cuts + 1);
    const [id] = (await fleet.named()).get('once')!;
    await until(async () => (await fleet.create('once')).status, 201);
    expect((await fleet.create('once')).body).toMatchObject({ token: { id } });
    expect((await fleet.named()).get('once')).toEqual([id]);
  });

  test('that revokes, whose answer is lost, holds all the same within the bound', async () => {
    const [warm, token] = [await mint(), await mint()];
    await fleet.far.admin('DELETE', `/v1/tokens/${warm.id}`);
    expect(await fleet.far.status('/api/x', token.secret)).toBe(200);
    fleet.proxy.cutAnswerOf(is(revokeToken));
    const lost = await fleet.far.admin('DELETE', `/v1/tokens/${token.id}`);
    expect([lost.status, lost.body['outcome']]).toEqual([503, 'unknown']);
    await until(() => fleet.far.status('/api/x', token.secret), 401, times.bound + slack);
  });

  test(`happens once or not at all, whatever the network does (seed ${seed})`, async () => {
    const random = randomFrom(seed);
    const first = new Map<string, unknown>();
    const rounds = 6;
    for (let i = 0; i < rounds; i++) {
      const mode: Mode = pick(random, [
        { kind: 'pass' },
        { kind: 'delay', ms: below(random, 1500) },
        { kind: 'hold' },
        { kind: 'hold-from', match: is(createToken) },
        { kind: 'swallow' },
      ]);
      if (below(random, 3) === 0) fleet.proxy.cutAnswerOf(is(createToken));
      await fleet.proxy.be(mode);
      const healed = pause(below(random, 1300)).then(() => fleet.proxy.be({ kind: 'pass' }));
      const made = await Promise.all([fleet.create(`r${i}-a`), fleet.create(`r${i}-b`)]);
      for (const [k, { status, body }] of made.entries()) {
        expect([201, 503], JSON.stringify(mode)).toContain(status);
        if (status === 201) first.set(`r${i}-${'ab'[k]}`, (body['token'] as { id: string }).id);
      }
      await healed;
    }
    fleet.proxy.cutAnswerOf(() => false);
    await pause(times.mutation);
    const before = await fleet.named();
    await pause(500);
    expect(await fleet.named()).toEqual(before);
    for (let i = 0; i < rounds; i++) {
      for (const name of [`r${i}-a`, `r${i}-b`]) {
        const ids = before.get(name) ?? [];
        expect(ids.length).toBeLessThanOrEqual(1);
        if (first.has(name)) expect(ids).toEqual([first.get(name)]);
        await until(async () => (await fleet.create(name)).status, 201);
        const now = (await fleet.named()).get(name)!;
        expect(now).toHaveLength(1);
        if (ids.length === 1) expect(now).toEqual(ids);
      }
    }
  });
});

test('writes that are held up hold up neither look-ups nor the feed', async () => {
  const { far, near, proxy } = fleet;
  const [known, unknown, revoked] = [await mint(), await mint(), await mint()];
  for (const { secret } of [known, revoked]) expect(await far.status('/api/x', secret)).toBe(200);
  const writes = [createToken, replaceToken, revokeToken].map(is);
  await proxy.be({ kind: 'hold-from', match: bytes => writes.some(match => match(bytes)) });
  const held = fleet.create('held');
  const asked = await fleet.ask({ known: known.secret, unknown: unknown.secret }, 2 * times.bound, 100);
  expect(statuses(asked)).toEqual([200]);
  expect((await held).body).toMatchObject({ code: 'store_unavailable', outcome: 'unknown' });
  await near.admin('DELETE', `/v1/tokens/${revoked.id}`);
  await until(() => far.status('/api/x', revoked.secret), 401, times.bound + slack);
  await proxy.be({ kind: 'pass' });
  await until(async () => (await fleet.create(fleet.fresh('after'))).status, 201);
  expect((await fleet.named()).has('held')).toBe(false);
});

// The last one: it ends the program.
test('a network that is gone does not keep the program from ending', async () => {
  const { secret } = await mint();
  expect(await fleet.far.status('/api/x', secret)).toBe(200);
  await fleet.proxy.be({ kind: 'swallow' });
  const asking = fleet.ask({ secret }, 200);
  void fleet.create('given-up').catch(() => {});
  await asking;
  const began = performance.now();
  expect(await fleet.far.stop({ keep: true })).toBe(0);
  expect(performance.now() - began).toBeLessThan(10_000);
});
