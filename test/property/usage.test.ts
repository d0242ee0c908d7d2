import { expect, test } from 'vitest';
import { hourOf, type Usage } from '../../src/core/usage.ts';
import { UsageCounters } from '../../src/usage/counters.ts';
import { aRecord, type Fate, UnreliableLedger } from '../support/ledger.ts';
import { below, pick, randomFrom, seed } from '../support/random.ts';

const start = Date.UTC(2030, 0, 1);
const quiet = (): void => {};
const log = { info: quiet, warn: quiet, error: quiet, fault: quiet };

const sumOf = (usage: Usage | undefined): number[] =>
  usage === undefined
    ? []
    : [usage.allowed, usage.refused.insufficient_scope ?? 0, usage.status['2xx'] ?? 0, usage.bytesIn, usage.bytesOut];

test(`what is counted is what is reported, once, whatever becomes of reports and answers (seed ${seed})`, async () => {
  const random = randomFrom(seed);
  for (let round = 0; round < 150; round++) {
    const ledger = new UnreliableLedger();
    const counters = new UsageCounters(ledger.port, `process-${round}`, log);
    const counted = new Map<string, number[]>();
    const tokens = random() < 0.1 ? 1200 : 5;
    const count = (): void => {
      const id = `t${below(random, tokens)}`;
      const at = start + below(random, 3) * 3_600_000;
      const [bytesIn, bytesOut] = [below(random, 100), below(random, 100)];
      const allowed = random() < 0.7;
      const refusal = { reason: 'insufficient_scope', outcome: 'refused', status: 403 } as const;
      counters.count(aRecord(id, { at, bytesIn, bytesOut, ...(allowed ? {} : refusal) }));
      const key = `${id} ${hourOf(at)}`;
      const sum = counted.get(key) ?? [0, 0, 0, 0, 0];
      const one = allowed ? [1, 0, 1] : [0, 1, 0];
      counted.set(
        key,
        [...one, bytesIn, bytesOut].map((value, i) => value + sum[i]!),
      );
    };
    const fates: Fate[] = pick(random, [['taken'], ['lost'], ['answer lost'], ['taken', 'lost', 'answer lost']]);
    ledger.fate = () => pick(random, fates);
    ledger.meanwhile = () => random() < 0.3 && count();
    for (let step = 0; step < 40; step++) {
      for (let i = below(random, tokens > 5 ? 100 : 4); i > 0; i--) count();
      if (random() < 0.5) await (random() < 0.5 ? counters.flush() : Promise.all([counters.flush(), counters.flush()]));
    }
    // Numbers never go back, and none is passed over.
    const numbers = ledger.received.map(({ number }) => number);
    expect(numbers.filter((number, i) => number - (numbers[i - 1] ?? 0) > 1 || number < (numbers[i - 1] ?? 1))).toEqual(
      [],
    );
    if (fates.every(fate => fate === 'lost')) expect(new Set(numbers).size).toBeLessThanOrEqual(1);

    ledger.fate = () => 'taken';
    ledger.meanwhile = () => {};
    await counters.stop();
    expect(ledger.totals.size).toBe(counted.size);
    // An outage that took nothing ends in what was under way and one round of reports, however long it was.
    const reports = Math.ceil(counted.size / 500);
    if (fates.every(fate => fate === 'lost'))
      expect(ledger.received.at(-1)?.number ?? 0).toBeLessThanOrEqual(2 * reports);
    for (const [key, sum] of counted) expect(sumOf(ledger.totals.get(key)), key).toEqual(sum);
  }
});
