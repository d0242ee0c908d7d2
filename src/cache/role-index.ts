import { type Account, roleOrderId } from '../core/token.ts';

const nobody: ReadonlySet<string> = new Set();

/**
 * The accounts that something is known of, by the roles that they have: a change of a role concerns all of them. One whose
 * roles have changed meanwhile may be named for one that it had.
 */
export class RoleIndex {
  readonly #accounts = new Map<string, Set<string>>();
  readonly #roles = new Map<string, Set<string>>();

  add({ id, roles }: Account): void {
    if (roles.length === 0) return;
    const known = this.#roles.get(id) ?? new Set();
    this.#roles.set(id, known);
    for (const role of roles) {
      if (known.has(role)) continue;
      known.add(role);
      const accounts = this.#accounts.get(role);
      if (accounts === undefined) this.#accounts.set(role, new Set([id]));
      else accounts.add(id);
    }
  }

  /** Nothing is known of the account any more. */
  drop(id: string): void {
    const roles = this.#roles.get(id);
    if (roles === undefined) return;
    this.#roles.delete(id);
    for (const role of roles) {
      const accounts = this.#accounts.get(role);
      accounts?.delete(id);
      if (accounts?.size === 0) this.#accounts.delete(role);
    }
  }

  /** Accounts that a change of this role concerns; of the order of all roles: all that have any. */
  concerned(role: string): readonly string[] {
    return [...(role === roleOrderId ? this.#roles.keys() : (this.#accounts.get(role) ?? nobody))];
  }

  clear(): void {
    this.#accounts.clear();
    this.#roles.clear();
  }
}
