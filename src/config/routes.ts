import { METHODS } from 'node:http';
import type { Place } from '../core/credential.ts';
import { readPattern } from '../core/path-pattern.ts';
import { type Cost, placesOf, type Requirement, type Route } from '../core/route.ts';
import type { Context } from './context.ts';
import { nearest } from './nearest.ts';
import { canonicalHost } from './network.ts';
import type { Problems } from './problems.ts';
import { checkRule } from './rules.ts';
import type { File } from './schema.ts';
import { itemKey } from './tree.ts';
import type { Draft } from './walk.ts';

export type RouteDraft = Draft<File['routes'][number]>;

/** What routes take from the rest of the file. */
export interface Surroundings {
  readonly upstreams: readonly string[];
  readonly credentials: readonly Place[];
  readonly identityPrefix: string | undefined;
  readonly forwardHeaders: readonly string[];
  readonly maxBody: number | null;
}

/** `routes`: each by itself, then against each other. */
export function readRoutes(
  drafts: Draft<File['routes']>,
  around: Surroundings,
  { problems }: Context,
): readonly Route[] {
  const routes = drafts.map((draft = {}, i) => readRoute(draft, itemKey('routes', i), around, problems));
  const places = new Map<string, string>();
  for (const [i, route] of routes.entries()) {
    const key = `${itemKey('routes', i)}.path`;
    // A route whose place is not known is compared with none.
    if (drafts[i]?.path === undefined) continue;
    if (['methods', 'hosts'].some(member => problems.touch(`${itemKey('routes', i)}.${member}`))) continue;
    for (const place of placesOf({ ...route, pattern: canonicalPattern(route.pattern) })) {
      const first = places.get(place);
      if (first === undefined) places.set(place, key);
      else {
        const where = `${first.slice(0, first.lastIndexOf('.'))} (${problems.lineOf(first)})`;
        problems.add(key, `is the same place as ${where}: ${place}; allowed: a host, path and method once`);
        break;
      }
    }
    if (route.mode === 'shadow') {
      problems.warn(
        `${itemKey('routes', i)}.mode`,
        'is shadow: what is refused here is recorded, and forwarded all the same, requests without a token too',
      );
    }
    if (route.access === 'public' && route.pattern === '/**') {
      problems.warn(key, 'is public: whatever no other route names needs no token');
    }
  }
  return routes;
}

function readRoute(draft: RouteDraft, key: string, around: Surroundings, problems: Problems): Route {
  const { cors, access = 'token', path: pattern = '' } = draft;
  const methods = distinct(draft.methods, `${key}.methods`, problems);
  for (const [i, method] of (draft.methods ?? []).entries()) {
    if (method === undefined || METHODS.includes(method)) continue;
    problems.warn(
      `${key}.methods[${i}]`,
      `${method} never comes in: requests with methods that HTTP servers do not know are refused`,
    );
  }
  checkRule(draft, key, around, problems);
  if (access === 'public' && draft.cost !== undefined && draft.cost !== 0) {
    problems.add(
      `${key}.cost`,
      'stands beside access: public, which charges nobody; allowed: 0, or with access: token or optional',
    );
  }
  const forwarded = draft.forward_headers ?? around.forwardHeaders;
  checkForwarded(draft.forward_headers, `${key}.forward_headers`, around.identityPrefix, problems);
  return {
    pattern,
    hosts:
      distinct(
        draft.hosts?.map(host => host && canonicalHost(host)),
        `${key}.hosts`,
        problems,
      ) ?? [],
    methods,
    access,
    upstream: upstreamOf(draft.upstream, key, around.upstreams, problems),
    require: requirementOf(draft.require),
    resource: draft.resource ?? null,
    commands: definedMembers(draft.commands),
    inspectBody: draft.inspect_body ?? null,
    mode: draft.mode ?? 'enforce',
    cost: costOf(draft.cost),
    allow: new Set(defined(draft.allow)),
    cors: cors === undefined ? null : readCors(cors, key, around, problems),
    forwardCredential: draft.forward_credential ?? false,
    forwardHeaders: new Set(defined(forwarded).map(name => name.toLowerCase())),
    stripSegments: draft.strip_prefix === undefined ? 0 : strippedSegments(draft.strip_prefix, pattern, key, problems),
    maxBody: draft.max_body === undefined ? around.maxBody : draft.max_body,
  };
}

/** Fields that tell who asks are always ours, whatever a list says. */
export function checkForwarded(
  names: readonly (string | undefined)[] | undefined,
  key: string,
  identityPrefix: string | undefined,
  problems: Problems,
): void {
  for (const [i, name] of (names ?? []).entries()) {
    if (name === undefined || identityPrefix === undefined) continue;
    if (!name.toLowerCase().replace(/[_.]/g, '-').startsWith(identityPrefix.toLowerCase())) continue;
    problems.add(itemKey(key, i), `begins with ${identityPrefix}, as identity fields do; allowed: other fields`);
  }
}

function upstreamOf(name: string | undefined, key: string, known: readonly string[], problems: Problems): string {
  const among = `allowed: ${known.join(', ')}`;
  if (name === undefined) {
    if (known.length > 1 && !problems.touch(`${key}.upstream`)) {
      problems.add(`${key}.upstream`, `is missing, and there is more than one upstream; ${among}`);
    }
    return known[0] ?? '';
  }
  if (!known.includes(name) && known.length > 0) {
    const near = nearest(name, known);
    const hint = near === null ? '' : `, did you mean ${near}?`;
    problems.add(`${key}.upstream`, `"${name}" is no upstream${hint}; ${among}`);
  }
  return name;
}

function requirementOf(require: RouteDraft['require']): Requirement | null {
  if (require === undefined) return null;
  if (typeof require === 'string') return { mode: 'all', permissions: [require] };
  if ('any' in require) return { mode: 'any', permissions: defined(require.any) };
  return { mode: 'all', permissions: defined(require as readonly (string | undefined)[]) };
}

function readCors(
  cors: NonNullable<RouteDraft['cors']>,
  key: string,
  around: Surroundings,
  problems: Problems,
): Route['cors'] {
  const origins = distinct(cors.origins, `${key}.cors.origins`, problems) ?? [];
  const star = (cors.origins ?? []).indexOf('*');
  if (star !== -1 && around.credentials.some(place => place.kind === 'cookie')) {
    const message =
      '"*" stands beside a token in a cookie, so that any site could act as the user; allowed: origins by name';
    problems.add(`${key}.cors.origins[${star}]`, message);
  }
  return { origins: new Set(origins), preflight: cors.preflight ?? 'refuse' };
}

function costOf(cost: RouteDraft['cost']): Cost {
  if (cost === undefined || typeof cost === 'number') return { units: cost ?? 1, header: null };
  return { units: cost.reserve ?? 1, header: cost.response_header?.toLowerCase() ?? null };
}

/** How many literal segments a prefix takes off a pattern. */
function strippedSegments(prefix: string, pattern: string, key: string, problems: Problems): number {
  const strip = readPattern(prefix);
  const whole = readPattern(pattern);
  if (!strip.ok || !whole.ok) {
    if (!strip.ok)
      problems.add(`${key}.strip_prefix`, `is no path: ${strip.why}; allowed: literal segments such as /api`);
    return 0;
  }
  const fits = strip.segments.every((segment, i) => {
    const other = whole.segments[i];
    return segment.kind === 'literal' && other?.kind === 'literal' && segment.text === other.text;
  });
  if (!fits) {
    const message = `"${prefix}" is not how ${pattern} begins; allowed: whole literal segments at the start of the route's path`;
    problems.add(`${key}.strip_prefix`, message);
  }
  return strip.segments.length;
}

/** One spelling for patterns that match the same paths: `%41` and `A` are one literal. */
function canonicalPattern(pattern: string): string {
  const reading = readPattern(pattern);
  if (!reading.ok) return pattern;
  const text = reading.segments.map(segment => {
    if (segment.kind === 'literal') return encodeURIComponent(segment.text);
    if (segment.kind === 'rest') return '**';
    if (segment.kind === 'capture') return '{}';
    return `${encodeURIComponent(segment.before)}{}${encodeURIComponent(segment.after)}`;
  });
  return `/${text.join('/')}`;
}

const defined = <T>(items: readonly (T | undefined)[] | undefined): T[] =>
  (items ?? []).filter(item => item !== undefined);

/** Null when there is no map. Names are a client's to send: none of them is inherited. */
function definedMembers(
  members: Readonly<Record<string, string | undefined>> | undefined,
): Readonly<Record<string, string>> | null {
  if (members === undefined) return null;
  const result: Record<string, string> = Object.create(null);
  for (const [name, member] of Object.entries(members)) if (member !== undefined) result[name] = member;
  return result;
}

/** The items of a list in which each may stand once; null when there is no list. */
function distinct<T extends string>(
  items: readonly (T | undefined)[] | undefined,
  key: string,
  problems: Problems,
): readonly T[] | null {
  if (items === undefined) return null;
  for (const [i, item] of items.entries()) {
    if (item !== undefined && items.indexOf(item) < i)
      problems.add(itemKey(key, i), `${item} stands twice; allowed: once`);
  }
  return [...new Set(defined(items))];
}
