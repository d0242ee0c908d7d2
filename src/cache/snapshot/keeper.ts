import type { Log } from '../../ports/log.ts';
import type { FeedEvent } from '../../ports/token-store.ts';
import type { Instant } from '../freshness.ts';
import type { Contents, Snapshot } from './snapshot.ts';

export interface Keeping {
  readonly intervalMs: number;
  /** What seals the file. */
  readonly key: Buffer;
}

/**
 * What is known and proved: what it takes to collect it, and then all at once. Null when that is nothing, or no more
 * than the last time.
 */
export type Contained = () => Promise<(() => Contents | null) | null>;

/** Writes the snapshot again and again, while there is something to write, and once more at the end. */
export class SnapshotKeeper {
  readonly #snapshot: Snapshot;
  readonly #contents: Contained;
  readonly #log: Log;
  #keeping: Keeping;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(snapshot: Snapshot, contents: Contained, keeping: Keeping, log: Log) {
    this.#snapshot = snapshot;
    this.#contents = contents;
    this.#keeping = keeping;
    this.#log = log;
  }

  configure(keeping: Keeping): void {
    this.#keeping = keeping;
    if (this.#timer !== undefined) this.start();
  }

  start(): void {
    clearInterval(this.#timer);
    this.#timer = setInterval(() => void this.#write(), this.#keeping.intervalMs);
  }

  bury(events: readonly FeedEvent[]): Promise<void> {
    return this.#snapshot.bury(events);
  }

  discard(): Promise<void> {
    return this.#snapshot.discard();
  }

  /** When what is on disk was proved; null when nothing is. */
  get proven(): Instant | null {
    return this.#snapshot.proven;
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#write();
    await this.#snapshot.close();
  }

  #write(): Promise<void> {
    this.#writing = this.#writing.then(async () => {
      try {
        const collect = await this.#contents();
        // From here on changes are noted: none may come in between.
        const contents = collect?.() ?? null;
        if (contents !== null) await this.#snapshot.write(contents, this.#keeping.key);
      } catch (error) {
        // What stands is good until it is too old.
        this.#log.error({}, 'the snapshot cannot be written', error);
      }
    });
    return this.#writing;
  }
}
