import { afterAll, beforeAll } from 'vitest';
import { beginOn, openOn, RedisServer } from '../support/redis.ts';
import { RedisCluster } from '../support/redis-cluster.ts';
import { patience } from '../support/tiers.ts';
import { changeFeedContract } from './change-feed.ts';
import { storeTransferContract } from './store-transfer.ts';
import { tokenListContract } from './token-list.ts';
import { tokenStoreContract } from './token-store.ts';
import { usageLedgerContract } from './usage-ledger.ts';

let cluster: Promise<RedisCluster>;
beforeAll(async () => {
  cluster = RedisCluster.start();
  await cluster;
}, patience(30_000));
afterAll(() => RedisServer.stopAll());

const open = openOn(() => cluster);
tokenStoreContract('redis cluster', open);
tokenListContract('redis cluster', open);
changeFeedContract('redis cluster', open);
usageLedgerContract('redis cluster', open);
storeTransferContract(
  'redis cluster',
  open,
  beginOn(() => cluster),
);
