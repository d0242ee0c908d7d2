import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { Script } from '../../src/stores/redis/script.ts';
import { addReport, addUsage } from '../../src/stores/redis/scripts/add-usage.ts';
import { checkStore } from '../../src/stores/redis/scripts/check-store.ts';
import { exchangeLimits, settleLimits } from '../../src/stores/redis/scripts/exchange-limits.ts';
import { beat, roll } from '../../src/stores/redis/scripts/processes.ts';
import { readFeed } from '../../src/stores/redis/scripts/read-feed.ts';
import { keepReportNumber, readReportNumber } from '../../src/stores/redis/scripts/report-number.ts';
import type { RedisServer } from './redis.ts';

/** What goes on while nobody asks for anything that is not known. */
const idle: ReadonlyMap<string, string> = new Map([
  ['xread', 'feed'],
  ...named('feed', [readFeed]),
  ...named('heartbeat', [beat]),
  // While there are limits: how many share the store.
  ...named('roll', [roll]),
  // On a busy machine a read of the feed is given up, and made again over a new connection.
  ...['hello', 'client', 'info', 'select'].map((name): [string, string] => [name, 'connecting']),
  // In a cluster a report asks first whether it is still the same store.
  ...named('usage', [addReport, checkStore, readReportNumber, addUsage, keepReportNumber]),
  ...named('limits', [exchangeLimits, settleLimits]),
  ...['subscribe', 'ping'].map((name): [string, string] => [name, 'notices']),
]);

function named(kind: string, scripts: readonly Script[]): [string, string][] {
  return scripts.map(({ sha }) => [sha, kind]);
}

/** A line of `MONITOR`: time, database, where the command came from, its name and its first argument. */
const line = /^\+\d+\.\d+ \[(\d+) (\S+)\] "([^"]*)"(?: "((?:[^"\\]|\\.)*)")?/;

/**
 * Counts the commands that clients send to a database of a server, as `MONITOR` tells them, by what they are for. It reads
 * them itself: ioredis takes one that comes before the answer to `MONITOR` for that answer, and fails.
 */
export class CommandCounter {
  readonly #counts: Record<string, number> = {};
  readonly #database: string;
  readonly #socket: Socket;
  #rest = '';

  private constructor(socket: Socket, database: string) {
    this.#socket = socket;
    this.#database = database;
    socket.setEncoding('latin1').on('data', text => this.#read(String(text)));
    socket.on('error', () => {});
  }

  static async start(redis: RedisServer, database: string): Promise<CommandCounter> {
    const socket = connect(redis.endpoint.port, redis.endpoint.host);
    const counter = new CommandCounter(socket, database);
    const begun = once(socket, 'data');
    socket.write('MONITOR\r\n');
    await begun;
    return counter;
  }

  /** What was counted until now. */
  get counts(): Readonly<Record<string, number>> {
    return this.#counts;
  }

  /** Stops counting. */
  end(): Readonly<Record<string, number>> {
    this.#socket.destroy();
    return this.#counts;
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split('\r\n');
    this.#rest = lines.pop()!;
    for (const one of lines) {
      const [, database, source, name = '', first = ''] = line.exec(one) ?? [];
      // What scripts do within the store is no command of a client.
      if (database === this.#database && source !== 'lua') this.#count(name.toLowerCase(), first);
    }
  }

  #count(command: string, first: string): void {
    const kind = idle.get(command === 'evalsha' ? first : command) ?? `${command} ${first}`;
    this.#counts[kind] = (this.#counts[kind] ?? 0) + 1;
  }
}
