import type { OwnPermissions } from '../core/permissions.ts';
import { mostRoles, type Role, roleOrderId } from '../core/token.ts';
import { Refusal } from '../errors.ts';
import { roleChanges } from './changes.ts';
import { compareAndSet, stale } from './compare-and-set.ts';
import { Faults } from './faults.ts';
import type { Actor, ManageParts } from './parts.ts';
import { checkPermissions, type OwnPermissionsPatch, patchedPermissions } from './permission-members.ts';
import { demand, type Precondition } from './precondition.ts';
import { demandUnscoped } from './reach.ts';
import { checkId, checkName } from './token-members.ts';

/** What managers say of a role. */
export type RoleMembers = Pick<Role, 'name' | 'permissions'>;

/** A merge patch (RFC 7396): null resets a member; a map of permissions is merged into what is there. */
export interface RolePatch {
  readonly name?: string | null;
  readonly permissions?: OwnPermissionsPatch | null;
}

const defaultMembers: RoleMembers = { name: '', permissions: [] };

/** A role, and its place in the order of all roles, from 0; null for one that was deleted. The order changes no version. */
export interface PlacedRole extends Role {
  readonly position: number | null;
}

/** A change of one role: by whom, which, on what condition, and what is wrong with its members already. */
export interface RoleRequest {
  readonly actor: Actor;
  readonly id: string;
  readonly precondition?: Precondition | null;
  readonly faults?: Faults;
}

/** What managers may do with roles, whichever API they speak. Changes are made as those of tokens are. */
export class RoleService {
  readonly #parts: ManageParts;

  constructor(parts: ManageParts) {
    this.#parts = parts;
  }

  /** Without an id, one is made. */
  async create(
    actor: Actor,
    { id, ...said }: Partial<RoleMembers> & { readonly id?: string },
    faults: Faults = new Faults(),
  ): Promise<PlacedRole> {
    demandUnscoped(actor);
    const members = { ...defaultMembers, ...said };
    checkMembers(members, faults);
    if (id !== undefined) checkRoleId(id, faults);
    faults.throwIfAny();
    return compareAndSet(async () => {
      const made = id ?? `role_${this.#parts.randomText(20)}`;
      const place = await this.#look(made);
      if (place.role !== null) {
        if (id === undefined) return stale;
        throw new Refusal('conflict', 'There is a role with this id.');
      }
      return this.#write(actor, 'create', place, this.#anew(made, members));
    });
  }

  /** Makes the role be as declared. What is not said is as at the beginning. A new one comes last. */
  async put(
    { actor, id, precondition = null, faults = new Faults() }: RoleRequest,
    said: Partial<RoleMembers>,
  ): Promise<{ readonly role: PlacedRole; readonly created: boolean }> {
    demandUnscoped(actor);
    const members = { ...defaultMembers, ...said };
    checkMembers(members, faults);
    checkRoleId(id, faults);
    return compareAndSet(async () => {
      const place = await this.#look(id);
      const { role: before } = place;
      demand(precondition, before?.version ?? null);
      faults.throwIfAny();
      const next = before === null ? this.#anew(id, members) : { ...before, ...members };
      const role = await this.#write(actor, before === null ? 'create' : 'replace', place, next);
      return role === stale ? stale : { role, created: before === null };
    });
  }

  async patch(
    { actor, id, precondition = null, faults = new Faults() }: RoleRequest,
    { name, permissions }: RolePatch,
  ): Promise<PlacedRole> {
    demandUnscoped(actor);
    return compareAndSet(async () => {
      const place = await this.#look(id);
      const { role: before } = place;
      if (before === null) throw unknownRole();
      demand(precondition, before.version);
      const next = {
        ...before,
        ...(name !== undefined && { name: name ?? defaultMembers.name }),
        ...(permissions !== undefined && { permissions: afterPatch(before.permissions, permissions) }),
      };
      checkMembers(next, faults);
      faults.throwIfAny();
      return this.#write(actor, 'update', place, next);
    });
  }

  /** One that accounts have is kept. Removing it again changes nothing; it is answered as it was last. */
  async remove({ actor, id, precondition = null }: RoleRequest): Promise<PlacedRole> {
    demandUnscoped(actor);
    return compareAndSet(async () => {
      const place = await this.#look(id);
      const { role, tombstone } = place;
      if (role !== null) {
        demand(precondition, role.version);
        return this.#write(actor, 'delete', place, { ...role, deleted: true });
      }
      if (tombstone === null) throw unknownRole();
      demand(precondition, tombstone.version);
      await this.#parts.store.settled();
      return { ...tombstone, position: null };
    });
  }

  async get(actor: Actor, id: string): Promise<PlacedRole> {
    const roles = await this.list(actor);
    const role = roles.find(other => other.id === id);
    if (role === undefined) throw unknownRole();
    return role;
  }

  /** Every role, in their order. */
  async list(actor: Actor): Promise<readonly PlacedRole[]> {
    demandUnscoped(actor);
    return placed(await this.#parts.store.listRoles());
  }

  /**
   * Puts all roles in an order, which has to name each of them exactly once. `pointer`: of the list, for faults.
   */
  async order(
    actor: Actor,
    ids: readonly string[],
    pointer = '',
    faults: Faults = new Faults(),
  ): Promise<readonly PlacedRole[]> {
    demandUnscoped(actor);
    const { clock, store, apply } = this.#parts;
    return compareAndSet(async () => {
      const roles = await store.listRoles();
      const now = roles.map(({ id }) => id);
      checkOrder(ids, now, pointer, faults);
      faults.throwIfAny();
      if (ids.every((id, i) => id === now[i])) {
        await store.settled();
        return placed(roles);
      }
      const changes = { order: { from: now, to: ids } };
      const audit = { at: clock.wall(), actor: actor.name, address: actor.address, action: 'order', changes };
      const outcome = await store.orderRoles(ids, audit);
      if (outcome.kind === 'stale') return stale;
      await apply(outcome.events);
      const byId = new Map(roles.map(role => [role.id, role]));
      return placed(ids.map(id => byId.get(id)!));
    });
  }

  /** A role, if there is one, and where it stands or would stand. Its place is read before a change, never after it. */
  async #look(id: string): Promise<Place> {
    const { store } = this.#parts;
    const [found, roles] = await Promise.all([store.getRole(id), store.listRoles()]);
    const at = roles.findIndex(role => role.id === id);
    const position = at === -1 ? roles.length : at;
    return found?.deleted === true
      ? { role: null, tombstone: found, position }
      : { role: found, tombstone: null, position };
  }

  #anew(id: string, members: RoleMembers): Role {
    const createdAt = this.#parts.clock.wall();
    return { id, ...members, deleted: false, createdAt, updatedAt: createdAt, version: 0 };
  }

  async #write(
    actor: Actor,
    action: string,
    { role: before, tombstone, position }: Place,
    changed: Role,
  ): Promise<PlacedRole | typeof stale> {
    const { clock, store, apply } = this.#parts;
    const changes = roleChanges(before ?? tombstone, changed);
    if (before !== null && Object.keys(changes).length === 0) {
      await store.settled();
      return { ...before, position };
    }
    const version = (before ?? tombstone)?.version ?? 0;
    const at = clock.wall();
    const next: Role = { ...changed, updatedAt: Math.max(at, changed.createdAt), version: version + 1 };
    const audit = { at, actor: actor.name, address: actor.address, action, changes };
    const outcome = await store.putRole(next, version, audit);
    switch (outcome.kind) {
      case 'done':
        await apply(outcome.events);
        return { ...next, position: next.deleted ? null : position };
      case 'held':
        throw new Refusal('conflict', `Accounts have this role: ${someOf(outcome.accounts)}. Take it from them first.`);
      case 'full':
        throw new Refusal('conflict', `There are ${mostRoles} roles, and no more can be made.`);
      case 'stale':
        return stale;
    }
  }
}

interface Place {
  readonly role: Role | null;
  /** What is left of one that was deleted. */
  readonly tombstone: Role | null;
  readonly position: number;
}

const placed = (roles: readonly Role[]): readonly PlacedRole[] =>
  roles.map((role, position) => ({ ...role, position }));

const afterPatch = (current: OwnPermissions, patch: OwnPermissionsPatch | null): OwnPermissions =>
  patch === null ? defaultMembers.permissions : patchedPermissions(current, patch);

function checkMembers({ name, permissions }: RoleMembers, faults: Faults): void {
  checkName(name, faults);
  checkPermissions('/permissions', permissions, faults);
}

function checkRoleId(id: string, faults: Faults): void {
  checkId(id, faults);
  if (id === roleOrderId) faults.add('/id', 'is what the order of all roles is called');
}

/** Says of every id that it is unknown or named before, and which are missing. */
function checkOrder(ids: readonly string[], roles: readonly string[], pointer: string, faults: Faults): void {
  const missing = new Set(roles);
  const known = new Set(roles);
  ids.forEach((id, index) => {
    const at = `${pointer}/${index}`;
    if (!known.has(id)) faults.add(at, 'is no role');
    else if (!missing.delete(id)) faults.add(at, `names "${id}" again`);
  });
  if (missing.size > 0) faults.add(pointer, `does not name ${[...missing].join(', ')}`);
}

/** Most accounts that are named. */
const mostNamed = 10;

const someOf = (accounts: readonly string[]): string =>
  `${accounts.slice(0, mostNamed).join(', ')}${accounts.length > mostNamed ? ' and others' : ''}`;

const unknownRole = (): Refusal => new Refusal('not_found', 'There is no such role.');
