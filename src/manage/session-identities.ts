import { idPattern, type Subject, sessionKind, standingFault } from '../core/token.ts';
import { StoreUnavailable } from '../errors.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Identified, Introspected, Presented, SessionSource } from '../ports/session-source.ts';
import type { SecretReader, TokenLookup } from '../ports/token-lookup.ts';
import type { TokenStore } from '../ports/token-store.ts';
import type { AccountService } from './account-service.ts';
import { isLiteral, permissionsOf, permissionsOfAccount, permissionsOfOwner } from './effective-permissions.ts';
import type { Identities, IdentityRules } from './identities.ts';
import type { Actor } from './parts.ts';

export interface SessionIdentityParts {
  readonly lookup: Pick<TokenLookup, 'peek' | 'ask'>;
  readonly reader: () => SecretReader;
  readonly store: Pick<TokenStore, 'getOwner'>;
  readonly accounts: Pick<AccountService, 'adopt'>;
  /** The system whose sessions there are beside ours; null: none. */
  readonly source: () => SessionSource | null;
  readonly clock: Clock;
  readonly log: Log;
}

/** What one presented string is. */
type Sight =
  /** Nothing, or nothing that anybody here or elsewhere would know. */
  | { readonly kind: 'nothing' | 'bad' }
  /** No token of this store: it may be a session of the other system. */
  | { readonly kind: 'foreign' }
  | { readonly kind: 'found'; readonly subject: Subject }
  | { readonly kind: 'unavailable'; readonly retryAfter: number };

const nobody: Identified = { kind: 'nobody' };
const unavailable: Identified = { kind: 'unavailable', retryAfter: 1 };

/** Who writes what the other system says of accounts. */
const actor: Actor = { name: 'introspection', address: '', scope: null };

/**
 * Tells who manages. What is presented is gone through in order (the API's cookie, Bearer, the parameter), and the first that
 * is somebody counts: a session that was made here, a token of the API, or else whom the other system knows. A secret of
 * ours is never shown to that system, nor does it vouch for what is beside a bad one.
 */
export class SessionIdentities implements Identities {
  readonly #parts: SessionIdentityParts;
  /** Answers of the other system that accounts have been made to agree with: once each, or an older one would win. */
  readonly #adopted = new WeakSet<Introspected>();

  constructor(parts: SessionIdentityParts) {
    this.#parts = parts;
  }

  async identify(presented: Presented, rules: IdentityRules): Promise<Identified> {
    const values = [presented.cookieValue, presented.bearer, presented.parameter];
    const sights = await Promise.all(values.map(value => this.#look(value)));
    const shown = this.#forOthers(presented, sights);
    let asked = false;
    for (const sight of sights) {
      if (sight.kind === 'unavailable') return sight;
      if (sight.kind === 'found') {
        const found = this.#managerOf(sight.subject, rules);
        if (found.kind === 'manager') return found;
      } else if (sight.kind === 'foreign' && !asked) {
        asked = true;
        const found = await this.#askOthers(shown);
        if (found.kind !== 'nobody') return found;
      }
    }
    // Nobody is let in by a cookie beside a secret that is none.
    const nothingOfOurs = sights.every(({ kind }) => kind === 'nothing');
    return nothingOfOurs ? this.#askOthers(shown) : nobody;
  }

  async #look(value: string | null): Promise<Sight> {
    if (value === null || value === '') return { kind: 'nothing' };
    const { lookup, reader } = this.#parts;
    const ours = reader().isOurs(value);
    const secret = reader().read(value);
    if (secret === null) return { kind: ours ? 'bad' : 'foreign' };
    // Within the bound or by the store: what may be served longer without it is for requests, not for managers.
    const evidence = lookup.peek(secret) ?? (await lookup.ask(secret));
    switch (evidence.kind) {
      case 'found':
      case 'unavailable':
        return evidence;
      default:
        // Sessions of the other system may look like tokens of its API.
        return { kind: ours ? 'bad' : 'foreign' };
    }
  }

  #managerOf(subject: Subject, { tokenKind, asOwner }: IdentityRules): Identified {
    const { token, constraints } = subject;
    const isSession = token.kind === sessionKind;
    if (!isSession && (tokenKind === null || token.kind !== tokenKind)) return nobody;
    if (token.owner === null || standingFault(subject, this.#parts.clock.wall()) !== null) return nobody;
    // They are about requests, of which nothing is known here.
    if (constraints !== null) return nobody;
    const permissions = asOwner === true ? permissionsOfOwner(subject) : permissionsOf(subject);
    const how = isSession ? ({ by: 'session', tokenId: null } as const) : ({ by: 'token', tokenId: token.id } as const);
    return { kind: 'manager', manager: { account: token.owner, permissions, ...how } };
  }

  /** What is presented, without secrets of ours and whatever else is known here, or may be. */
  #forOthers(presented: Presented, [cookie, bearer, parameter]: readonly Sight[]): Presented {
    const reader = this.#parts.reader();
    const isTheirs = (sight: Sight | undefined): boolean => sight?.kind === 'foreign' || sight?.kind === 'nothing';
    const pairs = (presented.cookie ?? '').split(';').filter(pair => {
      const value = pair
        .slice(pair.indexOf('=') + 1)
        .trim()
        .replace(/^"(.*)"$/, '$1');
      return !reader.isOurs(value) && (isTheirs(cookie) || value !== presented.cookieValue);
    });
    const words = (presented.authorization ?? '').split(/[ \t]+/);
    const authorization = isTheirs(bearer) && !words.some(word => reader.isOurs(word)) ? presented.authorization : null;
    return {
      asker: presented.asker,
      cookie: pairs.join(';').trim() || null,
      cookieValue: isTheirs(cookie) ? presented.cookieValue : null,
      authorization,
      bearer: authorization === null ? null : presented.bearer,
      parameter: isTheirs(parameter) ? presented.parameter : null,
    };
  }

  async #askOthers(presented: Presented): Promise<Identified> {
    const source = this.#parts.source();
    if (source === null) return nobody;
    const answer = await source.identify(presented);
    if (answer.kind !== 'found') return answer;
    try {
      return await this.#admit(answer);
    } catch (error) {
      // Never "nobody": the other system knows who it is.
      const { log } = this.#parts;
      if (error instanceof StoreUnavailable) {
        log.warn(
          {},
          'the store does not answer: whose session it is of the other system is known, and not what it may',
          error,
        );
      } else log.error({}, 'an account of the system that sessions belong to cannot be kept here', error);
      return unavailable;
    }
  }

  async #admit(answer: Extract<Introspected, { kind: 'found' }>): Promise<Identified> {
    const { store, accounts, log } = this.#parts;
    const { account: id, permissions, owns } = answer;
    if (!idPattern.test(id)) {
      log.error({}, 'the system that sessions belong to has an account whose id none here can have: it cannot manage');
      return unavailable;
    }
    const kept = permissions?.filter(isLiteral) ?? null;
    if (!this.#adopted.has(answer)) {
      if (kept !== null && kept.length < permissions!.length) {
        const left = permissions!.length - kept.length;
        log.warn({ account: id, left }, 'permissions of an account have names that none here can have: it lacks them');
      }
      await accounts.adopt(actor, id, { permissions: kept, owns });
      this.#adopted.add(answer);
    }
    const owner = await store.getOwner(id);
    if (owner === null || owner.account.deleted || !owner.account.enabled) return nobody;
    // Sessions of one account can have different permissions: each has those that were told of it, and the roles'.
    const account = kept === null ? owner.account : { ...owner.account, permissions: kept };
    const may = permissionsOfAccount(account, owner.roles);
    return { kind: 'manager', manager: { account: id, permissions: may, by: 'session', tokenId: null } };
  }
}
