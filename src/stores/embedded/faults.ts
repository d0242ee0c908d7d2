import { accessSync, constants, type Stats, statSync } from 'node:fs';
import { dirname } from 'node:path';

/** The folder belongs to another process, or to another open store of this one. */
export class StoreInUse extends Error {
  readonly folder: string;
  constructor(folder: string) {
    super(`the store in ${folder} is in use: another process owns it, and only one can`);
    this.name = 'StoreInUse';
    this.folder = folder;
  }
}

/** The file is not one that this version can read: of a newer version, or not a store at all. */
export class StoreVersionUnknown extends Error {
  readonly folder: string;
  readonly why: string;
  constructor(folder: string, why: string) {
    super(`the store in ${folder} cannot be read: ${why}`);
    this.name = 'StoreVersionUnknown';
    this.folder = folder;
    this.why = why;
  }
}

/**
 * What keeps this process from using a store's folder or file, and the remedy: what the system and SQLite say by
 * themselves names neither. Null when nothing of the kind does.
 */
export function accessFault(folder: string, file: string): string | null {
  const remedy = 'or name another folder in store.path';
  for (const path of standing(folder, file)) {
    const stats = statSync(path);
    if (path !== file && !stats.isDirectory())
      return `${path} is a file where a folder should be: remove it, ${remedy}`;
    try {
      accessSync(path, constants.R_OK | constants.W_OK | (path === file ? 0 : constants.X_OK));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EROFS') {
        return `${path} is on a read-only file system: mount it for writing, ${remedy}`;
      }
      return `${describe(path, stats)}: give it to that user (chown), ${remedy}`;
    }
  }
  return null;
}

/** The file and the folder, or what is there of the way to them. */
function standing(folder: string, file: string): string[] {
  const there = [file, folder].filter(exists);
  if (there.length > 0) return there;
  let parent = dirname(folder);
  while (!exists(parent) && parent !== dirname(parent)) parent = dirname(parent);
  return [parent];
}

function exists(path: string): boolean {
  try {
    statSync(path);
    return true;
  } catch {
    return false;
  }
}

function describe(path: string, { uid, mode }: Stats): string {
  const permissions = (mode & 0o7777).toString(8).padStart(4, '0');
  return `${path} belongs to user ${uid} with mode ${permissions}, and this process runs as user ${process.getuid?.()}`;
}
