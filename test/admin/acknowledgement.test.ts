import http from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Acknowledgements } from '../../src/manage/acknowledgement.ts';
import type { FeedEvent } from '../../src/ports/token-store.ts';
import type { TestedStore } from '../contract/harness.ts';
import { OtherProcess } from '../support/other-process.ts';
import { openOn, RedisServer } from '../support/redis.ts';
import { type Admin, keys, openAdmin, pointersOf, type Reply, send } from './harness.ts';

/** What a revocation answers about the processes of a fleet: one that answers, on a real Redis, and others that are played. */

let store: TestedStore;
let admin: Admin;
/** Looks at the registry so far, and the most at a time. */
let looks = { begun: 0, underWay: 0, most: 0 };
let applied: readonly FeedEvent[] = [];
/** Whether changes hold on the process that answers. */
let holds = true;

let server: Promise<RedisServer>;
beforeAll(async () => {
  server = RedisServer.start();
  await server;
});
beforeEach(async () => {
  looks = { begun: 0, underWay: 0, most: 0 };
  applied = [];
  holds = true;
  store = await openOn(() => server)();
  const registry = { ...store.registry, roll: counted };
  const clock = { wall: () => Date.now(), monotonic: () => performance.now() };
  admin = await openAdmin({
    parts: {
      store: store.tokens,
      ledger: store.usage,
      clock: store.clock,
      apply: async events => {
        applied = events;
        return holds;
      },
      acknowledgements: new Acknowledgements({ registry, feed: store.feed, clock, process: 'self' }),
    },
  });
});
afterEach(async () => {
  await admin.dispose();
  await store.dispose();
});
afterAll(() => RedisServer.stopAll());

async function counted() {
  looks.begun++;
  looks.most = Math.max(looks.most, ++looks.underWay);
  return store.registry.roll().finally(() => looks.underWay--);
}

const other = (name: string, cutOffMs = 600_000) => OtherProcess.start(store, name, cutOffMs);
const now = async (): Promise<number> => (await store.registry.roll()).now;
/** On a connection of its own, so that none waits for another. */
const revoke = (id: string, query = ''): Promise<Reply> =>
  send(admin.port, undefined, 'DELETE', `/v1/tokens/${id}${query}`);
const pendingOf = ({ json }: Reply): string[] => [...json['pending']!].map(({ process }) => process as string);

describe('a revocation', () => {
  test('answers 200 when every live process has applied it', async () => {
    const { id } = await admin.make();
    const { status, json } = await revoke(id, '?wait=2s');
    expect([status, json['acknowledged'], json['pending']]).toEqual([200, ['self'], []]);
  });

  test('answers 202 with who has not, and until when it may serve; it is out when that has passed', async () => {
    const silent = await other('silent-1', 1500);
    const prompt = await other('prompt-1');
    const { id } = await admin.make();
    await prompt.catchUp();
    await prompt.beat();
    await silent.beat();
    const before = await now();
    const reply = await revoke(id);
    const after = await now();
    expect(reply.status).toBe(202);
    expect(reply.json).toMatchObject({ token: { id, state: 'revoked' }, acknowledged: ['self'] });
    expect(pendingOf(reply)).toEqual(['prompt-1', 'silent-1']);
    const until = Date.parse(reply.json['pending']![1]!['may_serve_until']! as string);
    expect([until - 1500 >= before, until - 1500 <= after]).toEqual([true, true]);
    expect(reply.fields.etag).toBe('"2"');

    await prompt.catchUp();
    await prompt.beat();
    const settled = await revoke(id, '?wait=20s');
    expect([settled.status, settled.json['acknowledged'], settled.json['pending']]).toEqual([
      200,
      ['self', 'prompt-1'],
      [],
    ]);
    expect(await now()).toBeLessThan(until + 20_000);
  });

  test('waits for who applies it meanwhile, and tells them that it does', async () => {
    const late = await other('late-1');
    const { id } = await admin.make();
    await late.catchUp();
    const reply = revoke(id, '?wait=20s');
    const [event] = await late.hear();
    expect(event).toMatchObject({ id, awaited: true });
    await late.beat();
    expect(await reply).toMatchObject({ status: 200, json: { acknowledged: ['self', 'late-1'], pending: [] } });
    expect(applied).toEqual([event]);
  });

  test('that nobody waits for hurries nobody', async () => {
    const late = await other('late-1');
    const { id } = await admin.make();
    await late.catchUp();
    expect((await revoke(id)).status).toBe(202);
    expect(await late.hear()).toMatchObject([{ id, awaited: false }]);
  });

  test('is as long under way as it says, and done all the same when that was in vain', async () => {
    await other('silent-1');
    const { id } = await admin.make();
    const began = performance.now();
    const reply = await revoke(id, '?wait=150ms');
    expect(performance.now() - began).toBeGreaterThanOrEqual(149);
    expect([reply.status, pendingOf(reply)]).toEqual([202, ['silent-1']]);
    expect((await admin.ask('GET', `/v1/tokens/${id}`)).json['state']).toBe('revoked');
  });

  test('with a wait that is too long, or none at all, is refused before it is done', async () => {
    const { id } = await admin.make();
    for (const wait of ['31s', '1h', '-1s', '2', 'soon', '']) {
      expect([wait, pointersOf(await revoke(id, `?wait=${wait}`))]).toEqual([wait, ['?wait']]);
    }
    expect((await admin.ask('GET', `/v1/tokens/${id}`)).json['state']).toBe('enabled');
    expect((await revoke(id, '?wait=30s')).status).toBe(200);
  });

  test('that does not hold for good where it was made is not acknowledged there', async () => {
    const self = await other('self');
    const { id } = await admin.make();
    const another = await admin.make();
    await self.catchUp();
    holds = false;
    const reply = await revoke(id);
    expect([reply.status, reply.json['acknowledged'], pendingOf(reply)]).toEqual([202, [], ['self']]);
    await self.catchUp();
    const waiting = revoke(another.id, '?wait=20s');
    await self.hear();
    await self.beat();
    expect(await waiting).toMatchObject({ status: 200, json: { acknowledged: ['self'] } });
  });

  test('of an owner, and the deletion of one, say the same', async () => {
    await admin.ask('POST', '/v1/accounts', { json: { id: 'acme' } });
    await admin.make({ owner: 'acme' });
    const late = await other('late-1');
    await late.catchUp();
    for (const path of ['/v1/tokens?owner=acme', '/v1/accounts/acme?wait=0']) {
      const reply = await admin.ask('DELETE', path);
      expect([path, reply.status, pendingOf(reply)]).toEqual([path, 202, ['late-1']]);
      // Again, which changes nothing: it is still on its way.
      expect((await admin.ask('DELETE', path)).status).toBe(202);
    }
    const waiting = admin.ask('DELETE', '/v1/accounts/acme?wait=20s');
    await late.hear();
    await late.beat();
    expect(await waiting).toMatchObject({ status: 200, json: { acknowledged: ['self', 'late-1'] } });
  });
});

describe('those who wait', () => {
  test('are not looked after when they have gone', async () => {
    await other('silent-1');
    const { id } = await admin.make();
    const request = http.request({
      port: admin.port,
      method: 'DELETE',
      path: `/v1/tokens/${id}?wait=30s`,
      headers: { authorization: `Bearer ${keys.admin}`, host: 'localhost' },
    });
    request.on('error', () => {});
    request.end();
    await expect.poll(() => looks.begun, { timeout: 10_000 }).toBeGreaterThan(3);
    request.destroy();
    const stillLooked = async (): Promise<number> => {
      const before = looks.begun;
      await pause(75);
      return looks.begun - before;
    };
    await expect.poll(stillLooked, { timeout: 10_000 }).toBe(0);
    expect(admin.log).toEqual([]);
  });

  test('are answered when the process ends', async () => {
    await other('silent-1');
    const { id } = await admin.make();
    const reply = revoke(id, '?wait=30s');
    await expect.poll(() => looks.begun, { timeout: 10_000 }).toBeGreaterThan(3);
    await admin.listener.close();
    expect(pendingOf(await reply)).toEqual(['silent-1']);
  });

  test('are a hundred at most, who look together; whoever is one too many is answered at once', async () => {
    const silent = await other('silent-1');
    const { id } = await admin.make();
    await revoke(id);
    const replies: Reply[] = [];
    const all = Array.from({ length: 130 }, () => revoke(id, '?wait=30s').then(reply => void replies.push(reply)));
    await expect.poll(() => replies.length, { timeout: 10_000 }).toBe(30);
    expect(replies.every(({ status }) => status === 202)).toBe(true);
    await silent.hear();
    await silent.beat();
    await Promise.all(all);
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(100);
    expect(looks.most).toBe(1);
  });
});
