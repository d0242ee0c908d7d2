import type { Millis } from './token.ts';

/** Lengths of time as people write them: `250ms`, `5s`, `10m`, `1h`, `1d`. A bare `0` needs no unit. */
export const durationForm: RegExp = /^(?:0|([0-9]{1,15})(ms|s|m|h|d))$/;

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** In milliseconds; null when the text is no duration, or one that is too long to be exact. */
export function readDuration(text: string): Millis | null {
  const match = durationForm.exec(text);
  if (match === null) return null;
  const [, count = '0', unit = 'ms'] = match;
  const millis = Number(count) * units[unit as keyof typeof units];
  return Number.isSafeInteger(millis) ? millis : null;
}
