import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { type Call, type CallOf, monotonic, type Reply } from './messages.ts';
import { type Answer, type Handlers, type Operation, ranks, type Steps } from './operations.ts';
import { isRefusedWrite } from './sqlite.ts';
import { WaitingReaders } from './waiting-readers.ts';

/** Bounds of one turn: what a look-up may have to wait for, beside an fsync. */
const turnMs = 5;
/** Most weight in one transaction; an entry of a usage report, and a claim of limits, weigh as much as any other mutation. */
const batchWeight = 500;

/** A read that may take several steps. */
interface Read {
  readonly call: Call;
  /** What is left of it; null when it was not begun. */
  readonly steps: Steps<Answer<Operation>> | null;
}

/**
 * Decides what the owner thread does next. A turn answers every waiting look-up, then other reads for a while, then
 * commits one batch of mutations: those that arrived together share one transaction and one fsync.
 */
export class Scheduler {
  readonly #db: DatabaseSync;
  readonly #handlers: Handlers;
  readonly #send: (replies: readonly Reply[]) => void;
  readonly #savepoint: StatementSync;
  readonly #release: StatementSync;
  readonly #readers = new WaitingReaders();
  #lookups: Call[] = [];
  #reads: Read[] = [];
  #mutations: Call[] = [];

  constructor(db: DatabaseSync, handlers: Handlers, send: (replies: readonly Reply[]) => void) {
    this.#db = db;
    this.#handlers = handlers;
    this.#send = send;
    this.#savepoint = db.prepare('SAVEPOINT mutation');
    this.#release = db.prepare('RELEASE mutation');
  }

  accept(call: Call): void {
    const rank = ranks[call.operation];
    if (rank === 'lookup') this.#lookups.push(call);
    else if (rank === 'read') this.#reads.push({ call, steps: null });
    else this.#mutations.push(call);
  }

  cancel(id: number): void {
    this.#readers.cancel(id);
    this.#reads = this.#reads.filter(read => read.call.id !== id);
  }

  /** Whether there is more to do. Throws when only opening the file again can tell what was committed. */
  turn(): boolean {
    this.#answerLookups();
    this.#stepReads();
    if (this.#mutations.length > 0) this.#commitBatch();
    return this.#lookups.length + this.#reads.length + this.#mutations.length > 0;
  }

  /** Nothing more will come: ends every wait. */
  end(): void {
    this.#readers.end();
  }

  #answerLookups(): void {
    const calls = this.#lookups.filter(isAwaited);
    this.#lookups = [];
    if (calls.length > 0) this.#send(calls.map(call => this.#answer(call)));
  }

  #stepReads(): void {
    const until = monotonic() + turnMs;
    while (this.#reads.length > 0 && monotonic() < until) {
      const read = this.#reads.shift()!;
      if (!isAwaited(read.call)) continue;
      try {
        this.#step(read);
      } catch (error) {
        this.#send([refusal(read.call, error)]);
      }
    }
  }

  #step(read: Read): void {
    const { call } = read;
    if (call.operation === 'readFeed') {
      this.#readFeed(call);
      return;
    }
    const outcome = read.steps ?? run(this.#handlers, call);
    if (!isSteps(outcome)) {
      this.#send([answered(call, outcome)]);
      return;
    }
    const { done, value } = outcome.next();
    if (done) this.#send([answered(call, value)]);
    else this.#reads.push({ call, steps: outcome });
  }

  #readFeed(call: CallOf<'readFeed'>): void {
    const [cursor, waitMs] = call.args;
    this.#readers.hold(
      call.id,
      waitMs,
      () => this.#handlers.readFeed(cursor, 0) as Answer<'readFeed'>,
      answer => this.#send([answered(call, answer)]),
    );
  }

  #commitBatch(): void {
    const queue = this.#mutations;
    const replies: Reply[] = [];
    let taken = 0;
    let committing = false;
    try {
      const until = monotonic() + turnMs;
      let weight = 0;
      this.#db.exec('BEGIN IMMEDIATE');
      for (; taken < queue.length && (taken === 0 || monotonic() < until); taken++) {
        const call = queue[taken]!;
        if (!isAwaited(call)) continue;
        weight += weightOf(call);
        if (weight > batchWeight && replies.length > 0) break;
        replies.push(this.#attempt(call));
      }
      committing = true;
      this.#db.exec('COMMIT');
    } catch (error) {
      if (committing && !isRefusedWrite(error)) throw error;
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      // The rest of the queue would fare no better. Asking again later is the caller's decision.
      this.#mutations = [];
      this.#send(queue.map(call => refusal(call, error)));
      return;
    }
    this.#mutations = queue.slice(taken);
    this.#send(replies);
    this.#readers.wake();
  }

  /** One mutation of a batch: what it has done is undone alone when it fails. */
  #attempt(call: Call): Reply {
    this.#savepoint.run();
    try {
      const reply = answered(call, run(this.#handlers, call) as Answer<Operation>);
      this.#release.run();
      return reply;
    } catch (error) {
      // SQLite gives up the whole transaction for some errors, such as a full disk.
      if (!this.#db.isTransaction) throw error;
      this.#db.exec('ROLLBACK TO mutation; RELEASE mutation');
      return refusal(call, error);
    }
  }

  #answer(call: Call): Reply {
    try {
      return answered(call, run(this.#handlers, call) as Answer<Operation>);
    } catch (error) {
      return refusal(call, error);
    }
  }
}

/** A call's arguments are those of its operation; the compiler cannot follow that through the table. */
function run<K extends Operation>(handlers: Handlers, call: CallOf<K>): Answer<K> | Steps<Answer<K>> {
  const handler = handlers[call.operation] as (...args: CallOf<K>['args']) => Answer<K> | Steps<Answer<K>>;
  return handler(...call.args);
}

const isSteps = <T>(outcome: T | Steps<T>): outcome is Steps<T> =>
  typeof outcome === 'object' && outcome !== null && Symbol.iterator in outcome && 'throw' in outcome;

/** A call that nobody waits for any more was answered as failed, and must not be carried out. */
const isAwaited = (call: Call): boolean => monotonic() < call.deadline;

function weightOf(call: Call): number {
  if (call.operation === 'reportUsage') return call.args[0].entries.length;
  if (call.operation !== 'exchangeLimits') return 1;
  return call.args[0].reduce((sum, { claims }) => sum + claims.length, 1);
}

const answered = (call: Call, answer: Answer<Operation>): Reply => ({ id: call.id, kind: 'answer', answer });

const refusal = (call: Call, error: unknown): Reply => ({
  id: call.id,
  kind: 'unavailable',
  why: isRefusedWrite(error) ? `its disk takes no writes (is it full, or read-only?): ${textOf(error)}` : textOf(error),
});

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
