import * as z from 'zod';
import { accountOperations } from './account-operations.ts';
import { eventOperations } from './event-operations.ts';
import { explainOperations } from './explain-operations.ts';
import { type Operation, operation } from './operation.ts';
import { roleOperations } from './role-operations.ts';
import { sessionOperations } from './session-operations.ts';
import { storeOperations } from './store-operations.ts';
import { tokenDetailOperations } from './token-detail-operations.ts';
import { tokenOperations } from './token-operations.ts';
import { component } from './wire-forms.ts';

const documentForm = component(
  'Document',
  z.looseObject({ openapi: z.string(), info: z.looseObject({}), paths: z.looseObject({}) }),
);

/** Everything that the API answers. The router and the document are made from it. */
export const operations: readonly Operation[] = [
  ...tokenOperations,
  ...tokenDetailOperations,
  ...accountOperations,
  ...roleOperations,
  ...sessionOperations,
  ...eventOperations,
  ...explainOperations,
  ...storeOperations,
  operation({
    method: 'GET',
    path: '/v1/openapi.json',
    role: 'read',
    name: 'getDocument',
    summary: 'This document.',
    answers: { 200: { description: 'OpenAPI 3.1.', schema: documentForm } },
    handle: ({ services }) => ({
      status: 200,
      fields: ['Content-Type', 'application/json'],
      body: services.document(),
    }),
  }),
];
