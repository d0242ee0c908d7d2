import type { Files } from './files.ts';
import type { Problems } from './problems.ts';
import type { Env } from './substitute.ts';

/** What the sections of a configuration are read with. */
export interface Context {
  readonly problems: Problems;
  readonly files: Files;
  readonly env: Env;
  /** Wall clock: for warnings of what has expired. */
  readonly now: number;
}
