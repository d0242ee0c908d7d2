import type { FeedAnswer } from '../../ports/change-feed.ts';

interface Waiting {
  /** Reads the feed again. */
  readonly read: () => FeedAnswer;
  readonly answer: (answer: FeedAnswer) => void;
  readonly timer: NodeJS.Timeout;
}

const isEmpty = (answer: FeedAnswer): boolean => answer.kind === 'events' && answer.events.length === 0;

/** Readers at the end of the feed, held until something happens or their time is up. */
export class WaitingReaders {
  readonly #waiting = new Map<number, Waiting>();

  /** Answers at once when there is something to read, else as soon as there is, or empty after `waitMs`. */
  hold(id: number, waitMs: number, read: () => FeedAnswer, answer: (answer: FeedAnswer) => void): void {
    const first = read();
    if (!isEmpty(first) || waitMs <= 0) {
      answer(first);
      return;
    }
    const timer = setTimeout(() => {
      this.#waiting.delete(id);
      answer(first);
    }, waitMs);
    this.#waiting.set(id, { read, answer, timer });
  }

  /** Something was committed. */
  wake(): void {
    for (const [id, { read, answer }] of this.#waiting) {
      const news = read();
      if (isEmpty(news)) continue;
      this.cancel(id);
      answer(news);
    }
  }

  cancel(id: number): void {
    clearTimeout(this.#waiting.get(id)?.timer);
    this.#waiting.delete(id);
  }

  /** Answers everyone as if their time were up. */
  end(): void {
    for (const [id, { read, answer }] of this.#waiting) {
      this.cancel(id);
      answer(read());
    }
  }
}
