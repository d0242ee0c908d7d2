import type { Parameters } from './parameters.ts';
import { readPattern } from './path-pattern.ts';
import { actionFault, permissionLimits, resourceFault } from './permissions.ts';
import type { Requirement, Route } from './route.ts';
import { fill, readTemplate, type Slot, type Template } from './template.ts';

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

/** What a command needs. */
interface Command {
  readonly action: string;
  /** It concerns no one resource, whatever the route's others do: only grants on `*` allow it. */
  readonly onEverything: boolean;
}

const onEverything = ' on *';

/** A command's action as it is written: `db.get`, or `db.get on *`. */
export const readCommand = (text: string): Command =>
  text.endsWith(onEverything)
    ? { action: text.slice(0, -onEverything.length), onEverything: true }
    : { action: text, onEverything: false };

const nothing: Claim = { kind: 'demands', demands: [] };
const malformed = (why: string): Claim => ({ kind: 'malformed', why });

/**
 * Most different things that the calls of one batch may ask for, and most characters of the different actions among them:
 * each is judged, and the actions stand in a field of what is forwarded or answered.
 */
const batchLimits = { demands: 1000, actions: 4096 } as const;

const ofActions = { of: 'action', separators: /[:.]/, faultOf: actionFault } as const;
const ofResources = { of: 'resource', separators: /\//, faultOf: resourceFault } as const;

/** `require`, `resource` and `commands` of a route, compiled once. */
export class Rule {
  /** Names of the parameters that it reads. */
  readonly parameters: readonly string[];
  /** The claim that every request makes; null when it depends on the request. */
  readonly fixed: Claim | null;
  readonly #mode: Requirement['mode'];
  readonly #actions: readonly Filling[];
  readonly #resource: Filling | null;
  /** Commands that are on everything, and where one stands. Null: none is. */
  readonly #onEverything: { readonly at: Place; readonly commands: ReadonlySet<string> } | null;

  /** The route must have been checked: templates that read well, of captures that the pattern has. */
  constructor({ pattern, require, resource, commands }: Route) {
    const captures = captureNames(pattern);
    const placed = (text: string): Filling['pieces'] =>
      compiled(text).pieces.map(piece => (typeof piece === 'string' ? piece : placeOf(piece, captures, pattern)));
    const listed =
      commands === null ? null : new Map(Object.entries(commands).map(([name, text]) => [name, readCommand(text)]));
    this.#mode = require?.mode ?? 'all';
    this.#actions = (require?.permissions ?? []).map(text => ({
      ...ofActions,
      pieces: placed(text),
      commands: listed,
    }));
    this.#resource =
      require === null || resource === null ? null : { ...ofResources, pieces: placed(resource), commands: null };
    const pieces = [...this.#actions, ...(this.#resource === null ? [] : [this.#resource])].flatMap(f => f.pieces);
    const slots = pieces.flatMap(piece => (typeof piece === 'string' ? [] : [piece.slot]));
    this.parameters = [...new Set(slots.flatMap(({ kind, name }) => (kind === 'parameter' ? [name] : [])))];
    const place = this.#actions.flatMap(({ pieces }) => pieces).find(piece => typeof piece !== 'string');
    const wide = [...(listed ?? [])].flatMap(([name, command]) => (command.onEverything ? [name] : []));
    this.#onEverything = place === undefined || wide.length === 0 ? null : { at: place, commands: new Set(wide) };
    this.fixed = null;
    if (require === null) this.fixed = nothing;
    else if (slots.length === 0) this.fixed = { kind: 'demands', demands: [{ ...require, resource }] };
  }

  /** `captures`: values of the pattern's names, in their order. */
  claim(captures: readonly string[], parameters: Parameters): Claim {
    if (this.fixed !== null) return this.fixed;
    const calls = this.parameters.length === 0 ? 1 : parameters.calls;
    if (calls > 1) return this.#claimBatch(captures, parameters, calls);
    const demand = this.#demand(captures, parameters, 0);
    return 'kind' in demand ? demand : { kind: 'demands', demands: [demand] };
  }

  #claimBatch(captures: readonly string[], parameters: Parameters, calls: number): Claim {
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
      if (demands.size > batchLimits.demands || characters > batchLimits.actions) {
        return malformed('The batch asks for more different things than are judged at a time.');
      }
    }
    return { kind: 'demands', demands: [...demands.values()] };
  }

  /** What one call asks for, or why that cannot be told. */
  #demand(captures: readonly string[], parameters: Parameters, call: number): Demand | Claim {
    const permissions: string[] = [];
    for (const action of this.#actions) {
      const filled = this.#fill(action, captures, parameters, call);
      if (typeof filled !== 'string') return filled;
      permissions.push(filled);
    }
    if (this.#resource === null || this.#isOnEverything(captures, parameters, call)) {
      return { mode: this.#mode, permissions, resource: null };
    }
    const resource = this.#fill(this.#resource, captures, parameters, call);
    if (typeof resource !== 'string') return resource;
    return { mode: this.#mode, permissions, resource };
  }

  #isOnEverything(captures: readonly string[], parameters: Parameters, call: number): boolean {
    if (this.#onEverything === null) return false;
    const { at, commands } = this.#onEverything;
    const value = readPlace(at, captures, parameters, call);
    return typeof value === 'string' && commands.has(value);
  }

  /** The text with what the request says in its places, or why that is none. */
  #fill(template: Filling, captures: readonly string[], parameters: Parameters, call: number): string | Claim {
    let text = '';
    let plain = true;
    for (const piece of template.pieces) {
      if (typeof piece === 'string') {
        text += piece;
        continue;
      }
      const value = readPlace(piece, captures, parameters, call);
      if (typeof value !== 'string') return value;
      const command = template.commands?.get(value);
      if (command === undefined) {
        // Nothing can be wrong with letters and digits, and that is what nearly all values are.
        if (!plainValue.test(value)) {
          plain = false;
          const why = literalFault(value, template.commands === null ? template.separators : null);
          if (why !== null) return malformed(`${spoken(piece.slot)} ${why}.`);
        }
        if (template.commands !== null) return { kind: 'unlisted', command: value };
      }
      text += command?.action ?? value;
    }
    if (plain && text.length <= permissionLimits.name) return text;
    const why = template.faultOf(text);
    return why === null ? text : malformed(`The ${template.of} that the request names ${why}.`);
  }
}

/** A template with everything that its places need. */
interface Filling {
  readonly of: 'action' | 'resource';
  readonly pieces: readonly (string | Place)[];
  /** What a value must not have in it. */
  readonly separators: RegExp;
  /** What stands for each value; null: the value itself. */
  readonly commands: ReadonlyMap<string, Command> | null;
  readonly faultOf: (text: string) => string | null;
}

interface Place {
  readonly slot: Slot;
  /** Of the captures which; -1 for a parameter. */
  readonly capture: number;
}

/** It begins with a letter, as an action that is only digits is none. */
const plainValue = /^[A-Za-z][A-Za-z0-9_-]{0,127}$/;

function placeOf(slot: Slot, captures: readonly string[], pattern: string): Place {
  const capture = slot.kind === 'capture' ? captures.indexOf(slot.name) : -1;
  if (slot.kind === 'capture' && capture === -1) throw new Error(`${pattern} has no {${slot.name}}`);
  return { slot, capture };
}

const readPlace = ({ slot, capture }: Place, captures: readonly string[], parameters: Parameters, call: number) =>
  capture === -1 ? readParameter(slot, parameters, call) : (captures[capture] ?? '');

function readParameter(slot: Slot, parameters: Parameters, call: number): string | Claim {
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
