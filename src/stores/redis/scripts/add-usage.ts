import { lua, script } from '../script.ts';
import { unmoved } from './prelude.ts';

/**
 * `addPart` adds a part of a report to one token: its total's key, from whose name the others follow; place of the part's
 * first entry, whether it is the last part, entries in JSON: hour and day since the epoch, last use, counts by name. Takes
 * `process`, `number`, `now`, the caller's time, milliseconds that hours, days and the numbers of reports are kept, and days
 * that lie together.
 *
 * A part that was added before, or that belongs to an older report, changes nothing, so that a report can be sent again
 * from its beginning, whatever became of it.
 */
const adding: string = lua`
local day = 86400000
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
local function addPart(total, from, last, text)
  local base = string.sub(total, 1, -6)
  local entries = cjson.decode(text)
  local reports = base .. 'reports'
  local known, added = string.match(redis.call('HGET', reports, process) or '', '^(%d+) (%S+)')
  known = tonumber(known)
  if known and number < known then return 0 end
  if (known == number and tonumber(added) or 0) ~= from then return 0 end
  for _, entry in ipairs(entries) do
    local hour, today, used, counts = unpack(entry)
    local stretch = math.floor(today / together)
    add(total, '', counts, used)
    addUntil((today + 1) * day + keepHours, base .. 'h:' .. today, hour .. ' ', counts, used)
    addUntil((stretch + 1) * together * day + keepDays, base .. 'd:' .. stretch, today .. ' ', counts, used)
  end
  local reached = string.format('%.0f', number) .. ' ' .. (last and '-1' or from + #entries)
  redis.call('HSET', reports, process, reached .. ' ' .. string.format('%.0f', now))
  redis.call('PEXPIRE', reports, string.format('%.0f', keepReports))
  if redis.call('HLEN', reports) > 64 then
    local all = redis.call('HGETALL', reports)
    for i = 1, #all, 2 do
      if tonumber(string.match(all[i + 1], '%S+$')) < now - keepReports then redis.call('HDEL', reports, all[i]) end
    end
  end
  return 1
end
`;

/** What both scripts are given first: process, number, time, and the four numbers of what is kept. */
const given = (first: number): string =>
  [
    `local process, number, now = ARGV[${first}], tonumber(ARGV[${first + 1}]), tonumber(ARGV[${first + 2}])`,
    `local keepHours, keepDays = tonumber(ARGV[${first + 3}]), tonumber(ARGV[${first + 4}])`,
    `local keepReports, together = tonumber(ARGV[${first + 5}]), tonumber(ARGV[${first + 6}])`,
  ].join('\n');

/**
 * One part of a report, where tokens lie on several servers. KEYS[1] is the token's total. ARGV from 8: place of the
 * part's first entry, 1 for the last part, entries.
 */
export const addUsage = script(
  'frees',
  lua`
local base = string.sub(KEYS[1], 1, -6)
${unmoved}`,
  given(1),
  adding,
  lua`return addPart(KEYS[1], tonumber(ARGV[8]), ARGV[9] == '1', ARGV[10])`,
);

/**
 * Parts of a report of several tokens, where all is on one server: nothing else has to be asked. KEYS: the unit's first
 * key, the process's number of its last report, then the tokens' totals. ARGV: identity, then what all are given, 1 when
 * nothing of the report follows, then for each total place of the part's first entry, 1 for the last part, entries.
 * Answers 0 for a report that was brought to its end before.
 */
export const addReport = script(
  'frees',
  lua`
local born = redis.call('HMGET', KEYS[1], 'identity', 'epoch')
if born[1] ~= ARGV[1] or not born[2] then return redis.error_reply('LOST identity') end
`,
  given(2),
  adding,
  lua`
local ended = tonumber(redis.call('GET', KEYS[2]))
if ended and number <= ended then return 0 end
for i = 3, #KEYS do
  local at = 10 + (i - 3) * 3
  addPart(KEYS[i], tonumber(ARGV[at]), ARGV[at + 1] == '1', ARGV[at + 2])
end
if ARGV[9] == '1' then redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[7]) end
return 1
`,
);
