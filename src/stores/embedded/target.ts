import { closeSync, existsSync, fsyncSync, linkSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import type { Clock } from '../../ports/clock.ts';
import type { StoreRecord, StoreTarget } from '../../ports/store-transfer.ts';
import { TargetTaken } from '../faults.ts';
import { fileName, openDatabase, syncNames } from './database.ts';
import { dumpTables } from './dump.ts';
import { DumpTables } from './dump-tables.ts';
import { StoreInUse } from './faults.ts';
import { Filler } from './filler.ts';
import { readMeta } from './schema.ts';

/** Where in the store's folder a file is filled, until it is whole. */
const draftFolder = 'migrating';

/**
 * A store in a folder that has none yet. It is filled in a folder below, under SQLite's lock, and moved to its place when
 * it is whole and on disk. What a broken attempt has left there is no store to anybody, and the next one removes it.
 */
export function beginEmbedded(folder: string, clock: Clock): StoreTarget {
  const place = resolve(folder);
  if (existsSync(join(place, fileName))) throw new TargetTaken(`the folder ${place} holds a store already`);
  return new EmbeddedTarget(place, clock);
}

class EmbeddedTarget implements StoreTarget {
  readonly #folder: string;
  readonly #draft: string;
  readonly #db: DatabaseSync;
  readonly #filler: Filler;
  readonly #clock: Clock;
  #open = true;

  constructor(folder: string, clock: Clock) {
    this.#folder = folder;
    this.#draft = join(folder, draftFolder);
    this.#clock = clock;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#db = openDraft(folder, this.#draft);
    // Only the whole file counts, and that is written through at the end.
    this.#db.exec('PRAGMA synchronous = OFF');
    this.#filler = new Filler(this.#db);
  }

  async add(records: readonly StoreRecord[]): Promise<readonly StoreRecord[]> {
    this.#db.exec('BEGIN');
    try {
      const replaced = records.flatMap(record => this.#filler.add(record));
      this.#db.exec('COMMIT');
      return replaced;
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      throw error;
    }
  }

  dump(): AsyncIterable<readonly StoreRecord[]> {
    const tables = new DumpTables(this.#db);
    return dumpTables(
      {
        begin: () => tables.begin(),
        checksumKeys: () => tables.checksumKeys(),
        roles: after => tables.roles(after),
        documents: (of, after) => tables.documents(of, after),
        usage: after => tables.usage(after),
        creations: (after, now) => tables.creations(after, now),
        limitHeads: after => tables.limitHeads(after),
        limitLedgers: after => tables.limitLedgers(after),
        changes: position => tables.changes(position),
      },
      this.#clock.wall(),
      // All that was filled in.
      { hours: Number.POSITIVE_INFINITY, days: Number.POSITIVE_INFINITY },
    );
  }

  async finish(): Promise<string> {
    const identity = readMeta(this.#db, 'identity');
    this.#db.exec('PRAGMA synchronous = FULL; PRAGMA wal_checkpoint(TRUNCATE)');
    this.#release();
    const file = join(this.#draft, fileName);
    sync(file);
    try {
      // Unlike a renaming, a link does not take the place of a store that was made here meanwhile.
      linkSync(file, join(this.#folder, fileName));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      throw new TargetTaken(`the folder ${this.#folder} has got a store meanwhile`);
    } finally {
      rmSync(this.#draft, { recursive: true, force: true });
    }
    syncNames(this.#folder);
    return identity;
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#release();
    rmSync(this.#draft, { recursive: true, force: true });
  }

  #release(): void {
    this.#open = false;
    this.#db.close();
  }
}

/** A fresh file. One that is there is of an attempt that was broken off, or of one that goes on: then it is locked. */
function openDraft(folder: string, draft: string): DatabaseSync {
  if (existsSync(draft)) {
    try {
      openDatabase(draft, true).close();
    } catch (error) {
      if (error instanceof StoreInUse) throw new TargetTaken(`another migration into ${folder} is under way`);
      // What is there cannot even be opened: it is removed all the same.
    }
    rmSync(draft, { recursive: true, force: true });
  }
  return openDatabase(draft, true);
}

function sync(file: string): void {
  const handle = openSync(file, 'r+');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
