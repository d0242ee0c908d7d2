import { lua } from '../script.ts';

/**
 * How every script of the unit begins. KEYS[1] is the unit's first key, ARGV[1] the identity that the store must have:
 * one that has lost it is never answered from, least of all with "absent".
 */
export const checked: string = lua`
local meta = KEYS[1]
local base = string.sub(meta, 1, -5)
local born = redis.call('HMGET', meta, 'identity', 'epoch')
local epoch = born[2]
if born[1] ~= ARGV[1] or not epoch then return redis.error_reply('LOST identity') end
`;

/** How scripts begin that read a store from end to end: one that is being filled, too, by the mark of who fills it. */
export const sourced: string = lua`
local meta = KEYS[1]
local base = string.sub(meta, 1, -5)
local born = redis.call('HMGET', meta, 'identity', 'epoch', 'importing')
if born[1] ~= ARGV[1] and born[3] ~= ARGV[1] then return redis.error_reply('LOST identity') end
`;

/**
 * Redis moves a slot key by key. A script that begins meanwhile would end in its middle, at the first key that has gone:
 * a key that never was is asked for first, because a server that is losing the slot refuses that. Takes `base`.
 */
export const unmoved: string = lua`
if type(redis.pcall('EXISTS', base .. 'none')) == 'table' then return redis.error_reply('TRYAGAIN the slot is moving') end
`;

/**
 * How every mutation goes on. ARGV[2] is a deadline on the store's clock: a command that lay in a queue or on the wire
 * for longer was given up by its caller, and must not be carried out. Every answer begins with the store's time.
 */
export const timely: string = lua`
local time = redis.call('TIME')
local now = time[1] .. string.sub(string.format('%06d', time[2]), 1, 3)
if tonumber(now) >= tonumber(ARGV[2]) then return { now, 'late' } end
${unmoved}`;

/**
 * Records are a line that scripts read, and the document that they do not. Lua's JSON would not give documents back as
 * they came: it knows no empty list, and no order of members.
 */
export const records: string = lua`
local function given(value) if value ~= cjson.null then return value end end

local function parseToken(value)
  -- Scripts of an earlier schema know fewer marks, or none: they take the rest for a part of the JSON, and fail.
  local seq, marks, line, doc = string.match(value, '^(%d+) (%+*)([^\n]*)\n(.*)$')
  local h = cjson.decode(line)
  return {
    seq = tonumber(seq), doc = doc, schema = 1 + #marks, version = h[1], created = h[2], state = h[3], owner = given(h[4]), kind = h[5],
    name = h[6], expires = given(h[7]), tags = h[8], digests = h[9], ends = given(h[10]),
  }
end

-- Ids in the end of an account's line: the mark before them is none.
local function rolesIn(text) return string.gmatch(text, '%w%S*') end

-- Programs that do not know what was written do not open the store from here on.
local function raise(schema)
  if schema == 1 or schema <= (tonumber(redis.call('HGET', meta, 'schema')) or 1) then return end
  redis.call('HSET', meta, 'schema', schema)
end

-- What an account's line asks for.
local function accountSchema(deleted, ends) return deleted == '+0' and 3 or ends ~= '' and 2 or 1 end

local function accountOf(id)
  local value = id and redis.call('GET', base .. 'account:' .. id)
  if not value then return nil end
  -- Lines without rights end before them, as those of earlier versions do. Scripts of schema 2 fail on one with limits.
  local seq, version, mark, deleted, ids, doc = string.match(value, '^(%d+) (%d+) (%S+) %+?([01])([^\n]*)\n(.*)$')
  local roles = {}
  for role in rolesIn(ids) do roles[#roles + 1] = role end
  return {
    seq = tonumber(seq), version = tonumber(version), mark = tonumber(mark), until_ = mark,
    deleted = deleted == '1', roles = roles, doc = doc,
  }
end

local function accountRecord(place, version, mark, deleted, roles, doc)
  return place .. ' ' .. version .. ' ' .. mark .. ' ' .. deleted .. (roles == '' and '' or ' ' .. roles) .. '\n' .. doc
end

local function parseRole(value)
  local version, deleted, doc = string.match(value, '^(%d+) ([01])\n(.*)$')
  return { version = tonumber(version), deleted = deleted == '1', doc = doc }
end

local function roleOf(id)
  local value = redis.call('GET', base .. 'role:' .. id)
  return value and parseRole(value) or nil
end

-- The documents of an account's roles, in the order of all roles. A request waits for this: few commands, many keys.
-- One that is not there might have taken something away: nothing is answered without it.
local function roleDocs(account)
  local ids, found, docs = account and account.roles or {}, {}, {}
  for first = 1, #ids, 100 do
    local last, keys = math.min(first + 99, #ids), {}
    for i = first, last do keys[#keys + 1] = base .. 'role:' .. ids[i] end
    local places, values = redis.call('ZMSCORE', base .. 'roles', unpack(ids, first, last)), redis.call('MGET', unpack(keys))
    for i, value in ipairs(values) do
      if not places[i] or not value then error({ err = 'TORN role' }) end
      found[#found + 1] = { tonumber(places[i]), keys[i], value }
    end
  end
  table.sort(found, function(a, b) return a[1] < b[1] or a[1] == b[1] and a[2] < b[2] end)
  for i, entry in ipairs(found) do docs[i] = parseRole(entry[3]).doc end
  return docs
end

local function accountDoc(token)
  local account = accountOf(token.owner)
  return account and account.doc or ''
end
`;

/**
 * Writes the feed event and the audit event of a mutation. Called before the mutation's own writes: a script that fails
 * is not undone, and of all that it does only adding to the feed can be refused.
 */
export const journal: string = lua`
local function record(kind, id, version, digests, at, audit, keep, awaited)
  local seq = (tonumber(redis.call('HGET', meta, 'seq')) or 0) + 1
  local micros = time[1] .. string.format('%06d', time[2])
  redis.call('XADD', base .. 'feed', 'MAXLEN', '=', keep, seq .. '-0',
    'p', epoch, 't', micros, 'a', at, 'k', kind, 'i', id, 'v', version, 'd', digests, 'w', awaited)
  redis.call('HSET', meta, 'seq', seq)
  redis.call('RPUSH', base .. 'audit:' .. kind .. ':' .. id, seq .. ' ' .. audit)
  return seq
end
`;

/**
 * What stands at a position of this epoch: `held`, the event that was seen there; `trimmed`, nothing any more; `lost`,
 * nothing yet, or another event. After a loss the same numbers stand for other events, so that one is known by its mark,
 * the time at which it was written; an empty mark is not known.
 */
export const positions: string = lua`
local feed = base .. 'feed'
local last = tonumber(redis.call('HGET', meta, 'seq')) or 0
local function markOf(seq)
  local found = redis.call('XRANGE', feed, seq .. '-0', seq .. '-0')
  return found[1] and found[1][2][4] or ''
end
local function standing(seq, mark)
  if seq > last then return 'lost' end
  if mark == '' then return 'held' end
  local found = markOf(seq)
  if found ~= '' then return found == mark and 'held' or 'lost' end
  local first = redis.call('XRANGE', feed, '-', '+', 'COUNT', 1)[1]
  return first and tonumber(string.match(first[1], '^%d+')) > seq and 'trimmed' or 'lost'
end
`;

/**
 * A token's entries in the sorted sets that lists are read from. Their score is the order of creation, but for those of
 * names and expiry, whose members carry it.
 */
export const indexes: string = lua`
local function each(id, t, visit)
  visit('state:' .. t.state, t.seq, id)
  visit('kind:' .. t.kind, t.seq, id)
  visit('names', 0, t.name .. '\0' .. t.seq .. ' ' .. id)
  if t.expires then visit('expiry', t.expires, t.seq .. ' ' .. id) end
  if t.owner then
    visit('owner:' .. t.owner, t.seq, id)
    if t.state ~= 'revoked' then visit('live:' .. t.owner, t.created, id) end
  end
  for _, tag in ipairs(t.tags) do visit('tag:' .. tag, t.seq, id) end
end

local function index(id, t)
  each(id, t, function(name, score, member) redis.call('ZADD', base .. name, score, member) end)
  for i, digest in ipairs(t.digests) do
    redis.call('SET', base .. 'digest:' .. digest, i == 1 and id or id .. ' ' .. string.format('%.0f', t.ends))
  end
end

local function unindex(id, t)
  each(id, t, function(name, _, member) redis.call('ZREM', base .. name, member) end)
  for _, digest in ipairs(t.digests) do redis.call('DEL', base .. 'digest:' .. digest) end
end

-- One of these digests leads, or once led, to another token.
local function taken(id, digests)
  for _, digest in ipairs(digests) do
    local holder = redis.call('GET', base .. 'digest:' .. digest)
    if holder and string.match(holder, '^%S+') ~= id then return true end
  end
  return false
end
`;
