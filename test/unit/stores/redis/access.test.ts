import { afterAll, beforeAll, expect, test } from 'vitest';
import { openRedisStore } from '../../../../src/stores/redis/open.ts';
import type { RedisEndpoint } from '../../../../src/stores/redis/settings.ts';
import type { Store } from '../../../../src/stores/store.ts';
import { anAudit, aToken } from '../../../contract/harness.ts';
import { makeCertificate } from '../../../support/certificate.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { RedisServer } from '../../../support/redis.ts';
import { documentedUser, setUser } from '../../../support/redis-acl.ts';

/** Who is let in to a server by itself; what the user of the README may do there, the contract shows behind sentinels. */

const password = 'n0t-a-secret';
let server: RedisServer;
beforeAll(async () => {
  server = await RedisServer.start({ tls: makeCertificate() });
  await setUser(server, documentedUser('postern', password));
});
afterAll(() => RedisServer.stopAll());

const open = (more: Partial<RedisEndpoint>, prefix?: string): Promise<Store> => {
  const endpoint = { ...server.endpoint, username: 'postern', password, database: 1, ...more };
  return openRedisStore({ endpoint, clock: new ManualClock(), deadlineMs: 10_000, ...(prefix && { prefix }) });
};

test('a server that speaks TLS serves the user of the README', async () => {
  const store = await open({});
  await store.tokens.createToken(aToken('a'), anAudit('create'), null);
  const cursor = await store.feed.head();
  const waiting = store.feed.read(cursor, 5000);
  await store.tokens.createToken(aToken('b'), anAudit('create'), null);
  expect((await waiting).kind).toBe('events');
  expect(await store.tokens.find(['digest-of-a'])).not.toBeNull();
  await store.close();
});

test('a server whose certificate nobody vouches for is not spoken to', async () => {
  await expect(open({ tls: {} })).rejects.toThrow(/the store cannot be reached: .*certificate/);
});

test('who is not let in, or has to keep to other keys, is told so without the password', async () => {
  const wrong = await open({ password: `${password}-of-yesterday` }).catch(String);
  expect(wrong).toMatch(/it does not accept the user name or password/);
  const elsewhere = await open({}, 'other:').catch(String);
  expect(elsewhere).toMatch(/its user lacks a permission/);
  expect(`${wrong} ${elsewhere}`).not.toContain(password);
});
