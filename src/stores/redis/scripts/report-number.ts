import { lua, script } from '../script.ts';

/** Answers the number of the last report that a process has brought to its end. KEYS[1] keeps it. */
export const readReportNumber = script('reads', lua`return redis.call('GET', KEYS[1])`);

/** Keeps a number, if it is the highest, for some milliseconds. ARGV: number, milliseconds. */
export const keepReportNumber = script(
  'frees',
  lua`
local known = tonumber(redis.call('GET', KEYS[1]))
if not known or known < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return 1
`,
);
