import { Redis } from 'ioredis';
import { StoreUnavailable } from '../../errors.ts';
import { replyCode, scrubbed, unavailable } from './faults.ts';
import { type ServerRun, serverRun } from './server-run.ts';
import { commandOptions, type RedisEndpoint } from './settings.ts';
import { monotonic } from './store-clock.ts';

export interface LineOptions {
  readonly endpoint: RedisEndpoint;
  /** Milliseconds after which a connection that owes answers and says nothing is dead. */
  readonly silenceMs: number;
  /** The server has to say that it is a master before it is spoken to. */
  readonly roles: boolean;
}

export interface LineListener {
  /** There is a connection, and nothing goes over it yet: to whom. `again`: this line has had one before. */
  reached?(run: ServerRun | null, again: boolean): void;
  /** The connection is gone; another one is being made. */
  lost?(cause: Error): void;
  /** There is a connection again. */
  restored?(): void;
  /** The server says that it has become a replica. */
  demoted?(): void;
}

/** The connection that a call goes over, which is not there any more as soon as it is lost. */
export interface Session {
  readonly redis: Redis;
  lives(): boolean;
}

/** Most calls that a connection owes an answer, given up or not: one that has fallen silent must not fill the memory. */
const mostOwed = 20_000;

/** Milliseconds between two questions to a server that is no master whether it has become one. */
const rolePause = 300;

/**
 * One connection to one server, which comes back by itself. Every call has a deadline, after which nobody waits for it;
 * a call that finds no connection fails at once.
 */
export class Line {
  readonly #redis: Redis;
  readonly #roles: boolean;
  readonly #listener: LineListener;
  readonly #pending = new Set<Promise<unknown>>();
  #owed = 0;
  #opened = false;
  /** The server has said that it is a master, on this connection. */
  #believed = false;
  #reached = false;
  /** Counts connections: what was begun on one does not go on over another. */
  #connection = 0;
  #closed: Promise<void> | null = null;
  #lastError: Error = new Error('it is not connected');

  constructor({ endpoint, silenceMs, roles }: LineOptions, listener: LineListener) {
    this.#roles = roles;
    this.#listener = listener;
    this.#redis = new Redis(commandOptions(endpoint, silenceMs, () => listener.demoted?.()));
    this.#redis.on('error', error => {
      this.#lastError = scrubbed(error);
    });
    this.#redis.on('ready', () => {
      if (this.#opened) this.#restore();
    });
    this.#redis.on('close', () => {
      this.#connection++;
      this.#believed = false;
      if (this.#opened && this.#closed === null) listener.lost?.(this.#lastError);
    });
  }

  get ready(): boolean {
    return this.#redis.status === 'ready' && this.#believed && this.#closed === null;
  }

  /** Leaves the connection for another one. */
  renew(): void {
    if (this.#redis.status === 'ready') this.#redis.disconnect(true);
  }

  /** Connects. Rejects when the first try fails; it goes on trying until it is closed all the same. */
  async open(deadline: number): Promise<void> {
    try {
      const silent = () => new StoreUnavailable('it does not answer');
      await within(
        this.#redis.connect().then(() => this.#believe()),
        deadline,
        silent,
      );
    } catch (error) {
      if (this.#redis.status === 'ready') this.#lastError = scrubbed(error);
      const why = error instanceof StoreUnavailable ? error.message : this.#lastError.message;
      throw new StoreUnavailable(`the store cannot be reached: ${why}`);
    } finally {
      this.#opened = true;
    }
    this.#listener.restored?.();
  }

  /** Waits for what was asked, at most for its deadlines; then disconnects. */
  close(): Promise<void> {
    this.#closed ??= (async () => {
      await Promise.allSettled(this.#pending);
      this.#redis.disconnect();
    })();
    return this.#closed;
  }

  /** Disconnects at once: what the server would still say is of no worth. */
  leave(): void {
    this.#closed ??= Promise.resolve();
    this.#redis.disconnect();
  }

  async send<T>(mutation: boolean, deadline: number, act: (session: Session) => Promise<T>): Promise<T> {
    if (this.#closed !== null) throw new StoreUnavailable('the store is closed');
    if (!this.ready) throw new StoreUnavailable(`no connection to the store: ${this.#lastError.message}`);
    if (this.#owed >= mostOwed) throw new StoreUnavailable('too many calls wait for the store');
    const ms = Math.round(deadline - monotonic());
    const late = () => new StoreUnavailable(`the store has not answered within ${ms} ms`, { sent: mutation });
    const connection = this.#connection;
    const session = {
      redis: this.#redis,
      lives: () => this.#redis.status === 'ready' && this.#connection === connection,
    };
    this.#owed++;
    const owed = act(session).finally(() => {
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

  /**
   * A server that was master once may be a replica when it comes back; what it would answer may be old. Who it is, is
   * known before anything is asked.
   */
  async #believe(): Promise<void> {
    const connection = this.#connection;
    if (this.#roles) {
      const [role] = (await this.#redis.call('ROLE')) as [string];
      if (connection !== this.#connection) return;
      if (role !== 'master') {
        setTimeout(() => this.#again(connection), rolePause).unref();
        throw new Error('the server is no master');
      }
    }
    const run = await serverRun(this.#redis).catch((error: unknown) => {
      // One that does not say so may be any.
      if (connection === this.#connection && replyCode(error) !== null) return null;
      throw error;
    });
    if (connection !== this.#connection) return;
    this.#listener.reached?.(run, this.#reached);
    this.#reached = true;
    this.#believed = true;
  }

  #again(connection: number): void {
    if (connection !== this.#connection || this.#closed !== null) return;
    this.#restore();
  }

  #restore(): void {
    this.#believe().then(
      () => {
        if (this.ready) this.#listener.restored?.();
      },
      error => {
        this.#lastError = scrubbed(error);
      },
    );
  }
}

/** What is promised, if it comes by the deadline. */
export function within<T>(promise: Promise<T>, deadline: number, late: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    // An answer that came in time may lie behind a timer that fires late: the socket is read before giving up.
    const timer = setTimeout(() => setImmediate(() => reject(late())), Math.max(0, deadline - monotonic()));
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
