import { createHash } from 'node:crypto';
import { mount } from '../../../src/apis/access-keys/mount.ts';
import type { Fields } from '../../../src/core/fields.ts';
import { readForm } from '../../../src/core/form.ts';
import { compileSubject, subjectFault } from '../../../src/core/token.ts';
import { permissionsOfAccount } from '../../../src/manage/effective-permissions.ts';
import type { Identities } from '../../../src/manage/identities.ts';
import type { Mount, MountAnswer } from '../../../src/ports/mount.ts';
import type { Identified, Presented } from '../../../src/ports/session-source.ts';
import { asker } from '../../support/asker.ts';
import { type Managed, openManaged, ops } from '../../support/managed.ts';
import { NotClaimed } from '../transcript.ts';

/** A forum whose members keep access keys: the mount over real services and a real store, and its sessions. */
export interface Forum {
  readonly managed: Managed;
  readonly mount: Mount;
  /** Accounts by the value of their session cookie. */
  readonly sessions: Map<string, string>;
  /** The system that the sessions are in does not answer. */
  sessionsOut: boolean;
  /** What was shown to say who asks, in order. */
  readonly shown: Presented[];
  /** What was logged that nobody expected. */
  readonly faults: unknown[];
  call(request: Call): Promise<MountAnswer>;
  /** The same, of a member with a session; the body is JSON. */
  as(member: string, method: string, target: string, body?: unknown): Promise<MountAnswer>;
}

export interface Call {
  readonly method: string;
  readonly target: string;
  /** Behind Host. */
  readonly fields?: Fields;
  readonly body?: string | Uint8Array;
}

export const host = 'forum.example';

/** `odin` administrates, `baldur` and `freya` may use keys, `loki` may not, `huginn` is a bot. */
export async function openForum(path = '/api'): Promise<Forum> {
  const managed = await openManaged();
  const { accounts, roles, clock } = managed;
  await roles.create(ops, { id: 'admin', name: 'Administrators', permissions: ['ADMINISTRATOR'] });
  await roles.create(ops, { id: 'member', name: '', permissions: ['USE_PERSONAL_ACCESS_KEYS', 'CREATE_POST'] });
  await roles.create(ops, { id: 'bot', name: 'Bots', permissions: [] });
  await accounts.create(ops, { id: 'odin', name: 'Odin "the" Allfather', roles: ['admin'] });
  await accounts.create(ops, { id: 'baldur', name: 'Baldur', roles: ['member'] });
  await accounts.create(ops, { id: 'freya', roles: ['member'] });
  await accounts.create(ops, { id: 'loki', name: 'Loki', permissions: ['CREATE_POST'] });
  await accounts.create(ops, { id: 'huginn', name: 'Huginn', roles: ['bot', 'member'] });
  clock.advance(1000);
  const sessions = new Map(['odin', 'baldur', 'freya', 'loki', 'huginn'].map(id => [`${id}-session`, id]));
  const shown: Presented[] = [];
  const faults: unknown[] = [];
  const forum: Omit<Forum, 'mount' | 'call' | 'as'> = { managed, sessions, sessionsOut: false, shown, faults };

  const manager = async (
    account: string,
    tokenId: string | null,
  ): Promise<Extract<Identified, { readonly kind: 'manager' }> | null> => {
    const owner = await managed.parts.store.getOwner(account);
    if (owner === null) return null;
    const permissions = permissionsOfAccount(owner.account, owner.roles);
    return { kind: 'manager', manager: { account, permissions, by: tokenId === null ? 'session' : 'token', tokenId } };
  };
  const byToken = async (secret: string, kind: string) => {
    const { secrets, store } = managed.parts;
    const found = await store.find(secrets.digests(createHash('sha256').update(secret).digest('hex')));
    if (found === null || found.token.kind !== kind || found.token.owner === null) return null;
    const subject = compileSubject(found.token, found.account, found.roles, found.token.digest);
    return subjectFault(subject, clock.wall()) === null ? manager(found.token.owner, found.token.id) : null;
  };
  const identities: Identities = {
    identify: async (presented, { tokenKind }) => {
      shown.push(presented);
      const secret = presented.cookieValue ?? presented.bearer;
      if (secret !== null && tokenKind !== null) {
        const found = await byToken(secret, tokenKind);
        if (found !== null) return found;
      }
      if (self.sessionsOut) return { kind: 'unavailable', retryAfter: 3 };
      const account = sessions.get(presented.cookieValue ?? presented.bearer ?? '');
      return (account === undefined ? null : await manager(account, null)) ?? { kind: 'nobody' };
    },
  };
  const fault = (error: unknown) => void faults.push(error);
  const made = mount(
    {
      tokens: managed.tokens,
      accounts,
      identities,
      recovery: null,
      clock,
      log: { info: () => {}, warn: () => {}, error: () => {}, fault },
      onChange: () => () => {},
    },
    { path },
  );
  const call = async ({ method, target, fields = [], body = '' }: Call): Promise<MountAnswer> => {
    const bytes = Buffer.from(body);
    const framing = bytes.length === 0 ? [] : ['Content-Length', String(bytes.length)];
    const reading = readForm({ method, target, version: '1.1', fields: ['Host', host, ...fields, ...framing] });
    if (!reading.ok) throw new Error(`${target}: ${reading.fault.why}`);
    const { form } = reading;
    if (made.claims(form) !== 'yes') throw new NotClaimed(target);
    return made.answer({
      form,
      requestId: 'req_1',
      client: '192.0.2.7',
      asker,
      origin: `https://${host}`,
      body: async limit => (bytes.length > limit ? 'too_large' : bytes),
    });
  };
  const as: Forum['as'] = (member, method, target, body) =>
    call({
      method,
      target,
      fields: ['Cookie', `storyden-session=${member}-session`, 'Content-Type', 'application/json'],
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
  const self: Forum = Object.assign(forum, { mount: made, call, as });
  return self;
}

/** A key of a member, made through the API. */
export async function makeKey(
  forum: Forum,
  member: string,
  more: object = {},
): Promise<{ readonly id: string; readonly secret: string }> {
  const { status, body } = await forum.as(member, 'POST', '/api/auth/access-keys', { name: 'ci', ...more });
  if (status !== 200) throw new Error(String(body));
  return JSON.parse(String(body));
}

export const json = ({ body }: MountAnswer) => JSON.parse(String(body));
