import { type Account, type Millis, type Role, type Subject, subjectOf, type Token } from '../core/token.ts';
import type { FeedEvent, Owner } from '../ports/token-store.ts';
import type { Instant } from './freshness.ts';
import { RoleIndex } from './role-index.ts';

/** What is remembered of one token: enough to judge it, under the digest that it has at rest. */
export interface Remembered {
  readonly digest: string;
  readonly token: Token;
  /** Id of the owner's account, where that is known. */
  readonly account: string | null;
  readonly secretUntil: Millis | null;
}

/**
 * Tokens that an earlier process knew, read from its snapshot. They are asked for only when the store does not answer,
 * and say nothing of tokens that are not among them.
 */
export class Recall {
  /** When they were last proved. */
  readonly proven: Instant;
  /** Milliseconds after that for which others reckon with the process that proved them. */
  readonly cutOffMs: number;
  readonly #tokens = new Map<string, Remembered>();
  readonly #owners = new Map<string, Owner>();
  readonly #byToken = new Map<string, string[]>();
  readonly #byOwner = new Map<string, string[]>();
  readonly #byRole = new RoleIndex();

  constructor(proven: Instant, cutOffMs: number, owners: Iterable<Owner>, tokens: Iterable<Remembered>) {
    this.proven = proven;
    this.cutOffMs = cutOffMs;
    for (const owner of owners) {
      this.#owners.set(owner.account.id, owner);
      this.#byRole.add(owner.account);
    }
    for (const known of tokens) {
      this.#tokens.set(known.digest, known);
      push(this.#byToken, known.token.id, known.digest);
      if (known.token.owner !== null) push(this.#byOwner, known.token.owner, known.digest);
    }
  }

  get size(): number {
    return this.#tokens.size;
  }

  get owners(): Iterable<Owner> {
    return this.#owners.values();
  }

  get tokens(): Iterable<Remembered> {
    return this.#tokens.values();
  }

  /** The token that has one of these digests; null when none is remembered. */
  find(digests: readonly string[]): Subject | null {
    for (const digest of digests) {
      const known = this.#tokens.get(digest);
      if (known === undefined) continue;
      const { token, account, secretUntil } = known;
      const owner = account === null ? null : this.account(account);
      return subjectOf(token, owner, this.rolesOf(owner), secretUntil);
    }
    return null;
  }

  /** The roles that an account has, in the order in which they apply. */
  rolesOf(account: Account | null): readonly Role[] {
    return account === null ? [] : (this.#owners.get(account.id)?.roles ?? []);
  }

  account(id: string): Account | null {
    return this.#owners.get(id)?.account ?? null;
  }

  /** Forgets what the events touch. */
  apply(events: readonly Pick<FeedEvent, 'kind' | 'id'>[]): void {
    for (const { kind, id } of events) {
      if (kind === 'token') this.drop(this.#byToken.get(id) ?? []);
      else for (const owner of kind === 'account' ? [id] : this.#byRole.concerned(id)) this.#forget(owner);
    }
  }

  /** An account, and all that belongs to it. */
  #forget(owner: string): void {
    this.#owners.delete(owner);
    this.#byRole.drop(owner);
    this.drop(this.#byOwner.get(owner) ?? []);
  }

  /** Forgets tokens that are known better by now. */
  drop(digests: readonly string[]): void {
    for (const digest of digests) this.#tokens.delete(digest);
  }

  clear(): void {
    this.#tokens.clear();
    this.#owners.clear();
    this.#byRole.clear();
    this.#byToken.clear();
    this.#byOwner.clear();
  }
}

function push(index: Map<string, string[]>, id: string, digest: string): void {
  const digests = index.get(id);
  if (digests === undefined) index.set(id, [digest]);
  else digests.push(digest);
}
