import { hash } from 'node:crypto';
import http from 'node:http';
import { AdminListener, type AdminParts, type AdminPolicy } from '../../src/admin/admin-listener.ts';
import type { ServerOptions } from '../../src/admin/server.ts';
import { backupText, headingOf } from '../../src/backup/format.ts';
import type { Explanation } from '../../src/core/explain.ts';
import { Mounts } from '../../src/core/mounts.ts';
import { Guard } from '../../src/gate/guard.ts';
import type { ManageParts } from '../../src/manage/parts.ts';
import { Watchers } from '../../src/manage/watchers.ts';
import type { Decider } from '../../src/ports/decider.ts';
import type { Log } from '../../src/ports/log.ts';
import { type Managed, openManaged } from '../support/managed.ts';

/** The admin API on a socket, over a real store. */

export const keys = {
  admin: 'admin-key-0123456789abcdef0123456789abcdef',
  read: 'read-key-0123456789abcdef0123456789abcdef!',
  /** For the tokens of the account `acme`, which nobody has made yet. */
  owner: 'owner-key-0123456789abcdef0123456789abcdef',
  expired: 'expired-key-0123456789abcdef0123456789abc',
} as const;

export interface LogEntry {
  readonly fields: object;
  readonly message: string;
  readonly error: unknown;
}

export interface Reply {
  readonly status: number;
  readonly fields: http.IncomingHttpHeaders;
  readonly rawFields: readonly string[];
  readonly text: string;
  // The shape of an answer is what the tests are about.
  readonly json: Reply.Json;
}
export declare namespace Reply {
  /** Any JSON, to be looked into without ceremony. */
  type Json = { readonly [name: string]: Json } & readonly Json[] & string & number & boolean & null;
}

export interface Ask {
  /** Null: no Authorization at all. */
  readonly key?: string | null;
  readonly json?: unknown;
  /** Bytes as they are, instead of `json`. */
  readonly body?: string | Uint8Array;
  readonly fields?: Readonly<Record<string, string | readonly string[]>>;
}

export interface Admin {
  readonly managed: Managed;
  readonly listener: AdminListener;
  /** Nobody tells them anything but the test. */
  readonly watchers: Watchers;
  /** The policy that it began with. */
  readonly policy: AdminPolicy;
  readonly port: number;
  readonly log: LogEntry[];
  ask(method: string, path: string, ask?: Ask): Promise<Reply>;
  /** Makes a token and answers with it and its secret. */
  make(members?: object): Promise<{ readonly id: string; readonly secret: string }>;
  dispose(): Promise<void>;
}

export interface AdminChange {
  readonly parts?: Partial<ManageParts>;
  readonly policy?: Partial<AdminPolicy>;
  readonly options?: Partial<ServerOptions>;
  readonly listenerParts?: Partial<AdminParts>;
}

const nothingWrong: Explanation = { allow: true, status: 200, code: null, shadow: null, steps: [], remedy: null };

/** A gate that judges nothing, and remembers one decision. */
export const unasked: Decider = {
  explain: () => Promise.resolve(nothingWrong),
  carries: () => 'nothing',
  decision: requestId =>
    requestId !== 'remembered'
      ? null
      : {
          requestId,
          at: 0,
          method: 'GET',
          path: '/',
          route: null,
          tokenId: null,
          owner: null,
          explanation: nothingWrong,
        },
  kept: 0,
};

export async function openAdmin({
  parts = {},
  policy = {},
  options = {},
  listenerParts = {},
}: AdminChange = {}): Promise<Admin> {
  const managed = await openManaged(parts);
  const { clock, tokens, accounts, roles, sessions } = managed;
  const log: LogEntry[] = [];
  const note = (fields: object, message: string, error?: unknown) => void log.push({ fields, message, error });
  const logger: Log = { info: note, warn: note, error: note, fault: (error, message) => note({}, message, error) };
  const digest = (key: string) => hash('sha256', key, 'buffer');
  const watchers = new Watchers(managed.store, await managed.store.feed.head());
  const firstPolicy: AdminPolicy = {
    keys: [
      { name: 'ops', role: 'admin', sha256: digest(keys.admin), expiresAt: null },
      { name: 'auditor', role: 'read', sha256: digest(keys.read), expiresAt: null },
      { name: 'acme', role: 'owner:acme', sha256: digest(keys.owner), expiresAt: null },
      { name: 'former', role: 'admin', sha256: digest(keys.expired), expiresAt: clock.wall() },
    ],
    hosts: null,
    guard: new Guard({ failures: 0, perMs: 10_000 }, clock),
    mounts: new Mounts([]),
    ...policy,
  };
  const listener = new AdminListener(
    { host: '127.0.0.1', port: 0, tls: null, ...options },
    {
      tokens,
      accounts,
      roles,
      sessions,
      backup: () => backupText(headingOf(managed.store.identity, clock.wall()), managed.store.transfer.dump()),
      watchers,
      decider: unasked,
      clock,
      log: logger,
      version: '0.0.0-test',
      ...listenerParts,
    },
    firstPolicy,
  );
  const port = await listener.listen();
  const agent = new http.Agent({ keepAlive: true });
  const ask: Admin['ask'] = (method, path, request = {}) => send(port, agent, method, path, request);
  return {
    managed,
    listener,
    watchers,
    policy: firstPolicy,
    port,
    log,
    ask,
    make: async (members = {}) => {
      const { status, json } = await ask('POST', '/v1/tokens', { json: members });
      if (status !== 201) throw new Error(`${status} ${JSON.stringify(json)}`);
      return { id: json['token']!['id']!, secret: json['secret']! };
    },
    dispose: async () => {
      agent.destroy();
      await listener.close();
      await managed.dispose();
    },
  };
}

export function send(
  port: number,
  agent: http.Agent | undefined,
  method: string,
  path: string,
  { key = keys.admin, json, body, fields = {} }: Ask = {},
): Promise<Reply> {
  const payload = body ?? (json === undefined ? undefined : JSON.stringify(json));
  const headers: http.OutgoingHttpHeaders = {};
  if (key !== null) headers['authorization'] = `Bearer ${key}`;
  if (payload !== undefined) headers['content-type'] = 'application/json';
  if (payload !== undefined) headers['content-length'] = String(Buffer.byteLength(payload));
  Object.assign(headers, fields);
  return new Promise((resolve, reject) => {
    const request = http.request({
      port,
      host: '127.0.0.1',
      method,
      path,
      agent,
      headers,
      setHost: !('host' in headers),
    });
    request.on('error', reject);
    request.on('response', response => {
      const pieces: Buffer[] = [];
      const isEvents = response.headers['content-type'] === 'text/event-stream';
      response.on('data', (piece: Buffer) => {
        pieces.push(piece);
        // It has no end: whoever asks in passing leaves after the first piece.
        if (isEvents) response.destroy();
      });
      response.on('error', reject);
      response.on(isEvents ? 'close' : 'end', () => {
        const text = Buffer.concat(pieces).toString('utf8');
        const isJson = /[/+]json$/.test(response.headers['content-type'] ?? '') && text !== '';
        resolve({
          status: response.statusCode!,
          fields: response.headers,
          rawFields: response.rawHeaders,
          text,
          json: (isJson ? JSON.parse(text) : null) as Reply.Json,
        });
      });
    });
    request.end(payload);
  });
}

/** The pointers of a problem's errors. */
export const pointersOf = ({ json }: Reply): string[] =>
  (json['errors'] as unknown as { pointer: string }[]).map(({ pointer }) => pointer);
