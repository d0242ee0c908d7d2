import * as z from 'zod';
import { type Code, codes } from '../errors.ts';
import type { Operation } from './operation.ts';
import { components, problemForm } from './wire-forms.ts';

/** The OpenAPI 3.1 document of the operations. */

type Json = { [name: string]: unknown };

/** Problems that every call can answer with. */
export const everyCall: readonly Code[] = [
  'malformed_request',
  'ambiguous_credential',
  'unauthenticated',
  'forbidden',
  'request_timeout',
  'expectation_failed',
  'validation_failed',
  'too_many_failures',
  'head_too_large',
  'internal_error',
  'store_unavailable',
  'version_not_supported',
];

/** Every code of a problem that an operation can answer with. */
export function problemsOf({ path, method, body, conditional, problems }: Operation): readonly Code[] {
  return [
    ...new Set<Code>([
      ...everyCall,
      ...(path.includes('{') ? (['not_found'] as const) : []),
      ...(body === null ? [] : (['invalid_body', 'body_too_large', 'unsupported_media'] as const)),
      ...(conditional && method !== 'GET' ? (['version_mismatch'] as const) : []),
      ...(method === 'GET' ? [] : (['conflict'] as const)),
      ...problems,
    ]),
  ];
}

export function openApiDocument(operations: readonly Operation[], version: string): string {
  const paths: { [path: string]: Json } = {};
  for (const operation of operations) {
    const head = operation.method === 'GET' ? { head: headOf(operation) } : {};
    paths[operation.path] = {
      ...(paths[operation.path] ?? pathItem(operation.path)),
      [operation.method.toLowerCase()]: describe(operation),
      ...head,
    };
  }
  return JSON.stringify({
    openapi: '3.1.0',
    info: {
      title: 'Postern',
      version,
      description:
        'Tokens, accounts and roles. Every answer carries `X-Request-Id`; every refusal is a problem document (RFC 9457).',
    },
    security: [{ admin_key: [] }],
    paths,
    components: {
      schemas: schemas(),
      securitySchemes: { admin_key: { type: 'http', scheme: 'bearer', description: 'An admin key.' } },
    },
  });
}

const pathItem = (path: string): Json => {
  const names = [...path.matchAll(/\{([^}]+)\}/g)].map(match => match[1]);
  const schema = { type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$' };
  if (names.length === 0) return {};
  return { parameters: names.map(name => ({ name, in: 'path', required: true, schema })) };
};

function describe(operation: Operation): Json {
  const { name, summary, description, role, ownerKeys, body } = operation;
  return {
    operationId: name,
    summary,
    ...(description !== null && { description }),
    'x-role': role,
    'x-owner-keys': ownerKeys,
    parameters: parameters(operation),
    ...(body !== null && {
      requestBody: {
        required: body.required,
        content: Object.fromEntries(body.types.map(type => [type, { schema: reference(body.schema) }])),
      },
    }),
    responses: { ...answers(operation), ...problems(operation) },
  };
}

/** What GET answers, without the body. */
function headOf(operation: Operation): Json {
  const { operationId, responses, ...rest } = describe(operation) as { operationId: string; responses: Json } & Json;
  const bare = Object.entries(responses).map(([status, answer]) => {
    const { content: _content, ...head } = answer as Json;
    return [status, head];
  });
  return { ...rest, operationId: `${operationId}Head`, responses: Object.fromEntries(bare) };
}

function parameters({ query, conditional, takes, method }: Operation): Json[] {
  const inQuery = Object.entries(query).map(([name, schema]) => {
    const { description, ...rest } = plain(z.toJSONSchema(schema, { io: 'input' }));
    return { name, in: 'query', required: false, description, schema: rest };
  });
  const fields = {
    ...(conditional && method !== 'GET' && { 'If-Match': 'Only when it is at one of these versions.' }),
    ...(conditional && { 'If-None-Match': 'Only when it is at none of these versions.' }),
    ...takes,
  };
  const inHeader = Object.entries(fields).map(([name, description]) => {
    return { name, in: 'header', required: false, description, schema: { type: 'string' } };
  });
  return [...inQuery, ...inHeader];
}

const answers = (operation: Operation): Json =>
  Object.fromEntries(
    Object.entries(operation.answers).map(
      ([status, { description, schema, type = 'application/json', fields = [] }]) => [
        status,
        {
          description,
          headers: headers(['X-Request-Id', ...fields]),
          ...(schema !== null && { content: { [type]: { schema: reference(schema) } } }),
        },
      ],
    ),
  );

function problems(operation: Operation): Json {
  const byStatus = Map.groupBy(problemsOf(operation), code => codes[code].status);
  return Object.fromEntries(
    [...byStatus].map(([status, ofStatus]) => [
      status,
      {
        description: ofStatus.map(code => `\`${code}\`: ${codes[code].title}.`).join(' '),
        headers: headers(['X-Request-Id', ...ofStatus.flatMap(code => fieldsOf[code] ?? [])]),
        content: { 'application/problem+json': { schema: reference(problemForm) } },
      },
    ]),
  );
}

const fieldsOf: Readonly<Partial<Record<Code, readonly string[]>>> = {
  unauthenticated: ['WWW-Authenticate'],
  too_many_failures: ['Retry-After'],
  overloaded: ['Retry-After'],
  store_unavailable: ['Retry-After'],
};

const headers = (names: readonly string[]): Json =>
  Object.fromEntries(names.map(name => [name, { schema: { type: 'string' } }]));

const place = (id: string): string => `#/components/schemas/${id}`;

function reference(schema: z.ZodType): Json {
  const known = components.get(schema);
  if (known === undefined) throw new Error('a schema has no name in the document');
  return { $ref: place(known.id) };
}

const schemas = (): Json => {
  const { schemas } = z.toJSONSchema(components, { uri: place, io: 'input' });
  return Object.fromEntries(Object.entries(schemas).map(([id, schema]) => [id, plain(schema)]));
};

/** Without what says where it would be if it stood alone. */
function plain(schema: object): Json {
  const { $schema: _schema, $id: _id, ...rest } = schema as Json;
  return rest;
}
