import { StoreUnavailable } from '../../errors.ts';
import type { StoreWatcher } from '../store.ts';
import { type Call, monotonic, type OwnerSettings, type Reply } from './messages.ts';
import { type Answer, type Arguments, type Operation, ranks } from './operations.ts';
import type { OwnerListener, OwnerThread, StartOwner } from './owner-thread.ts';

/** Milliseconds. */
export interface Deadlines {
  /** For what requests wait for. */
  readonly lookup: number;
  /** For everything else. */
  readonly other: number;
}

/** Milliseconds before the thread is started again: doubled while it does not last. */
const backoff = { first: 50, most: 5000 } as const;

interface Pending {
  readonly mutation: boolean;
  readonly resolve: (answer: Answer<Operation>) => void;
  readonly reject: (error: unknown) => void;
  readonly release: () => void;
}

/** Calls to the owner thread: who waits for what and how long, and what becomes of them when the thread dies. */
export class OwnerClient {
  readonly #start: StartOwner;
  readonly #settings: OwnerSettings;
  readonly #deadlines: Deadlines;
  readonly #watcher: StoreWatcher | undefined;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #identity = '';
  #thread: OwnerThread | null = null;
  #openedAt = 0;
  #failures = 0;
  /** Why there is no thread. */
  #why = 'the store is not open';
  #restart: NodeJS.Timeout | undefined;
  #starting: Promise<void> | null = null;
  #closed: Promise<void> | null = null;
  #onEnded: () => void = () => {};

  /** Resolves when the store is open; rejects as `StartOwner` does. */
  static async open(
    start: StartOwner,
    settings: OwnerSettings,
    deadlines: Deadlines,
    watcher?: StoreWatcher,
  ): Promise<OwnerClient> {
    const client = new OwnerClient(start, settings, deadlines, watcher);
    await client.#open(settings.identity);
    return client;
  }

  private constructor(start: StartOwner, settings: OwnerSettings, deadlines: Deadlines, watcher?: StoreWatcher) {
    this.#start = start;
    this.#settings = settings;
    this.#deadlines = deadlines;
    this.#watcher = watcher;
  }

  /** The store's, as it was when it was opened. A thread that finds another one is refused. */
  get identity(): string {
    return this.#identity;
  }

  /**
   * `waitMs` is how long the thread itself may hold the call. Rejects with `StoreUnavailable`: after the deadline,
   * when the thread dies or is dead, when the thread cannot do it. Rejects with the signal's reason when aborted.
   */
  call<K extends Operation>(
    operation: K,
    args: Arguments<K>,
    options: { readonly waitMs?: number; readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Answer<K>> {
    return new Promise<Answer<K>>((resolve, reject) => {
      const thread = this.#thread;
      if (thread === null || this.#closed !== null) throw new StoreUnavailable(this.#why);
      const { waitMs = 0, signal } = options;
      signal?.throwIfAborted();
      const id = ++this.#lastId;
      const rank = ranks[operation];
      const ms = (rank === 'lookup' ? this.#deadlines.lookup : this.#deadlines.other) + waitMs;
      // The compiler cannot see that one K is one of them all.
      thread.post({ kind: 'call', id, operation, args, deadline: monotonic() + ms } as unknown as Call);

      // An answer that came in time may lie behind a timer that fires late: the port is read before giving up.
      const timer = setTimeout(() => setImmediate(() => this.#giveUp(id, ms)), ms);
      const abort = (): void => {
        this.#thread?.post({ kind: 'cancel', id });
        this.#settle(id)?.reject(signal?.reason);
      };
      signal?.addEventListener('abort', abort, { once: true });
      this.#pending.set(id, {
        mutation: rank === 'mutation',
        resolve: resolve as Pending['resolve'],
        reject,
        release: () => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', abort);
        },
      });
    });
  }

  /** Lets the thread finish what it was asked, then ends it. What takes longer than a deadline is cut. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#why = 'the store is closed';
    clearTimeout(this.#restart);
    await this.#starting;
    const thread = this.#thread;
    if (thread === null) return;
    await new Promise<void>(resolve => {
      const timer = setTimeout(() => thread.terminate(), this.#deadlines.other);
      this.#onEnded = () => {
        clearTimeout(timer);
        resolve();
      };
      thread.post({ kind: 'close' });
    });
  }

  async #open(identity: string | null): Promise<void> {
    const listener: OwnerListener = {
      replies: replies => {
        for (const reply of replies) this.#take(reply);
      },
      ended: cause => this.#ended(cause),
    };
    const thread = await this.#start({ ...this.#settings, identity }, listener);
    this.#identity = thread.identity;
    this.#thread = thread;
    this.#openedAt = monotonic();
  }

  #take(reply: Reply): void {
    const pending = this.#settle(reply.id);
    if (reply.kind === 'answer') pending?.resolve(reply.answer);
    else pending?.reject(new StoreUnavailable(`the store cannot do it: ${reply.why}`));
  }

  #giveUp(id: number, ms: number): void {
    const pending = this.#settle(id);
    pending?.reject(new StoreUnavailable(`the store has not answered within ${ms} ms`, { sent: pending.mutation }));
  }

  /** Whoever gets the call from here settles it, and nobody else. */
  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    pending?.release();
    return pending;
  }

  #ended(cause: Error): void {
    this.#thread = null;
    const closing = this.#closed !== null;
    if (!closing) this.#why = `the thread of the store has died: ${cause.message}`;
    for (const id of [...this.#pending.keys()]) {
      const pending = this.#settle(id)!;
      pending.reject(new StoreUnavailable(this.#why, { sent: pending.mutation, cause }));
    }
    this.#onEnded();
    if (closing) return;
    if (monotonic() - this.#openedAt > backoff.most) this.#failures = 0;
    this.#watcher?.down(cause);
    this.#restartLater();
  }

  #restartLater(): void {
    const delay = Math.min(backoff.first * 2 ** this.#failures, backoff.most);
    this.#failures++;
    this.#restart = setTimeout(() => {
      this.#starting = this.#open(this.#identity)
        .then(
          () => {
            if (this.#closed === null) this.#watcher?.up();
          },
          (error: Error) => {
            this.#why = error.message;
            if (this.#closed === null) this.#restartLater();
          },
        )
        .finally(() => {
          this.#starting = null;
        });
    }, delay);
  }
}
