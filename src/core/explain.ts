import type { Code } from '../errors.ts';
import type { Denial } from './decision.ts';
import { instantText } from './instant.ts';
import type { LimitView } from './limit.ts';
import { comparedLimit, limitNames } from './limit-denial.ts';
import { grantsOf } from './permissions.ts';
import { remedyOf } from './remedy.ts';
import { isBound, ownedBy, type RightsRuling } from './rights.ts';
import type { Route } from './route.ts';
import type { Claim, Demand } from './rule.ts';
import { type Millis, type Subject, sessionKind } from './token.ts';

/** The phases of a judgment, in their order. */
export const phases = [
  'form',
  'mount',
  'route',
  'credential',
  'token',
  'body',
  'constraints',
  'permission',
  'limits',
  'forward',
] as const;
export type Phase = (typeof phases)[number];

/** `skipped`: there was nothing to judge. `shadowed`: it failed, and shadow mode let the request through. */
export const stepOutcomes = ['passed', 'failed', 'shadowed', 'skipped'] as const;
export type StepOutcome = (typeof stepOutcomes)[number];

/** The entry of a grant that was the last to name an action and a resource. */
export interface DecidingGrant {
  readonly of: 'token' | 'account' | 'role';
  readonly id: string;
  /** Place of the grant in the permissions of what it belongs to. */
  readonly index: number;
  readonly resource: string;
  readonly action: string;
  readonly allow: boolean;
}

export type Compared = Readonly<Record<string, unknown>>;

/** One phase: how it ended, and what was held against what. */
export interface Step {
  readonly phase: Phase;
  readonly outcome: StepOutcome;
  readonly compared: Compared;
  /** Of a permission: what decided, where a grant did. */
  readonly grant?: DecidingGrant;
}

export interface Explanation {
  /** It is forwarded, or answered as asked. */
  readonly allow: boolean;
  /** What the client is told; 200 where that is for the upstream to say. */
  readonly status: number;
  /** Null: nothing was refused. */
  readonly code: Code | null;
  /** What it would have been refused with, were it not for shadow mode. */
  readonly shadow: Code | null;
  /** Up to the one that failed. */
  readonly steps: readonly Step[];
  /** What makes this request pass: words, and calls of the admin API on lines of their own. Null: it does. */
  readonly remedy: string | null;
}

/** What is known of a request once it was judged. Nothing of it is a secret, or holds one. */
export interface Facts {
  readonly method: string;
  /** The host that was asked for; null when the request was not understood so far. */
  readonly host: string | null;
  /** Without its query; null when it is not known, or may carry a credential. */
  readonly path: string | null;
  readonly client: string;
  /** Where the credential was found, or `named`; null: nowhere. */
  readonly place: string | null;
  /** Where one may stand. */
  readonly places: readonly string[];
  /** The token API whose it is, or might be. */
  readonly mount: { readonly api: string; readonly path: string } | null;
  /** The pattern that won, whether or not it takes the method. */
  readonly pattern: string | null;
  readonly route: Route | null;
  /** What looked at the presented token found. */
  readonly evidence: 'none' | 'refused' | 'absent' | 'found' | 'unavailable';
  readonly subject: Subject | null;
  /** Null: it was not asked. */
  readonly claim: Claim | null;
  /** What a charge would leave of the limits. Null: it was not asked. */
  readonly limits: readonly LimitView[] | null;
  /** Kind of the body, where the route looks into it. */
  readonly body: string | null;
  readonly now: Millis;
  /** The phase that refused, and with what; null when none did. */
  readonly fell: { readonly phase: Phase; readonly denial: Denial } | null;
  /** That was let through all the same. */
  readonly shadowed: boolean;
  readonly status: number;
}

/** Most steps of one phase: a batch may ask for many permissions. */
const mostDemands = 16;

/** The judgment of a request in the order in which it was made. */
export function explain(facts: Facts): Explanation {
  const { fell, shadowed, status } = facts;
  const steps: Step[] = [];
  for (const phase of phases) {
    if (fell?.phase === phase) {
      steps.push(...failed(phase, fell.denial, facts));
      break;
    }
    steps.push(...passed(phase, facts));
    // It is answered there.
    if (phase === 'mount' && facts.mount !== null) break;
  }
  const refused = fell !== null && !shadowed;
  return {
    allow: !refused,
    status,
    code: refused ? fell.denial.code : null,
    shadow: fell !== null && shadowed ? fell.denial.code : null,
    steps,
    remedy: fell === null ? null : remedyOf(facts, fell.denial),
  };
}

function passed(phase: Phase, facts: Facts): readonly Step[] {
  const { route, claim, evidence, subject } = facts;
  const pass = (compared: Compared): readonly Step[] => [{ phase, outcome: 'passed', compared }];
  const skip = (compared: Compared = {}): readonly Step[] => [{ phase, outcome: 'skipped', compared }];
  switch (phase) {
    case 'form':
      return pass(requested(facts));
    case 'mount':
      return facts.mount === null ? [] : pass({ ...facts.mount });
    case 'route':
      return pass(routed(facts));
    case 'credential':
      // Public routes and preflights ask for none.
      if (claim === null && facts.fell === null) return skip({ access: route?.access ?? null });
      return evidence === 'none' ? skip({ access: route?.access ?? null }) : pass({ place: facts.place });
    case 'token':
      return subject === null ? skip() : pass(tokenState(subject, facts.now));
    case 'body':
      return facts.body === null ? [] : pass({ kind: facts.body });
    case 'constraints': {
      const asked = subject === null ? [] : Object.keys(subject.token.constraints);
      return asked.length === 0 ? skip() : pass({ constraints: asked });
    }
    case 'permission':
      if (claim?.kind !== 'demands' || claim.demands.length === 0 || subject === null) return skip();
      return demandSteps(subject, claim.demands, 'passed');
    case 'limits': {
      const names = subject === null || claim === null ? [] : limitNames(subject);
      if (names.length === 0) return [];
      const cost = route?.cost.units ?? null;
      if (facts.limits !== null) return pass({ cost, limits: facts.limits.map(comparedLimit) });
      // What was sent had been charged.
      return facts.fell?.phase === 'forward' ? pass({ cost, limits: names }) : skip({ cost, limits: names });
    }
    case 'forward':
      return [];
  }
}

function failed(phase: Phase, denial: Denial, facts: Facts): readonly Step[] {
  const { claim, subject, now, route } = facts;
  const outcome: StepOutcome = facts.shadowed ? 'shadowed' : 'failed';
  const fail = (compared: Compared): readonly Step[] => [{ phase, outcome, compared }];
  switch (phase) {
    case 'form':
      return fail({ ...requested(facts), why: denial.detail });
    case 'mount':
      return fail({ ...facts.mount, why: denial.detail });
    case 'route':
      return fail({ ...routed(facts), ...(denial.allow && { methods: denial.allow }), why: denial.detail });
    case 'credential':
      if (denial.code === 'missing_token') return fail({ access: route?.access ?? null, places: facts.places });
      return fail({ places: facts.places, why: denial.detail });
    case 'token': {
      const state = subject === null ? { place: facts.place } : tokenState(subject, now);
      return fail({ ...state, cause: causeOf(denial), ...denial.compared });
    }
    case 'body':
      return fail({ inspect_body: route?.inspectBody ?? null, why: denial.detail });
    case 'constraints':
      return fail({ why: denial.detail, ...denial.compared });
    case 'permission': {
      if (subject === null || claim === null || claim.kind === 'demands') {
        return demandSteps(subject, claim?.kind === 'demands' ? claim.demands : [], outcome);
      }
      if (claim.kind === 'unlisted') return fail({ command: claim.command, commands: listed(route) });
      if (claim.kind === 'closed')
        return fail({ parameter: claim.parameter, inspect_body: route?.inspectBody ?? null });
      return fail({ why: claim.why });
    }
    case 'limits':
      return fail({ why: denial.detail, ...denial.compared });
    case 'forward':
      return fail({ upstream: route?.upstream ?? null, max_body: route?.maxBody ?? null, why: denial.detail });
  }
}

const requested = ({ method, path }: Facts): Compared => ({ method, path });

const routed = ({ method, host, path, pattern, route }: Facts): Compared => ({
  method,
  host,
  path,
  pattern,
  methods: route?.methods ?? null,
});

const listed = (route: Route | null): readonly string[] => Object.keys(route?.commands ?? {}).slice(0, 64);

/** Why a token is not valid, or that nobody could tell. */
const causeOf = ({ reason, code }: Denial): string =>
  reason.startsWith('invalid_token_') ? reason.slice('invalid_token_'.length) : code;

function tokenState({ token, account, secretUntil }: Subject, now: Millis): Compared {
  return {
    id: token.id,
    ...(token.kind === sessionKind && { kind: token.kind }),
    state: token.state,
    mode: token.mode,
    owner: token.owner,
    ...(token.owner !== null && { owner_enabled: account !== null && !account.deleted && account.enabled }),
    created_at: instantText(token.createdAt),
    ...(account?.revokedBefore != null && { owner_revoked_before: instantText(account.revokedBefore) }),
    not_before: textOrNull(token.notBefore),
    expires_at: textOrNull(token.expiresAt),
    ...(secretUntil !== null && { secret_until: instantText(secretUntil) }),
    now: instantText(now),
  };
}

const textOrNull = (at: Millis | null): string | null => (at === null ? null : instantText(at));

/** At most so many, in their order. Where not all find room, the others give way to those that `is` holds for. */
export function mostTelling<T>(all: readonly T[], most: number, is: (one: T) => boolean): readonly T[] {
  if (all.length <= most) return all;
  const kept = new Set<number>();
  for (let i = 0; i < all.length && kept.size < most; i++) if (is(all[i]!)) kept.add(i);
  for (let i = 0; i < all.length && kept.size < most; i++) kept.add(i);
  return all.filter((_, i) => kept.has(i));
}

/** One step for each action that is asked for; of `any`, the first that is permitted, or all. */
function demandSteps(subject: Subject | null, demands: readonly Demand[], outcome: StepOutcome): readonly Step[] {
  const asked: { action: string; resource: string | null; mode: Demand['mode']; permitted: boolean }[] = [];
  for (const { mode, permissions, resource } of demands) {
    const permitted = (action: string): boolean => subject?.rights.permits(action, resource) ?? false;
    const enough = mode === 'any' ? permissions.find(permitted) : undefined;
    for (const action of enough === undefined ? permissions : [enough]) {
      asked.push({ action, resource, mode, permitted: permitted(action) });
    }
  }
  return mostTelling(asked, mostDemands, each => !each.permitted).map(({ action, resource, mode, permitted }) =>
    actionStep(subject, action, resource, mode, permitted ? 'passed' : outcome),
  );
}

function actionStep(
  subject: Subject | null,
  action: string,
  resource: string | null,
  mode: Demand['mode'],
  outcome: StepOutcome,
): Step {
  const rulings = subject === null ? [] : subject.rights.rulings(action, resource);
  const sides = rulings.map(side => [side.of, sideText(side)] as const);
  const compared = { action, resource, mode, ...Object.fromEntries(sides), ...standing(subject, resource) };
  // Whoever withholds has decided; where nobody does, the token itself has.
  const decisive = rulings.find(({ ruling }) => ruling?.allow !== true) ?? rulings[0];
  const grant = decisive === undefined || subject === null ? null : decidingGrant(subject, decisive);
  return { phase: 'permission', outcome, compared, ...(grant && { grant }) };
}

/** What is told beside the rulings: whose permissions a token has, and what `*` does not stand for. */
function standing(subject: Subject | null, resource: string | null): Compared {
  if (subject === null) return {};
  const { token, account } = subject;
  const owned = token.owner === null ? null : ownedBy(account);
  return {
    ...(token.permissions === 'inherit' && { token: 'inherits' }),
    ...(token.permissions === 'inherit' && (account === null || !isBound(account)) && { account: 'has none' }),
    ...(resource !== null && owned !== null && !owned.has(resource) && { owned: false }),
  };
}

const sideText = ({ ruling }: RightsRuling): string =>
  ruling === null ? 'names it nowhere' : ruling.allow ? 'grants it' : 'withholds it';

function decidingGrant({ token, account, roles }: Subject, { of, ruling }: RightsRuling): DecidingGrant | null {
  if (ruling === null) return null;
  const { allow, resource, action } = ruling;
  if (of === 'token') return { of, id: token.id, index: ruling.grant, resource, action, allow };
  // The account's grants are those of its roles in their order, then its own.
  let index = ruling.grant;
  for (const { id, permissions } of roles) {
    const { length } = grantsOf(permissions);
    if (index < length) return { of: 'role', id, index, resource, action, allow };
    index -= length;
  }
  return { of: 'account', id: account?.id ?? token.owner ?? '', index, resource, action, allow };
}
