import { afterAll, beforeAll } from 'vitest';
import { beginOn, openOn, RedisServer } from '../support/redis.ts';
import { RedisCluster } from '../support/redis-cluster.ts';
import { patience } from '../support/tiers.ts';
import { changeFeedContract } from './change-feed.ts';
import { limitLedgerContract } from './limit-ledger.ts';
import { processRegistryContract } from './process-registry.ts';
import { rolesContract } from './roles.ts';
import { storeTransferContract } from './store-transfer.ts';
import { tokenListContract } from './token-list.ts';
import { tokenStoreContract } from './token-store.ts';
import { usageLedgerContract } from './usage-ledger.ts';

let cluster: Promise<RedisCluster>;
beforeAll(async () => {
  // A busy test machine is no failover.
  cluster = RedisCluster.start(10_000);
  await cluster;
}, patience(30_000));
afterAll(() => RedisServer.stopAll());

const open = openOn(() => cluster);
tokenStoreContract('redis cluster', open);
rolesContract('redis cluster', open);
tokenListContract('redis cluster', open);
changeFeedContract('redis cluster', open);
usageLedgerContract('redis cluster', open);
limitLedgerContract('redis cluster', open);
processRegistryContract('redis cluster', open);
storeTransferContract(
  'redis cluster',
  open,
  beginOn(() => cluster),
);
