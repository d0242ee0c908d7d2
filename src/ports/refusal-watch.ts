import type { Reason } from '../core/decision.ts';
import type { Millis } from '../core/token.ts';
import type { Code } from '../errors.ts';

/** A refused request as others may see it: chosen fields, in which no secret can stand. */
export interface ToldRefusal {
  readonly requestId: string;
  readonly at: Millis;
  readonly code: Code;
  readonly reason: Reason;
  /** It was forwarded all the same: shadow mode only records. */
  readonly shadow: boolean;
  /** The route's pattern; null when there was none. */
  readonly route: string | null;
  readonly method: string;
  readonly tokenId: string | null;
  readonly owner: string | null;
  readonly client: string;
}

/** Whoever watches refusals. */
export interface RefusalWatch {
  /** False while nobody does: then nothing has to be told. */
  readonly watched: boolean;
  refused(refusal: ToldRefusal): void;
}
