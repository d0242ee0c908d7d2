import * as z from 'zod';
import { type Fields, lowerNames, single } from '../core/fields.ts';
import { mostWatchers } from '../manage/watchers.ts';
import type { Cursor } from '../ports/change-feed.ts';
import { Rejection } from './answer.ts';
import { eventStream, readEventId } from './event-stream.ts';
import { type Operation, operation } from './operation.ts';
import { id } from './schemas.ts';
import { component } from './wire-forms.ts';

const streamForm = component(
  'EventStream',
  z.string().meta({
    description:
      'Server-sent events with JSON as data. `change`: `kind` (`token`, `account` or `role`), `id`, `version`, `at`; the role `order` is the order of all roles. `refusal`: `request_id`, `at`, `code`, `reason`, `shadow` (it was forwarded all the same), `route`, `method`, `token_id`, `owner`, `client_ip`. `limit`: a limit has passed a share of what it allows: `kind` (`token` or `account`), `id`, `at`, `owner`, `limit`, `percent`, `max`, `used`, `resets_at`. `gap`: changes may have been made that are not told. `lost`: `refusals` and `limits`, so many came faster than they were read.',
  }),
);

export const eventOperations: readonly Operation[] = [
  operation({
    method: 'GET',
    path: '/v1/events',
    role: 'read',
    name: 'watchEvents',
    summary: 'Changes of the store and refusals of this process, as they happen.',
    description: `Server-sent events, until the client leaves, the process ends, or the key is removed or expires; at most ${mostWatchers} clients at a time. Changes are those of every process, in their order; refusals are those that this process counts as \`refused\` or \`shadow\`.`,
    query: {
      token: id('Of this token only: its changes and limits, and refusals of requests that presented it.'),
      owner: id('Of this account only, and of the tokens that it owns by then; changes of roles are not told.'),
      type: z.enum(['change', 'refusal', 'limit']).meta({ description: 'Events of this kind only.' }),
    },
    takes: { 'Last-Event-ID': 'The `id` of the last change that is known: those after it are told first.' },
    problems: ['overloaded'],
    answers: { 200: { description: 'The events.', schema: streamForm, type: 'text/event-stream' } },
    async handle({ fields, query, over, keyLeftMs, services }) {
      const from = readLastEventId(fields);
      const watcher = services.watchers.watch(query, from, over);
      if (watcher === null) {
        const detail = `${mostWatchers} clients are watching already. Try again when one has left.`;
        throw new Rejection('overloaded', detail, ['Retry-After', '1']);
      }
      // A store that does not answer is told of before an answer begins.
      const first = from === null ? [] : await watcher.next(0);
      return {
        status: 200,
        fields: ['Content-Type', 'text/event-stream'],
        body: null,
        stream: eventStream(watcher, first ?? [], keyLeftMs),
        close: true,
      };
    },
  }),
];

function readLastEventId(fields: Fields): Cursor | null {
  const text = single(fields, lowerNames(fields), 'last-event-id');
  if (text === undefined || text === '') return null;
  const cursor = text === null ? null : readEventId(text);
  if (cursor !== null) return cursor;
  const detail = 'Last-Event-ID is not the id of an event, such as 1f2e3d4c:42. Without it, changes to come are told.';
  throw new Rejection('malformed_request', detail);
}
