import pino from 'pino';
import type { Log, LogFields } from '../ports/log.ts';
import { errorFields } from './error-fields.ts';
import { LineSink } from './line-sink.ts';
import { scrub } from './scrub.ts';

export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

export interface LoggerOptions {
  readonly level: LogLevel;
  /** Standard output. */
  readonly fd?: number;
}

/** The application's log: JSON lines. Every string passes the scrubber, as a net below the choice of fields. */
export class Logger implements Log {
  readonly sink: LineSink;
  readonly #pino: pino.Logger;

  constructor({ level, fd = 1 }: LoggerOptions) {
    this.sink = new LineSink(fd);
    this.#pino = pino(
      {
        level,
        base: null,
        timestamp: pino.stdTimeFunctions.isoTime,
        formatters: { level: label => ({ level: label }) },
      },
      this.sink,
    );
  }

  get level(): LogLevel {
    return this.#pino.level as LogLevel;
  }

  /** Holds from the next line on: the level can be changed by a reload. */
  set level(level: LogLevel) {
    this.#pino.level = level;
  }

  info(fields: LogFields, message: string, error?: unknown): void {
    if (this.#pino.isLevelEnabled('info')) this.#pino.info(this.#chosen(fields, error), scrub(message));
  }

  warn(fields: LogFields, message: string, error?: unknown): void {
    if (this.#pino.isLevelEnabled('warn')) this.#pino.warn(this.#chosen(fields, error), scrub(message));
  }

  error(fields: LogFields, message: string, error?: unknown): void {
    this.#pino.error(this.#chosen(fields, error), scrub(message));
  }

  fault(error: unknown, message: string): void {
    this.error({}, message, error ?? new Error('no error was given'));
  }

  #chosen(fields: LogFields, error: unknown): LogFields {
    const chosen: Record<string, string | number | boolean | null | undefined> = {};
    for (const [name, value] of Object.entries(fields)) {
      // The log's own members stand once in a line, whatever a caller calls its fields.
      const key = ownMembers.has(name) ? `${name}_` : name;
      chosen[key] = typeof value === 'string' ? scrub(value) : value;
    }
    return error === undefined ? chosen : Object.assign(chosen, errorFields(error, { stack: this.level === 'debug' }));
  }
}

const ownMembers = new Set(['level', 'time', 'msg']);
