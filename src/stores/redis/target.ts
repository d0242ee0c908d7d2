import { randomBytes } from 'node:crypto';
import { readAccount, readRole, readToken } from '../../core/document.ts';
import type { Millis } from '../../core/token.ts';
import type { Clock } from '../../ports/clock.ts';
import type { StoreRecord, StoreTarget, TokenUsage } from '../../ports/store-transfer.ts';
import { TargetTaken } from '../faults.ts';
import { limitWindowRecord, windowIn } from '../limits.ts';
import { dumpRedis } from './dump.ts';
import { Keys } from './keys.ts';
import { headText, ledgerText, parseHead, parseLedger, wordOf } from './limit-records.ts';
import { Link } from './link.ts';
import { type RedisStoreOptions, refuseUnfit } from './open.ts';
import { accountValues, tokenRecord } from './records.ts';
import type { Script } from './script.ts';
import {
  beginFilling,
  dropKey,
  fillAccounts,
  fillCreations,
  fillEvents,
  fillPeppers,
  fillRoles,
  fillText,
  fillTokens,
  fillUsage,
  finishFilling,
  keepFilling,
  leaveFilling,
} from './scripts/fill.ts';
import { monotonic } from './store-clock.ts';
import { Unit } from './unit.ts';
import { counts, dayMs, hourMs } from './usage-counts.ts';
import { daysTogether, RedisUsageLedger, type UsageRetention, usageOf } from './usage-ledger.ts';

/** Most records in one script. */
const atOnce = 200;

/** Milliseconds after which a migration that writes nothing has died. */
const silenceMs = 30_000;

/** Least time that a bucket is kept after it was filled in, so that it is still there when all is compared. */
const leastKept = dayMs;

type Of<K extends StoreRecord['kind']> = Extract<StoreRecord, { readonly kind: K }>;
type Values = readonly (string | number)[];

/** A text about limits, when it ends, and the record that another one in its place was. */
interface LimitText {
  readonly key: string;
  readonly text: string;
  readonly until: Millis | null;
  record(text: string): StoreRecord;
}

/**
 * A store under a prefix that has none yet. Its keys are filled in while there is no identity, which comes last. What a
 * broken attempt has left is removed by the next one.
 */
export async function beginRedis(options: RedisStoreOptions): Promise<StoreTarget> {
  const { endpoint, clock, prefix = 'postern:', allowEviction = false, mutationDeadlineMs = 5000 } = options;
  const { usageRetention = { hours: 31 * dayMs, days: 400 * dayMs } } = options;
  const keys = new Keys(prefix);
  const deadline = (): number => monotonic() + mutationDeadlineMs;
  const { confirm = 'host' in endpoint ? 'none' : 'majority' } = options;
  const settings = { place: endpoint, home: keys.meta, confirm, silenceMs: mutationDeadlineMs };
  const link = new Link(settings, { lost: () => {}, restored: () => {} });
  try {
    await link.open(deadline());
    await refuseUnfit(link, 'cluster' in endpoint, allowEviction, deadline());
    const mark = randomBytes(16).toString('hex');
    const begun = await link.call({ script: beginFilling, keys: [keys.meta], args: [mark, silenceMs] }, deadline());
    if (begun === 'store') throw new TargetTaken(`the server holds a store already under the prefix ${prefix}`);
    if (begun === 'busy') {
      throw new TargetTaken(`another migration under the prefix ${prefix} is under way, or ended less than 30 s ago`);
    }
    // Its identity is the mark: what reads it end to end takes either.
    const unit = new Unit(link, keys, mark, { lookup: mutationDeadlineMs, other: mutationDeadlineMs }, undefined);
    const target = new RedisTarget({ link, keys, unit, clock, mark, retention: usageRetention, deadline });
    await target.prepare(begun === 'left', prefix);
    return target;
  } catch (error) {
    await link.close();
    throw error;
  }
}

interface TargetParts {
  readonly link: Link;
  readonly keys: Keys;
  readonly unit: Unit;
  readonly clock: Clock;
  readonly mark: string;
  readonly retention: UsageRetention;
  readonly deadline: () => number;
}

class RedisTarget implements StoreTarget {
  readonly #parts: TargetParts;
  readonly #usage: RedisUsageLedger;
  #finished = false;

  constructor(parts: TargetParts) {
    this.#parts = parts;
    // Buckets whose time ends meanwhile are still there when all is compared.
    const { hours, days } = parts.retention;
    const retention = { hours: hours + leastKept, days: days + leastKept };
    this.#usage = new RedisUsageLedger(parts.link, parts.unit, parts.keys, parts.clock, retention);
  }

  /** Removes what a broken attempt has left. Keys that nobody can account for are somebody's: they are refused. */
  async prepare(left: boolean, prefix: string): Promise<void> {
    const { link, keys, deadline } = this.#parts;
    for await (const names of link.scan(keys.everything, deadline)) {
      const others = names.filter(name => name !== keys.meta);
      if (others.length === 0) continue;
      if (!left) {
        await this.#run(leaveFilling, []);
        throw new TargetTaken(`there are keys under the prefix ${prefix} that belong to no whole store`);
      }
      await this.#run(keepFilling, []);
      await drop(link, others, deadline());
    }
  }

  async add(records: readonly StoreRecord[]): Promise<readonly StoreRecord[]> {
    const replaced: StoreRecord[] = [];
    // Records of one kind go together, as long as no other stands between them.
    for (let from = 0; from < records.length; ) {
      const { kind } = records[from]!;
      let to = from + 1;
      while (to < records.length && to - from < atOnce && records[to]!.kind === kind) to++;
      replaced.push(...(await this.#addAll(kind, records.slice(from, to))));
      from = to;
    }
    return replaced;
  }

  dump(): AsyncIterable<readonly StoreRecord[]> {
    const { link, unit, keys, clock } = this.#parts;
    return dumpRedis({ link, unit, keys, usage: this.#usage, whole: true }, clock.wall());
  }

  async finish(): Promise<string> {
    const [identity, epoch] = [randomBytes(16).toString('hex'), randomBytes(16).toString('hex')];
    // What is confirmed is confirmed with all that was written to the same node before.
    await this.#run(finishFilling, [identity, epoch], true);
    this.#finished = true;
    return identity;
  }

  async close(): Promise<void> {
    try {
      if (!this.#finished) await this.#clear();
    } finally {
      await this.#parts.link.close();
    }
  }

  async #clear(): Promise<void> {
    const { link, keys, deadline } = this.#parts;
    // Somebody who has taken over meanwhile keeps what is his.
    await this.#run(keepFilling, []);
    for await (const names of link.scan(keys.everything, deadline)) {
      await drop(
        link,
        names.filter(name => name !== keys.meta),
        deadline(),
      );
    }
    await this.#run(leaveFilling, []);
  }

  async #addAll(kind: StoreRecord['kind'], records: readonly StoreRecord[]): Promise<readonly StoreRecord[]> {
    switch (kind) {
      case 'checksum_key':
        await this.#run(
          fillPeppers,
          (records as Of<'checksum_key'>[]).flatMap(({ id, key }) => [key, id]),
        );
        return [];
      case 'role': {
        const found = await this.#run(fillRoles, (records as Of<'role'>[]).flatMap(roleValues));
        return Array.from({ length: found.length / 2 }, (_, i) => {
          const [place, doc] = [found[2 * i]!, found[2 * i + 1]!];
          return { kind: 'role', role: readRole(doc), place: place === '' ? null : Number(place) };
        });
      }
      case 'account': {
        const docs = await this.#run(fillAccounts, (records as Of<'account'>[]).flatMap(ownerValues));
        return docs.map(doc => ({ kind: 'account', account: readAccount(doc) }));
      }
      case 'token': {
        const docs = await this.#run(fillTokens, (records as Of<'token'>[]).flatMap(tokenValues));
        return docs.map(doc => ({ kind: 'token', token: readToken(doc) }));
      }
      case 'event':
        await this.#run(fillEvents, (records as Of<'event'>[]).flatMap(eventValues));
        return [];
      case 'usage':
        return this.#addUsage((records as Of<'usage'>[]).map(({ usage }) => usage));
      case 'creation': {
        const now = this.#parts.clock.wall();
        const lasting = (records as Of<'creation'>[]).filter(({ expiresAt }) => expiresAt > now);
        const values = lasting.flatMap(({ key, body, tokenId, expiresAt }) => [key, body, tokenId, expiresAt]);
        await this.#run(fillCreations, [now, ...values]);
        return [];
      }
      case 'limit_head':
        return this.#addLimits(
          (records as Of<'limit_head'>[]).map(({ subject, head }) => ({
            key: this.#parts.keys.limits(subject),
            text: headText(head),
            until: null,
            record: text => ({ kind: 'limit_head', subject, head: parseHead(text) }),
          })),
        );
      case 'limit_window':
        return this.#addLimits((records as Of<'limit_window'>[]).map(record => this.#limitText(record)));
      case 'position':
        return [];
    }
  }

  #limitText({ subject, ledger, label, settled, at }: Of<'limit_window'>): LimitText {
    const { keys, clock } = this.#parts;
    const { state, until } = windowIn(ledger, label, settled, at);
    return {
      key: keys.limit(subject, wordOf(ledger), label),
      text: ledgerText(state),
      until: until === null ? null : Math.max(until, clock.wall() + leastKept),
      record: text => limitWindowRecord({ subject, ledger, label }, parseLedger(text)),
    };
  }

  async #addLimits(texts: readonly LimitText[]): Promise<readonly StoreRecord[]> {
    const { link, deadline } = this.#parts;
    await this.#run(keepFilling, []);
    const calls = texts.map(({ key, text, until }) => ({ script: fillText, keys: [key], args: [text, until ?? ''] }));
    const replaced = (await link.callAll(calls, deadline())) as (string | null)[];
    return replaced.flatMap((text, i) => (text === null ? [] : [texts[i]!.record(text)]));
  }

  async #addUsage(usages: readonly TokenUsage[]): Promise<readonly StoreRecord[]> {
    const { link, deadline } = this.#parts;
    await this.#run(keepFilling, []);
    const calls = usages.map(usage => this.#usageCall(usage));
    const answers = (await link.callAll(
      calls.map(({ keys, args }) => ({ script: fillUsage, keys, args })),
      deadline(),
    )) as string[][][];
    return answers.flatMap(([total, ...series], i) => {
      const { hours } = calls[i]!;
      const found = usageOf(usages[i]!.tokenId, total!, series.slice(0, hours), series.slice(hours));
      return found.map(usage => ({ kind: 'usage' as const, usage }));
    });
  }

  #usageCall({ tokenId, total, hours, days }: TokenUsage) {
    const { keys, retention } = this.#parts;
    const now = this.#parts.clock.wall();
    const fieldsOf = (place: string, usage: TokenUsage['total']): string[] => [
      ...Object.entries(counts(usage)).flatMap(([name, count]) => [`${place}${name}`, String(count)]),
      `${place}l`,
      String(usage.lastUsedAt),
    ];
    const byDay = Map.groupBy(hours, ({ at }) => Math.floor(at / dayMs));
    const byStretch = Map.groupBy(days, ({ at }) => Math.floor(at / dayMs / daysTogether));
    const inHours = [...byDay].map(([day, buckets]) => ({
      key: keys.usageHours(tokenId, day),
      fields: buckets.flatMap(({ at, usage }) => fieldsOf(`${Math.floor(at / hourMs)} `, usage)),
      ends: (day + 1) * dayMs + retention.hours,
    }));
    const inDays = [...byStretch].map(([stretch, buckets]) => ({
      key: keys.usageDays(tokenId, stretch),
      fields: buckets.flatMap(({ at, usage }) => fieldsOf(`${Math.floor(at / dayMs)} `, usage)),
      ends: (stretch + 1) * daysTogether * dayMs + retention.days,
    }));
    const series = [...inHours, ...inDays];
    const kept = series.map(({ ends }): Millis => Math.max(ends - now, leastKept));
    const fields = [fieldsOf('', total), ...series.map(each => each.fields)];
    return {
      keys: [keys.usageTotal(tokenId), ...series.map(({ key }) => key)],
      args: [JSON.stringify(fields), ...kept],
      hours: inHours.length,
    };
  }

  async #run(script: Script, values: Values, confirmed = false): Promise<readonly string[]> {
    const { link, keys, mark, deadline } = this.#parts;
    const call = { script, keys: [keys.meta], args: [mark, ...values], confirmed };
    return (await link.call(call, deadline())) as string[];
  }
}

const drop = (link: Link, names: readonly string[], deadline: number): Promise<unknown> =>
  link.callAll(
    names.map(name => ({ script: dropKey, keys: [name], args: [] })),
    deadline,
  );

const tokenValues = ({ token }: Of<'token'>): Values => {
  const { line, doc } = tokenRecord(token);
  return [token.id, line, doc];
};

const roleValues = ({ role, place }: Of<'role'>): Values => [role.id, role.version, place ?? '-', JSON.stringify(role)];

const ownerValues = ({ account }: Of<'account'>): Values => [
  account.id,
  ...accountValues(account),
  JSON.stringify(account),
];

const eventValues = ({ of, subject, event: { id, ...audit } }: Of<'event'>): Values => [
  of,
  subject,
  id,
  JSON.stringify(audit),
];
