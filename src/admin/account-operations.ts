import * as z from 'zod';
import { permissionLimits } from '../core/permissions.ts';
import { type Account, mostRoles } from '../core/token.ts';
import { type Answer, jsonAnswer } from './answer.ts';
import { entityTag, isKnown } from './conditional.ts';
import type { RefusedMembers } from './members.ts';
import { membersBody, type Operation, operation } from './operation.ts';
import { nextCursor, pageQuery, positionOf, readNumber, usualLimit } from './paging.ts';
import { id, limits, name, ownPermissions, ownPermissionsPatch, wait } from './schemas.ts';
import { noBody } from './token-forms.ts';
import {
  accountDeletedForm,
  accountDeletedJson,
  accountForm,
  accountJson,
  accountPageForm,
  accountUsageForm,
  accountUsageJson,
  component,
  revocationAnswers,
  revocationStatus,
} from './wire-forms.ts';

const enabled = z.boolean().meta({ description: 'Whether its tokens work. Default: true.' });

const roles = z.array(id('A role.')).meta({
  maxItems: mostRoles,
  uniqueItems: true,
  description: 'Roles that it has, whatever their order here. Default: [].',
});
const permissions = ownPermissions.nullable();
const owns = z
  .array(z.string().meta({ minLength: 1, maxLength: permissionLimits.resource }))
  .meta({ maxItems: permissionLimits.resources })
  .nullable()
  .meta({ description: 'Patterns of resources that `*` stands for in permissions of its tokens. Default: null, all.' });

const members = {
  name: name.optional(),
  enabled: enabled.optional(),
  roles: roles.optional(),
  permissions: permissions.optional(),
  owns: owns.optional(),
  limits: limits.optional().meta({ description: 'What all its tokens may use together. Default: [], no end.' }),
} as const;

const refused: RefusedMembers = {
  ours: ['id', 'revoked_before', 'created_at', 'updated_at', 'version'],
  unsupported: [],
};

const creation = component(
  'AccountCreation',
  z.strictObject({
    id: z
      .string()
      .meta({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$', description: 'Default: one is made.' })
      .optional(),
    ...members,
  }),
);
const declaration = component('AccountDeclaration', z.strictObject(members));
const patch = component(
  'AccountPatch',
  z
    .strictObject({
      name: name.nullable().optional(),
      enabled: enabled.nullable().optional(),
      roles: roles.nullable().optional(),
      permissions: ownPermissionsPatch.nullable().optional(),
      owns: owns.optional(),
      limits: limits.nullable().optional(),
    })
    .meta({ description: 'A merge patch (RFC 7396): null takes a member back to its default.' }),
);

const theAccount = { description: 'The account.', schema: accountForm, fields: ['ETag'] } as const;
const theNewAccount = { description: 'The account, made.', schema: accountForm, fields: ['ETag', 'Location'] } as const;

const accountAnswer = (account: Account, status = 200): Answer =>
  jsonAnswer(status, accountJson(account), [
    'ETag',
    entityTag(account.version),
    ...(status === 201 ? ['Location', `/v1/accounts/${account.id}`] : []),
  ]);

/** Accounts, which own tokens. */
export const accountOperations: readonly Operation[] = [
  operation({
    method: 'GET',
    path: '/v1/accounts',
    role: 'read',
    name: 'listAccounts',
    summary: 'Accounts in the order of their creation.',
    query: pageQuery,
    answers: { 200: { description: 'A page of accounts.', schema: accountPageForm } },
    async handle(call) {
      const after = positionOf<number | null>(call, null, readNumber);
      const { items, next } = await call.services.accounts.list(call.actor, {
        limit: call.query.limit ?? usualLimit,
        after,
      });
      return jsonAnswer(200, { accounts: items.map(accountJson), next_cursor: nextCursor(call, next) });
    },
  }),

  operation({
    method: 'POST',
    path: '/v1/accounts',
    role: 'admin',
    name: 'createAccount',
    summary: 'Makes an account.',
    description: 'One that was deleted can be made again; tokens that it had then stay revoked.',
    body: membersBody(creation, { ...refused, ours: refused.ours.filter(member => member !== 'id') }),
    answers: { 201: theNewAccount },
    problems: ['unsupported_member'],
    async handle({ actor, services, body, faults }) {
      return accountAnswer(await services.accounts.create(actor, body, faults), 201);
    },
  }),

  operation({
    method: 'GET',
    path: '/v1/accounts/{id}',
    role: 'read',
    name: 'getAccount',
    summary: 'One account.',
    conditional: true,
    answers: { 200: theAccount, 304: { description: 'The client has it already.', schema: null, fields: ['ETag'] } },
    async handle({ actor, services, id, fields }) {
      const account = await services.accounts.get(actor, id);
      if (!isKnown(fields, account.version)) return accountAnswer(account);
      return { status: 304, fields: ['ETag', entityTag(account.version)], body: null };
    },
  }),

  operation({
    method: 'PUT',
    path: '/v1/accounts/{id}',
    role: 'admin',
    name: 'putAccount',
    summary: 'Makes the account be as declared. Members that are left out are as at the beginning.',
    body: membersBody(declaration, refused),
    conditional: true,
    answers: { 200: theAccount, 201: theNewAccount },
    problems: ['unsupported_member'],
    async handle({ actor, services, id, body, precondition, faults }) {
      const { account, created } = await services.accounts.put({ actor, id, precondition, faults }, body);
      return accountAnswer(account, created ? 201 : 200);
    },
  }),

  operation({
    method: 'PATCH',
    path: '/v1/accounts/{id}',
    role: 'admin',
    name: 'patchAccount',
    summary: 'Changes members of an account.',
    body: membersBody(patch, refused, { merge: true }),
    conditional: true,
    answers: { 200: theAccount },
    problems: ['unsupported_member'],
    async handle({ actor, services, id, body, precondition, faults }) {
      return accountAnswer(await services.accounts.patch({ actor, id, precondition, faults }, body));
    },
  }),

  operation({
    method: 'GET',
    path: '/v1/accounts/{id}/usage',
    role: 'read',
    name: 'getAccountUsage',
    summary: 'What is left of the limits of an account.',
    answers: { 200: { description: 'Its limits, in their present windows.', schema: accountUsageForm } },
    async handle({ actor, services, id }) {
      return jsonAnswer(200, accountUsageJson(await services.accounts.usage(actor, id)));
    },
  }),

  operation({
    method: 'POST',
    path: '/v1/accounts/{id}/limits/{name}/reset',
    role: 'admin',
    name: 'resetAccountLimit',
    summary: 'Begins the present window of a limit anew.',
    description: 'Units that processes hold for requests to come stay theirs, and count in the new one.',
    body: noBody,
    conditional: true,
    answers: { 200: { description: 'Its limits, in their present windows.', schema: accountUsageForm } },
    async handle({ actor, services, id, params, precondition, faults }) {
      faults.throwIfAny();
      const request = { actor, id, precondition };
      return jsonAnswer(200, accountUsageJson(await services.accounts.resetLimit(request, params['name'] ?? '')));
    },
  }),

  operation({
    method: 'DELETE',
    path: '/v1/accounts/{id}',
    role: 'admin',
    name: 'deleteAccount',
    summary: 'Deletes an account. All its tokens are revoked; deleting it again changes nothing.',
    query: { wait },
    conditional: true,
    answers: revocationAnswers('The account as it was, and the processes on which it is over.', accountDeletedForm),
    async handle({ actor, services, id, query, precondition, over }) {
      const patience = { waitMs: query.wait, over };
      const deleted = await services.accounts.remove({ actor, id, precondition }, patience);
      return jsonAnswer(revocationStatus(deleted), accountDeletedJson(deleted));
    },
  }),
];
