import type { Socket } from 'node:net';
import { Client } from 'undici';
import type { Clock } from '../ports/clock.ts';
import { type Connector, connector } from './connect.ts';
import { UpstreamError } from './faults.ts';
import { authorityOf, type UpstreamAddress, type UpstreamOptions } from './options.ts';
import { Resolver } from './resolver.ts';

/**
 * Connections to one address of an upstream: a stack of idle ones, a bound on those in use, and a bounded queue in
 * front. Each slot is one undici client with one connection, so that it is known which connection carries which
 * request: whether it was used before, and how it ended.
 */
export class Pool {
  readonly #options: UpstreamOptions;
  readonly #origin: string;
  readonly #connector: Connector;
  readonly #resolver: Resolver;
  readonly #clock: Clock;
  readonly #idle: Slot[] = [];
  readonly #queue: Waiter[] = [];
  #busy = 0;
  #streams = 0;
  #closed = false;
  #sweeper: NodeJS.Timeout | null = null;

  constructor(options: UpstreamOptions, address: UpstreamAddress, clock: Clock) {
    this.#options = options;
    this.#origin = `${address.protocol}://${authorityOf(address)}`;
    this.#clock = clock;
    this.#resolver = new Resolver(address.hostname, clock);
    this.#connector = connector(address, options.tls, options.connectTimeoutMs, this.#resolver);
  }

  get stats(): { readonly idle: number; readonly active: number; readonly streams: number; readonly queued: number } {
    return { idle: this.#idle.length, active: this.#busy, streams: this.#streams, queued: this.#queue.length };
  }

  /** A slot, at once; null when every connection is in use or others wait. */
  take(): Slot | null {
    if (this.#queue.length > 0 || this.#busy >= this.#options.maxConnections) return null;
    return this.#open();
  }

  #open(): Slot {
    this.#busy++;
    for (let slot = this.#idle.pop(); slot !== undefined; slot = this.#idle.pop()) {
      if (slot.alive && this.#resolver.current(slot.address)) return slot;
      slot.discard();
    }
    return new Slot(this.#origin, this.#connector, this);
  }

  /** A new connection in the place of one that died under its request. */
  replace(slot: Slot): Slot {
    slot.discard();
    return new Slot(this.#origin, this.#connector, this);
  }

  /** Waits in the queue for a slot. Rejects with `UpstreamError` when the queue is full or the wait too long. */
  wait(waiting: { readonly gone: boolean }): Promise<Slot> {
    const { size, timeoutMs } = this.#options.queue;
    if (this.#queue.length >= size) return Promise.reject(new UpstreamError('queue_full'));
    return new Promise((resolve, reject) => {
      this.#queue.push({ waiting, until: this.#clock.monotonic() + timeoutMs, resolve, reject });
      this.#sweeper ??= setInterval(() => this.#sweep(), 100).unref();
    });
  }

  /** A slot's request is over. A connection that may be used again goes back on the stack. */
  release(slot: Slot, reusable: boolean): void {
    if (slot.stream) this.#streams--;
    else this.#busy--;
    slot.stream = false;
    if (reusable && slot.alive && !this.#closed) this.#idle.push(slot);
    else slot.discard();
    this.#serveQueue();
  }

  /** A slot's answer turned out to be endless: it counts as a stream from here on. False when there are too many. */
  promote(slot: Slot): boolean {
    if (slot.stream) return true;
    if (this.#streams >= this.#options.maxStreams) return false;
    slot.stream = true;
    this.#streams++;
    this.#busy--;
    this.#serveQueue();
    return true;
  }

  /** An idle connection ended. */
  lost(slot: Slot): void {
    const at = this.#idle.indexOf(slot);
    if (at === -1) return;
    this.#idle.splice(at, 1);
    slot.discard();
  }

  /** Ends idle connections; those in use end with their requests. */
  close(): void {
    this.#closed = true;
    for (const slot of this.#idle.splice(0)) slot.discard();
  }

  #serveQueue(): void {
    while (this.#queue.length > 0 && this.#busy < this.#options.maxConnections) {
      const waiter = this.#queue.shift()!;
      if (waiter.waiting.gone) waiter.reject(new UpstreamError('queue_timeout'));
      else waiter.resolve(this.#open());
    }
  }

  /** Waiters are in the order of their arrival, and all wait equally long. */
  #sweep(): void {
    const now = this.#clock.monotonic();
    for (let i = this.#queue.length - 1; i >= 0; i--) {
      const waiter = this.#queue[i]!;
      if (!waiter.waiting.gone && now < waiter.until) continue;
      this.#queue.splice(i, 1);
      waiter.reject(new UpstreamError('queue_timeout'));
    }
    if (this.#queue.length === 0 && this.#sweeper !== null) {
      clearInterval(this.#sweeper);
      this.#sweeper = null;
    }
  }
}

interface Waiter {
  readonly waiting: { readonly gone: boolean };
  readonly until: number;
  readonly resolve: (slot: Slot) => void;
  readonly reject: (error: Error) => void;
}

/** One connection and the client that speaks on it. */
export class Slot {
  readonly client: Client;
  stream = false;
  /** Error that the connection ended with; undici does not tell a reset from an orderly end. */
  socketError: Error | null = null;
  #socket: Socket | null = null;
  #connected = false;
  #requests = 0;
  #bytesBefore = 0;
  #discarded = false;
  /** undici lets an attempt to connect run on after its client was destroyed. */
  readonly #connecting = new AbortController();
  readonly #pool: Pool;

  constructor(origin: string, connector: Connector, pool: Pool) {
    this.#pool = pool;
    this.client = new Client(origin, {
      pipelining: 1,
      allowH2: false,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveMaxTimeout: 60_000,
      maxHeaderSize: 16 * 1024,
      connect: (_options, done) => {
        connector.connect(this.#connecting.signal).then(
          socket => {
            this.#adopt(socket);
            done(null, socket as never);
          },
          (error: Error) => done(error, null),
        );
      },
    });
    this.client.on('disconnect', () => {
      this.#connected = false;
      pool.lost(this);
    });
  }

  #adopt(socket: Socket): void {
    this.#socket = socket;
    this.#connected = true;
    this.#requests = 0;
    this.socketError = null;
    socket.on('error', (error: Error) => {
      this.socketError = error;
    });
  }

  get alive(): boolean {
    return this.#connected && !this.#discarded && this.#socket?.destroyed === false;
  }

  get address(): string {
    return this.#socket?.remoteAddress ?? '';
  }

  /** It has carried a request. */
  get used(): boolean {
    return this.#requests > 0;
  }

  /** A request is about to be written to the connection. */
  begin(): void {
    this.#requests++;
    this.#bytesBefore = this.#socket?.bytesRead ?? 0;
  }

  /** The connection carried a request before, and brought nothing back for this one: the server had ended it. */
  get diedUnused(): boolean {
    return this.#requests > 1 && (this.#socket?.bytesRead ?? 0) === this.#bytesBefore;
  }

  release(reusable: boolean): void {
    this.#pool.release(this, reusable);
  }

  promote(): boolean {
    return this.#pool.promote(this);
  }

  /** Ends the connection, whatever is under way on it. */
  discard(error?: Error): void {
    if (this.#discarded) return;
    this.#discarded = true;
    this.#connecting.abort();
    void this.client.destroy(error ?? null);
  }
}
