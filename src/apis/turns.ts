/** Lists at a time on one mount, and of one account, those that wait included. */
export const turnLimits = { running: 2, account: 4 } as const;

/** Too many of the account's are under way: it may ask again in a moment. */
export class Busy extends Error {}

/**
 * Turns for what is long work and a large answer, as lists are. Attack: a short request asks for megabytes, and whoever sends
 * many side by side, which takes one session, would have the process make all of them at once.
 */
export class Turns {
  #running = 0;
  readonly #waiting: (() => void)[] = [];
  /** How many are an account's. */
  readonly #counts = new Map<string, number>();

  /** Waits for its turn. Rejects with `Busy`, and as `work` does. */
  async take<T>(account: string, work: () => Promise<T>): Promise<T> {
    if (this.#of(account) >= turnLimits.account) throw new Busy();
    this.#counts.set(account, this.#of(account) + 1);
    // Who is woken has the turn of whoever woke it.
    if (this.#running >= turnLimits.running) await new Promise<void>(resolve => this.#waiting.push(resolve));
    else this.#running++;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
      const left = this.#of(account) - 1;
      if (left > 0) this.#counts.set(account, left);
      else this.#counts.delete(account);
    }
  }

  #of(account: string): number {
    return this.#counts.get(account) ?? 0;
  }
}
