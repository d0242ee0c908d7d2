import * as z from 'zod';
import { instantText } from '../manage/changes.ts';
import { jsonAnswer } from './answer.ts';
import { membersBody, type Operation, operation } from './operation.ts';
import { duration, id } from './schemas.ts';
import { component } from './wire-forms.ts';

const creation = component(
  'SessionCreation',
  z.strictObject({
    account: id('The account whose manager it is for.'),
    ttl: duration('How long it lasts, from 1s to 7d. Default: 1h.').optional(),
  }),
);

const sessionForm = component(
  'Session',
  z.strictObject({
    id: z.string().meta({ description: 'Of the token that it is kept as: `DELETE /v1/tokens/{id}` ends it.' }),
    session: z.string().meta({ description: 'Shown this once. It opens token APIs, and nothing else.' }),
    expires_at: z.string().meta({ format: 'date-time', description: 'When it ends.' }),
  }),
);

/** Sessions of those who manage their tokens through token APIs. */
export const sessionOperations: readonly Operation[] = [
  operation({
    method: 'POST',
    path: '/v1/sessions',
    role: 'admin',
    name: 'createSession',
    summary: "Makes a manager's session for the token APIs. Its secret is in this answer and nowhere else.",
    description:
      'It is kept as a token of kind `session`, at the place that `Location` names: deleted there it ends at once, and nothing else of it can be changed. No route takes it.',
    body: membersBody(creation, { ours: ['id', 'session', 'expires_at'], unsupported: [] }),
    answers: { 201: { description: 'The session.', schema: sessionForm, fields: ['Location'] } },
    async handle({ actor, services, body, faults }) {
      const { account = null, ttl } = body;
      const made = await services.sessions.create(actor, account, ttl, faults);
      const form = { id: made.id, session: made.session, expires_at: instantText(made.expiresAt) };
      return jsonAnswer(201, form, ['Location', `/v1/tokens/${made.id}`]);
    },
  }),
];
