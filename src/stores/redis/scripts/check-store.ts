import { lua, script } from '../script.ts';
import { sourced } from './prelude.ts';

/** Whether the store is the one that it was; answers its time in milliseconds. */
export const checkStore = script(
  'reads',
  sourced,
  lua`
local time = redis.call('TIME')
return time[1] .. string.sub(string.format('%06d', time[2]), 1, 3)
`,
);
