import type { ChangeFeed, Cursor, FeedAnswer } from '../../ports/change-feed.ts';
import type { FeedEvent } from '../../ports/token-store.ts';
import type { Entry, FeedConnections } from './feed-connections.ts';
import type { Keys } from './keys.ts';
import { readFeed } from './scripts/read-feed.ts';
import { monotonic } from './store-clock.ts';
import type { Unit } from './unit.ts';

/** Most events in one answer. */
const readAtOnce = 1000;

/** A position, and when the event there was written: no other event that comes to have its number was at that time. */
interface Applied extends Cursor {
  readonly mark: string;
}

type Reply = [kind: 'events' | 'gap', epoch: string, last: number, mark: string, entries: Entry[]];

export class RedisChangeFeed implements ChangeFeed {
  readonly #unit: Unit;
  readonly #connections: FeedConnections;
  readonly #keys: Keys;
  #applied: Applied | null = null;

  constructor(unit: Unit, connections: FeedConnections, keys: Keys) {
    this.#unit = unit;
    this.#connections = connections;
    this.#keys = keys;
  }

  async head(): Promise<Cursor> {
    return this.#headOf((await this.#unit.read(readFeed, ['', 0, '', 0])) as Reply);
  }

  /**
   * The position is checked, and what lies after it is read, in one script: its answer alone proves that there was
   * nothing else when this was asked. What the stream itself says while it is waited on comes later.
   */
  async read(cursor: Cursor, waitMs: number, signal?: AbortSignal): Promise<FeedAnswer> {
    signal?.throwIfAborted();
    // After a failover the same numbers may stand for other events: the last one that was seen is compared.
    const mark = samePlace(this.#applied, cursor) ? this.#applied.mark : '';
    const asked = this.#unit.read(readFeed, [cursor.epoch, cursor.seq, mark, readAtOnce]);
    const reply = (await abortable(asked, signal)) as Reply;
    const [kind, , last, , entries] = reply;
    if (kind === 'gap') return { kind: 'gap', cursor: this.#headOf(reply) };
    if (entries.length > 0) return this.#answer(cursor, entries, cursor.seq + entries.length === last);
    const nothing: FeedAnswer = { kind: 'events', events: [], cursor, complete: true };
    if (waitMs <= 0) return nothing;

    const replyMs = this.#unit.deadline() - monotonic();
    const { feed } = this.#keys;
    const came = await this.#connections.read(feed, `${cursor.seq}-0`, readAtOnce, waitMs, replyMs, signal);
    if (came.length === 0) return nothing;
    if (follows(cursor, came)) return this.#answer(cursor, came, came.length < readAtOnce);
    return { kind: 'gap', cursor: await abortable(this.head(), signal) };
  }

  #answer({ epoch }: Cursor, entries: readonly Entry[], complete: boolean): FeedAnswer {
    const events = entries.map(eventOf);
    const last = entries.at(-1)!;
    const cursor = { epoch, seq: seqOf(last) };
    this.#applied = { ...cursor, mark: members(last)['t']! };
    return { kind: 'events', events, cursor, complete };
  }

  #headOf([, epoch, seq, mark]: Reply): Cursor {
    this.#applied = { epoch, seq, mark };
    return { epoch, seq };
  }
}

const samePlace = (applied: Applied | null, { epoch, seq }: Cursor): applied is Applied =>
  applied !== null && applied.epoch === epoch && applied.seq === seq;

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
  const { a, k, i, v, d } = members(entry);
  return {
    seq: seqOf(entry),
    at: Number(a),
    kind: k as FeedEvent['kind'],
    id: i!,
    version: Number(v),
    digests: JSON.parse(d!) as string[],
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
