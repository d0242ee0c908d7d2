import { lua, script } from '../script.ts';
import { checked, indexes, journal, records, timely } from './prelude.ts';

/**
 * ARGV from 3: id, line, document; time and document of the audit event; feed events to keep; the caller's time; then
 * key, body and end of an idempotency record, or an empty key.
 */
export const createToken = script(
  'writes',
  checked,
  timely,
  records,
  journal,
  indexes,
  lua`
local id, line, doc, at, audit, keep, clock = unpack(ARGV, 3, 9)
local key, body, ends = unpack(ARGV, 10, 12)
local remembered = base .. 'once:' .. key
if key ~= '' then
  -- Redis ends the record by its own clock, and never earlier than the caller's says.
  local made = redis.call('HMGET', remembered, 'token', 'body', 'ends')
  if made[1] and tonumber(made[3]) > tonumber(clock) then
    return { now, 'replayed', made[1], made[2] == body and 1 or 0 }
  end
end
if redis.call('EXISTS', base .. 'token:' .. id) == 1 then return { now, 'id_exists' } end
local token = parseToken('0 ' .. line .. '\n' .. doc)
if taken(id, token.digests) then return { now, 'digest_exists' } end
if token.owner then
  local owner = accountOf(token.owner)
  if not owner or owner.deleted then return { now, 'no_owner' } end
  if owner.mark and token.created <= owner.mark then return { now, 'marked', owner.until_ } end
end

local digests = cjson.encode(token.digests)
local seq = record('token', id, token.version, digests, at, audit, keep, '0')
raise(token.schema)
token.seq = redis.call('HINCRBY', meta, 'tokens', 1)
redis.call('SET', base .. 'token:' .. id, token.seq .. ' ' .. line .. '\n' .. doc)
index(id, token)
if key ~= '' and tonumber(ends) > tonumber(clock) then
  redis.call('HSET', remembered, 'token', id, 'body', body, 'ends', ends)
  redis.call('PEXPIRE', remembered, string.format('%.0f', tonumber(ends) - tonumber(clock) + 60000))
end
return { now, 'done', seq, digests }
`,
);
