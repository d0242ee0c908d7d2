import { errors } from 'undici';
import type { BodyFault } from '../ports/exchange.ts';
import type { Forwarded } from '../ports/forwarder.ts';

/** What can go wrong between us and an upstream, as a closed set: the words of logs and of a metric's label. */
export const upstreamFaults = [
  'refused',
  'unreachable',
  'dns',
  'tls',
  'connect_timeout',
  'reset',
  'protocol',
  'truncated',
  'head_timeout',
  'idle_timeout',
  'queue_full',
  'queue_timeout',
  'too_many_streams',
  'client_slow',
  'client_body',
  /** Of a health check. */
  'status',
  'other',
] as const;
export type UpstreamFault = (typeof upstreamFaults)[number];

/** An answer of ours in place of the upstream's. */
export interface Fault {
  readonly fault: UpstreamFault;
  readonly code: NonNullable<Forwarded['code']>;
}

/** A fault that was found here rather than reported by a library. */
export class UpstreamError extends Error {
  readonly fault: UpstreamFault;
  constructor(fault: UpstreamFault) {
    super(fault);
    this.name = 'UpstreamError';
    this.fault = fault;
  }
}

const byCode: Readonly<Record<string, UpstreamFault>> = {
  ECONNREFUSED: 'refused',
  ENOENT: 'refused',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EADDRNOTAVAIL: 'unreachable',
  ETIMEDOUT: 'connect_timeout',
  CONNECT_TIMEOUT: 'connect_timeout',
  ENOTFOUND: 'dns',
  EAI_AGAIN: 'dns',
  EAI_FAIL: 'dns',
  ENODATA: 'dns',
  ECONNRESET: 'reset',
  EPIPE: 'reset',
  UND_ERR_SOCKET: 'reset',
  UND_ERR_INFO: 'reset',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'truncated',
  UND_ERR_HEADERS_OVERFLOW: 'protocol',
  UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: 'client_body',
};

export function faultOf(error: unknown): UpstreamFault {
  if (error instanceof UpstreamError) return error.fault;
  const code = (error as NodeJS.ErrnoException | null)?.code ?? '';
  const known = byCode[code];
  if (known !== undefined) return known;
  // Its code is not always set.
  if (error instanceof errors.HTTPParserError) return 'protocol';
  if (/^(?:ERR_TLS|ERR_SSL|CERT_|DEPTH_|UNABLE_|SELF_SIGNED|HOSTNAME_|ERR_OSSL|EPROTO)/.test(code)) return 'tls';
  return 'other';
}

const codeOf: Readonly<Partial<Record<UpstreamFault, Fault['code']>>> = {
  connect_timeout: 'upstream_timeout',
  head_timeout: 'upstream_timeout',
  idle_timeout: 'upstream_timeout',
  queue_full: 'overloaded',
  queue_timeout: 'overloaded',
  too_many_streams: 'overloaded',
};

export function upstreamFault(error: unknown): Fault {
  const fault = faultOf(error);
  return { fault, code: codeOf[fault] ?? 'upstream_failed' };
}

/** Null when the error is not the client's. */
export function bodyFault(error: unknown): (Fault & { readonly gone: boolean }) | null {
  const kind = (error as Partial<BodyFault> | null)?.bodyFault;
  switch (kind) {
    case undefined:
      return null;
    case 'gone':
      return { fault: 'client_body', code: 'malformed_request', gone: true };
    case 'slow':
      return { fault: 'client_slow', code: 'request_timeout', gone: false };
    case 'large':
      return { fault: 'client_body', code: 'body_too_large', gone: false };
    case 'malformed':
      return { fault: 'client_body', code: 'malformed_request', gone: false };
  }
}
