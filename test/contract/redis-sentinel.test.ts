import { afterAll, beforeAll } from 'vitest';
import { openOn, RedisServer } from '../support/redis.ts';
import { SentinelTrio } from '../support/redis-sentinel.ts';
import { patience } from '../support/tiers.ts';
import { changeFeedContract } from './change-feed.ts';
import { tokenListContract } from './token-list.ts';
import { tokenStoreContract } from './token-store.ts';
import { usageLedgerContract } from './usage-ledger.ts';

let trio: Promise<SentinelTrio>;
beforeAll(async () => {
  trio = SentinelTrio.start();
  await trio;
}, patience(30_000));
afterAll(() => RedisServer.stopAll());

const open = openOn(() => trio);
tokenStoreContract('redis behind sentinels', open);
tokenListContract('redis behind sentinels', open);
changeFeedContract('redis behind sentinels', open);
usageLedgerContract('redis behind sentinels', open);
