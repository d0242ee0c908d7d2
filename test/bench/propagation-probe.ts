import { writeFileSync } from 'node:fs';
import { CachedLookup } from '../../src/cache/cached-lookup.ts';
import type { FeedEvent } from '../../src/ports/token-store.ts';

/**
 * Loaded before the program with `--import`: notes when changes hold on this process, in wall milliseconds with a
 * fraction, and writes that to the file in `BENCH_PROBE` when the process ends.
 */
const held: [id: string, made: number, held: number][] = [];
const { apply } = CachedLookup.prototype;
CachedLookup.prototype.apply = function (this: CachedLookup, events: readonly FeedEvent[]): void {
  apply.call(this, events);
  const now = performance.timeOrigin + performance.now();
  for (const { id, at } of events) held.push([id, at, now]);
};
process.on('exit', () => writeFileSync(process.env['BENCH_PROBE']!, JSON.stringify(held)));
