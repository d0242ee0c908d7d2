import { lua, script } from '../script.ts';
import { checked, positions, timely } from './prelude.ts';

/**
 * Live processes are two keys: until when each is live, in order, so that those that have stopped beating are found
 * without looking at the others; and what each has said. Both end with the last of them.
 */
const roster: string = lua`
local ends, said = base .. 'live-until', base .. 'processes'
`;

/**
 * ARGV from 3: process, milliseconds that it is live from now, epoch, number and mark of its position. A position that
 * this feed does not have, because changes were lost, is kept without its epoch: it acknowledges nothing.
 */
export const beat = script(
  'frees',
  checked,
  timely,
  positions,
  roster,
  lua`
local process, cutOff, seq = ARGV[3], ARGV[4], tonumber(ARGV[6])
local known = ARGV[5] == epoch and standing(seq, ARGV[7]) ~= 'lost'
for _, gone in ipairs(redis.call('ZRANGE', ends, '-inf', now, 'BYSCORE')) do
  redis.call('ZREM', ends, gone)
  redis.call('HDEL', said, gone)
end
redis.call('ZADD', ends, string.format('%.0f', tonumber(now) + tonumber(cutOff)), process)
redis.call('HSET', said, process, (known and epoch or '-') .. ' ' .. ARGV[6] .. ' ' .. cutOff)
local latest = tonumber(redis.call('ZRANGE', ends, 0, 0, 'REV', 'WITHSCORES')[2])
for _, key in ipairs({ ends, said }) do redis.call('PEXPIREAT', key, string.format('%.0f', latest)) end
return { now }
`,
);

/** ARGV[3] is the process. */
export const signOff = script(
  'frees',
  checked,
  timely,
  roster,
  lua`
redis.call('ZREM', ends, ARGV[3])
redis.call('HDEL', said, ARGV[3])
return { now }
`,
);

/** Answers the time, then each live process and what it has said: epoch or `-`, number, milliseconds. */
export const roll = script(
  'reads',
  checked,
  roster,
  lua`
local time = redis.call('TIME')
local now = time[1] .. string.sub(string.format('%06d', time[2]), 1, 3)
local found = { now }
local live = redis.call('ZRANGE', ends, '(' .. now, '+inf', 'BYSCORE', 'WITHSCORES')
for i = 1, #live, 2 do
  found[#found + 1] = live[i]
  -- Without what it has said, it has acknowledged nothing, and is live for as long as that is known.
  found[#found + 1] = redis.call('HGET', said, live[i]) or '- 0 ' .. string.format('%.0f', live[i + 1] - now)
end
return found
`,
);
