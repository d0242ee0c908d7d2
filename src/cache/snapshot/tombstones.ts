import { type FileHandle, open, readFile, truncate } from 'node:fs/promises';
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
  #numbers = new Set<number>();

  constructor(file: string) {
    this.#file = file;
  }

  /** All that stand in the file. A last line without its end was never told: it is cut off, for others come behind it. */
  static async read(file: string): Promise<Tombstone[]> {
    let text: string;
    try {
      text = await readFile(file, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    if (whole !== text) await truncate(file, Buffer.byteLength(whole));
    const lines = whole.split('\n').slice(0, -1);
    return lines.map(line => JSON.parse(line) as Tombstone);
  }

  /** Goes on with what an earlier process left. */
  resume(kept: readonly Tombstone[]): void {
    this.#kept = [...kept];
    this.#numbers = new Set(kept.map(({ seq }) => seq));
  }

  /** Resolves when these are on disk. One call at a time. */
  async add(events: readonly FeedEvent[]): Promise<void> {
    const fresh = events.filter(({ seq }) => !this.#numbers.has(seq)).map(({ seq, kind, id }) => ({ seq, kind, id }));
    if (fresh.length === 0) return;
    if (this.#handle === null) {
      this.#handle = await open(this.#file, 'a', 0o600);
      await syncFolder(path.dirname(this.#file));
    }
    await this.#handle.appendFile(text(fresh));
    await this.#handle.datasync();
    for (const tombstone of fresh) {
      this.#kept.push(tombstone);
      this.#numbers.add(tombstone.seq);
    }
  }

  /** Leaves away those that a snapshot taken after `seq` knows of. One call at a time. */
  async prune(seq: number): Promise<void> {
    const kept = this.#kept.filter(tombstone => tombstone.seq > seq);
    if (kept.length === this.#kept.length) return;
    await this.close();
    await replaceFile(this.#file, text(kept));
    this.resume(kept);
  }

  /** Leaves all of them away. */
  async clear(): Promise<void> {
    this.resume([]);
    await this.close();
    await removeFile(this.#file);
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = null;
    await handle?.close();
  }
}

const text = (tombstones: readonly Tombstone[]): string =>
  tombstones.map(tombstone => `${JSON.stringify(tombstone)}\n`).join('');
