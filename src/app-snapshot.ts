import type { CachedLookup } from './cache/cached-lookup.ts';
import type { FeedFollower, Instant } from './cache/freshness.ts';
import type { Heartbeat } from './cache/heartbeat.ts';
import { type Contained, type Keeping, SnapshotKeeper } from './cache/snapshot/keeper.ts';
import { type Found, Snapshot, SnapshotTaken } from './cache/snapshot/snapshot.ts';
import type { Config } from './config/config.ts';
import type { Clock } from './ports/clock.ts';
import type { Log } from './ports/log.ts';
import { sealKeyOf } from './secrets/peppers.ts';
import type { EventualStore } from './stores/eventual-store.ts';
import type { Logger } from './telemetry/log.ts';

export interface OpenedSnapshot {
  readonly snapshot: Snapshot;
  readonly found: Found | null;
}

export interface SnapshotRooms {
  readonly config: Config;
  readonly store: EventualStore;
  readonly lookup: CachedLookup;
  readonly follower: FeedFollower;
  readonly heartbeat: Heartbeat;
  /** Null before the store has said which they are. */
  readonly checksumKeys: () => readonly string[] | null;
  readonly clock: Clock;
  readonly log: Log;
}

/** What seals a snapshot, first, and what may have sealed it. */
const sealKeysOf = ({ tokens }: Config): Buffer[] => tokens.peppers.map(sealKeyOf);

/** How the snapshot is kept, by a configuration that keeps one. */
export const keepingOf = (config: Config): Keeping => ({
  intervalMs: config.outage.snapshot!.intervalMs,
  key: sealKeysOf(config)[0]!,
});

/** Opens the snapshot's folder, where one is configured and no other process has it. Rejects when it cannot be written to. */
export async function openSnapshot(
  config: Config,
  process: string,
  clock: Clock,
  logger: Logger,
): Promise<OpenedSnapshot | null> {
  const settings = config.outage.snapshot;
  if (settings === null) return null;
  const { folder } = settings;
  const opened = await Snapshot.open(folder, process, sealKeysOf(config), clock).catch((error: Error) => {
    if (error instanceof SnapshotTaken) return null;
    throw new Error(`outage.snapshot: ${folder} cannot be used: ${error.message}`, { cause: error });
  });
  if (opened === null) {
    logger.error(
      { folder },
      'no snapshot is kept: another process has its own there, and every process needs a folder',
    );
    return null;
  }
  const { snapshot, found, refused } = opened;
  if (refused !== null) logger.warn({ folder, why: refused }, 'the snapshot is not used');
  else if (found !== null) {
    const age = Math.round((clock.monotonic() - found.recall.proven.monotonic) / 1000);
    logger.info({ folder, tokens: found.recall.size, age_s: age }, 'a snapshot was found');
  }
  return { snapshot, found };
}

/** Keeps for the process that comes after this one what it could serve from. */
export function keepSnapshot({ snapshot }: OpenedSnapshot, rooms: SnapshotRooms): SnapshotKeeper {
  const { config, store: eventual, lookup, follower, heartbeat, checksumKeys, clock, log } = rooms;
  const contents: Contained = async () => {
    const store = eventual.opened;
    const at = follower.cursor;
    if (store === null || at === null) return null;
    const roll = await store.registry.roll().catch(() => null);
    if (roll === null) return null;
    // How far the store's clock is ahead: no more than this, so that nothing looks younger than it is.
    const clockOffsetMs = roll.now - clock.wall();
    const mark = await store.feed.mark(at);
    return () => {
      const proven = olderOf(follower.proven, heartbeat.answered);
      const knowledge = lookup.knowledge();
      const written = snapshot.proven?.monotonic ?? Number.NEGATIVE_INFINITY;
      // A busy feed has gone on meanwhile: who begins at the mark hears again of what came after it.
      const keys = checksumKeys();
      if (knowledge === null || keys === null || follower.cursor?.epoch !== at.epoch || proven.monotonic <= written)
        return null;
      const cursor = { ...at, mark };
      const { reckonedMs: cutOffMs } = heartbeat;
      const about = { store: store.identity, cursor, proven, clockOffsetMs, cutOffMs };
      return { ...about, checksumKeys: keys, ...knowledge };
    };
  };
  return new SnapshotKeeper(snapshot, contents, keepingOf(config), log);
}

const olderOf = (a: Instant, b: Instant): Instant => (a.monotonic < b.monotonic ? a : b);
