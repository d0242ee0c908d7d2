import { lua, type Script, type ScriptKind, script } from '../script.ts';
import { checked, journal, records, timely } from './prelude.ts';

/**
 * ARGV from 3: id, expected version (0 for none), version, mark or `-`, 1 for a tombstone and `+0` for limits, the line's end, document; time
 * and document of the audit event; feed events to keep; 1 when somebody waits for the event to be applied, else 0. The
 * owner's tokens are not touched: readers of the feed know whose they hold. Roles that it has already are not asked for
 * again.
 */
const put = (kind: ScriptKind): Script =>
  script(
    kind,
    checked,
    timely,
    records,
    journal,
    lua`
local id, expected, version, mark, deleted, roles, doc, at, audit, keep, awaited = unpack(ARGV, 3, 13)
local before = accountOf(id)
if (before and before.version or 0) ~= tonumber(expected) then return { now, 'stale' } end
local held, wanted, missing = {}, {}, {}
for _, role in ipairs(before and before.roles or {}) do held[role] = true end
for role in rolesIn(roles) do
  wanted[role] = true
  if not held[role] and not redis.call('ZSCORE', base .. 'roles', role) then missing[#missing + 1] = role end
end
if missing[1] then return { now, 'no_role', missing } end

local seq = record('account', id, version, '[]', at, audit, keep, awaited)
raise(accountSchema(deleted, roles))
local place = before and before.seq or redis.call('HINCRBY', meta, 'accounts', 1)
redis.call('SET', base .. 'account:' .. id, accountRecord(place, version, mark, deleted, roles, doc))
for role in pairs(held) do if not wanted[role] then redis.call('ZREM', base .. 'holders:' .. role, id) end end
for role in pairs(wanted) do redis.call('ZADD', base .. 'holders:' .. role, place, id) end
redis.call('ZREM', base .. (deleted == '1' and 'accounts' or 'gone'), id)
redis.call('ZADD', base .. (deleted == '1' and 'gone' or 'accounts'), place, id)
redis.call(mark == '-' and 'SREM' or 'SADD', base .. 'marked', id)
return { now, 'done', seq, '[]', epoch }
`,
  );

export const putAccount: Script = put('writes');

/** For accounts whose tokens stop working: a full store must not keep them alive. */
export const revokeAccount: Script = put('frees');
