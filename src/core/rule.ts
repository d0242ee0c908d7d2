import type { Parameters } from './parameters.ts';
import type { Requirement, Route } from './route.ts';

/** Permissions that a request needs, and for what. */
export interface Demand extends Requirement {
  /** What the actions are done to; null: the route names nothing. */
  readonly resource: string | null;
}

/** What a route's rule makes of one request. */
export type Claim =
  /** All of these, one for each call of a batch. */
  | { readonly kind: 'demands'; readonly demands: readonly Demand[] }
  | { readonly kind: 'malformed'; readonly why: string }
  /** A parameter that the rule reads may stand in a body that it cannot. */
  | { readonly kind: 'closed'; readonly parameter: string }
  /** A command that is not in the route's table: nobody has permission for it. */
  | { readonly kind: 'unlisted'; readonly command: string };

const nothing: Claim = { kind: 'demands', demands: [] };

/** `require`, `resource` and `commands` of a route, compiled once. */
export class Rule {
  /** Names of the parameters that it reads. */
  readonly parameters: readonly string[] = [];
  /** The claim that every request makes; null when it depends on the request. */
  readonly fixed: Claim | null;

  constructor({ require }: Route) {
    this.fixed = require === null ? nothing : { kind: 'demands', demands: [{ ...require, resource: null }] };
  }

  /** `captures`: values of the pattern's names, in their order. */
  claim(_captures: readonly string[], _parameters: Parameters): Claim {
    return this.fixed ?? nothing;
  }
}
