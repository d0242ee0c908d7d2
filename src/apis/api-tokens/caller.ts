import { single } from '../../core/fields.ts';
import { StoreUnavailable } from '../../errors.ts';
import type { MountRequest } from '../../ports/mount.ts';
import type { Asker, Identified, Presented } from '../../ports/session-source.ts';
import type { ApiParts } from '../parts.ts';
import { denied, failed, type Outcome } from './envelope.ts';
import { kind } from './token-form.ts';

/**
 * Who calls. A session or token stands in `Authorization`, or is offered with a handshake: what a browser sends by itself
 * says nothing here, so that no other site can call in somebody's name.
 */
export async function identify(parts: ApiParts, presented: Presented | null): Promise<Identified> {
  if (presented === null) return { kind: 'nobody' };
  try {
    return await parts.identities.identify(presented, { tokenKind: kind, asOwner: true });
  } catch (error) {
    // A connection is not closed, and nobody is refused, because nobody could be asked.
    if (error instanceof StoreUnavailable) return { kind: 'unavailable', retryAfter: 1 };
    throw error;
  }
}

/** What nobody is answered. Whoever presented something has guessed. */
export const refused = (presented: Presented | null): Outcome => ({
  ...failed(denied()),
  ...(presented !== null && { guessed: true }),
});

/** The token of `Authorization`, with `Bearer` before it in any case, or bare; null where there is none, or no single one. */
export function presentedBy({ form: { fields, names }, asker }: MountRequest): Presented | null {
  const authorization = single(fields, names, 'authorization');
  const bearer = /^(?:bearer +)?([!-+\--~]+)$/i.exec(authorization ?? '')?.[1];
  return authorization == null || bearer === undefined ? null : presentedAs(bearer, asker, authorization);
}

export const presentedAs = (bearer: string, asker: Asker, authorization = `Bearer ${bearer}`): Presented => ({
  asker,
  cookie: null,
  cookieValue: null,
  authorization,
  bearer,
  parameter: null,
});
