import { lua, script } from '../script.ts';
import { checked, records } from './prelude.ts';

/** ARGV[2] is the token's id. Answers its record and its owner's document. */
export const getToken = script(
  'reads',
  checked,
  records,
  lua`
local value = redis.call('GET', base .. 'token:' .. ARGV[2])
return value and { value, accountDoc(parseToken(value)) }
`,
);
