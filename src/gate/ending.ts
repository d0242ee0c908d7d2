import type { Permit } from '../core/decide.ts';
import { type Denial, deny, type Reason } from '../core/decision.ts';
import { type Code, codes } from '../errors.ts';
import type { Forwarded } from '../ports/forwarder.ts';
import type { Outcome } from '../ports/recorder.ts';

/** How a request ended: the input of its one record. */
export type Ending =
  | { readonly kind: 'refused'; readonly code: Code; readonly reason: Reason; readonly gone: boolean }
  /** Answered without a refusal: a preflight, or what a token API says, over a connection of its own maybe. */
  | {
      readonly kind: 'answered';
      readonly status: number;
      readonly gone: boolean;
      readonly tunnelled: { readonly in: number; readonly out: number } | null;
    }
  | {
      readonly kind: 'forwarded';
      readonly permit: Permit;
      readonly forwarded: Forwarded;
      readonly denial: Denial | null;
    };

export const endingOf = (forwarded: Forwarded, permit: Permit, denial: Denial | null): Ending => ({
  kind: 'forwarded',
  permit,
  forwarded,
  denial,
});

/** What the client is told when nothing of an answer was relayed. */
export function failureOf({ code, fault }: Forwarded, draining: boolean): Denial {
  switch (code) {
    case 'upstream_timeout':
      return deny('upstream_timeout', 'The upstream did not answer in time.');
    case 'overloaded':
      return deny('overloaded', 'Too many requests are waiting for the upstream.', { retryAfter: 1 });
    case 'body_too_large':
      return deny('body_too_large', 'The body is larger than this route takes.');
    case 'request_timeout':
      return deny('request_timeout', 'The body came too slowly.');
    case 'malformed_request':
      return deny('malformed_request', 'The body is not framed as its head says.');
    default:
      // A drained sidecar may outlive its application: then it is the pair that has gone, not the upstream that failed.
      if (draining && fault === 'refused')
        return deny('overloaded', 'This instance is shutting down.', { retryAfter: 1 });
      return deny('upstream_failed', 'The upstream could not be reached, or broke off.');
  }
}

/** Status, reason and outcome of a record. 499 stands for a client that went before it was answered. */
export function verdictOf(ending: Ending): { status: number; reason: Reason; outcome: Outcome; fault: string | null } {
  if (ending.kind === 'answered') {
    const { status, gone } = ending;
    if (gone) return { status: 499, reason: 'public', outcome: 'aborted', fault: null };
    return { status, reason: 'public', outcome: 'allowed', fault: null };
  }
  if (ending.kind === 'refused') {
    const { code, reason, gone } = ending;
    if (gone) return { status: 499, reason, outcome: 'aborted', fault: null };
    return { status: codes[code].status, reason, outcome: outcomeOf(code), fault: null };
  }
  const { forwarded, permit, denial } = ending;
  const { status, fault } = forwarded;
  if (denial !== null) {
    return { status: codes[denial.code].status, reason: denial.reason, outcome: outcomeOf(denial.code), fault };
  }
  const reason = permit.reason;
  switch (forwarded.outcome) {
    case 'relayed':
      return { status, reason, outcome: 'allowed', fault };
    case 'broken':
      return { status, reason, outcome: 'failed', fault };
    default:
      return { status: status === 0 ? 499 : status, reason, outcome: 'aborted', fault };
  }
}

const outcomeOf = (code: Code): Outcome => (codes[code].blame === 'client' ? 'refused' : 'failed');
