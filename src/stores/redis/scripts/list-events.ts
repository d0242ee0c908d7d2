import { lua, script } from '../script.ts';
import { checked } from './prelude.ts';

/** ARGV from 2: kind and id of the subject, how many events to leave out, how many to answer. */
export const listEvents = script(
  'reads',
  checked,
  lua`
local from = tonumber(ARGV[4])
return redis.call('LRANGE', base .. 'audit:' .. ARGV[2] .. ':' .. ARGV[3], from, from + ARGV[5] - 1)
`,
);
