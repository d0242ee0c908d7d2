import { isIP } from 'node:net';
import * as z from 'zod';
import { type Explanation, phases, stepOutcomes } from '../core/explain.ts';
import { idPattern, type Json } from '../core/token.ts';
import { Refusal } from '../errors.ts';
import { instantText } from '../manage/changes.ts';
import type { Faults } from '../manage/faults.ts';
import { isObject } from '../manage/merge-patch.ts';
import type { Presented, Recalled, Supposed } from '../ports/decider.ts';
import { jsonAnswer, Rejection } from './answer.ts';
import type { AdminKey } from './keys.ts';
import { readMembers, type Said } from './members.ts';
import { type Body, type Operation, operation } from './operation.ts';
import { component } from './wire-forms.ts';

/** Why a request is refused: one that is only asked about, and one that was made. */

const grantForm = z.strictObject({
  of: z.enum(['token', 'account', 'role']),
  id: z.string(),
  index: z.int().min(0).meta({ description: 'Place of the grant in the permissions of what it belongs to.' }),
  resource: z.string().meta({ description: 'The pattern of the entry that decided, as written.' }),
  action: z.string().meta({ description: 'The same of actions.' }),
  allow: z.boolean(),
});

const members = {
  allow: z.boolean().meta({ description: 'It is forwarded, or answered as asked.' }),
  status: z.int().meta({ description: 'What the client is told; 200 where that is for the upstream to say.' }),
  code: z.string().nullable().meta({ description: 'Of the problem; null: nothing was refused.' }),
  shadow: z
    .string()
    .nullable()
    .meta({ description: 'The code that it would have been refused with, were it not for shadow mode.' }),
  steps: z
    .array(
      z.strictObject({
        phase: z.enum(phases),
        outcome: z.enum(stepOutcomes),
        compared: z.record(z.string(), z.unknown()).meta({ description: 'What was held against what.' }),
        grant: grantForm.optional().meta({ description: 'The entry of a grant that decided.' }),
      }),
    )
    .meta({ description: 'The phases of the judgment in their order, up to the one that refused.' }),
  remedy: z
    .string()
    .nullable()
    .meta({ description: 'What makes the request pass. Calls of this API stand on lines of their own.' }),
};

const explanationForm = component('Explanation', z.strictObject(members));

const decisionForm = component(
  'Decision',
  z.strictObject({
    request_id: z.string(),
    at: z.string().meta({ format: 'date-time' }),
    method: z.string(),
    path: z.string().nullable().meta({ description: 'Null when it may have carried a credential.' }),
    route: z.string().nullable(),
    token_id: z.string().nullable(),
    owner: z.string().nullable(),
    ...members,
  }),
);

const explanationJson = ({ steps, ...rest }: Explanation): z.output<typeof explanationForm> => ({
  ...rest,
  steps: steps.map(({ phase, outcome, compared, grant }) => ({
    phase,
    outcome,
    compared: { ...compared },
    ...(grant && { grant: { ...grant } }),
  })),
});

const decisionJson = ({ requestId, at, method, path, route, tokenId, owner, explanation }: Recalled) => ({
  request_id: requestId,
  at: instantText(at),
  method,
  path,
  route,
  token_id: tokenId,
  owner,
  ...explanationJson(explanation),
});

const method = z
  .string()
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/, 'is not a method of HTTP')
  .meta({ description: 'As it is sent: `GET`.' });
const target = z
  .string()
  .regex(/^[!-~]{1,16384}$/, 'is not a path, and a query, of visible ASCII characters')
  .meta({ description: 'Path and query.' });
const fieldName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/;
const fieldValue = /^(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]{0,16382}[!-~\x80-\xff])?)?$/;
const most = { fields: 128, body: 256 * 1024 } as const;

const headers = z
  .unknown()
  .transform((value, context) => {
    const fields: string[] = [];
    const fault = (message: string, path: string[] = []): void =>
      void context.issues.push({ code: 'custom', message, path, input: value });
    if (!isObject(value as Json)) fault('is not an object of names and values');
    else {
      for (const [name, said] of Object.entries(value as object)) {
        const values: unknown[] = Array.isArray(said) ? said : [said];
        if (!fieldName.test(name)) fault('is not the name of a field', [name]);
        else if (values.length === 0) fault('has no value', [name]);
        for (const each of values) {
          if (typeof each === 'string' && fieldValue.test(each)) fields.push(name, each);
          else fault('is not a value that a field can have', [name]);
        }
      }
    }
    if (fields.length > 2 * most.fields) fault(`has more than ${most.fields} fields`);
    return fields;
  })
  .meta({
    type: 'object',
    additionalProperties: { anyOf: [{ type: 'string' }, { type: 'array', items: { type: 'string' }, minItems: 1 }] },
    description: 'Fields by name; a list for one that stands more than once. Default: a Host that a route takes.',
  });

const requestForm = z.strictObject({
  method,
  target,
  headers: headers.optional(),
  body: z
    .string()
    .refine(text => Buffer.byteLength(text) <= most.body, `is longer than ${most.body} bytes`)
    .optional()
    .meta({ description: 'Its length is added where no field says it.' }),
  peer: z
    .string()
    .refine(text => isIP(text) !== 0, 'is not an IP address')
    .optional()
    .meta({ description: 'Where it comes from. Default: 127.0.0.1.' }),
});

const questionForm = component(
  'ExplainRequest',
  z.strictObject({
    token_id: z
      .string()
      .regex(idPattern, 'is not an id')
      .optional()
      .meta({ description: 'The token, which is taken as if it were presented.' }),
    secret: z
      .string()
      .regex(/^[!-~]{1,4096}$/, 'is not a secret of visible ASCII characters')
      .optional()
      .meta({ description: 'What is presented, at the first place of `credentials`. Needs the role admin.' }),
    request: requestForm,
  }),
);

interface Question {
  readonly presented: Presented;
  readonly request: Supposed | null;
}

const nothing = { ours: [], unsupported: [] };

const questionBody: Body<Question> = {
  schema: questionForm,
  types: ['application/json'],
  required: true,
  read(value, faults): Question {
    const { token_id, secret } = readMembers(questionForm.shape, nothing, ['request'], value as Json, faults);
    if (token_id !== undefined && secret !== undefined) faults.add('/secret', 'cannot stand beside token_id');
    const presented: Presented =
      token_id !== undefined
        ? { kind: 'id', tokenId: token_id }
        : secret !== undefined
          ? { kind: 'secret', secret }
          : { kind: 'headers' };
    return { presented, request: readRequest(value, faults) };
  },
};

function readRequest(value: unknown, faults: Faults): Supposed | null {
  if (faults.any) return null;
  const { method, target, headers, body, peer } = (value as { request: Said<typeof requestForm.shape> }).request;
  const fields = requestForm.shape.headers.parse(headers) ?? [];
  return { method: method!, target: target!, headers: fields, body: body ?? null, peer: peer ?? '127.0.0.1' };
}

/** Whether a string is a token is for those to try who may make some. */
function needAdmin(role: AdminKey['role']): void {
  if (role !== 'admin') throw new Rejection('forbidden', 'To try a secret needs a key with the role admin.');
}

export const explainOperations: readonly Operation[] = [
  operation({
    method: 'POST',
    path: '/v1/explain',
    role: 'read',
    name: 'explain',
    summary: 'How this process would decide on a request now, why, and what would make it pass.',
    description:
      'Nothing is sent anywhere and nothing is counted. With `secret`, or with credentials in `headers`, `target` or `body`, it needs the role admin.',
    body: questionBody,
    answers: { 200: { description: 'The explanation.', schema: explanationForm } },
    problems: ['not_found'],
    async handle({ services, role, body: { presented, request }, faults }) {
      if (presented.kind === 'secret') needAdmin(role);
      faults.throwIfAny();
      if (request === null) throw new Refusal('invalid_body', 'This call needs a request.');
      const carries = services.decider.carries(request);
      if (carries !== 'nothing') needAdmin(role);
      if (carries === 'token' && presented.kind === 'id') faults.add('/request', 'has a token, and token_id names one');
      faults.throwIfAny();
      const explanation = await services.decider.explain(presented, request);
      if (explanation === null) throw new Refusal('not_found', 'There is no such token.');
      return jsonAnswer(200, explanationJson(explanation));
    },
  }),

  operation({
    method: 'GET',
    path: '/v1/decisions/{request_id}',
    role: 'read',
    name: 'getDecision',
    summary: 'Why a recent request was refused, or would have been, were it not for shadow mode.',
    description: 'Kept in the memory of the process that answered the request, the newest few thousand.',
    answers: { 200: { description: 'The decision.', schema: decisionForm } },
    handle({ services, params }) {
      const decision = services.decider.decision(params['request_id'] ?? '');
      if (decision !== null) return jsonAnswer(200, decisionJson(decision));
      const detail = `This process has refused no such request, or has forgotten it: each keeps its newest ${services.decider.kept} refusals until it ends, and only the one that answered knows.`;
      throw new Refusal('not_found', detail);
    },
  }),
];
