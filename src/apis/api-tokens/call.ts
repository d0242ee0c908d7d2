import { type Problem, Refusal, StoreUnavailable } from '../../errors.ts';
import type { Manager } from '../../ports/session-source.ts';
import { isBodyFault } from '../body-fault.ts';
import type { ApiParts } from '../parts.ts';
import { denied, Failure, failed, type Outcome } from './envelope.ts';
import { methods } from './methods.ts';
import { type Said, SaidFault } from './said.ts';
import { kind } from './token-form.ts';

/** What calls name methods by: over HTTP behind the mount, in messages as they are. */
export const methodPath = '/v1/api-tokens/';

/** Makes a call by somebody who is known. Whatever goes wrong becomes an outcome. */
export function callMethod(
  parts: ApiParts,
  manager: Manager,
  address: string,
  name: string,
  values: readonly Said[],
): Promise<Outcome> {
  return outcomeOf(parts, async () => {
    const method = methods.get(name);
    if (method === undefined) throw new Failure(404);
    const { account } = manager;
    const actor = { name: `${kind}:${account}`, address, scope: { account } };
    return method({ parts, manager, actor, values });
  });
}

/** What an attempt comes to. Only faults of the request's body are thrown on: they are not the API's to answer. */
export async function outcomeOf(parts: ApiParts, attempt: () => Promise<Outcome>): Promise<Outcome> {
  try {
    return await attempt();
  } catch (error) {
    if (isBodyFault(error)) throw error;
    if (error instanceof Failure) return failed(error);
    if (error instanceof SaidFault) return failed(new Failure(400));
    if (error instanceof StoreUnavailable) return failed(new Failure(503));
    const failure = error instanceof Refusal ? failureOf(error.problem) : new Failure(500);
    if (failure.status === 500) parts.log.fault(error, 'a call of api-tokens failed');
    return failed(failure);
  }
}

/**
 * The services' refusals as this API has them, whose statuses are few: 400, 403, 404, and what is no fault of the client's.
 * What the services have no reason to say here is a fault of ours.
 */
export function failureOf({ code, errors }: Problem): Failure {
  switch (code) {
    case 'forbidden':
      return denied();
    case 'validation_failed':
      // The user's account has gone since it was asked who calls.
      return errors?.[0]?.pointer === '/owner' ? denied() : new Failure(400);
    case 'unsupported_member':
      return new Failure(400);
    case 'not_found':
      return new Failure(404);
    // Others came between, again and again; or what it is has changed since it was looked at. It may be asked for again.
    case 'conflict':
    case 'version_mismatch':
    case 'overloaded':
    case 'store_unavailable':
      return new Failure(503);
    default:
      return new Failure(500);
  }
}
