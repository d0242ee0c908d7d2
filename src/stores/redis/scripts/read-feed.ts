import { lua, script } from '../script.ts';
import { checked } from './prelude.ts';

/**
 * ARGV from 2: epoch and number of a position, the mark of the event there or nothing, most events to answer. Answers
 * `events` after it, or `gap`; then the epoch, the feed's last number and its mark. Check and events are one answer: a
 * store that was emptied in between would look like one in which nothing happened.
 */
export const readFeed = script(
  'reads',
  checked,
  lua`
local feed = base .. 'feed'
local seq, mark = tonumber(ARGV[3]), ARGV[4]
local last = tonumber(redis.call('HGET', meta, 'seq')) or 0
local function markOf(number)
  local found = redis.call('XRANGE', feed, number .. '-0', number .. '-0')
  return found[1] and found[1][2][4] or ''
end
local gap = { 'gap', epoch, last, markOf(last), {} }

-- A position ahead of the feed is of a future that this store never had, and so is an event that has changed.
if ARGV[2] ~= epoch or seq > last then return gap end
if mark ~= '' and markOf(seq) ~= mark then return gap end
if seq == last then return { 'events', epoch, last, '', {} } end
local events = redis.call('XRANGE', feed, '(' .. seq .. '-0', '+', 'COUNT', ARGV[5])
if not events[1] or events[1][1] ~= (seq + 1) .. '-0' then return gap end
return { 'events', epoch, last, '', events }
`,
);
