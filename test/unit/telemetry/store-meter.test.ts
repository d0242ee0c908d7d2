import { describe, expect, it } from 'vitest';
import { StoreUnavailable } from '../../../src/errors.ts';
import type { ChangeFeed, Cursor } from '../../../src/ports/change-feed.ts';
import type { LimitLedger } from '../../../src/ports/limit-ledger.ts';
import type { ProcessRegistry } from '../../../src/ports/process-registry.ts';
import type { TokenStore } from '../../../src/ports/token-store.ts';
import type { UsageLedger } from '../../../src/ports/usage-ledger.ts';
import { storeOperations } from '../../../src/telemetry/labels.ts';
import {
  meterFeed,
  meterLedger,
  meterLimits,
  meterRegistry,
  meterStore,
  StoreMeter,
} from '../../../src/telemetry/store-meter.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { quietMetrics, sampleOf, scrape } from './support.ts';

function setUp() {
  const metrics = quietMetrics();
  const clock = new ManualClock();
  const meter = new StoreMeter(metrics, clock);
  const counted = async (operation: string, result: string) =>
    sampleOf(await scrape(metrics), 'postern_store_operations_total', { operation, result });
  const read = async (name: string) => sampleOf(await scrape(metrics), `postern_${name}`);
  return { metrics, clock, meter, counted, read };
}

const cursor: Cursor = { epoch: 'e', seq: 1 };

/** A port whose every method answers with the arguments that it was called with. */
const echo = <T extends object>(): T =>
  new Proxy({} as T, {
    get:
      () =>
      (...args: unknown[]) =>
        Promise.resolve(args),
  });

describe('a metered store', () => {
  it('passes every call on with its arguments, and every answer back, and counts each as its operation', async () => {
    const { metrics, meter } = setUp();
    const ports = [
      meterStore(echo<TokenStore>(), meter),
      meterLedger(echo<UsageLedger>(), meter),
      meterLimits(echo<LimitLedger>(), meter),
      meterFeed(echo<ChangeFeed>(), meter),
      meterRegistry(echo<ProcessRegistry>(), meter),
    ];
    for (const port of ports) {
      for (const method of Object.values(port) as ((...args: unknown[]) => Promise<unknown[]>)[]) {
        const args = Array.from({ length: method.length }, (_, i) => ({ i }));
        expect(await method(...args)).toEqual(args);
      }
    }
    const series = await scrape(metrics);
    const alike: Readonly<Record<string, number>> = { get: 4, list: 5, usage_read: 3, limits_manage: 3 };
    for (const operation of storeOperations) {
      const calls = sampleOf(series, 'postern_store_operations_total', { operation, result: 'ok' });
      expect(calls, operation).toBe(alike[operation] ?? 1);
    }
  });

  it('tells an outage from a fault, passes both on untouched, and is up or down by the last answer', async () => {
    const { meter, counted, read } = setUp();
    let failure: unknown = null;
    const find = async () => {
      if (failure !== null) throw failure;
      return null;
    };
    const store = meterStore({ ...echo<TokenStore>(), find }, meter);
    expect(await read('store_up')).toBeUndefined();
    await store.find([]);
    expect(await read('store_up')).toBe(1);
    failure = new StoreUnavailable('no answer');
    await expect(store.find([])).rejects.toBe(failure);
    expect(await read('store_up')).toBe(0);
    failure = new TypeError('ours');
    await expect(store.find([])).rejects.toBe(failure);
    expect(await read('store_up')).toBe(0);
    failure = null;
    await store.find([]);
    expect(await read('store_up')).toBe(1);
    expect([await counted('find', 'ok'), await counted('find', 'unavailable'), await counted('find', 'error')]).toEqual(
      [2, 1, 1],
    );
  });

  it('times calls that failed as well, by the given clock', async () => {
    const { meter, clock, read } = setUp();
    const find = async () => {
      clock.advance(40);
      throw new StoreUnavailable('no answer');
    };
    await expect(meterStore({ ...echo<TokenStore>(), find }, meter).find([])).rejects.toThrow();
    expect(await read('store_operation_duration_seconds_count')).toBe(1);
    expect(await read('store_operation_duration_seconds_sum')).toBeCloseTo(0.04);
  });

  it('rejects when the store throws instead of rejecting', async () => {
    const { meter, counted } = setUp();
    const find = () => {
      throw new StoreUnavailable('closed');
    };
    await expect(meterStore({ ...echo<TokenStore>(), find }, meter).find([])).rejects.toThrow('closed');
    expect(await counted('find', 'unavailable')).toBe(1);
  });
});

describe('a metered feed', () => {
  it('does not time reads, which wait for changes on purpose', async () => {
    const { meter, clock, read, counted } = setUp();
    const feed = meterFeed(
      {
        mark: async () => '',
        head: async () => cursor,
        since: async () => ({ kind: 'gap', cursor }),
        read: async () => {
          clock.advance(30_000);
          return { kind: 'events', events: [], cursor, complete: true };
        },
      },
      meter,
    );
    await feed.read(cursor, 30_000);
    expect(await counted('feed_read', 'ok')).toBe(1);
    expect(await read('store_operation_duration_seconds_count')).toBe(0);
  });

  it('does not count a read that we called off, nor take the store for down', async () => {
    const { meter, read, counted } = setUp();
    const abort = new AbortController();
    const feed = meterFeed(
      {
        mark: async () => '',
        head: async () => cursor,
        since: async () => ({ kind: 'gap', cursor }),
        read: (_, __, signal) =>
          new Promise((_, reject) =>
            signal?.addEventListener('abort', () => reject(new StoreUnavailable('called off'))),
          ),
      },
      meter,
    );
    await feed.head();
    const reading = feed.read(cursor, 30_000, abort.signal);
    abort.abort();
    await expect(reading).rejects.toThrow('called off');
    expect(await counted('feed_read', 'unavailable')).toBe(0);
    expect(await read('store_up')).toBe(1);
  });
});
