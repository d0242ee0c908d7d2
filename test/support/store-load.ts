import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'vitest';
import { StoreUnavailable } from '../../src/errors.ts';
import type { Store } from '../../src/stores/store.ts';
import { anAudit, aToken } from '../contract/harness.ts';

/** Creates tokens one after the other and looks a known one up all the while, whatever happens to the store. */
export class StoreLoad {
  /** What was acknowledged, and when. */
  readonly acknowledged: { readonly id: string; readonly at: number }[] = [];
  /** When look-ups were answered. */
  readonly found: number[] = [];
  /** Answers that no store may give: a known token that is absent, a new one that is there. */
  readonly wrong: string[] = [];
  readonly #store: Store;
  readonly #name: string;
  readonly #running: Promise<unknown>;
  #ended = false;

  private constructor(store: Store, name: string) {
    this.#store = store;
    this.#name = name;
    this.#running = Promise.all([this.#create(), this.#find()]);
  }

  static async start(store: Store, name: string): Promise<StoreLoad> {
    await store.tokens.createToken(aToken(`${name}-known`), anAudit('create'), null);
    return new StoreLoad(store, name);
  }

  async end(): Promise<void> {
    this.#ended = true;
    await this.#running;
  }

  /** Resolves when something that is asked from now on is acknowledged, and look-ups are answered. */
  async works(): Promise<void> {
    const from = performance.now();
    const both = (): boolean => this.acknowledged.some(({ at }) => at > from) && this.found.some(at => at > from);
    while (!both()) await pause(10);
  }

  /** Everything that was acknowledged is there, was done once, and nothing was ever answered that was not so. */
  async assertKept(): Promise<void> {
    expect(this.wrong).toEqual([]);
    for (const { id } of this.acknowledged) {
      expect(await this.#store.tokens.getToken(id), id).not.toBeNull();
      const { items } = await this.#store.tokens.listEvents({ kind: 'token', id, limit: 10, after: null });
      expect(items.map(({ action }) => action)).toEqual(['create']);
    }
  }

  async #create(): Promise<void> {
    for (let i = 0; !this.#ended; i++) {
      const id = `${this.#name}-${i}`;
      const at = performance.now();
      const outcome = await this.#tried(() => this.#store.tokens.createToken(aToken(id), anAudit('create'), null));
      if (outcome?.kind === 'done') this.acknowledged.push({ id, at });
      // Sent again by somebody, it would find itself.
      else if (outcome !== null) this.wrong.push(`${id}: ${outcome.kind}`);
    }
  }

  async #find(): Promise<void> {
    while (!this.#ended) {
      const at = performance.now();
      const found = await this.#tried(() => this.#store.tokens.find([`digest-of-${this.#name}-known`]).then(x => [x]));
      if (found?.[0] === null) this.wrong.push('the known token is absent');
      else if (found !== null) this.found.push(at);
    }
  }

  /** Null after an outage; a pause keeps what is down from being asked without end. */
  async #tried<T>(call: () => Promise<T>): Promise<T | null> {
    try {
      const answer = await call();
      await pause(2);
      return answer;
    } catch (error) {
      expect(error).toBeInstanceOf(StoreUnavailable);
      await pause(10);
      return null;
    }
  }
}
