import type { Clock } from '../ports/clock.ts';
import type { StoreTarget } from '../ports/store-transfer.ts';
import { openEmbeddedStore } from './embedded/open.ts';
import { beginEmbedded } from './embedded/target.ts';
import { openRedisStore, type RedisStoreOptions } from './redis/open.ts';
import type { RedisAddress, RedisLogin, RedisPlace } from './redis/settings.ts';
import { beginRedis } from './redis/target.ts';
import type { Store, StoreWatcher } from './store.ts';

export { StoreInUse, StoreVersionUnknown } from './embedded/faults.ts';
export { StoreMissing, TargetTaken } from './faults.ts';
export { StoreUnfit } from './redis/faults.ts';
export type { Store, StoreWatcher } from './store.ts';

export interface EmbeddedSettings {
  readonly kind: 'embedded';
  /** The store's folder. It is made when it does not exist. */
  readonly path: string;
  /** Milliseconds that a request waits for a look-up. */
  readonly deadlineMs: number;
  /** Milliseconds that everything else may take. */
  readonly mutationDeadlineMs: number;
}

export interface RedisSettings {
  readonly kind: 'redis';
  readonly servers: RedisServers;
  readonly username: string | null;
  readonly password: Buffer | null;
  readonly database: number;
  readonly tls: { readonly ca: Buffer | null } | null;
  readonly prefix: string;
  readonly confirm: 'none' | 'majority';
  readonly allowEviction: boolean;
  readonly deadlineMs: number;
  readonly mutationDeadlineMs: number;
}

export type RedisServers =
  | ({ readonly form: 'url' } & RedisAddress)
  | {
      readonly form: 'sentinel';
      readonly sentinels: readonly RedisAddress[];
      readonly master: string;
      readonly username: string | null;
      readonly password: Buffer | null;
    }
  | { readonly form: 'cluster'; readonly nodes: readonly RedisAddress[] };

/** Which store, by its kind. */
export type StoreSettings = EmbeddedSettings | RedisSettings;

/**
 * Opens the store that the settings name: the only switch on a backend's name. `identity`: the one that it has to have;
 * null makes the store when there never was one. Rejects when it cannot be opened:
 * with `StoreInUse`, `StoreVersionUnknown` or `StoreUnfit` when trying again is in vain, else with `StoreUnavailable`.
 */
export function openStore(
  settings: StoreSettings,
  clock: Clock,
  watcher?: StoreWatcher,
  identity: string | null = null,
): Promise<Store> {
  return open(settings, clock, { create: true, identity, ...(watcher && { watcher }) });
}

/** Opens a store that is there. Rejects as `openStore` does, and with `StoreMissing` when there is none. */
export const openExistingStore = (settings: StoreSettings, clock: Clock): Promise<Store> =>
  open(settings, clock, { create: false });

/** Begins to fill a new store where the settings say. Rejects as `openStore` does, and with `TargetTaken`. */
export async function beginStore(settings: StoreSettings, clock: Clock): Promise<StoreTarget> {
  return settings.kind === 'embedded' ? beginEmbedded(settings.path, clock) : beginRedis(redisOptions(settings, clock));
}

interface OpeningOptions {
  readonly create: boolean;
  readonly identity?: string | null;
  readonly watcher?: StoreWatcher;
}

function open(settings: StoreSettings, clock: Clock, options: OpeningOptions): Promise<Store> {
  switch (settings.kind) {
    case 'embedded': {
      const { path: folder, deadlineMs, mutationDeadlineMs } = settings;
      return openEmbeddedStore({ folder, clock, deadlineMs, mutationDeadlineMs, ...options });
    }
    case 'redis':
      return openRedisStore({ ...redisOptions(settings, clock), ...options });
  }
}

function redisOptions(settings: RedisSettings, clock: Clock): RedisStoreOptions {
  const { kind: _, servers, username, password, database, tls, ...options } = settings;
  return { endpoint: placeOf(settings), clock, ...options };
}

function placeOf({ servers, database, tls: secure, ...login }: RedisSettings): RedisPlace {
  const tls = secure === null ? {} : { tls: secure.ca === null ? {} : { ca: secure.ca } };
  const common = { ...loginOf(login), ...tls };
  switch (servers.form) {
    case 'url':
      return { host: servers.host, port: servers.port, database, ...common };
    case 'sentinel':
      return {
        sentinels: servers.sentinels,
        master: servers.master,
        sentinelLogin: loginOf(servers),
        database,
        ...common,
      };
    case 'cluster':
      return { cluster: servers.nodes, ...common };
  }
}

const loginOf = ({ username, password }: Pick<RedisSettings, 'username' | 'password'>): RedisLogin => ({
  ...(username !== null && { username }),
  ...(password !== null && { password: password.toString('utf8') }),
});
