import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, connect as dial, type Socket } from 'node:net';
import type { EnvelopeName } from '../../../src/apis/api-tokens/envelope.ts';
import { mount } from '../../../src/apis/api-tokens/mount.ts';
import type { Fields } from '../../../src/core/fields.ts';
import { type Form, readForm } from '../../../src/core/form.ts';
import { accountGrants, compileRights } from '../../../src/core/rights.ts';
import { compileSubject, subjectFault } from '../../../src/core/token.ts';
import type { Identities } from '../../../src/manage/identities.ts';
import type { TokenService } from '../../../src/manage/token-service.ts';
import type { Mount, MountAnswer, MountConnection, MountRequest } from '../../../src/ports/mount.ts';
import type { Identified, Presented } from '../../../src/ports/session-source.ts';
import type { FeedEvent } from '../../../src/ports/token-store.ts';
import { asker } from '../../support/asker.ts';
import { type Managed, openManaged, ops } from '../../support/managed.ts';
import { NotClaimed } from '../transcript.ts';

/** An office whose people keep API tokens: the mount over real services and a real store, and its sessions. */
export interface Office {
  readonly managed: Managed;
  readonly mount: Mount;
  /** Accounts by their session. */
  readonly sessions: Map<string, string>;
  /** The system that the sessions are in does not answer. */
  sessionsOut: boolean;
  /** What was shown to say who asks, in order. */
  readonly shown: Presented[];
  /** What was logged that nobody expected. */
  readonly faults: unknown[];
  /** How many listen to changes. */
  readonly listening: () => number;
  call(request: Call): Promise<MountAnswer>;
  /** A method, by somebody with a session or token; the body is JSON. */
  rpc(bearer: string, method: string, ...args: readonly unknown[]): Promise<ReturnType<typeof JSON.parse>>;
  shake(fields: Fields, more?: Partial<Call>): Promise<MountConnection | MountAnswer>;
  /** A WebSocket, upgraded already. */
  socket(protocols: string): Promise<Socket>;
  /** The client's end of a handshake that was accepted. */
  upgraded(connection: MountConnection): Promise<Socket>;
}

export interface Call {
  readonly method: string;
  readonly target: string;
  /** Behind Host. */
  readonly fields?: Fields;
  readonly body?: string | Uint8Array;
}

/** `ann` may get, add and list; `bob` may get; `eve` may do nothing. `tokens`: members that stand in front of the service's. */
export async function openOffice(
  envelope: EnvelopeName = 'result',
  path = '/rpc',
  tokens: Partial<TokenService> = {},
): Promise<Office> {
  const listeners = new Set<(events: readonly FeedEvent[] | null) => void>();
  const managed = await openManaged({
    apply: async events => {
      for (const listener of listeners) listener(events);
      return true;
    },
  });
  const { accounts, roles, clock, parts } = managed;
  await roles.create(ops, { id: 'reader', name: 'Readers', permissions: ['db.get'] });
  await accounts.create(ops, {
    id: 'ann',
    name: 'Ann "A."',
    roles: ['reader'],
    permissions: { 'db.add': true, 'site:list': true },
  });
  await accounts.create(ops, { id: 'bob', roles: ['reader'] });
  await accounts.create(ops, { id: 'eve', permissions: [] });
  clock.advance(1000);
  const sessions = new Map(['ann', 'bob', 'eve'].map(id => [`${id}-session`, id]));
  const shown: Presented[] = [];
  const faults: unknown[] = [];

  const manager = async (account: string, tokenId: string | null): Promise<Identified> => {
    const owner = await parts.store.getOwner(account);
    if (owner === null) return { kind: 'nobody' };
    const rights = compileRights({ permissions: 'inherit', owner: account }, owner.account, owner.roles);
    const has = (name: string) => !name.includes('*') && rights.permits(name, null);
    const names = accountGrants(owner.account, owner.roles).flatMap(({ actions }) => Object.keys(actions));
    const permissions = { has, names: [...new Set(names)].filter(has) };
    return { kind: 'manager', manager: { account, permissions, by: tokenId === null ? 'session' : 'token', tokenId } };
  };
  const identities: Identities = {
    identify: async (presented, { tokenKind }) => {
      shown.push(presented);
      const bearer = presented.bearer ?? '';
      const found = await parts.store.find(parts.secrets.digests(createHash('sha256').update(bearer).digest('hex')));
      if (found !== null) {
        const subject = compileSubject(found.token, found.account, found.roles, found.token.digest);
        const isGood = found.token.kind === tokenKind && subjectFault(subject, clock.wall()) === null;
        return isGood ? manager(found.token.owner!, found.token.id) : { kind: 'nobody' };
      }
      if (office.sessionsOut) return { kind: 'unavailable', retryAfter: 3 };
      const account = sessions.get(bearer);
      return account === undefined ? { kind: 'nobody' } : manager(account, null);
    },
  };
  const made = mount(
    {
      tokens: new Proxy(managed.tokens, {
        get: (own, name: keyof TokenService) => tokens[name] ?? own[name].bind(own),
      }),
      accounts,
      identities,
      recovery: null,
      clock,
      log: { info: () => {}, warn: () => {}, error: () => {}, fault: error => void faults.push(error) },
      onChange: listener => {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
    },
    { path, envelope },
  );
  const call: Office['call'] = async said => {
    const form = formOf(said);
    if (made.claims(form) !== 'yes') throw new NotClaimed(said.target);
    return made.answer(requestOf(form, said.body));
  };
  const shake: Office['shake'] = async (fields, more = {}) => {
    const form = formOf({
      method: 'GET',
      target: path || '/',
      fields: ['Connection', 'Upgrade', 'Upgrade', 'websocket', ...fields],
      ...more,
    });
    if (made.claims(form) !== 'yes' || made.connect === null) throw new NotClaimed(form.target.raw);
    return made.connect(requestOf(form));
  };
  const office: Office = {
    managed,
    mount: made,
    sessions,
    sessionsOut: false,
    shown,
    faults,
    listening: () => listeners.size,
    call,
    rpc: async (bearer, method, ...args) => {
      const fields = ['Authorization', `Bearer ${bearer}`];
      const { body } = await call({
        method: 'POST',
        target: `${path}/v1/api-tokens/${method}`,
        fields,
        body: JSON.stringify(args),
      });
      return JSON.parse(String(body));
    },
    shake,
    socket: async protocols => {
      const connection = await shake(['Sec-WebSocket-Protocol', protocols]);
      if (!('run' in connection)) throw new Error(String(connection.body));
      return office.upgraded(connection);
    },
    upgraded: async connection => {
      const server = createServer({ noDelay: true }, socket => {
        server.close();
        void connection.run(socket, new Uint8Array());
      }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as { port: number };
      const socket = dial(port, '127.0.0.1').on('error', () => {});
      await once(socket, 'connect');
      return socket;
    },
  };
  return office;
}

function formOf({ method, target, fields = [], body = '' }: Call): Form {
  const length = Buffer.byteLength(body);
  const framing = length === 0 ? [] : ['Content-Length', String(length)];
  const reading = readForm({
    method,
    target,
    version: '1.1',
    fields: ['Host', 'office.example', ...fields, ...framing],
  });
  if (!reading.ok) throw new Error(`${target}: ${reading.fault.why}`);
  return reading.form;
}

function requestOf(form: Form, body: string | Uint8Array = ''): MountRequest {
  const bytes = Buffer.from(body as string);
  return {
    form,
    requestId: 'req_1',
    client: '192.0.2.7',
    asker,
    origin: 'https://office.example',
    body: async limit => (bytes.length > limit ? 'too_large' : bytes),
  };
}

export const parsed = ({ body }: MountAnswer) => JSON.parse(String(body));
