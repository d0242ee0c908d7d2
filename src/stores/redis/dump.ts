import { readAccount, readRole, readToken } from '../../core/document.ts';
import { type Millis, roleOrderId } from '../../core/token.ts';
import { StoreUnavailable } from '../../errors.ts';
import type { StoreRecord } from '../../ports/store-transfer.ts';
import type { Audit } from '../../ports/token-store.ts';
import { isOpen, limitWindowRecord } from '../limits.ts';
import type { Keys } from './keys.ts';
import { ledgerOf, parseHead, parseLedger } from './limit-records.ts';
import type { Link } from './link.ts';
import type { Script } from './script.ts';
import { checkStore } from './scripts/check-store.ts';
import {
  dumpChanges,
  dumpCreations,
  dumpDocuments,
  dumpEvents,
  dumpHead,
  dumpRoles,
  readText,
} from './scripts/dump.ts';
import type { Argument, Unit } from './unit.ts';
import type { RedisUsageLedger } from './usage-ledger.ts';

/** Most documents in one script, so that nobody waits long behind one. */
const atOnce = 200;
/** Most events of one subject in one script. */
const eventsAtOnce = 100;

type Subject = 'token' | 'account' | 'role';
type Head = readonly [epoch: string, seq: number, peppers: readonly string[]];

export interface DumpParts {
  readonly link: Link;
  readonly unit: Unit;
  readonly keys: Keys;
  readonly usage: RedisUsageLedger;
  /** Windows of limits that have ended are read, too. */
  readonly whole: boolean;
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
  yield* roles(unit, begun);
  for (const kind of ['account', 'token'] as const) yield* documents(unit, kind, begun);
  yield* scanned(parts, now);
  let reached = begun;
  for (let last = Number.POSITIVE_INFINITY; reached < last; ) {
    const answer = (await read(unit, dumpChanges, [epoch, reached, atOnce, roleOrderId])) as
      | ['gap']
      | [number, number, unknown[]];
    if (answer[0] === 'gap') throw new StoreUnavailable('the store changes faster than it can be read');
    const [to, end, rows] = answer as [number, number, unknown[]];
    yield changesOf(rows);
    [reached, last] = [to, end];
  }
  yield [{ kind: 'position', epoch, seq: reached }];
}

/** In their order, and then those that are gone. */
async function* roles(unit: Unit, upTo: number): AsyncGenerator<readonly StoreRecord[]> {
  for (const which of ['live', 'gone'] as const) {
    let after = '';
    for (let more = true; more; ) {
      const rows = (await read(unit, dumpRoles, [which, after, atOnce])) as string[];
      const page = Array.from({ length: rows.length / 3 }, (_, i) => rows.slice(3 * i, 3 * i + 3));
      yield page.map(([, place, doc]) => roleRecord(place!, doc!));
      yield* trails(
        unit,
        'role',
        page.map(([id]) => id!),
        upTo,
      );
      after = page.at(-1)?.[which === 'live' ? 1 : 0] ?? '';
      more = page.length === atOnce;
    }
  }
  yield* trails(unit, 'role', [roleOrderId], upTo);
}

async function* documents(unit: Unit, of: 'token' | 'account', upTo: number): AsyncGenerator<readonly StoreRecord[]> {
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
async function* scanned(
  { link, unit, keys, usage, whole }: DumpParts,
  now: Millis,
): AsyncGenerator<readonly StoreRecord[]> {
  for await (const names of link.scan(keys.everything, () => unit.deadline())) {
    const used = names.flatMap(name => keys.usedToken(name) ?? []);
    for (let i = 0; i < used.length; i += atOnce) {
      const found = await usage.whole(used.slice(i, i + atOnce));
      yield found.map(each => ({ kind: 'usage', usage: each }));
    }
    yield* limitsOf({ link, unit, keys, whole }, names);
    const once = names.flatMap(name => keys.creation(name) ?? []);
    if (once.length > 0) yield await creations(unit, once, now);
  }
}

/** Heads and ledgers of limits among some keys. */
async function* limitsOf(
  { link, unit, keys, whole }: Omit<DumpParts, 'usage'>,
  names: readonly string[],
): AsyncGenerator<readonly StoreRecord[]> {
  // Windows are those of the server's clock.
  const now = Number(await read(unit, checkStore, []));
  const heads = names.flatMap(name => {
    const subject = keys.limited(name);
    return subject === null ? [] : [{ name, subject }];
  });
  const windows = names.flatMap(name => {
    const window = keys.limitWindow(name);
    if (window === null) return [];
    const { subject, word, label } = window;
    const place = { name, subject, ledger: ledgerOf(word), label };
    return whole || isOpen(place, now) ? [place] : [];
  });
  for (let i = 0; i < heads.length; i += atOnce) {
    const some = heads.slice(i, i + atOnce);
    const texts = await readTexts(link, unit, some);
    yield some.flatMap(({ subject }, k) =>
      texts[k] === null ? [] : [{ kind: 'limit_head', subject, head: parseHead(texts[k]!) }],
    );
  }
  for (let i = 0; i < windows.length; i += atOnce) {
    const some = windows.slice(i, i + atOnce);
    const texts = await readTexts(link, unit, some);
    yield some.flatMap(({ name: _, ...place }, k) =>
      texts[k] === null ? [] : [limitWindowRecord(place, parseLedger(texts[k]!))],
    );
  }
}

/** What is under some keys, of a store that is still the one that was opened. */
export async function readTexts(
  link: Link,
  unit: Unit,
  places: readonly { readonly name: string }[],
): Promise<readonly (string | null)[]> {
  const calls = places.map(({ name }) => ({ script: readText, keys: [name], args: [] }));
  const texts = await link.callAll(calls, unit.deadline());
  await unit.check();
  return texts as (string | null)[];
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
  for (let i = 0; i < rows.length; i += 5) {
    const [of, id, doc, place, events] = rows.slice(i, i + 5) as [Subject, string, string, string, string[]];
    if (of !== 'role') records.push(documentRecord(of, doc));
    else if (id !== roleOrderId) records.push(roleRecord(place, doc));
    records.push(...events.map(line => eventRecord(of, id, line)));
  }
  return records;
}

const read = (unit: Unit, script: Script, args: readonly Argument[]): Promise<unknown> => unit.read(script, args);

const roleRecord = (place: string, doc: string): StoreRecord => ({
  kind: 'role',
  role: readRole(doc),
  place: place === '' ? null : Number(place),
});

const documentRecord = (of: 'token' | 'account', doc: string): StoreRecord =>
  of === 'token' ? { kind: 'token', token: readToken(doc) } : { kind: 'account', account: readAccount(doc) };

function eventRecord(of: Subject, subject: string, line: string): Extract<StoreRecord, { readonly kind: 'event' }> {
  const end = line.indexOf(' ');
  const event = { id: Number(line.slice(0, end)), ...(JSON.parse(line.slice(end + 1)) as Audit) };
  return { kind: 'event', of, subject, event };
}
