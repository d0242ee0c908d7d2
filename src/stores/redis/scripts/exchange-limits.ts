import { lua, type Script, type ScriptKind, script } from '../script.ts';
import { limitBooks, limitLedgers, limitsBegin, limitsTimely, storeTime } from './limits.ts';

const start = [storeTime, limitBooks, limitsBegin] as const;

/**
 * Answers processes' questions, each subject whole. ARGV from 3: channel of notices, number of processes, the roll
 * (its time and who is live, or nothing), then for each subject version, definitions, number of claims and the claims:
 * `<label or -> <process> <number> <granted> <returned> <spent> <overdrawn> <back> <need> <want> <answered> <recalled> <doubtful> <ledger>`.
 *
 * Answers the time and `done`, then for each subject `<now> <behind> <version>` and for each claim nothing, or
 * `<label> <end or -> <capacity or -> <verdict> <numbers>`.
 */
const body: string = lua`
local channel, processes, roll = ARGV[3], tonumber(ARGV[4]), nil
if ARGV[5] ~= '' then
  roll = { live = {} }
  for word in string.gmatch(ARGV[5], '%S+') do
    if roll.at then roll.live[word] = true else roll.at = tonumber(word) end
  end
end

local claimFields = { 'number', 'granted', 'returned', 'spent', 'overdrawn', 'back', 'need', 'want', 'answered', 'recalled', 'doubtful' }
local claimForm = '^(%S+) (%S+) (' .. string.rep('%S+ ', #claimFields) .. ')(.*)$'
local function parseClaim(text)
  local label, process, numbers, ledger = string.match(text, claimForm)
  local claim, i = { process = process, label = label ~= '-' and tonumber(label) or nil, ledger = ledger }, 0
  for value in string.gmatch(numbers, '%S+') do
    i = i + 1
    claim[claimFields[i]] = tonumber(value)
  end
  return claim
end

local answers = { num(now), 'done' }
local at = 6
for k = first, #KEYS do
  local key = KEYS[k]
  local head = headAfter(key, tonumber(ARGV[at]), ARGV[at + 1])
  clock = head.clock
  local limits, held, notices = parseLimits(head.text), {}, {}
  local answer = { num(clock) .. ' ' .. num(math.max(0, clock - now)) .. ' ' .. num(head.version) }
  local count = tonumber(ARGV[at + 2])
  for i = 1, count do
    local claim = parseClaim(ARGV[at + 2 + i])
    local limit, defined = definedOrFormer(limits, claim.ledger)
    answer[i + 1] = ''
    if limit then
      local current = windowAt(limit, clock)
      local window = claim.label and windowAt(limit, claim.label) or current
      local name = windowKey(key, limit.ledger, window.label)
      local entry = held[name]
      local ledger = entry and entry.ledger or findLedger(name)
      local open = window.label == current.label or (current.ends and window.label == windowAt(limit, current.ends).label)
      if ledger or (open and defined) then
        ledger = ledger or emptyLedger(clock)
        local outcome, recall, other = exchange(ledger, limit, window, claim, roll, processes)
        if not entry then
          entry = { name = name, ledger = ledger, ends = window.ends, limit = limit }
          held[name], held[#held + 1] = entry, entry
        end
        if recall then notices[#notices + 1] = { recall, limit.ledger, window.label, ledger.recall } end
        if other then notices[#notices + 1] = { other, limit.ledger, window.label, ledger.recall } end
        answer[i + 1] = num(window.label) .. ' ' .. (window.ends and num(window.ends) or '-') .. ' ' .. (defined and num(capacityOf(limit)) or '-') .. ' ' .. outcome
      end
    end
  end
  at = at + 3 + count
  for _, entry in ipairs(held) do keepLedger(entry.name, entry.ledger, entry.ends, entry.limit) end
  keepHead(key, head)
  for _, notice in ipairs(notices) do publish(channel, notice[1], key, notice[2], notice[3], notice[4]) end
  answers[#answers + 1] = answer
end
return answers
`;

const exchange = (kind: ScriptKind): Script => script(kind, ...start, limitsTimely, limitLedgers, body);

/** For questions that ask for units. */
export const exchangeLimits: Script = exchange('writes');

/** The same for questions that only report and give back: that must not wait until there is memory again. */
export const settleLimits: Script = exchange('frees');

/**
 * Makes definitions hold. ARGV from 3: channel, version, definitions. Idle units of a limit that was lowered are recalled, in
 * the present window and in the next one; who was refused by one that was raised hears of it.
 */
export const defineLimits = script(
  'frees',
  ...start,
  limitsTimely,
  limitLedgers,
  lua`
local key = KEYS[first]
local head, kept = headAfter(key, tonumber(ARGV[4]), ARGV[5])
keepHead(key, head)
local known = kept and parseLimits(kept) or {}
clock = head.clock
for _, limit in ipairs(parseLimits(head.text)) do
  local old, current = limitOf(known, limit.ledger), windowAt(limit, clock)
  for i = 1, current.ends and 2 or 1 do
    local window = i == 1 and current or windowAt(limit, current.ends)
    local name = windowKey(key, limit.ledger, window.label)
    local ledger = old and findLedger(name)
    if ledger then
      if limit.max < old.max or limit.burst < old.burst then
        ledger.recall = ledger.recall + 1
        keepLedger(name, ledger, window.ends, limit)
        publish(ARGV[3], 'recall', key, limit.ledger, window.label, ledger.recall)
      end
      if limit.max > old.max or limit.burst > old.burst then
        publish(ARGV[3], 'news', key, limit.ledger, window.label, ledger.recall)
      end
    end
  end
end
return { num(now), 'done' }
`,
);

/**
 * What is kept of the present windows. ARGV from 2: version and definitions as the caller knows them. Answers the time, the
 * head, and for each of the definitions that hold the label of its window and its ledger, or nothing.
 */
export const readLimits = script(
  'reads',
  ...start,
  lua`
local key = KEYS[first]
local head = headAfter(key, tonumber(ARGV[2]), ARGV[3])
local found = { num(now), num(head.version) .. ' ' .. num(head.clock) .. '\n' .. head.text }
for _, limit in ipairs(parseLimits(head.text)) do
  local label = windowAt(limit, head.clock).label
  found[#found + 1] = num(label)
  found[#found + 1] = redis.call('GET', windowKey(key, limit.ledger, label)) or ''
end
return found
`,
);

/**
 * Begins the present window of a limit anew. ARGV from 3: channel, ledger. Answers the time and `done`, the head and the
 * ledger as it is now; or `none`.
 */
export const resetLimit = script(
  'frees',
  ...start,
  limitsTimely,
  limitLedgers,
  lua`
local key = KEYS[first]
local head = headAfter(key)
local limit = head.text and limitOf(parseLimits(head.text), ARGV[4])
if not limit then return { num(now), 'none' } end
clock = head.clock
local window = windowAt(limit, clock)
local name = windowKey(key, limit.ledger, window.label)
local ledger = findLedger(name) or emptyLedger(clock)
pass(ledger, limit)
local waived = ledger.settled
for _, process in ipairs(ledger.order) do
  local lease = ledger.leases[process]
  waived = waived + (lease.spent + lease.overdrawn)
end
ledger.generation, ledger.waived, ledger.lost, ledger.level = ledger.generation + 1, waived, 0, 0
keepLedger(name, ledger, window.ends, limit)
keepHead(key, head)
publish(ARGV[3], 'news', key, limit.ledger, window.label, ledger.recall)
return { num(now), 'done', num(head.version) .. ' ' .. num(head.clock) .. '\n' .. head.text, redis.call('GET', name) }
`,
);
