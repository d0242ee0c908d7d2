import { mkdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Account, Role } from '../../core/token.ts';
import type { Cursor } from '../../ports/change-feed.ts';
import type { Clock } from '../../ports/clock.ts';
import type { FeedEvent, Owner } from '../../ports/token-store.ts';
import { type Instant, instantOf } from '../freshness.ts';
import { Recall, type Remembered } from '../recall.ts';
import { lockFolder } from './folder-lock.ts';
import { putInPlace, readSealed, removeFile, SnapshotDamaged, syncFolder, writeSealed } from './sealed-file.ts';
import { Tombstones } from './tombstones.ts';

/** A version that does not know of roles would serve tokens without their bounds, and what it wrote lacks them. */
const formatVersion = 3;

/** What a snapshot says of itself, in its first line. */
interface Head {
  readonly snapshot: typeof formatVersion;
  /** Whose it is: the store, and the process that wrote it. */
  readonly store: string;
  readonly process: string;
  readonly cursor: Cursor;
  /** When what it says was last proved: on the store's clock, and on the wall clock here. */
  readonly proven: { readonly store: number; readonly wall: number };
  /** Milliseconds after that for which others reckon with the process that wrote it. */
  readonly cutOffMs: number;
  /** Keys of checksums that the store keeps, in hex. */
  readonly checksumKeys: readonly string[];
}

/** A snapshot as it was found. */
export interface Found {
  readonly store: string;
  readonly process: string;
  readonly cursor: Cursor;
  readonly checksumKeys: readonly string[];
  readonly recall: Recall;
}

/** What is to be written. */
export interface Contents {
  readonly store: string;
  readonly cursor: Cursor;
  /** When it was proved, and how far the store's clock is ahead of the wall clock, in milliseconds. */
  readonly proven: Instant;
  readonly clockOffsetMs: number;
  /** Milliseconds after that for which others reckon with this process. */
  readonly cutOffMs: number;
  readonly checksumKeys: readonly string[];
  readonly owners: readonly Owner[];
  readonly tokens: readonly Remembered[];
}

/**
 * The tokens that a process knows, in a folder of its own, so that the process that comes after it can serve them when
 * the store is away. A change that came later than the snapshot is on disk beside it before anybody is told that this
 * process has applied it.
 */
export class Snapshot {
  readonly #folder: string;
  readonly #file: string;
  readonly #process: string;
  readonly #lock: { release(): void };
  readonly #tombstones: Tombstones;
  /** What changes files, one after the other. */
  #busy: Promise<void> = Promise.resolve();
  /** There is something that a later process could serve from. */
  #stands = true;
  #writing = false;
  /** Events that could neither be written, nor the snapshot removed. */
  #owed: FeedEvent[] = [];
  /** What stands must not be served from any more, and could not be removed yet. */
  #condemned = false;
  /** Counts how often everything was discarded: what began to be written before that is not put in place. */
  #era = 0;
  /** When what is on disk was proved; null when nothing is that could be served from. */
  proven: Instant | null = null;

  private constructor(folder: string, process: string, lock: { release(): void }) {
    this.#folder = folder;
    this.#file = path.join(folder, 'snapshot');
    this.#process = process;
    this.#lock = lock;
    this.#tombstones = new Tombstones(path.join(folder, 'tombstones'));
  }

  /**
   * Opens the folder, and makes it when there is none; it is this process's until it is closed. `keys`: those that the
   * seal may have been made with. `refused` says why what was found is of no use. Rejects with `SnapshotTaken` when the
   * folder is another's, else when it cannot be written to.
   */
  static async open(
    folder: string,
    process: string,
    keys: readonly Buffer[],
    clock: Clock,
  ): Promise<{ readonly snapshot: Snapshot; readonly found: Found | null; readonly refused: string | null }> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const { mode } = await stat(folder);
    // Who can write there can take tombstones away.
    if ((mode & 0o022) !== 0)
      throw new Error('others may write to it: take that away (chmod go-w), or name a folder in it that is made then');
    const lock = lockFolder(folder);
    if (lock === null) throw new SnapshotTaken(folder);
    const snapshot = new Snapshot(folder, process, lock);
    try {
      const found = await snapshot.#read(keys, clock);
      return { snapshot, found, refused: null };
    } catch (error) {
      if (!(error instanceof SnapshotDamaged || error instanceof SyntaxError)) {
        lock.release();
        throw error;
      }
      return { snapshot, found: null, refused: error.message };
    }
  }

  async #read(keys: readonly Buffer[], clock: Clock): Promise<Found | null> {
    const values = await readSealed(this.#file, keys);
    if (values === null) return null;
    const [head, ...lines] = values as [Head, ...Line[]];
    if (head.snapshot !== formatVersion) throw new SnapshotDamaged('another version has written it');
    const now = instantOf(clock);
    if (now.wall < head.proven.store || now.wall < head.proven.wall) {
      throw new SnapshotDamaged('it is from the future: a clock was set back since it was written');
    }
    const age = now.wall - Math.min(head.proven.store, head.proven.wall);
    const recall = new Recall(
      { monotonic: now.monotonic - age, wall: now.wall - age },
      head.cutOffMs,
      ownersOf(lines),
      lines.flatMap(line => ('token' in line ? [line.token] : [])),
    );
    recall.apply(await this.#tombstones.resume());
    this.proven = recall.proven;
    const { store, process, cursor, checksumKeys } = head;
    return { store, process, cursor, checksumKeys, recall };
  }

  /** Writes what is known, in place of what was there. */
  async write(contents: Contents, key: Buffer): Promise<void> {
    const { cursor, proven, clockOffsetMs, cutOffMs, checksumKeys, owners, tokens, store } = contents;
    const era = this.#era;
    const head: Head = {
      snapshot: formatVersion,
      store,
      process: this.#process,
      cursor,
      proven: { store: Math.floor(proven.wall + clockOffsetMs), wall: Math.floor(proven.wall) },
      cutOffMs,
      checksumKeys,
    };
    this.#writing = true;
    try {
      await writeSealed(this.#file, linesOf(head, owners, tokens), key);
      await this.#alone(async () => {
        if (era !== this.#era) return;
        await putInPlace(this.#file);
        this.#stands = true;
        this.#condemned = false;
        this.proven = proven;
        await this.#tombstones.prune(cursor.seq);
      });
    } finally {
      this.#writing = false;
    }
  }

  /** Resolves when a later process would not serve what these events touch. */
  async bury(events: readonly FeedEvent[]): Promise<void> {
    if (!(this.#stands || this.#writing)) return;
    await this.#alone(async () => {
      this.#owed.push(...events);
      // What was acknowledged after this would be in vain.
      if (this.#condemned) await this.#remove();
      try {
        await this.#tombstones.add(this.#owed);
      } catch {
        // What cannot be corrected must not stay: a file can be removed where none can be written.
        this.#condemn();
        await this.#remove();
      }
      this.#owed = [];
    });
  }

  /** Resolves when nothing is left that a later process could serve from. */
  discard(): Promise<void> {
    this.#condemn();
    return this.#alone(() => this.#remove());
  }

  #condemn(): void {
    this.#era++;
    this.#condemned = true;
  }

  async close(): Promise<void> {
    await this.#alone(() => this.#tombstones.close());
    this.#lock.release();
  }

  async #remove(): Promise<void> {
    await removeFile(this.#file);
    await syncFolder(this.#folder);
    this.#stands = false;
    this.#condemned = false;
    this.proven = null;
    await this.#tombstones.clear();
  }

  /** One after the other. */
  #alone<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#busy.then(act);
    this.#busy = done.then(
      () => {},
      () => {},
    );
    return done;
  }
}

/** The folder is that of another process, which lives. */
export class SnapshotTaken extends Error {
  constructor(folder: string) {
    super(`another process keeps its snapshot in ${folder}: every process needs a folder of its own`);
    this.name = 'SnapshotTaken';
  }
}

/** A role stands before the first account that has it. `roles`: their ids, in the order in which they apply. */
type Line = { role: Role } | { account: Account; roles: readonly string[] } | { token: Remembered };

function* linesOf(head: Head, owners: readonly Owner[], tokens: readonly Remembered[]): Iterable<Head | Line> {
  yield head;
  const written = new Map<string, Role>();
  for (const { account, roles } of owners) {
    for (const role of roles) {
      // Of one that has just changed there may be two.
      if (written.get(role.id)?.version === role.version) continue;
      yield { role };
      written.set(role.id, role);
    }
    yield { account, roles: roles.map(({ id }) => id) };
  }
  for (const token of tokens) yield { token };
}

function ownersOf(lines: readonly Line[]): readonly Owner[] {
  const known = new Map<string, Role>();
  const owners: Owner[] = [];
  for (const line of lines) {
    if ('role' in line) known.set(line.role.id, line.role);
    else if ('account' in line) owners.push({ account: line.account, roles: line.roles.map(id => known.get(id)!) });
  }
  return owners;
}
