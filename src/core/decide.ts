import type { Found, Reading } from './credential.ts';
import { type Denial, deny, denyToken } from './decision.ts';
import type { Form } from './form.ts';
import { cookieFault } from './origin.ts';
import type { Requirement, Route } from './route.ts';
import { type InvalidCause, type Millis, type Subject, subjectFault } from './token.ts';

/**
 * Leave to forward one request. The upstream port takes nothing else, and nothing outside this file can make one: the
 * class is exported as a type alone, and its private member keeps look-alikes out.
 */
class Permit {
  readonly kind = 'permit';
  readonly route: Route;
  readonly subject: Subject | null;
  readonly reason: 'allowed' | 'public';
  /** Permissions of the route that the token was found to have. */
  readonly permissions: readonly string[];
  /** Credentials to cut from what is sent. */
  readonly cut: readonly Found[];
  readonly #sealed = true;

  constructor(
    route: Route,
    subject: Subject | null,
    reason: 'allowed' | 'public',
    permissions: readonly string[],
    cut: readonly Found[],
  ) {
    this.route = route;
    this.subject = subject;
    this.reason = reason;
    this.permissions = permissions;
    this.cut = cut;
  }

  static isPermit(decision: Decision): decision is Permit {
    return #sealed in decision && decision.#sealed;
  }
}

export type { Permit };
export type Decision = Permit | Denial;

/** What is known of the presented token: an outage is data, and is never read as a bad token. */
export type Evidence =
  /** No token at a configured place. */
  | { readonly kind: 'none' }
  /** Not a token of ours by its form: it was never looked up. */
  | { readonly kind: 'refused'; readonly cause: 'malformed' | 'checksum' }
  | { readonly kind: 'absent' }
  | { readonly kind: 'found'; readonly subject: Subject }
  | { readonly kind: 'unavailable'; readonly retryAfter: number };

export interface Question {
  readonly form: Form;
  readonly route: Route;
  readonly reading: Reading;
  readonly evidence: Evidence;
  /** `scheme://host` that the client used, as far as a trusted proxy or the connection tells. */
  readonly origin: string;
  readonly now: Millis;
}

/**
 * The decision on one request: plain data and an instant in, a permit or a denial out. Order: token, its state,
 * constraints, permission. Malformed requests, unknown routes and ambiguous credentials were refused before.
 */
export function decide(question: Question): Decision {
  const { route, reading, evidence, form, now } = question;
  const found = reading.kind === 'one' ? [reading.found] : [];

  switch (evidence.kind) {
    case 'none':
      if (route.access === 'optional') return permit(route, null, [], []);
      return deny('missing_token', 'This path needs a token.');
    case 'refused':
      return denyToken(evidence.cause, null);
    case 'absent':
      return denyToken('unknown', null);
    case 'unavailable':
      return deny('store_unavailable', 'The token could not be checked. It may be good: try again.', {
        retryAfter: evidence.retryAfter,
      });
    case 'found':
      break;
  }

  const { subject } = evidence;
  const fault: InvalidCause | null = subjectFault(subject, now);
  if (fault !== null) return denyToken(fault, subject);

  if (reading.kind === 'one' && reading.found.place === 'cookie') {
    const why = cookieFault(form, route.cors, question.origin);
    if (why !== null) return deny('constraint_failed', why, { subject });
  }

  const missing = missingPermissions(subject, route.require);
  if (missing.length > 0) return lacks(subject, missing);
  return permit(route, subject, satisfied(subject, route.require), found);
}

/** Leave for a request that nothing judges: a public route, or a preflight that the route forwards. */
export const permitPublic = (route: Route, cut: readonly Found[]): Permit => new Permit(route, null, 'public', [], cut);

/** A token without permissions passes a route that requires none. */
function permit(route: Route, subject: Subject | null, permissions: readonly string[], found: Found[]): Permit {
  const reason = subject === null ? 'public' : 'allowed';
  return new Permit(route, subject, reason, permissions, route.forwardCredential ? [] : found);
}

function lacks(subject: Subject, required: readonly string[]): Denial {
  return deny('insufficient_scope', `The token lacks ${required.map(name => `"${name}"`).join(', ')}.`, {
    subject,
    required,
  });
}

/** Of `all`: those the token lacks. Of `any`: every one, when it has none of them. */
function missingPermissions(subject: Subject, require: Requirement | null): readonly string[] {
  if (require === null) return [];
  const missing = require.permissions.filter(name => !subject.grants.permits(name));
  return require.mode === 'all' || missing.length === require.permissions.length ? missing : [];
}

function satisfied(subject: Subject, require: Requirement | null): readonly string[] {
  if (require === null) return [];
  if (require.mode === 'all') return require.permissions;
  const first = require.permissions.find(name => subject.grants.permits(name));
  return first === undefined ? [] : [first];
}
