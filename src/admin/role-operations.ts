import * as z from 'zod';
import type { Json } from '../core/token.ts';
import { mostRoles } from '../core/token.ts';
import { isObject } from '../manage/merge-patch.ts';
import type { PlacedRole } from '../manage/role-service.ts';
import { type Answer, jsonAnswer } from './answer.ts';
import { entityTag } from './conditional.ts';
import { type RefusedMembers, readMembers } from './members.ts';
import { type Body, membersBody, type Operation, operation, valueBody } from './operation.ts';
import { id, name, ownPermissions, ownPermissionsPatch } from './schemas.ts';
import { component, roleForm, roleJson, rolePageForm } from './wire-forms.ts';

const refused: RefusedMembers = {
  ours: ['id', 'position', 'created_at', 'updated_at', 'version'],
  unsupported: [],
};

const members = { name: name.optional(), permissions: ownPermissions.optional() } as const;

const creation = component(
  'RoleCreation',
  z.strictObject({
    id: z
      .string()
      .meta({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$', description: 'Default: one is made. `order` is none.' })
      .optional(),
    ...members,
  }),
);
const declaration = component('RoleDeclaration', z.strictObject(members));
const patch = component(
  'RolePatch',
  z
    .strictObject({ name: name.nullable().optional(), permissions: ownPermissionsPatch.nullable().optional() })
    .meta({ description: 'A merge patch (RFC 7396): null takes a member back to its default.' }),
);

const ids = z
  .array(id('A role.'))
  .meta({ maxItems: mostRoles, uniqueItems: true, description: 'Every role, once. What comes later decides.' });
const orderMembers = z.strictObject({ order: ids });
const order = component('RoleOrder', z.union([orderMembers, ids]));

/** The list, bare or as the member `order`, and where it stands. */
const orderBody: Body<{ readonly ids: readonly string[]; readonly pointer: string }> = {
  ...valueBody(order, true),
  read(value, faults) {
    if (!isObject(value as Json)) return { ids: valueBody(ids).read(value, faults) ?? [], pointer: '' };
    const said = readMembers(orderMembers.shape, { ours: [], unsupported: [] }, ['order'], value as Json, faults);
    return { ids: said.order ?? [], pointer: '/order' };
  },
};

const theRole = { description: 'The role.', schema: roleForm, fields: ['ETag'] } as const;
const theNewRole = { description: 'The role, made.', schema: roleForm, fields: ['ETag', 'Location'] } as const;
const allRoles = { description: 'All roles, in their order.', schema: rolePageForm } as const;

const roleAnswer = (role: PlacedRole, status = 200): Answer =>
  jsonAnswer(status, roleJson(role), [
    'ETag',
    entityTag(role.version),
    ...(status === 201 ? ['Location', `/v1/roles/${role.id}`] : []),
  ]);

/** There are never so many that they would need pages. */
const listAnswer = (roles: readonly PlacedRole[]): Answer =>
  jsonAnswer(200, { roles: roles.map(roleJson), next_cursor: null });

/** Roles, which accounts have. */
export const roleOperations: readonly Operation[] = [
  operation({
    method: 'GET',
    path: '/v1/roles',
    role: 'read',
    name: 'listRoles',
    summary: 'All roles, in the order in which they apply.',
    answers: { 200: allRoles },
    async handle({ actor, services }) {
      return listAnswer(await services.roles.list(actor));
    },
  }),

  operation({
    method: 'POST',
    path: '/v1/roles',
    role: 'admin',
    name: 'createRole',
    summary: 'Makes a role, at the end of the order.',
    body: membersBody(creation, { ...refused, ours: refused.ours.filter(member => member !== 'id') }),
    answers: { 201: theNewRole },
    async handle({ actor, services, body, faults }) {
      return roleAnswer(await services.roles.create(actor, body, faults), 201);
    },
  }),

  // Before the path of any role: `order` is the id of none.
  operation({
    method: 'PATCH',
    path: '/v1/roles/order',
    role: 'admin',
    name: 'orderRoles',
    summary: 'Puts all roles in order.',
    description: 'Every role has to be named exactly once. The body is the list, or `{ "order": [...] }`.',
    body: orderBody,
    answers: { 200: allRoles },
    async handle({ actor, services, body, faults }) {
      // An order that is not even a list lacks no role.
      faults.throwIfAny();
      return listAnswer(await services.roles.order(actor, body.ids, body.pointer, faults));
    },
  }),

  operation({
    method: 'GET',
    path: '/v1/roles/{id}',
    role: 'read',
    name: 'getRole',
    summary: 'One role.',
    // Always whole: the order of roles changes its position, and not its entity tag.
    answers: { 200: theRole },
    async handle({ actor, services, id }) {
      return roleAnswer(await services.roles.get(actor, id));
    },
  }),

  operation({
    method: 'PUT',
    path: '/v1/roles/{id}',
    role: 'admin',
    name: 'putRole',
    summary: 'Makes the role be as declared, where it stands in the order; a new one comes last.',
    body: membersBody(declaration, refused),
    conditional: true,
    answers: { 200: theRole, 201: theNewRole },
    async handle({ actor, services, id, body, precondition, faults }) {
      const { role, created } = await services.roles.put({ actor, id, precondition, faults }, body);
      return roleAnswer(role, created ? 201 : 200);
    },
  }),

  operation({
    method: 'PATCH',
    path: '/v1/roles/{id}',
    role: 'admin',
    name: 'patchRole',
    summary: 'Changes members of a role.',
    body: membersBody(patch, refused, { merge: true }),
    conditional: true,
    answers: { 200: theRole },
    async handle({ actor, services, id, body, precondition, faults }) {
      return roleAnswer(await services.roles.patch({ actor, id, precondition, faults }, body));
    },
  }),

  operation({
    method: 'DELETE',
    path: '/v1/roles/{id}',
    role: 'admin',
    name: 'deleteRole',
    summary: 'Deletes a role that no account has; deleting it again changes nothing.',
    conditional: true,
    answers: { 200: theRole },
    async handle({ actor, services, id, precondition }) {
      return roleAnswer(await services.roles.remove({ actor, id, precondition }));
    },
  }),
];
