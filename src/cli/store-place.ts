import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import path from 'node:path';
import { backupOpening } from '../app-store.ts';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { problemLine } from '../config/problems.ts';
import { storeAt } from '../config/store-place.ts';
import { type Io, UsageError } from './command.ts';

/** Where a store is, or a copy of one. */
export type Place =
  | {
      readonly kind: 'store';
      readonly settings: Config['store'];
      /** The configuration that says so; null where a folder or an address does. */
      readonly file: string | null;
    }
  | { readonly kind: 'backup'; readonly file: string };

/** Files that people name so are configurations, whether they are there or not. */
const configuration = /\.(ya?ml|json)$/i;

/** What stands behind `--from` or `--to`: an address of Redis, a folder, a configuration or a backup. */
export async function placeOf(text: string, option: string, io: Pick<Io, 'env'>): Promise<Place> {
  if (/^rediss?:/i.test(text)) return addressed(text, option);
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) {
    throw new UsageError(`${option} ${text}: allowed are redis:// and rediss:// addresses, folders and files`);
  }
  const found = await stat(text).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw new UsageError(`${option} ${text}: ${error.message}`);
  });
  if (found === null && (option === '--from' || configuration.test(text))) {
    throw new UsageError(`${option} ${text}: there is no such file or folder`);
  }
  if (found === null || found.isDirectory()) return stored(await storeAt({ folder: text }), option, null);
  if (!found.isFile()) throw new UsageError(`${option} ${text} is neither a file nor a folder`);
  if (await isBackup(text)) return { kind: 'backup', file: text };
  const loaded = await loadConfig({ file: text, env: io.env });
  if (loaded.ok) return { kind: 'store', settings: loaded.config.store, file: text };
  const lines = loaded.problems.map(problemLine).join('\n');
  throw new UsageError(`${option} ${text} is no backup of Postern, and as a configuration it has problems:\n${lines}`);
}

/** The bytes of a backup, as they are read. */
export const bytesOf = (file: string): AsyncIterable<Uint8Array> => createReadStream(file, { highWaterMark: 1 << 18 });

async function addressed(text: string, option: string): Promise<Place> {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url !== null && url.password !== '') {
    // Everybody on this machine can read command lines.
    const remedy = 'name a configuration file whose store has it in url_file';
    throw new UsageError(`${option} has a password in it, which others on this machine can read: ${remedy}`);
  }
  return stored(await storeAt({ url: text }), option, null);
}

function stored(read: Awaited<ReturnType<typeof storeAt>>, option: string, file: string | null): Place {
  if (read.ok) return { kind: 'store', settings: read.store, file };
  throw new UsageError(`${option}: ${read.problems.join('; ')}`);
}

async function isBackup(file: string): Promise<boolean> {
  const handle = await open(file, 'r').catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`${file}: ${error.message}`);
  });
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(backupOpening.length), 0, backupOpening.length, 0);
    return buffer.subarray(0, bytesRead).toString('latin1') === backupOpening;
  } finally {
    await handle.close();
  }
}

/** For people: never with a user or password. */
export const describe = (place: Place, text: string): string =>
  place.kind === 'store' && place.settings.kind === 'embedded' ? path.resolve(place.settings.path) : text;
