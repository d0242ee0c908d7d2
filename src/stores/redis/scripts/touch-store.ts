import { lua, script } from '../script.ts';
import { checked, timely } from './prelude.ts';

/** Writes, so that whoever waits until it is confirmed knows that all that came before it is, too. */
export const touchStore = script(
  'frees',
  checked,
  timely,
  lua`
redis.call('HSET', meta, 'touched', now)
return { now, 'done' }
`,
);
