import { randomBytes } from 'node:crypto';
import type { Clock } from '../../ports/clock.ts';
import { StoreMissing } from '../faults.ts';
import type { KeptKeys, PepperKey, Store, StoreWatcher } from '../store.ts';
import { RedisChangeFeed } from './change-feed.ts';
import { dumpRedis } from './dump.ts';
import { examineRedis } from './examine.ts';
import { StoreLost, StoreUnfit } from './faults.ts';
import { FeedConnections } from './feed-connections.ts';
import { Keys } from './keys.ts';
import { RedisLimitLedger } from './limit-ledger.ts';
import { LimitNotices } from './limit-notices.ts';
import { type Confirm, Link } from './link.ts';
import { Marks } from './marks.ts';
import { RedisProcessRegistry } from './process-registry.ts';
import { keepChecksumKeys } from './scripts/keep-checksum-keys.ts';
import { openStore } from './scripts/open-store.ts';
import type { RedisPlace } from './settings.ts';
import { monotonic } from './store-clock.ts';
import { RedisTokenStore } from './token-store.ts';
import { Unit } from './unit.ts';
import { dayMs } from './usage-counts.ts';
import { RedisUsageLedger, type UsageRetention } from './usage-ledger.ts';

export interface RedisStoreOptions {
  readonly endpoint: RedisPlace;
  /** Wall time that secrets and idempotency records end by. */
  readonly clock: Clock;
  readonly watcher?: StoreWatcher;
  /** What all keys begin with; `postern:` by default. */
  readonly prefix?: string;
  /** Milliseconds that a request waits for a look-up; 50 by default. */
  readonly deadlineMs?: number;
  /** Milliseconds that everything else may take; 5000 by default. */
  readonly mutationDeadlineMs?: number;
  /** How many of the newest feed events are kept; 100,000 by default. */
  readonly feedEvents?: number;
  /** How long buckets of usage are kept; 31 days of hours and 400 of days by default. */
  readonly usageRetention?: UsageRetention;
  /** The identity that the store has to have; null, the default, for any, and to make one where there is none. */
  readonly identity?: string | null;
  /** What has to have a change before it counts; `majority` behind sentinels and in a cluster, else `none` by default. */
  readonly confirm?: Confirm;
  /** Takes a server that may drop keys to make room. Then tokens, marks and usage may vanish. */
  readonly allowEviction?: boolean;
  /** False: a server without a store is refused with `StoreMissing`, and stays as it is. */
  readonly create?: boolean;
}

/**
 * The newest version of the keys and of what is under them. 2 has roles, accounts with rights, and tokens with
 * constraints, grants, `inherit` or a mode; 3 has limits. A store is of version 1 until it gets the first of these.
 */
const schema = 3;

/** Scripts name what they do in their first line, which older versions do not understand. */
const oldestVersion = 7;

/**
 * Opens the store in a Redis or Valkey server, and makes it when there never was one. Rejects with `StoreUnfit` when the
 * server or what is in it cannot serve, else with `StoreUnavailable`. From then on a server that has lost the store's
 * identity is unavailable: it is never made anew.
 */
export async function openRedisStore(options: RedisStoreOptions): Promise<Store> {
  const { endpoint, clock, watcher, prefix = 'postern:', feedEvents = 100_000 } = options;
  const { allowEviction = false, create = true } = options;
  const { deadlineMs = 50, mutationDeadlineMs = 5000 } = options;
  const { usageRetention = { hours: 31 * dayMs, days: 400 * dayMs } } = options;
  const { confirm = 'host' in endpoint ? 'none' : 'majority' } = options;
  const keys = new Keys(prefix);
  const deadline = monotonic() + mutationDeadlineMs;

  let unit: Unit | null = null;
  let notices: LimitNotices | null = null;
  const settings = { place: endpoint, home: keys.meta, confirm, silenceMs: mutationDeadlineMs };
  const link: Link = new Link(settings, {
    lost: cause => {
      connections.leave();
      notices?.leave();
      unit?.lost(cause);
    },
    restored: () => unit?.restored(),
    changed: () => {
      if (unit !== null) watcher?.serverChanged?.();
    },
  });
  const connections = new FeedConnections(() => link.home);
  try {
    await link.open(deadline);
    await refuseUnfit(link, 'cluster' in endpoint, allowEviction, deadline);
    const known = options.identity ?? null;
    const { identity, made } = await begin(link, keys, create && known === null, deadline).catch((error: unknown) => {
      // Where it was known, it is lost: nothing is made in its place.
      throw known !== null && error instanceof StoreMissing ? lost() : error;
    });
    if (known !== null && known !== identity) throw lost();
    const deadlines = { lookup: deadlineMs, other: mutationDeadlineMs };
    const opened = new Unit(link, keys, identity, deadlines, watcher);
    unit = opened;
    await opened.check();
    // A store that others may find, and lose again, has not been made yet.
    if (made) {
      await opened.settled();
      watcher?.made?.();
    }
    const marks = new Marks();
    const heard = new LimitNotices(() => link.home, keys, identity);
    notices = heard;
    const usage = new RedisUsageLedger(link, opened, keys, clock, usageRetention);
    return {
      identity,
      tokens: new RedisTokenStore(opened, clock, Math.max(1, feedEvents)),
      feed: new RedisChangeFeed(opened, connections, keys, marks, watcher),
      usage,
      limits: new RedisLimitLedger(link, opened, keys, heard),
      transfer: { dump: () => dumpRedis({ link, unit: opened, keys, usage, whole: false }, clock.wall()) },
      examine: () => examineRedis(link, opened, keys),
      registry: new RedisProcessRegistry(opened, marks),
      keepChecksumKeys: add => keep(opened, add),
      // Its owner is whoever runs the server: there is no folder of ours to leave a key in.
      adminKey: () => Promise.resolve(null),
      close: async () => {
        connections.close();
        heard.close();
        // A report takes several calls: half of one would have to be sent again by somebody who is about to end.
        await usage.settled();
        await link.close();
      },
    };
  } catch (error) {
    await link.close();
    throw error;
  }
}

export async function refuseUnfit(
  link: Link,
  clustered: boolean,
  allowEviction: boolean,
  deadline: number,
): Promise<void> {
  for (const server of await link.info('server', deadline)) {
    const version = server.get('redis_version') ?? 'unknown';
    if (!(Number.parseInt(version, 10) >= oldestVersion)) {
      throw new StoreUnfit(`the server's version is ${version}: Redis ${oldestVersion} or newer, or Valkey, is needed`);
    }
    // Valkey has another name for it.
    const mode = server.get('redis_mode') ?? server.get('server_mode');
    if (mode !== undefined && clustered !== (mode === 'cluster')) {
      const remedy = clustered ? 'Name it in store.url' : 'Name its nodes in store.cluster';
      throw new StoreUnfit(`the server is ${clustered ? 'no' : 'a'} node of a cluster. ${remedy}`);
    }
  }
  if (allowEviction) return;
  for (const memory of await link.info('memory', deadline)) {
    const policy = memory.get('maxmemory_policy') ?? 'unknown';
    if (policy === 'noeviction') continue;
    throw new StoreUnfit(
      `the server's eviction policy is ${policy}: it may drop tokens and revocations to make room. ` +
        'Set maxmemory-policy to noeviction there, or use another server',
    );
  }
}

const lost = (): StoreLost =>
  new StoreLost('the store is not the one that was known here: it is empty, or another has taken its place');

/** The identity of what is there, or of what was made. */
async function begin(
  link: Link,
  keys: Keys,
  create: boolean,
  deadline: number,
): Promise<{ identity: string; made: boolean }> {
  const args = create ? [randomBytes(16).toString('hex'), randomBytes(16).toString('hex')] : [];
  const born = await link.call({ script: openStore, keys: [keys.meta], args }, deadline);
  if (born === null) throw new StoreMissing('the server has no store under this prefix');
  const [identity, , found] = born as [string, string, string | null];
  if (!(Number(found) >= 1 && Number(found) <= schema)) {
    const versions = `its schema is version ${found}, this program knows up to ${schema}`;
    throw new StoreUnfit(`the store cannot be read: ${versions}: use a newer one`);
  }
  return { identity, made: identity === args[0] };
}

async function keep(unit: Unit, add: readonly PepperKey[]): Promise<KeptKeys> {
  const pairs = add.flatMap(({ id, key }) => [id, key]);
  const [kind, answer] = await unit.change(keepChecksumKeys, pairs);
  if (kind === 'changed') return { kind, id: answer as string };
  await unit.settled();
  return { kind: 'kept', keys: [...new Set(answer as string[])] };
}
