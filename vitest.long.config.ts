import { defineConfig } from 'vitest/config';

/** The big numbers, of suites that take them from the environment: an hour on two processors. */
export default defineConfig({
  test: {
    include: [
      'test/contract/limit-traces.test.ts',
      'test/e2e/bound.test.ts',
      'test/e2e/failovers.test.ts',
      'test/e2e/kill.test.ts',
      'test/e2e/many-tokens.test.ts',
      'test/e2e/shutdown.test.ts',
      'test/e2e/snapshot-kills.test.ts',
      'test/hostile/aborts.test.ts',
      'test/hostile/ambiguous-leases.test.ts',
      'test/hostile/back-pressure.test.ts',
      'test/hostile/cardinality.test.ts',
      'test/hostile/paths.test.ts',
      'test/hostile/paused-processes.test.ts',
      'test/model/model.test.ts',
      'test/property/grants.test.ts',
      'test/unit/cache/flood.test.ts',
    ],
    env: {
      POSTERN_LONG: '1',
      POSTERN_KILLS: '5000',
      POSTERN_RESTARTS: '300',
      POSTERN_ABORTS: '100000',
      POSTERN_CUTS: '10000',
      POSTERN_PAUSES: '40',
      POSTERN_STALLED: '1000',
      POSTERN_RECORDS: '10000000',
      POSTERN_PAIRS: '1000000',
      POSTERN_TARGETS: '1000000',
      POSTERN_TOKENS: '1000000',
      POSTERN_TRIALS: '1000',
      POSTERN_GUESSES: '1000000',
      POSTERN_LIMIT_ROUNDS: '400',
      POSTERN_SCHEDULES: '1000000',
      POSTERN_STATES: '1000000',
    },
    pool: 'forks',
    fileParallelism: false,
    // What is waited for comes at once, but for a busy machine.
    expect: { poll: { interval: 25, timeout: 15_000 } },
    testTimeout: 3_600_000,
    hookTimeout: 600_000,
  },
});
