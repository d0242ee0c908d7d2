import type { Cost } from './route.ts';

/** What a request has used of the units that were reserved for it, and what it would have used beyond them. */
export interface Used {
  readonly units: number;
  readonly excess: number;
}

/** `said`: the field of the response that tells it, null for none. What is no whole number takes all that was reserved. */
export function usedOf({ units }: Cost, said: string | null): Used {
  const told = said !== null && /^\d{1,15}$/.test(said) ? Number(said) : units;
  return { units: Math.min(told, units), excess: Math.max(0, told - units) };
}

/** The field's value among raw names and values; null when it is missing, or stands there twice. */
export function saidCost(name: string, raw: readonly Uint8Array[]): string | null {
  let found: string | null = null;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    if (raw[i]!.length !== name.length || textOf(raw[i]!).toLowerCase() !== name) continue;
    if (found !== null) return null;
    found = textOf(raw[i + 1]!).trim();
  }
  return found;
}

const textOf = (bytes: Uint8Array): string => String.fromCharCode(...bytes.subarray(0, 256));
