/** Look-ups that fail in a row before the store is left alone. */
const enough = 5;

/** Milliseconds between two tries then. */
const pauseMs = 250;

/**
 * Keeps requests from waiting for a store that does not answer: after a few failures in a row one look-up at a time
 * tries whether it is back, and all others fail at once. Times are monotonic milliseconds.
 */
export class Breaker {
  #failures = 0;
  #failedAt = Number.NEGATIVE_INFINITY;
  #triedAt = Number.NEGATIVE_INFINITY;

  /** `heardAt`: when the store last answered something else that was asked then. */
  allows(now: number, heardAt: number): boolean {
    if (this.#failures < enough || heardAt > this.#failedAt) return true;
    if (now - this.#triedAt < pauseMs) return false;
    this.#triedAt = now;
    return true;
  }

  answered(): void {
    this.#failures = 0;
  }

  failed(now: number): void {
    this.#failures++;
    this.#failedAt = now;
    this.#triedAt = now;
  }
}
