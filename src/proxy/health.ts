/** How many checks in a row change the verdict, once there is one. */
export interface CheckRules {
  readonly rise: number;
  readonly fall: number;
}

/** Requests in a row that an endpoint must fail to be ejected. One may be the request's own fault. */
const faultsToEject = 3;

/** How long an ejection lasts: doubled with each one, up to the longest. */
const firstEjectionMs = 1000;
const longestEjectionMs = 60_000;

/** Who was left in peace for so long after an ejection is ejected anew as if for the first time. */
const forgivenMs = 60_000;

/** Between two requests that find out whether an ejected endpoint is back. */
const trialMs = 1000;

/**
 * What is known of an endpoint's health, as pure state: every time is an argument, in milliseconds that never step.
 * Two things speak of it. Checks are asked for by the configuration, and their first result decides at once. Requests
 * speak by themselves: one failed connect, or three requests in a row without an answer, eject the endpoint for a time;
 * after it requests try it, one a second, until one is answered or it is ejected again, for longer.
 */
export class Health {
  readonly #rules: CheckRules;
  /** What checks say; null before the first one. */
  #passing: boolean | null = null;
  /** Results in a row that say the same, of checks since the last ejection. */
  #streak = 0;
  #latest: boolean | null = null;
  #faults = 0;
  #ejections = 0;
  #ejectedUntil = Number.NEGATIVE_INFINITY;
  /** It was ejected, and nothing has been answered since. */
  #suspected = false;
  #nextTrialAt = Number.NEGATIVE_INFINITY;

  constructor(rules: CheckRules) {
    this.#rules = rules;
  }

  /** A request may be sent there: nothing speaks against it, or a trial is due. */
  takes(now: number): boolean {
    if (this.#passing === false) return false;
    return !this.#suspected || (now >= this.#ejectedUntil && now >= this.#nextTrialAt);
  }

  /** Nothing speaks against it; an ejection does until a request has been answered again. */
  get healthy(): boolean {
    return this.#passing !== false && !this.#suspected;
  }

  /** A request goes there. */
  chosen(now: number): void {
    if (this.#suspected) this.#nextTrialAt = now + trialMs;
  }

  /** It has answered a request, whatever the answer was. */
  answered(): void {
    this.#faults = 0;
    this.#suspected = false;
  }

  /** No connection could be made. */
  unreachable(now: number): void {
    this.#eject(now);
  }

  /** A request was sent and not answered, by the endpoint's fault. */
  unanswered(now: number): void {
    this.#faults++;
    if (this.#suspected || this.#faults >= faultsToEject) this.#eject(now);
  }

  /** Many requests fail together: what fails during an ejection is a part of its cause. */
  #eject(now: number): void {
    if (now < this.#ejectedUntil) return;
    if (now - this.#ejectedUntil >= forgivenMs) this.#ejections = 0;
    this.#ejectedUntil = now + Math.min(longestEjectionMs, firstEjectionMs * 2 ** this.#ejections);
    this.#ejections = Math.min(this.#ejections + 1, 16);
    this.#faults = 0;
    this.#suspected = true;
    this.#latest = null;
  }

  /** A check has passed or failed. Those that pass end an ejection too. */
  checked(passed: boolean): void {
    this.#streak = this.#latest === passed ? this.#streak + 1 : 1;
    this.#latest = passed;
    const enough = this.#streak >= (passed ? this.#rules.rise : this.#rules.fall);
    if (enough || this.#passing === null) this.#passing = passed;
    if (enough && passed) this.#suspected = false;
  }
}
