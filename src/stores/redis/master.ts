import { Line, type LineListener } from './line.ts';
import type { RedisEndpoint } from './settings.ts';
import { monotonic } from './store-clock.ts';

export interface MasterOptions {
  readonly endpoint: RedisEndpoint;
  readonly silenceMs: number;
  readonly roles: boolean;
  /** Some changes wait until replicas have them. */
  readonly confirms: boolean;
}

/**
 * The connections to one master. Changes have one of their own: a server that holds writes back (a failover does, so
 * does `CLIENT PAUSE`) answers nothing on a connection behind the first of them, and look-ups are not to wait. So have
 * changes that wait for replicas, which hold up all that is behind them, too.
 */
export class Master {
  readonly endpoint: RedisEndpoint;
  readonly reads: Line;
  readonly changes: Line;
  readonly confirmed: Line;
  /** Resolves when all are connected; rejects when one could not be at the first try. */
  readonly opened: Promise<void>;

  /** The listener is told of the connection that reads go over, and of every server that is reached. */
  constructor({ endpoint, silenceMs, roles, confirms }: MasterOptions, listener: Required<LineListener>) {
    this.endpoint = endpoint;
    const options = { endpoint, silenceMs, roles };
    const { reached } = listener;
    this.reads = new Line(options, { reached, lost: listener.lost, restored: listener.restored });
    // Only a change finds out that the server is a master no more. What it still answers to reads may be old.
    const demoted = (): void => {
      this.reads.renew();
      listener.demoted();
    };
    this.changes = new Line(options, { reached, demoted });
    this.confirmed = confirms ? new Line(options, { reached, demoted }) : this.changes;
    const deadline = monotonic() + silenceMs;
    this.opened = Promise.all(this.#lines.map(line => line.open(deadline))).then(() => {});
    // Whoever waits for it hears of it; the connections go on trying.
    this.opened.catch(() => {});
  }

  async close(): Promise<void> {
    await Promise.all(this.#lines.map(line => line.close()));
  }

  /** Disconnects at once. */
  leave(): void {
    for (const line of this.#lines) line.leave();
  }

  get #lines(): readonly Line[] {
    return [...new Set([this.reads, this.changes, this.confirmed])];
  }
}
