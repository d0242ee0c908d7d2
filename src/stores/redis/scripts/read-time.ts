import { lua, script } from '../script.ts';
import { storeTime } from './limits.ts';

/** Answers the time of the server that KEYS[1] is on, in milliseconds. */
export const readTime = script('reads', storeTime, lua`return string.format('%.0f', now)`);
