import { lua, script } from '../script.ts';
import { checked, indexes, records } from './prelude.ts';

/**
 * Whether tokens can be found by everything that they are found by. ARGV from 2: the place after which to begin, most
 * tokens. Answers the place that was reached, whether there may be more, how many tokens were looked at, and what is
 * wrong as text.
 */
export const examineTokens = script(
  'reads',
  checked,
  records,
  indexes,
  lua`
local after, most = ARGV[2], tonumber(ARGV[3])
local entries, bound = {}, math.huge
for _, name in ipairs({ 'state:enabled', 'state:disabled', 'state:revoked' }) do
  local found = redis.call('ZRANGE', base .. name, '(' .. after, '+inf', 'BYSCORE', 'LIMIT', 0, most, 'WITHSCORES')
  for i = 1, #found, 2 do entries[#entries + 1] = { tonumber(found[i + 1]), found[i] } end
  if #found == 2 * most then bound = math.min(bound, tonumber(found[#found])) end
end
table.sort(entries, function(a, b) return a[1] < b[1] end)
local wrong, reached, count, more = {}, tonumber(after), 0, bound < math.huge and 1 or 0
local seen = {}
local function examineOwner(owner)
  if seen[owner] then return end
  seen[owner] = true
  for _, role in ipairs(accountOf(owner).roles) do
    if not redis.call('ZSCORE', base .. 'roles', role) then wrong[#wrong + 1] = 'account ' .. owner .. ' has the role ' .. role .. ', which is not there' end
  end
end
for _, entry in ipairs(entries) do
  if entry[1] > bound then break end
  if count >= most then more = 1 break end
  count, reached = count + 1, entry[1]
  local id = entry[2]
  local value = redis.call('GET', base .. 'token:' .. id)
  local token = value and parseToken(value)
  if not token then wrong[#wrong + 1] = id .. ' has no record'
  else
    if token.seq ~= entry[1] then wrong[#wrong + 1] = id .. ' stands at another place' end
    each(id, token, function(name, score, member)
      local found = redis.call('ZSCORE', base .. name, member)
      if not found or tonumber(found) ~= tonumber(score) then wrong[#wrong + 1] = id .. ' is not in ' .. name end
    end)
    for _, digest in ipairs(token.digests) do
      local holder = redis.call('GET', base .. 'digest:' .. digest)
      if not holder or string.match(holder, '^%S+') ~= id then wrong[#wrong + 1] = id .. ' is not found by its digest' end
    end
    if token.owner and redis.call('EXISTS', base .. 'account:' .. token.owner) == 0 then
      wrong[#wrong + 1] = id .. ' has an owner that is not there'
    elseif token.owner then examineOwner(token.owner) end
    if redis.call('EXISTS', base .. 'audit:token:' .. id) == 0 then wrong[#wrong + 1] = id .. ' has no audit trail' end
  end
end
return { reached, more, count, wrong }
`,
);

/**
 * Whether roles are held by those who have them. ARGV from 2: a role's id, or nothing for what all of them are; the place
 * among its accounts after which to begin, most accounts. Answers what is wrong as text, and what was looked at: ids of
 * roles, or places of accounts.
 */
export const examineRoles = script(
  'reads',
  checked,
  records,
  lua`
local id, after, most = ARGV[2], ARGV[3], ARGV[4]
local wrong, looked = {}, {}
if id == '' then
  for _, name in ipairs({ 'roles', 'roles-gone' }) do
    for _, role in ipairs(redis.call('ZRANGE', base .. name, 0, -1)) do
      local found = roleOf(role)
      if not found then wrong[#wrong + 1] = 'role ' .. role .. ' has no record'
      elseif found.deleted ~= (name == 'roles-gone') then wrong[#wrong + 1] = 'role ' .. role .. ' is in the wrong list'
      elseif redis.call('EXISTS', base .. 'audit:role:' .. role) == 0 then
        wrong[#wrong + 1] = 'role ' .. role .. ' has no audit trail'
      end
      looked[#looked + 1] = role
    end
  end
else
  local found = redis.call('ZRANGE', base .. 'holders:' .. id, '(' .. after, '+inf', 'BYSCORE', 'LIMIT', 0, most, 'WITHSCORES')
  if found[1] and not redis.call('ZSCORE', base .. 'roles', id) then
    wrong[#wrong + 1] = 'role ' .. id .. ' is not there, and accounts have it'
  end
  for i = 1, #found, 2 do
    local account, has = accountOf(found[i]), false
    for _, role in ipairs(account and account.roles or {}) do has = has or role == id end
    if not has then wrong[#wrong + 1] = 'account ' .. found[i] .. ' does not have the role ' .. id end
    looked[#looked + 1] = found[i + 1]
  end
end
return { wrong, looked }
`,
);

/** Answers the feed's last number, how many events are in it, and the ids of its first and last one. */
export const examineFeed = script(
  'reads',
  checked,
  lua`
local feed = base .. 'feed'
local first, last = redis.call('XRANGE', feed, '-', '+', 'COUNT', 1), redis.call('XREVRANGE', feed, '+', '-', 'COUNT', 1)
return {
  tonumber(redis.call('HGET', meta, 'seq')) or 0, redis.call('XLEN', feed), first[1] and first[1][1] or '', last[1] and last[1][1] or '',
  tonumber(redis.call('HGET', meta, 'tokens')) or 0, redis.call('ZCARD', base .. 'accounts'), redis.call('ZCARD', base .. 'gone'), redis.call('ZCARD', base .. 'roles'),
}
`,
);
