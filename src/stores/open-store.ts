import type { Clock } from '../ports/clock.ts';
import { openEmbeddedStore } from './embedded/open.ts';
import type { Store, StoreWatcher } from './store.ts';

export { StoreInUse, StoreVersionUnknown } from './embedded/faults.ts';
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

/** Which store, by its kind. */
export type StoreSettings = EmbeddedSettings;

/**
 * Opens the store that the settings name: the only switch on a backend's name. Rejects when it cannot be opened:
 * with `StoreInUse` or `StoreVersionUnknown` when trying again is in vain, else with `StoreUnavailable`.
 */
export function openStore(settings: StoreSettings, clock: Clock, watcher?: StoreWatcher): Promise<Store> {
  switch (settings.kind) {
    case 'embedded': {
      const { path: folder, deadlineMs, mutationDeadlineMs } = settings;
      return openEmbeddedStore({ folder, clock, deadlineMs, mutationDeadlineMs, ...(watcher && { watcher }) });
    }
  }
}
