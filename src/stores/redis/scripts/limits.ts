import { lua } from '../script.ts';

/**
 * The rules of `core/limit.ts`, `core/ledger.ts` and `core/limit-book.ts` once more, for scripts. A contract suite and
 * replayed traces hold both to one meaning; whoever changes one changes the other.
 *
 * What is kept is text, with numbers of 17 digits: a double that is written so is read as the same double. Under
 * `…:limits` lies the head, `<version> <clock>` and a line for each limit, `<max> <burst> <per> <algorithm> <ledger>`.
 * Under `…:limit:<ledger>:<label>` lies a ledger: its numbers in the order of `fields`, and a line for each lease,
 * `<process>` and its numbers.
 */

/** Windows and definitions. Takes `now`, the store's time in milliseconds. */
export const limitBooks: string = lua`
local function num(value) return string.format('%.17g', value) end
local lengths = { ['1s'] = 1000, ['1m'] = 60000, ['1h'] = 3600000, ['1d'] = 86400000 }
local function paceOf(per) return lengths[per] or 2592000000 end

-- The first day of the month that a day since the epoch lies in, by the days of years that begin in March.
local function monthOf(day)
  local z = day + 719468
  local doe = z - math.floor(z / 146097) * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  return day - (doy - math.floor((153 * math.floor((5 * doy + 2) / 153) + 2) / 5))
end

local function windowAt(limit, at)
  if limit.algorithm == 'bucket' or limit.per == 'lifetime' then return { label = 0 } end
  if limit.per == '1mo' then
    local first = monthOf(math.floor(at / 86400000))
    return { label = first * 86400000, ends = monthOf(first + 31) * 86400000 }
  end
  local length = lengths[limit.per]
  local label = math.floor(at / length) * length
  return { label = label, ends = label + length }
end

local function keptMs(limit) return limit.per == '1s' and 60000 or 3600000 end

local function parseLimits(text)
  local limits = {}
  for max, burst, per, algorithm, ledger in string.gmatch(text, '(%S+) (%S+) (%S+) (%S+) ([^\n]*)\n') do
    limits[#limits + 1] = { max = tonumber(max), burst = tonumber(burst), per = per, algorithm = algorithm, ledger = ledger }
  end
  return limits
end

-- What the head under a subject's key and the given definitions come to, and the definitions that were kept. Neither version nor
-- clock goes back.
local function headAfter(key, version, text)
  local kept = redis.call('GET', key)
  if not kept then return { version = version, text = text, clock = now }, nil end
  local known, seen, lines = string.match(kept, '^(%S+) (%S+)\n(.*)$')
  local before = { version = tonumber(known), text = lines, clock = math.max(tonumber(seen), now) }
  if version and (version > before.version or (version == 0 and before.version == 0)) then
    return { version = version, text = text, clock = before.clock }, lines
  end
  return before, lines
end
local function keepHead(key, head)
  redis.call('SET', key, num(head.version) .. ' ' .. num(head.clock) .. '\n' .. head.text)
end

local function windowKey(head, ledger, label)
  return string.sub(head, 1, -2) .. ':' .. ledger .. ':' .. num(label)
end
local function limitOf(limits, ledger)
  for _, limit in ipairs(limits) do if limit.ledger == ledger then return limit end end
end

-- The limit that a ledger is of, and whether it is defined. Of one that is no more nothing is granted.
local algorithms = { window = true, bucket = true }
local function definedOrFormer(limits, ledger)
  local limit = limitOf(limits, ledger)
  if limit then return limit, true end
  local per, algorithm = string.match(ledger, '^.+:([^:]+):([^:]+)$')
  if not per or not algorithms[algorithm] or not (lengths[per] or per == '1mo' or per == 'lifetime') then return nil end
  return { max = 0, burst = 0, per = per, algorithm = algorithm, ledger = ledger }, false
end

local function publish(channel, kind, head, ledger, label, recall)
  local about = { kind, string.match(head, '{([^{}]*)}:limits$'), num(label), num(recall), ledger }
  -- What was written counts even where nobody may publish it: requests that wait ask again with the next tick of their
  -- process. But a refusal is remembered until its window ends, or its process hears otherwise.
  redis.pcall('PUBLISH', channel, table.concat(about, ' '))
end
`;

/** Ledgers, and one step of the protocol. */
export const limitLedgers: string = lua`
local fields = { 'generation', 'settled', 'lost', 'waived', 'level', 'at', 'recall', 'awaited', 'closedUntil' }
local leaseFields = { 'number', 'granted', 'returned', 'spent', 'overdrawn', 'answered', 'seen', 'gone' }
local keepMs, bucketLifeMs, closedMs, tolerance = 3600000, 2000, 5000, 1e-9

-- Leases are a list in the order in which they came, and found by process.
local function emptyLedger(at)
  return {
    generation = 0, settled = 0, lost = 0, waived = 0, level = 0, at = at, recall = 0, awaited = 0, closedUntil = 0,
    order = {}, leases = {},
  }
end

local function parseLedger(text)
  local ledger = { order = {}, leases = {} }
  local first, rest = string.match(text, '^([^\n]*)\n(.*)$')
  local i = 0
  for value in string.gmatch(first, '%S+') do
    i = i + 1
    ledger[fields[i]] = tonumber(value)
  end
  for process, numbers in string.gmatch(rest, '(%S+) ([^\n]*)\n') do
    local lease, n = {}, 0
    for value in string.gmatch(numbers, '%S+') do
      n = n + 1
      lease[leaseFields[n]] = tonumber(value)
    end
    ledger.order[#ledger.order + 1] = process
    ledger.leases[process] = lease
  end
  return ledger
end

local function keepLedger(key, ledger, ends, limit)
  local parts = {}
  for i, name in ipairs(fields) do parts[i] = num(ledger[name]) end
  local lines = { table.concat(parts, ' ') }
  for _, process in ipairs(ledger.order) do
    local lease, numbers = ledger.leases[process], { process }
    for i, name in ipairs(leaseFields) do numbers[i + 1] = num(lease[name]) end
    lines[#lines + 1] = table.concat(numbers, ' ')
  end
  local text = table.concat(lines, '\n') .. '\n'
  if ends then redis.call('SET', key, text, 'PXAT', string.format('%.0f', ends + keptMs(limit)))
  else redis.call('SET', key, text) end
end

local function findLedger(key)
  local text = redis.call('GET', key)
  return text and parseLedger(text) or nil
end

local function outOf(lease) return lease.granted - lease.returned - lease.spent end

local function sums(ledger)
  local spent, leased, burned = ledger.settled - ledger.waived, 0, ledger.lost
  for _, process in ipairs(ledger.order) do
    local lease = ledger.leases[process]
    spent = spent + lease.spent + lease.overdrawn
    if lease.gone > 0 then burned = burned + outOf(lease) else leased = leased + outOf(lease) end
  end
  return spent, leased, burned
end

local function capacityOf(limit) return limit.algorithm == 'bucket' and limit.burst or limit.max end

local function free(ledger, limit)
  local spent, leased, burned = sums(ledger)
  return capacityOf(limit) - leased - burned - (limit.algorithm == 'bucket' and ledger.level or spent)
end
local function remainingOf(ledger, limit) return math.max(0, math.floor(free(ledger, limit) + tolerance)) end
local function usedOf(ledger, limit)
  local spent, _, burned = sums(ledger)
  return burned + (limit.algorithm == 'bucket' and math.ceil(ledger.level - tolerance) or spent)
end

-- What time has done. Changes the ledger in place, as all that follows.
local function pass(ledger, limit)
  if clock <= ledger.at then return end
  local bucket = limit.algorithm == 'bucket' and limit.per ~= 'lifetime'
  if bucket then ledger.level = math.max(0, ledger.level - ((clock - ledger.at) * limit.max) / paceOf(limit.per)) end
  local order = {}
  for _, process in ipairs(ledger.order) do
    local lease = ledger.leases[process]
    local absence = lease.gone == 0 and 0 or clock - lease.gone
    if absence > keepMs then
      ledger.settled = ledger.settled + (lease.spent + lease.overdrawn)
      if bucket then ledger.level = ledger.level + outOf(lease) else ledger.lost = ledger.lost + outOf(lease) end
      ledger.leases[process] = nil
    else
      if bucket and absence > 2 * bucketLifeMs and outOf(lease) > 0 then
        ledger.level = ledger.level + outOf(lease)
        lease.number, lease.returned = lease.number + 1, lease.granted - lease.spent
      end
      order[#order + 1] = process
    end
  end
  ledger.order, ledger.at = order, clock
end

local function burn(ledger, roll)
  local burned = 0
  for _, process in ipairs(ledger.order) do
    local lease = ledger.leases[process]
    if lease.gone == 0 and lease.seen < roll.at and not roll.live[process] then
      lease.gone = clock
      burned = burned + outOf(lease)
    end
  end
  return burned
end

local function mayReturn(ledger, process, recall)
  for _, other in ipairs(ledger.order) do
    local lease = ledger.leases[other]
    if other ~= process and lease.gone == 0 and outOf(lease) > 0 and lease.answered < recall then return true end
  end
  return false
end

-- Answers the step's answer, and what others have to hear of, if anything.
local function exchange(ledger, limit, window, claim, roll, processes)
  local awaitedBefore = ledger.awaited
  local known = ledger.leases[claim.process]
  local answeredBefore = known and known.answered or 0
  pass(ledger, limit)
  local lease = ledger.leases[claim.process]
  local joins = not lease
  if joins then lease = { number = 0, granted = 0, returned = 0, spent = 0, overdrawn = 0, answered = 0 } end
  local freeBefore = free(ledger, limit)
  lease.seen, lease.gone = clock, 0
  if joins then
    ledger.leases[claim.process] = lease
    ledger.order[#ledger.order + 1] = claim.process
  end

  local excess = 0
  local other = claim.granted ~= lease.granted or claim.returned ~= lease.returned
  if claim.number > lease.number or (claim.number == lease.number and other) then
    lease.number, lease.granted, lease.returned = claim.number, claim.granted, claim.returned
    lease.spent = math.min(lease.spent, claim.granted - claim.returned)
    ledger.closedUntil = clock + closedMs
    excess = math.max(0, -free(ledger, limit)) - math.max(0, -freeBefore)
  end

  local reported = math.max(lease.spent, math.min(claim.spent, lease.granted - lease.returned))
  local overdrawn = math.max(lease.overdrawn, claim.overdrawn)
  if limit.algorithm == 'bucket' then
    ledger.level = ledger.level + (reported - lease.spent) + (overdrawn - lease.overdrawn)
  end
  lease.spent, lease.overdrawn = reported, overdrawn

  local current = claim.number == lease.number
  if current then
    local back = math.min(claim.back, outOf(lease))
    if back > 0 then lease.number, lease.returned = lease.number + 1, lease.returned + back end
    lease.answered = math.max(lease.answered, math.min(claim.answered, ledger.recall))
  end

  local burned = roll and burn(ledger, roll) or 0
  local remaining = remainingOf(ledger, limit)
  local share = math.floor(remaining / (4 * processes))

  local verdict, asks = 'granted', false
  local ended = window.ends and clock >= window.ends
  if clock < ledger.closedUntil or ended then
    if claim.need > 0 then verdict = 'closed' end
  elseif current then
    local size = math.max(claim.need, math.min(claim.want, share))
    if size > 0 and size <= remaining then
      lease.number, lease.granted = lease.number + 1, lease.granted + size
      remaining = remainingOf(ledger, limit)
    elseif claim.need > 0 then
      local recall = claim.recalled > 0 and math.min(claim.recalled, ledger.recall) or ledger.recall + 1
      verdict = mayReturn(ledger, claim.process, recall) and 'waiting' or 'refused'
      asks = verdict == 'waiting' and claim.recalled == 0
      ledger.recall, ledger.awaited = math.max(recall, ledger.recall), 1
    end
  elseif claim.need > 0 then
    verdict = 'stale'
  end

  -- It has got nothing. Should it come again, it is an old one.
  local binds = claim.need > 0 or claim.want > 0 or claim.doubtful == 1
  if current and binds and lease.number == claim.number then lease.number = lease.number + 1 end

  local told = verdict == 'waiting' or verdict == 'refused'
  local news = awaitedBefore == 1 and free(ledger, limit) > freeBefore
  if news and not told then ledger.awaited = 0 end
  local heard = awaitedBefore == 1 and not told and not news and lease.answered > answeredBefore
  local numbers = {
    lease.number, lease.granted, lease.returned, lease.spent, lease.overdrawn, lease.answered, ledger.generation,
    ledger.recall, remaining, usedOf(ledger, limit), remaining < 4 * processes and 1 or 0, news and 1 or 0,
    heard and 1 or 0, burned, excess,
  }
  for i, value in ipairs(numbers) do numbers[i] = num(value) end
  return verdict .. ' ' .. table.concat(numbers, ' '), asks and 'recall', news and 'news' or heard and 'heard'
end
`;

/** The store's time, in milliseconds: `now` as a number, `time` as TIME says it. */
export const storeTime: string = lua`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local clock = now
`;

/**
 * How scripts about limits begin. ARGV[1] is the store's identity and KEYS[1] the key that has it, where both lie on one
 * server; else ARGV[1] is empty, and all keys are of one slot. The first of a subject's keys is its head.
 */
export const limitsBegin: string = lua`
local first = 1
if ARGV[1] ~= '' then
  local born = redis.call('HMGET', KEYS[1], 'identity', 'epoch')
  if born[1] ~= ARGV[1] or not born[2] then return redis.error_reply('LOST identity') end
  first = 2
elseif type(redis.pcall('EXISTS', KEYS[1] .. ':none')) == 'table' then
  return redis.error_reply('TRYAGAIN the slot is moving')
end
`;

/** Changes go on so. ARGV[2] is a deadline on this server's clock, empty for none. */
export const limitsTimely: string = lua`
if ARGV[2] ~= '' and now >= tonumber(ARGV[2]) then return { num(now), 'late' } end
`;
