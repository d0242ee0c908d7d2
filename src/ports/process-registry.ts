import type { Cursor } from './change-feed.ts';

/**
 * The registry of live processes: who serves from this store, and which changes each has applied. A process beats once
 * per half bound, and at once after a change that somebody waits for. Rejects with `StoreUnavailable`.
 */
export interface ProcessRegistry {
  /**
   * `taken`: it is written, by as many nodes as `store.confirm` asks for. `refused`: the store answered, and takes no
   * writes from anybody now; so nobody can have changed anything that this process has not heard of. A node that is a
   * replica, or that has lost its own, says nothing of the kind: another may have become the master.
   */
  beat(heartbeat: Heartbeat): Promise<'taken' | 'refused'>;
  /** The process serves nothing any more. */
  signOff(process: string): Promise<void>;
  /** Processes that are live by the store's clock: not signed off, and their cut-off bound since their last beat not passed. */
  roll(): Promise<Roll>;
}

export interface Heartbeat {
  /** This incarnation of the process: up to 64 letters, digits, `.`, `_` and `-`. */
  readonly process: string;
  /**
   * What it has applied: entries evicted, streams closing, tombstones on disk where snapshots are on. A position that
   * this store does not have (it has lost changes since) is answered with an empty epoch: it is none of its own.
   */
  readonly applied: Cursor;
  /** Milliseconds that it may serve what it knows when it is cut off. */
  readonly cutOffMs: number;
}

export interface Roll {
  /** Milliseconds since the epoch, on the store's clock. */
  readonly now: number;
  readonly processes: readonly Heartbeat[];
}
