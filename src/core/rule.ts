import type { Parameters } from './parameters.ts';
import { actionFault, permissionLimits, resourceFault } from './permissions.ts';
import { type Requirement, type Route, readPattern } from './route.ts';
import { fill, readTemplate, type Slot, slotsOf, type Template } from './template.ts';

/** Permissions that a request needs, and for what. */
export interface Demand extends Requirement {
  /** What the actions are done to; null: the route names nothing. */
  readonly resource: string | null;
}

/** What a route's rule makes of one request. */
export type Claim =
  /** All of these, one for each call of a batch; calls that ask for the same are one. */
  | { readonly kind: 'demands'; readonly demands: readonly Demand[] }
  /** `why` is a sentence of ours, which quotes nothing of the request. */
  | { readonly kind: 'malformed'; readonly why: string }
  /** A parameter that the rule reads may stand in a body that it cannot. */
  | { readonly kind: 'closed'; readonly parameter: string }
  /** A command that is not in the route's table: nobody has permission for it. */
  | { readonly kind: 'unlisted'; readonly command: string };

const nothing: Claim = { kind: 'demands', demands: [] };
const malformed = (why: string): Claim => ({ kind: 'malformed', why });

/**
 * Most different things that the calls of one batch may ask for, and most characters of the different actions among them:
 * each is judged, and the actions stand in a field of what is forwarded or answered.
 */
export const batchLimits = { demands: 1000, actions: 4096 } as const;

const actionSeparators = /[:.]/;
const resourceSeparators = /\//;

/** `require`, `resource` and `commands` of a route, compiled once. */
export class Rule {
  /** Names of the parameters that it reads. */
  readonly parameters: readonly string[];
  /** The claim that every request makes; null when it depends on the request. */
  readonly fixed: Claim | null;
  readonly #mode: Requirement['mode'];
  readonly #actions: readonly Template[];
  readonly #resource: Template | null;
  readonly #commands: ReadonlyMap<string, string> | null;
  readonly #captures: readonly string[];

  /** The route must have been checked: templates that read well, of captures that the pattern has. */
  constructor({ pattern, require, resource, commands }: Route) {
    this.#mode = require?.mode ?? 'all';
    this.#actions = (require?.permissions ?? []).map(compiled);
    this.#resource = require === null || resource === null ? null : compiled(resource);
    this.#commands = commands === null ? null : new Map(Object.entries(commands));
    this.#captures = captureNames(pattern);
    const slots = [...this.#actions, ...(this.#resource === null ? [] : [this.#resource])].flatMap(slotsOf);
    for (const { kind, name } of slots) {
      if (kind === 'capture' && !this.#captures.includes(name)) throw new Error(`${pattern} has no {${name}}`);
    }
    this.parameters = [...new Set(slots.flatMap(({ kind, name }) => (kind === 'parameter' ? [name] : [])))];
    this.fixed = null;
    if (require === null) this.fixed = nothing;
    else if (slots.length === 0) this.fixed = { kind: 'demands', demands: [{ ...require, resource }] };
  }

  /** `captures`: values of the pattern's names, in their order. */
  claim(captures: readonly string[], parameters: Parameters): Claim {
    if (this.fixed !== null) return this.fixed;
    const calls = this.parameters.length === 0 ? 1 : parameters.calls;
    const demands = new Map<string, Demand>();
    const actions = new Set<string>();
    let characters = 0;
    for (let call = 0; call < calls; call++) {
      const demand = this.#demand(captures, parameters, call);
      if ('kind' in demand) return demand;
      const key = `${demand.permissions.join(' ')}\n${demand.resource ?? ''}`;
      if (demands.has(key)) continue;
      demands.set(key, demand);
      for (const action of demand.permissions) {
        if (actions.has(action)) continue;
        actions.add(action);
        characters += action.length + 1;
      }
      if (demands.size > batchLimits.demands || (calls > 1 && characters > batchLimits.actions)) {
        return malformed('The batch asks for more different things than are judged at a time.');
      }
    }
    return { kind: 'demands', demands: [...demands.values()] };
  }

  /** What one call asks for, or why that cannot be told. */
  #demand(captures: readonly string[], parameters: Parameters, call: number): Demand | Claim {
    let fault: Claim | null = null;
    const filling = (slot: Slot, separators: RegExp, isCommand: boolean): string => {
      const value = this.#value(slot, captures, parameters, call);
      if (typeof value !== 'string') {
        fault ??= value;
        return '';
      }
      const command = isCommand ? this.#commands?.get(value) : undefined;
      if (command !== undefined) return command;
      const why = literalFault(value, isCommand ? null : separators);
      if (why !== null) fault ??= malformed(`${spoken(slot)} ${why}.`);
      else if (isCommand) fault ??= { kind: 'unlisted', command: value };
      return value;
    };

    const isCommand = this.#commands !== null;
    const permissions = this.#actions.map(action => fill(action, slot => filling(slot, actionSeparators, isCommand)));
    const resource = this.#resource && fill(this.#resource, slot => filling(slot, resourceSeparators, false));
    if (fault !== null) return fault;
    for (const permission of permissions) {
      const why = actionFault(permission);
      if (why !== null) return malformed(`The action that the request names ${why}.`);
    }
    const why = resource === null ? null : resourceFault(resource);
    if (why !== null) return malformed(`The resource that the request names ${why}.`);
    return { mode: this.#mode, permissions, resource };
  }

  #value(slot: Slot, captures: readonly string[], parameters: Parameters, call: number): string | Claim {
    if (slot.kind === 'capture') return captures[this.#captures.indexOf(slot.name)] ?? '';
    const reading = parameters.read(slot.name, call);
    switch (reading.kind) {
      case 'value':
        return reading.value;
      case 'closed':
        return { kind: 'closed', parameter: slot.name };
      case 'absent':
        return malformed(`${spoken(slot)} is missing.`);
      case 'ambiguous':
        return malformed(`${spoken(slot)} ${reading.why}.`);
    }
  }
}

/** A value stands for itself alone: it is not empty, is no wildcard, and does not reach beyond its place. */
function literalFault(value: string, separators: RegExp | null): string | null {
  if (value === '') return 'is empty';
  if (value.length > permissionLimits.name) return `is longer than ${permissionLimits.name} characters`;
  if (value.includes('*')) return 'has a *';
  return separators?.test(value) ? 'has a separator in it' : null;
}

const spoken = ({ kind, name }: Slot): string =>
  kind === 'capture' ? `The part {${name}} of the path` : `The parameter "${name}"`;

/** Names of a pattern's captures, in their order. */
export function captureNames(pattern: string): readonly string[] {
  const reading = readPattern(pattern);
  if (!reading.ok) return [];
  return reading.segments.flatMap(segment => ('name' in segment ? [segment.name] : []));
}

function compiled(text: string): Template {
  const reading = readTemplate(text);
  if (!reading.ok) throw new Error(`${text} ${reading.why}`);
  return reading.template;
}

/** What is wrong with text that names an action, whatever the values in it; null when nothing is. */
export const actionTemplateFault = (text: string): string | null => templateFault(text, actionFault);

/** What is wrong with text that names a resource, whatever the values in it; null when nothing is. */
export const resourceTemplateFault = (text: string): string | null => templateFault(text, resourceFault);

function templateFault(text: string, faultOf: (filled: string) => string | null): string | null {
  const reading = readTemplate(text);
  if (!reading.ok) return reading.why;
  if (reading.template.pieces.some(piece => typeof piece === 'string' && piece.includes('*'))) {
    return 'has a *: a route names what it needs, a token what it has';
  }
  // The shortest value that has nothing wrong of its own: what is wrong with it is wrong with every other.
  return faultOf(fill(reading.template, () => 'x'));
}
