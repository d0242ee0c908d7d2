import { type Found, Snapshot } from './cache/snapshot/snapshot.ts';
import type { Config } from './config/config.ts';
import type { Clock } from './ports/clock.ts';
import { sealKeyOf } from './secrets/peppers.ts';
import type { Logger } from './telemetry/log.ts';

export interface OpenedSnapshot {
  readonly snapshot: Snapshot;
  readonly found: Found | null;
}

/** What seals a snapshot, first, and what may have sealed it. */
export const sealKeysOf = ({ tokens }: Config): Buffer[] => tokens.peppers.map(sealKeyOf);

/** Opens the snapshot's folder, where one is configured. Rejects when it cannot be written to. */
export async function openSnapshot(
  config: Config,
  process: string,
  clock: Clock,
  logger: Logger,
): Promise<OpenedSnapshot | null> {
  const settings = config.outage.snapshot;
  if (settings === null) return null;
  const { folder } = settings;
  const { snapshot, found, refused } = await Snapshot.open(folder, process, sealKeysOf(config), clock).catch(
    (error: Error) => {
      throw new Error(`outage.snapshot: ${folder} cannot be used: ${error.message}`, { cause: error });
    },
  );
  if (refused !== null) logger.warn({ folder, why: refused }, 'the snapshot is not used');
  else if (found !== null) {
    const age = Math.round((clock.monotonic() - found.recall.proven.monotonic) / 1000);
    logger.info({ folder, tokens: found.recall.size, age_s: age }, 'a snapshot was found');
  }
  return { snapshot, found };
}
