import { type Denial, deny } from './decision.ts';
import { instantText } from './instant.ts';
import type { LimitView } from './limit.ts';
import type { Subject } from './token.ts';

/** Why a request was not charged. */
export type ChargeRefusal =
  /** Less than the cost is left of those that are `violated`. `retryAfter`: in seconds; null where waiting does not help. */
  | { readonly kind: 'refused'; readonly limits: readonly LimitView[]; readonly retryAfter: number | null }
  /** Other processes hold units, and have not said in time whether they use them. */
  | { readonly kind: 'busy' }
  | { readonly kind: 'unavailable' };

/** What the client is told of it. */
export function denyCharge(subject: Subject, cost: number, refusal: ChargeRefusal): Denial {
  switch (refusal.kind) {
    case 'refused':
      return denyLimits(subject, cost, refusal);
    case 'busy':
      return deny('overloaded', 'What is left of the limits could not be told in time.', {
        subject,
        retryAfter: 1,
        compared: { cost, limits: limitNames(subject) },
      });
    case 'unavailable':
      return deny('store_unavailable', 'What is left of the limits could not be told. Try again.', {
        subject,
        retryAfter: 1,
        compared: { cost, limits: limitNames(subject) },
      });
  }
}

function denyLimits(
  subject: Subject,
  cost: number,
  { limits, retryAfter }: Extract<ChargeRefusal, { kind: 'refused' }>,
): Denial {
  // As they were defined, whatever the order in which they were charged.
  const defined = { token: subject.token.limits, account: subject.account?.limits ?? [] };
  const violated = (['token', 'account'] as const).flatMap(scope =>
    defined[scope].flatMap(({ name }) =>
      limits.filter(view => view.violated && view.scope === scope && view.name === name),
    ),
  );
  // Whatever begins anew, there will never be as much; and a lifetime never does.
  const never = violated.some(({ capacity, per }) => cost > capacity || per === 'lifetime');
  return deny('limit_exceeded', violated.map(limit => sentenceOf(limit, cost)).join(' '), {
    subject,
    limits,
    ...(retryAfter !== null && !never && { retryAfter: Math.max(1, Math.ceil(retryAfter)) }),
    compared: {
      cost,
      limits: violated.map(comparedLimit),
    },
  });
}

/** A limit as it is shown to whoever asks why. */
export const comparedLimit = ({ name, scope, per, algorithm, capacity, left, resetsAt }: LimitView) => ({
  name,
  of: scope,
  per,
  algorithm,
  most: capacity,
  left,
  resets_at: resetsAt === null ? null : instantText(resetsAt),
});

function sentenceOf({ name, scope, capacity, left }: LimitView, cost: number): string {
  const which = `limit "${name}" of the ${scope === 'token' ? 'token' : "token's account"}`;
  if (cost > capacity) return `The request costs more than the ${which} ever allows.`;
  return left <= 0 ? `The ${which} is spent.` : `The request costs more than is left of the ${which}.`;
}

/** Whose limits a request of a token takes of, for people. */
export const limitNames = ({ token, account }: Subject): readonly string[] => [
  ...token.limits.map(({ name }) => `${name} of the token`),
  ...(account?.limits ?? []).map(({ name }) => `${name} of the account`),
];
