import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Files that have a process to themselves: those that start the program, and those that look at what their own process
 * holds or hears. All others share processes, so that each module is loaded once and stays fast: they leave nothing behind.
 */
const alone = ['test/e2e/**/*.test.ts', 'test/hostile/{hygiene,runtime,aborts,kept-refusals,secrecy}.test.ts'];

const everything = ['test/**/*.test.ts'];
const elsewhere = ['test/bench/**', 'test/**/*.long.test.ts'];

/** Where an earlier run says nothing of durations, the larger files come first: these are small, and long. */
const long = /\/test\/(?:contract\/|hostile\/(?:redis-|slow-clients|cardinality|splits))/;

/** What takes longest is not left to the end, where one process would work and the others would be idle. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ project, moduleId }: TestSpecification): number =>
      project.name === 'alone' ? 0 : long.test(moduleId) ? 1 : 2;
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

/** Every test that runs on every submission. Files run in parallel processes; each brings its own ports and folders. */
export default defineConfig({
  test: {
    pool: 'forks',
    // One for each processor of a small machine. Much of the time is spent waiting for programs to start and end.
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    // Whatever starts here, test processes, programs and threads, finds what an earlier one has compiled.
    env: { NODE_COMPILE_CACHE: fileURLToPath(new URL('node_modules/.cache/compile', import.meta.url)) },
    // What is waited for comes at once, but for a busy machine.
    expect: { poll: { interval: 25, timeout: 15_000 } },
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 10_000,
    reporters: process.env['CI'] ? ['dot'] : ['default'],
    projects: [
      { extends: true, test: { name: 'alone', include: alone, exclude: elsewhere } },
      {
        extends: true,
        test: { name: 'shared', include: everything, exclude: [...elsewhere, ...alone], isolate: false },
      },
    ],
  },
});
