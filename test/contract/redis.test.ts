import { afterAll, beforeAll } from 'vitest';
import { beginOn, openOn, RedisServer } from '../support/redis.ts';
import { changeFeedContract } from './change-feed.ts';
import { limitLedgerContract } from './limit-ledger.ts';
import { processRegistryContract } from './process-registry.ts';
import { rolesContract } from './roles.ts';
import { storeTransferContract } from './store-transfer.ts';
import { tokenListContract } from './token-list.ts';
import { tokenStoreContract } from './token-store.ts';
import { usageLedgerContract } from './usage-ledger.ts';

let server: Promise<RedisServer>;
beforeAll(async () => {
  server = RedisServer.start();
  await server;
});
afterAll(() => RedisServer.stopAll());

const open = openOn(() => server);
tokenStoreContract('redis', open);
rolesContract('redis', open);
tokenListContract('redis', open);
changeFeedContract('redis', open);
usageLedgerContract('redis', open);
limitLedgerContract('redis', open);
storeTransferContract(
  'redis',
  open,
  beginOn(() => server),
);
processRegistryContract('redis', open);
