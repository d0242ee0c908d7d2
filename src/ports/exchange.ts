import type { Duplex, Readable } from 'node:stream';
import type { Fields } from '../core/fields.ts';
import type { MessageHead } from '../core/form.ts';

/**
 * One request and its answer, as the gate sees them: head, peer, body, and a way to answer once. The HTTP server
 * stands behind it, so that the wire can change without touching a decision.
 */
export interface Exchange {
  readonly head: MessageHead;
  readonly connection: Connection;
  /** Monotonic milliseconds at which the head was complete. */
  readonly arrivedAt: number;

  /** The connection can be switched to another protocol: the client offered an upgrade that the parser understood. */
  readonly upgradable: boolean;

  /** A final head was handed out, or the client has gone: there is nothing left to answer. */
  readonly answered: boolean;
  /** Bytes of the request's body that were read, and of the answer's body that were handed to the connection. */
  readonly bytesIn: number;
  readonly bytesOut: number;

  /**
   * The request body as a stream that applies back-pressure to the client. It errs with `BodyFault` when the client
   * breaks off, is too slow, sends more than `limit` bytes or breaks the framing. Destroying it leaves the connection
   * as it is.
   */
  body(limit: number | null): Readable;

  /**
   * The whole body, before `body` is asked for, which gives the same bytes again then, as asking once more does. Rejects
   * with `BodyFault` as the stream errs.
   */
  readBody(limit: number): Promise<Uint8Array>;

  /** As `readBody`; null when it is over `most` bytes, and then `body` and `readBody` begin with its first byte all the same. */
  readShortBody(most: number): Promise<Uint8Array | null>;

  /** `100 Continue`, once. */
  writeContinue(): void;
  /** An informational head: 102 to 199. */
  writeInformation(status: number, fields: Fields): void;
  /** Answers whole, with an exact Content-Length. What is left of the request is drained within a bound or cut. */
  answer(answer: WholeAnswer): void;
  /** The final head of a streamed answer. Throws when the head cannot be written as HTTP. */
  start(status: number, reason: string, fields: Fields, close: boolean): void;
  /** False when the client is slower than we: wait for `onDrain`. */
  write(chunk: Uint8Array): boolean;
  onDrain(resume: () => void): void;
  end(): void;
  /**
   * Breaks the connection, so that an answer that has begun is seen to be broken. `now`: the client does not take what
   * was relayed, and is not waited for.
   */
  abort(now?: boolean): void;
  /** Answers 101 with these fields and hands over the connection, and what the client has sent already. */
  switchProtocols(fields: Fields): { socket: Duplex; head: Uint8Array };
  /** Called once: when the answer is written whole (`true`), or when the client has gone before that (`false`). */
  onClose(listener: (complete: boolean) => void): void;
}

export interface WholeAnswer {
  readonly status: number;
  readonly fields: Fields;
  readonly body: string | Uint8Array;
  readonly close: boolean;
}

/** What is known of the connection that a request came in on. */
export interface Connection {
  /** Address of the peer; IPv4-mapped IPv6 is written as IPv4. */
  readonly peer: string;
  readonly port: number;
  readonly localPort: number;
  readonly tls: boolean;
}

export type BodyFaultKind = 'gone' | 'slow' | 'large' | 'malformed';

/** What a body stream errs with: the client's fault, never the upstream's. */
export interface BodyFault extends Error {
  readonly bodyFault: BodyFaultKind;
}
