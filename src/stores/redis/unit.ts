import { StoreUnavailable } from '../../errors.ts';
import type { StoreWatcher } from '../store.ts';
import { StoreLost } from './faults.ts';
import type { Keys } from './keys.ts';
import type { Link } from './link.ts';
import type { Script } from './script.ts';
import { checkStore } from './scripts/check-store.ts';
import { touchStore } from './scripts/touch-store.ts';
import { monotonic, StoreClock } from './store-clock.ts';

/** Milliseconds. */
export interface Deadlines {
  /** For what requests wait for. */
  readonly lookup: number;
  /** For everything else. */
  readonly other: number;
}

export type Argument = string | number;

/**
 * The tokens, accounts, roles, feed and audit trail of one store. Every script is told which store it has to be, and every
 * mutation until when it may happen.
 */
export class Unit {
  readonly #link: Link;
  readonly #keys: Keys;
  readonly #identity: string;
  readonly #deadlines: Deadlines;
  readonly #watcher: StoreWatcher | undefined;
  readonly #clock = new StoreClock();
  #down = false;

  constructor(link: Link, keys: Keys, identity: string, deadlines: Deadlines, watcher: StoreWatcher | undefined) {
    this.#link = link;
    this.#keys = keys;
    this.#identity = identity;
    this.#deadlines = deadlines;
    this.#watcher = watcher;
  }

  /** What the store has to be, for scripts that take keys of others with that of the unit. */
  get identity(): string {
    return this.#identity;
  }

  /** A read that a request waits for. */
  look(script: Script, args: readonly Argument[]): Promise<unknown> {
    return this.#call(script, args, monotonic() + this.#deadlines.lookup);
  }

  read(script: Script, args: readonly Argument[], deadline: number = this.deadline()): Promise<unknown> {
    return this.#call(script, args, deadline);
  }

  /** A mutation, confirmed where that is asked for; what its script answers beside the time. */
  async change(script: Script, args: readonly Argument[]): Promise<readonly unknown[]> {
    const deadline = this.deadline();
    for (;;) {
      const until = this.#clock.at(deadline);
      if (until === null) {
        await this.check(deadline);
        continue;
      }
      const answer = await this.#call(script, [until, ...args], deadline, true);
      const [time, ...outcome] = answer as [string, ...unknown[]];
      this.#clock.observe(Number(time), monotonic());
      // Nothing was done. The store's clock was set, or the command was held up on its way: there may still be time.
      if (outcome[0] !== 'late') return outcome;
      if (monotonic() >= deadline) throw new StoreUnavailable('the store came to it after its deadline');
    }
  }

  /** Rejects when the store is not the one that was opened. */
  async check(deadline: number = this.deadline()): Promise<void> {
    const time = await this.#call(checkStore, [], deadline);
    this.#clock.observe(Number(time), monotonic());
  }

  /** Whether changes count only when most data nodes have them. */
  get confirms(): boolean {
    return this.#link.confirms;
  }

  /** Resolves when whatever was read here before is confirmed, as a mutation would have to be. */
  async settled(): Promise<void> {
    if (this.#link.confirms) await this.change(touchStore, []);
  }

  /** Until when something that is begun now may take. */
  deadline(): number {
    return monotonic() + this.#deadlines.other;
  }

  /** The connection is gone. */
  lost(cause: Error): void {
    this.#tell(false, cause);
  }

  /** There is a connection again: whether to the same store has to be seen. */
  restored(): void {
    this.check().catch(() => {});
  }

  async #call(
    script: Script,
    args: readonly Argument[],
    deadline: number,
    confirmed: boolean = false,
  ): Promise<unknown> {
    try {
      const call = { script, keys: [this.#keys.meta], args: [this.#identity, ...args], confirmed };
      const answer = await this.#link.call(call, deadline);
      this.#tell(true);
      return answer;
    } catch (error) {
      if (error instanceof StoreLost) this.#tell(false, error);
      throw error;
    }
  }

  #tell(up: boolean, cause: Error = new Error()): void {
    if (this.#down !== up) return;
    this.#down = !up;
    if (up) this.#watcher?.up();
    else this.#watcher?.down(cause);
  }
}
