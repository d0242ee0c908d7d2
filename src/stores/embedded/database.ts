import { closeSync, existsSync, fsyncSync, mkdirSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { accessFault, StoreInUse, StoreVersionUnknown } from './faults.ts';
import { fileVersion, migrate, migrations } from './schema.ts';
import { isBusy, isNotADatabase } from './sqlite.ts';

export const fileName = 'postern.db';

/**
 * Opens the store's file, takes it for this process alone, and brings its schema up to date. `create` false refuses
 * to begin anew where a store was. Throws `StoreInUse`, `StoreVersionUnknown`, or what the file system said.
 */
export function openDatabase(folder: string, create: boolean): DatabaseSync {
  const file = join(folder, fileName);
  try {
    return openFile(folder, file, create);
  } catch (error) {
    if (error instanceof StoreInUse || error instanceof StoreVersionUnknown) throw error;
    const why = accessFault(folder, file);
    throw why === null ? error : new Error(`${(error as Error).message}; ${why}`, { cause: error });
  }
}

function openFile(folder: string, file: string, create: boolean): DatabaseSync {
  if (!existsSync(file)) {
    if (!create) throw new Error(`${file} is gone`);
    createFile(folder, file);
  }
  const db = new DatabaseSync(file);
  try {
    claim(db, folder);
    const found = fileVersion(db);
    if (found.kind === 'foreign') throw new StoreVersionUnknown(folder, 'its file belongs to another program');
    if (found.version > migrations.length) {
      const versions = `its schema is version ${found.version}, this program knows up to ${migrations.length}`;
      throw new StoreVersionUnknown(folder, `${versions}: use a newer one`);
    }
    if (!create && found.version === 0) throw new Error(`${file} is empty`);
    migrate(db);
    return db;
  } catch (error) {
    db.close();
    if (isNotADatabase(error)) throw new StoreVersionUnknown(folder, 'its file is not a database');
    throw error;
  }
}

/**
 * In WAL mode with exclusive locking, SQLite locks the file with the first access and until it is closed; the system
 * frees the lock of a process that dies. No lock file can be left behind, and no write is needed, so that a full disk
 * can still be read.
 */
function claim(db: DatabaseSync, folder: string): void {
  try {
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; BEGIN IMMEDIATE; COMMIT');
  } catch (error) {
    throw isBusy(error) ? new StoreInUse(folder) : error;
  }
  // FULL: what COMMIT has answered survives a loss of power. Sorting must not need a disk that may be full.
  db.exec('PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32768');
}

/** SQLite gives its log the mode of the database, so this covers both. */
function createFile(folder: string, file: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  try {
    // Closing a file drops every lock that the process has on it: this is done before there can be one.
    closeSync(openSync(file, 'wx', 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return;
  }
  for (const path of [folder, dirname(folder)]) syncNames(path);
}

/** Makes the names in a folder durable, where that can be done: a parent may be closed to us. */
export function syncNames(path: string): void {
  try {
    const folder = openSync(path, 'r');
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  } catch {
    // The store works without; a loss of power in its first seconds may then lose it whole, never in part.
  }
}
