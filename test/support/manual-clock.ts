import type { Clock } from '../../src/ports/clock.ts';

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  #wall: number;
  #monotonic = 0;

  constructor(wall: number = Date.UTC(2030, 0, 1)) {
    this.#wall = wall;
  }

  wall(): number {
    return this.#wall;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  /** Time passes, in milliseconds. */
  advance(ms: number): void {
    this.#wall += ms;
    this.#monotonic += ms;
  }

  /** The wall clock is set, forward or back; no time passes. */
  stepWall(ms: number): void {
    this.#wall += ms;
  }
}
