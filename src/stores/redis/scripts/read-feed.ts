import { lua, script } from '../script.ts';
import { checked, positions } from './prelude.ts';

/**
 * ARGV from 2: epoch and number of a position, the mark of the event there or nothing, most events to answer. Answers
 * `events` after it, `gap`, or `lost`, a gap because acknowledged changes are gone; then the epoch, the feed's last number
 * and its mark. Check and events are one answer: a store that was emptied in between would look like one in which nothing
 * happened.
 */
export const readFeed = script(
  'reads',
  checked,
  positions,
  lua`
local seq = tonumber(ARGV[3])
local function gap(kind) return { kind, epoch, last, markOf(last), {} } end

if ARGV[2] ~= epoch then return gap('gap') end
local stands = standing(seq, ARGV[4])
if stands == 'lost' then return gap('lost') end
if stands == 'trimmed' then return gap('gap') end
if seq == last then return { 'events', epoch, last, '', {} } end
local events = redis.call('XRANGE', feed, '(' .. seq .. '-0', '+', 'COUNT', ARGV[5])
if not events[1] or events[1][1] ~= (seq + 1) .. '-0' then return gap('gap') end
return { 'events', epoch, last, '', events }
`,
);
