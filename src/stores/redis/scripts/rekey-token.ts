import { lua, script } from '../script.ts';
import { checked, indexes, records, timely } from './prelude.ts';

/**
 * ARGV from 3: id, the record as it was read, the new line and document, the digests from and to. Documents are made by
 * the asking side, so that the record must still be what it was made from: else answers `stale`.
 */
export const rekeyToken = script(
  'writes',
  checked,
  timely,
  records,
  indexes,
  lua`
local id, read, line, doc, from, to = unpack(ARGV, 3, 8)
if redis.call('GET', base .. 'token:' .. id) ~= read then return { now, 'stale' } end
if redis.call('EXISTS', base .. 'digest:' .. to) == 1 then return { now, 'done' } end
local before = parseToken(read)
redis.call('SET', base .. 'token:' .. id, before.seq .. ' ' .. line .. '\n' .. doc)
redis.call('RENAMENX', base .. 'digest:' .. from, base .. 'digest:' .. to)
return { now, 'done' }
`,
);
