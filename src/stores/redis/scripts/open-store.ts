import { lua, script } from '../script.ts';

/**
 * Answers the identity and the epoch of what is there, and its schema's version. ARGV: an identity and an epoch for a
 * store that never was, or nothing: then it is not made. One whose data is there and whose identity is not was damaged,
 * or is being filled; it is not made anew.
 */
export const openStore = script(
  'writes',
  lua`
local meta = KEYS[1]
local base = string.sub(meta, 1, -5)
local born = redis.call('HMGET', meta, 'identity', 'epoch', 'schema')
if born[1] and born[2] then return born end
if redis.call('HEXISTS', meta, 'importing') == 1 then return redis.error_reply('HALF filled') end
if born[1] or born[2] or redis.call('EXISTS', base .. 'feed', base .. 'names', base .. 'accounts', base .. 'roles', base .. 'peppers') > 0 then
  return redis.error_reply('LOST identity')
end
if not ARGV[1] then return false end
redis.call('HSET', meta, 'identity', ARGV[1], 'epoch', ARGV[2], 'schema', 1, 'seq', 0)
return { ARGV[1], ARGV[2], '1' }
`,
);
