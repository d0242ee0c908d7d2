import type { Explanation } from '../core/explain.ts';
import type { Fields } from '../core/fields.ts';
import type { Millis } from '../core/token.ts';

/** A request that somebody asks about: nothing of it is sent anywhere. */
export interface Supposed {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  /** Without a Host it is taken to be one that the routes know; with a body and no framing, to say its length. */
  readonly headers: Fields;
  readonly body: string | null;
  /** Address that the request would come from. */
  readonly peer: string;
}

/** The token of such a request: by its id, as a secret that would be presented, or only what the headers have. */
export type Presented =
  | { readonly kind: 'id'; readonly tokenId: string }
  | { readonly kind: 'secret'; readonly secret: string }
  | { readonly kind: 'headers' };

/** Why a request was refused, or let through by shadow mode alone. */
export interface Recalled {
  readonly requestId: string;
  readonly at: Millis;
  readonly method: string;
  /** Null when it is not known, or may have carried a credential. */
  readonly path: string | null;
  /** The route's pattern. */
  readonly route: string | null;
  readonly tokenId: string | null;
  readonly owner: string | null;
  readonly explanation: Explanation;
}

/** The gate's judgment, for those who ask about it. */
export interface Decider {
  /**
   * How this process would decide on a request now. Nothing is counted, logged or forwarded. Null: there is no token of this
   * id. Rejects with `StoreUnavailable` when the store does not answer for an id.
   */
  explain(presented: Presented, request: Supposed): Promise<Explanation | null>;
  /** Whether a token stands in the request, or what may be one, or a password. */
  carries(request: Supposed): 'nothing' | 'credentials' | 'token';
  /** A recent decision of this process; null when it is not among those that are kept. */
  decision(requestId: string): Recalled | null;
  /** How many are kept. */
  readonly kept: number;
}
