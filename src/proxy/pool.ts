import type { Socket } from 'node:net';
import { HealthChecks } from './checks.ts';
import type { Endpoint } from './endpoint.ts';
import { Endpoints, type Surroundings } from './endpoints.ts';
import { UpstreamError } from './faults.ts';
import type { UpstreamOptions } from './options.ts';
import { Slot, type SlotHome } from './slot.ts';

/**
 * Connections to an upstream: a bound on those in use and a bounded queue in front, which are the upstream's, and
 * stacks of idle ones, which belong to its endpoints. Each slot is one undici client with one connection, so that it
 * is known which connection carries which request: whether it was used before, and how it ended.
 */
export class Pool implements SlotHome {
  readonly #options: UpstreamOptions;
  readonly #endpoints: Endpoints;
  readonly #checks: HealthChecks | null;
  readonly #surroundings: Surroundings;
  readonly #queue: Waiter[] = [];
  #busy = 0;
  #streams = 0;
  #closed = false;
  #sweeper: NodeJS.Timeout | null = null;

  constructor(options: UpstreamOptions, surroundings: Surroundings) {
    this.#options = options;
    this.#surroundings = surroundings;
    this.#endpoints = new Endpoints(options, surroundings);
    this.#checks = options.health === null ? null : new HealthChecks(this.#endpoints, options, options.health);
  }

  /** Begins to check endpoints, where that is asked for. */
  start(): void {
    this.#checks?.start();
  }

  get stats(): { readonly idle: number; readonly active: number; readonly streams: number; readonly queued: number } {
    return { idle: this.#idle, active: this.#busy, streams: this.#streams, queued: this.#queue.length };
  }

  get endpoints(): readonly Endpoint[] {
    return this.#endpoints.all;
  }

  get #idle(): number {
    return this.#endpoints.all.reduce((sum, { idle }) => sum + idle.length, 0);
  }

  /** A slot, at once; null when every connection is in use or others wait. */
  take(): Slot | null {
    if (this.#queue.length > 0 || this.#busy >= this.#options.maxConnections) return null;
    return this.#open();
  }

  #open(): Slot {
    this.#busy++;
    const endpoint = this.#endpoints.choose();
    for (let slot = endpoint?.idle.pop(); slot !== undefined; slot = endpoint?.idle.pop()) {
      if (slot.alive) {
        slot.endpoint!.load++;
        return slot;
      }
      slot.discard();
    }
    return this.#slot(endpoint);
  }

  /** A slot without a connection. One that lies idle elsewhere makes room for it. */
  #slot(endpoint: Endpoint | null): Slot {
    if (this.#busy + this.#idle > this.#options.maxConnections) {
      const lender = this.#endpoints.all.reduce((most, one) => (one.idle.length > most.idle.length ? one : most));
      lender.idle.shift()?.discard();
    }
    return new Slot(endpoint, this);
  }

  /** A new connection in the place of one that died under its request. */
  replace(slot: Slot): Slot {
    slot.moveTo(null);
    slot.discard();
    return this.#slot(this.#endpoints.choose());
  }

  /** Waits in the queue for a slot. Rejects with `UpstreamError` when the queue is full or the wait too long. */
  wait(waiting: { readonly gone: boolean }): Promise<Slot> {
    const { size, timeoutMs } = this.#options.queue;
    if (this.#queue.length >= size) return Promise.reject(new UpstreamError('queue_full'));
    return new Promise((resolve, reject) => {
      this.#queue.push({ waiting, until: this.#now() + timeoutMs, resolve, reject });
      this.#sweeper ??= setInterval(() => this.#sweep(), 100).unref();
    });
  }

  /** A slot's request is over. A connection that may be used again goes back to its endpoint. */
  release(slot: Slot, reusable: boolean): void {
    if (slot.stream) this.#streams--;
    else this.#busy--;
    slot.stream = false;
    const { endpoint } = slot;
    if (endpoint !== null) endpoint.load--;
    if (reusable && slot.alive && !this.#closed && endpoint?.retired === false) endpoint.idle.push(slot);
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

  connect(slot: Slot, authority: string | null, signal: AbortSignal): Promise<Socket> {
    return this.#endpoints.connect(slot, authority, signal);
  }

  /** A connection ended; it may have been idle. */
  lost(slot: Slot): void {
    const idle = slot.endpoint?.idle ?? [];
    const at = idle.indexOf(slot);
    if (at === -1) return;
    idle.splice(at, 1);
    slot.discard();
  }

  answered({ endpoint }: Slot): void {
    if (endpoint !== null) this.#endpoints.answered(endpoint);
  }

  unanswered({ endpoint }: Slot, error: unknown): void {
    if (endpoint !== null) this.#endpoints.unanswered(endpoint, error);
  }

  /** Ends idle connections; those in use end with their requests. */
  close(): void {
    this.#closed = true;
    this.#checks?.stop();
    for (const endpoint of this.#endpoints.all) endpoint.discardIdle();
  }

  #now(): number {
    return this.#surroundings.clock.monotonic();
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
    const now = this.#now();
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
