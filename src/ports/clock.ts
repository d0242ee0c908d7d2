/** Time is an argument: nothing but an adapter of this port reads a clock. */
export interface Clock {
  /** Milliseconds since the epoch. It may step. Token expiry is held against it. */
  wall(): number;
  /** Milliseconds from an arbitrary start. It never steps. Ages and durations are measured with it. */
  monotonic(): number;
}
