import type { Code } from '../errors.ts';
import type { LimitView } from './limit.ts';
import type { InvalidCause, Subject } from './token.ts';

/** Why a decision fell as it did: the label of `decisions_total` and the `reason` of the log. */
export type Reason = 'allowed' | 'public' | Exclude<Code, 'invalid_token'> | `invalid_token_${InvalidCause}`;

/** The problem code behind a reason; null when nothing was refused. */
export function codeOf(reason: Reason): Code | null {
  if (reason === 'allowed' || reason === 'public') return null;
  return reason.startsWith('invalid_token_') ? 'invalid_token' : (reason as Code);
}

/** A refusal, complete enough to answer it, log it and count it. */
export interface Denial {
  readonly kind: 'denial';
  readonly code: Code;
  readonly reason: Reason;
  /** For the client. Says nothing about why a token is not valid. */
  readonly detail: string;
  readonly subject: Subject | null;
  /** Permissions that were missing. */
  readonly required?: readonly string[];
  /** Methods for `Allow`. */
  readonly allow?: readonly string[];
  /** All limits that the request was held against, where one refused it. */
  readonly limits?: readonly LimitView[];
  /** Seconds for `Retry-After`. */
  readonly retryAfter?: number;
  /** What exactly was held against what, for whoever asks why. Never a secret. */
  readonly compared?: Readonly<Record<string, unknown>>;
  /** A secret was tried that is not right: it counts as a failed credential. */
  readonly guessed?: true;
  /** The connection ends with the answer, although the code alone would not ask for it. */
  readonly close?: boolean;
}

export function deny(
  code: Exclude<Code, 'invalid_token'>,
  detail: string,
  more: Omit<Partial<Denial>, 'kind' | 'code' | 'reason' | 'detail'> = {},
): Denial {
  return { kind: 'denial', code, reason: code, detail, subject: null, ...more };
}

/** Refusals whose detail is always text of ours, and says more than the code. Others may quote a client. */
const explained: ReadonlySet<Code> = new Set<Code>([
  'malformed_request',
  'ambiguous_credential',
  'head_too_large',
  'expectation_failed',
  'version_not_supported',
]);

/** What a log may say of a refusal beside its code; null when there is nothing. */
export const loggedDetail = ({ code, detail }: Pick<Denial, 'code' | 'detail'>): string | null =>
  explained.has(code) ? detail : null;

export function denyToken(cause: InvalidCause, subject: Subject | null): Denial {
  const detail = 'The token is unknown, expired or not in force.';
  return { kind: 'denial', code: 'invalid_token', reason: `invalid_token_${cause}`, detail, subject };
}
