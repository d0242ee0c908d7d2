import { readAccount, readRole } from '../../core/document.ts';
import { type Account, mostRoles, type Role, roleOrderId, type StoredToken } from '../../core/token.ts';
import { StoreUnavailable } from '../../errors.ts';
import type { Cursor } from '../../ports/change-feed.ts';
import type { Clock } from '../../ports/clock.ts';
import type {
  Audit,
  AuditEvent,
  CreateOutcome,
  EventQuery,
  FeedEvent,
  FoundToken,
  Idempotency,
  OrderOutcome,
  Owner,
  Page,
  PageQuery,
  PutAccountOutcome,
  PutRoleOutcome,
  ReplaceOutcome,
  Replay,
  TokenAndAccount,
  TokenQuery,
  TokenStore,
} from '../../ports/token-store.ts';
import { mostTold } from '../roles.ts';
import { accountValues, parseAccount, parsePair, parseToken, placeOf, tokenRecord } from './records.ts';
import { countLive } from './scripts/count-live.ts';
import { createToken } from './scripts/create-token.ts';
import { findCreation } from './scripts/find-creation.ts';
import { findToken } from './scripts/find-token.ts';
import { getAccount } from './scripts/get-account.ts';
import { getOwner } from './scripts/get-owner.ts';
import { getToken } from './scripts/get-token.ts';
import { listAccounts } from './scripts/list-accounts.ts';
import { listEvents } from './scripts/list-events.ts';
import { listTokens } from './scripts/list-tokens.ts';
import { putAccount, revokeAccount } from './scripts/put-account.ts';
import { rekeyToken } from './scripts/rekey-token.ts';
import { replaceToken, revokeToken } from './scripts/replace-token.ts';
import { getRole, listRoles, orderRoles, putRole } from './scripts/roles.ts';
import type { Unit } from './unit.ts';

/** How often a token is read again when it changes while its digest is being moved. */
const rekeyTries = 5;

export class RedisTokenStore implements TokenStore {
  readonly #unit: Unit;
  readonly #clock: Clock;
  readonly #feedEvents: number;

  /** `feedEvents`: how many of the newest feed events are kept. */
  constructor(unit: Unit, clock: Clock, feedEvents: number) {
    this.#unit = unit;
    this.#clock = clock;
    this.#feedEvents = feedEvents;
  }

  async find(digests: readonly string[]): Promise<FoundToken | null> {
    const found = await this.#unit.look(findToken, [this.#clock.wall(), ...digests]);
    if (found === null) return null;
    const [index, record, account, roles] = found as [number, string, string, string[]];
    return { ...parsePair(record, account), roles: roles.map(readRole), index };
  }

  async getToken(id: string): Promise<TokenAndAccount | null> {
    const found = (await this.#unit.read(getToken, [id])) as [string, string] | null;
    return found === null ? null : parsePair(...found);
  }

  async listTokens(query: TokenQuery): Promise<Page<TokenAndAccount>> {
    const { limit, after, prefix, tag, kind, ...rest } = query;
    const deadline = this.#unit.deadline();
    const rows: [string, string][] = [];
    let position = after ?? 0;
    for (let more = 1; more === 1 && rows.length <= limit; ) {
      const step = {
        ...rest,
        ...(kind !== undefined && { kind: kind.toWellFormed() }),
        ...(tag !== undefined && { tag: tag.toWellFormed() }),
        ...(prefix !== undefined && prefix !== '' && { prefix: prefix.toWellFormed() }),
        after: position,
        wanted: limit + 1 - rows.length,
      };
      const answer = await this.#unit.read(listTokens, [JSON.stringify(step)], deadline);
      const [reached, goesOn, found] = answer as [number, number, string[]];
      for (let i = 0; i < found.length; i += 2) rows.push([found[i]!, found[i + 1]!]);
      position = reached;
      more = goesOn;
    }
    const items = rows.slice(0, limit);
    return {
      items: items.map(row => parsePair(...row)),
      next: rows.length > limit ? placeOf(items.at(-1)![0]) : null,
    };
  }

  async createToken(token: StoredToken, audit: Audit, idempotency: Idempotency | null): Promise<CreateOutcome> {
    const { line, doc } = tokenRecord(token);
    const { key, body, expiresAt } = idempotency ?? { key: '', body: '', expiresAt: 0 };
    const about = [audit.at, auditDoc(audit), this.#feedEvents, this.#clock.wall()];
    const outcome = await this.#unit.change(createToken, [token.id, line, doc, ...about, key, body, expiresAt]);
    const [kind, ...rest] = outcome as [CreateOutcome['kind'], ...unknown[]];
    switch (kind) {
      case 'done':
        return { kind, events: [eventOf('token', token, audit, rest)] };
      case 'marked':
        return { kind, until: Number(rest[0]) };
      case 'replayed':
        return { kind, tokenId: rest[0] as string, sameBody: rest[1] === 1 };
      default:
        return { kind };
    }
  }

  settled(): Promise<void> {
    return this.#unit.settled();
  }

  async findCreation({ key, body }: Idempotency): Promise<Replay | null> {
    const made = (await this.#unit.read(findCreation, [this.#clock.wall(), key, body])) as [string, number] | null;
    return made === null ? null : { kind: 'replayed', tokenId: made[0], sameBody: made[1] === 1 };
  }

  async replaceToken(token: StoredToken, expected: number, audit: Audit, awaited = false): Promise<ReplaceOutcome> {
    const { line, doc } = tokenRecord(token);
    const script = token.state === 'enabled' ? replaceToken : revokeToken;
    const about = [audit.at, auditDoc(audit), this.#feedEvents, awaited ? 1 : 0];
    const outcome = await this.#unit.change(script, [token.id, expected, line, doc, ...about]);
    return replaced<ReplaceOutcome>(outcome, rest => eventOf('token', token, audit, rest, awaited));
  }

  async rekey(id: string, from: string, to: string): Promise<void> {
    for (let tries = 0; tries < rekeyTries; tries++) {
      const found = (await this.#unit.read(getToken, [id])) as [string, string] | null;
      const moved = found === null ? null : withDigest(parseToken(found[0]), from, to);
      if (moved === null) return;
      const { line, doc } = tokenRecord(moved);
      const [kind] = await this.#unit.change(rekeyToken, [id, found![0], line, doc, from, to]);
      if (kind === 'done') return;
    }
    throw new StoreUnavailable('the token changes too often for its digest to be moved');
  }

  async getOwner(id: string): Promise<Owner | null> {
    // A request of a declared token waits for its owner.
    const found = (await this.#unit.look(getOwner, [id])) as [string, string[]] | null;
    return found === null ? null : { account: readAccount(found[0]), roles: found[1].map(readRole) };
  }

  async getRole(id: string): Promise<Role | null> {
    const doc = (await this.#unit.read(getRole, [id])) as string | null;
    return doc === null ? null : readRole(doc);
  }

  async listRoles(): Promise<readonly Role[]> {
    return ((await this.#unit.read(listRoles, [])) as string[]).map(readRole);
  }

  async putRole(role: Role, expected: number, audit: Audit): Promise<PutRoleOutcome> {
    const { id, version, deleted } = role;
    const values = [version, deleted ? 1 : 0, JSON.stringify(role)];
    const about = [audit.at, auditDoc(audit), this.#feedEvents, mostRoles, mostTold];
    const outcome = await this.#unit.change(putRole, [id, expected, ...values, ...about]);
    if (outcome[0] === 'held') return { kind: 'held', accounts: outcome[1] as string[] };
    return replaced<PutRoleOutcome>(outcome, rest => eventOf('role', role, audit, rest));
  }

  async orderRoles(ids: readonly string[], audit: Audit): Promise<OrderOutcome> {
    const about = [audit.at, auditDoc(audit), this.#feedEvents];
    const outcome = await this.#unit.change(orderRoles, [roleOrderId, ...about, ...ids]);
    if (outcome[0] === 'stale') return { kind: 'stale', ids: outcome[1] as string[] };
    return replaced<OrderOutcome>(outcome, rest => eventOf('role', { id: roleOrderId, version: 0 }, audit, rest));
  }

  async getAccount(id: string): Promise<Account | null> {
    return parseAccount((await this.#unit.look(getAccount, [id])) as string | null);
  }

  async listAccounts({ limit, after }: PageQuery): Promise<Page<Account>> {
    const rows = (await this.#unit.read(listAccounts, [after ?? 0, limit + 1])) as (string | number)[];
    const items: Account[] = [];
    for (let i = 0; i < rows.length && items.length < limit; i += 2) items.push(readAccount(rows[i + 1] as string));
    return { items, next: rows.length > 2 * limit ? (rows[2 * limit - 2] as number) : null };
  }

  async putAccount(account: Account, expected: number, audit: Audit, awaited = false): Promise<PutAccountOutcome> {
    const { id, revokedBefore, deleted, enabled } = account;
    const script = deleted || !enabled || revokedBefore !== null ? revokeAccount : putAccount;
    const about = [audit.at, auditDoc(audit), this.#feedEvents, awaited ? 1 : 0];
    const values = [...accountValues(account), JSON.stringify(account)];
    const outcome = await this.#unit.change(script, [id, expected, ...values, ...about]);
    if (outcome[0] === 'no_role') return { kind: 'no_role', ids: outcome[1] as string[] };
    return replaced<PutAccountOutcome>(outcome, rest => eventOf('account', account, audit, rest, awaited));
  }

  async countLive(owner: string): Promise<number> {
    return (await this.#unit.read(countLive, [owner])) as number;
  }

  async listEvents({ kind, id, limit, after }: EventQuery): Promise<Page<AuditEvent>> {
    const from = after ?? 0;
    const rows = (await this.#unit.read(listEvents, [kind, id, from, limit + 1])) as string[];
    const items = rows.slice(0, limit).map(row => {
      const end = row.indexOf(' ');
      return { ...(JSON.parse(row.slice(end + 1)) as Audit), id: Number(row.slice(0, end)) };
    });
    return { items, next: rows.length > limit ? from + limit : null };
  }
}

const auditDoc = ({ at, actor, address, action, changes }: Audit): string =>
  JSON.stringify({ at, actor, address, action, changes } satisfies Audit);

/** The event that a script has written, from its number and digests. */
function eventOf(
  kind: FeedEvent['kind'],
  { id, version }: { readonly id: string; readonly version: number },
  { at }: Audit,
  [seq, digests]: readonly unknown[],
  awaited = false,
): FeedEvent {
  return { seq: seq as number, at, kind, id, version, digests: JSON.parse(digests as string) as string[], awaited };
}

/** The outcome of a mutation that says no more than its kind when it is not done. */
function replaced<Outcome extends { readonly kind: string }>(
  [kind, ...rest]: readonly unknown[],
  eventOf: (rest: readonly unknown[]) => FeedEvent,
): Outcome {
  if (kind !== 'done') return { kind } as Outcome;
  const event = eventOf(rest);
  const position: Cursor = { epoch: rest[2] as string, seq: event.seq };
  return { kind, events: [event], position } as unknown as Outcome;
}

/** The token with one of its digests moved; null when it has not got it. */
function withDigest(token: StoredToken, from: string, to: string): StoredToken | null {
  const { previous } = token;
  if (token.digest === from) return { ...token, digest: to };
  return previous?.digest === from ? { ...token, previous: { ...previous, digest: to } } : null;
}
