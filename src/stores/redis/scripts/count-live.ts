import { lua, script } from '../script.ts';
import { checked, records } from './prelude.ts';

/** ARGV[2] is an account's id. */
export const countLive = script(
  'reads',
  checked,
  records,
  lua`
local account = accountOf(ARGV[2])
return redis.call('ZCOUNT', base .. 'live:' .. ARGV[2], account and account.mark and '(' .. account.until_ or '-inf', '+inf')
`,
);
