import { cookiePairs } from '../../core/credential.ts';
import { single } from '../../core/fields.ts';
import type { Form } from '../../core/form.ts';
import { cookieFault } from '../../core/origin.ts';
import type { Identities } from '../../manage/identities.ts';
import type { MountRequest } from '../../ports/mount.ts';
import type { Manager, Presented } from '../../ports/session-source.ts';
import { ApiRefusal, invalid, unauthenticated, unavailable } from './answers.ts';

/** Who asks, and how that was said: what a cookie may do, a key may not. */
export interface Caller {
  readonly manager: Manager;
  readonly by: 'cookie' | 'bearer';
}

export const usePermission = 'USE_PERSONAL_ACCESS_KEYS';
export const adminPermission = 'ADMINISTRATOR';

const cookieName = 'storyden-session';
const nothing: Omit<Presented, 'asker'> = {
  cookie: null,
  cookieValue: null,
  authorization: null,
  bearer: null,
  parameter: null,
};

/**
 * Who asks: by the session cookie, else by the access key. The two are shown one at a time, so that it is known which of
 * them was believed.
 */
export async function identify({ form, origin, asker }: MountRequest, identities: Identities): Promise<Caller> {
  const cookie = readCookie(form);
  const bearer = readBearer(form);
  if (cookie !== null) {
    // A browser adds it to what other sites send. Whether it is good is no matter then.
    const fault = cookieFault(form, null, origin);
    if (fault !== null) throw new ApiRefusal(403, { error: 'cross_site', message: fault });
    const found = await identities.identify({ asker, ...nothing, ...cookie }, { tokenKind: null });
    if (found.kind === 'unavailable') throw unavailable(found.retryAfter);
    if (found.kind === 'manager') return { manager: found.manager, by: 'cookie' };
  }
  if (bearer !== null) {
    const found = await identities.identify({ asker, ...nothing, ...bearer }, { tokenKind: 'access-keys' });
    if (found.kind === 'unavailable') throw unavailable(found.retryAfter);
    if (found.kind === 'manager') return { manager: found.manager, by: 'bearer' };
  }
  throw unauthenticated(cookie !== null || bearer !== null);
}

/**
 * Administrators may do everything here, and are those of whom it is said by name: a grant on `*` is about what an account
 * owns, and the keys of others are not among that.
 */
export function demandPermission({ manager: { permissions } }: Caller, name: string): void {
  if (permissions.names.includes(adminPermission)) return;
  if (name !== adminPermission && permissions.has(name)) return;
  throw new ApiRefusal(403, {
    error: 'permission_denied',
    message: 'Your account lacks a permission.',
    metadata: { permission: name },
  });
}

/** Keys do not make keys. */
export function demandCookie({ by }: Caller): void {
  if (by === 'cookie') return;
  throw new ApiRefusal(403, {
    error: 'session_required',
    message: 'An access key is created with the cookie of a session.',
    suggested: 'Sign in.',
  });
}

/** Null: there is no session. Servers differ in which of two they take. */
function readCookie({ fields, names }: Form): Pick<Presented, 'cookie' | 'cookieValue'> | null {
  const lines = names.flatMap((name, i) => (name === 'cookie' ? [fields[2 * i + 1]!] : []));
  const values = lines.flatMap(cookiePairs).filter(({ name, value }) => name === cookieName && value !== '');
  if (values.length > 1) throw invalid(`The cookie ${cookieName} stands more than once.`);
  const [session] = values;
  return session === undefined ? null : { cookie: lines.join('; '), cookieValue: session.value };
}

/** RFC 6750 2.1. Null: there is no key; another scheme carries none. */
function readBearer({ fields, names }: Form): Pick<Presented, 'authorization' | 'bearer'> | null {
  const authorization = single(fields, names, 'authorization');
  if (authorization === null) throw invalid('Authorization stands more than once.');
  const [, bearer] = /^bearer ([A-Za-z0-9._~+/-]+=*)$/i.exec(authorization ?? '') ?? [];
  return authorization === undefined || bearer === undefined ? null : { authorization, bearer };
}
