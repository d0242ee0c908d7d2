import { lua, script } from '../script.ts';
import { checked, timely } from './prelude.ts';

/** ARGV from 3: pairs of a pepper's id and key. Answers `kept` and every key, or `changed` and an id. */
export const keepChecksumKeys = script(
  'writes',
  checked,
  timely,
  lua`
local peppers = base .. 'peppers'
local known, all = {}, {}
for _, line in ipairs(redis.call('LRANGE', peppers, 0, -1)) do
  local key, id = string.match(line, '^(%S+) (.*)$')
  known[id] = key
  all[#all + 1] = key
end
local added = {}
for i = 3, #ARGV, 2 do
  local id, key = ARGV[i], ARGV[i + 1]
  if known[id] and known[id] ~= key then return { now, 'changed', id } end
  if not known[id] then
    added[#added + 1] = key .. ' ' .. id
    all[#all + 1] = key
  end
  known[id] = key
end
for _, line in ipairs(added) do redis.call('RPUSH', peppers, line) end
return { now, 'kept', all }
`,
);
