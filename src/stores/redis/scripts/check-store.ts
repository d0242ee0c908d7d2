import { lua, script } from '../script.ts';
import { checked } from './prelude.ts';

/** Whether the store is the one that it was; answers its time in milliseconds. */
export const checkStore = script(
  'reads',
  checked,
  lua`
local time = redis.call('TIME')
return time[1] .. string.sub(string.format('%06d', time[2]), 1, 3)
`,
);
