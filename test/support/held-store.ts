import type { ChangeFeed, Cursor, FeedAnswer } from '../../src/ports/change-feed.ts';
import type { FoundToken, Owner, TokenStore } from '../../src/ports/token-store.ts';

/** A call that waits until the test answers it. */
export interface Held<Question, Answer> {
  readonly question: Question;
  answer(answer: Answer): void;
  fail(error: Error): void;
}

/** Calls in the order in which they came in, and a barrier for the next one. */
export class HeldCalls<Question, Answer> {
  readonly open: Held<Question, Answer>[] = [];
  count = 0;
  #waiting: ((call: Held<Question, Answer>) => void)[] = [];

  ask(question: Question): Promise<Answer> {
    this.count++;
    return new Promise((answer, fail) => {
      const call = { question, answer, fail };
      const waiting = this.#waiting.shift();
      if (waiting === undefined) this.open.push(call);
      else waiting(call);
    });
  }

  /** The oldest call that was not taken yet; waits for it if need be. */
  next(): Promise<Held<Question, Answer>> {
    const call = this.open.shift();
    if (call !== undefined) return Promise.resolve(call);
    return new Promise(resolve => this.#waiting.push(resolve));
  }
}

/** What a look-up asks of a store, answered by hand. */
export class HeldStore {
  readonly finds: HeldCalls<readonly string[], FoundToken | null> = new HeldCalls();
  readonly owners: HeldCalls<string, Owner | null> = new HeldCalls();
  readonly rekeyed: (readonly [id: string, from: string, to: string])[] = [];
  /** What `rekey` answers. */
  rekey: () => Promise<void> = () => Promise.resolve();

  get port(): TokenStore {
    const port: Pick<TokenStore, 'find' | 'getOwner' | 'rekey'> = {
      find: digests => this.finds.ask(digests),
      getOwner: id => this.owners.ask(id),
      rekey: (id, from, to) => {
        this.rekeyed.push([id, from, to]);
        return this.rekey();
      },
    };
    return port as TokenStore;
  }
}

export interface FeedRead {
  readonly cursor: Cursor;
  readonly waitMs: number;
}

/** A change feed answered by hand. A read that is aborted rejects. */
export class HeldFeed implements ChangeFeed {
  readonly heads: HeldCalls<null, Cursor> = new HeldCalls();
  readonly reads: HeldCalls<FeedRead, FeedAnswer> = new HeldCalls();
  readonly looks: HeldCalls<Cursor, FeedAnswer> = new HeldCalls();

  head(): Promise<Cursor> {
    return this.heads.ask(null);
  }

  mark(): Promise<string> {
    return Promise.resolve('');
  }

  read(cursor: Cursor, waitMs: number, signal?: AbortSignal): Promise<FeedAnswer> {
    const aborted = new Promise<never>((_, reject) => {
      signal?.addEventListener('abort', () => reject(new Error('aborted')), { once: true });
    });
    return Promise.race([this.reads.ask({ cursor, waitMs }), aborted]);
  }

  since(cursor: Cursor): Promise<FeedAnswer> {
    return this.looks.ask(cursor);
  }
}

/** Everything that was due has run. */
export const settled = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

/** A process that others see, at any time. */
export const always = {
  answered: { monotonic: Number.POSITIVE_INFINITY, wall: Number.POSITIVE_INFINITY },
  reckonedMs: Number.POSITIVE_INFINITY,
} as const;
