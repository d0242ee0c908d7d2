import type { FeedEvent } from '../../ports/token-store.ts';
import type { ApiParts } from '../parts.ts';

/** A connection as far as being asked about goes. Neither rejects. */
export interface Watched {
  /** Whether what changed may concern who is connected. */
  isMeant(event: FeedEvent): boolean;
  /** Asks again who is connected, and closes it when that is nobody any more. */
  check(): Promise<void>;
  /** Some time has passed. */
  tick(): void;
}

/** Most connections of one mount, and questions that are asked at a time. */
const limits = { connections: 1000, asking: 8 } as const;

/** Not everything that ends a session is a change here: its time, and what another system says of it. */
const everyMs = 5000;

/** The open connections of a mount, which are asked about after every change, and from time to time. */
export class Connections {
  readonly #onChange: ApiParts['onChange'];
  readonly #open = new Set<Watched>();
  readonly #due = new Set<Watched>();
  #asking = 0;
  #stop: (() => void) | null = null;

  constructor(onChange: ApiParts['onChange']) {
    this.#onChange = onChange;
  }

  get full(): boolean {
    return this.#open.size >= limits.connections;
  }

  add(connection: Watched): void {
    this.#open.add(connection);
    this.#stop ??= this.#start();
    // It may have ended between the handshake and now.
    this.#ask([connection]);
  }

  delete(connection: Watched): void {
    this.#open.delete(connection);
    this.#due.delete(connection);
    if (this.#open.size > 0) return;
    this.#stop?.();
    this.#stop = null;
  }

  /** Nothing runs while nobody is connected. */
  #start(): () => void {
    const forget = this.#onChange(events => {
      const open = [...this.#open];
      this.#ask(events === null ? open : open.filter(each => events.some(event => each.isMeant(event))));
    });
    const timer = setInterval(() => {
      for (const connection of this.#open) connection.tick();
      this.#ask(this.#open);
    }, everyMs);
    timer.unref();
    return () => {
      forget();
      clearInterval(timer);
    };
  }

  #ask(connections: Iterable<Watched>): void {
    for (const connection of connections) this.#due.add(connection);
    for (const connection of this.#due) {
      if (this.#asking >= limits.asking) return;
      this.#due.delete(connection);
      this.#asking++;
      void connection.check().finally(() => {
        this.#asking--;
        this.#ask([]);
      });
    }
  }
}
