import { afterAll, beforeAll, expect, test } from 'vitest';
import type { SentinelPlace } from '../../src/stores/redis/settings.ts';
import { makeCertificate } from '../support/certificate.ts';
import { openOn, RedisServer } from '../support/redis.ts';
import { documentedUser, setUser } from '../support/redis-acl.ts';
import { SentinelTrio } from '../support/redis-sentinel.ts';
import { patience } from '../support/tiers.ts';
import { changeFeedContract } from './change-feed.ts';
import { limitLedgerContract } from './limit-ledger.ts';
import { processRegistryContract } from './process-registry.ts';
import { rolesContract } from './roles.ts';
import { tokenListContract } from './token-list.ts';
import { tokenStoreContract } from './token-store.ts';
import { usageLedgerContract } from './usage-ledger.ts';

// Over TLS with an authority of our own, in another database, as the users that the README tells people to make.
const password = 'not-a-secret';
let place: { readonly endpoint: SentinelPlace };
beforeAll(async () => {
  // A busy test machine is no failover.
  const trio = await SentinelTrio.start({ tls: makeCertificate(), downAfterMs: 60_000 });
  for (const server of trio.servers) await setUser(server, documentedUser('postern', password));
  for (const server of trio.sentinels) await setUser(server, documentedUser('postern-sentinel', password));
  const sentinelLogin = { username: 'postern-sentinel', password };
  place = { endpoint: { ...trio.endpoint, sentinelLogin, username: 'postern', password, database: 1 } };
  servers = [...trio.servers, ...trio.sentinels];
}, patience(30_000));
afterAll(() => RedisServer.stopAll());

let servers: readonly RedisServer[];
const open = openOn(() => Promise.resolve(place));
tokenStoreContract('redis behind sentinels', open);
rolesContract('redis behind sentinels', open);
tokenListContract('redis behind sentinels', open);
changeFeedContract('redis behind sentinels', open);
usageLedgerContract('redis behind sentinels', open);
limitLedgerContract('redis behind sentinels', open);
processRegistryContract('redis behind sentinels', open);

test('the users of the README have sent all of this, and were refused nothing', async () => {
  const store = await open();
  const seen = new Set<string>();
  for (const server of servers) {
    const client = server.client();
    const connections = String(await client.call('CLIENT', 'LIST')).split('\n');
    for (const line of connections) if (line.includes(' name=postern ')) seen.add(/ user=(\S+)/.exec(line)![1]!);
    const refused = (await client.call('ACL', 'LOG')) as string[][];
    expect(refused.map(entry => entry[entry.indexOf('object') + 1])).toEqual([]);
    client.disconnect();
  }
  expect([...seen].sort()).toEqual(['postern', 'postern-sentinel']);
  await store.dispose();
});
