import type { Found } from '../core/credential.ts';
import { missingPermissions } from '../core/decide.ts';
import type { Denial } from '../core/decision.ts';
import { type Facts, mostTelling, type Phase } from '../core/explain.ts';
import type { Form } from '../core/form.ts';
import type { LimitView } from '../core/limit.ts';
import type { Match } from '../core/route.ts';
import type { Claim, Demand } from '../core/rule.ts';
import type { Millis, Subject } from '../core/token.ts';
import { codes } from '../errors.ts';
import type { Case } from './judge.ts';
import type { Policy } from './policy.ts';

/** How a request ended, beside what its case knows. */
export interface Fate {
  /** What it was refused with, or would have been; null: nothing. */
  readonly denial: Denial | null;
  /** It was let through all the same. */
  readonly shadowed: boolean;
  /** The denial came after the permit. */
  readonly forwarding: boolean;
  /** What is left of limits, where that was asked. */
  readonly limits?: readonly LimitView[] | null;
  readonly at: Millis;
}

/**
 * What is kept of a judged request, to explain it later: chosen values, copied out of the request, none of which can hold a
 * secret. What they are made into waits until somebody asks, because most refusals are never asked about.
 */
export function factsOf(of: Case, { denial, shadowed, forwarding, limits = null, at }: Fate): Facts {
  const { asked, policy, form, client, mount, match, route, question } = of;
  const evidence = question?.evidence;
  const found = question?.reading.kind === 'one' ? question.reading.found : null;
  return {
    method: shown(asked.head.method, policy, found) ?? redacted,
    host: form === null ? null : shown(form.host, policy, found),
    path: pathOf(form, policy, found),
    client: client?.address ?? asked.connection.peer,
    place: asked.named !== undefined ? 'named' : found === null ? null : placeOf(found, form),
    places: policy.places.names,
    mount: mount === null ? null : { api: mount.api, path: mount.path === '' ? '/' : mount.path },
    pattern: patternOf(match),
    route,
    evidence: evidence?.kind ?? 'none',
    subject: evidence?.kind === 'found' ? evidence.subject : (denial?.subject ?? null),
    claim:
      question === null
        ? null
        : claimOf(question.claim, of, found, evidence?.kind === 'found' ? evidence.subject : null),
    limits,
    body: question === null || route === null || route.inspectBody === null ? null : question.parameters.kind,
    now: question?.now ?? at,
    fell:
      denial === null
        ? null
        : { phase: forwarding ? 'forward' : phaseOf(of, denial), denial: discreet(denial, policy, found) },
    shadowed,
    status: denial === null || shadowed ? 200 : codes[denial.code].status,
  };
}

/** Of bytes that never became a request. */
export const factsOfUnparsed = (denial: Denial, policy: Policy, peer: string, now: Millis): Facts => ({
  method: 'other',
  host: null,
  path: null,
  client: peer,
  place: null,
  places: policy.places.names,
  mount: null,
  pattern: null,
  route: null,
  evidence: 'none',
  subject: null,
  claim: null,
  limits: null,
  body: null,
  now,
  fell: { phase: 'form', denial },
  shadowed: false,
  status: codes[denial.code].status,
});

/** Where a denial came from. */
function phaseOf({ mount, match, question, decision }: Case, denial: Denial): Phase {
  const { code, compared } = denial;
  if (mount !== null) return 'mount';
  if (compared?.['constraint'] !== undefined) return 'constraints';
  if (compared?.['limits'] !== undefined) return 'limits';
  if (code === 'ambiguous_credential' || code === 'missing_token') return 'credential';
  if (code === 'invalid_token' || code === 'too_many_failures' || code === 'store_unavailable') return 'token';
  if (match === null) return 'form';
  if (question === null) return 'route';
  const decided = decision?.kind === 'permit' ? decision.shadowed : decision;
  if (denial !== decided) return 'body';
  return code === 'constraint_failed' ? 'constraints' : 'permission';
}

/** A denial as it may be kept and shown: what it compared, and names of actions, may be a client's text. */
function discreet({ code, reason, detail, subject, compared, ...more }: Denial, policy: Policy, found: Found | null) {
  const hide = (text: string): string => shown(text, policy, found) ?? redacted;
  const told: Denial = { kind: 'denial', code, reason, detail: hide(detail), subject };
  const { allow, retryAfter } = more;
  return {
    ...told,
    ...(allow !== undefined && { allow }),
    ...(retryAfter !== undefined && { retryAfter }),
    ...(compared !== undefined && {
      compared: Object.fromEntries(
        Object.entries(compared).map(([name, value]) => [name, typeof value === 'string' ? hide(value) : value]),
      ),
    }),
  };
}

const patternOf = (match: Match | null): string | null =>
  match?.kind === 'route' || match?.kind === 'method' ? match.leaf.pattern : null;

function placeOf(found: Found, form: Form | null): string {
  switch (found.place) {
    case 'header':
      return form?.names[found.field] ?? 'header';
    case 'cookie':
    case 'form':
      return `${found.place} ${found.name}`;
    case 'query':
      return 'query';
    case 'websocket_protocol':
      return 'sec-websocket-protocol';
  }
}

/** Most calls of a batch, and most permissions of one call, that are kept. */
const most = { demands: 16, permissions: 64 } as const;

/** What every request of a route asks for is the configuration's text; else clients have had a say in it. */
function claimOf(claim: Claim, { match, policy }: Case, found: Found | null, subject: Subject | null): Claim {
  if (match?.kind === 'route' && match.rule.fixed === claim) return claim;
  const hide = (text: string): string => shown(text, policy, found) ?? redacted;
  switch (claim.kind) {
    case 'unlisted':
      return { ...claim, command: hide(claim.command) };
    case 'demands':
      return {
        kind: 'demands',
        demands: telling(claim.demands, subject).map(({ mode, permissions, resource }) => ({
          mode,
          permissions: permissions.map(hide),
          resource: resource === null ? null : hide(resource),
        })),
      };
    default:
      return claim;
  }
}

/** As many as are kept, with what is missing: it may stand anywhere in a batch, and is what somebody asks about. */
function telling(demands: readonly Demand[], subject: Subject | null): readonly Demand[] {
  const missing = (demand: Demand): readonly string[] => (subject === null ? [] : missingPermissions(subject, demand));
  const kept = mostTelling(demands, most.demands, demand => missing(demand).length > 0);
  return kept.map(demand => {
    const { permissions } = demand;
    if (permissions.length <= most.permissions) return demand;
    const lacking = new Set(missing(demand));
    return { ...demand, permissions: mostTelling(permissions, most.permissions, name => lacking.has(name)) };
  });
}

const redacted = '[redacted]';

/** Longest text of a client's that is kept, in characters. */
const longest = 512;

/** What every token of ours ends in, whatever its prefix. */
const tokenEnd = /(?:_|%5[Ff])[0-9A-Za-z]{38}/;

/** So short a text holds no secret that would be worth anything. */
const shortest = 8;

/** A client's text; null where a token of ours, or what was presented as one, stands in it. */
function shown(text: string, { tokenPrefix }: Policy, found: Found | null): string | null {
  const { length } = text;
  if (length < shortest) return text;
  if (spellsToken(text, tokenPrefix) || (length > 38 && tokenEnd.test(text))) return null;
  const presented = found?.value;
  if (presented !== undefined && presented.length >= shortest && length >= presented.length) {
    if (text.includes(presented)) return null;
  }
  return copied(length > longest ? `${text.slice(0, longest)}…` : text);
}

/**
 * A part of a string keeps the whole of it in memory: attack: a few characters of each body, and with them thousands of
 * bodies. Shorter parts than this are copies already.
 */
const copied = (text: string): string => (text.length < 13 ? text : Buffer.from(text, 'utf8').toString('utf8'));

/** A token of ours in a text, however it is spelled there. */
export function spellsToken(text: string, prefix: string): boolean {
  if (!text.includes('%')) return text.includes(prefix) && text.includes(`${prefix}_`);
  let spelled = text;
  for (let times = 0; times < 3 && spelled.includes('%'); times++) spelled = decodeBytes(spelled);
  return spelled.includes(`${prefix}_`);
}

const decodeBytes = (text: string): string =>
  text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));

function pathOf(form: Form | null, policy: Policy, found: Found | null): string | null {
  if (form === null) return null;
  const { path } = form.target;
  return shown(path, policy, found);
}
