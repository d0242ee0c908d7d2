import type { FeedEvent } from '../../ports/token-store.ts';
import type { ApiParts } from '../parts.ts';

/** A connection as far as being asked about goes. Neither rejects. */
export interface Watched {
  readonly account: string;
  /** Whether what changed may concern who is connected. */
  isMeant(event: FeedEvent): boolean;
  /** Asks again who is connected, and closes it when that is nobody any more. */
  check(): Promise<void>;
  /** Some time has passed. */
  tick(): void;
}

/** Most connections of one mount, and of one account there: nobody keeps the others out. */
export const connectionLimits = { all: 1000, account: 100 } as const;

/** Questions that are asked at a time. */
const mostAsking = 8;

/** Not everything that ends a session is a change here: its time, and what another system says of it. */
const everyMs = 5000;

/** The open connections of a mount, which are asked about after every change, and from time to time. */
export class Connections {
  readonly #onChange: ApiParts['onChange'];
  readonly #open = new Set<Watched>();
  /** How many of them are an account's. */
  readonly #counts = new Map<string, number>();
  readonly #due = new Set<Watched>();
  #asking = 0;
  #stop: (() => void) | null = null;

  constructor(onChange: ApiParts['onChange']) {
    this.#onChange = onChange;
  }

  /** Why there is no room for another one of an account's; null: there is. */
  noRoom(account: string): string | null {
    if (this.#of(account) >= connectionLimits.account) return 'Too many connections of this user';
    return this.#open.size >= connectionLimits.all ? 'Too many connections' : null;
  }

  add(connection: Watched): void {
    this.#open.add(connection);
    this.#counts.set(connection.account, this.#of(connection.account) + 1);
    this.#stop ??= this.#start();
    // It may have ended between the handshake and now.
    this.#ask([connection]);
  }

  delete(connection: Watched): void {
    if (!this.#open.delete(connection)) return;
    this.#due.delete(connection);
    const left = this.#of(connection.account) - 1;
    if (left > 0) this.#counts.set(connection.account, left);
    else this.#counts.delete(connection.account);
    if (this.#open.size > 0) return;
    this.#stop?.();
    this.#stop = null;
  }

  #of(account: string): number {
    return this.#counts.get(account) ?? 0;
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
      if (this.#asking >= mostAsking) return;
      this.#due.delete(connection);
      this.#asking++;
      void connection.check().finally(() => {
        this.#asking--;
        this.#ask([]);
      });
    }
  }
}
