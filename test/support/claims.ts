import type { Claim } from '../../src/core/ledger.ts';

/** What a process says that has nothing and wants nothing, but for what is named. */
export const aClaim = (process: string, more: Partial<Claim> = {}): Claim => ({
  process,
  number: 0,
  granted: 0,
  returned: 0,
  spent: 0,
  overdrawn: 0,
  back: 0,
  need: 0,
  want: 0,
  answered: 0,
  recalled: 0,
  ...more,
});
