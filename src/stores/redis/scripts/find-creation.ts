import { lua, script } from '../script.ts';
import { checked } from './prelude.ts';

/** ARGV from 2: the caller's time, then key and body of an idempotency record. Answers the token, and whether the body is the same. */
export const findCreation = script(
  'reads',
  checked,
  lua`
-- Redis ends the record by its own clock, and never earlier than the caller's says.
local made = redis.call('HMGET', base .. 'once:' .. ARGV[3], 'token', 'body', 'ends')
if not made[1] or tonumber(made[3]) <= tonumber(ARGV[2]) then return false end
return { made[1], made[2] == ARGV[4] and 1 or 0 }
`,
);
