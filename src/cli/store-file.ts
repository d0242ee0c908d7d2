import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { Failed, UsageError } from './command.ts';

/**
 * Writes a file that is there whole or not at all: under another name, for its owner alone, and moved to its place when
 * everything is on disk. What goes wrong leaves the file as it was.
 */
export async function writeWhole(file: string, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  const folder = path.dirname(path.resolve(file));
  await refuseOther(file);
  const draft = path.join(folder, `.${path.basename(file)}.${process.pid}.part`);
  const handle = await open(draft, 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
    throw new Failed(`${file} cannot be written: ${error.message}`);
  });
  try {
    await fill(handle, file, bytes);
    await rename(draft, file);
    await syncNames(folder);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

async function fill(handle: FileHandle, file: string, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  const written = async (act: Promise<unknown>): Promise<void> => {
    await act.catch((error: NodeJS.ErrnoException) => {
      throw new Failed(`${file} cannot be written: ${error.message}`);
    });
  };
  try {
    for await (const piece of bytes) await written(handle.writeFile(piece));
    await written(handle.sync());
  } finally {
    await handle.close();
  }
}

/** A device or a pipe would be replaced by a file. */
async function refuseOther(file: string): Promise<void> {
  const found = await stat(file).catch(() => null);
  if (found === null || found.isFile()) return;
  throw new UsageError(`${file} is no ordinary file; - writes to standard output`);
}

async function syncNames(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } catch {
    // Some file systems cannot; a loss of power may then leave the file that was there before.
  } finally {
    await handle.close();
  }
}
