import { lua, script } from '../script.ts';
import { records, sourced } from './prelude.ts';

/** Answers the epoch, the feed's last number, and the checksum keys as key and id. */
export const dumpHead = script(
  'reads',
  sourced,
  lua`return { born[2] or '', tonumber(redis.call('HGET', meta, 'seq')) or 0, redis.call('LRANGE', base .. 'peppers', 0, -1) }`,
);

/**
 * A page of documents in the order of creation. ARGV from 2: token or account, the place after which to begin, most of
 * them. Answers the place that was reached, whether there may be more, and ids and documents in turn.
 */
export const dumpDocuments = script(
  'reads',
  sourced,
  records,
  lua`
local of, after, most = ARGV[2], ARGV[3], tonumber(ARGV[4])
local sets = of == 'token' and { 'state:enabled', 'state:disabled', 'state:revoked' } or { 'accounts', 'gone' }
local entries, bound = {}, math.huge
for _, name in ipairs(sets) do
  local found = redis.call('ZRANGE', base .. name, '(' .. after, '+inf', 'BYSCORE', 'LIMIT', 0, most, 'WITHSCORES')
  for i = 1, #found, 2 do entries[#entries + 1] = { tonumber(found[i + 1]), found[i] } end
  -- Beyond the last one of a full page, entries of this set may be missing between those of another.
  if #found == 2 * most then bound = math.min(bound, tonumber(found[#found])) end
end
table.sort(entries, function(a, b) return a[1] < b[1] end)
local rows, reached, more = {}, tonumber(after), bound < math.huge and 1 or 0
for _, entry in ipairs(entries) do
  if entry[1] > bound then break end
  if #rows >= 2 * most then more = 1 break end
  local doc
  if of == 'token' then
    local value = redis.call('GET', base .. 'token:' .. entry[2])
    doc = value and parseToken(value).doc
  else
    local account = accountOf(entry[2])
    doc = account and account.doc
  end
  if not doc then return redis.error_reply('TORN ' .. of) end
  rows[#rows + 1], rows[#rows + 2] = entry[2], doc
  reached = entry[1]
end
return { reached, more, rows }
`,
);

/**
 * A page of roles. ARGV from 2: `live` or `gone`; the place, or the id, after which to begin, or nothing; most of them.
 * Answers id, place or nothing, and document in turn.
 */
export const dumpRoles = script(
  'reads',
  sourced,
  records,
  lua`
local which, after, most = ARGV[2], ARGV[3], ARGV[4]
local found
if which == 'live' then
  found = redis.call('ZRANGE', base .. 'roles', '(' .. (after == '' and 0 or after), '+inf', 'BYSCORE', 'LIMIT', 0, most, 'WITHSCORES')
else
  local ids = redis.call('ZRANGE', base .. 'roles-gone', after == '' and '-' or '(' .. after, '+', 'BYLEX', 'LIMIT', 0, most)
  found = {}
  for _, id in ipairs(ids) do found[#found + 1], found[#found + 2] = id, '' end
end
local rows = {}
for i = 1, #found, 2 do
  local role = roleOf(found[i])
  if not role then return redis.error_reply('TORN role') end
  rows[#rows + 1], rows[#rows + 2], rows[#rows + 3] = found[i], found[i + 1], role.doc
end
return rows
`,
);

/**
 * Events of several subjects. ARGV from 2: token, account or role, how many events to leave out, most of them for each, the
 * ids. Answers a list for each, as they are kept.
 */
export const dumpEvents = script(
  'reads',
  sourced,
  lua`
local found = {}
for i = 5, #ARGV do
  found[#found + 1] = redis.call('LRANGE', base .. 'audit:' .. ARGV[2] .. ':' .. ARGV[i], ARGV[3], ARGV[3] + ARGV[4] - 1)
end
return found
`,
);

/** ARGV from 2: keys of idempotency records. Answers token, body and end of each. */
export const dumpCreations = script(
  'reads',
  sourced,
  lua`
local found = {}
for i = 2, #ARGV do found[i - 1] = redis.call('HMGET', base .. 'once:' .. ARGV[i], 'token', 'body', 'ends') end
return found
`,
);

/**
 * What came after a position of the feed. ARGV from 2: epoch and number, most events. Answers `gap`, or the number
 * that was reached, the feed's last one, and for each subject kind, id, its document as it is now, of roles the place,
 * and its events since. Of the order of roles there is none, but all roles follow it. ARGV[5]: what that order is called.
 */
export const dumpChanges = script(
  'reads',
  sourced,
  records,
  lua`
local seq, last = tonumber(ARGV[3]), tonumber(redis.call('HGET', meta, 'seq')) or 0
if (born[2] or '') ~= ARGV[2] or seq > last then return { 'gap' } end
if seq == last then return { seq, last, {} } end
local events = redis.call('XRANGE', base .. 'feed', '(' .. seq .. '-0', '+', 'COUNT', ARGV[4])
if not events[1] or events[1][1] ~= (seq + 1) .. '-0' then return { 'gap' } end
local reached, seen, rows = seq + #events, {}, {}
for _, event in ipairs(events) do
  local members = {}
  for i = 1, #event[2], 2 do members[event[2][i]] = event[2][i + 1] end
  local kind, id = members['k'], members['i']
  if not seen[kind .. ' ' .. id] then
    seen[kind .. ' ' .. id] = true
    local doc, place, moved = nil, '', {}
    if kind == 'token' then
      local value = redis.call('GET', base .. 'token:' .. id)
      doc = value and parseToken(value).doc
    elseif kind == 'role' and id == ARGV[5] then
      doc, moved = '', redis.call('ZRANGE', base .. 'roles', 0, -1, 'WITHSCORES')
    elseif kind == 'role' then
      local role = roleOf(id)
      doc, place = role and role.doc, redis.call('ZSCORE', base .. 'roles', id) or ''
    else
      local account = accountOf(id)
      doc = account and account.doc
    end
    if not doc then return redis.error_reply('TORN ' .. kind) end
    -- The newest events are at the end of the trail: it is read backwards to where the position is.
    local trail, stop, since = base .. 'audit:' .. kind .. ':' .. id, -1, {}
    while stop do
      local part = redis.call('LRANGE', trail, stop - 49, stop)
      stop = #part == 50 and stop - 50 or nil
      for i = #part, 1, -1 do
        local number = tonumber(string.match(part[i], '^%d+'))
        if number <= seq then stop = nil break end
        if number <= reached then table.insert(since, 1, part[i]) end
      end
    end
    local function tell(...) for _, value in ipairs({ ... }) do rows[#rows + 1] = value end end
    tell(kind, id, doc, place, since)
    for i = 1, #moved, 2 do tell(kind, moved[i], roleOf(moved[i]).doc, moved[i + 1], {}) end
  end
end
return { reached, last, rows }
`,
);

/** Answers the text under KEYS[1]. */
export const readText = script('reads', lua`return redis.call('GET', KEYS[1])`);
