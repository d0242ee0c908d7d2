import { lua, script } from '../script.ts';
import { indexes, records, unmoved } from './prelude.ts';

/**
 * How a store is filled. Until `finishFilling` there is no identity, so that nobody takes it for a store. Who fills it is
 * known by a mark, and somebody else takes over only when nothing was written for a while.
 */

const now: string = lua`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`;

/**
 * KEYS[1] is the unit's first key. ARGV: a mark, milliseconds after which a silent one is given up. Answers `begun`,
 * `left` when something was left by a broken attempt, or why not: `store`, `busy`.
 */
export const beginFilling = script(
  'writes',
  now,
  lua`
local meta = KEYS[1]
local born = redis.call('HMGET', meta, 'identity', 'epoch', 'importing', 'importing_at')
if born[1] or born[2] then return 'store' end
if born[3] and now - tonumber(born[4]) < tonumber(ARGV[2]) then return 'busy' end
redis.call('HSET', meta, 'importing', ARGV[1], 'importing_at', string.format('%.0f', now))
return born[3] and 'left' or 'begun'
`,
);

/** How every other script of the filling begins. ARGV[1] is the mark. */
const marked: string = lua`
local meta = KEYS[1]
local base = string.sub(meta, 1, -5)
if redis.call('HGET', meta, 'importing') ~= ARGV[1] then return redis.error_reply('LOST mark') end
redis.call('HSET', meta, 'importing_at', string.format('%.0f', now))
${unmoved}`;

/** The mark is still ours. */
export const keepFilling = script('frees', now, marked, lua`return 1`);

/** ARGV from 2: id, line and document of tokens in turn. Answers the documents whose places they took. */
export const fillTokens = script(
  'writes',
  now,
  marked,
  records,
  indexes,
  lua`
local replaced = {}
for i = 2, #ARGV, 3 do
  local id, line, doc = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local value = redis.call('GET', base .. 'token:' .. id)
  local before, seq = value and parseToken(value), nil
  if before then
    replaced[#replaced + 1] = before.doc
    seq = before.seq
    each(id, before, function(name, _, member) redis.call('ZREM', base .. name, member) end)
    for _, digest in ipairs(before.digests) do
      -- It may have gone to a token whose record came first.
      local holder = redis.call('GET', base .. 'digest:' .. digest)
      if holder and string.match(holder, '^%S+') == id then redis.call('DEL', base .. 'digest:' .. digest) end
    end
  else
    seq = redis.call('HINCRBY', meta, 'tokens', 1)
  end
  redis.call('SET', base .. 'token:' .. id, seq .. ' ' .. line .. '\n' .. doc)
  local token = parseToken(seq .. ' ' .. line .. '\n' .. doc)
  raise(token.schema)
  index(id, token)
end
return replaced
`,
);

/** ARGV from 2: id, version, place or `-` for a tombstone, and document of roles in turn. Answers places and documents. */
export const fillRoles = script(
  'writes',
  now,
  marked,
  records,
  lua`
local replaced = {}
for i = 2, #ARGV, 4 do
  local id, version, place, doc = unpack(ARGV, i, i + 3)
  local before = roleOf(id)
  if before then
    replaced[#replaced + 1] = redis.call('ZSCORE', base .. 'roles', id) or ''
    replaced[#replaced + 1] = before.doc
  end
  local gone = place == '-'
  raise(2)
  redis.call('SET', base .. 'role:' .. id, version .. ' ' .. (gone and 1 or 0) .. '\n' .. doc)
  redis.call('ZREM', base .. (gone and 'roles' or 'roles-gone'), id)
  redis.call('ZADD', base .. (gone and 'roles-gone' or 'roles'), gone and 0 or place, id)
end
return replaced
`,
);

/** ARGV from 2: id, version, mark, 1 for a tombstone and `+0` for limits, the line's end, and document of accounts in turn. Answers as for tokens. */
export const fillAccounts = script(
  'writes',
  now,
  marked,
  records,
  lua`
local replaced = {}
for i = 2, #ARGV, 6 do
  local id, version, mark, deleted, roles, doc = unpack(ARGV, i, i + 5)
  local before = accountOf(id)
  if before then replaced[#replaced + 1] = before.doc end
  local place = before and before.seq or redis.call('HINCRBY', meta, 'accounts', 1)
  redis.call('SET', base .. 'account:' .. id, accountRecord(place, version, mark, deleted, roles, doc))
  for _, role in ipairs(before and before.roles or {}) do redis.call('ZREM', base .. 'holders:' .. role, id) end
  raise(accountSchema(deleted, roles))
  for role in rolesIn(roles) do redis.call('ZADD', base .. 'holders:' .. role, place, id) end
  redis.call('ZREM', base .. (deleted == '1' and 'accounts' or 'gone'), id)
  redis.call('ZADD', base .. (deleted == '1' and 'gone' or 'accounts'), place, id)
  redis.call(mark == '-' and 'SREM' or 'SADD', base .. 'marked', id)
end
return replaced
`,
);

/**
 * ARGV from 2: kind, id, number and event of subjects in turn. Events of the audit trail have the numbers of the feed,
 * which goes on behind the highest.
 */
export const fillEvents = script(
  'writes',
  now,
  marked,
  lua`
local seq = tonumber(redis.call('HGET', meta, 'seq')) or 0
for i = 2, #ARGV, 4 do
  redis.call('RPUSH', base .. 'audit:' .. ARGV[i] .. ':' .. ARGV[i + 1], ARGV[i + 2] .. ' ' .. ARGV[i + 3])
  seq = math.max(seq, tonumber(ARGV[i + 2]))
end
redis.call('HSET', meta, 'seq', string.format('%.0f', seq))
return {}
`,
);

/** ARGV from 2: keys and ids of peppers in turn. */
export const fillPeppers = script(
  'writes',
  now,
  marked,
  lua`
for i = 2, #ARGV, 2 do redis.call('RPUSH', base .. 'peppers', ARGV[i] .. ' ' .. ARGV[i + 1]) end
return {}
`,
);

/** ARGV from 2: the caller's time, then key, body, token and end of idempotency records in turn. */
export const fillCreations = script(
  'writes',
  now,
  marked,
  lua`
for i = 3, #ARGV, 4 do
  local remembered = base .. 'once:' .. ARGV[i]
  redis.call('HSET', remembered, 'token', ARGV[i + 2], 'body', ARGV[i + 1], 'ends', ARGV[i + 3])
  redis.call('PEXPIRE', remembered, string.format('%.0f', math.max(1, ARGV[i + 3] - ARGV[2]) + 60000))
end
return {}
`,
);

/**
 * Usage of one token, in a slot of its own. KEYS: its total, then buckets. ARGV: the names and numbers under each key in
 * JSON, then for each bucket how many milliseconds it is kept. Answers what was there.
 */
export const fillUsage = script(
  'writes',
  lua`
local fields, replaced = cjson.decode(ARGV[1]), {}
for i, key in ipairs(KEYS) do
  replaced[i] = redis.call('HGETALL', key)
  redis.call('DEL', key)
  for n = 1, #fields[i], 2 do redis.call('HSET', key, fields[i][n], fields[i][n + 1]) end
  if i > 1 then redis.call('PEXPIRE', key, ARGV[i]) end
end
return replaced
`,
);

/** A text in a slot of its own. ARGV: the text, when it ends or nothing. Answers what was there. */
export const fillText = script(
  'writes',
  lua`
local before = redis.call('GET', KEYS[1])
if ARGV[2] == '' then redis.call('SET', KEYS[1], ARGV[1]) else redis.call('SET', KEYS[1], ARGV[1], 'PXAT', ARGV[2]) end
return before
`,
);

/** Makes it a store. ARGV from 2: identity, epoch. */
export const finishFilling = script(
  'writes',
  now,
  marked,
  lua`
redis.call('HSETNX', meta, 'seq', 0)
redis.call('HSETNX', meta, 'schema', 1)
redis.call('HSET', meta, 'identity', ARGV[2], 'epoch', ARGV[3])
redis.call('HDEL', meta, 'importing', 'importing_at')
return 1
`,
);

/** Gives up the mark: the last thing of what was filled. */
export const leaveFilling = script('frees', now, marked, lua`return redis.call('DEL', meta)`);

/** Removes a key of what was filled, wherever it lies. */
export const dropKey = script('frees', lua`return redis.call('UNLINK', KEYS[1])`);
