import { lua, type Script, type ScriptKind, script } from '../script.ts';
import { checked, journal, records, timely } from './prelude.ts';

/**
 * ARGV from 3: id, expected version (0 for none), version, mark or `-`, 1 for a tombstone, document; time and document
 * of the audit event; feed events to keep; 1 when somebody waits for the event to be applied, else 0. The owner's tokens
 * are not touched: readers of the feed know whose they hold.
 */
const put = (kind: ScriptKind): Script =>
  script(
    kind,
    checked,
    timely,
    records,
    journal,
    lua`
local id, expected, version, mark, deleted, doc, at, audit, keep, awaited = unpack(ARGV, 3, 12)
local before = accountOf(id)
if (before and before.version or 0) ~= tonumber(expected) then return { now, 'stale' } end

local seq = record('account', id, version, '[]', at, audit, keep, awaited)
local place = before and before.seq or redis.call('HINCRBY', meta, 'accounts', 1)
redis.call('SET', base .. 'account:' .. id, place .. ' ' .. version .. ' ' .. mark .. ' ' .. deleted .. '\n' .. doc)
redis.call('ZREM', base .. (deleted == '1' and 'accounts' or 'gone'), id)
redis.call('ZADD', base .. (deleted == '1' and 'gone' or 'accounts'), place, id)
redis.call(mark == '-' and 'SREM' or 'SADD', base .. 'marked', id)
return { now, 'done', seq, '[]', epoch }
`,
  );

export const putAccount: Script = put('writes');

/** For accounts whose tokens stop working: a full store must not keep them alive. */
export const revokeAccount: Script = put('frees');
