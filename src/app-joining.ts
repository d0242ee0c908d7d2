import type { Config } from './config/config.ts';
import { missingOwners } from './config/declared.ts';
import { StoreUnavailable } from './errors.ts';
import type { Clock } from './ports/clock.ts';
import type { TokenStore } from './ports/token-store.ts';
import { checksumKeyOf } from './secrets/peppers.ts';
import { EventualStore } from './stores/eventual-store.ts';
import type { openStore, Store } from './stores/open-store.ts';
import type { Logger } from './telemetry/log.ts';

/** The configuration cannot be served: what only the store could tell. */
export class ConfigurationRefused extends Error {
  readonly lines: readonly string[];
  constructor(lines: readonly string[]) {
    super(lines.join('\n'));
    this.name = 'ConfigurationRefused';
    this.lines = lines;
  }
}

/** What the store says once, before it is used. */
export interface Joined {
  /** Null before it has. */
  readonly checksumKeys: readonly string[] | null;
  /** The admin key that the store keeps, where none is configured; else null. */
  readonly generatedKey: string | null;
}

export interface Joining {
  readonly open: typeof openStore;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The configuration in force. */
  readonly config: () => Config;
  /** The store that it has to be; null for whichever is there, or can be made. */
  readonly identity: string | null;
  /** Told that it has lost what it had acknowledged, or may have. */
  readonly rolledBack: () => void;
  /** Told what the store said, as soon as it is open. */
  readonly joined: (joined: Joined) => void;
}

/** Milliseconds that a start waits for the store, before it goes on without. A file needs as long as it needs. */
const patience = { embedded: 60_000, redis: 3000 } as const;

/**
 * Opens the store that the configuration names, or lets it come later. An embedded one that is not there comes by
 * nobody's doing: that is told, unless there is something to serve from meanwhile.
 */
export function joinStore({
  open,
  clock,
  logger,
  config,
  identity,
  joined,
  rolledBack,
}: Joining): Promise<EventualStore> {
  const watcher = {
    down: (cause: Error) => logger.error({}, 'the store is down', cause),
    up: () => logger.info({}, 'the store is up again'),
    made: () => logger.warn({}, 'there was no store, and a new one was made: every token is unknown in it'),
    rolledBack: () => {
      logger.error({}, 'the store has lost changes that it had acknowledged');
      rolledBack();
    },
    serverChanged: () => {
      logger.warn({}, 'the store is on another server, or its server began anew: limits grant nothing for 5 s');
      rolledBack();
    },
  };
  let failed = false;
  return EventualStore.open({
    open: async () => {
      const store = await open(config().store, clock, watcher, identity);
      try {
        let asked: Config;
        let answer: Joined;
        // A reload that came meanwhile could not ask a store that was not open.
        do {
          asked = config();
          await refuseDeclared(asked, store.tokens);
          answer = { generatedKey: await ownKey(asked, store), checksumKeys: await checksumKeysOf(asked, store) };
        } while (asked !== config());
        joined(answer);
        return store;
      } catch (error) {
        await store.close();
        throw error;
      }
    },
    mayCome: error => error instanceof StoreUnavailable && (config().store.kind !== 'embedded' || identity !== null),
    watcher: {
      failed: cause => {
        failed = true;
        logger.error({}, 'the store cannot be opened yet', cause);
      },
      opened: () => {
        if (failed) logger.info({}, 'the store is open');
      },
    },
    patienceMs: patience[config().store.kind],
  });
}

/** The admin key that the store keeps, where none is configured. */
export const ownKey = async ({ admin }: Config, store: Store): Promise<string | null> =>
  admin.keys.length > 0 ? null : store.adminKey();

/** The checksum keys of all peppers that there ever were. One that is now another would make every token under it unknown. */
export async function checksumKeysOf({ tokens }: Config, store: Store): Promise<readonly string[]> {
  const kept = await store.keepChecksumKeys(
    tokens.peppers.map(pepper => ({ id: pepper.id, key: checksumKeyOf(pepper) })),
  );
  if (kept.kind === 'kept') return kept.keys;
  const why = `tokens.peppers: "${kept.id}" has another key than the one that this store knows by that id`;
  throw new ConfigurationRefused([`${why}; a new key needs an id of its own, in front of the old one`]);
}

/** Declared tokens have owners that exist, and ids that the store has not given to somebody else. */
export async function refuseDeclared(config: Config, store: TokenStore): Promise<void> {
  const owners = new Set(config.tokens.declared.flatMap(({ owner }) => (owner === null ? [] : [owner])));
  const known = new Set<string>();
  for (const owner of owners) {
    const account = await store.getAccount(owner);
    if (account !== null && !account.deleted) known.add(owner);
  }
  const lines = missingOwners(config, known);
  for (const { id, declaredAt } of config.tokens.declared) {
    if ((await store.getToken(id)) === null) continue;
    lines.push(`${declaredAt}: the store has another token with the id ${id}; allowed: an id of its own`);
  }
  if (lines.length > 0) throw new ConfigurationRefused(lines);
}
