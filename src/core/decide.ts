import { basicToCut, breachOf, type Proofs, plainBreachOf } from './constraint.ts';
import type { Found, Reading } from './credential.ts';
import { type Denial, deny, denyToken } from './decision.ts';
import type { Form } from './form.ts';
import { cookieFault } from './origin.ts';
import type { Parameters } from './parameters.ts';
import type { Route } from './route.ts';
import type { Claim, Demand } from './rule.ts';
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
  /** What it would have been refused with, were the route or the token not in shadow mode. */
  readonly shadowed: Denial | null;
  readonly #sealed = true;

  constructor(
    route: Route,
    subject: Subject | null,
    reason: 'allowed' | 'public',
    permissions: readonly string[],
    cut: readonly Found[],
    shadowed: Denial | null = null,
  ) {
    this.route = route;
    this.subject = subject;
    this.reason = reason;
    this.permissions = permissions;
    this.cut = cut;
    this.shadowed = shadowed;
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
  /** What the route's rule makes of the request. */
  readonly claim: Claim;
  readonly parameters: Parameters;
  /** What the token's constraints asked to be computed. */
  readonly proofs: Proofs;
  /** Address of the client. */
  readonly client: string;
  /** `scheme://host` that the client used, as far as a trusted proxy or the connection tells. */
  readonly origin: string;
  readonly now: Millis;
}

/**
 * The decision on one request: plain data and an instant in, a permit or a denial out. Malformed requests, unknown routes
 * and ambiguous credentials were refused before.
 */
export function decide(question: Question): Decision {
  const decision = judge(question);
  if (decision.kind === 'permit' || !isShadowed(decision, question)) return decision;
  // It fell before the claim was looked at: what is ambiguous is refused all the same.
  return claimFault(question.claim, decision.subject) ?? letThrough(decision, question);
}

/** Order: token, its state, constraints, permission. */
function judge(question: Question): Decision {
  const { route, evidence, form, now } = question;

  switch (evidence.kind) {
    case 'none':
      if (route.access === 'optional') return new Permit(route, null, 'public', [], []);
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

  const { reading, claim } = question;
  if (reading.kind === 'one' && reading.found.place === 'cookie') {
    const why = cookieFault(form, route.cors, question.origin);
    if (why !== null) return deny('constraint_failed', why, { subject });
  }
  const breach = subject.constraints === null ? null : breachOf(subject.constraints, question);
  if (breach !== null) {
    const { code, detail, constraint, compared, ...more } = breach;
    return deny(code, detail, { subject, ...more, compared: { constraint, ...compared } });
  }

  const unclear = claimFault(claim, subject);
  if (unclear !== null) return unclear;
  if (claim.kind === 'demands') return judgeDemands(subject, claim.demands, question);
  return deny('insufficient_scope', 'Nobody has permission for this command.', { subject, required: [] });
}

/** What the request asks for cannot be told, whoever asks. */
function claimFault(claim: Claim, subject: Subject | null): Denial | null {
  switch (claim.kind) {
    case 'malformed':
      return deny('malformed_request', claim.why, { subject });
    case 'closed':
      return deny('unsupported_media', 'A rule reads parameters, and this body cannot be read.', { subject });
    default:
      return null;
  }
}

/** Whether proofs can make a difference: else they are not worth the work. */
export function awaitsProof(question: Question): boolean {
  const { evidence, form, reading, route, now } = question;
  if (evidence.kind !== 'found' || evidence.subject.constraints?.needsProof !== true) return false;
  if (subjectFault(evidence.subject, now) !== null) return false;
  const inCookie = reading.kind === 'one' && reading.found.place === 'cookie';
  if (inCookie && cookieFault(form, route.cors, question.origin) !== null) return false;
  return plainBreachOf(evidence.subject.constraints, question) === null;
}

/** Every demand must be met: a batch is permitted when each call in it is. */
function judgeDemands(subject: Subject, demands: readonly Demand[], question: Question): Decision {
  const each = <T>(of: (subject: Subject, demand: Demand) => readonly T[]): readonly T[] =>
    demands.length === 1 ? of(subject, demands[0]!) : [...new Set(demands.flatMap(demand => of(subject, demand)))];
  const missing = each(missingPermissions);
  if (missing.length > 0) return lacks(subject, missing);
  return new Permit(question.route, subject, 'allowed', each(satisfied), cutOf(question));
}

/** Leave for a request that nothing judges: a public route, or a preflight that the route forwards. */
export const permitPublic = (route: Route, cut: readonly Found[]): Permit => new Permit(route, null, 'public', [], cut);

/** What shadow mode lets through: 401, 403 and 429, and never what is ambiguous or could not be told. */
const shadowable: ReadonlySet<Denial['code']> = new Set<Denial['code']>([
  'missing_token',
  'invalid_token',
  'basic_required',
  'insufficient_scope',
  'constraint_failed',
  'limit_exceeded',
  'too_many_failures',
]);

/** What somebody has stopped on purpose stays stopped, whatever the token's own mode is; and so does a session. */
const stopped: ReadonlySet<Denial['reason']> = new Set<Denial['reason']>([
  'invalid_token_unknown',
  'invalid_token_revoked',
  'invalid_token_disabled',
  'invalid_token_account_disabled',
]);

/** What is refused is recorded, and may be let through. */
export const isInShadow = ({ route, evidence }: Question): boolean =>
  route.mode === 'shadow' || (evidence.kind === 'found' && evidence.subject.token.mode === 'shadow');

/** Whether shadow mode lets through what was refused so. */
export function isShadowed({ code, reason, subject }: Denial, { route }: Question): boolean {
  if (!shadowable.has(code)) return false;
  return route.mode === 'shadow' || (subject?.token.mode === 'shadow' && !stopped.has(reason));
}

/** Without identity, unless the token is valid. */
function letThrough(denial: Denial, question: Question): Permit {
  const subject = denial.code === 'invalid_token' ? null : denial.subject;
  return new Permit(question.route, subject, subject === null ? 'public' : 'allowed', [], cutOf(question), denial);
}

function cutOf({ reading, route, evidence, form }: Question): readonly Found[] {
  if (reading.kind !== 'one' || route.forwardCredential) return [];
  if (evidence.kind !== 'found' || evidence.subject.constraints === null) return [reading.found];
  return [reading.found, ...basicToCut(evidence.subject.constraints, { form, reading })];
}

/** Without the resource: a client may have put a secret there, and the answer is not the place to say it again. */
function lacks(subject: Subject, required: readonly string[]): Denial {
  return deny('insufficient_scope', `The token lacks ${required.map(name => `"${name}"`).join(', ')}.`, {
    subject,
    required,
  });
}

/** Of `all`: those the token lacks. Of `any`: every one, when it has none of them. */
export function missingPermissions({ rights }: Subject, { mode, permissions, resource }: Demand): readonly string[] {
  const missing = permissions.filter(name => !rights.permits(name, resource));
  return mode === 'all' || missing.length === permissions.length ? missing : [];
}

function satisfied({ rights }: Subject, { mode, permissions, resource }: Demand): readonly string[] {
  if (mode === 'all') return permissions;
  const first = permissions.find(name => rights.permits(name, resource));
  return first === undefined ? [] : [first];
}
