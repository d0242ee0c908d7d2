import { lua, script } from '../script.ts';
import { unmoved } from './prelude.ts';

/**
 * Adds a part of a report to one token. KEYS[1] is its total, from whose name the others follow. ARGV: process, number of
 * the report, place of the part's first entry, 1 for the last part, the caller's time, milliseconds that hours, days and
 * the numbers of reports are kept, days that lie together, entries in JSON: hour and day since the epoch, last use,
 * counts by name.
 *
 * A part that was added before, or that belongs to an older report, changes nothing, so that a report can be sent again
 * from its beginning, whatever became of it.
 */
export const addUsage = script(
  'frees',
  lua`
local total = KEYS[1]
local base = string.sub(total, 1, -6)
${unmoved}local process, last = ARGV[1], ARGV[4] == '1'
local number, from, now = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[5])
local keepHours, keepDays, keepReports, together = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local entries = cjson.decode(ARGV[10])
local day = 86400000

local reports = base .. 'reports'
local known, added = string.match(redis.call('HGET', reports, process) or '', '^(%d+) (%S+)')
known = tonumber(known)
if known and number < known then return 0 end
if (known == number and tonumber(added) or 0) ~= from then return 0 end

local function add(key, place, counts, used)
  for name, count in pairs(counts) do redis.call('HINCRBY', key, place .. name, string.format('%.0f', count)) end
  local before = tonumber(redis.call('HGET', key, place .. 'l')) or 0
  redis.call('HSET', key, place .. 'l', string.format('%.0f', math.max(before, used)))
end
local function addUntil(ends, key, place, counts, used)
  if ends <= now then return end
  add(key, place, counts, used)
  redis.call('PEXPIRE', key, string.format('%.0f', ends - now))
end
for _, entry in ipairs(entries) do
  local hour, today, used, counts = unpack(entry)
  local stretch = math.floor(today / together)
  add(total, '', counts, used)
  addUntil((today + 1) * day + keepHours, base .. 'h:' .. today, hour .. ' ', counts, used)
  addUntil((stretch + 1) * together * day + keepDays, base .. 'd:' .. stretch, today .. ' ', counts, used)
end

redis.call('HSET', reports, process, ARGV[2] .. ' ' .. (last and '-1' or from + #entries) .. ' ' .. ARGV[5])
redis.call('PEXPIRE', reports, ARGV[8])
if redis.call('HLEN', reports) > 64 then
  local all = redis.call('HGETALL', reports)
  for i = 1, #all, 2 do
    if tonumber(string.match(all[i + 1], '%S+$')) < now - keepReports then redis.call('HDEL', reports, all[i]) end
  end
end
return 1
`,
);
