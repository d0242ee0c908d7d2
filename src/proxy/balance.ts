/** What a choice is made by. */
export interface Candidate {
  /** Requests and streams under way. */
  readonly load: number;
  readonly health: { takes(now: number): boolean };
}

/**
 * Least-loaded choice. Equals take turns, so that a quiet upstream uses all of them. When no candidate is healthy all
 * are in the choice: a wrong check, or a fault that they share, is no reason to refuse what one might still serve.
 */
export class Balancer<C extends Candidate> {
  #turn = 0;

  /** Null when there is none but the excepted. */
  choose(candidates: readonly C[], now: number, except: ReadonlySet<C> | null = null): C | null {
    let best: C | null = null;
    let bestTakes = false;
    let bestAt = 0;
    const count = candidates.length;
    for (let i = 0; i < count; i++) {
      const at = (this.#turn + i) % count;
      const candidate = candidates[at]!;
      if (except?.has(candidate)) continue;
      const takes = candidate.health.takes(now);
      if (best !== null && (bestTakes !== takes ? bestTakes : best.load <= candidate.load)) continue;
      best = candidate;
      bestTakes = takes;
      bestAt = at;
    }
    if (best !== null) this.#turn = bestAt + 1;
    return best;
  }
}
