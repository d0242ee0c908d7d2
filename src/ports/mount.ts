import type { Duplex } from 'node:stream';
import type { Fields } from '../core/fields.ts';
import type { Form } from '../core/form.ts';
import type { Asker } from './session-source.ts';

/** Names of the token APIs that Postern speaks beside its own. */
export type TokenApi = 'access-api' | 'access-keys' | 'api-tokens';

/** One token API at one path, as a listener sees it. What is not its own goes on to the routes. */
export interface Mount {
  readonly api: TokenApi;
  /** The path that it stands under, such as `/api`; empty at the root. */
  readonly path: string;
  /** Whether a request is its own. `form`: its urlencoded body decides (`claimsForm`), of at most 64 KiB. */
  claims(form: Form): 'yes' | 'no' | 'form';
  claimsForm(form: Form, body: string): boolean;
  /** Never rejects but with what the client did to its body, or with `StoreUnavailable`. */
  answer(request: MountRequest): Promise<MountAnswer>;
  /** Takes a WebSocket handshake at its path; null where the API has none. */
  readonly connect: ((request: MountRequest) => Promise<MountConnection | MountAnswer>) | null;
}

export interface MountRequest {
  readonly form: Form;
  readonly requestId: string;
  /** Address of the client, for the audit trail. */
  readonly client: string;
  readonly asker: Asker;
  /** `scheme://host` that the client used. */
  readonly origin: string;
  /** The whole body; `too_large` when it is over `limit` bytes. Rejects with `BodyFault` when the client breaks off or is too slow. */
  body(limit: number): Promise<Uint8Array | 'too_large'>;
}

/** An answer, whole. Content-Length, Cache-Control and X-Request-Id are the listener's to add. */
export interface MountAnswer {
  readonly status: number;
  readonly fields: Fields;
  /** Null: there is none, by the status. */
  readonly body: string | Uint8Array | null;
  /** A credential was presented that is no good: it counts as a failed one, and too many are answered with 429. */
  readonly guessed?: true;
}

/** A handshake that is accepted: the connection is the mount's after the 101. It holds nothing until `run`. */
export interface MountConnection {
  /** What goes with the 101 beside `Upgrade`, `Connection` and `Sec-WebSocket-Accept`. */
  readonly fields: Fields;
  /** `socket` comes paused; `head`: what the client has sent already. Resolves when the connection is over, with the bytes of each direction. */
  run(socket: Duplex, head: Uint8Array): Promise<{ readonly in: number; readonly out: number }>;
  /** Says goodbye with this code, as after `run` began, and ends the connection within a second. */
  close(code: number): void;
}
