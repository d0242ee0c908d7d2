import type { Account, Millis, StoredToken } from '../../core/token.ts';
import { StoreUnavailable } from '../../errors.ts';
import type { StoreRecord } from '../../ports/store-transfer.ts';
import type { Audit } from '../../ports/token-store.ts';
import type { Keys } from './keys.ts';
import type { Link } from './link.ts';
import type { Script } from './script.ts';
import { dumpChanges, dumpCreations, dumpDocuments, dumpEvents, dumpHead } from './scripts/dump.ts';
import type { Argument, Unit } from './unit.ts';
import type { RedisUsageLedger } from './usage-ledger.ts';

/** Most documents in one script, so that nobody waits long behind one. */
const atOnce = 200;
/** Most events of one subject in one script. */
const eventsAtOnce = 100;

type Subject = 'token' | 'account';
type Head = readonly [epoch: string, seq: number, peppers: readonly string[]];

export interface DumpParts {
  readonly link: Link;
  readonly unit: Unit;
  readonly keys: Keys;
  readonly usage: RedisUsageLedger;
}

/**
 * Reads a store page by page. A script is of one instant, all of them together are not: so events are read up to where
 * the feed stood at the beginning, and what it says has changed since is read again at the end.
 */
export async function* dumpRedis(parts: DumpParts, now: Millis): AsyncGenerator<readonly StoreRecord[]> {
  const { unit } = parts;
  const [epoch, begun, peppers] = (await read(unit, dumpHead, [])) as Head;
  yield peppers.map(line => {
    const space = line.indexOf(' ');
    return { kind: 'checksum_key', id: line.slice(space + 1), key: line.slice(0, space) };
  });
  for (const kind of ['account', 'token'] as const) yield* documents(unit, kind, begun);
  yield* scanned(parts, now);
  let reached = begun;
  for (let last = Number.POSITIVE_INFINITY; reached < last; ) {
    const answer = (await read(unit, dumpChanges, [epoch, reached, atOnce])) as ['gap'] | [number, number, unknown[]];
    if (answer[0] === 'gap') throw new StoreUnavailable('the store changes faster than it can be read');
    const [to, end, rows] = answer as [number, number, unknown[]];
    yield changesOf(rows);
    [reached, last] = [to, end];
  }
  yield [{ kind: 'position', epoch, seq: reached }];
}

async function* documents(unit: Unit, of: Subject, upTo: number): AsyncGenerator<readonly StoreRecord[]> {
  let after = 0;
  for (let more = 1; more === 1; ) {
    const page = (await read(unit, dumpDocuments, [of, after, atOnce])) as [number, number, string[]];
    const [reached, goesOn, rows] = page;
    const ids = rows.filter((_, i) => i % 2 === 0);
    yield rows.filter((_, i) => i % 2 === 1).map(doc => documentRecord(of, doc));
    yield* trails(unit, of, ids, upTo);
    after = reached;
    more = goesOn;
  }
}

/** Events of some subjects, up to a position of the feed. */
async function* trails(
  unit: Unit,
  of: Subject,
  ids: readonly string[],
  upTo: number,
): AsyncGenerator<readonly StoreRecord[]> {
  let left = ids;
  for (let from = 0; left.length > 0; from += eventsAtOnce) {
    const found = (await read(unit, dumpEvents, [of, from, eventsAtOnce, ...left])) as string[][];
    yield found.flatMap((lines, i) =>
      lines.map(line => eventRecord(of, left[i]!, line)).filter(({ event }) => event.id <= upTo),
    );
    left = left.filter((_, i) => found[i]!.length === eventsAtOnce);
  }
}

/** What no order leads to, and what lies in other slots: usage, and creations that may be asked for again. */
async function* scanned({ link, unit, keys, usage }: DumpParts, now: Millis): AsyncGenerator<readonly StoreRecord[]> {
  for await (const names of link.scan(keys.everything, () => unit.deadline())) {
    const used = names.flatMap(name => keys.usedToken(name) ?? []);
    for (let i = 0; i < used.length; i += atOnce) {
      const found = await usage.whole(used.slice(i, i + atOnce));
      yield found.map(each => ({ kind: 'usage', usage: each }));
    }
    const once = names.flatMap(name => keys.creation(name) ?? []);
    if (once.length > 0) yield await creations(unit, once, now);
  }
}

async function creations(unit: Unit, keys: readonly string[], now: Millis): Promise<readonly StoreRecord[]> {
  const found = (await read(unit, dumpCreations, keys)) as (string | null)[][];
  return found.flatMap(([tokenId, body, ends], i) => {
    // It may have ended since its name was read.
    if (tokenId == null || body == null || Number(ends) <= now) return [];
    return [{ kind: 'creation', key: keys[i]!, body, tokenId, expiresAt: Number(ends) }];
  });
}

function changesOf(rows: readonly unknown[]): readonly StoreRecord[] {
  const records: StoreRecord[] = [];
  for (let i = 0; i < rows.length; i += 4) {
    const [of, id, doc, events] = rows.slice(i, i + 4) as [Subject, string, string, string[]];
    records.push(documentRecord(of, doc), ...events.map(line => eventRecord(of, id, line)));
  }
  return records;
}

const read = (unit: Unit, script: Script, args: readonly Argument[]): Promise<unknown> => unit.read(script, args);

const documentRecord = (of: Subject, doc: string): StoreRecord =>
  of === 'token'
    ? { kind: 'token', token: JSON.parse(doc) as StoredToken }
    : { kind: 'account', account: JSON.parse(doc) as Account };

function eventRecord(of: Subject, subject: string, line: string): Extract<StoreRecord, { readonly kind: 'event' }> {
  const end = line.indexOf(' ');
  const event = { id: Number(line.slice(0, end)), ...(JSON.parse(line.slice(end + 1)) as Audit) };
  return { kind: 'event', of, subject, event };
}
