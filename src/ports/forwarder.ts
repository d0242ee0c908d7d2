import type { Decision, Permit } from '../core/decide.ts';
import type { Form } from '../core/form.ts';
import type { Code } from '../errors.ts';
import type { Exchange } from './exchange.ts';
import type { LimitCharge } from './limits.ts';

/** One request on its way: what the phases of the gate have found out so far. */
export interface Journey {
  readonly exchange: Exchange;
  readonly form: Form;
  readonly requestId: string;
  readonly client: ClientFacts;
  /** Answers carry `Connection: close`: the process is draining. */
  readonly draining: boolean;
  /** `Access-Control-Allow-Origin` that answers carry when the upstream does not say; null for none. */
  readonly corsOrigin: string | null;
  /** What answers tell of limits, when one begins. Null: nothing, and what the upstream tells of its own passes. */
  readonly limitFields: (() => readonly string[]) | null;
  /** Decides once more, by what is true of the token now. Null when there is no token to ask for. */
  readonly rejudge: (() => Promise<Decision>) | null;
  /** Something changed while the token was looked up: whether that was in the answer is not known. */
  readonly inDoubt: boolean;
  /** Units taken for it: spent once a byte went to the upstream. Null: none were. */
  readonly charge: LimitCharge | null;
}

/** Where a request comes from, as far as the peer or a trusted proxy tells. */
export interface ClientFacts {
  /** The client: the peer, or the rightmost hop that is not trusted. */
  readonly address: string;
  /** The network that the guard counts by: the address, or the /64 of an IPv6 one. */
  readonly network: string;
  readonly proto: 'http' | 'https';
  /** The host that the client asked for; empty when it named none. */
  readonly host: string;
  /** Fields that tell the upstream all this, complete. */
  readonly fields: readonly string[];
  /** The request id of a trusted peer. */
  readonly parentRequestId: string | null;
}

/** The only door to an upstream. */
export interface Forwarder {
  /** Sends the request and relays the answer. Resolves when the answer is complete, broken or impossible. */
  forward(permit: Permit, journey: Journey): Promise<Forwarded>;
}

/** How forwarding ended. */
export interface Forwarded {
  /**
   * `relayed`: whole. `aborted`: the client went first, or its token did (`fault` says `revoked` or `expired`).
   * `broken`: the upstream failed after its head was relayed.
   * `failed`: nothing was relayed, and the gate answers with `code`.
   */
  readonly outcome: 'relayed' | 'aborted' | 'broken' | 'failed';
  /** Status that was relayed; 0 when none was. */
  readonly status: number;
  readonly code: Extract<
    Code,
    'upstream_failed' | 'upstream_timeout' | 'overloaded' | 'body_too_large' | 'request_timeout' | 'malformed_request'
  > | null;
  /** What went wrong, for the log: a word, never an address or bytes. */
  readonly fault: string | null;
  readonly retried: boolean;
  /** Milliseconds from sending to the upstream's final head; null when there was none. */
  readonly upstreamMs: number | null;
  /** Bytes that went through an upgraded connection. */
  readonly tunnelled: { readonly in: number; readonly out: number };
}
