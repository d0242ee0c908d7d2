import type { Cursor } from '../ports/change-feed.ts';
import type { LimitWatch, PassedThreshold } from '../ports/limit-watch.ts';
import type { RefusalWatch, ToldRefusal } from '../ports/refusal-watch.ts';
import type { FeedEvent } from '../ports/token-store.ts';
import { Watcher, type WatchFilter, type WatchStore } from './watcher.ts';

/** Most who watch at a time. */
export const mostWatchers = 64;

/**
 * Those who watch what goes on: changes as this process has applied them, in the order of the feed and once each, and
 * the refusals of this process, and what it finds of limits.
 */
export class Watchers implements RefusalWatch, LimitWatch {
  readonly #store: WatchStore;
  readonly #all = new Set<Watcher>();
  /** Those of them who want refusals. */
  readonly #ofRefusals = new Set<Watcher>();
  #newest: Cursor | null;

  /** `newest`: the last change that this process knows of. */
  constructor(store: WatchStore, newest: Cursor | null) {
    this.#store = store;
    this.#newest = newest;
  }

  get watched(): boolean {
    return this.#ofRefusals.size > 0;
  }

  get size(): number {
    return this.#all.size;
  }

  /**
   * One more, until it is `over`. `from`: the last change that it knows; null: it is told of those to come. Null
   * when there are too many.
   */
  watch(filter: WatchFilter, from: Cursor | null, over: AbortSignal): Watcher | null {
    if (this.#all.size >= mostWatchers) return null;
    const watcher = new Watcher(this.#store, filter, this.#newest, from, over);
    if (over.aborted) return watcher;
    this.#all.add(watcher);
    if (watcher.wantsRefusals) this.#ofRefusals.add(watcher);
    const leave = (): void => {
      this.#all.delete(watcher);
      this.#ofRefusals.delete(watcher);
    };
    over.addEventListener('abort', leave, { once: true });
    return watcher;
  }

  /** `cursor`: that of the last event. */
  changed(events: readonly FeedEvent[], cursor: Cursor): void {
    this.#newest = cursor;
    for (const watcher of this.#all) watcher.changed(events, cursor);
  }

  /** Changes may have been missed; the feed goes on at `cursor`. */
  missed(cursor: Cursor): void {
    this.#newest = cursor;
    for (const watcher of this.#all) watcher.missed(cursor);
  }

  passed(threshold: PassedThreshold): void {
    for (const watcher of this.#all) watcher.passed(threshold);
  }

  refused(refusal: ToldRefusal): void {
    for (const watcher of this.#ofRefusals) watcher.refused(refusal);
  }
}
