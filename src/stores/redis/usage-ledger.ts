import type { Millis } from '../../core/token.ts';
import { addUsage, noUsage, type Usage, type UsageBucket } from '../../core/usage.ts';
import type { Clock } from '../../ports/clock.ts';
import type { TokenUsage } from '../../ports/store-transfer.ts';
import type { UsageLedger, UsageReport } from '../../ports/usage-ledger.ts';
import type { Keys } from './keys.ts';
import type { Link, ScriptCall } from './link.ts';
import { addReport, addUsage as addUsageScript } from './scripts/add-usage.ts';
import { readUsage } from './scripts/read-usage.ts';
import { keepReportNumber, readReportNumber } from './scripts/report-number.ts';
import type { Unit } from './unit.ts';
import { counted, counts, dayMs, hourMs } from './usage-counts.ts';

/** How long buckets are kept, in milliseconds. Totals are kept for good. */
export interface UsageRetention {
  readonly hours: Millis;
  readonly days: Millis;
}

/** Most entries in one script, and most scripts in one write. */
const atOnce = 500;

/** How many days of use by day lie under one key. */
export const daysTogether = 64;

/** How long the numbers of reports are kept: a report is sent again until it is answered. */
const keepReports: Millis = 2 * dayMs;

/** What a report says of one token, by hour. */
type Hours = Map<number, Usage>;

/** Entries of a report about one token, which follow those of the part before it. */
interface Part {
  readonly tokenId: string;
  readonly from: number;
  /** 1 for the last part. */
  readonly last: number;
  readonly entries: readonly unknown[];
}

function partsOf(tokenId: string, hours: readonly (readonly [number, Usage])[]): readonly Part[] {
  const parts: Part[] = [];
  for (let from = 0; from < hours.length; from += atOnce) {
    const entries = hours
      .slice(from, from + atOnce)
      .map(([hour, usage]) => [hour, Math.floor(hour / 24), usage.lastUsedAt, counts(usage)]);
    parts.push({ tokenId, from, last: from + atOnce >= hours.length ? 1 : 0, entries });
  }
  return parts;
}

export class RedisUsageLedger implements UsageLedger {
  readonly #link: Link;
  readonly #unit: Unit;
  readonly #keys: Keys;
  readonly #clock: Clock;
  readonly #retention: UsageRetention;
  #reported: Promise<void> = Promise.resolve();

  constructor(link: Link, unit: Unit, keys: Keys, clock: Clock, retention: UsageRetention) {
    this.#link = link;
    this.#unit = unit;
    this.#keys = keys;
    this.#clock = clock;
    this.#retention = retention;
  }

  /** One report after the other: a later number that came first would make the earlier one count as old. */
  report(report: UsageReport): Promise<void> {
    const done = this.#reported.then(() => this.#report(report));
    this.#reported = done.catch(() => {});
    return done;
  }

  /** Resolves when every report that was begun has ended. */
  settled(): Promise<void> {
    return this.#reported;
  }

  async total(tokenId: string): Promise<Usage | null> {
    return (await this.totals([tokenId])).get(tokenId) ?? null;
  }

  async totals(tokenIds: readonly string[]): Promise<ReadonlyMap<string, Usage>> {
    const calls = tokenIds.map(id => ({ script: readUsage, keys: [this.#keys.usageTotal(id)], args: [] }));
    const answers = (await this.#read(calls)) as string[][][];
    const found = new Map<string, Usage>();
    for (const [i, id] of tokenIds.entries()) {
      const usage = counted(answers[i]![0]!).get('');
      if (usage !== undefined) found.set(id, usage);
    }
    return found;
  }

  async series(tokenId: string, step: 'hour' | 'day', from: Millis, to: Millis): Promise<readonly UsageBucket[]> {
    const keys = this.#seriesKeys(tokenId, step, from, to);
    if (keys.length === 0) return [];
    const [answers] = (await this.#read([{ script: readUsage, keys, args: [] }])) as string[][][];
    const length = step === 'hour' ? hourMs : dayMs;
    return bucketsOf(answers!, length).filter(({ at }) => at >= from && at < to);
  }

  /** Everything that is counted of some tokens; those that were never used are left out. */
  async whole(tokenIds: readonly string[]): Promise<readonly TokenUsage[]> {
    const calls = tokenIds.map(id => {
      const hours = this.#seriesKeys(id, 'hour', 0, Number.MAX_SAFE_INTEGER);
      const days = this.#seriesKeys(id, 'day', 0, Number.MAX_SAFE_INTEGER);
      const keys = [this.#keys.usageTotal(id), ...hours, ...days];
      return { script: readUsage, keys, args: [], hours: hours.length };
    });
    const answers = (await this.#read(calls)) as string[][][];
    const now = this.#clock.wall();
    const { hours: keepHours, days: keepDays } = this.#retention;
    return tokenIds.flatMap((tokenId, i) => {
      const [total, ...series] = answers[i]!;
      const found = usageOf(tokenId, total!, series.slice(0, calls[i]!.hours), series.slice(calls[i]!.hours));
      // Whole keys end with their time: they may have something that has ended before.
      return found.map(usage => ({
        ...usage,
        hours: usage.hours.filter(({ at }) => at >= now - keepHours),
        days: usage.days.filter(({ at }) => at >= now - keepDays),
      }));
    });
  }

  async #report({ process, number, entries }: UsageReport): Promise<void> {
    const tokens = new Map<string, Hours>();
    for (const { tokenId, hour, usage } of entries) {
      const hours: Hours = tokens.get(tokenId) ?? new Map();
      tokens.set(tokenId, hours);
      const at = Math.floor(hour / hourMs);
      hours.set(at, addUsage(hours.get(at) ?? noUsage, usage));
    }
    const parts = [...tokens].flatMap(([id, hours]) => partsOf(id, [...hours]));
    await (this.#link.clustered ? this.#spread(process, number, parts) : this.#together(process, number, parts));
  }

  /** One script for as many entries as fit: on one server it can ask and remember everything itself. */
  async #together(process: string, number: number, parts: readonly Part[]): Promise<void> {
    const writes: Part[][] = [[]];
    let weight = 0;
    for (const part of parts) {
      if (weight + part.entries.length > atOnce) {
        writes.push([]);
        weight = 0;
      }
      writes.at(-1)!.push(part);
      weight += part.entries.length;
    }
    for (const [i, some] of writes.entries()) {
      const end = i === writes.length - 1 ? 1 : 0;
      const texts = some.flatMap(({ from, last, entries }) => [from, last, JSON.stringify(entries)]);
      const args = [this.#unit.identity, ...this.#given(process, number), end, ...texts];
      const totals = some.map(({ tokenId }) => this.#keys.usageTotal(tokenId));
      const keys = [this.#keys.meta, this.#keys.report(process), ...totals];
      if ((await this.#link.call({ script: addReport, keys, args }, this.#unit.deadline())) === 0) return;
    }
  }

  async #spread(process: string, number: number, parts: readonly Part[]): Promise<void> {
    const numbers = [this.#keys.report(process)];
    // Usage lies in other slots than the store's identity: it is looked at before.
    const known = this.#link.call({ script: readReportNumber, keys: numbers, args: [] }, this.#unit.deadline());
    const [, ended] = await Promise.all([this.#unit.check(), known]);
    if (ended !== null && number <= Number(ended)) return;
    const byToken = [...Map.groupBy(parts, ({ tokenId }) => tokenId).values()];
    // A part follows the one before it; different tokens have nothing to do with each other.
    for (let n = 0; byToken.some(some => some.length > n); n++) {
      const calls = byToken.flatMap(some => some[n] ?? []).map(part => this.#call(process, number, part));
      for (let i = 0; i < calls.length; i += atOnce) {
        await this.#link.callAll(calls.slice(i, i + atOnce), this.#unit.deadline());
      }
    }
    const kept = { script: keepReportNumber, keys: numbers, args: [number, keepReports] };
    await this.#link.call(kept, this.#unit.deadline());
  }

  #call(process: string, number: number, { tokenId, from, last, entries }: Part): ScriptCall {
    const args = [...this.#given(process, number), from, last, JSON.stringify(entries)];
    return { script: addUsageScript, keys: [this.#keys.usageTotal(tokenId)], args };
  }

  #given(process: string, number: number): readonly (string | number)[] {
    const { hours, days } = this.#retention;
    return [process, number, this.#clock.wall(), hours, days, keepReports, daysTogether];
  }

  /** The keys under which buckets can be: what is older than its retention is not there. */
  #seriesKeys(tokenId: string, step: 'hour' | 'day', from: Millis, to: Millis): string[] {
    const [keep, together] =
      step === 'hour' ? [this.#retention.hours, dayMs] : [this.#retention.days, daysTogether * dayMs];
    const now = this.#clock.wall();
    const first = Math.floor(Math.max(from, now - keep) / together) - 1;
    // Clocks differ: what others call now may be tomorrow here.
    const end = Math.min(to, now + 2 * dayMs) / together;
    const keys: string[] = [];
    for (let i = first; i < end; i++) {
      keys.push(step === 'hour' ? this.#keys.usageHours(tokenId, i) : this.#keys.usageDays(tokenId, i));
    }
    return keys;
  }

  /** Reads of a store that is still the one that was opened: another would say that nothing was ever used. */
  async #read(calls: readonly ScriptCall[]): Promise<unknown[]> {
    const answers: unknown[] = [];
    for (let i = 0; i < calls.length; i += atOnce) {
      answers.push(...(await this.#link.callAll(calls.slice(i, i + atOnce), this.#unit.deadline())));
    }
    await this.#unit.check();
    return answers;
  }
}

/** The usage of a token from what lies under its keys; nothing when there is no total. */
export function usageOf(
  tokenId: string,
  total: readonly string[],
  hours: readonly (readonly string[])[],
  days: readonly (readonly string[])[],
): readonly TokenUsage[] {
  const all = counted(total).get('');
  if (all === undefined) return [];
  return [{ tokenId, total: all, hours: bucketsOf(hours, hourMs), days: bucketsOf(days, dayMs) }];
}

const bucketsOf = (keys: readonly (readonly string[])[], length: Millis): readonly UsageBucket[] =>
  keys
    .flatMap(fields => [...counted(fields)])
    .map(([place, usage]) => ({ at: Number(place) * length, usage }))
    .sort((a, b) => a.at - b.at);
