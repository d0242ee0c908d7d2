import type { Code } from '../errors.ts';
import type { Millis } from './token.ts';

/** What a token was used for. Counts only grow; adding is commutative, so that reports may come in any order. */
export interface Usage {
  readonly allowed: number;
  readonly refused: Readonly<Partial<Record<Code, number>>>;
  /** By class: `2xx`. */
  readonly status: Readonly<Record<string, number>>;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly lastUsedAt: Millis;
}

export interface UsageBucket {
  readonly at: Millis;
  readonly usage: Usage;
}

export const noUsage: Usage = { allowed: 0, refused: {}, status: {}, bytesIn: 0, bytesOut: 0, lastUsedAt: 0 };

export function addUsage(a: Usage, b: Usage): Usage {
  return {
    allowed: a.allowed + b.allowed,
    refused: addCounts(a.refused, b.refused),
    status: addCounts(a.status, b.status),
    bytesIn: a.bytesIn + b.bytesIn,
    bytesOut: a.bytesOut + b.bytesOut,
    lastUsedAt: Math.max(a.lastUsedAt, b.lastUsedAt),
  };
}

function addCounts<T extends Readonly<Record<string, number>> | Readonly<Partial<Record<Code, number>>>>(
  a: T,
  b: T,
): T {
  const sum: Record<string, number> = { ...a };
  for (const [name, count] of Object.entries(b)) sum[name] = (sum[name] ?? 0) + (count as number);
  return sum as T;
}

const hourMs = 3_600_000;
export const hourOf = (at: Millis): Millis => at - (at % hourMs);
export const dayOf = (at: Millis): Millis => at - (at % (24 * hourMs));
