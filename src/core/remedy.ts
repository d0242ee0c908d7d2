import { type Breach, constraintNames } from './constraint.ts';
import type { Denial } from './decision.ts';
import type { Facts } from './explain.ts';
import { headLimits } from './form.ts';
import { raisedLimit, shownLimit } from './limit-form.ts';
import { type Grant, grantsOf, mergePermissions, type OwnPermissions, type Permissions } from './permissions.ts';
import { isBound, ownedBy } from './rights.ts';
import { type InvalidCause, isRevoked, type Subject, sessionKind } from './token.ts';

/**
 * What makes a refused request pass, in plain words. A call of the admin API stands on a line of its own, as
 * `METHOD /path JSON`; all of them together do it.
 */
export function remedyOf(facts: Facts, denial: Denial): string {
  const { route, method, path, host, pattern } = facts;
  const place = route?.pattern ?? pattern ?? path;
  switch (denial.code) {
    case 'missing_token':
      return presenting(facts, 'Present a token');
    case 'ambiguous_credential':
      if (isOfConstraint(denial)) return constraintRemedy(facts, denial);
      return `Present exactly one token, at one place and in one piece: ${facts.places.join('; ')}.`;
    case 'invalid_token':
      return tokenRemedy(facts, causeOf(denial));
    case 'too_many_failures': {
      if (facts.fell?.phase === 'mount')
        return `Wait ${denial.retryAfter ?? 1} s, and present nothing that fails meanwhile.`;
      const remedy = isOfConstraint(denial) ? constraintRemedy(facts, denial) : tokenRemedy(facts, causeOf(denial));
      return `Wait ${denial.retryAfter ?? 1} s, present nothing that fails meanwhile, and then: ${remedy}`;
    }
    case 'insufficient_scope':
      return permissionRemedy(facts);
    case 'constraint_failed':
    case 'basic_required':
      return constraintRemedy(facts, denial);
    case 'no_route':
      return `Ask for a path that has a route, or add a route to the configuration that takes ${path ?? 'this path'} on ${host === '' || host === null ? 'any host' : host}.`;
    case 'method_not_allowed':
      return neverRouted.has(method)
        ? `Use another method: ${method} is never forwarded.`
        : `Use one of ${(denial.allow ?? []).join(', ')}, or add ${method} to \`methods\` of a route ${place} in the configuration.`;
    case 'malformed_request':
      if (facts.fell?.phase === 'mount') return `Change the path to the exact one: ${lowered(denial.detail)}`;
      // Of all that a path is refused for there, only spellings can be allowed.
      return facts.fell?.phase === 'route' && denial.detail.startsWith('The path has ')
        ? `Change the path, or give the route ${place} an \`allow\` that takes it as it is: ${lowered(denial.detail)}`
        : `Change the request: ${lowered(denial.detail)}`;
    case 'head_too_large':
      return `Send at most ${headLimits.fields} fields, and at most ${headLimits.bytes} bytes of them and the request line.`;
    case 'expectation_failed':
      return 'Send no Expect, or `Expect: 100-continue`.';
    case 'version_not_supported':
      return 'Speak HTTP/1.1 or HTTP/1.0.';
    case 'request_timeout':
      return 'Send the whole request without long pauses, or raise `listen.proxy.head_timeout` or `body_timeout`.';
    case 'body_too_large':
      if (facts.fell?.phase === 'mount') return 'Send a smaller body.';
      return `Send a smaller body, JSON of fewer values, or raise ${facts.fell?.phase === 'forward' ? `\`max_body\` (${route?.maxBody ?? 0} bytes)` : `\`inspect_body\` (${route?.inspectBody ?? 0} bytes)`} of the route ${place}.`;
    case 'unsupported_media':
      return route?.inspectBody == null
        ? `Send the parameters in the query and no body, or set \`inspect_body\` of the route ${place}.`
        : 'Send the body as application/x-www-form-urlencoded or application/json, in UTF-8, without Content-Encoding.';
    case 'store_unavailable':
      return 'Nothing speaks against this request. Send it again when the store answers; /readyz says when that is.';
    case 'loop_detected':
      return `The request came back to where it had been: let the upstream of ${place ?? 'this route'} not lead to Postern, or leave its name out of Via.`;
    case 'limit_exceeded':
      return limitRemedy(denial);
    case 'overloaded':
      if (isOfConstraint(denial)) return 'Send it again in a moment, with fewer others that bring new passwords.';
      if (facts.fell?.phase === 'limits') {
        return 'Send it again in a moment: other processes have units that they were asked for. If it lasts, raise `limits.wait`.';
      }
      return 'Send it again in a moment; if it lasts, raise `max_connections` or `queue` of the upstream.';
    case 'upstream_failed':
      return `The request was permitted. See to the upstream ${route?.upstream ?? ''}: it could not be reached, or broke off.`;
    case 'upstream_timeout':
      return `The request was permitted. See to the upstream ${route?.upstream ?? ''}, or raise its \`response_timeout\`.`;
    default:
      return 'This is a fault of Postern: the log has more under the id of the request.';
  }
}

const neverRouted = new Set(['CONNECT', 'TRACE']);

const lowered = (text: string): string => `${text.charAt(0).toLowerCase()}${text.slice(1)}`;

const line = (method: string, path: string, body?: unknown): string =>
  `\n${method} ${path}${body === undefined ? '' : ` ${JSON.stringify(body)}`}`;

/** The cause for which a token was refused, also where the guard answered in its place. */
function causeOf({ reason, compared }: Denial): InvalidCause {
  const text = String(compared?.['cause'] ?? reason);
  return text.replace(/^invalid_token_/, '') as InvalidCause;
}

/** A constraint of the token is what refused, also where the guard answered in its place. */
const isOfConstraint = ({ compared }: Denial): boolean => compared?.['constraint'] !== undefined;

/** A token that may do what is asked: at one of the places, and where there may be none, how one is made. */
const presenting = (facts: Facts, how: string): string =>
  `${how}: ${facts.places.join('; ')}. This makes one that passes:${newToken(null, wantedOf(facts))}`;

function tokenRemedy(facts: Facts, cause: InvalidCause): string {
  const { subject, now } = facts;
  if (subject === null) {
    const why = cause === 'unknown' ? 'No token has this secret' : 'What was presented cannot be a token of ours';
    return presenting(facts, `${why}. Present one that was made here`);
  }
  const { token, account, secretUntil } = subject;
  if (token.kind === sessionKind) {
    return presenting(facts, 'A session is for token APIs alone, and is no token here. Present one that is');
  }
  if (token.kind === 'declared') {
    return `Change the token ${token.id} in \`tokens.declared\` of the configuration: it is ${cause.replaceAll('_', ' ')}.${ownerLine(subject)}`;
  }
  const gone = token.owner !== null && (account === null || account.deleted);
  if (isRevoked(token, account) || gone) {
    const why = gone ? 'The account is gone, and its tokens with it' : 'A revoked token is revoked for good';
    const wanted = wantedOf(facts);
    const notes = gone ? '' : accountNotes(subject, wanted);
    return `${why}. Present another, such as this one.${notes}${gone ? '' : ownerLine(subject)}${newToken(subject, wanted)}`;
  }
  const lines = [ownerLine(subject)];
  if (token.state === 'disabled') lines.push(line('POST', `/v1/tokens/${token.id}/enable`));
  const times = {
    ...(token.notBefore !== null && now < token.notBefore && { not_before: null }),
    ...(token.expiresAt !== null && now >= token.expiresAt && { expires_at: null }),
  };
  if (Object.keys(times).length > 0) lines.push(line('PATCH', `/v1/tokens/${token.id}`, times));
  const replaced = secretUntil !== null && now >= secretUntil;
  if (replaced) lines.push(line('POST', `/v1/tokens/${token.id}/rotate`));
  lines.push(...permissionLines(subject, wantedOf(facts)));
  const what = replaced
    ? 'The secret was replaced: present the newer one, or make another'
    : `The token is ${cause === 'account_disabled' ? "its account's to stop, which is disabled" : cause.replaceAll('_', ' ')}`;
  return `${what}.${accountNotes(subject, wantedOf(facts))}${lines.join('')}`;
}

/** The account has to let its tokens work. */
function ownerLine({ account }: Subject): string {
  if (account === null || account.deleted || account.enabled) return '';
  return line('PATCH', `/v1/accounts/${account.id}`, { enabled: true });
}

function permissionRemedy(facts: Facts): string {
  const { claim, subject, route } = facts;
  if (claim?.kind === 'unlisted') {
    return `Use a command that the route ${route?.pattern ?? ''} lists, or add this one to its \`commands\`.`;
  }
  if (subject === null) return 'Present a token that has the permission.';
  const wanted = wantedOf(facts);
  const lines = permissionLines(subject, wanted);
  const notes = accountNotes(subject, wanted);
  if (subject.token.kind === 'declared' && lackedBy(subject, 'token', wanted).length > 0) {
    return `Give the token ${subject.token.id} the permission in \`tokens.declared\` of the configuration.${notes}${lines.slice(1).join('')}`;
  }
  return `Grant what is missing.${notes}${lines.join('')}`;
}

/** Actions on a resource; null: on none in particular. */
interface Wanted {
  readonly resource: string | null;
  readonly actions: readonly string[];
}

/** What is asked for, by resource. Of `any` the first. */
function wantedOf({ claim }: Facts): readonly Wanted[] {
  if (claim?.kind !== 'demands') return [];
  const byResource = new Map<string | null, Set<string>>();
  for (const { mode, permissions, resource } of claim.demands) {
    const actions = byResource.get(resource) ?? new Set<string>();
    for (const action of mode === 'any' ? permissions.slice(0, 1) : permissions) actions.add(action);
    byResource.set(resource, actions);
  }
  return [...byResource].map(([resource, actions]) => ({ resource, actions: [...actions] }));
}

/** What each side lacks of what is wanted. A token that has its owner's permissions lacks none itself where there is an owner. */
function lackedBy({ rights, account }: Subject, of: 'token' | 'account', wanted: readonly Wanted[]): readonly Wanted[] {
  const lacked = wanted.map(({ resource, actions }) => ({
    resource,
    actions: actions.filter(action => {
      const rulings = rights.rulings(action, resource);
      if (rulings.length === 0) return of === (account === null ? 'token' : 'account');
      return rulings.some(side => side.of === of && side.ruling?.allow !== true);
    }),
  }));
  return lacked.filter(({ actions }) => actions.length > 0);
}

/** What is to be known before the account is given what it lacks. */
function accountNotes(subject: Subject, wanted: readonly Wanted[]): string {
  const { token, account } = subject;
  if (account === null) return '';
  let notes = '';
  if (lackedBy(subject, 'account', wanted).length > 0) {
    if (token.permissions === 'inherit') {
      notes += ` The token has what its account ${account.id} has: give that a role which has the permission, or the permission itself.`;
    }
    if (!isBound(account)) notes += ' From then on what the account has bounds all its tokens.';
  }
  const owned = ownedBy(account);
  const lacked = new Set(
    (['token', 'account'] as const).flatMap(of => lackedBy(subject, of, wanted)).map(each => each.resource),
  );
  const foreign = [...lacked].filter(resource => resource !== null && owned !== null && !owned.has(resource));
  if (foreign.length > 0) {
    // In quotes, as JSON: a resource is of the client's making, and must not look like a call on a line of its own.
    const more = foreign.length === 1 ? '' : ` (nor ${foreign.length - 1} more)`;
    notes += ` The account ${account.id} does not own ${JSON.stringify(foreign[0])}${more}, and \`*\` is what it owns. If it is to own it, whoever may say so extends \`owns\`; what follows gives a part in what is not its own.`;
  }
  return notes;
}

/** The calls that give the token, then its account, what they lack. */
function permissionLines(subject: Subject, wanted: readonly Wanted[]): readonly string[] {
  const { token, account } = subject;
  const lines: string[] = [];
  const ofToken = lackedBy(subject, 'token', wanted);
  if (ofToken.length > 0) {
    const { merge, whole } = amended(token.permissions === 'inherit' ? [] : token.permissions, ofToken);
    const path = `/v1/tokens/${token.id}/permissions`;
    lines.push(merge === null ? line('PUT', path, whole) : line('PATCH', path, merge));
  }
  const ofAccount = account === null ? [] : lackedBy(subject, 'account', wanted);
  if (account !== null && ofAccount.length > 0) {
    const { merge, whole } = amended(account.permissions ?? [], ofAccount);
    lines.push(line('PATCH', `/v1/accounts/${account.id}`, { permissions: merge ?? whole }));
  }
  return lines;
}

/** A new token with the permissions of one that is gone, and what is wanted. */
function newToken(before: Subject | null, wanted: readonly Wanted[]): string {
  const base: Permissions = before?.token.permissions ?? [];
  const gone = before === null || before.account === null || before.account.deleted;
  // There is nobody to inherit from any more.
  const all = before === null || (gone && base === 'inherit');
  const lacked = all ? wanted : lackedBy(before, 'token', wanted);
  const { whole } = amended(base === 'inherit' ? [] : base, lacked);
  const permissions = base === 'inherit' && lacked.length === 0 && !gone ? base : whole;
  const owner = gone ? {} : { owner: before.token.owner };
  const ofAccount = gone
    ? ''
    : permissionLines(before, wanted)
        .slice(lacked.length > 0 ? 1 : 0)
        .join('');
  return `${ofAccount}${line('POST', '/v1/tokens', { ...owner, permissions, ...kept(before) })}`;
}

/** What bounded the token that is gone bounds the new one: but for passwords and keys, which nobody is told. */
function kept(before: Subject | null): Record<string, unknown> {
  if (before === null) return {};
  const { signature: _, basic: __, ...constraints } = before.token.constraints;
  return Object.keys(constraints).length === 0 ? {} : { constraints };
}

/** Permissions with more in them, in the form that they have where that can say it. `merge`: only what is to be merged into a map. */
function amended(
  own: OwnPermissions,
  wanted: readonly Wanted[],
): { readonly merge: Readonly<Record<string, boolean>> | null; readonly whole: OwnPermissions } {
  const all = (actions: readonly string[]): Record<string, boolean> =>
    Object.fromEntries(actions.map(action => [action, true]));
  const onAnything = wanted.every(({ resource }) => resource === null);
  const actions = wanted.flatMap(each => each.actions);
  if (onAnything && !isList(own)) return { merge: all(actions), whole: mergePermissions(own, all(actions)) };
  if (onAnything && isList(own) && own.every(entry => typeof entry === 'string')) {
    return { merge: null, whole: [...own.filter(entry => !actions.includes(entry)), ...actions] };
  }
  const added = wanted.map((each): Grant => ({ resources: [each.resource ?? '*'], actions: all(each.actions) }));
  return { merge: null, whole: [...grantsOf(own), ...added] };
}

const isList = (own: OwnPermissions): own is readonly string[] | readonly Grant[] => Array.isArray(own);

/** What a denial by limits says of each of them. */
interface ComparedLimits {
  readonly cost: number;
  readonly limits: readonly { readonly name: string; readonly of: 'token' | 'account'; readonly most: number }[];
}

/** Waiting, where that helps, or the calls after which nobody has to: what is too small is raised, the rest begins anew. */
function limitRemedy({ subject, retryAfter, compared }: Denial): string {
  const wait = retryAfter === undefined ? 'Waiting does not help: ' : `Wait ${retryAfter} s, or `;
  if (subject === null) return `${wait}raise the limit.`;
  const { cost, limits } = compared as unknown as ComparedLimits;
  const { token, account } = subject;
  const lines: string[] = [];
  let declared = false;
  for (const [of, path, all] of [
    ['token', `/v1/tokens/${token.id}`, token.limits],
    ['account', `/v1/accounts/${account?.id ?? token.owner}`, account?.limits ?? []],
  ] as const) {
    const names = (tooSmall: boolean): readonly string[] =>
      limits.filter(limit => limit.of === of && cost > limit.most === tooSmall).map(({ name }) => name);
    const low = names(true);
    if (low.length > 0 && of === 'token' && token.kind === 'declared') declared = true;
    else if (low.length > 0) {
      const next = all.map(limit => shownLimit(low.includes(limit.name) ? raisedLimit(limit, cost) : limit));
      lines.push(line('PATCH', path, { limits: next }));
    }
    for (const name of names(false)) lines.push(line('POST', `${path}/limits/${name}/reset`));
  }
  const inFile = `raise the limits of the token ${token.id} in \`tokens.declared\` of the configuration`;
  return `${wait}${declared ? `${inFile}.` : 'let it have more:'}${lines.join('')}`;
}

/** The advice for the constraint that was broken, and which of the token's are held against the request after it. */
function constraintRemedy(facts: Facts, denial: Denial): string {
  const constraints: readonly string[] = constraintNames;
  const next = constraints.slice(constraints.indexOf(String(denial.compared?.['constraint'])) + 1);
  const waiting = next.filter(name => Object.hasOwn(facts.subject?.token.constraints ?? {}, name));
  const after =
    waiting.length === 0 || !isOfConstraint(denial) ? '' : `\nThen it is held against ${waiting.join(', ')}.`;
  return `${oneConstraintRemedy(facts, denial)}${after}`;
}

/** The way within the constraint first, then the change of the constraint that takes this request. */
function oneConstraintRemedy(facts: Facts, denial: Denial): string {
  const { subject, client, method, path, route } = facts;
  const { compared } = denial;
  if (!isOfConstraint(denial) || subject === null) {
    return `Send it from the same origin, or add its Origin to \`cors.origins\` of the route ${route?.pattern ?? ''}, or present the token in a header.`;
  }
  const { token } = subject;
  const source = token.constraints;
  const constraint = compared?.['constraint'] as Breach['constraint'];
  const to = (constraints: unknown): string =>
    token.kind === 'declared'
      ? ` change \`constraints\` of the token ${token.id} in \`tokens.declared\` of the configuration.`
      : ` let the token be used so:${line('PATCH', `/v1/tokens/${token.id}`, { constraints })}`;
  if (constraint === null) return `Ask a version that understands the constraints of the token, or${to(null)}`;
  const change = (value: unknown): string => `, or${to({ [constraint]: value })}`;
  switch (constraint) {
    case 'networks':
      return `Send it from ${(source.networks ?? []).join(', ')}${change([...(source.networks ?? []), client])}`;
    case 'methods':
      return `Use ${(source.methods ?? []).join(', ')}${change([...(source.methods ?? []), method])}`;
    case 'paths':
      return `Ask for ${(source.paths ?? []).join(', ')}${change([...(source.paths ?? []), path ?? '/**'])}`;
    case 'params': {
      const params = source.params ?? {};
      const name = String(compared?.['parameter']);
      // The last one only goes with the whole constraint.
      const free = change(Object.keys(params).length > 1 ? { [name]: null } : null);
      return `Send the parameter ${name} once, as ${JSON.stringify(params[name] ?? null)}${free}`;
    }
    case 'origins': {
      const origin = compared?.['origin'];
      const wider = typeof origin === 'string' ? [...(source.origins ?? []), origin] : null;
      return `Send it from ${(source.origins ?? []).join(', ')}${change(wider)}`;
    }
    case 'basic':
      return `Send the Basic credentials of ${Object.keys(source.basic ?? {}).join(' or ')} in Authorization and the token at another place${change(null)}`;
    case 'signature':
      return `Sign the request (\`POST /v1/tokens/${token.id}/sign\` makes a signed URL)${change(null)}`;
  }
}
