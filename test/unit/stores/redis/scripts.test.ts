import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { noUsage } from '../../../../src/core/usage.ts';
import { StoreUnavailable } from '../../../../src/errors.ts';
import { StoreLost } from '../../../../src/stores/redis/faults.ts';
import type { Store } from '../../../../src/stores/store.ts';
import { anAccount, anAudit, aToken, changed, made } from '../../../contract/harness.ts';
import { RedisServer } from '../../../support/redis.ts';
import { redisRig } from './rig.ts';

const rig = redisRig();
const secret = 'planted-5ecret';
const create = (store: Store, id: string) =>
  store.tokens.createToken(aToken(id, { digest: `${secret}-${id}`, extra: { note: secret } }), anAudit(secret), null);
const entries = Array.from({ length: 30 }, (_, i) => ({
  tokenId: `t${i}`,
  hour: made,
  usage: { ...noUsage, allowed: 1 },
}));

test('a server that has forgotten the scripts is told them again', async () => {
  const store = await rig.open();
  const client = rig.server.client();
  await client.script('FLUSH');
  expect((await create(store, 'a')).kind).toBe('done');
  await client.script('FLUSH');
  expect(await store.tokens.find([`${secret}-a`])).toMatchObject({ token: { id: 'a' } });
  await client.script('FLUSH');
  await store.usage.report({ process: 'p', number: 1, entries });
  await client.script('FLUSH');
  expect((await store.usage.totals(entries.map(entry => entry.tokenId))).size).toBe(30);
  expect(await store.feed.head()).toMatchObject({ seq: 1 });
});

test('many mutations at once stay whole when the scripts are forgotten among them', async () => {
  const store = await rig.open();
  const client = rig.server.client();
  const creations = Array.from({ length: 300 }, (_, i) => create(store, `t${i}`));
  const flushes = Array.from({ length: 20 }, () => client.script('FLUSH'));
  const kinds = (await Promise.all(creations)).map(({ kind }) => kind);
  await Promise.all(flushes);
  expect(kinds).toEqual(Array(300).fill('done'));
  expect(await store.feed.head()).toMatchObject({ seq: 300 });
});

test('no error has anything of its command: no argument, in no member, in no cause', async () => {
  const store = await rig.open();
  await create(store, 'a');
  const client = rig.server.client();
  const errors: unknown[] = [];
  const collect = async (call: Promise<unknown>): Promise<void> => {
    errors.push(
      await call.then(
        () => 'no error',
        (error: unknown) => error,
      ),
    );
  };
  await client.config('SET', 'maxmemory', '1');
  await collect(create(store, 'b'));
  await client.config('SET', 'maxmemory', '0');
  // A script that fails in the middle: the key of a token holds something else.
  await client.rpush('postern:{s}:digest:planted-5ecret-c', 'x');
  await collect(create(store, 'c'));
  await collect(store.tokens.find([`${secret}-c`]));
  await client.call('CLIENT', 'PAUSE', '60000', 'WRITE');
  const paused = collect(create(store, 'd'));
  await client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await client.call('CLIENT', 'UNPAUSE');
  await paused;
  await collect(create(store, 'e'));
  const server = await RedisServer.start({ settings: [['requirepass', 'another']] });
  await collect(rig.open({ endpoint: { ...server.endpoint, password: secret } }));
  await collect(rig.open({ endpoint: { ...server.endpoint, username: secret, password: secret } }));
  await server.client('another').call('ACL', 'SETUSER', 'narrow', 'on', `>${secret}`, '+info', '+ping', '~*');
  await collect(rig.open({ endpoint: { ...server.endpoint, username: 'narrow', password: secret } }));

  expect(errors).toHaveLength(8);
  for (const error of errors) {
    expect(error).toBeInstanceOf(StoreUnavailable);
    expect(inspect(error, { depth: null, showHidden: true })).not.toContain(secret);
  }
});

test('a digest is moved in the token as it is, not as it was when it was read', async () => {
  const store = await rig.open();
  const token = aToken('a', { digest: 'd1' });
  await store.tokens.createToken(token, anAudit('create'), null);
  // The change comes between the reading and the writing of the move.
  const moving = store.tokens.rekey('a', 'd1', 'e1');
  const renamed = store.tokens.replaceToken(changed(token, { name: 'renamed' }), 1, anAudit('update'));
  expect((await renamed).kind).toBe('done');
  await moving;
  expect(await store.tokens.find(['e1'])).toMatchObject({ token: { name: 'renamed', digest: 'e1', version: 2 } });
  expect(await store.tokens.find(['d1'])).toBeNull();
});

test('a script that failed in its middle may have done something; one that was refused has not', async () => {
  const store = await rig.open();
  const client = rig.server.client();
  await client.rpush('postern:{s}:account:acme', 'x');
  const broken = store.tokens.putAccount(anAccount('acme'), 0, anAudit('create'));
  await expect(broken).rejects.toMatchObject({ name: 'StoreUnavailable', sent: true });
  await client.del('postern:{s}:meta');
  await expect(create(store, 'b')).rejects.toMatchObject({ name: 'StoreUnavailable', sent: false });
  await expect(create(store, 'b')).rejects.toBeInstanceOf(StoreLost);
});

test('the keys of the unit share a slot, those of usage lie by token, and all begin with the prefix', async () => {
  const store = await rig.open({ prefix: 'acme/api:' });
  await store.tokens.putAccount(anAccount('acme'), 0, anAudit('create'));
  const token = aToken('a', {
    owner: 'acme',
    tags: ['{x}'],
    expiresAt: made + 1,
    previous: { digest: 'old', until: made },
  });
  await store.tokens.createToken(token, anAudit('create'), { key: 'k', body: 'b', expiresAt: 9e12 });
  await store.keepChecksumKeys([{ id: 'p1', key: 'aa' }]);
  const usage = entries.slice(0, 3);
  await store.usage.report({ process: 'p', number: 1, entries: usage });
  for (const key of await rig.server.client().keys('*')) {
    expect(key).toMatch(/^acme\/api:(\{s\}:[a-z]+(:.*)?|\{t[0-2]\}:(total|reports|h:\d+|d:\d+)|report:p)$/);
  }
});

test('stores with other prefixes on one server know nothing of each other', async () => {
  const [one, two] = [await rig.open({ prefix: 'one:' }), await rig.open({ prefix: 'two:' })];
  expect(one.identity).not.toBe(two.identity);
  await create(one, 'a');
  expect(await two.tokens.getToken('a')).toBeNull();
  expect(await two.feed.head()).toMatchObject({ seq: 0 });
});
