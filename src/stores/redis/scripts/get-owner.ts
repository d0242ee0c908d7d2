import { lua, script } from '../script.ts';
import { checked, records } from './prelude.ts';

/** ARGV[2] is the account's id. Answers its document and those of its roles. */
export const getOwner = script(
  'reads',
  checked,
  records,
  lua`
local account = accountOf(ARGV[2])
return account and { account.doc, roleDocs(account) }
`,
);
