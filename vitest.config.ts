import { defineConfig } from 'vitest/config';

/** Every test that runs on every submission. Files run in parallel processes; each brings its own ports and folders. */
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/bench/**', 'test/**/*.long.test.ts'],
    pool: 'forks',
    // One for each processor of a small machine. Much of the time is spent waiting for programs to start and end.
    maxWorkers: 2,
    // What is waited for comes at once, but for a busy machine.
    expect: { poll: { interval: 25, timeout: 15_000 } },
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 10_000,
    reporters: process.env['CI'] ? ['dot'] : ['default'],
  },
});
