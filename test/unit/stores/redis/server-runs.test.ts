import { afterAll, describe, expect, test } from 'vitest';
import { Link } from '../../../../src/stores/redis/link.ts';
import { checkStore } from '../../../../src/stores/redis/scripts/check-store.ts';
import { isSameRun } from '../../../../src/stores/redis/server-run.ts';
import { monotonic } from '../../../../src/stores/redis/store-clock.ts';
import type { Store } from '../../../../src/stores/store.ts';
import { anAudit, aToken } from '../../../contract/harness.ts';
import { RedisServer } from '../../../support/redis.ts';
import { SentinelTrio } from '../../../support/redis-sentinel.ts';
import { patience } from '../../../support/tiers.ts';
import { redisRig } from './rig.ts';

/** Whether the server is still the one that has acknowledged what it did: told before anything is asked of another. */

const rig = redisRig();
afterAll(() => RedisServer.stopAll());

let made = 0;
const create = (store: Store) =>
  expect
    .poll(() => store.tokens.createToken(aToken(`t${++made}`), anAudit('create'), null).then(() => 'made', String), {
      timeout: patience(15_000),
    })
    .toBe('made');

async function watched(endpoint: Parameters<typeof rig.open>[0]) {
  const heard: string[] = [];
  const store = await rig.open({
    ...endpoint,
    watcher: { down: () => {}, up: () => void heard.push('up'), serverChanged: () => void heard.push('changed') },
  });
  return { store, heard };
}

test('connections that are lost and come back to the same run tell nothing; another run is told once, before it is asked', async () => {
  const server = await RedisServer.start({ persistent: true });
  const { store, heard } = await watched({ endpoint: server.endpoint });
  await create(store);
  for (let i = 0; i < 3; i++) {
    await server.client().call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await create(store);
  }
  expect(heard).not.toContain('changed');
  heard.length = 0;
  await server.restart();
  await create(store);
  await expect.poll(() => heard, { timeout: 10_000 }).toContain('up');
  expect(heard.filter(what => what === 'changed')).toHaveLength(1);
  expect(heard[0]).toBe('changed');
});

test(
  'another master is told before it is asked',
  async () => {
    const trio = await SentinelTrio.start();
    const { store, heard } = await watched({ endpoint: trio.endpoint, mutationDeadlineMs: 2000 });
    await create(store);
    expect(heard).not.toContain('changed');
    const former = await trio.master();
    heard.length = 0;
    await former.kill();
    await trio.replaced(former);
    await create(store);
    // Sentinels do not all hear of it at once: while they differ it may be told again.
    expect(heard[0]).toBe('changed');
  },
  patience(60_000),
);

test('a call that was made for another server is not sent', async () => {
  const server = await RedisServer.start();
  let changes = 0;
  const link = new Link(
    { place: server.endpoint, home: 'k:meta', confirm: 'none', silenceMs: 5000 },
    { lost: () => {}, restored: () => {}, changed: () => void changes++ },
  );
  await link.open(monotonic() + 5000);
  const call = { script: checkStore, keys: ['k:meta'], args: ['nobody'] };
  const ask = async (since: number) => {
    const [settled] = await link.callEach([{ ...call, since }], monotonic() + 5000);
    return 'failed' in settled! ? settled.failed.message : 'answered';
  };
  const before = link.changes;
  const answered = await ask(before);
  await server.restart();
  await expect.poll(() => ask(link.changes), { timeout: 10_000 }).toBe(answered);
  expect([changes, link.changes]).toEqual([1, before + 1]);
  expect(await ask(before)).toBe('the store is on another server now');
  await link.close();
});

describe('a run', () => {
  const run = { id: 'r', promoted: '' };
  test.each([
    ['is the same as long as it is a master', run, run, true],
    ['is another after a restart', run, { ...run, id: 's' }, false],
    ['is another after it was a replica', run, { ...run, promoted: 'a:1' }, false],
    ['is another after it was a replica once more', { ...run, promoted: 'a:1' }, { ...run, promoted: 'a:9' }, false],
    ['is the same when the server has forgotten that it was one', { ...run, promoted: 'a:1' }, run, true],
  ])('%s', (_, before, now, same) => expect(isSameRun(before, now)).toBe(same));
});
