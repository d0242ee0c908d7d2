import * as z from 'zod';
import { shownConstraints } from '../core/constraint-form.ts';
import { type Fields, lowerNames, single } from '../core/fields.ts';
import { listStart, positionText, readPosition } from '../manage/token-list.ts';
import type { SaidMembers } from '../manage/token-members.ts';
import type { Repeatable } from '../manage/token-service.ts';
import type { TokenView } from '../manage/token-view.ts';
import { type Answer, jsonAnswer, Rejection } from './answer.ts';
import { entityTag, isKnown } from './conditional.ts';
import { type Operation, operation } from './operation.ts';
import { nextCursor, pageQuery, positionOf, usualLimit } from './paging.ts';
import { id, instant, wait } from './schemas.ts';
import { creationBody, declarationBody, membersOf, noBody, patchBody, patchOf, rotationBody } from './token-forms.ts';
import {
  ownerRevokedForm,
  ownerRevokedJson,
  revocationAnswers,
  revocationStatus,
  tokenForm,
  tokenJson,
  tokenPageForm,
  tokenRevokedForm,
  tokenRevokedJson,
  tokenWithSecretForm,
} from './wire-forms.ts';

const theToken = { description: 'The token.', schema: tokenForm, fields: ['ETag'] } as const;
const notModified = { description: 'The client has it already.', schema: null, fields: ['ETag'] } as const;

const tokenAnswer = (token: TokenView, status = 200): Answer =>
  jsonAnswer(status, tokenJson(token), ['ETag', entityTag(token.version), ...(status === 201 ? place(token) : [])]);

const place = ({ id }: TokenView): Fields => ['Location', `/v1/tokens/${id}`];

const switching = (verb: 'enable' | 'disable', summary: string): Operation =>
  operation({
    method: 'POST',
    path: `/v1/tokens/{id}/${verb}`,
    role: 'admin',
    ownerKeys: true,
    name: `${verb}Token`,
    summary,
    body: noBody,
    conditional: true,
    answers: { 200: theToken },
    async handle({ actor, services, id, precondition, faults }) {
      return tokenAnswer(await services.tokens[verb]({ actor, id, precondition, faults }));
    },
  });

/** Reading, making and changing tokens. */
export const tokenOperations: readonly Operation[] = [
  operation({
    method: 'GET',
    path: '/v1/tokens',
    role: 'read',
    ownerKeys: true,
    name: 'listTokens',
    summary: 'Tokens in the order of their creation, those of the configuration first.',
    description: 'Filters add up. Revoked tokens are only listed when `state` asks for them.',
    query: {
      owner: id('Of this account.'),
      state: z
        .enum(['enabled', 'disabled', 'revoked'])
        .meta({ description: 'In this state. Default: every state but revoked.' }),
      kind: z.string().meta({
        description:
          'Of this kind: `native` (made by this API), that of a token API, `declared` or `session`. Default: every kind but `session`.',
      }),
      tag: z.string().meta({ description: 'With this tag.' }),
      prefix: z.string().meta({ description: 'With a name that begins so.' }),
      expires_before: instant('That stop working before this instant.'),
      ...pageQuery,
    },
    answers: { 200: { description: 'A page of tokens.', schema: tokenPageForm } },
    async handle(call) {
      const { limit = usualLimit, cursor: _cursor, expires_before, ...same } = call.query;
      const position = positionOf(call, listStart, readPosition);
      const filter = { ...same, ...(expires_before !== undefined && { expiresBefore: expires_before }) };
      const { tokens, next } = await call.services.tokens.list(call.actor, filter, limit, position);
      const next_cursor = nextCursor(call, next === null ? null : positionText(next));
      return jsonAnswer(200, { tokens: tokens.map(tokenJson), next_cursor });
    },
  }),

  operation({
    method: 'POST',
    path: '/v1/tokens',
    role: 'admin',
    ownerKeys: true,
    name: 'createToken',
    summary: 'Makes a token. Its secret is in this answer and nowhere else.',
    body: creationBody,
    takes: { 'Idempotency-Key': 'The same key and body within 24 hours answer the same token, without its secret.' },
    answers: {
      201: {
        description: 'The token and its secret.',
        schema: tokenWithSecretForm,
        fields: ['ETag', 'Location', 'Idempotency-Replayed'],
      },
    },
    problems: ['unsupported_member'],
    async handle({ actor, services, fields, body, faults }) {
      const members = membersOf(body);
      const repeatable = repeatableOf(fields, textOf(members));
      const { token, secret } = await services.tokens.create(actor, { ...members, kind: 'native' }, repeatable, faults);
      const replayed = secret === null ? ['Idempotency-Replayed', 'true'] : [];
      const shown = secret === null ? {} : { secret };
      const more = ['ETag', entityTag(token.version), ...place(token), ...replayed];
      return jsonAnswer(201, { token: tokenJson(token), ...shown }, more);
    },
  }),

  operation({
    method: 'DELETE',
    path: '/v1/tokens',
    role: 'admin',
    ownerKeys: true,
    name: 'revokeTokensOfOwner',
    summary: 'Revokes every token of an owner, with one mark on the account.',
    query: { owner: id('The account. There is no default.'), wait },
    conditional: true,
    answers: revocationAnswers(
      'How many were live, the mark, and the processes on which it is applied.',
      ownerRevokedForm,
    ),
    problems: ['not_found'],
    async handle({ actor, services, query, precondition, over }) {
      if (query.owner === undefined) throw new Rejection('invalid_body', 'Say whose tokens: ?owner=<account>.');
      const patience = { waitMs: query.wait, over };
      const done = await services.accounts.revokeTokens({ actor, id: query.owner, precondition }, patience);
      return jsonAnswer(revocationStatus(done), ownerRevokedJson(done));
    },
  }),

  operation({
    method: 'GET',
    path: '/v1/tokens/{id}',
    role: 'read',
    ownerKeys: true,
    name: 'getToken',
    summary: 'One token, as it is or as it was.',
    query: { at: instant('The token as it was at this instant, without an entity tag. Default: as it is.') },
    conditional: true,
    answers: { 200: theToken, 304: notModified },
    async handle({ actor, services, id, query, fields }) {
      if (query.at !== undefined) return jsonAnswer(200, tokenJson(await services.tokens.at(actor, id, query.at)));
      const token = await services.tokens.get(actor, id);
      if (!token.versioned || !isKnown(fields, token.version)) return tokenAnswer(token);
      return { status: 304, fields: ['ETag', entityTag(token.version)], body: null };
    },
  }),

  operation({
    method: 'PUT',
    path: '/v1/tokens/{id}',
    role: 'admin',
    ownerKeys: true,
    name: 'putToken',
    summary: 'Makes the token be as declared, under a secret that you made.',
    description: 'Members that are left out are as at the beginning. The same declaration again changes nothing.',
    body: declarationBody,
    conditional: true,
    answers: { 200: theToken, 201: { ...theToken, description: 'The token, made.', fields: ['ETag', 'Location'] } },
    problems: ['unsupported_member'],
    async handle({ actor, services, id, body, precondition, faults }) {
      const declared = { ...membersOf(body), kind: 'native', secretSha256: body.secret_sha256 ?? null };
      const { token, created } = await services.tokens.put({ actor, id, precondition, faults }, declared);
      return tokenAnswer(token, created ? 201 : 200);
    },
  }),

  operation({
    method: 'PATCH',
    path: '/v1/tokens/{id}',
    role: 'admin',
    ownerKeys: true,
    name: 'patchToken',
    summary: 'Changes members of a token.',
    body: patchBody,
    conditional: true,
    answers: { 200: theToken },
    problems: ['unsupported_member'],
    async handle({ actor, services, id, body, precondition, faults }) {
      const { constraints, ...patch } = body;
      return tokenAnswer(await services.tokens.patch({ actor, id, precondition, faults }, patchOf(patch), constraints));
    },
  }),

  operation({
    method: 'DELETE',
    path: '/v1/tokens/{id}',
    role: 'admin',
    ownerKeys: true,
    name: 'revokeToken',
    summary: 'Revokes a token for good. It stays as a tombstone; revoking it again changes nothing.',
    query: { wait },
    conditional: true,
    answers: revocationAnswers('The token, and the processes on which it is revoked.', tokenRevokedForm, ['ETag']),
    async handle({ actor, services, id, query, precondition, over }) {
      const revoked = await services.tokens.revoke({ actor, id, precondition }, { waitMs: query.wait, over });
      const tag = ['ETag', entityTag(revoked.token.version)];
      return jsonAnswer(revocationStatus(revoked), tokenRevokedJson(revoked), tag);
    },
  }),

  switching('enable', 'Lets a token work.'),
  switching('disable', 'Stops a token until it is enabled.'),

  operation({
    method: 'POST',
    path: '/v1/tokens/{id}/rotate',
    role: 'admin',
    ownerKeys: true,
    name: 'rotateToken',
    summary: 'Gives a token a new secret. It is in this answer and nowhere else.',
    body: rotationBody,
    conditional: true,
    answers: { 200: { description: 'The token and its secret.', schema: tokenWithSecretForm, fields: ['ETag'] } },
    async handle({ actor, services, id, body, precondition, faults }) {
      const { token, secret } = await services.tokens.rotate({ actor, id, precondition, faults }, body.grace ?? 0);
      return jsonAnswer(200, { token: tokenJson(token), secret }, ['ETag', entityTag(token.version)]);
    },
  }),
];

/** What is asked for, without its secrets: it is kept as a fast hash. */
const textOf = ({ constraints, ...members }: SaidMembers): string =>
  JSON.stringify({ ...members, ...(constraints !== undefined && { constraints: shownConstraints(constraints) }) });

/** A creation that the client may ask for twice, by its Idempotency-Key. */
function repeatableOf(fields: Fields, body: string): Repeatable | null {
  const key = single(fields, lowerNames(fields), 'idempotency-key');
  if (key === undefined) return null;
  if (key !== null && /^[!-~]{1,255}$/.test(key)) return { key, body };
  throw new Rejection('malformed_request', 'Idempotency-Key is not 1 to 255 visible ASCII characters, once.');
}
