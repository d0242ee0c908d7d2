import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** What SQLite says of a file that another connection has locked. */
const busy = 5;

/**
 * Holds a folder for as long as this process lives; the system lets go of it, however that ends. So whoever gets it
 * knows that the one before has ended. Null when somebody has it. Throws when the folder cannot be written to.
 */
export function lockFolder(folder: string): { release(): void } | null {
  // SQLite's locks are those of the system, which Node has no other way to.
  const file = new DatabaseSync(path.join(folder, 'lock'), { timeout: 0 });
  try {
    file.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    file.close();
    if ((error as { readonly errcode?: number }).errcode === busy) return null;
    throw error;
  }
  return {
    release: () => {
      if (file.isOpen) file.close();
    },
  };
}
