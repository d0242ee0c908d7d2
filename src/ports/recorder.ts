import type { Reason } from '../core/decision.ts';
import type { Subject } from '../core/token.ts';

/** One record per request, taken at the end from the final decision. Never a secret, never a query. */
export interface RequestRecord {
  readonly requestId: string;
  readonly parentRequestId: string | null;
  /** The route that it met, or the token API, by its mount. */
  readonly route: { readonly pattern: string } | null;
  readonly method: string;
  /** Null when it could carry a credential, or there is none. */
  readonly path: string | null;
  /** The status that the client saw; 499 when it saw none. */
  readonly status: number;
  readonly reason: Reason;
  /** What was decided, where that is only recorded (shadow mode); null where it holds. */
  readonly shadow: Reason | null;
  readonly outcome: Outcome;
  readonly subject: Subject | null;
  readonly client: string;
  readonly peer: string;
  readonly upstream: string | null;
  /** Why exactly it was refused, where that is text of ours (`loggedDetail`). */
  readonly detail: string | null;
  /** What went wrong beyond the reason, in a word. */
  readonly fault: string | null;
  readonly retried: boolean;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Milliseconds: the whole exchange, and the part of it that was ours. */
  readonly durationMs: number;
  readonly overheadMs: number;
  /** Until the upstream's answer began; null when there was none. */
  readonly upstreamMs: number | null;
  readonly at: number;
}

export const outcomes = ['allowed', 'refused', 'failed', 'aborted', 'shadow'] as const;
export type Outcome = (typeof outcomes)[number];

export interface Recorder {
  record(record: RequestRecord): void;
}
