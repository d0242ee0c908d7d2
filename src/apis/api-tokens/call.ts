import { type Code, codes, Refusal, StoreUnavailable } from '../../errors.ts';
import type { Manager } from '../../ports/session-source.ts';
import type { ApiParts } from '../parts.ts';
import { Failure, failed, type Outcome } from './envelope.ts';
import { methods } from './methods.ts';
import { type Said, SaidFault } from './said.ts';
import { kind } from './token-form.ts';

/** What calls name methods by: over HTTP behind the mount, in messages as they are. */
export const methodPath = '/v1/api-tokens/';

/** Who is not known, or may not. */
export const denied = (): Failure => new Failure(403, 'Insufficient permissions');

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
    if (error instanceof Error && 'bodyFault' in error) throw error;
    if (error instanceof Failure) return failed(error);
    if (error instanceof SaidFault) return failed(new Failure(400));
    if (error instanceof StoreUnavailable) return failed(new Failure(503));
    if (error instanceof Refusal) return failed(failureOf(error.problem.code));
    parts.log.fault(error, 'a call of api-tokens failed');
    return failed(new Failure(500));
  }
}

/** The services' refusals as this API has them. A token that was revoked meanwhile is one that is not there. */
function failureOf(code: Code): Failure {
  switch (code) {
    case 'forbidden':
      return denied();
    case 'validation_failed':
      return new Failure(400);
    case 'conflict':
      return new Failure(409);
    default:
      return new Failure(codes[code].status);
  }
}
