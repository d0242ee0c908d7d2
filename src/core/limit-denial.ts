import { type Denial, deny } from './decision.ts';
import { instantText } from './instant.ts';
import { type LimitView, policyName } from './rate-limit-fields.ts';
import type { Millis, Subject } from './token.ts';

/** A limit that refuses a request. */
export interface SpentLimit extends LimitView {
  /** When it has the units that the request costs, if nobody else takes any. Null: never. */
  readonly enoughAt: Millis | null;
}

/** Refuses a request that costs more than `spent` have left. `all`: of the token and its account, those among them. */
export function denyLimit(
  subject: Subject,
  cost: number,
  spent: readonly SpentLimit[],
  all: readonly LimitView[],
  now: Millis,
): Denial {
  const retryAfter = secondsToEnough(spent, cost, now);
  return deny('limit_exceeded', spent.map(limit => sentenceOf(limit, cost)).join(' '), {
    subject,
    limits: all,
    violated: spent.map(limit => policyName(limit, all)),
    ...(retryAfter !== null && { retryAfter }),
    compared: {
      cost,
      limits: spent.map(({ name, scope, per, algorithm, capacity, left, enoughAt }) => ({
        name,
        of: scope,
        per,
        algorithm,
        most: capacity,
        left,
        enough_at: enoughAt === null || cost > capacity ? null : instantText(enoughAt),
      })),
    },
  });
}

/** Seconds until every one of them has enough, at least 1: sooner it would be the same answer. Null: that is never. */
export function secondsToEnough(spent: readonly SpentLimit[], cost: number, now: Millis): number | null {
  let latest = now;
  for (const { capacity, enoughAt } of spent) {
    if (enoughAt === null || cost > capacity) return null;
    latest = Math.max(latest, enoughAt);
  }
  return Math.max(1, Math.ceil((latest - now) / 1000));
}

function sentenceOf({ name, scope, capacity }: SpentLimit, cost: number): string {
  const which = `the limit "${name}" of the ${scope === 'token' ? 'token' : "token's account"}`;
  return cost > capacity ? `The request costs more than ${which} ever allows.` : `${capitalized(which)} is spent.`;
}

const capitalized = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
