import type { Json } from './token.ts';

/** A request's body, as far as rules may read it. */
export type BodyReading =
  | { readonly kind: 'none' }
  /** There is one, and the route does not look into it. */
  | { readonly kind: 'closed' }
  /** `application/x-www-form-urlencoded`, as it stands. */
  | { readonly kind: 'form'; readonly text: string }
  | { readonly kind: 'json'; readonly value: Json };

export const noBody: BodyReading = { kind: 'none' };

export type ParameterReading =
  | { readonly kind: 'value'; readonly value: string }
  | { readonly kind: 'absent' }
  /** It stands twice, in query and body, as `x[]`, in another case, or is no plain value. */
  | { readonly kind: 'ambiguous'; readonly why: string }
  /** It may stand in a body that the route does not look into. */
  | { readonly kind: 'closed' };

/** The parameters of a request: those of its query, and those of a body that was inspected. */
export class Parameters {
  readonly body: BodyReading;
  readonly #query: string | null;

  constructor(query: string | null, body: BodyReading) {
    this.#query = query;
    this.body = body;
  }

  /** How many calls the request makes: more than one in a batch. */
  get calls(): number {
    return 1;
  }

  /** The parameter of a name (`database`, or `params.database` for a member of a member), in one call of a batch. */
  read(_name: string, _call = 0): ParameterReading {
    return this.#query === null ? { kind: 'absent' } : { kind: 'absent' };
  }
}
