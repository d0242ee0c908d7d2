import { expect, test } from 'vitest';
import { StoreUnfit } from '../../../../src/stores/redis/faults.ts';
import { Keys } from '../../../../src/stores/redis/keys.ts';
import { blockingOptions, commandOptions } from '../../../../src/stores/redis/settings.ts';
import { StoreClock } from '../../../../src/stores/redis/store-clock.ts';

test('no command waits for a connection, is sent again by itself, or outlives its connection', () => {
  const endpoint = { host: 'h', port: 1 };
  for (const options of [commandOptions(endpoint, 5000), blockingOptions(endpoint)]) {
    expect(options).toMatchObject({
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      autoResendUnfulfilledCommands: false,
      connectTimeout: 1000,
    });
  }
  const { reconnectOnError, retryStrategy, socketTimeout } = commandOptions(endpoint, 5000);
  expect(socketTimeout).toBe(5000);
  expect(reconnectOnError!(new Error('READONLY no'))).toBe(1);
  // Not for every refused write of a server that stays a replica: its reads are still good.
  expect(reconnectOnError!(new Error('READONLY no'))).toBe(false);
  expect(reconnectOnError!(new Error('OOM no'))).toBe(false);
  const delays = Array.from({ length: 2000 }, (_, i) => retryStrategy!(i + 1) as number);
  expect(Math.min(...delays)).toBeGreaterThanOrEqual(25);
  expect(Math.max(...delays)).toBeLessThanOrEqual(1000);
  expect(new Set(delays).size).toBeGreaterThan(1000);
});

test.each(['a{b}', 'a b', '*', 'x'.repeat(65), 'ä'])(
  'a key prefix that would not do what it says is refused: %j',
  prefix => {
    expect(() => new Keys(prefix)).toThrow(StoreUnfit);
  },
);

test("a deadline on the store's clock is never later than it is here, however slow the answer that told the time was", () => {
  const clock = new StoreClock();
  expect(clock.at(5)).toBeNull();
  // Sent at 100, read by the store at 150 by our clock, received at 200.
  clock.observe(9150, 200);
  expect(clock.at(1000)).toBe(9950);
  expect(clock.at(1000)).toBeLessThanOrEqual(9000 + 1000);
});
