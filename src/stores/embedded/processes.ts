import type { Millis } from '../../core/token.ts';
import type { Heartbeat, Roll } from '../../ports/process-registry.ts';
import type { Journal } from './journal.ts';

interface Live extends Heartbeat {
  readonly until: Millis;
}

/**
 * Who serves from this file. That is one process, the one that it belongs to, so its heartbeats are kept in memory: they
 * cost no disk its rest, and a full or read-only one does not stop them. Nobody else can change anything meanwhile.
 */
export class Processes {
  readonly #journal: Journal;
  readonly #live = new Map<string, Live>();

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  beat({ process, applied, cutOffMs }: Heartbeat, now: Millis): void {
    this.#drop(now);
    const known = this.#journal.has(applied) ? applied : { epoch: '', seq: applied.seq };
    this.#live.set(process, { process, applied: known, cutOffMs, until: now + cutOffMs });
  }

  signOff(process: string): void {
    this.#live.delete(process);
  }

  roll(now: Millis): Roll {
    this.#drop(now);
    return { now, processes: [...this.#live.values()].map(({ until: _, ...heartbeat }) => heartbeat) };
  }

  #drop(now: Millis): void {
    for (const { process, until } of this.#live.values()) if (until <= now) this.#live.delete(process);
  }
}
