import type { FeedEvent } from './token-store.ts';

/**
 * The ordered change feed. A `read` that was answered to the feed's end, an empty one included, proves that everything
 * before it was seen (the heartbeat). Rejects with `StoreUnavailable` when the store does not answer.
 */
export interface ChangeFeed {
  /** Where the feed ends now. */
  head(): Promise<Cursor>;
  /**
   * What tells the event at this position, which was read here, from another that comes to have its number. Empty where
   * nothing can take its place.
   */
  mark(cursor: Cursor): Promise<string>;
  /**
   * Events after `cursor`, oldest first. Waits up to `waitMs` when there are none. `gap`: the cursor's epoch is not
   * the store's, or events after it were trimmed; everything cached must be checked again.
   */
  read(cursor: Cursor, waitMs: number, signal?: AbortSignal): Promise<FeedAnswer>;
  /**
   * The same without waiting, for a position that somebody else names: what the store never had is a gap, and says
   * nothing about the store.
   */
  since(cursor: Cursor): Promise<FeedAnswer>;
}

/** A position: `seq` is the last event seen within `epoch`. */
export interface Cursor {
  readonly epoch: string;
  readonly seq: number;
  /** Of a position that was kept for longer than the process that saw it: what `mark` answered for it. */
  readonly mark?: string;
}

/** `complete`: there were no more events when it was answered. Only then does it prove anything. */
export type FeedAnswer =
  | {
      readonly kind: 'events';
      readonly events: readonly FeedEvent[];
      readonly cursor: Cursor;
      readonly complete: boolean;
    }
  | { readonly kind: 'gap'; readonly cursor: Cursor };
