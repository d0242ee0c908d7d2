import { createHmac, type Hmac, timingSafeEqual } from 'node:crypto';
import { type FileHandle, open, rename, unlink } from 'node:fs/promises';
import path from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';

/** Lines that are written, or read, in one turn of the event loop: requests go on in between. */
const linesAtOnce = 500;

/** No file of ours is larger; what is, is not read. Bytes. */
const mostBytes = 1 << 30;

/** The file is there, and is not what was written: the message says how that was seen. */
export class SnapshotDamaged extends Error {}

/**
 * Writes a text file of JSON lines whose last one is a MAC over all before it, durable when it resolves. Beside its
 * place: `putInPlace` moves it there.
 */
export async function writeSealed(file: string, values: Iterable<unknown>, key: Buffer): Promise<void> {
  const mac = createHmac('sha256', key);
  await writeBeside(file, async handle => {
    let lines: string[] = [];
    const write = async (): Promise<void> => {
      const text = lines.join('');
      mac.update(text);
      await handle.writeFile(text);
      lines = [];
    };
    for (const value of values) {
      if (lines.push(`${JSON.stringify(value)}\n`) < linesAtOnce) continue;
      await write();
      await turn();
    }
    await write();
    await handle.writeFile(`${mac.digest('hex')}\n`);
  });
}

/** The values of such a file; null when there is none. Rejects with `SnapshotDamaged` when no key fits. */
export async function readSealed(file: string, keys: readonly Buffer[]): Promise<unknown[] | null> {
  const data = await readBounded(file);
  if (data === null) return null;
  const end = data.lastIndexOf(0x0a, data.length - 2) + 1;
  // Without the newline at its end it is not whole.
  const seal = data.subarray(end, data.at(-1) === 0x0a ? -1 : end);
  const sealed = data.subarray(0, end);
  let fits = false;
  for (const key of keys) {
    const mac = Buffer.from(macOf(createHmac('sha256', key), sealed), 'latin1');
    if (mac.length === seal.length && timingSafeEqual(mac, seal)) fits = true;
  }
  if (!fits) throw new SnapshotDamaged('its seal does not fit: it is damaged, or was made with other peppers');
  const values: unknown[] = [];
  for (let from = 0; from < sealed.length; ) {
    const newline = sealed.indexOf(0x0a, from);
    values.push(JSON.parse(sealed.toString('utf8', from, newline)));
    from = newline + 1;
    if (values.length % linesAtOnce === 0) await turn();
  }
  return values;
}

const macOf = (mac: Hmac, data: Buffer): string => mac.update(data).digest('hex');

async function readBounded(file: string): Promise<Buffer | null> {
  let handle: FileHandle;
  try {
    handle = await open(file, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  try {
    const { size } = await handle.stat();
    if (size > mostBytes) throw new SnapshotDamaged(`it has ${size} bytes, which is more than is ever written`);
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

/** Replaces a file: whole or not at all, and durable when it resolves. */
export async function replaceFile(file: string, text: string): Promise<void> {
  await writeBeside(file, handle => handle.writeFile(text));
  await putInPlace(file);
}

/** Moves what was written beside a file into its place. */
export async function putInPlace(file: string): Promise<void> {
  await rename(besideOf(file), file);
  await syncFolder(path.dirname(file));
}

/** Nobody else may read it. */
async function writeBeside(file: string, write: (handle: FileHandle) => Promise<void>): Promise<void> {
  await removeFile(besideOf(file));
  const handle = await open(besideOf(file), 'wx', 0o600);
  try {
    await write(handle);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const besideOf = (file: string): string => `${file}.new`;

/** A file that is not there is removed. */
export async function removeFile(file: string): Promise<void> {
  await unlink(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
}

/** Makes the names in a folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
