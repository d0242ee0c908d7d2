import type { Places } from '../core/credential.ts';
import type { Denial } from '../core/decision.ts';
import type { Preflight } from '../core/origin.ts';
import { rateLimitNames, violatedPolicies } from '../core/rate-limit-fields.ts';
import { type Code, codes, problemBody } from '../errors.ts';
import type { WholeAnswer } from '../ports/exchange.ts';

/** Answers that the gate gives itself. One place turns a denial into bytes. */

export interface AnswerContext {
  readonly requestId: string;
  readonly realm: string;
  readonly places: Places;
  /** Origin that may read the answer; null for none. */
  readonly corsOrigin: string | null;
  readonly draining: boolean;
  /** What is left of limits, as fields. */
  readonly limitFields: readonly string[];
}

/** Fields of ours that a browser's script may read from a refusal. */
const exposed = ['WWW-Authenticate', 'Retry-After', ...rateLimitNames, 'X-Request-Id'].join(', ');

export function denialAnswer(denial: Denial, context: AnswerContext): WholeAnswer {
  const { code, detail, required, limits } = denial;
  const { status, closes } = codes[code];
  const fields = [
    'Content-Type',
    'application/problem+json',
    'Cache-Control',
    'no-store',
    'X-Request-Id',
    context.requestId,
  ];
  const challenge = challengeFor(denial, context);
  if (challenge !== null) fields.push('WWW-Authenticate', challenge);
  if (denial.allow !== undefined) fields.push('Allow', denial.allow.join(', '));
  if (denial.retryAfter !== undefined) fields.push('Retry-After', String(denial.retryAfter));
  fields.push(...context.limitFields, ...corsFields(context));
  const told = { code, detail, ...(required && { required }), ...(limits && { violated: violatedPolicies(limits) }) };
  const body = problemBody(told, context.requestId);
  return { status, fields, body, close: closes || denial.close === true || context.draining };
}

/** RFC 6750 3: an error is named only when a token was presented. */
function challengeFor({ code, required }: Denial, { places, realm }: AnswerContext): string | null {
  const base = `${places.challengeScheme} realm="${realm}"`;
  switch (code) {
    case 'missing_token':
      return base;
    case 'ambiguous_credential':
      return `${base}, error="invalid_request"`;
    case 'invalid_token':
      return `${base}, error="invalid_token"`;
    // RFC 7617 2.
    case 'basic_required':
      return `Basic realm="${realm}"`;
    case 'insufficient_scope':
      return `${base}, error="insufficient_scope", scope="${(required ?? []).join(' ')}"`;
    default:
      return null;
  }
}

function corsFields({ corsOrigin, places }: AnswerContext): string[] {
  if (corsOrigin === null) return [];
  const fields = [
    'Access-Control-Allow-Origin',
    corsOrigin,
    'Vary',
    'Origin',
    'Access-Control-Expose-Headers',
    exposed,
  ];
  if (places.cookies.size > 0) fields.push('Access-Control-Allow-Credentials', 'true');
  return fields;
}

/** An answered preflight (Fetch standard, CORS-preflight): the pattern's methods, the fields as asked, ten minutes. */
export function preflightAnswer(preflight: Preflight, { requestId, places, draining }: AnswerContext): WholeAnswer {
  const fields = [
    'Access-Control-Allow-Origin',
    preflight.origin,
    'Access-Control-Allow-Methods',
    preflight.methods.join(', '),
    ...(preflight.headers === null ? [] : ['Access-Control-Allow-Headers', preflight.headers]),
    'Access-Control-Max-Age',
    '600',
    ...(places.cookies.size > 0 ? ['Access-Control-Allow-Credentials', 'true'] : []),
    'Vary',
    'Origin, Access-Control-Request-Method, Access-Control-Request-Headers',
    'X-Request-Id',
    requestId,
  ];
  return { status: 204, fields, body: '', close: draining };
}

/** An answer to what never became a request. */
export function unparsedAnswer(code: Code, detail: string, requestId: string): WholeAnswer & { body: string } {
  return {
    status: codes[code].status,
    fields: ['Content-Type', 'application/problem+json', 'Cache-Control', 'no-store', 'X-Request-Id', requestId],
    body: problemBody({ code, detail }, requestId),
    close: true,
  };
}
