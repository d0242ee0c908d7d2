import type { Script } from '../../src/stores/redis/script.ts';
import { addUsage } from '../../src/stores/redis/scripts/add-usage.ts';
import { checkStore } from '../../src/stores/redis/scripts/check-store.ts';
import { beat } from '../../src/stores/redis/scripts/processes.ts';
import { readFeed } from '../../src/stores/redis/scripts/read-feed.ts';
import { keepReportNumber, readReportNumber } from '../../src/stores/redis/scripts/report-number.ts';
import type { RedisServer } from './redis.ts';

/** What goes on while nobody asks for anything that is not known. */
const idle: ReadonlyMap<string, string> = new Map([
  ['xread', 'feed'],
  ...named('feed', [readFeed]),
  ...named('heartbeat', [beat]),
  // A report asks first whether it is still the same store.
  ...named('usage', [checkStore, readReportNumber, addUsage, keepReportNumber]),
]);

function named(kind: string, scripts: readonly Script[]): [string, string][] {
  return scripts.map(({ sha }) => [sha, kind]);
}

/** Counts the commands that clients send to a database of a server, as `MONITOR` tells them, by what they are for. */
export class CommandCounter {
  readonly counts: Record<string, number> = {};
  readonly #end: () => void;

  private constructor(end: () => void) {
    this.#end = end;
  }

  static async start(redis: RedisServer, database: string): Promise<CommandCounter> {
    const monitor = await redis.client().monitor();
    const counter = new CommandCounter(() => monitor.disconnect());
    monitor.on('monitor', (_time: string, args: string[], source: string, where: string) => {
      // What scripts do within the store is no command of a client.
      if (where === database && source !== 'lua') counter.#count(args);
    });
    return counter;
  }

  /** What was counted until now. */
  end(): Readonly<Record<string, number>> {
    this.#end();
    return this.counts;
  }

  #count([name = '', first = '']: readonly string[]): void {
    const command = name.toLowerCase();
    const kind = idle.get(command === 'evalsha' ? first : command) ?? `${command} ${first}`;
    this.counts[kind] = (this.counts[kind] ?? 0) + 1;
  }
}
