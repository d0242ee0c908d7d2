import type { GuessGuard } from '../ports/guard.ts';
import type { Asker } from '../ports/session-source.ts';

/** Who asks a token API, as the guard against guessing has it. */
export class MountAsker implements Asker {
  readonly network: string;
  readonly #guard: GuessGuard;
  #wasHeldBack = false;

  constructor(network: string, guard: GuessGuard) {
    this.network = network;
    this.#guard = guard;
  }

  heldBack(): boolean {
    const heldBack = this.#guard.peek(this.network) > 0;
    this.#wasHeldBack ||= heldBack;
    return heldBack;
  }

  /** Seconds to wait instead of the API's answer; 0: it stands. What was held back was not tried, and does not count. */
  wait(guessed: boolean): number {
    if (this.#wasHeldBack) return Math.max(1, this.#guard.peek(this.network));
    return guessed ? this.#guard.failed(this.network) : 0;
  }
}
