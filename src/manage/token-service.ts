import { createHash } from 'node:crypto';
import type { Constraints } from '../core/constraint.ts';
import type { SaidConstraints } from '../core/constraint-form.ts';
import type { Permissions } from '../core/permissions.ts';
import { type Account, isRevoked, limitsVersion, type Millis, type StoredToken, sessionKind } from '../core/token.ts';
import type { Usage } from '../core/usage.ts';
import { Refusal } from '../errors.ts';
import type {
  AuditEvent,
  Changes,
  Idempotency,
  Page,
  PageQuery,
  Replay,
  TokenAndAccount,
} from '../ports/token-store.ts';
import { type Acknowledgement, type Applied, checkPatience, madeBefore, type Patience } from './acknowledgement.ts';
import { tokenChanges } from './changes.ts';
import { compareAndSet, stale } from './compare-and-set.ts';
import {
  ConstraintKeeper,
  type ConstraintsChange,
  type ConstraintsPatch,
  fingerprintOf,
  saysNothing,
} from './constraints.ts';
import { Faults } from './faults.ts';
import { tokenAt, tokenEvents } from './history.ts';
import { defineLimits, limitUses, namedLimit, resetLimit, tokenSubject, withReadLimits } from './limits.ts';
import type { Actor, ManageParts } from './parts.ts';
import type { PermissionsPatch } from './permission-members.ts';
import { demand, type Precondition } from './precondition.ts';
import { demandUnscoped, type Reach, reachOf } from './reach.ts';
import { type SignedRequest, type SigningRequest, signed } from './signing.ts';
import {
  inState,
  patched,
  replaced,
  rotated,
  type SaidPatch,
  type TokenChange,
  withMembers,
  withMergedPermissions,
  withPermissions,
} from './token-changes.ts';
import { isListed, type ListPosition, type TokenFilter } from './token-list.ts';
import { checkExpiry, checkMembers, type SaidMembers, type TokenMembers, tokenLimits } from './token-members.ts';
import { type TokenView, viewOf } from './token-view.ts';
import { planUsage, readUsage, type UsageRange, type UsageReport } from './usage-report.ts';

/** A creation that may be asked for twice: `key` is the caller's, `body` what was asked for, without secrets. */
export interface Repeatable {
  readonly key: string;
  readonly body: string;
}

export interface Created {
  readonly token: TokenView;
  /** Null when the creation was asked for before: then the secret was shown then. */
  readonly secret: string | null;
}

/** Makes ids and secrets as another API has them. */
export interface SecretForm {
  make(): { readonly id: string; readonly secret: string; readonly hint: string };
}

/** A copy of a new secret that can be opened again, for the token of this id; null: none is kept. */
export type Sealing = (id: string, secret: string) => string | null;

/** A change of one token: by whom, which, on what condition, and what is wrong with its members already. */
export interface TokenRequest {
  readonly actor: Actor;
  readonly id: string;
  readonly precondition?: Precondition | null;
  readonly faults?: Faults;
}

/** One attempt at a change of a token that was found within reach. */
interface Attempt {
  readonly actor: Actor;
  readonly reach: Reach;
  readonly action: string;
  readonly usage: Usage | null;
  readonly faults: Faults;
  /** Where the permissions stand in the request. */
  readonly pointer?: string;
  readonly constraints?: ConstraintsChange;
}

/** A token after a change. */
interface Written extends Applied {
  readonly token: TokenView;
}

const idempotencyMs: Millis = 24 * 3_600_000;
const sha256Form = /^[0-9a-f]{64}$/;

/**
 * What managers may do with tokens, whichever API they speak. A change is read, made as a pure function, and set if
 * nobody came between; it holds on this process before it is answered. Refusals are thrown as `Refusal`.
 */
export class TokenService {
  readonly #parts: ManageParts;

  constructor(parts: ManageParts) {
    this.#parts = parts;
  }

  /**
   * Makes a token with a new secret. `kind`: the API that makes it. `form`: ids and secrets of another form than ours, each
   * new when asked for; the form's secrets must be among those that may be looked up. `sealed`: for an API that shows
   * secrets again.
   */
  async create(
    actor: Actor,
    {
      kind,
      form,
      sealed = unsealed,
      constraints,
      ...said
    }: SaidMembers & { readonly kind: string; readonly form?: SecretForm; readonly sealed?: Sealing },
    repeatable: Repeatable | null = null,
    faults: Faults = new Faults(),
  ): Promise<Created> {
    const { clock, store } = this.#parts;
    const reach = await this.#reach(actor);
    const members = { ...reach.defaults, ...withReadLimits(said, faults) };
    const now = clock.wall();
    const print = repeatable === null || faults.any ? '' : await this.#printOf(actor, repeatable, constraints);
    const idempotency = repeatable === null ? null : idempotencyOf(actor, repeatable, now, print);
    // First: what was good then may have come to its end since.
    const replay = idempotency === null || faults.any ? null : await store.findCreation(idempotency);
    if (replay !== null) return this.#replayed(actor, replay);
    reach.demandMembers(members, null);
    checkMembers(members, faults);
    checkExpiry(members.expiresAt, now, faults);
    const keep = this.#keeping(constraints, faults);
    // The store says so too, but only to a creation that is good otherwise.
    if (faults.any && members.owner !== null) noteOwner(await store.getAccount(members.owner), faults);
    faults.throwIfAny();

    let createdAt = now;
    return compareAndSet(async () => {
      const { id, secret, digest, hint } = form === undefined ? this.#minted() : this.#formed(form);
      // Takes its time where passwords are hashed: what may change meanwhile is looked at behind it.
      const kept = await keep(id);
      // Each time anew: the account may have become another under the same id.
      (await this.#reach(actor)).demandPermissions(members.permissions, null, '/permissions');
      const made = {
        ...members,
        constraints: kept,
        id,
        kind,
        hint,
        digest,
        previous: null,
        sealed: sealed(id, secret),
        createdAt,
        updatedAt: createdAt,
        version: 1,
      };
      const outcome = await this.#insert(actor, made, idempotency);
      switch (outcome.kind) {
        case 'done':
          return { token: viewOf(made, null, null), secret };
        case 'marked':
          createdAt = outcome.until + 1;
          return stale;
        case 'no_owner':
          throw noOwner();
        case 'replayed':
          return this.#replayed(actor, outcome);
        default:
          return stale;
      }
    });
  }

  /**
   * Makes the token be as declared, under a secret that somebody else made. What is not said is as at the beginning.
   * `secretSha256` null: it was not said, or not well; the faults tell.
   */
  async put(
    { actor, id, precondition = null, faults = new Faults() }: TokenRequest,
    {
      kind,
      secretSha256,
      constraints,
      ...said
    }: SaidMembers & { readonly kind: string; readonly secretSha256: string | null },
  ): Promise<{ readonly token: TokenView; readonly created: boolean }> {
    const { clock, secrets, store } = this.#parts;
    this.#refuseDeclared(id, await this.#reach(actor));
    const members = withReadLimits(said, faults);
    const sha256 = secretSha256?.toLowerCase() ?? '';
    const known = sha256Form.test(sha256);
    if (!known && (secretSha256 !== null || !faults.any)) faults.add('/secret_sha256', 'is not 64 hex digits');
    const digests = known ? secrets.digests(sha256) : [];
    const usage = await this.#usage(id);
    let createdAt = clock.wall();
    const keeper = new ConstraintKeeper(this.#parts.constraintSecrets);
    return compareAndSet(async () => {
      const reach = await this.#reach(actor);
      const there = await store.getToken(id);
      const found = this.#within(reach, id, there);
      demand(precondition, found?.token.version ?? null);
      if (!faults.any) await this.#refuseTaken(id, digests);
      const all = { ...reach.defaults, ...members };
      if (found !== null) {
        const constrained = { said: { whole: constraints ?? {} }, keeper };
        const change = { actor, reach, action: 'replace', usage, faults, constraints: constrained };
        const token = await this.#change(change, found, replaced(all, digests));
        return token === stale ? stale : { token, created: false };
      }
      reach.demandMembers(all, null);
      checkMembers(all, faults);
      const keep = this.#keeping(constraints, faults);
      if (all.owner !== null) noteOwner(await store.getAccount(all.owner), faults);
      faults.throwIfAny();
      reach.demandPermissions(all.permissions, null, '/permissions');
      // Judged like an id that is free, up to where that one is made: only who can make tokens can tell the two apart.
      if (there !== null || this.#parts.declared().has(id)) throw idTaken();
      const digest = secrets.digest(sha256);
      const times = { createdAt, updatedAt: createdAt };
      const kept = await keep(id);
      const made: StoredToken = {
        ...all,
        constraints: kept,
        id,
        kind,
        hint: null,
        digest,
        previous: null,
        sealed: null,
        ...times,
        version: 1,
      };
      const outcome = await this.#insert(actor, made, null);
      switch (outcome.kind) {
        case 'done':
          return { token: viewOf(made, null, usage), created: true };
        case 'marked':
          createdAt = outcome.until + 1;
          return stale;
        case 'no_owner':
          throw noOwner();
        case 'digest_exists':
          throw secretTaken();
        default:
          return stale;
      }
    });
  }

  /** `constraints`: a merge patch of them; undefined when nothing was said. */
  patch(request: TokenRequest, said: SaidPatch, constraints?: ConstraintsPatch): Promise<TokenView> {
    const { faults = new Faults() } = request;
    const change = patched(withReadLimits(said, faults));
    if (constraints === undefined) return this.#update({ ...request, faults }, 'update', change);
    const keeper = new ConstraintKeeper(this.#parts.constraintSecrets);
    const constrained = { constraints: { said: { patch: constraints }, keeper } };
    return this.#update({ ...request, faults }, 'update', change, constrained);
  }

  /** Sets members, each as a whole; those that are not said stay. */
  amend(
    request: TokenRequest,
    members: Partial<Pick<TokenMembers, 'name' | 'extra' | 'permissions'>>,
  ): Promise<TokenView> {
    return this.#update(request, 'update', withMembers(members));
  }

  /** Signs a request by the token: the target with an expiry and a signature in its query. */
  async sign(actor: Actor, id: string, wanted: SigningRequest, faults: Faults = new Faults()): Promise<SignedRequest> {
    demandUnscoped(actor);
    const { token, account } = await this.#look(id, await this.#reach(actor));
    return signed({ token, account }, wanted, this.#parts, faults);
  }

  enable(request: TokenRequest): Promise<TokenView> {
    return this.#update(request, 'enable', inState('enabled'));
  }

  disable(request: TokenRequest): Promise<TokenView> {
    return this.#update(request, 'disable', inState('disabled'));
  }

  /** A new secret; the old one lives on for `graceMs`, and no longer than the token. `sealed` as for `create`. */
  async rotate(
    request: TokenRequest,
    graceMs: Millis,
    sealed: Sealing = unsealed,
  ): Promise<{ readonly token: TokenView; readonly secret: string }> {
    let secret = '';
    const token = await this.#update(request, 'rotate', (before, now, faults) => {
      if (graceMs > tokenLimits.graceMs) faults.add('/grace', 'is more than 30d');
      const minted = this.#parts.secrets.mint();
      secret = minted.secret;
      return rotated(minted, graceMs, sealed(before.id, secret))(before, now, faults);
    });
    return { token, secret };
  }

  /** For good: the token stays as a tombstone. Revoking it again changes nothing. */
  async revoke(
    { actor, id, precondition = null }: TokenRequest,
    patience: Patience = {},
  ): Promise<{ token: TokenView } & Acknowledgement> {
    checkPatience(patience);
    this.#refuseDeclared(id, await this.#reach(actor));
    const usage = await this.#usage(id);
    const awaited = (patience.waitMs ?? 0) > 0;
    const { token, ...change } = await compareAndSet(async (): Promise<Written | typeof stale> => {
      const reach = await this.#reach(actor);
      const found = await this.#find(id, reach);
      demand(precondition, found.token.version);
      const { token, account } = found;
      if (isRevoked(token, account)) {
        await this.#parts.store.settled();
        return { token: viewOf(token, account, usage), ...madeBefore };
      }
      return this.#write(actor, 'revoke', found, { ...token, state: 'revoked' }, account, usage, { awaited });
    });
    return { token, ...(await this.#parts.acknowledgements.of(change, patience)) };
  }

  async get(actor: Actor, id: string): Promise<TokenView> {
    const reach = await this.#reach(actor);
    const [{ token, account }, usage] = await Promise.all([this.#look(id, reach), this.#usage(id)]);
    return viewOf(token, account, usage);
  }

  /** Sealed copies of secrets, by the ids of their tokens: of those that are there, within reach, and have one. */
  async sealed(actor: Actor, ids: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const reach = await this.#reach(actor);
    const { store } = this.#parts;
    const found = await Promise.all(ids.map(async id => this.#within(reach, id, await store.getToken(id))));
    return new Map(found.flatMap(one => (one?.token.sealed == null ? [] : [[one.token.id, one.token.sealed]])));
  }

  /** The token as it was; when it was last used by then is not known. */
  async at(actor: Actor, id: string, at: Millis): Promise<TokenView> {
    const reach = await this.#reach(actor);
    const faults = new Faults();
    if (at > this.#parts.clock.wall()) faults.add('?at', 'is in the future');
    const declared = this.#parts.declared().get(id);
    if (declared !== undefined && reach.has(declared)) faults.add('?at', 'is not kept of tokens of the configuration');
    faults.throwIfAny();
    await this.#find(id, reach);
    return tokenAt(this.#parts, id, at, reach);
  }

  /** Tokens in the order of their creation, those of the configuration first. Sessions only when their kind is asked for. */
  async list(
    actor: Actor,
    said: TokenFilter,
    limit: number,
    position: ListPosition,
  ): Promise<{ readonly tokens: readonly TokenView[]; readonly next: ListPosition | null }> {
    const { store, ledger, flushUsage } = this.#parts;
    const narrowed = (await this.#reach(actor)).narrow(said);
    const filter = narrowed.kind === undefined ? { ...narrowed, notKind: sessionKind } : narrowed;
    const found: TokenAndAccount[] = [];
    let next: ListPosition | null = null;
    if (position.from === 'declared') {
      const listed = await this.#declaredTokens(filter);
      found.push(...listed.slice(position.at, position.at + limit));
      if (listed.length > position.at + limit) next = { from: 'declared', at: position.at + limit };
    }
    if (next === null) {
      const after = position.from === 'store' ? position.at : null;
      const left = limit - found.length;
      const page = await store.listTokens({ ...filter, limit: Math.max(1, left), after });
      if (left === 0) next = page.items.length > 0 ? { from: 'store', at: null } : null;
      else {
        found.push(...page.items);
        next = page.next === null ? null : { from: 'store', at: page.next };
      }
    }
    await flushUsage();
    const totals = await ledger.totals(found.map(({ token }) => token.id));
    return { tokens: found.map(({ token, account }) => viewOf(token, account, totals.get(token.id))), next };
  }

  replacePermissions(request: TokenRequest, permissions: Permissions): Promise<TokenView> {
    return this.#update(request, 'update', withPermissions(permissions), { pointer: '' });
  }

  mergePermissions(request: TokenRequest, patch: PermissionsPatch): Promise<TokenView> {
    return this.#update(request, 'update', withMergedPermissions(patch), { pointer: '' });
  }

  async usage(actor: Actor, id: string, range: UsageRange): Promise<UsageReport> {
    const reach = await this.#reach(actor);
    const faults = new Faults();
    const plan = planUsage(range, this.#parts.clock.wall(), faults);
    faults.throwIfAny();
    const { token } = await this.#look(id, reach);
    return this.#report(token, range, plan);
  }

  async #report(token: StoredToken, range: UsageRange, plan: ReturnType<typeof planUsage>): Promise<UsageReport> {
    const { flushUsage, ledger, limits } = this.#parts;
    await flushUsage();
    const [use, left] = await Promise.all([
      readUsage(ledger, token.id, range, plan),
      limitUses(limits, tokenSubject(token), limitsVersion(token), token.limits),
    ]);
    return { ...use, limits: left };
  }

  /** Begins the present window of a limit anew. It is a change of the token, though all its members stay. */
  async resetLimit({ actor, id, precondition = null }: TokenRequest, name: string): Promise<UsageReport> {
    demandUnscoped(actor);
    const { limits, clock } = this.#parts;
    this.#refuseDeclared(id, await this.#reach(actor));
    const { token } = await compareAndSet(async (): Promise<{ token: StoredToken } | typeof stale> => {
      const reach = await this.#reach(actor);
      const found = await this.#find(id, reach);
      demand(precondition, found.token.version);
      demandChangeable(found);
      namedLimit(found.token.limits, name);
      const more = { limit_reset: { from: null, to: name } };
      const written = await this.#write(actor, 'reset_limit', found, found.token, found.account, null, { more });
      return written === stale ? stale : { token: { ...found.token, version: found.token.version + 1 } };
    });
    const limit = namedLimit(token.limits, name);
    await resetLimit(limits, tokenSubject(token), token.version, token.limits, limit);
    const range = { step: '1h' } as const;
    return this.#report(token, range, planUsage(range, clock.wall(), new Faults()));
  }

  /** Who changed the token, oldest first. */
  async events(actor: Actor, id: string, page: PageQuery): Promise<Page<AuditEvent>> {
    const reach = await this.#reach(actor);
    await this.#look(id, reach);
    return tokenEvents(this.#parts, id, page, reach);
  }

  /** A change of a token that exists and is not revoked. */
  async #update(
    { actor, id, precondition = null, faults = new Faults() }: TokenRequest,
    action: string,
    change: TokenChange,
    more: Pick<Attempt, 'pointer' | 'constraints'> = {},
  ): Promise<TokenView> {
    this.#refuseDeclared(id, await this.#reach(actor));
    const usage = await this.#usage(id);
    return compareAndSet(async () => {
      const reach = await this.#reach(actor);
      const found = await this.#find(id, reach);
      demand(precondition, found.token.version);
      return this.#change({ actor, reach, action, usage, faults, ...more }, found, change);
    });
  }

  /** One attempt at a change: checked, and written unless it changes nothing. */
  async #change(
    { actor, reach, action, usage, faults, pointer = '/permissions', constraints }: Attempt,
    found: TokenAndAccount,
    change: TokenChange,
  ): Promise<TokenView | typeof stale> {
    reach.demandAction(action, found.token);
    demandChangeable(found);
    let next = await change(found.token, this.#parts.clock.wall(), faults);
    reach.demandMembers(next, found.token);
    let { account } = found;
    if (next.owner !== found.token.owner) {
      account = next.owner === null ? null : await this.#parts.store.getAccount(next.owner);
      if (next.owner !== null) noteOwner(account, faults);
    }
    constraints?.keeper.check(constraints.said, found.token.constraints, faults);
    faults.throwIfAny();
    reach.demandPermissions(next.permissions, found.token.permissions, pointer);
    reach.demandLimits(next.limits, found.token.limits);
    reach.demandUse(next, found.token, constraints !== undefined && !saysNothing(constraints, found.token));
    // Attack: a password that is tried as a new one would be told from others. It is not even looked at until here.
    if (constraints !== undefined) {
      next = { ...next, constraints: await constraints.keeper.kept(constraints.said, found.token) };
    }
    if (isRevoked(next, account)) {
      throw new Refusal('conflict', 'Tokens as old as this one are revoked for that owner. Make a new one.');
    }
    const written = await this.#write(actor, action, found, next, account, usage);
    if (written === stale) return stale;
    const { token } = written;
    // What was said again is made to hold again: the call before may not have come so far.
    const said = next.limits !== found.token.limits;
    if (said) {
      await defineLimits(this.#parts.limits, tokenSubject(token), token.version, found.token.limits, token.limits);
    }
    return token;
  }

  async #write(
    actor: Actor,
    action: string,
    found: TokenAndAccount,
    changed: StoredToken,
    account: Account | null,
    usage: Usage | null,
    { awaited = false, more = {} }: { readonly awaited?: boolean; readonly more?: Changes } = {},
  ): Promise<Written | typeof stale> {
    const { clock, store, apply } = this.#parts;
    const changes = { ...tokenChanges(found.token, changed), ...more };
    if (Object.keys(changes).length === 0) {
      await store.settled();
      return { token: viewOf(found.token, found.account, usage), ...madeBefore };
    }
    const { version } = found.token;
    const at = clock.wall();
    const next: StoredToken = { ...changed, updatedAt: Math.max(at, changed.createdAt), version: version + 1 };
    const audit = { at, actor: actor.name, address: actor.address, action, changes };
    const outcome = await store.replaceToken(next, version, audit, awaited);
    switch (outcome.kind) {
      case 'done': {
        const held = await apply(outcome.events);
        return { token: viewOf(next, account, usage), position: outcome.position, held };
      }
      case 'digest_exists':
        throw secretTaken();
      case 'no_owner':
        throw noOwner();
      case 'stale':
        return stale;
    }
  }

  #minted() {
    return { ...this.#parts.secrets.mint(), id: `tok_${this.#parts.randomText(20)}` };
  }

  #formed(form: SecretForm) {
    const { id, secret, hint } = form.make();
    return { id, secret, hint, digest: this.#parts.secrets.digest(sha256(secret)) };
  }

  /** Checks what is said of a token that is to be made, and keeps it once the id is known. */
  #keeping(said: SaidConstraints | undefined, faults: Faults): (id: string) => Promise<Constraints> {
    if (said === undefined) return async () => ({});
    const keeper = new ConstraintKeeper(this.#parts.constraintSecrets);
    const whole = { whole: said };
    keeper.check(whole, {}, faults);
    return id => keeper.kept(whole, { id, constraints: {} });
  }

  #printOf({ name }: Actor, { key }: Repeatable, said: SaidConstraints = {}): Promise<string> {
    return fingerprintOf(said, sha256(`${name}\0${key}`), this.#parts.constraintSecrets);
  }

  async #replayed(actor: Actor, { tokenId, sameBody }: Replay): Promise<Created> {
    if (!sameBody) throw otherBody();
    await this.#parts.store.settled();
    return { token: await this.get(actor, tokenId), secret: null };
  }

  async #insert(actor: Actor, token: StoredToken, idempotency: Idempotency | null) {
    const { clock, store, apply } = this.#parts;
    const changes = tokenChanges(null, token);
    const audit = { at: clock.wall(), actor: actor.name, address: actor.address, action: 'create', changes };
    const outcome = await store.createToken(token, audit, idempotency);
    if (outcome.kind === 'done') await apply(outcome.events);
    return outcome;
  }

  /** What the actor can reach. Every call begins with it: whoever may do nothing is not told what there is. */
  #reach(actor: Actor): Promise<Reach> {
    return reachOf(actor, this.#parts.store);
  }

  async #find(id: string, reach: Reach): Promise<TokenAndAccount> {
    const found = this.#within(reach, id, await this.#parts.store.getToken(id));
    if (found === null) throw new Refusal('not_found', 'There is no such token.');
    return found;
  }

  /** What was found, if it can be reached. A token of the configuration stands before another with its id. */
  #within(reach: Reach, id: string, found: TokenAndAccount | null): TokenAndAccount | null {
    return found !== null && reach.has(this.#parts.declared().get(id) ?? found.token) ? found : null;
  }

  /** As `#find`, for those who only look: declared tokens too. */
  async #look(id: string, reach: Reach): Promise<TokenAndAccount> {
    const token = this.#parts.declared().get(id);
    // One that cannot be reached is asked for in vain like one that does not exist.
    if (token === undefined || !reach.has(token)) return this.#find(id, reach);
    return { token, account: token.owner === null ? null : await this.#parts.store.getAccount(token.owner) };
  }

  async #declaredTokens(filter: TokenFilter): Promise<TokenAndAccount[]> {
    const tokens = [...this.#parts.declared().values()];
    const owners = [...new Set(tokens.flatMap(({ owner }) => owner ?? []))];
    const accounts = new Map(
      await Promise.all(owners.map(async owner => [owner, await this.#parts.store.getAccount(owner)] as const)),
    );
    return tokens
      .map(token => ({ token, account: accounts.get(token.owner ?? '') ?? null }))
      .filter(found => isListed(found, filter));
  }

  /** Read before a change and never after it: what is done must not be answered as if it had failed. */
  async #usage(id: string): Promise<Usage | null> {
    await this.#parts.flushUsage();
    return this.#parts.ledger.total(id);
  }

  #refuseDeclared(id: string, reach: Reach): void {
    const token = this.#parts.declared().get(id);
    if (token === undefined || !reach.has(token)) return;
    throw new Refusal('conflict', 'The token is declared in the configuration, and can only be changed there.');
  }

  /** The store compares the digest that is written; a token of another may be at rest under an older pepper. */
  async #refuseTaken(id: string, digests: readonly string[]): Promise<void> {
    const holder = await this.#parts.store.find(digests);
    if (holder !== null && holder.token.id !== id) throw secretTaken();
    for (const { digest } of this.#parts.declared().values()) if (digests.includes(digest)) throw secretTaken();
  }
}

function demandChangeable({ token, account }: TokenAndAccount): void {
  if (isRevoked(token, account)) {
    throw new Refusal('conflict', 'The token is revoked. That is for good: make a new one.');
  }
  if (token.kind === sessionKind) {
    throw new Refusal('conflict', 'This is a session. It can be revoked, and not changed.');
  }
}

const unsealed: Sealing = () => null;

const noOwner = (): Refusal => {
  const errors = [{ pointer: '/owner', detail: 'does not exist' }];
  return new Refusal('validation_failed', 'The owner does not exist.', { errors });
};

const idTaken = (): Refusal => new Refusal('conflict', 'This id cannot be had. Choose another.');

const secretTaken = (): Refusal => new Refusal('conflict', 'Another token has this secret.');

const otherBody = (): Refusal =>
  new Refusal('validation_failed', 'This Idempotency-Key was used with another body before.');

function noteOwner(account: Account | null, faults: Faults): void {
  if (account === null || account.deleted) faults.add('/owner', 'does not exist');
}

/** A name may become that of a key with another scope: what it asked for before is not asked for again. */
const idempotencyOf = ({ name, scope }: Actor, { key, body }: Repeatable, now: Millis, print: string): Idempotency => ({
  key: sha256(scope === null ? `${name}\0${key}` : `${name}\0${scope.account}\0${key}`),
  body: sha256(body + print),
  expiresAt: now + idempotencyMs,
});

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
