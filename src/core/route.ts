import { readPattern, type Segment } from './path-pattern.ts';
import { Rule } from './rule.ts';
import type { Allowance, Target } from './target.ts';

/**
 * Routes: which upstream a request goes to, and what it needs. Host first, then the path from left to right: literal
 * over `a{x}b` over `{x}` over `**`, whatever the order in the file. The winner is the most specific pattern; when it
 * does not list the method the answer is 405, never a less specific route.
 */
export interface Cors {
  readonly origins: ReadonlySet<string>;
  readonly preflight: 'refuse' | 'forward' | 'answer';
}

/** `all` of the permissions, or `any` of them. */
export interface Requirement {
  readonly mode: 'all' | 'any';
  readonly permissions: readonly string[];
}

/** Units that a request takes of each limit. */
export interface Cost {
  /** 0: it takes none. With `header`, they are reserved. */
  readonly units: number;
  /** Lower-case name of the field of the response that says how many were used; null: all. */
  readonly header: string | null;
}

export interface Route {
  /** The pattern as written: the route's name in metrics and logs. */
  readonly pattern: string;
  readonly hosts: readonly string[];
  /** `null`: every method but CONNECT and TRACE. */
  readonly methods: readonly string[] | null;
  readonly access: 'token' | 'optional' | 'public';
  readonly upstream: string;
  /** Permissions may have `{captures}` and `{param.names}` in them. */
  readonly require: Requirement | null;
  /** What the permissions are for, with captures likewise; null: nothing in particular. */
  readonly resource: string | null;
  /**
   * Actions by the value of the one capture or parameter in `require`, with ` on *` behind those that are for no one
   * resource; null: the value itself is the action.
   */
  readonly commands: Readonly<Record<string, string>> | null;
  /** Bytes of request body that may be read for rules; null: it is not looked into. */
  readonly inspectBody: number | null;
  /** `shadow`: what requests are refused with is recorded, and they are forwarded all the same. */
  readonly mode: 'enforce' | 'shadow';
  /** Of one request, however many actions and resources it names. */
  readonly cost: Cost;
  readonly allow: ReadonlySet<Allowance>;
  readonly cors: Cors | null;
  readonly forwardCredential: boolean;
  /** Lower-case names of client fields that are forwarded although they are dropped by default. */
  readonly forwardHeaders: ReadonlySet<string>;
  /** Literal segments at the start of the path that are removed after the judgment. */
  readonly stripSegments: number;
  /** Bytes of request body; `null` for no bound. */
  readonly maxBody: number | null;
}

/** Routes of one host and pattern, told apart by method. */
export interface Leaf {
  readonly pattern: string;
  readonly byMethod: Map<string, Route>;
  any: Route | null;
}

export type Match =
  | {
      readonly kind: 'route';
      readonly route: Route;
      readonly leaf: Leaf;
      readonly rule: Rule;
      /** What the pattern's names stand for, in their order. */
      readonly captures: readonly string[];
    }
  | { readonly kind: 'method'; readonly leaf: Leaf }
  | { readonly kind: 'malformed'; readonly why: string }
  | { readonly kind: 'none' };

/** The methods that a route without `methods` is said to take. */
export const commonMethods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

/** Parts of a segment with as much literal text on either side: by that text, so that one look-up finds the one. */
interface Mixed {
  readonly before: number;
  readonly after: number;
  /** By both texts in one: where the first ends is the same for all. */
  readonly nodes: Map<string, Node>;
}

class Node {
  readonly literals = new Map<string, Node>();
  /** The most specific first. */
  readonly mixed: Mixed[] = [];
  capture: Node | null = null;
  rest: Leaf | null = null;
  leaf: Leaf | null = null;
}

export class RouteTable {
  readonly routes: readonly Route[];
  readonly #rules: ReadonlyMap<Route, Rule>;
  /** Hosts of a route are exact names, or `*.` and a suffix: `.example.com`. */
  readonly #exact = new Map<string, Node>();
  readonly #suffixes = new Map<string, Node>();
  readonly #every = new Node();
  /** Characters: a host may be as long as a head, and is not to be looked up at each of its dots. */
  #longestSuffix = 0;

  /** Routes must have been checked: patterns that read well, no host, pattern and method twice (`duplicateOf`). */
  constructor(routes: readonly Route[]) {
    this.routes = routes;
    this.#rules = new Map(routes.map(route => [route, new Rule(route)]));
    for (const route of routes) {
      const reading = readPattern(route.pattern);
      if (!reading.ok) throw new Error(`route ${route.pattern}: ${reading.why}`);
      for (const root of this.#roots(route.hosts)) insert(root, reading.segments, route);
    }
  }

  /** The winner for a host, a method and a target. `host` is lower case, without port. */
  match(host: string, method: string, target: Target): Match {
    const found = this.#find(host, target.segments);
    if (found === null) return { kind: 'none' };
    const { leaf, captures } = found;
    for (let i = 0; i < captures.length; i++) {
      // A captured value is a literal: an empty one names nothing, and `*` would name everything.
      if (captures[i] === '') return { kind: 'malformed', why: 'a named part of the path is empty' };
      if (captures[i]!.includes('*')) return { kind: 'malformed', why: 'a named part of the path has a *' };
    }
    const route = routeFor(leaf, method);
    if (route === null) return { kind: 'method', leaf };
    return { kind: 'route', route, leaf, rule: this.#rules.get(route)!, captures };
  }

  #find(host: string, segments: readonly string[]): Hit | null {
    const exact = this.#exact.get(host);
    let found = exact === undefined ? null : find(exact, segments, 0);
    if (found !== null) return found;
    if (this.#suffixes.size > 0) {
      // From dot to dot, so that the longest suffix comes first. Something must stand before it.
      let dot = host.indexOf('.', Math.max(1, host.length - this.#longestSuffix));
      for (; dot !== -1; dot = host.indexOf('.', dot + 1)) {
        const root = this.#suffixes.get(host.slice(dot));
        if (root === undefined) continue;
        found = find(root, segments, 0);
        if (found !== null) return found;
      }
    }
    return find(this.#every, segments, 0);
  }

  *#roots(hosts: readonly string[]): Iterable<Node> {
    if (hosts.length === 0) yield this.#every;
    for (const host of hosts) {
      const isSuffix = host.startsWith('*.');
      if (isSuffix) this.#longestSuffix = Math.max(this.#longestSuffix, host.length - 1);
      yield isSuffix ? entryOf(this.#suffixes, host.slice(1)) : entryOf(this.#exact, host);
    }
  }
}

/** The route of a leaf that takes a method; `null` when none does. CONNECT and TRACE are never taken. */
export function routeFor(leaf: Leaf, method: string): Route | null {
  if (method === 'CONNECT' || method === 'TRACE') return null;
  return leaf.byMethod.get(method) ?? leaf.any;
}

/** What `Allow` lists for a leaf. */
export function allowedMethods(leaf: Leaf): readonly string[] {
  return leaf.any === null ? [...leaf.byMethod.keys()] : [...new Set([...leaf.byMethod.keys(), ...commonMethods])];
}

/** Two routes are the same place when host, pattern (names of captures aside) and a method coincide. */
export function placesOf(route: Pick<Route, 'hosts' | 'pattern' | 'methods'>): string[] {
  const shape = route.pattern.replace(/\{[^}]*\}/g, '{}');
  const hosts = route.hosts.length === 0 ? ['any host'] : route.hosts;
  const methods = route.methods ?? ['any method'];
  return hosts.flatMap(host => methods.map(method => `${method} on ${host} ${shape}`));
}

function insert(root: Node, segments: readonly Segment[], route: Route): void {
  let node = root;
  for (const segment of segments) {
    if (segment.kind === 'rest') {
      node.rest = addTo(node.rest, route);
      return;
    }
    node = child(node, segment);
  }
  node.leaf = addTo(node.leaf, route);
}

function child(node: Node, segment: Exclude<Segment, { kind: 'rest' }>): Node {
  if (segment.kind === 'literal') return entryOf(node.literals, segment.text);
  if (segment.kind === 'capture') {
    node.capture ??= new Node();
    return node.capture;
  }
  const { before, after } = segment;
  // More literal text is more specific; then the longer beginning. Two of one kind never fit the same segment.
  const rank = (known: Mixed): number =>
    before.length + after.length - (known.before + known.after) || before.length - known.before;
  let at = node.mixed.findIndex(known => rank(known) >= 0);
  if (at === -1) at = node.mixed.length;
  let mixed = node.mixed[at];
  if (mixed === undefined || rank(mixed) !== 0) {
    mixed = { before: before.length, after: after.length, nodes: new Map() };
    node.mixed.splice(at, 0, mixed);
  }
  return entryOf(mixed.nodes, before + after);
}

function entryOf(nodes: Map<string, Node>, key: string): Node {
  let node = nodes.get(key);
  if (node === undefined) {
    node = new Node();
    nodes.set(key, node);
  }
  return node;
}

function addTo(leaf: Leaf | null, route: Route): Leaf {
  const target = leaf ?? { pattern: route.pattern, byMethod: new Map<string, Route>(), any: null };
  if (route.methods === null) target.any = route;
  else for (const method of route.methods) target.byMethod.set(method, route);
  return target;
}

interface Hit {
  readonly leaf: Leaf;
  readonly captures: readonly string[];
}

const noCaptures: readonly string[] = [];

const joined = (captures: readonly string[], value: string): readonly string[] =>
  captures.length === 0 ? [value] : [...captures, value];

/** Depth first, most specific first. Each node is visited at most once a request, so routes bound the work. */
function find(node: Node, segments: readonly string[], at: number, captures = noCaptures): Hit | null {
  if (at === segments.length) {
    const leaf = node.leaf ?? node.rest;
    return leaf === null ? null : { leaf, captures };
  }
  const segment = segments[at]!;
  const literal = node.literals.get(segment);
  if (literal !== undefined) {
    const hit = find(literal, segments, at + 1, captures);
    if (hit !== null) return hit;
  }
  for (const { before, after, nodes } of node.mixed) {
    if (segment.length < before + after) continue;
    const end = segment.length - after;
    // Joined only where there is something behind: joining costs more than the look-up.
    const next = nodes.get(after === 0 ? segment.slice(0, before) : segment.slice(0, before) + segment.slice(end));
    if (next === undefined) continue;
    const hit = find(next, segments, at + 1, joined(captures, segment.slice(before, end)));
    if (hit !== null) return hit;
  }
  if (node.capture !== null) {
    const hit = find(node.capture, segments, at + 1, joined(captures, segment));
    if (hit !== null) return hit;
  }
  return node.rest === null ? null : { leaf: node.rest, captures };
}
