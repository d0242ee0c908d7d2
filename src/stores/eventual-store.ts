import { setTimeout as pause } from 'node:timers/promises';
import { StoreUnavailable } from '../errors.ts';
import type { Store } from './store.ts';

/** Milliseconds between two tries to open the store: at first, and at most. */
const backoff = { first: 100, most: 1000 };

/** Told of a store that could not be opened. */
export interface OpeningWatcher {
  /** Called once for every cause that follows another one. */
  failed(cause: Error): void;
  opened(): void;
}

export interface Opening {
  /** Opens the store, and does all that has to be done before it may be used. */
  readonly open: () => Promise<Store>;
  /** Whether it may be there later; else whoever opens is told, and nothing is tried again. */
  readonly mayCome: (error: unknown) => boolean;
  readonly watcher: OpeningWatcher;
  /** Milliseconds that the first try may take before it goes on by itself. */
  readonly patienceMs: number;
}

/**
 * A store that may not be there yet. Until it is, every call rejects with `StoreUnavailable`; it is tried to be opened
 * again and again. From then on it is that store.
 */
export class EventualStore {
  readonly #opening: Opening;
  readonly #stop = new AbortController();
  readonly #onOpened: ((store: Store) => void)[] = [];
  #store: Store | null = null;
  #why = 'it was not opened yet';
  #trying: Promise<void> = Promise.resolve();

  readonly tokens: Store['tokens'] = this.#late(({ tokens }) => tokens);
  readonly feed: Store['feed'] = this.#late(({ feed }) => feed);
  readonly usage: Store['usage'] = this.#late(({ usage }) => usage);
  readonly registry: Store['registry'] = this.#late(({ registry }) => registry);
  readonly limits: Store['limits'] = this.#lateLimits();

  private constructor(opening: Opening) {
    this.#opening = opening;
  }

  /** Resolves when the store is open, or may come later. Rejects when it may not. */
  static async open(opening: Opening): Promise<EventualStore> {
    const store = new EventualStore(opening);
    const first = store.#try();
    const slow = new AbortController();
    try {
      await Promise.race([first, pause(opening.patienceMs, undefined, { signal: slow.signal }).catch(() => {})]);
    } finally {
      slow.abort();
    }
    store.#trying = first.then(
      () => store.#insist(),
      () => store.#insist(),
    );
    return store;
  }

  /** Null until it is open. */
  get opened(): Store | null {
    return this.#store;
  }

  /** Gives up opening, or closes what was opened. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#trying;
    await this.#store?.close();
  }

  #opened(): Store {
    if (this.#store === null) throw new StoreUnavailable(`the store is not open: ${this.#why}`);
    return this.#store;
  }

  /** One try. Rejects when it is in vain to try again. */
  async #try(): Promise<void> {
    try {
      const store = await this.#opening.open();
      this.#store = store;
    } catch (error) {
      if (!this.#opening.mayCome(error)) throw error;
      const { message } = error as Error;
      if (message !== this.#why) this.#opening.watcher.failed(error as Error);
      this.#why = message;
      return;
    }
    this.#opening.watcher.opened();
    for (const act of this.#onOpened.splice(0)) act(this.#store);
  }

  async #insist(): Promise<void> {
    const { signal } = this.#stop;
    for (let ms = backoff.first; this.#store === null && !signal.aborted; ms = Math.min(2 * ms, backoff.most)) {
      await pause(ms * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      // What is wrong may have been set right meanwhile: from here on everything may come.
      await this.#try().catch((error: Error) => {
        if (error.message !== this.#why) this.#opening.watcher.failed(error);
        this.#why = error.message;
      });
    }
  }

  /** Who listens before the store is open has missed nothing: nobody could say anything through it. */
  #lateLimits(): Store['limits'] {
    const { exchange, define, read, reset } = this.#late(({ limits }) => limits);
    const listen: Store['limits']['listen'] = (hear, signal) => {
      if (this.#store !== null) this.#store.limits.listen(hear, signal);
      else this.#onOpened.push(({ limits }) => limits.listen(hear, signal));
    };
    return { exchange, define, read, reset, listen };
  }

  /** One of the store's ports, whose every method answers a promise. */
  #late<P extends object>(port: (store: Store) => P): P {
    return new Proxy({} as P, {
      get: (_, name) => {
        // It is no promise itself, should somebody await it.
        if (name === 'then') return undefined;
        return async (...args: unknown[]) => {
          const opened = port(this.#opened()) as Record<PropertyKey, (...given: unknown[]) => unknown>;
          return opened[name]!(...args);
        };
      },
    });
  }
}
