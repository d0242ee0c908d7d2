import { lua, script } from '../script.ts';
import { checked, records } from './prelude.ts';

/** ARGV[2] is the position after which to begin, ARGV[3] how many to answer: each as its position and document. */
export const listAccounts = script(
  'reads',
  checked,
  records,
  lua`
local rows = {}
local ids = redis.call('ZRANGE', base .. 'accounts', '(' .. ARGV[2], '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[3])
for _, id in ipairs(ids) do
  local account = accountOf(id)
  if account then
    rows[#rows + 1] = account.seq
    rows[#rows + 1] = account.doc
  end
end
return rows
`,
);
