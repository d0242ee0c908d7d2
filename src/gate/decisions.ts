import { explain, type Facts } from '../core/explain.ts';
import type { Millis } from '../core/token.ts';
import type { Recalled } from '../ports/decider.ts';

/** Newest decisions that are kept. */
export const mostDecisions = 4096;

interface Kept {
  readonly requestId: string;
  readonly at: Millis;
  readonly facts: Facts;
}

/**
 * What was refused of late, in this process's memory: bounded, and made into an explanation when somebody asks. A ring, for
 * every refusal writes here and hardly anybody reads.
 */
export class Decisions {
  readonly #kept: Kept[] = [];
  readonly #most: number;
  #next = 0;

  constructor(most = mostDecisions) {
    this.#most = most;
  }

  keep(requestId: string, at: Millis, facts: Facts): void {
    this.#kept[this.#next] = { requestId, at, facts };
    this.#next = (this.#next + 1) % this.#most;
  }

  recall(requestId: string): Recalled | null {
    const kept = this.#kept.find(each => each.requestId === requestId);
    if (kept === undefined) return null;
    const { at, facts } = kept;
    const { method, path, route, mount, pattern, subject } = facts;
    return {
      requestId,
      at,
      method,
      path,
      route: route?.pattern ?? mount?.path ?? pattern,
      tokenId: subject?.token.id ?? null,
      owner: subject?.token.owner ?? null,
      explanation: explain(facts),
    };
  }
}
