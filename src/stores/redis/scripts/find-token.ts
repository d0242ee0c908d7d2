import { lua, script } from '../script.ts';
import { checked, records } from './prelude.ts';

/** ARGV[2] is the caller's time, the digests follow. Answers the place of the first that leads somewhere, where, and the roles of the owner. */
export const findToken = script(
  'reads',
  checked,
  records,
  lua`
for i = 3, #ARGV do
  local id, ends = string.match(redis.call('GET', base .. 'digest:' .. ARGV[i]) or '', '^(%S+) ?(%S*)$')
  if id and (ends == '' or tonumber(ends) > tonumber(ARGV[2])) then
    local value = redis.call('GET', base .. 'token:' .. id)
    if value then
      local account = accountOf(parseToken(value).owner)
      return { i - 3, value, account and account.doc or '', roleDocs(account) }
    end
  end
end
return false
`,
);
