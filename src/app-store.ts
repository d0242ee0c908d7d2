import { backupText, headingOf } from './backup/format.ts';
import { BackupLines, BackupUnreadable } from './backup/lines.ts';
import { readBackup } from './backup/read.ts';
import { Tally } from './backup/tally.ts';
import { StoreUnavailable } from './errors.ts';
import type { Clock } from './ports/clock.ts';
import type { Finding, StoreRecord } from './ports/store-transfer.ts';
import {
  beginStore,
  openExistingStore,
  StoreInUse,
  StoreMissing,
  type StoreSettings,
  StoreUnfit,
  StoreVersionUnknown,
  TargetTaken,
} from './stores/open-store.ts';

/** Work on a store that nobody serves from here: backups, moves and checks. */

export { opening as backupOpening } from './backup/format.ts';
export { StoreInUse, StoreMissing } from './stores/open-store.ts';

const clock: Clock = { wall: () => Date.now(), monotonic: () => performance.now() };

/** What a command could not do with a store, in words for whoever called it. */
export class StoreFault extends Error {}

/** A store that is open to be read from end to end. */
export interface OpenSource {
  records(): AsyncIterable<readonly StoreRecord[]>;
  /** Bytes of a backup. */
  backup(): AsyncIterable<Uint8Array>;
  /** How many changes there were since a position of its feed; null when that cannot be told. */
  changesSince(position: Position): Promise<number | null>;
  close(): Promise<void>;
}

export interface Position {
  readonly epoch: string;
  readonly seq: number;
}

/** Rejects with `StoreInUse` when its owner has to be asked, else with a `StoreFault`. */
export async function openSource(settings: StoreSettings): Promise<OpenSource> {
  const store = await told(openExistingStore(settings, clock));
  return {
    records: () => store.transfer.dump(),
    backup: () => encoded(backupText(headingOf(store.identity, clock.wall()), store.transfer.dump())),
    changesSince: async ({ epoch, seq }) => {
      const head = await store.feed.head();
      return head.epoch === epoch ? head.seq - seq : null;
    },
    close: () => store.close(),
  };
}

/** Records of a backup. What is wrong with it is told when it is come upon. */
export const recordsOf = (bytes: AsyncIterable<Uint8Array>): AsyncIterable<readonly StoreRecord[]> => readBackup(bytes);

/**
 * Hands on the bytes of a backup, and throws where they end without it being whole. `counts` answers how many records
 * there were.
 */
export function checked(bytes: AsyncIterable<Uint8Array>): {
  readonly bytes: AsyncIterable<Uint8Array>;
  counts(): Readonly<Record<string, number>>;
} {
  let counts: Readonly<Record<string, number>> = {};
  const lines = new BackupLines();
  async function* pass(): AsyncGenerator<Uint8Array> {
    for await (const piece of bytes) {
      lines.take(piece);
      yield piece;
    }
    counts = lines.end();
  }
  return { bytes: pass(), counts: () => counts };
}

export interface Migrated {
  readonly identity: string;
  /** How many things of each kind are in the store. */
  readonly counts: Readonly<Record<string, number>>;
  /** Where the feed stood that the records come from. */
  readonly position: Position | null;
}

/**
 * Fills a new store with records, reads all of it back, and makes it a store when it holds what was given. Rejects with
 * a `StoreFault`; then there is none.
 */
export async function migrate(
  records: AsyncIterable<readonly StoreRecord[]>,
  settings: StoreSettings,
): Promise<Migrated> {
  const target = await told(beginStore(settings, clock));
  try {
    const given = new Tally();
    let position: Position | null = null;
    for await (const page of records) {
      given.add(page);
      given.remove(await target.add(page));
      const last = page.at(-1);
      if (last?.kind === 'position') position = last;
    }
    const kept = new Tally();
    for await (const page of target.dump()) kept.add(page);
    if (!given.equals(kept)) {
      const [wanted, found] = [JSON.stringify(given.counts), JSON.stringify(kept.counts)];
      throw new StoreFault(
        `the new store does not hold what was written to it (given ${wanted}, kept ${found}): removed`,
      );
    }
    return { identity: await target.finish(), counts: given.counts, position };
  } catch (error) {
    throw faultOf(error);
  } finally {
    // What went wrong before says more than what goes wrong while tidying up.
    await target.close().catch(() => {});
  }
}

export interface Examined {
  readonly identity: string;
  readonly findings: readonly Finding[];
}

/** Rejects with `StoreInUse`, `StoreMissing`, or a `StoreFault` when there is nothing to look at. */
export async function examine(settings: StoreSettings): Promise<Examined> {
  const store = await told(openExistingStore(settings, clock));
  try {
    return { identity: store.identity, findings: await told(store.examine()) };
  } finally {
    await store.close();
  }
}

async function told<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw faultOf(error);
  }
}

/** An error that its own words tell enough of, as a `StoreFault`; any other as it is. */
export function faultOf(error: unknown): unknown {
  if (error instanceof StoreInUse || error instanceof StoreMissing) return error;
  const known = [TargetTaken, StoreUnfit, StoreVersionUnknown, StoreUnavailable, BackupUnreadable];
  if (known.some(kind => error instanceof kind)) return new StoreFault((error as Error).message, { cause: error });
  const { code, errcode } = error as NodeJS.ErrnoException & { errcode?: number };
  if (errcode !== undefined || code?.startsWith('E')) return new StoreFault((error as Error).message, { cause: error });
  return error;
}

async function* encoded(pieces: AsyncIterable<string>): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) yield Buffer.from(piece);
}
