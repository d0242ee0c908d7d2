import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LimitNotice } from '../../../../src/ports/limit-ledger.ts';
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

test.each([
  ['the command', '+subscribe ', ''],
  ['the channels', '&postern:*', 'resetchannels'],
])('who lacks %s to hear of limits is told so once, and hears as soon as it may', async (_, allowed, instead) => {
  const line = documentedUser('postern', password).replace('user postern ', 'user deaf ');
  await setUser(server, line.replace('user deaf ', 'user deaf reset ').replace(allowed, instead));
  const store = await open({ username: 'deaf' });
  const heard: LimitNotice['kind'][] = [];
  const ended = new AbortController();
  store.limits.listen(({ kind }) => heard.push(kind), ended.signal);
  await expect.poll(() => heard, { timeout: 10_000 }).toEqual(['deaf']);
  const refused = async (): Promise<number> => {
    const client = server.client();
    const entries = (await client.call('ACL', 'LOG')) as string[][];
    client.disconnect();
    return entries.filter(entry => entry.includes('deaf')).reduce((sum, entry) => sum + Number(entry[1]), 0);
  };
  await expect.poll(refused, { timeout: 10_000 }).toBeGreaterThan(2);
  await setUser(server, line);
  await expect.poll(() => heard, { timeout: 10_000 }).toEqual(['deaf', 'lost']);
  ended.abort();
  await store.close();
});
