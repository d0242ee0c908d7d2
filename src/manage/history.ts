import type { Constraints } from '../core/constraint.ts';
import { readInstant } from '../core/instant.ts';
import { limitsOf, type SaidLimit } from '../core/limit-form.ts';
import type { Permissions } from '../core/permissions.ts';
import type { Account, Json, Millis, StoredToken, TokenMode, TokenState } from '../core/token.ts';
import { Refusal } from '../errors.ts';
import type { AuditEvent, Page, PageQuery, TokenAndAccount, TokenStore } from '../ports/token-store.ts';
import type { ManageParts } from './parts.ts';
import type { Reach } from './reach.ts';
import { type TokenView, viewOf } from './token-view.ts';

/**
 * Tokens as they were: the trail of changes, undone from the newest on. The last change that was made by then counts, in
 * the order of changes, so that a clock that stepped back in between does not mix them up.
 */
export async function tokenAt({ store }: ManageParts, id: string, at: Millis, reach: Reach): Promise<TokenView> {
  const found = await store.getToken(id);
  if (found === null || at < found.token.createdAt) throw noneThen();
  const trail = await trailOf(store, 'token', id);
  const token = undone(found.token, trail, at);
  if (!reach.has(token)) throw noneThen();
  return viewOf(token, await accountAt(store, found, token.owner, at), null);
}

const noneThen = (): Refusal => new Refusal('not_found', 'There was no such token then.');

/** The account's mark as it was: a later one had not revoked anything yet. */
async function accountAt(
  store: TokenStore,
  { token, account }: TokenAndAccount,
  owner: string | null,
  at: Millis,
): Promise<Account | null> {
  if (owner === null) return null;
  const now = owner === token.owner ? account : await store.getAccount(owner);
  if (now === null) return null;
  let { revokedBefore } = now;
  for (const { changes } of after(await trailOf(store, 'account', owner), at)) {
    const change = changes['revoked_before'];
    if (change !== undefined) revokedBefore = instantOf(change.from);
  }
  return { ...now, revokedBefore };
}

/**
 * A token's trail, oldest first. Where not everything can be reached, only what changed while the token was within reach:
 * neither what was before it came, nor its coming, which tells whose it was.
 */
export async function tokenEvents(
  { store }: ManageParts,
  id: string,
  page: PageQuery,
  reach: Reach,
): Promise<Page<AuditEvent>> {
  if (!reach.partial) return store.listEvents({ kind: 'token', id, ...page });
  const events: AuditEvent[] = [];
  // By the trail alone, from its beginning: whose token it is may change while this is read.
  let owner: string | null = null;
  for (const [i, event] of (await trailOf(store, 'token', id)).entries()) {
    const before = owner;
    const change = event.changes['owner'];
    if (change !== undefined) owner = change.to as string | null;
    const was = i === 0 || reach.has({ owner: before });
    if (was && reach.has({ owner }) && event.id > (page.after ?? 0)) events.push(event);
  }
  const items = events.slice(0, page.limit);
  return { items, next: events.length > items.length ? items.at(-1)!.id : null };
}

function undone(now: StoredToken, trail: readonly AuditEvent[], at: Millis): StoredToken {
  const later = after(trail, at);
  let token = now;
  for (const { changes } of later) {
    for (const [name, { from }] of Object.entries(changes)) token = { ...token, ...(undo[name]?.(from) ?? {}) };
  }
  const last = trail.at(-1 - later.length);
  const updatedAt = later.length === 0 ? now.updatedAt : Math.max(last?.at ?? now.createdAt, now.createdAt);
  return { ...token, updatedAt, version: now.version - later.length };
}

/** The changes that had not been made by then, newest first. The first one made the token, and is never undone. */
function after(trail: readonly AuditEvent[], at: Millis): readonly AuditEvent[] {
  const made = trail.findLastIndex((event, i) => i === 0 || event.at <= at);
  return trail.slice(made + 1).reverse();
}

/** A member of the trail, as it stood before, back on the token. */
const undo: Readonly<Record<string, (from: unknown) => Partial<StoredToken>>> = {
  name: from => ({ name: from as string }),
  owner: from => ({ owner: from as string | null }),
  state: from => ({ state: from as TokenState }),
  mode: from => ({ mode: from as TokenMode }),
  not_before: from => ({ notBefore: instantOf(from) }),
  expires_at: from => ({ expiresAt: instantOf(from) }),
  permissions: from => ({ permissions: from as Permissions }),
  limits: from => ({ limits: limitsOf((from ?? []) as readonly SaidLimit[]) }),
  // As it was shown: secrets are not in the trail, and are not shown here either.
  constraints: from => ({ constraints: (from ?? {}) as Constraints }),
  extra: from => ({ extra: from as { readonly [name: string]: Json } }),
  tags: from => ({ tags: from as readonly string[] }),
  secret: from => ({ hint: from as string | null }),
};

const instantOf = (text: unknown): Millis | null => (typeof text === 'string' ? readInstant(text) : null);

async function trailOf(store: TokenStore, kind: 'token' | 'account', id: string): Promise<readonly AuditEvent[]> {
  const trail: AuditEvent[] = [];
  for (let after: number | null = null; ; ) {
    const { items, next } = await store.listEvents({ kind, id, limit: 1000, after });
    trail.push(...items);
    if (next === null) return trail;
    after = next;
  }
}
