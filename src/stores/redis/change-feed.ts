import { randomBytes } from 'node:crypto';
import type { ChangeFeed, Cursor, FeedAnswer } from '../../ports/change-feed.ts';
import type { FeedEvent } from '../../ports/token-store.ts';
import type { StoreWatcher } from '../store.ts';
import type { Entry, FeedConnections } from './feed-connections.ts';
import type { Keys } from './keys.ts';
import type { Marks } from './marks.ts';
import { raiseEpoch } from './scripts/raise-epoch.ts';
import { readFeed } from './scripts/read-feed.ts';
import { monotonic } from './store-clock.ts';
import type { Unit } from './unit.ts';

/** Most events in one answer. */
const readAtOnce = 1000;

/** A position, and the mark of the event that was seen there. */
interface Seen extends Cursor {
  readonly mark: string;
}

/** The epoch, the feed's last number and the mark of the event there. */
type Head = [epoch: string, last: number, mark: string, ...unknown[]];
type Reply = [kind: 'events' | 'gap' | 'lost', epoch: string, last: number, mark: string, entries: Entry[]];

export class RedisChangeFeed implements ChangeFeed {
  readonly #unit: Unit;
  readonly #connections: FeedConnections;
  readonly #keys: Keys;
  readonly #marks: Marks;
  readonly #watcher: StoreWatcher | undefined;
  /** What was seen and is gone, while the store does not let a new epoch begin. */
  #lost: Seen | null = null;
  #epoch: string | null = null;

  constructor(
    unit: Unit,
    connections: FeedConnections,
    keys: Keys,
    marks: Marks,
    watcher: StoreWatcher | undefined = undefined,
  ) {
    this.#unit = unit;
    this.#connections = connections;
    this.#keys = keys;
    this.#marks = marks;
    this.#watcher = watcher;
  }

  async head(): Promise<Cursor> {
    const [, ...head] = (await this.#unit.read(readFeed, ['', 0, '', 0])) as Reply;
    return this.#headOf(head);
  }

  mark(cursor: Cursor): Promise<string> {
    return Promise.resolve(this.#marks.of(cursor));
  }

  /**
   * The position is checked, and what lies after it is read, in one script: its answer alone proves that there was
   * nothing else when this was asked. What the stream itself says while it is waited on comes later.
   */
  async read(cursor: Cursor, waitMs: number, signal?: AbortSignal): Promise<FeedAnswer> {
    signal?.throwIfAborted();
    if (this.#lost !== null) this.#raise(this.#lost).catch(() => {});
    const answer = await this.#look(cursor, signal);
    if (waitMs <= 0 || answer.kind === 'gap' || answer.events.length > 0) return answer;

    const replyMs = this.#unit.deadline() - monotonic();
    const { feed } = this.#keys;
    const came = await this.#connections.read(feed, `${cursor.seq}-0`, readAtOnce, waitMs, replyMs, signal);
    if (came.length === 0) return answer;
    if (follows(cursor, came)) return this.#answer(cursor, came, came.length < readAtOnce);
    return this.#look(cursor, signal);
  }

  /** Without a mark, and without leaving one: those of this process say where it was itself. */
  async since(cursor: Cursor): Promise<FeedAnswer> {
    const position = [cursor.epoch, cursor.seq, '', readAtOnce];
    const [kind, epoch, last, , entries] = (await this.#unit.read(readFeed, position)) as Reply;
    if (kind !== 'events') return { kind: 'gap', cursor: { epoch, seq: last } };
    const events = entries.map(eventOf);
    const seq = cursor.seq + events.length;
    return { kind, events, cursor: { epoch, seq }, complete: seq === last };
  }

  async #look(cursor: Cursor, signal: AbortSignal | undefined): Promise<FeedAnswer> {
    const { epoch, seq } = cursor;
    const seen = { epoch, seq, mark: cursor.mark ?? this.#marks.of(cursor) };
    const asked = this.#unit.read(readFeed, [seen.epoch, seen.seq, seen.mark, readAtOnce]);
    const [kind, ...head] = (await abortable(asked, signal)) as Reply;
    const [, last, , entries] = head;
    switch (kind) {
      case 'lost':
        return { kind: 'gap', cursor: await abortable(this.#afterLoss(seen, head), signal) };
      case 'gap':
        return { kind, cursor: this.#headOf(head) };
      case 'events':
        if (entries.length === 0) return { kind, events: [], cursor, complete: true };
        return this.#answer(cursor, entries, cursor.seq + entries.length === last);
    }
  }

  #answer({ epoch }: Cursor, entries: readonly Entry[], complete: boolean): FeedAnswer {
    const events = entries.map(eventOf);
    const last = entries.at(-1)!;
    const cursor = { epoch, seq: seqOf(last) };
    this.#marks.keep(cursor, members(last)['t']!);
    return { kind: 'events', events, cursor, complete };
  }

  /** Where to go on. A store that lets no epoch begin now gives this process its gap all the same. */
  async #afterLoss(seen: Seen, head: Head): Promise<Cursor> {
    try {
      return await this.#raise(seen);
    } catch {
      this.#lost = seen;
      return this.#headOf(head);
    }
  }

  /** Others cannot all see for themselves that what they know is of a history that is gone: a new epoch tells them. */
  async #raise({ epoch, seq, mark }: Seen): Promise<Cursor> {
    const args = [epoch, seq, mark, randomBytes(16).toString('hex')];
    const [raised, ...head] = await this.#unit.change(raiseEpoch, args);
    this.#lost = null;
    if (raised === 1) {
      this.#epoch = head[0] as string;
      this.#watcher?.rolledBack?.();
    }
    return this.#headOf(head as unknown as Head);
  }

  #headOf([epoch, seq, mark]: Head): Cursor {
    const cursor = { epoch, seq };
    this.#marks.keep(cursor, mark);
    // Somebody else has found a loss.
    if (this.#epoch !== null && this.#epoch !== epoch) this.#watcher?.serverChanged?.();
    this.#epoch = epoch;
    return cursor;
  }
}

/** Nothing was trimmed before these entries, and no other store has taken the place of the one that was waited on. */
const follows = ({ epoch, seq }: Cursor, entries: readonly Entry[]): boolean =>
  seqOf(entries[0]!) === seq + 1 && entries.every(entry => members(entry)['p'] === epoch);

const seqOf = ([id]: Entry): number => Number(id.slice(0, id.indexOf('-')));

function members([, fields]: Entry): Readonly<Record<string, string>> {
  const found: Record<string, string> = Object.create(null);
  for (let i = 0; i < fields.length; i += 2) found[fields[i]!] = fields[i + 1]!;
  return found;
}

function eventOf(entry: Entry): FeedEvent {
  const { a, k, i, v, d, w } = members(entry);
  return {
    seq: seqOf(entry),
    at: Number(a),
    kind: k as FeedEvent['kind'],
    id: i!,
    version: Number(v),
    digests: JSON.parse(d!) as string[],
    awaited: w === '1',
  };
}

/** Rejects with the signal's reason as soon as there is one. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
