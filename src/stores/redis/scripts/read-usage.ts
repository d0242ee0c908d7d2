import { lua, script } from '../script.ts';

/** Answers what is counted under each of the keys, as names and numbers. */
export const readUsage = script(
  'reads',
  lua`
local found = {}
for i, key in ipairs(KEYS) do found[i] = redis.call('HGETALL', key) end
return found
`,
);
