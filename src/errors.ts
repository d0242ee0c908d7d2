/**
 * The one table of error codes. Every refusal that leaves the process, on any listener, has its status, its public
 * text and its blame from here; the README's table is checked against it in both directions.
 *
 * `closes`: the connection is not used again after this answer, because what follows on it cannot be trusted.
 */
export type Blame = 'client' | 'platform' | 'upstream' | 'config';

interface Entry {
  readonly status: number;
  readonly blame: Blame;
  readonly closes: boolean;
  readonly title: string;
}

const table = {
  malformed_request: { status: 400, blame: 'client', closes: true, title: 'The request is malformed or ambiguous' },
  ambiguous_credential: { status: 400, blame: 'client', closes: false, title: 'The credential is ambiguous' },
  invalid_body: { status: 400, blame: 'client', closes: false, title: 'The body is not what this call takes' },
  unauthenticated: { status: 401, blame: 'client', closes: false, title: 'An admin key is required' },
  missing_token: { status: 401, blame: 'client', closes: false, title: 'A token is required' },
  invalid_token: { status: 401, blame: 'client', closes: false, title: 'The token is not valid' },
  basic_required: { status: 401, blame: 'client', closes: false, title: 'Basic credentials are required' },
  forbidden: { status: 403, blame: 'client', closes: false, title: 'Not allowed' },
  insufficient_scope: { status: 403, blame: 'client', closes: false, title: 'The token lacks a permission' },
  constraint_failed: { status: 403, blame: 'client', closes: false, title: 'A constraint of the token is not met' },
  no_route: { status: 404, blame: 'client', closes: false, title: 'No route matches' },
  not_found: { status: 404, blame: 'client', closes: false, title: 'No such thing' },
  method_not_allowed: { status: 405, blame: 'client', closes: false, title: 'The method is not allowed here' },
  request_timeout: { status: 408, blame: 'client', closes: true, title: 'The request came too slowly' },
  conflict: { status: 409, blame: 'client', closes: false, title: 'It conflicts with what exists' },
  version_mismatch: { status: 412, blame: 'client', closes: false, title: 'It was changed meanwhile' },
  body_too_large: { status: 413, blame: 'client', closes: true, title: 'The body is too large' },
  unsupported_media: { status: 415, blame: 'client', closes: false, title: 'The body is of an unsupported kind' },
  expectation_failed: { status: 417, blame: 'client', closes: true, title: 'The expectation cannot be met' },
  validation_failed: { status: 422, blame: 'client', closes: false, title: 'The request has invalid members' },
  unsupported_member: { status: 422, blame: 'client', closes: false, title: 'A member is not enforced yet' },
  limit_exceeded: { status: 429, blame: 'client', closes: false, title: 'The limit is spent' },
  too_many_failures: { status: 429, blame: 'client', closes: false, title: 'Too many failed attempts' },
  head_too_large: { status: 431, blame: 'client', closes: true, title: 'The request head is too large' },
  internal_error: { status: 500, blame: 'platform', closes: true, title: 'Something went wrong here' },
  upstream_failed: { status: 502, blame: 'upstream', closes: false, title: 'The upstream failed' },
  store_unavailable: { status: 503, blame: 'platform', closes: false, title: 'The token store is unavailable' },
  overloaded: { status: 503, blame: 'platform', closes: true, title: 'Too busy, try again' },
  upstream_timeout: { status: 504, blame: 'upstream', closes: false, title: 'The upstream was too slow' },
  version_not_supported: { status: 505, blame: 'client', closes: true, title: 'Only HTTP/1.0 and HTTP/1.1 are spoken' },
  loop_detected: { status: 508, blame: 'config', closes: false, title: 'The request has been here before' },
} as const satisfies Record<string, Entry>;

export type Code = keyof typeof table;
export const codes: Readonly<Record<Code, Entry>> = table;

/** `type` of a problem document (RFC 9457). */
export const problemType = (code: Code): string => `urn:postern:problem:${code}`;

/** A problem document's members, before they are written. Never a secret, a stack or an upstream address. */
export interface Problem {
  readonly code: Code;
  readonly detail: string;
  readonly required?: readonly string[];
  readonly violated?: readonly string[];
  readonly errors?: readonly { readonly pointer: string; readonly detail: string }[];
  readonly outcome?: 'unknown';
}

export function problemBody(problem: Problem, requestId: string): string {
  const { code, detail, required, violated, errors, outcome } = problem;
  const { status, title } = codes[code];
  return JSON.stringify({
    type: problemType(code),
    title,
    status,
    detail,
    code,
    request_id: requestId,
    required,
    violated_policies: violated,
    errors,
    outcome,
  });
}

/** A failed call to a management service: thrown by services, turned into an answer in one place. */
export class Refusal extends Error {
  readonly problem: Problem;
  constructor(code: Code, detail: string, more: Omit<Problem, 'code' | 'detail'> = {}) {
    super(detail);
    this.name = 'Refusal';
    this.problem = { code, detail, ...more };
  }
}

/**
 * The store did not answer, or refused. `sent` says whether the command may have been carried out all the same: then
 * a mutation's outcome is unknown, and the caller must say so.
 */
export class StoreUnavailable extends Error {
  readonly sent: boolean;
  constructor(message: string, options: { sent: boolean; cause?: unknown } = { sent: false }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'StoreUnavailable';
    this.sent = options.sent;
  }
}
