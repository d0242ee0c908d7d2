import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RedisEndpoint } from '../../src/stores/redis/settings.ts';
import { makeCertificate } from '../support/certificate.ts';
import { openOn, RedisServer } from '../support/redis.ts';
import { documentedUser, setUser } from '../support/redis-acl.ts';
import { changeFeedContract } from './change-feed.ts';
import { tokenListContract } from './token-list.ts';
import { tokenStoreContract } from './token-store.ts';
import { usageLedgerContract } from './usage-ledger.ts';

// Over TLS with an authority of our own, in another database, as the user that the README tells people to make.
let server: RedisServer;
let place: { readonly endpoint: RedisEndpoint };
beforeAll(async () => {
  server = await RedisServer.start({ tls: makeCertificate() });
  await setUser(server, documentedUser('postern', 'not-a-secret'));
  place = { endpoint: { ...server.endpoint, username: 'postern', password: 'not-a-secret', database: 1 } };
});
afterAll(() => RedisServer.stopAll());

const open = openOn(() => Promise.resolve(place));
tokenStoreContract('redis as its least user', open);
tokenListContract('redis as its least user', open);
changeFeedContract('redis as its least user', open);
usageLedgerContract('redis as its least user', open);

test('the user of the README has sent all of this, and was refused nothing', async () => {
  const store = await open();
  const client = server.client();
  const connections = String(await client.call('CLIENT', 'LIST')).split('\n');
  const ours = connections.filter(line => line.includes(' name=postern '));
  expect(ours.length).toBeGreaterThan(0);
  expect(ours.filter(line => !line.includes(' user=postern '))).toEqual([]);
  const refused = (await client.call('ACL', 'LOG')) as string[][];
  expect(refused.map(entry => entry[entry.indexOf('object') + 1])).toEqual([]);
  client.disconnect();
  await store.dispose();
});

test('a server whose certificate nobody vouches for is not spoken to', async () => {
  const { host, port } = server.endpoint;
  const stranger = openOn(() => Promise.resolve({ endpoint: { host, port, tls: {} } }));
  await expect(stranger()).rejects.toThrow(/the store cannot be reached: .*certificate/);
});
