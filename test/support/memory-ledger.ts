import type { Circumstances, Ledger } from '../../src/core/ledger.ts';
import { type Limit, ledgerName } from '../../src/core/limit.ts';
import {
  answerQuestion,
  type BookNotice,
  defineBook,
  type Entry,
  type Head,
  type LimitAnswer,
  noticesOf,
  readBook,
  resetBook,
} from '../../src/core/limit-book.ts';
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
        const all = { ...circumstances, storeTime: this.#now() };
        const { head, entries, answer } = answerQuestion(book.head, findIn(book), question, all);
        keep(book, head, entries);
        this.#tell(question.subject, noticesOf(question, answer));
        return answer;
      }),
    );
  }

  define(subject: LimitedSubject, version: number, limits: readonly Limit[]): Promise<void> {
    return this.#call(`define ${subject.kind} ${subject.id} ${version}`, () => {
      const book = this.#book(subject);
      const defined = defineBook(book.head, findIn(book), { version, limits }, this.#now());
      keep(book, defined.head, defined.entries);
      this.#tell(subject, defined.notices);
    });
  }

  read(subject: LimitedSubject, version: number, limits: readonly Limit[]): Promise<readonly State[]> {
    return this.#call('read', () => {
      const book = this.#book(subject);
      return readBook(book.head, findIn(book), { version, limits }, this.#now());
    });
  }

  reset(subject: LimitedSubject, ledger: string): Promise<State | null> {
    return this.#call(`reset ${subject.kind} ${subject.id} ${ledger}`, () => {
      const book = this.#book(subject);
      const done = resetBook(book.head, findIn(book), ledger, this.#now());
      if (done === null) return null;
      keep(book, done.head, [done.entry]);
      this.#tell(subject, [done.notice]);
      return done.state;
    });
  }

  listen(hear: (notice: LimitNotice) => void, signal: AbortSignal): void {
    this.#heard.push(hear);
    signal.addEventListener('abort', () => void this.#heard.splice(this.#heard.indexOf(hear), 1));
  }

  /** It is another one, in which nothing was ever kept. */
  forget(): void {
    this.#books.clear();
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
    const claim = {
      process,
      number: 0,
      granted: 0,
      returned: 0,
      spent: 0,
      overdrawn: 0,
      back: 0,
      answered: 0,
      recalled: 0,
    };
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

  /** Behind the answer, as from a store. */
  #tell(subject: LimitedSubject, notices: readonly BookNotice[]): void {
    for (const notice of notices) queueMicrotask(() => this.tell({ subject, ...notice }));
  }

  tell(notice: LimitNotice): void {
    for (const hear of this.#heard) hear(notice);
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

const findIn = (book: Book) => (ledger: string, label: number) => book.windows.get(`${ledger} ${label}`) ?? null;

function keep(book: Book, head: Head, entries: readonly Entry[]): void {
  book.head = head;
  for (const { ledger, label, state } of entries) book.windows.set(`${ledger} ${label}`, state);
}
