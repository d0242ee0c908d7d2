import type { Fields } from '../../core/fields.ts';
import { codes, type Problem, Refusal, StoreUnavailable } from '../../errors.ts';
import type { MountAnswer } from '../../ports/mount.ts';

/** What this API says is wrong. `error` is for programs, `message` and `suggested` are for people. */
export interface ApiError {
  readonly error: string;
  readonly message?: string;
  readonly suggested?: string;
  readonly metadata?: { readonly [name: string]: unknown };
}

/** A call that is refused: thrown on its way, answered in one place. */
export class ApiRefusal extends Error {
  readonly status: number;
  readonly body: ApiError;
  readonly fields: Fields;
  /** A credential was presented that is no good. */
  readonly guessed: boolean;
  constructor(status: number, body: ApiError, fields: Fields = [], guessed = false) {
    super(body.error);
    this.name = 'ApiRefusal';
    this.status = status;
    this.body = body;
    this.fields = fields;
    this.guessed = guessed;
  }
}

/** Members that are undefined are left out. */
export const jsonAnswer = (status: number, value: unknown, fields: Fields = []): MountAnswer =>
  writtenAnswer(status, JSON.stringify(value), fields);

/** `json`: as it is answered. */
export const writtenAnswer = (status: number, json: string, fields: Fields = []): MountAnswer => ({
  status,
  fields: ['Content-Type', 'application/json', ...fields],
  body: json,
});

export const emptyAnswer: MountAnswer = { status: 204, fields: [], body: null };

export const invalid = (message: string, errors?: Problem['errors']): ApiRefusal =>
  new ApiRefusal(400, {
    error: 'invalid',
    message,
    ...(errors !== undefined && { metadata: { errors } }),
  });

export const tooLarge = (limit: number): ApiRefusal =>
  new ApiRefusal(413, { error: 'too_large', message: `The body is over ${limit} bytes.` });

/** A challenge, as every 401 has (RFC 9110 11.6.1). */
export const unauthenticated = (guessed: boolean): ApiRefusal =>
  new ApiRefusal(
    401,
    {
      error: 'unauthenticated',
      message: 'You are not signed in, or the access key is not valid.',
      suggested: 'Sign in, or use an access key that is valid.',
    },
    ['WWW-Authenticate', 'Bearer'],
    guessed,
  );

export const notFound = (): ApiRefusal =>
  new ApiRefusal(404, { error: 'not_found', message: 'There is no such access key.' });

export const accountDisabled = (): ApiRefusal =>
  new ApiRefusal(403, { error: 'permission_denied', message: 'Your account may not do this.' });

export const keysUsedUp = (most: number): ApiRefusal =>
  new ApiRefusal(403, {
    error: 'too_many_keys',
    message: `Your account has ${most} access keys, and can have no more.`,
    suggested: 'Delete those that are not used.',
  });

/** Only operators can page through them. */
export const tooManyKeys = (): ApiRefusal =>
  new ApiRefusal(500, { error: 'too_many_keys', message: 'There are too many access keys for one list.' });

/** `Retry-After` is in seconds. */
export const unavailable = (retryAfter: number, outcome?: 'unknown'): ApiRefusal =>
  new ApiRefusal(
    503,
    {
      error: 'unavailable',
      message: 'This cannot be answered right now.',
      suggested: outcome === undefined ? 'Try again.' : 'It may have been done all the same: look before trying again.',
      ...(outcome !== undefined && { metadata: { outcome } }),
    },
    ['Retry-After', String(retryAfter)],
  );

/** The answer to what was thrown; null when nobody expected it. */
export function answerTo(error: unknown, mutates: boolean): MountAnswer | null {
  if (error instanceof ApiRefusal) {
    const answer = jsonAnswer(error.status, error.body, error.fields);
    return error.guessed ? { ...answer, guessed: true } : answer;
  }
  if (error instanceof StoreUnavailable)
    return answerTo(unavailable(1, mutates && error.sent ? 'unknown' : undefined), mutates);
  return error instanceof Refusal ? answerTo(ofService(error.problem), mutates) : null;
}

/** What a service refuses, in this API's words. */
function ofService({ code, detail, errors }: Problem): ApiRefusal {
  switch (code) {
    case 'validation_failed':
    case 'unsupported_member':
      return invalid(detail, errors);
    case 'not_found':
      return notFound();
    case 'forbidden':
      return accountDisabled();
    default:
      return new ApiRefusal(codes[code].status, { error: code, message: detail });
  }
}

export const internalAnswer: MountAnswer = jsonAnswer(500, {
  error: 'internal',
  message: 'An unexpected error occurred.',
});
