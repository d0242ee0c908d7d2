/** Milliseconds on a clock that never steps. */
export const monotonic = (): number => performance.now();

/**
 * The store's clock, as far as it is known here: each answer that bears its time says how far it was ahead of ours at
 * least. Deadlines that are made from that are never later on the store's clock than they are here.
 */
export class StoreClock {
  #ahead: number | null = null;

  /** `time` was read by the store before `received`. */
  observe(time: number, received: number): void {
    this.#ahead = time - received;
  }

  /** An instant of ours on the store's clock; null before the store has told its time. */
  at(instant: number): number | null {
    return this.#ahead === null ? null : Math.floor(instant + this.#ahead);
  }
}
