import type { Decision } from './decide.ts';
import { type Millis, type Subject, subjectFault } from './token.ts';

/** Why an answer under way may not go on. */
export type Fall = 'revoked' | 'expired';

/** What another look at a token says of an answer under way. `unknown`: there was no answer, which is no denial. */
export type Standing = 'stands' | 'unknown' | Fall;

/** Everything that changes can take away is `revoked`: the token, its account, a permission. */
export function standingOf(decision: Decision): Standing {
  if (decision.kind === 'permit') return 'stands';
  if (decision.code === 'store_unavailable' || decision.code === 'overloaded') return 'unknown';
  return decision.reason === 'invalid_token_expired' ? 'expired' : 'revoked';
}

/** Time alone has ended it: the token's expiry, or the end of a rotation's grace. */
export const hasLapsed = (subject: Subject, now: Millis): boolean => subjectFault(subject, now) === 'expired';
