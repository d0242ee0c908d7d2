/** Chosen facts, never whole objects. */
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

/**
 * The application's log. `message` is a constant sentence; what varies goes into the fields. An `error` is written as
 * its name, code and message, freed of anything that looks like a secret, so that no caller has to take one apart.
 */
export interface Log {
  info(fields: LogFields, message: string, error?: unknown): void;
  warn(fields: LogFields, message: string, error?: unknown): void;
  error(fields: LogFields, message: string, error?: unknown): void;
  /** An error that nobody expected: `error` without fields. */
  fault(error: unknown, message: string): void;
}
