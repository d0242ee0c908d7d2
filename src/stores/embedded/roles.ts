import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { type Account, mostRoles, type Role, roleOrderId } from '../../core/token.ts';
import type { Audit, OrderOutcome, PutRoleOutcome } from '../../ports/token-store.ts';
import { mostTold } from '../roles.ts';
import type { Journal } from './journal.ts';
import { all, one } from './sqlite.ts';

interface RoleRow {
  readonly version: number;
  readonly deleted: number;
  readonly doc: string;
}

/** Roles, their order, and which accounts have them. A tombstone of an account has none. */
export class Roles {
  readonly #journal: Journal;
  readonly #byId: StatementSync;
  readonly #live: StatementSync;
  readonly #ofAccount: StatementSync;
  readonly #insert: StatementSync;
  readonly #update: StatementSync;
  readonly #last: StatementSync;
  readonly #put: StatementSync;
  readonly #held: StatementSync;
  readonly #holders: StatementSync;
  readonly #give: StatementSync;
  readonly #take: StatementSync;

  constructor(db: DatabaseSync, journal: Journal) {
    this.#journal = journal;
    this.#byId = db.prepare('SELECT version, deleted, doc FROM roles WHERE id = ?');
    this.#live = db.prepare('SELECT id, doc FROM roles WHERE place > 0 ORDER BY place, id');
    this.#ofAccount = db.prepare(
      `SELECT r.doc FROM account_roles h CROSS JOIN roles r ON r.id = h.role
       WHERE h.account = ? AND r.place IS NOT NULL ORDER BY r.place, r.id`,
    );
    this.#insert = db.prepare('INSERT INTO roles (version, deleted, doc, id) VALUES (?, ?, ?, ?)');
    this.#update = db.prepare('UPDATE roles SET version = ?, deleted = ?, doc = ? WHERE id = ?');
    this.#last = db.prepare('SELECT count(*) AS live, coalesce(max(place), 0) AS place FROM roles WHERE place > 0');
    this.#put = db.prepare('UPDATE roles SET place = ? WHERE id = ?');
    this.#held = db.prepare('SELECT role FROM account_roles WHERE account = ?');
    this.#holders = db.prepare(
      `SELECT a.id FROM account_roles h CROSS JOIN accounts a ON a.seq = h.account
       WHERE h.role = ? ORDER BY h.account LIMIT ${mostTold}`,
    );
    this.#give = db.prepare('INSERT INTO account_roles (account, role) VALUES (?, ?)');
    this.#take = db.prepare('DELETE FROM account_roles WHERE account = ? AND role = ?');
  }

  get(id: string): string | null {
    return this.#row(id)?.doc ?? null;
  }

  list(): readonly string[] {
    return all<{ doc: string }>(this.#live).map(({ doc }) => doc);
  }

  /** Those that an account has, in their order; `account`: its place in the order of creation. */
  of(account: number): readonly string[] {
    return all<{ doc: string }>(this.#ofAccount, account).map(({ doc }) => doc);
  }

  put(role: Role, expected: number, audit: Audit): PutRoleOutcome {
    const before = this.#row(role.id);
    if ((before?.version ?? 0) !== expected) return { kind: 'stale' };
    const lives = before !== undefined && before.deleted === 0;
    const { live, place } = one<{ live: number; place: number }>(this.#last)!;
    if (role.deleted) {
      const accounts = all<{ id: string }>(this.#holders, role.id).map(({ id }) => id);
      if (accounts.length > 0) return { kind: 'held', accounts };
    } else if (!lives && live >= mostRoles) {
      return { kind: 'full' };
    }

    const values = [role.version, role.deleted ? 1 : 0, JSON.stringify(role), role.id] as const;
    (before === undefined ? this.#insert : this.#update).run(...values);
    if (role.deleted) this.#put.run(null, role.id);
    else if (!lives) this.#put.run(place + 1, role.id);
    return this.#journal.done(this.#journal.record('role', role, [], audit));
  }

  order(ids: readonly string[], audit: Audit): OrderOutcome {
    const live = all<{ id: string }>(this.#live).map(({ id }) => id);
    const named = new Set(ids);
    const whole = ids.length === live.length && named.size === ids.length && live.every(id => named.has(id));
    if (!whole) return { kind: 'stale', ids: live };
    for (const [i, id] of ids.entries()) this.#put.run(i + 1, id);
    return this.#journal.done(this.#journal.record('role', { id: roleOrderId, version: 0 }, [], audit));
  }

  /** What an account would be given that is not there. What it has already is not asked for again. */
  missing({ roles, deleted }: Account, account: number | null): readonly string[] {
    if (deleted) return [];
    const held = account === null ? new Set<string>() : this.#heldBy(account);
    return [...new Set(roles)].filter(id => !held.has(id) && this.#row(id)?.deleted !== 0);
  }

  /** From now on the account has those that it says. */
  assign({ roles, deleted }: Account, account: number): void {
    const wanted = new Set(deleted ? [] : roles);
    const held = this.#heldBy(account);
    for (const id of held) if (!wanted.has(id)) this.#take.run(account, id);
    for (const id of wanted) if (!held.has(id)) this.#give.run(account, id);
  }

  #heldBy(account: number): Set<string> {
    return new Set(all<{ role: string }>(this.#held, account).map(({ role }) => role));
  }

  #row(id: string): RoleRow | undefined {
    return one<RoleRow>(this.#byId, id);
  }
}
