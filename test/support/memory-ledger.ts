import {
  type Circumstances,
  emptyLedger,
  type Ledger,
  remainingOf,
  reset,
  sums,
  usedOf,
} from '../../src/core/ledger.ts';
import { type Limit, ledgerName, windowAt } from '../../src/core/limit.ts';
import { answerQuestion, type Head, headAfter, type LimitAnswer } from '../../src/core/limit-book.ts';
import { StoreUnavailable } from '../../src/errors.ts';
import type { LimitedSubject, LimitLedger, LimitNotice, SubjectQuestion } from '../../src/ports/limit-ledger.ts';

interface Book {
  head: Head | null;
  readonly windows: Map<string, Ledger>;
}

type State = Awaited<ReturnType<LimitLedger['read']>>[number];

/** Ledgers of limits in memory, by the functions of `core`. */
export class MemoryLedger implements LimitLedger {
  readonly #now: () => number;
  readonly #books = new Map<string, Book>();
  readonly #heard: ((notice: LimitNotice) => void)[] = [];
  /** Calls in their order. */
  readonly calls: string[] = [];
  /** What becomes of the next calls. */
  fate: 'answered' | 'lost' | 'answer lost' = 'answered';

  constructor(now: () => number) {
    this.#now = now;
  }

  exchange(
    questions: readonly SubjectQuestion[],
    circumstances: Pick<Circumstances, 'roll' | 'processes'>,
  ): Promise<readonly LimitAnswer[]> {
    return this.#call('exchange', () =>
      questions.map(question => {
        const book = this.#book(question.subject);
        const find = (ledger: string, label: number) => book.windows.get(`${ledger} ${label}`) ?? null;
        const all = { ...circumstances, storeTime: this.#now() };
        const { head, entries, answer } = answerQuestion(book.head, find, question, all);
        book.head = head;
        for (const { ledger, label, state } of entries) book.windows.set(`${ledger} ${label}`, state);
        return answer;
      }),
    );
  }

  define(subject: LimitedSubject, version: number, limits: readonly Limit[]): Promise<void> {
    return this.#call(`define ${subject.kind} ${subject.id} ${version}`, () => {
      const book = this.#book(subject);
      book.head = headAfter(book.head, { version, limits }, this.#now());
    });
  }

  read(subject: LimitedSubject, version: number, limits: readonly Limit[]): Promise<readonly State[]> {
    return this.#call('read', () => {
      const book = this.#book(subject);
      const head = headAfter(book.head, { version, limits }, this.#now());
      return head.limits.map(limit => this.#state(book, limit, head.clock));
    });
  }

  reset(subject: LimitedSubject, ledger: string): Promise<State | null> {
    return this.#call(`reset ${subject.kind} ${subject.id} ${ledger}`, () => {
      const book = this.#book(subject);
      const limit = book.head?.limits.find(each => ledgerName(each) === ledger);
      if (limit === undefined) return null;
      const now = Math.max(book.head!.clock, this.#now());
      const key = `${ledger} ${windowAt(limit, now).label}`;
      book.windows.set(key, reset(book.windows.get(key) ?? emptyLedger(now), limit, now));
      for (const hear of this.#heard) hear({ kind: 'news', subject, ledger });
      return this.#state(book, limit, now);
    });
  }

  listen(hear: (notice: LimitNotice) => void, signal: AbortSignal): void {
    this.#heard.push(hear);
    signal.addEventListener('abort', () => void this.#heard.splice(this.#heard.indexOf(hear), 1));
  }

  /** A process takes units of a limit, uses them all and says so; or ends without a word, and is found gone. */
  async use(
    subject: LimitedSubject,
    version: number,
    limits: readonly Limit[],
    name: string,
    units: number,
    process = 'p1',
    ends = false,
  ): Promise<void> {
    const ledger = ledgerName(limits.find(limit => limit.name === name)!);
    const claim = { process, number: 0, granted: 0, returned: 0, spent: 0, back: 0, answered: 0, recalled: 0 };
    const ask = async (more: object, live: readonly string[] = [process]) => {
      const claims = [{ ledger, label: null, claim: { ...claim, need: 0, want: 0, ...more } }];
      const roll = { at: this.#now() + 1, live: new Set(live) };
      const [answer] = await this.exchange([{ subject, version, limits, claims }], { roll, processes: 1 });
      return answer!.answers[0]!.answer;
    };
    let { number, granted, returned } = await ask({});
    ({ number, granted, returned } = await ask({ number, granted, returned, need: units, want: units }));
    if (ends) await ask({ process: 'other' }, ['other']);
    else await ask({ number, granted, returned, spent: units });
  }

  #book({ kind, id }: LimitedSubject): Book {
    const key = `${kind} ${id}`;
    const book = this.#books.get(key) ?? { head: null, windows: new Map() };
    this.#books.set(key, book);
    return book;
  }

  #state(book: Book, limit: Limit, now: number): State {
    const window = windowAt(limit, now);
    const ledger = book.windows.get(`${ledgerName(limit)} ${window.label}`) ?? emptyLedger(now);
    const { leased, burned } = sums(ledger);
    const spent = usedOf(ledger, limit) - burned;
    return { limit, spent, burned, leased, remaining: remainingOf(ledger, limit), ends: window.ends };
  }

  async #call<T>(name: string, answer: () => T): Promise<T> {
    const { fate } = this;
    this.calls.push(name);
    if (fate === 'lost') throw new StoreUnavailable('no ledger answers');
    const done = answer();
    if (fate === 'answer lost') throw new StoreUnavailable('no ledger answered', { sent: true });
    return done;
  }
}
