import { type FileHandle, open, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { FeedEvent } from '../../ports/token-store.ts';
import { removeFile, replaceFile, syncFolder } from './sealed-file.ts';

/** A change that a snapshot may not know of. */
export type Tombstone = Pick<FeedEvent, 'seq' | 'kind' | 'id'>;

/** The changes since a snapshot began to be written, in a file beside it: a line each, on disk before it is told. */
export class Tombstones {
  readonly #file: string;
  #handle: FileHandle | null = null;
  #kept: Tombstone[] = [];
  /** A number alone is none: after changes were lost it stands for another one. */
  #names = new Set<string>();

  constructor(file: string) {
    this.#file = file;
  }

  /** Goes on with what an earlier process left: all that stand in the file. */
  async resume(): Promise<readonly Tombstone[]> {
    const [lines, rest] = await this.#read();
    this.#keep(lines.map(line => JSON.parse(line) as Tombstone));
    // A last line without its end was never told, and what comes next must not stand behind it.
    if (rest !== '') await replaceFile(this.#file, text(this.#kept));
    return this.#kept;
  }

  async #read(): Promise<[lines: string[], rest: string]> {
    try {
      const lines = (await readFile(this.#file, 'utf8')).split('\n');
      return [lines, lines.pop()!];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [[], ''];
      throw error;
    }
  }

  #keep(tombstones: readonly Tombstone[]): void {
    this.#kept = [...tombstones];
    this.#names = new Set(tombstones.map(nameOf));
  }

  /** Resolves when these are on disk. One call at a time. */
  async add(events: readonly FeedEvent[]): Promise<void> {
    const fresh = events
      .filter(event => !this.#names.has(nameOf(event)))
      .map(({ seq, kind, id }) => ({ seq, kind, id }));
    if (fresh.length === 0) return;
    if (this.#handle === null) {
      this.#handle = await open(this.#file, 'a', 0o600);
      await syncFolder(path.dirname(this.#file));
    }
    await this.#handle.appendFile(text(fresh));
    await this.#handle.datasync();
    for (const tombstone of fresh) {
      this.#kept.push(tombstone);
      this.#names.add(nameOf(tombstone));
    }
  }

  /** Leaves away those that a snapshot taken after `seq` knows of. One call at a time. */
  async prune(seq: number): Promise<void> {
    const kept = this.#kept.filter(tombstone => tombstone.seq > seq);
    if (kept.length === this.#kept.length) return;
    await this.close();
    await replaceFile(this.#file, text(kept));
    this.#keep(kept);
  }

  /** Leaves all of them away. */
  async clear(): Promise<void> {
    this.#keep([]);
    await this.close();
    await removeFile(this.#file);
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = null;
    await handle?.close();
  }
}

const nameOf = ({ seq, kind, id }: Tombstone): string => `${seq} ${kind} ${id}`;

const text = (tombstones: readonly Tombstone[]): string =>
  tombstones.map(tombstone => `${JSON.stringify(tombstone)}\n`).join('');
