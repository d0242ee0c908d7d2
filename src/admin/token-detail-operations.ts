import * as z from 'zod';
import type { TokenView } from '../manage/token-view.ts';
import { usageSteps } from '../manage/usage-report.ts';
import { type Answer, jsonAnswer } from './answer.ts';
import { entityTag, isKnown } from './conditional.ts';
import { type Operation, operation, valueBody } from './operation.ts';
import { nextCursor, pageQuery, positionOf, readNumber, usualLimit } from './paging.ts';
import { instant, permissions, permissionsPatch } from './schemas.ts';
import { noBody, signingBody } from './token-forms.ts';
import { eventJson, eventPageForm, signedForm, signedJson, usageForm, usageReportJson } from './wire-forms.ts';

const thePermissions = {
  description: 'The permissions as they were given.',
  schema: permissions,
  fields: ['ETag'],
};

const permissionsAnswer = (token: TokenView): Answer =>
  jsonAnswer(200, token.permissions, ['ETag', entityTag(token.version)]);

/** What belongs to a token: its permissions, its use, its changes. */
export const tokenDetailOperations: readonly Operation[] = [
  operation({
    method: 'GET',
    path: '/v1/tokens/{id}/permissions',
    role: 'read',
    ownerKeys: true,
    name: 'getPermissions',
    summary: 'The permissions of a token, by themselves.',
    conditional: true,
    answers: {
      200: thePermissions,
      304: { description: 'The client has them already.', schema: null, fields: ['ETag'] },
    },
    async handle({ actor, services, id, fields }) {
      const token = await services.tokens.get(actor, id);
      if (!token.versioned || !isKnown(fields, token.version)) return permissionsAnswer(token);
      return { status: 304, fields: ['ETag', entityTag(token.version)], body: null };
    },
  }),

  operation({
    method: 'PUT',
    path: '/v1/tokens/{id}/permissions',
    role: 'admin',
    ownerKeys: true,
    name: 'putPermissions',
    summary: 'Replaces the permissions of a token.',
    body: valueBody(permissions),
    conditional: true,
    answers: { 200: thePermissions },
    problems: ['unsupported_member'],
    async handle({ actor, services, id, body = [], precondition, faults }) {
      return permissionsAnswer(await services.tokens.replacePermissions({ actor, id, precondition, faults }, body));
    },
  }),

  operation({
    method: 'PATCH',
    path: '/v1/tokens/{id}/permissions',
    role: 'admin',
    ownerKeys: true,
    name: 'mergePermissions',
    summary: 'Merges a map of permissions into a map of permissions.',
    description: 'Null removes an action; what is said moves to the end, and decides. Nothing else can be merged: 409.',
    body: valueBody(permissionsPatch, true),
    conditional: true,
    answers: { 200: thePermissions },
    problems: ['unsupported_member'],
    async handle({ actor, services, id, body = {}, precondition, faults }) {
      return permissionsAnswer(await services.tokens.mergePermissions({ actor, id, precondition, faults }, body));
    },
  }),

  operation({
    method: 'POST',
    path: '/v1/tokens/{id}/sign',
    role: 'admin',
    name: 'signRequest',
    summary: 'Signs a request by a token whose constraints ask for it.',
    description:
      'The signature is of method, path and query. 409 when the token asks for no signature. The secret of the token is needed beside it.',
    body: signingBody,
    answers: { 200: { description: 'The request, with its signature in the target.', schema: signedForm } },
    problems: ['conflict'],
    async handle({ actor, services, id, body, faults }) {
      const { method, target, expires_in: lifeMs } = body;
      return jsonAnswer(200, signedJson(await services.tokens.sign(actor, id, { method, target, lifeMs }, faults)));
    },
  }),

  operation({
    method: 'GET',
    path: '/v1/tokens/{id}/usage',
    role: 'read',
    ownerKeys: true,
    name: 'getUsage',
    summary: 'What a token was used for.',
    description:
      'Buckets that the range touches, at most 1000, those without use left out. `total` is the sum of the buckets when `from` or `to` is given; without either it is of all time.',
    query: {
      from: instant('The beginning of the range. Default: 24 hours before its end.'),
      to: instant('The end of the range. Default: now.'),
      step: z.enum(usageSteps).meta({ description: 'The length of a bucket, in UTC. Default: 1h.' }),
    },
    answers: { 200: { description: 'The use of the token.', schema: usageForm } },
    async handle({ actor, services, id, query }) {
      return jsonAnswer(200, usageReportJson(await services.tokens.usage(actor, id, { step: '1h', ...query })));
    },
  }),

  operation({
    method: 'POST',
    path: '/v1/tokens/{id}/limits/{name}/reset',
    role: 'admin',
    name: 'resetLimit',
    summary: 'Begins the present window of a limit anew.',
    description: 'Units that processes hold for requests to come stay theirs, and count in the new one.',
    body: noBody,
    conditional: true,
    answers: { 200: { description: 'The use of the token.', schema: usageForm } },
    async handle({ actor, services, id, params, precondition, faults }) {
      faults.throwIfAny();
      const request = { actor, id, precondition };
      return jsonAnswer(200, usageReportJson(await services.tokens.resetLimit(request, params['name'] ?? '')));
    },
  }),

  operation({
    method: 'GET',
    path: '/v1/tokens/{id}/events',
    role: 'read',
    ownerKeys: true,
    name: 'listTokenEvents',
    summary: 'Who changed a token, and what, oldest first.',
    query: pageQuery,
    answers: { 200: { description: 'A page of changes.', schema: eventPageForm } },
    async handle(call) {
      const after = positionOf<number | null>(call, null, readNumber);
      const { items, next } = await call.services.tokens.events(call.actor, call.id, {
        limit: call.query.limit ?? usualLimit,
        after,
      });
      return jsonAnswer(200, { events: items.map(eventJson), next_cursor: nextCursor(call, next) });
    },
  }),
];
