import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EmbeddedStoreOptions, openEmbeddedStore } from '../../src/stores/embedded/open.ts';
import { beginEmbedded } from '../../src/stores/embedded/target.ts';
import type { BeginStore, OpenStore, TestedStore } from '../contract/harness.ts';
import { ManualClock } from './manual-clock.ts';

/** A folder of the test's own. */
export const temporaryFolder = (): string => mkdtempSync(join(tmpdir(), 'postern-store-'));

/** An embedded store in a folder of its own, as the contract suites take it. */
export const openInFolder: OpenStore = options =>
  tested({ ...options, folder: temporaryFolder(), clock: new ManualClock() });

/** A folder that a store is being filled in. */
export const beginInFolder: BeginStore = async () => {
  const folder = temporaryFolder();
  const clock = new ManualClock();
  return {
    target: beginEmbedded(folder, clock),
    again: async () => beginEmbedded(folder, clock),
    open: () => tested({ folder, clock, create: false }),
    dispose: async () => rmSync(folder, { recursive: true, force: true }),
  };
};

async function tested(options: EmbeddedStoreOptions & { readonly clock: ManualClock }): Promise<TestedStore> {
  // A busy test machine is no outage.
  const store = await openEmbeddedStore({ deadlineMs: 10_000, mutationDeadlineMs: 20_000, ...options });
  return {
    ...store,
    clock: options.clock,
    limitTime: async (_, at) => options.clock.stepWall(at - options.clock.wall()),
    reopen: async () => {
      await store.close();
      return tested(options);
    },
    dispose: async () => {
      await store.close();
      rmSync(options.folder, { recursive: true, force: true });
    },
  };
}
