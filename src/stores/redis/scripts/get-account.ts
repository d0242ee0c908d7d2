import { lua, script } from '../script.ts';
import { checked, records } from './prelude.ts';

/** ARGV[2] is the account's id. */
export const getAccount = script(
  'reads',
  checked,
  records,
  lua`
local account = accountOf(ARGV[2])
return account and account.doc or false
`,
);
