import { lua, script } from '../script.ts';
import { checked, journal, records, timely } from './prelude.ts';

/** ARGV[2] is the role's id. */
export const getRole = script(
  'reads',
  checked,
  records,
  lua`
local role = roleOf(ARGV[2])
return role and role.doc or false
`,
);

/** Answers the documents of all roles, in their order. */
export const listRoles = script(
  'reads',
  checked,
  records,
  lua`
local docs = {}
for _, id in ipairs(redis.call('ZRANGE', base .. 'roles', 0, -1)) do docs[#docs + 1] = roleOf(id).doc end
return docs
`,
);

/**
 * ARGV from 3: id, expected version (0 for none), version, 1 for a tombstone, document; time and document of the audit
 * event; feed events to keep; most roles that there may be, most accounts to name of those that have it.
 */
export const putRole = script(
  'writes',
  checked,
  timely,
  records,
  journal,
  lua`
local id, expected, version, deleted, doc, at, audit, keep, most, told = unpack(ARGV, 3, 12)
local before = roleOf(id)
if (before and before.version or 0) ~= tonumber(expected) then return { now, 'stale' } end
local lives = before and not before.deleted
if deleted == '1' then
  local accounts = redis.call('ZRANGE', base .. 'holders:' .. id, 0, told - 1)
  if accounts[1] then return { now, 'held', accounts } end
elseif not lives and redis.call('ZCARD', base .. 'roles') >= tonumber(most) then return { now, 'full' } end

local seq = record('role', id, version, '[]', at, audit, keep, '0')
raise(2)
redis.call('SET', base .. 'role:' .. id, version .. ' ' .. deleted .. '\n' .. doc)
if deleted == '1' then
  redis.call('ZREM', base .. 'roles', id)
  redis.call('ZADD', base .. 'roles-gone', 0, id)
elseif not lives then
  local last = redis.call('ZRANGE', base .. 'roles', -1, -1, 'WITHSCORES')
  redis.call('ZREM', base .. 'roles-gone', id)
  redis.call('ZADD', base .. 'roles', (tonumber(last[2]) or 0) + 1, id)
end
return { now, 'done', seq, '[]', epoch }
`,
);

/**
 * ARGV from 3: what the order is called; time and document of the audit event; feed events to keep; then the ids, which
 * have to be all there are, once each: else answers `stale`, and those that there are.
 */
export const orderRoles = script(
  'writes',
  checked,
  timely,
  journal,
  lua`
local name, at, audit, keep = unpack(ARGV, 3, 6)
local live, left = redis.call('ZRANGE', base .. 'roles', 0, -1), {}
for _, id in ipairs(live) do left[id] = true end
local whole = #ARGV - 6 == #live
for i = 7, #ARGV do
  if not left[ARGV[i]] then whole = false end
  left[ARGV[i]] = nil
end
if not whole then return { now, 'stale', live } end
local seq = record('role', name, 0, '[]', at, audit, keep, '0')
for i = 7, #ARGV do redis.call('ZADD', base .. 'roles', i - 6, ARGV[i]) end
return { now, 'done', seq, '[]', epoch }
`,
);
