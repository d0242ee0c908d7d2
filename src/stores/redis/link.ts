import { Redis } from 'ioredis';
import { StoreUnavailable } from '../../errors.ts';
import { scrubbed, unavailable } from './faults.ts';
import type { Script } from './script.ts';
import { commandOptions, type RedisEndpoint } from './settings.ts';
import { monotonic } from './store-clock.ts';

/** One call of a script. */
export interface ScriptCall {
  readonly script: Script;
  readonly keys: readonly string[];
  readonly args: readonly (string | number)[];
}

export interface LinkListener {
  /** The connection is gone; another one is being made. */
  lost(cause: Error): void;
  /** There is a connection again. */
  restored(): void;
}

/** Most calls that a connection owes an answer, given up or not: one that has fallen silent must not fill the memory. */
const mostOwed = 20_000;

/**
 * The connections that scripts are called over. Every call has a deadline, after which nobody waits for it; a call that
 * finds no connection fails at once. Changes have a connection of their own: a server that holds writes back (a failover
 * does, so does `CLIENT PAUSE`) answers nothing on a connection behind the first of them, and look-ups are not to wait.
 */
export class Link {
  readonly #reads: Line;
  readonly #changes: Line;

  /** The listener is told of the connection that reads go over. */
  constructor(endpoint: RedisEndpoint, silenceMs: number, listener: LinkListener) {
    this.#reads = new Line(endpoint, silenceMs, listener);
    // Only a change finds out that the server is a master no more. What it still answers to reads may be old.
    const renew = (): void => this.#reads.renew();
    this.#changes = new Line(endpoint, silenceMs, { lost: () => {}, restored: () => {} }, renew);
  }

  /** Resolves when it is connected, and the store has loaded its data. */
  async open(deadline: number): Promise<void> {
    await Promise.all([this.#reads.open(deadline), this.#changes.open(deadline)]);
  }

  /** Calls a script. `deadline` is on `monotonic()`. */
  call({ script, keys, args }: ScriptCall, deadline: number): Promise<unknown> {
    const given = [...keys, ...args];
    return this.#send(script.kind !== 'reads', deadline, async redis => {
      try {
        return await redis.evalsha(script.sha, keys.length, ...given);
      } catch (error) {
        if (!isUnknownScript(error)) throw error;
        // The store was restarted, or its scripts were flushed: the text goes along once, and is known from then on.
        if (monotonic() >= deadline) throw error;
        return await redis.eval(script.text, keys.length, ...given);
      }
    });
  }

  /** Calls one script many times, in one write. The calls are of one kind, and in no order. */
  async callAll(calls: readonly ScriptCall[], deadline: number): Promise<unknown[]> {
    const first = calls[0];
    if (first === undefined) return [];
    const mutation = first.script.kind !== 'reads';
    return this.#send(mutation, deadline, async redis => {
      const answers = await pipelined(redis, calls);
      const unknown = answers.flatMap(([error], i) => (isUnknownScript(error) ? [i] : []));
      if (unknown.length > 0 && monotonic() < deadline) {
        await redis.script('LOAD', first.script.text);
        const again = await pipelined(
          redis,
          unknown.map(i => calls[i]!),
        );
        for (const [k, i] of unknown.entries()) answers[i] = again[k]!;
      }
      const failed = answers.find(([error]) => error !== null)?.[0];
      // What became of the other calls is another matter.
      if (failed) throw new StoreUnavailable(unavailable(failed, false).message, { sent: mutation });
      return answers.map(([, answer]) => answer);
    });
  }

  /** What the store says of itself: the named section of INFO. */
  info(section: string, deadline: number): Promise<ReadonlyMap<string, string>> {
    return this.#send(false, deadline, async redis => {
      const lines = (await redis.info(section)).split('\r\n');
      return new Map(lines.filter(line => line.includes(':')).map(line => line.split(/:(.*)/s) as [string, string]));
    });
  }

  /** Names of keys that match a pattern: each that is there all the while at least once. `deadline` is of each step. */
  async *scan(pattern: string, deadline: () => number): AsyncGenerator<readonly string[]> {
    let position = '0';
    do {
      const step = (redis: Redis) => redis.scan(position, 'MATCH', pattern, 'COUNT', 1000);
      const [next, names] = await this.#send(false, deadline(), step);
      yield names;
      position = next;
    } while (position !== '0');
  }

  /** Removes keys, wherever they lie. */
  async remove(names: readonly string[], deadline: number): Promise<void> {
    if (names.length === 0) return;
    await this.#send(true, deadline, async redis => {
      const pipeline = redis.pipeline();
      for (const name of names) pipeline.unlink(name);
      const failed = (await pipeline.exec())?.find(([error]) => error !== null)?.[0];
      if (failed) throw failed;
    });
  }

  /** Waits for what was asked, at most for its deadlines; then disconnects. */
  async close(): Promise<void> {
    await Promise.all([this.#reads.close(), this.#changes.close()]);
  }

  #send<T>(mutation: boolean, deadline: number, act: (redis: Redis) => Promise<T>): Promise<T> {
    return (mutation ? this.#changes : this.#reads).send(mutation, deadline, act);
  }
}

/** One connection, which comes back by itself. */
class Line {
  readonly #redis: Redis;
  readonly #pending = new Set<Promise<unknown>>();
  #owed = 0;
  #opened = false;
  #closed: Promise<void> | null = null;
  #lastError: Error = new Error('it is not connected');

  constructor(endpoint: RedisEndpoint, silenceMs: number, listener: LinkListener, demoted?: () => void) {
    this.#redis = new Redis(commandOptions(endpoint, silenceMs, demoted));
    this.#redis.on('error', error => {
      this.#lastError = scrubbed(error);
    });
    this.#redis.on('ready', () => {
      if (this.#opened) listener.restored();
    });
    this.#redis.on('close', () => {
      if (this.#opened && this.#closed === null) listener.lost(this.#lastError);
    });
  }

  /** Leaves the connection for another one. */
  renew(): void {
    if (this.#redis.status === 'ready') this.#redis.disconnect(true);
  }

  async open(deadline: number): Promise<void> {
    try {
      await within(this.#redis.connect(), deadline, () => new StoreUnavailable('it does not answer'));
      this.#opened = true;
    } catch (error) {
      this.#redis.disconnect();
      const why = error instanceof StoreUnavailable ? error.message : this.#lastError.message;
      throw new StoreUnavailable(`the store cannot be reached: ${why}`);
    }
  }

  close(): Promise<void> {
    this.#closed ??= (async () => {
      await Promise.allSettled(this.#pending);
      this.#redis.disconnect();
    })();
    return this.#closed;
  }

  async send<T>(mutation: boolean, deadline: number, act: (redis: Redis) => Promise<T>): Promise<T> {
    if (this.#closed !== null) throw new StoreUnavailable('the store is closed');
    if (this.#redis.status !== 'ready')
      throw new StoreUnavailable(`no connection to the store: ${this.#lastError.message}`);
    if (this.#owed >= mostOwed) throw new StoreUnavailable('too many calls wait for the store');
    const ms = Math.round(deadline - monotonic());
    const late = () => new StoreUnavailable(`the store has not answered within ${ms} ms`, { sent: mutation });
    this.#owed++;
    const owed = act(this.#redis).finally(() => {
      this.#owed--;
    });
    const answer = within(owed, deadline, late).catch(error => {
      throw unavailable(error, mutation);
    });
    this.#pending.add(answer);
    try {
      return await answer;
    } finally {
      this.#pending.delete(answer);
    }
  }
}

type Answered = [error: Error | null, answer: unknown];

async function pipelined(redis: Redis, calls: readonly ScriptCall[]): Promise<Answered[]> {
  const pipeline = redis.pipeline();
  for (const { script, keys, args } of calls) pipeline.evalsha(script.sha, keys.length, ...keys, ...args);
  return (await pipeline.exec()) ?? [];
}

const isUnknownScript = (error: unknown): boolean => error instanceof Error && error.message.startsWith('NOSCRIPT');

/** What is promised, if it comes by the deadline. */
export function within<T>(promise: Promise<T>, deadline: number, late: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    // An answer that came in time may lie behind a timer that fires late: the socket is read before giving up.
    const timer = setTimeout(() => setImmediate(() => reject(late())), Math.max(0, deadline - monotonic()));
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
