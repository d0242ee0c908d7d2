import * as z from 'zod';
import { type Operation, operation } from './operation.ts';
import { component } from './wire-forms.ts';

const backupForm = component(
  'Backup',
  z.string().meta({
    description:
      'Lines of JSON: a heading, records, and an end with their counts and the SHA-256 of all bytes before it. One without the end is not whole.',
  }),
);

export const storeOperations: readonly Operation[] = [
  operation({
    method: 'GET',
    path: '/v1/store/backup',
    role: 'admin',
    name: 'backUp',
    summary: 'A backup of the whole store, as `postern store backup` writes it.',
    description:
      'It is sent as fast as it is read, and requests go on being served meanwhile. It holds digests of secrets, and no secret.',
    answers: { 200: { description: 'The backup.', schema: backupForm, type: 'application/x-ndjson' } },
    async handle({ services }) {
      return {
        status: 200,
        fields: ['Content-Type', 'application/x-ndjson'],
        body: null,
        stream: await begun(services.backup()),
      };
    },
  }),
];

/** The same pieces, the first two of which are there: a store that does not answer is told of before an answer begins. */
async function begun(pieces: AsyncIterable<string>): Promise<AsyncIterable<string>> {
  const iterator = pieces[Symbol.asyncIterator]();
  const first = [await iterator.next(), await iterator.next()];
  return {
    [Symbol.asyncIterator]: () => ({
      next: async () => first.shift() ?? iterator.next(),
      return: async () => {
        await iterator.return?.();
        return { done: true, value: undefined };
      },
    }),
  };
}
