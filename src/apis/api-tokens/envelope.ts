import { STATUS_CODES } from 'node:http';
import type { Json } from '../../core/token.ts';

/** What a method comes to, before it is written in the envelope of the mount. */
export interface Outcome {
  readonly status: number;
  /** Null: the standard phrase of the status. */
  readonly reason: string | null;
  /** Undefined: there is none, and the envelope has no such member. */
  readonly data?: Json;
  readonly more: More;
  /** A credential was presented that is no good. */
  readonly guessed?: true;
}

/** What lists say beside their rows. */
export interface More {
  readonly total?: number;
  readonly rows?: number;
  readonly summary?: { readonly [name: string]: Json };
}

/** What a method is refused with: thrown by whoever finds out, made an outcome in one place. */
export class Failure extends Error {
  readonly status: number;
  readonly reason: string | null;
  constructor(status: number, reason: string | null = null) {
    super(reason ?? `status ${status}`);
    this.name = 'Failure';
    this.status = status;
    this.reason = reason;
  }
}

/** Who is not known, or may not. */
export const denied = (): Failure => new Failure(403, 'Insufficient permissions');

export const done = (data?: Json, more: More = {}): Outcome => ({
  status: 200,
  reason: null,
  ...(data !== undefined && { data }),
  more,
});

export const failed = ({ status, reason }: Failure): Outcome => ({ status, reason, more: {} });

/** `result` is what clients of the first generation expect; `jsonrpc` is JSON-RPC 2.0. */
export type EnvelopeName = 'result' | 'jsonrpc';

type Members = { readonly [name: string]: Json };

/** No member of a client's stands in an envelope: names are ours, values are data. */
export const envelopes: Readonly<Record<EnvelopeName, (outcome: Outcome) => Members>> = {
  result: ({ status, reason, data, more }) => ({
    status,
    reason: reason ?? phrase(status),
    exception: status >= 500,
    ...(data !== undefined && { data }),
    ...more,
  }),
  jsonrpc: ({ status, reason, data, more }) => {
    const text = reason ?? phrase(status);
    const exception = status >= 500;
    const meta = { ...more };
    if (status >= 400) return { jsonrpc: '2.0', error: { code: status, message: text, data: { exception, meta } } };
    const result = { status, status_text: text, exception, ...(data !== undefined && { data }), meta };
    return { jsonrpc: '2.0', result };
  },
};

const phrase = (status: number): string => STATUS_CODES[status] ?? 'Unknown';
