import type { LimitView } from './limit.ts';
import type { Millis } from './token.ts';

/**
 * What a client is told of its limits: the fields of draft-ietf-httpapi-ratelimit-headers-10, the older `X-RateLimit-*`,
 * both or none. Lists of structured fields are written as RFC 9651 says.
 */

export const rateLimitModes = ['draft', 'legacy', 'both', 'none'] as const;
export type RateLimitMode = (typeof rateLimitModes)[number];

/**
 * What a limit is called where a client sees it: its name. One of the account's that is called as one of the token's is
 * `account:name`, which no limit can be called.
 */
export const policyName = ({ name, scope }: LimitView, all: readonly LimitView[]): string =>
  scope === 'account' && all.some(other => other.scope === 'token' && other.name === name) ? `account:${name}` : name;

/** What those are called that refused a request, as in `RateLimit`. */
export const violatedPolicies = (views: readonly LimitView[]): readonly string[] =>
  views.filter(({ violated }) => violated).map(view => policyName(view, views));

/** Names of all fields here. */
export const rateLimitNames = [
  'RateLimit',
  'RateLimit-Policy',
  'X-RateLimit-Limit',
  'X-RateLimit-Remaining',
  'X-RateLimit-Reset',
] as const;

/** Names and values in turn. `of`: whose limits these are; what does not change with each request is kept for it. */
export function rateLimitFields(views: readonly LimitView[], mode: RateLimitMode, now: Millis, of: object): string[] {
  if (mode === 'none' || views.length === 0) return [];
  const fields: string[] = [];
  if (mode !== 'legacy') {
    const { policy, starts } = constantOf(views, of);
    let rates = '';
    for (let i = 0; i < views.length; i++) {
      const view = views[i]!;
      const at = moreAt(view, now);
      rates += `${starts[i]!}${leftOf(view)}`;
      if (at !== null) rates += `;t=${secondsUntil(at, now)}`;
    }
    fields.push('RateLimit-Policy', policy, 'RateLimit', rates);
  }
  if (mode !== 'draft') {
    const view = tightest(views, now);
    const at = moreAt(view, now);
    fields.push('X-RateLimit-Limit', `${view.capacity}`, 'X-RateLimit-Remaining', `${leftOf(view)}`);
    // Libraries that know this field take it for a time since GitHub and Twitter did.
    if (at !== null) fields.push('X-RateLimit-Reset', `${Math.ceil(at / 1000)}`);
  }
  return fields;
}

/** Another's fields of this kind: where ours are, they would be taken for one system's. `name` in lower case. */
export const isRateLimitField = (name: string): boolean => rateLimitName.test(name);

const rateLimitName = /^(?:x[-_.])?rate[-_.]?limit(?:[-_.]|$)/;

/** What stays the same: the policies, and each rate up to its number. */
interface Constant {
  readonly policy: string;
  readonly starts: readonly string[];
  readonly views: readonly LimitView[];
}

const constants = new WeakMap<object, Constant>();

function constantOf(views: readonly LimitView[], of: object): Constant {
  const known = constants.get(of);
  if (known !== undefined && isOf(known, views)) return known;
  // Names are ASCII: of that, JSON has the strings of RFC 9651 3.3.3.
  const names = views.map(view => JSON.stringify(policyName(view, views)));
  const constant = {
    policy: views.map((view, i) => `${names[i]};q=${view.capacity}${windowOf(view)}`).join(', '),
    starts: names.map((name, i) => `${i === 0 ? '' : ', '}${name};r=`),
    views,
  };
  constants.set(of, constant);
  return constant;
}

/** A definition may have come into force meanwhile, or a longer month. */
function isOf({ views: known }: Constant, views: readonly LimitView[]): boolean {
  if (known === views) return true;
  if (known.length !== views.length) return false;
  for (let i = 0; i < views.length; i++) {
    const [a, b] = [known[i]!, views[i]!];
    if (a.name !== b.name || a.scope !== b.scope) return false;
    if (a.capacity !== b.capacity || a.windowSeconds !== b.windowSeconds) return false;
  }
  return true;
}

const windowOf = ({ windowSeconds }: LimitView): string =>
  windowSeconds === null ? '' : `;w=${Math.max(1, Math.ceil(windowSeconds))}`;

const leftOf = ({ left, capacity }: LimitView): number => Math.max(0, Math.min(Math.floor(left), capacity));

/**
 * When there is more than now. Null: never, or there is all that can be; and of a limit that lets nothing pass, a time would
 * be a promise. Of a bucket it is when the next unit has come in, and not when it is full: nobody has to wait for that.
 */
function moreAt(view: LimitView, now: Millis): Millis | null {
  const { resetsAt, capacity, algorithm } = view;
  if (capacity === 0 || resetsAt === null) return null;
  if (algorithm === 'window') return resetsAt;
  const lacking = capacity - leftOf(view);
  return lacking === 0 ? null : now + Math.max(0, resetsAt - now) / lacking;
}

const secondsUntil = (at: Millis, now: Millis): number => Math.max(0, Math.ceil((at - now) / 1000));

/** The one with the least left; of several, the one that has more last: who waits for that is not refused by another. */
function tightest(views: readonly LimitView[], now: Millis): LimitView {
  let found = views[0]!;
  for (const view of views) {
    const more = leftOf(view) - leftOf(found);
    if (more < 0 || (more === 0 && lastsUntil(view, now) > lastsUntil(found, now))) found = view;
  }
  return found;
}

const lastsUntil = (view: LimitView, now: Millis): Millis => moreAt(view, now) ?? Number.POSITIVE_INFINITY;
