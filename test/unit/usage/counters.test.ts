import { describe, expect, test } from 'vitest';
import type { Usage } from '../../../src/core/usage.ts';
import type { RequestRecord } from '../../../src/ports/recorder.ts';
import { UsageCounters } from '../../../src/usage/counters.ts';
import { aRecord, UnreliableLedger } from '../../support/ledger.ts';

const hour = Date.UTC(2030, 0, 1);

function make() {
  const faults: unknown[] = [];
  const ledger = new UnreliableLedger();
  const quiet = (): void => {};
  const log = { info: quiet, warn: quiet, error: quiet, fault: (error: unknown) => void faults.push(error) };
  return { ledger, faults, counters: new UsageCounters(ledger.port, 'process-1', log) };
}

/** What one record counts as, for the token `t`. */
async function countOf(more: Partial<RequestRecord>): Promise<Usage | undefined> {
  const { ledger, counters } = make();
  counters.count(aRecord('t', more));
  await counters.flush();
  return ledger.totals.get(`t ${hour}`);
}

describe('a request counts', () => {
  test('as allowed when it was to be forwarded, whatever became of it then', async () => {
    const fates: Partial<RequestRecord>[] = [
      { reason: 'allowed' },
      { reason: 'upstream_failed', outcome: 'failed', status: 502 },
      { reason: 'upstream_timeout', outcome: 'failed', status: 504 },
    ];
    for (const fate of fates) expect(await countOf(fate)).toMatchObject({ allowed: 1, refused: {} });
  });

  test.each([
    ['invalid_token_revoked', 'invalid_token'],
    ['invalid_token_expired', 'invalid_token'],
    ['insufficient_scope', 'insufficient_scope'],
    ['constraint_failed', 'constraint_failed'],
    ['limit_exceeded', 'limit_exceeded'],
    ['too_many_failures', 'too_many_failures'],
    ['overloaded', 'overloaded'],
  ] as const)('as refused for %s under %s', async (reason, code) => {
    expect(await countOf({ reason, outcome: 'refused', status: 403 })).toMatchObject({
      allowed: 0,
      refused: { [code]: 1 },
    });
  });

  test.each([
    [100, '1xx'],
    [101, '1xx'],
    [200, '2xx'],
    [304, '3xx'],
    [404, '4xx'],
    [599, '5xx'],
    [600, 'other'],
  ])('under the class of its status: %d', async (status, name) => {
    expect((await countOf({ status }))?.status).toEqual({ [name]: 1 });
  });

  test('under no class when nobody saw a status', async () => {
    expect((await countOf({ status: 499, outcome: 'aborted' }))?.status).toEqual({});
    expect((await countOf({ status: 499, outcome: 'allowed' }))?.status).toEqual({ '4xx': 1 });
    expect((await countOf({ status: 200, outcome: 'aborted' }))?.status).toEqual({ '2xx': 1 });
  });

  test('its bytes both ways, and when it was', async () => {
    expect(await countOf({ bytesIn: 3, bytesOut: 5, at: hour + 7 })).toMatchObject({
      bytesIn: 3,
      bytesOut: 5,
      lastUsedAt: hour + 7,
    });
  });

  test('for nobody when it had no token', async () => {
    const { ledger, counters } = make();
    counters.count(aRecord(null));
    await counters.flush();
    expect(ledger.received).toEqual([]);
  });
});

describe('reports', () => {
  test('add up what one token did in one hour, and keep hours and tokens apart', async () => {
    const { ledger, counters } = make();
    for (const at of [hour, hour + 1, hour + 3_599_999, hour + 3_600_000]) counters.count(aRecord('t', { at }));
    counters.count(aRecord('u'));
    await counters.flush();
    expect(ledger.received).toHaveLength(1);
    expect(ledger.received[0]!.entries.map(({ tokenId, hour: at, usage }) => [tokenId, at, usage.allowed])).toEqual([
      ['t', hour, 3],
      ['t', hour + 3_600_000, 1],
      ['u', hour, 1],
    ]);
    expect(ledger.totals.get(`t ${hour}`)?.lastUsedAt).toBe(hour + 3_599_999);
  });

  test('are not made of nothing', async () => {
    const { ledger, counters } = make();
    counters.count(aRecord('t'));
    await counters.flush();
    await counters.flush();
    expect(ledger.received).toHaveLength(1);
  });

  test('name the process, and have growing numbers and at most 500 entries', async () => {
    const { ledger, counters } = make();
    for (let i = 0; i < 1001; i++) counters.count(aRecord(`t${i}`));
    await counters.flush();
    expect(ledger.received.map(({ process, number, entries }) => [process, number, entries.length])).toEqual([
      ['process-1', 1, 500],
      ['process-1', 2, 500],
      ['process-1', 3, 1],
    ]);
    expect(ledger.totals.size).toBe(1001);
  });

  test('are sent again under their number, as they were, until they are answered', async () => {
    const { ledger, counters, faults } = make();
    counters.count(aRecord('t'));
    for (const fate of ['lost', 'answer lost', 'taken'] as const) {
      ledger.fate = () => fate;
      await counters.flush();
      counters.count(aRecord('t'));
    }
    await counters.flush();
    expect(ledger.received.map(({ number, entries }) => [number, entries[0]!.usage.allowed])).toEqual([
      [1, 1],
      [1, 1],
      [1, 1],
      // What was counted while nothing was taken goes along with the first that is.
      [2, 2],
      [3, 1],
    ]);
    expect(ledger.totals.get(`t ${hour}`)?.allowed).toBe(4);
    expect(faults).toHaveLength(2);
  });

  test('of an outage do not multiply: new counts wait until the old reports are taken', async () => {
    const { ledger, counters } = make();
    ledger.fate = () => 'lost';
    for (let second = 0; second < 100; second++) {
      counters.count(aRecord('t'));
      await counters.flush();
    }
    expect(new Set(ledger.received.map(({ number }) => number))).toEqual(new Set([1]));
    ledger.fate = () => 'taken';
    await counters.stop();
    expect(ledger.totals.get(`t ${hour}`)?.allowed).toBe(100);
    expect(ledger.received.at(-1)!.number).toBe(2);
  });

  test('leave what is counted while they are under way to the next, which whoever asks for it gets', async () => {
    const { ledger, counters } = make();
    counters.count(aRecord('t'));
    const first = counters.flush();
    counters.count(aRecord('t'));
    const [second, third] = [counters.flush(), counters.flush()];
    await first;
    expect(ledger.totals.get(`t ${hour}`)?.allowed).toBe(1);
    await Promise.all([second, third]);
    expect(ledger.totals.get(`t ${hour}`)?.allowed).toBe(2);
    expect(ledger.received).toHaveLength(2);
  });
});

test('stopping reports all that was counted, also behind a report that is under way', async () => {
  const { ledger, counters } = make();
  counters.start();
  counters.count(aRecord('t'));
  ledger.meanwhile = () => {
    ledger.meanwhile = () => {};
    counters.count(aRecord('t'));
  };
  void counters.flush();
  await counters.stop();
  expect(ledger.totals.get(`t ${hour}`)?.allowed).toBe(2);
});
