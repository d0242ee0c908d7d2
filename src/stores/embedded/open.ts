import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Millis } from '../../core/token.ts';
import type { Clock } from '../../ports/clock.ts';
import { StoreMissing } from '../faults.ts';
import type { Store, StoreWatcher } from '../store.ts';
import {
  EmbeddedChangeFeed,
  EmbeddedLimitLedger,
  EmbeddedProcessRegistry,
  EmbeddedSource,
  EmbeddedTokenStore,
  EmbeddedUsageLedger,
} from './adapters.ts';
import { readOrMakeAdminKey } from './admin-key.ts';
import { fileName } from './database.ts';
import { OwnerClient } from './owner-client.ts';
import { type StartOwner, startOwner } from './owner-thread.ts';
import type { UsageRetention } from './usage.ts';

export interface EmbeddedStoreOptions {
  readonly folder: string;
  /** Wall time that secrets and idempotency records end by. */
  readonly clock: Clock;
  readonly watcher?: StoreWatcher;
  /** Milliseconds that a request waits for a look-up; 50 by default. */
  readonly deadlineMs?: number;
  /** Milliseconds that everything else may take; 5000 by default. */
  readonly mutationDeadlineMs?: number;
  /** How many of the newest feed events are kept; 100,000 by default. */
  readonly feedEvents?: number;
  /** How long buckets of usage are kept; 31 days of hours and 400 of days by default. */
  readonly usageRetention?: UsageRetention;
  /** False: a folder without a store is refused with `StoreMissing`, and stays as it is. */
  readonly create?: boolean;
  /** The identity that the store has to have; null, the default, for any, and to make one where there is none. */
  readonly identity?: string | null;
  /** How the owner thread is started. */
  readonly start?: StartOwner;
}

const dayMs: Millis = 86_400_000;
/** Longest time that a look at the whole file may take. */
const examinationMs = 3_600_000;

/**
 * Opens the store in a folder, and makes it when there is none. Rejects with `StoreInUse` when somebody else has it
 * open, with `StoreVersionUnknown` when its file is not ours to read, else with `StoreUnavailable`.
 */
export async function openEmbeddedStore(options: EmbeddedStoreOptions): Promise<Store> {
  const {
    clock,
    watcher,
    deadlineMs = 50,
    mutationDeadlineMs = 5000,
    feedEvents = 100_000,
    usageRetention = { hours: 31 * dayMs, days: 400 * dayMs },
    identity = null,
    start = startOwner,
    create = true,
  } = options;
  const settings = { folder: resolve(options.folder), identity, feedEvents, usageRetention };
  const file = join(settings.folder, fileName);
  if (!create && !existsSync(file)) throw new StoreMissing(`there is no store in ${settings.folder}`);
  const deadlines = { lookup: deadlineMs, other: mutationDeadlineMs };
  const owner = await OwnerClient.open(start, settings, deadlines, watcher);
  return {
    identity: owner.identity,
    tokens: new EmbeddedTokenStore(owner, clock),
    feed: new EmbeddedChangeFeed(owner),
    usage: new EmbeddedUsageLedger(owner, clock),
    limits: new EmbeddedLimitLedger(owner, clock),
    transfer: new EmbeddedSource(owner, clock, usageRetention),
    registry: new EmbeddedProcessRegistry(owner, clock),
    keepChecksumKeys: add => owner.call('keepChecksumKeys', [add]),
    adminKey: () => readOrMakeAdminKey(settings.folder),
    examine: () => owner.call('examine', [], { waitMs: examinationMs }),
    close: () => owner.close(),
  };
}
