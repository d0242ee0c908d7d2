import type { Fields } from '../core/fields.ts';
import { type Code, codes, type Problem, problemBody, Refusal, StoreUnavailable } from '../errors.ts';
import type { Mount, MountConnection } from '../ports/mount.ts';

/** An answer of the admin and telemetry listeners. Nearly all are small, and written whole. */
export interface Answer {
  readonly status: number;
  /** Beside those that every answer has. */
  readonly fields: Fields;
  /** Null: there is none, by the status. */
  readonly body: string | Uint8Array | null;
  /** Instead of a body: pieces that are written as the client takes them. Where they break, so does the connection. */
  readonly stream?: AsyncIterable<string>;
  /** Instead of a body: who has the connection after a 101. */
  readonly connection?: { readonly mount: Mount; readonly taken: MountConnection };
  /** The connection ends with this answer. */
  readonly close?: boolean;
}

export const jsonAnswer = (status: number, value: unknown, fields: Fields = []): Answer => ({
  status,
  fields: ['Content-Type', 'application/json', ...fields],
  body: JSON.stringify(value),
});

export function problemAnswer(problem: Problem, requestId: string, fields: Fields = []): Answer {
  const { status, closes } = codes[problem.code];
  return {
    status,
    fields: ['Content-Type', 'application/problem+json', ...fields],
    body: problemBody(problem, requestId),
    close: closes,
  };
}

/** A refusal that carries header fields: thrown on the way of a request, answered in one place. */
export class Rejection extends Refusal {
  readonly fields: Fields;
  constructor(code: Code, detail: string, fields: Fields = []) {
    super(code, detail);
    this.name = 'Rejection';
    this.fields = fields;
  }
}

/** The answer to what was thrown; null when nobody expected it. `mutates`: the request may have changed something. */
export function answerTo(error: unknown, requestId: string, mutates: boolean): Answer | null {
  if (error instanceof Refusal) {
    return problemAnswer(error.problem, requestId, error instanceof Rejection ? error.fields : []);
  }
  if (!(error instanceof StoreUnavailable)) return null;
  const retry = ['Retry-After', '1'];
  if (!mutates || !error.sent) {
    return problemAnswer(
      { code: 'store_unavailable', detail: 'The store did not answer, or cannot do it now. Try again.' },
      requestId,
      retry,
    );
  }
  const detail =
    'The store did not answer in time. The change may have been made all the same: look before trying again.';
  return problemAnswer({ code: 'store_unavailable', detail, outcome: 'unknown' }, requestId, retry);
}

/** Fields that every answer has. */
export function answerFields({ status, fields, body, stream }: Answer, requestId: string, close: boolean): string[] {
  const list = [...fields, 'Cache-Control', 'no-store', 'X-Request-Id', requestId, 'X-Content-Type-Options', 'nosniff'];
  if (body !== null) list.push('Content-Length', String(Buffer.byteLength(body)));
  else if (stream === undefined && status !== 204 && status !== 304) list.push('Content-Length', '0');
  if (close) list.push('Connection', 'close');
  return list;
}
