import type { ChangeFeed, Cursor } from '../ports/change-feed.ts';
import type { PassedThreshold } from '../ports/limit-watch.ts';
import type { ToldRefusal } from '../ports/refusal-watch.ts';
import type { FeedEvent, TokenStore } from '../ports/token-store.ts';

/** What a watcher is told. */
export type News =
  /** `cursor`: whoever knows it goes on from here. */
  | { readonly kind: 'change'; readonly change: FeedEvent; readonly cursor: Cursor }
  | { readonly kind: 'refusal'; readonly refusal: ToldRefusal }
  | { readonly kind: 'limit'; readonly passed: PassedThreshold }
  /** Changes may have been made that nobody can name any more. */
  | { readonly kind: 'gap'; readonly cursor: Cursor }
  /** The watcher was too slow for so many refusals and passed thresholds of limits. */
  | { readonly kind: 'lost'; refusals: number; limits: number };

/** What somebody wants to be told; everything that is absent is no condition. */
export interface WatchFilter {
  readonly token?: string;
  readonly owner?: string;
  readonly type?: 'change' | 'refusal' | 'limit';
}

export interface WatchStore {
  readonly feed: Pick<ChangeFeed, 'since'>;
  readonly tokens: Pick<TokenStore, 'getToken'>;
}

/** Most news that wait for a watcher. */
export const mostWaiting = 1000;

/**
 * One who watches. News wait here, and no more than a few: changes that find no room are read from the store's feed once
 * there is some, as are those from before the watcher came; refusals and limits are counted as lost.
 */
export class Watcher {
  readonly #store: WatchStore;
  readonly #filter: WatchFilter;
  readonly #over: AbortSignal;
  #queue: News[] = [];
  #lost: Extract<News, { kind: 'lost' }> | null = null;
  /** Every change up to here was told, waits in the queue, or is not wanted. Null: not known yet. */
  #position: Cursor | null;
  /** What follows the position has to be read from the feed. */
  #behind: boolean;
  /** The last change that there was. */
  #newest: Cursor | null;
  #wakes: (() => void) | null = null;
  #waking: NodeJS.Immediate | null = null;

  /** `newest`: the last change that there was; null when that is not known. `from`: the last one that it knows. */
  constructor(store: WatchStore, filter: WatchFilter, newest: Cursor | null, from: Cursor | null, over: AbortSignal) {
    this.#store = store;
    this.#filter = filter;
    this.#newest = newest;
    this.#behind = from !== null && this.wantsChanges;
    this.#position = this.#behind ? from : newest;
    this.#over = over;
    over.addEventListener('abort', () => this.#wake(), { once: true });
  }

  get wantsChanges(): boolean {
    return (this.#filter.type ?? 'change') === 'change';
  }

  get wantsRefusals(): boolean {
    return (this.#filter.type ?? 'refusal') === 'refusal';
  }

  get wantsLimits(): boolean {
    return (this.#filter.type ?? 'limit') === 'limit';
  }

  /** Where the watcher can go on, once it was told everything that waits; null while something does. */
  get position(): Cursor | null {
    return this.wantsChanges && this.#queue.length === 0 && !this.#behind ? this.#position : null;
  }

  changed(events: readonly FeedEvent[], { epoch }: Cursor): void {
    if (!this.wantsChanges) return;
    for (const change of events) {
      const cursor = { epoch, seq: change.seq };
      this.#newest = cursor;
      // A position of another epoch was told as a gap, which these changes lie before.
      if (this.#behind || !follows(cursor, this.#position)) continue;
      if (this.#mayWant(change)) {
        if (this.#queue.length >= mostWaiting) {
          this.#position ??= { epoch, seq: change.seq - 1 };
          this.#behind = true;
          continue;
        }
        this.#queue.push({ kind: 'change', change, cursor });
      }
      this.#position = cursor;
    }
    this.#wake();
  }

  missed(cursor: Cursor): void {
    if (!this.wantsChanges) return;
    this.#newest = cursor;
    this.#position = cursor;
    this.#behind = false;
    // What would be read anew after an earlier gap is the same.
    if (this.#queue.length >= mostWaiting) this.#queue = this.#queue.filter(({ kind }) => kind !== 'gap');
    this.#queue.push({ kind: 'gap', cursor });
    this.#wake();
  }

  refused(refusal: ToldRefusal): void {
    const { token, owner } = this.#filter;
    if (!this.wantsRefusals) return;
    if (token !== undefined && refusal.tokenId !== token) return;
    if (owner !== undefined && refusal.owner !== owner) return;
    if (this.#queue.length < mostWaiting) this.#queue.push({ kind: 'refusal', refusal });
    else this.#lose().refusals++;
    this.#wake();
  }

  passed(passed: PassedThreshold): void {
    const { token, owner } = this.#filter;
    const { kind, id } = passed.subject;
    if (!this.wantsLimits) return;
    if (token !== undefined && !(kind === 'token' && id === token)) return;
    if (owner !== undefined && (kind === 'account' ? id : passed.owner) !== owner) return;
    if (this.#queue.length < mostWaiting) this.#queue.push({ kind: 'limit', passed });
    else this.#lose().limits++;
    this.#wake();
  }

  #lose(): Extract<News, { kind: 'lost' }> {
    if (this.#lost === null) {
      this.#lost = { kind: 'lost', refusals: 0, limits: 0 };
      this.#queue.push(this.#lost);
    }
    return this.#lost;
  }

  /**
   * What there is to tell, in order; waits up to `waitMs` when there is nothing. May be empty. Null when it is over.
   * Rejects with `StoreUnavailable` when the store has to be asked and does not answer.
   */
  async next(waitMs: number): Promise<readonly News[] | null> {
    if (!this.#due) await this.#wait(waitMs);
    if (this.#over.aborted) return null;
    const news = this.#queue;
    this.#queue = [];
    this.#lost = null;
    if (this.#behind) news.push(...(await this.#catchUp()));
    const wanted: News[] = [];
    for (const one of news) {
      if (await this.#wants(one)) wanted.push(one);
      if (this.#over.aborted) return null;
    }
    return wanted;
  }

  get #due(): boolean {
    return this.#queue.length > 0 || this.#behind || this.#over.aborted;
  }

  /** What happens at once is told together. */
  #wake(): void {
    this.#waking ??= setImmediate(() => {
      this.#waking = null;
      if (this.#due) this.#wakes?.();
    });
  }

  #wait(ms: number): Promise<void> {
    return new Promise(resolve => {
      const timer = setTimeout(() => this.#wakes?.(), ms);
      this.#wakes = () => {
        clearTimeout(timer);
        this.#wakes = null;
        resolve();
      };
    });
  }

  /** A page of what the feed has kept. */
  async #catchUp(): Promise<readonly News[]> {
    const from = this.#position;
    if (from === null) return [];
    const answer = await this.#store.feed.since(from);
    // Meanwhile there was a gap, and it goes on behind that.
    if (this.#position !== from) return [];
    const { cursor } = answer;
    this.#position = cursor;
    if (answer.kind === 'gap') return [{ kind: 'gap', cursor }];
    // What came by itself meanwhile was left to the feed.
    this.#behind = !answer.complete || (this.#newest !== null && follows(this.#newest, cursor));
    const { epoch } = cursor;
    return answer.events
      .filter(change => this.#mayWant(change))
      .map(change => ({ kind: 'change', change, cursor: { epoch, seq: change.seq } }));
  }

  /** As far as the change itself tells. */
  #mayWant({ kind, id }: FeedEvent): boolean {
    const { token, owner } = this.#filter;
    if (kind === 'account') return token === undefined && (owner === undefined || owner === id);
    // Roles are nobody's.
    if (kind === 'role') return token === undefined && owner === undefined;
    return token === undefined || token === id;
  }

  /** A change does not say whose token it is. */
  async #wants(news: News): Promise<boolean> {
    const { owner } = this.#filter;
    if (owner === undefined || news.kind !== 'change' || news.change.kind !== 'token') return true;
    return (await this.#store.tokens.getToken(news.change.id))?.token.owner === owner;
  }
}

/** Whether a position is behind another one of its epoch; anything is behind none. */
const follows = (cursor: Cursor, other: Cursor | null): boolean =>
  other === null || (cursor.epoch === other.epoch && cursor.seq > other.seq);
