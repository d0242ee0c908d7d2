import { Refusal, StoreUnavailable } from '../../errors.ts';
import type { MountAnswer } from '../../ports/mount.ts';
import type { TokenHash } from './token-hash.ts';

/** What is answered with `FAILURE`, in words for the client: never a secret, and nothing of what it sent but names. */
export class Failure extends Error {
  /** A credential was shown that is no good. */
  readonly guessed: boolean;
  constructor(message: string, guessed = false) {
    super(message);
    this.name = 'Failure';
    this.guessed = guessed;
  }
}

/** What the commands answer. `{}` where the return code says it all. */
export type Data = TokenHash | readonly TokenHash[] | Readonly<Record<string, never>>;

export const noData: Data = {};

export const success = (data: Data): MountAnswer => envelope('SUCCESS', 'OK', data);
export const failure = (message: string): MountAnswer => envelope('FAILURE', message, noData);

/** The status is 200 whatever it says. */
const envelope = (code: 'SUCCESS' | 'FAILURE', message: string, data: Data): MountAnswer => ({
  status: 200,
  fields: ['Content-Type', 'application/json'],
  body: JSON.stringify({ return_code: code, message, data }),
});

export const noSuchToken = (): Failure => new Failure('There is no such token.');

/** What was thrown, for the client; null when nobody expected it. */
export function messageOf(error: unknown): string | null {
  if (error instanceof Failure) return error.message;
  if (error instanceof Refusal) return refusalMessage(error);
  if (!(error instanceof StoreUnavailable)) return null;
  return error.sent
    ? 'The token store did not answer in time. What was asked for may have been done: look before trying again.'
    : 'The token store is not available. Try again.';
}

function refusalMessage({ problem: { code, detail, errors = [] } }: Refusal): string {
  switch (code) {
    case 'not_found':
      return noSuchToken().message;
    case 'forbidden':
      return errors[0] === undefined ? detail : `The token ${errors[0].detail}.`;
    default:
      return errors[0] === undefined ? detail : `${errors[0].pointer.slice(1)} ${errors[0].detail}.`;
  }
}
