import { lua, script } from '../script.ts';
import { checked, records } from './prelude.ts';

/**
 * One step of a list. ARGV[2] is the query in JSON. The set with the fewest entries leads; the other filters are
 * checked on what it leads to. A step looks at a bounded number of tokens and answers how far it came: the asking side
 * goes on from there, so that nobody waits long behind a list.
 */
export const listTokens = script(
  'reads',
  checked,
  records,
  lua`
local query = cjson.decode(ARGV[2])
local stride, narrow, marksAtMost = 400, 4000, 50

-- Sets in the order of creation: pages are read along them, merged where they are several.
local lead, least
local function offer(names)
  local count = 0
  for _, name in ipairs(names) do count = count + redis.call('ZCARD', base .. name) end
  if not least or count < least then lead, least = names, count end
end
if query.state == 'revoked' then
  -- Tokens under a mark keep their state: they are among the tokens of the owners that have one.
  local names = { 'state:revoked' }
  if redis.call('SCARD', base .. 'marked') <= marksAtMost then
    for _, owner in ipairs(redis.call('SMEMBERS', base .. 'marked')) do names[#names + 1] = 'owner:' .. owner end
    offer(names)
  else
    offer({ 'state:enabled', 'state:disabled', 'state:revoked' })
  end
elseif query.state then offer({ 'state:' .. query.state })
else offer({ 'state:enabled', 'state:disabled' }) end
if query.owner then offer({ 'owner:' .. query.owner }) end
if query.kind then offer({ 'kind:' .. query.kind }) end
if query.tag then offer({ 'tag:' .. query.tag }) end

-- Sets in another order: their entries have to be sorted, and lead only where all of them are at hand.
local members
if query.expiresBefore then
  local below = '(' .. string.format('%.0f', query.expiresBefore)
  local count = redis.call('ZCOUNT', base .. 'expiry', '-inf', below)
  if count < least and count <= narrow then
    least, members = count, redis.call('ZRANGE', base .. 'expiry', '-inf', below, 'BYSCORE')
  end
end
if query.prefix then
  local from, to = '[' .. query.prefix, '[' .. query.prefix .. '\255'
  local count = redis.call('ZLEXCOUNT', base .. 'names', from, to)
  if count < least and count <= narrow then
    least, members = count, redis.call('ZRANGE', base .. 'names', from, to, 'BYLEX')
  end
end

-- Beyond the bound, entries of one set may be missing between those of another.
local entries, bound = {}, math.huge
if members then
  for _, member in ipairs(members) do
    local seq, id = string.match(member, '^.*%z(%d+) (%S+)$')
    if not seq then seq, id = string.match(member, '^(%d+) (%S+)$') end
    seq = tonumber(seq)
    if seq > query.after then entries[#entries + 1] = { seq, id } end
  end
else
  local share = math.max(16, math.floor(stride / #lead))
  for _, name in ipairs(lead) do
    local found = redis.call('ZRANGE', base .. name, '(' .. query.after, '+inf', 'BYSCORE', 'LIMIT', 0, share, 'WITHSCORES')
    for i = 1, #found, 2 do entries[#entries + 1] = { tonumber(found[i + 1]), found[i] } end
    if #found == 2 * share then bound = math.min(bound, entries[#entries][1]) end
  end
end
table.sort(entries, function(a, b) return a[1] < b[1] end)

local accounts = {}
local function ownerOf(token)
  if not token.owner then return nil end
  if accounts[token.owner] == nil then accounts[token.owner] = accountOf(token.owner) or false end
  return accounts[token.owner]
end
local function matches(t)
  local account = ownerOf(t)
  local revoked = t.state == 'revoked' or (account and account.mark and t.created <= account.mark) or false
  if revoked ~= (query.state == 'revoked') then return false end
  if query.state and not revoked and t.state ~= query.state then return false end
  if query.owner and t.owner ~= query.owner then return false end
  if query.kind and t.kind ~= query.kind then return false end
  if query.notKind and t.kind == query.notKind then return false end
  if query.prefix and string.sub(t.name, 1, #query.prefix) ~= query.prefix then return false end
  if query.expiresBefore and not (t.expires and t.expires < query.expiresBefore) then return false end
  if not query.tag then return true end
  for _, tag in ipairs(t.tags) do if tag == query.tag then return true end end
  return false
end

local rows, position, looked = {}, query.after, 0
for _, entry in ipairs(entries) do
  if entry[1] > bound then break end
  if looked == stride or #rows >= 2 * query.wanted then return { position, 1, rows } end
  if entry[1] ~= position then
    position, looked = entry[1], looked + 1
    local value = redis.call('GET', base .. 'token:' .. entry[2])
    local token = value and parseToken(value)
    if token and matches(token) then
      local account = ownerOf(token)
      rows[#rows + 1] = value
      rows[#rows + 1] = account and account.doc or ''
    end
  end
end
return { position, bound < math.huge and 1 or 0, rows }
`,
);
