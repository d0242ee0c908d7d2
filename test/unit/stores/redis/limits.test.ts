import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Claim } from '../../../../src/core/ledger.ts';
import { type Limit, ledgerName } from '../../../../src/core/limit.ts';
import { noUsage } from '../../../../src/core/usage.ts';
import { openRedisStore } from '../../../../src/stores/redis/open.ts';
import type { Store } from '../../../../src/stores/store.ts';
import { aClaim } from '../../../support/claims.ts';
import { CommandCounter } from '../../../support/command-counter.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { RedisServer } from '../../../support/redis.ts';
import { patience } from '../../../support/tiers.ts';

let server: RedisServer;
const opened: Store[] = [];
beforeAll(async () => {
  server = await RedisServer.start();
});
afterAll(async () => {
  for (const store of opened) await store.close();
  await RedisServer.stopAll();
});

async function open(): Promise<{ store: Store; prefix: string }> {
  const prefix = `t${randomBytes(6).toString('hex')}:`;
  const deadlines = { deadlineMs: patience(10_000), mutationDeadlineMs: patience(10_000) };
  const store = await openRedisStore({ endpoint: server.endpoint, prefix, clock: new ManualClock(), ...deadlines });
  opened.push(store);
  return { store, prefix };
}

const aLimit = (per: Limit['per']): Limit => ({ name: 'calls', max: 1000, per, algorithm: 'window', burst: 1000 });
const claim = (more: Partial<Claim>): Claim => aClaim('p1', more);
const about = (id: string, limit: Limit, more: Partial<Claim>) => ({
  subject: { kind: 'token' as const, id },
  version: 1,
  limits: [limit],
  claims: [{ ledger: ledgerName(limit), label: null, claim: claim(more) }],
});
const around = { roll: null, processes: 1 };
const ids = Array.from({ length: 500 }, (_, i) => `t${i}`);

test('a second of 500 tokens costs one command for their limits and one for their usage', async () => {
  const { store } = await open();
  const tick = async (number: number): Promise<void> => {
    await store.limits.exchange(
      ids.map(id => about(id, aLimit('lifetime'), { want: 5 })),
      around,
    );
    const usage = { ...noUsage, allowed: 1 };
    await store.usage.report({ process: 'p1', number, entries: ids.map(tokenId => ({ tokenId, hour: 0, usage })) });
  };
  // Scripts go along as text once.
  await tick(1);
  await store.feed.head();
  const counter = await CommandCounter.start(server, '0');
  await tick(2);
  await tick(3);
  await store.feed.head();
  await expect.poll(() => counter.counts['feed'], { timeout: 10_000 }).toBe(1);
  await expect.poll(() => counter.counts).toEqual({ limits: 2, usage: 2, feed: 1 });
  counter.end();
  expect((await store.usage.total('t499'))!.allowed).toBe(3);
});

test('ledgers of windows end with their time, heads and lifetime do not', async () => {
  const { store, prefix } = await open();
  const client = server.client();
  for (const per of ['1s', '1h', 'lifetime'] as const) {
    await store.limits.exchange([about(per, aLimit(per), { need: 1 })], around);
    const [name = ''] = await client.keys(`${prefix}{${per}}:limit:*`);
    const [now, ends] = [Date.now(), Number(await client.call('PEXPIRETIME', name))];
    if (per === 'lifetime') expect(ends).toBe(-1);
    else {
      const [length, kept] = per === '1s' ? [1000, 60_000] : [3_600_000, 3_600_000];
      expect(ends % length).toBe(0);
      expect(ends).toBeGreaterThan(now + kept - 10_000);
      expect(ends).toBeLessThanOrEqual(now + kept + length);
    }
    expect(await client.call('PTTL', `${prefix}{${per}}:limits`)).toBe(-1);
  }
});

test('where memory is out nothing is granted, and what is reported and given back is taken', async () => {
  const { store } = await open();
  const limit = aLimit('lifetime');
  const [first] = await store.limits.exchange(
    [about('a', limit, { need: 10 }), about('b', limit, { need: 1 })],
    around,
  );
  const { number, granted } = first!.answers[0]!.answer;
  const client = server.client();
  await client.config('SET', 'maxmemory', '1');
  try {
    const held = { number, granted };
    const needs = about('b', limit, { number: 1, granted: 1, need: 5 });
    await expect(store.limits.exchange([needs], around)).rejects.toMatchObject({ name: 'StoreUnavailable' });
    const wants = about('a', limit, { ...held, spent: 4, want: 50 });
    const [answer, none] = await store.limits.exchange([wants, needs], around);
    expect(answer!.answers[0]!.answer).toMatchObject({ granted: 10, spent: 4, used: 4 });
    expect(none).toBeNull();
    const [back] = await store.limits.exchange([about('a', limit, { ...held, spent: 4, back: 6 })], around);
    expect(back!.answers[0]!.answer).toMatchObject({ returned: 6, remaining: 996 });
  } finally {
    await client.config('SET', 'maxmemory', '0');
  }
});

test('a store that has lost its identity answers nothing about limits, and takes no usage', async () => {
  const { store, prefix } = await open();
  const limit = aLimit('1h');
  await store.limits.exchange([about('a', limit, { need: 10 })], around);
  await server.client().del(`${prefix}{s}:meta`);
  const lost = { name: 'StoreUnavailable' };
  await expect(store.limits.exchange([about('a', limit, {})], around)).rejects.toMatchObject(lost);
  await expect(store.limits.read({ kind: 'token', id: 'a' }, 1, [limit])).rejects.toMatchObject(lost);
  await expect(store.limits.define({ kind: 'token', id: 'a' }, 2, [])).rejects.toMatchObject(lost);
  await expect(store.limits.reset({ kind: 'token', id: 'a' }, ledgerName(limit))).rejects.toMatchObject(lost);
  const entries = [{ tokenId: 'a', hour: 0, usage: { ...noUsage, allowed: 1 } }];
  await expect(store.usage.report({ process: 'p1', number: 1, entries })).rejects.toMatchObject(lost);
  expect(await server.client().exists(`${prefix}{a}:total`)).toBe(0);
});

test('what its caller has given up does not happen later', async () => {
  const { prefix } = await open();
  const late = { deadlineMs: 200, mutationDeadlineMs: 200 };
  const store = await openRedisStore({ endpoint: server.endpoint, prefix, clock: new ManualClock(), ...late });
  opened.push(store);
  const limit = aLimit('lifetime');
  const subject = { kind: 'token', id: 'a' } as const;
  await store.limits.exchange([about('a', limit, { need: 1 })], around);
  await server.suspend();
  const began = performance.now();
  const asked = store.limits.exchange([about('a', limit, { number: 1, granted: 1, need: 7 })], around);
  await expect(asked).rejects.toThrow();
  await expect.poll(() => performance.now() - began).toBeGreaterThan(late.mutationDeadlineMs + 10);
  server.resume();
  const watcher = (await openRedisStore({
    endpoint: server.endpoint,
    prefix,
    clock: new ManualClock(),
  })) satisfies Store;
  opened.push(watcher);
  expect(await watcher.limits.read(subject, 1, [])).toMatchObject([{ leased: 1, remaining: 999 }]);
});

test('whoever listens hears that something may be lost, when it was disconnected', async () => {
  const { store } = await open();
  const heard: string[] = [];
  const stop = new AbortController();
  store.limits.listen(({ kind }) => heard.push(kind), stop.signal);
  await expect.poll(() => heard, { timeout: 10_000 }).toEqual(['lost']);
  await server.client().call('CLIENT', 'KILL', 'TYPE', 'pubsub');
  await expect.poll(() => heard, { timeout: 10_000 }).toEqual(['lost', 'lost']);
  stop.abort();
  const subscribers = async () => String(await server.client().call('CLIENT', 'LIST', 'TYPE', 'pubsub')).trim();
  await expect.poll(subscribers, { timeout: 10_000 }).toBe('');
});

test('what others publish on the channel is heard only where it could have been said', async () => {
  const { store } = await open();
  const heard: string[] = [];
  const stop = new AbortController();
  store.limits.listen(notice => heard.push('recall' in notice ? String(notice.recall) : notice.kind), stop.signal);
  await expect.poll(() => heard, { timeout: 10_000 }).toEqual(['lost']);
  const client = server.client();
  const [channel] = (await client.call('PUBSUB', 'CHANNELS')) as string[];
  for (const recall of ['NaN', 'Infinity', '1e300', '-1', '0x10', '9'.repeat(300)]) {
    await client.publish(channel!, `recall t1 0 ${recall} calls:lifetime:window`);
    await client.publish(channel!, `recall t1 ${recall}. 1 calls:lifetime:window`);
  }
  await client.publish(channel!, 'recall t1 0 7 calls:lifetime:window');
  await expect.poll(() => heard.length, { timeout: 10_000 }).toBe(2);
  expect(heard).toEqual(['lost', '7']);
  stop.abort();
});
