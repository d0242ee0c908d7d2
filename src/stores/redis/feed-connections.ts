import { Redis } from 'ioredis';
import { StoreUnavailable } from '../../errors.ts';
import { scrubbed, unavailable } from './faults.ts';
import { within } from './line.ts';
import { blockingOptions, type RedisEndpoint } from './settings.ts';
import { monotonic } from './store-clock.ts';

/** An entry of a stream: its id, then names and values in turn. */
export type Entry = readonly [id: string, fields: readonly string[]];

/**
 * Connections for reads that wait in the store: nothing else passes on such a connection meanwhile. A process follows
 * one feed, so that there is one of them as a rule; each serves one read at a time, and ends with the first failure.
 */
export class FeedConnections {
  readonly #endpoint: () => RedisEndpoint;
  readonly #busy = new Set<Redis>();
  readonly #left = new WeakSet<Redis>();
  #idle: Redis | null = null;
  #closed = false;

  /** `endpoint`: where the feed is now. */
  constructor(endpoint: () => RedisEndpoint) {
    this.#endpoint = endpoint;
  }

  /**
   * Entries of a stream after an id, at most `count`; none when none came within `waitMs`, or these connections were
   * closed or left. `replyMs` is how long the store may take beyond that.
   */
  async read(
    key: string,
    after: string,
    count: number,
    waitMs: number,
    replyMs: number,
    signal: AbortSignal | undefined,
  ): Promise<readonly Entry[]> {
    if (this.#closed) return [];
    const redis = this.#take();
    // What waits in the store can only be ended from outside, and one connection costs less than another's command.
    const end = (): void => redis.disconnect();
    signal?.addEventListener('abort', end, { once: true });
    this.#busy.add(redis);
    try {
      if (redis.status !== 'ready') await this.#connect(redis, monotonic() + replyMs);
      signal?.throwIfAborted();
      const block = Math.max(1, Math.ceil(waitMs));
      const late = () => new StoreUnavailable(`the feed has not answered within ${block + replyMs} ms`);
      const answer = redis.call('XREAD', 'COUNT', count, 'BLOCK', block, 'STREAMS', key, after);
      const streams = (await within(answer, monotonic() + block + replyMs, late)) as [string, Entry[]][] | null;
      this.#keep(redis);
      return streams?.[0]?.[1] ?? [];
    } catch (error) {
      redis.disconnect();
      signal?.throwIfAborted();
      if (this.#closed || this.#left.has(redis)) return [];
      throw unavailable(error, false);
    } finally {
      signal?.removeEventListener('abort', end);
      this.#busy.delete(redis);
    }
  }

  /** The feed may be elsewhere now: nothing goes on waiting where it was. */
  leave(): void {
    for (const redis of this.#busy) {
      this.#left.add(redis);
      redis.disconnect();
    }
    this.#idle?.disconnect();
    this.#idle = null;
  }

  close(): void {
    this.#closed = true;
    this.leave();
  }

  #take(): Redis {
    const idle = this.#idle;
    this.#idle = null;
    if (idle?.status === 'ready') return idle;
    idle?.disconnect();
    return new Redis(blockingOptions(this.#endpoint()));
  }

  #keep(redis: Redis): void {
    if (this.#idle === null && !this.#closed) this.#idle = redis;
    else redis.disconnect();
  }

  async #connect(redis: Redis, deadline: number): Promise<void> {
    let why = 'it does not answer';
    redis.on('error', error => {
      why = scrubbed(error).message;
    });
    const cannot = () => new StoreUnavailable(`the store cannot be reached: ${why}`);
    await within(redis.connect(), deadline, cannot).catch(() => {
      throw cannot();
    });
  }
}
