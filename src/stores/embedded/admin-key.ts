import { randomBytes } from 'node:crypto';
import { open, readFile, rename } from 'node:fs/promises';
import path from 'node:path';

/** The file in the store's folder that keeps the admin key made at the first start. */
export const adminKeyFile = 'admin.key';

/** Shortest key that is taken from the file, in characters. */
const shortest = 32;

/**
 * The admin key of a store without a configured one: read from `admin.key`, or made and written there with a newline,
 * for its owner alone. Rejects when what is there is no key: it is not overwritten, because somebody put it there.
 */
export async function readOrMakeAdminKey(folder: string): Promise<string> {
  const file = path.join(folder, adminKeyFile);
  const kept = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (kept !== null) {
    const key = kept.replace(/\r?\n$/, '');
    if (key.length >= shortest) return key;
    throw new Error(`${file} holds no admin key of at least ${shortest} characters; delete it to have one made`);
  }
  const key = randomBytes(32).toString('base64url');
  // Written aside and moved, so that a crash leaves either no key or a whole one.
  const draft = await open(`${file}.new`, 'w', 0o600);
  try {
    await draft.chmod(0o600);
    await draft.writeFile(`${key}\n`);
    await draft.sync();
  } finally {
    await draft.close();
  }
  await rename(`${file}.new`, file);
  return key;
}
