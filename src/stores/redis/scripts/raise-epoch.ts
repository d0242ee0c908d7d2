import { lua, script } from '../script.ts';
import { checked, positions, timely } from './prelude.ts';

/**
 * Begins a new epoch, if what was seen at a position is really lost: others may have begun one already, and then that is
 * enough. ARGV from 3: epoch, number and mark of the position, the new epoch. Answers whether it did, then the epoch, the
 * feed's last number and its mark.
 */
export const raiseEpoch = script(
  'frees',
  checked,
  timely,
  positions,
  lua`
local lost = ARGV[3] == epoch and standing(tonumber(ARGV[4]), ARGV[5]) == 'lost'
if lost then
  epoch = ARGV[6]
  redis.call('HSET', meta, 'epoch', epoch)
end
return { now, lost and 1 or 0, epoch, last, markOf(last) }
`,
);
