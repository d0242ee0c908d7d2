import type { Cursor } from '../../src/ports/change-feed.ts';
import type { FeedEvent } from '../../src/ports/token-store.ts';
import type { Store } from '../../src/stores/store.ts';

/** Another live process of a fleet, which reads and beats when it is told to. */
export class OtherProcess {
  readonly #store: Pick<Store, 'feed' | 'registry'>;
  readonly #name: string;
  readonly #cutOffMs: number;
  #applied: Cursor;

  private constructor(store: Pick<Store, 'feed' | 'registry'>, name: string, cutOffMs: number, applied: Cursor) {
    this.#store = store;
    this.#name = name;
    this.#cutOffMs = cutOffMs;
    this.#applied = applied;
  }

  /** Live from the end of the feed on. */
  static async start(store: Pick<Store, 'feed' | 'registry'>, name: string, cutOffMs: number): Promise<OtherProcess> {
    const process = new OtherProcess(store, name, cutOffMs, await store.feed.head());
    await process.beat();
    return process;
  }

  beat(): Promise<'taken' | 'refused'> {
    return this.#store.registry.beat({ process: this.#name, applied: this.#applied, cutOffMs: this.#cutOffMs });
  }

  /** Waits for events, and applies them. */
  async hear(): Promise<readonly FeedEvent[]> {
    const answer = await this.#store.feed.read(this.#applied, 20_000);
    this.#applied = answer.cursor;
    return answer.kind === 'events' ? answer.events : [];
  }

  /** Applies what there is. */
  async catchUp(): Promise<void> {
    this.#applied = await this.#store.feed.head();
  }
}
