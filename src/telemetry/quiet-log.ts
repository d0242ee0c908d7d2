import type { Clock } from '../ports/clock.ts';
import type { Log, LogFields } from '../ports/log.ts';

/** Messages are constants of the program, so this is only a net. */
const mostMessages = 500;

interface Spoken {
  readonly at: number;
  suppressed: number;
}

/**
 * For places that speak as often as something fails: the same message at most once per span, the next one with the
 * number that were kept back. An outage is news once, not at every request.
 */
export function quietLog(log: Log, clock: Clock, everyMs: number): Log {
  const spoken = new Map<string, Spoken>();

  /** How many were kept back before this one; null when this one is to be kept back. */
  const heldBack = (level: string, message: string): number | null => {
    const key = `${level} ${message}`;
    const last = spoken.get(key);
    const now = clock.monotonic();
    if (last !== undefined && now - last.at < everyMs) {
      last.suppressed++;
      return null;
    }
    spoken.delete(key);
    if (spoken.size >= mostMessages) spoken.delete(spoken.keys().next().value!);
    spoken.set(key, { at: now, suppressed: 0 });
    return last?.suppressed ?? 0;
  };

  const speak =
    (level: 'info' | 'warn' | 'error') =>
    (fields: LogFields, message: string, error?: unknown): void => {
      const suppressed = heldBack(level, message);
      if (suppressed !== null) log[level](suppressed === 0 ? fields : { ...fields, suppressed }, message, error);
    };

  const error = speak('error');
  return { info: speak('info'), warn: speak('warn'), error, fault: (cause, message) => error({}, message, cause) };
}
