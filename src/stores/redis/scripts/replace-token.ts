import { lua, type Script, type ScriptKind, script } from '../script.ts';
import { checked, indexes, journal, records, timely } from './prelude.ts';

/**
 * ARGV from 3: id, expected version, line, document; time and document of the audit event; feed events to keep; 1 when
 * somebody waits for the event to be applied, else 0.
 */
const replace = (kind: ScriptKind): Script =>
  script(
    kind,
    checked,
    timely,
    records,
    journal,
    indexes,
    lua`
local id, expected, line, doc, at, audit, keep, awaited = unpack(ARGV, 3, 10)
local value = redis.call('GET', base .. 'token:' .. id)
local before = value and parseToken(value)
if not before or before.version ~= tonumber(expected) then return { now, 'stale' } end
local token = parseToken(before.seq .. ' ' .. line .. '\n' .. doc)
local moves = token.owner ~= before.owner
if moves then
  -- The mark came after the reader had looked: a revoked token does not walk out from under it.
  local old = accountOf(before.owner)
  if old and old.mark and before.created <= old.mark then return { now, 'stale' } end
end
if taken(id, token.digests) then return { now, 'digest_exists' } end
-- A token whose owner has gone can still be changed, revoked above all: only a new owner has to be there.
if token.owner and moves then
  local owner = accountOf(token.owner)
  if not owner or owner.deleted then return { now, 'no_owner' } end
end

local seen, concerned = {}, {}
for _, digests in ipairs({ before.digests, token.digests }) do
  for _, digest in ipairs(digests) do
    if not seen[digest] then concerned[#concerned + 1] = digest end
    seen[digest] = true
  end
end
local digests = cjson.encode(concerned)
local seq = record('token', id, token.version, digests, at, audit, keep, awaited)
raise(token.schema)
unindex(id, before)
redis.call('SET', base .. 'token:' .. id, before.seq .. ' ' .. line .. '\n' .. doc)
index(id, token)
return { now, 'done', seq, digests, epoch }
`,
  );

export const replaceToken: Script = replace('writes');

/** For tokens that stop working: a full store must not keep them alive. */
export const revokeToken: Script = replace('frees');
