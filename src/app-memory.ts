import { keepingOf, keepSnapshot, type OpenedSnapshot } from './app-snapshot.ts';
import { cacheOptionsOf } from './app-values.ts';
import { CachedLookup, type DeclaredTokens } from './cache/cached-lookup.ts';
import { FeedFollower } from './cache/freshness.ts';
import { Heartbeat, type Pace } from './cache/heartbeat.ts';
import type { SnapshotKeeper } from './cache/snapshot/keeper.ts';
import type { Config } from './config/config.ts';
import { boundsOf } from './config/outage.ts';
import type { ChangeFeed, Cursor } from './ports/change-feed.ts';
import type { Clock } from './ports/clock.ts';
import type { Log } from './ports/log.ts';
import type { ProcessRegistry } from './ports/process-registry.ts';
import type { FeedEvent, TokenStore } from './ports/token-store.ts';
import type { EventualStore } from './stores/eventual-store.ts';

export interface MemoryParts {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  /** What this process is called in the registry. */
  readonly process: string;
  readonly store: EventualStore;
  readonly tokens: TokenStore;
  readonly feed: ChangeFeed;
  readonly registry: ProcessRegistry;
  readonly checksumKeys: () => readonly string[] | null;
  /** Null when none is kept. */
  readonly opened: OpenedSnapshot | null;
  /** Told how many seconds after it was made a change is applied. */
  readonly propagated: (seconds: number) => void;
  /** Told that the store has lost what it had acknowledged, whoever has found that out. */
  readonly epochBegan: () => void;
  /** Told of changes after they are applied. */
  readonly watchers: {
    changed(events: readonly FeedEvent[], cursor: Cursor): void;
    missed(cursor: Cursor): void;
  };
}

/**
 * What this process knows of tokens, and what says for how long it may: the cache, the feed that proves it, the heartbeat
 * that shows it to others, and the snapshot of it for the next process.
 */
export class Memory {
  readonly lookup: CachedLookup;
  readonly follower: FeedFollower;
  readonly heartbeat: Heartbeat;
  /** Null when none is kept. */
  readonly snapshot: SnapshotKeeper | null;
  readonly #registry: ProcessRegistry;
  readonly #predecessor: string | null;

  constructor(parts: MemoryParts) {
    const { config, clock, log, process, store, tokens, feed, registry, checksumKeys, opened } = parts;
    const { propagated, watchers } = parts;
    const found = opened?.found ?? null;
    const pace = paceOf(config);
    this.#registry = registry;
    this.#predecessor = found?.process ?? null;
    this.lookup = new CachedLookup(tokens, clock, cacheOptionsOf(config));
    const listener = {
      apply: (events: readonly FeedEvent[], cursor: Cursor) => {
        for (const { at } of events) propagated(Math.max(0, clock.wall() - at) / 1000);
        const applied = this.apply(events);
        // Changes of our own come this way too: here all are told in the order of the feed, and once.
        watchers.changed(events, cursor);
        return applied;
      },
      missed: (cursor: Cursor) => {
        const { cursor: before } = this.follower;
        if (before !== null && before.epoch !== cursor.epoch) parts.epochBegan();
        this.lookup.missed();
        watchers.missed(cursor);
        return this.snapshot?.discard();
      },
      failed: (cause: unknown) => log.warn({}, 'the feed of changes cannot be read', cause),
      acknowledged: (awaited: boolean) => {
        if (awaited) this.heartbeat.soon();
      },
    };
    this.follower = new FeedFollower(feed, listener, clock, pace.boundMs, found?.cursor ?? null);
    this.heartbeat = new Heartbeat(registry, process, () => this.follower.applied, clock, pace);
    this.heartbeat.failed = cause => log.warn({}, 'other processes cannot be told that this one lives', cause);
    this.lookup.follow(this.follower, this.heartbeat);
    this.lookup.remember(found?.recall ?? null);
    const { lookup, follower, heartbeat } = this;
    this.snapshot =
      opened && keepSnapshot(opened, { config, store, lookup, follower, heartbeat, checksumKeys, clock, log });
  }

  start(): void {
    this.follower.start();
    this.heartbeat.start();
    this.snapshot?.start();
    void this.#succeed();
  }

  /** `declared`: null where nothing about tokens has changed, and so nothing has to be looked up again. */
  configure(config: Config, declared: DeclaredTokens | null): void {
    const pace = paceOf(config);
    this.lookup.configure(cacheOptionsOf(config));
    if (declared === null) this.lookup.doubt();
    else this.lookup.declare(declared);
    this.follower.configure(pace.boundMs);
    this.heartbeat.configure(pace);
    this.snapshot?.configure(keepingOf(config));
  }

  /** Evicts what the events touch, at once; resolves when a restart will not forget them either. */
  apply(events: readonly FeedEvent[]): Promise<void> {
    this.lookup.apply(events);
    return this.snapshot?.bury(events) ?? Promise.resolve();
  }

  /** A snapshot outlives the process, and others go on reckoning with it. */
  async stop(): Promise<void> {
    await this.follower.stop();
    await this.snapshot?.stop();
    await this.heartbeat.stop(this.snapshot === null);
  }

  /** Once this process is where the one before it was, nobody serves what that one knew. */
  async #succeed(): Promise<void> {
    if (this.#predecessor === null) return;
    await this.heartbeat.begun;
    await this.#registry.signOff(this.#predecessor).catch(() => {});
  }
}

const paceOf = (config: Config): Pace => {
  const { connectedMs: boundMs, cutOffMs } = boundsOf(config);
  return { boundMs, cutOffMs };
};
