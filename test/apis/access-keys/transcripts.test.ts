import { afterEach, expect, test } from 'vitest';
import { ops } from '../../support/managed.ts';
import { expectSaid, happensTo, Names, spokenAnswer, spokenRequest, transcriptsIn } from '../transcript.ts';
import { type Forum, openForum } from './forum.ts';

const folder = import.meta.dirname;
const files = transcriptsIn(folder);

/** What was played, as `POST auth 200`. */
const played = new Set<string>();

let forum: Forum | null = null;
afterEach(async () => {
  await forum?.managed.dispose();
  forum = null;
});

test.each(files)('%s is what is said, byte for byte', async file => {
  const opened = await openForum();
  forum = opened;
  const names = new Names();
  await expectSaid(folder, file, {
    names,
    exchange: async lines => {
      const answer = await spokenAnswer(opened.call(spokenRequest(lines)), body => masked(String(body), names));
      played.add(`${callIn(lines[0]!)} ${answer[0]}`);
      return answer;
    },
    happens: event => happens(opened, event),
  });
  expect(opened.faults).toEqual([]);
});

async function happens(forum: Forum, event: readonly string[]): Promise<unknown> {
  const [what, subject = ''] = event;
  switch (what) {
    case 'sessions':
      forum.sessionsOut = subject === 'out';
      return;
    case 'take-roles-of':
      return forum.managed.accounts.patch({ actor: ops, id: subject }, { roles: [] });
    default:
      return happensTo(forum.managed, event);
  }
}

const masked = (text: string, names: Names): string =>
  text
    .replace(/sd[pb]ak_[0-9A-Za-z]{44}/g, secret => names.name('secret', secret, secret.slice(0, 6)))
    .replace(/(?<=")[0-9a-v]{20}(?=")/g, id => names.name('id', id));

/** `DELETE admin` of the line of a request. */
const callIn = (line: string): string => line.replace(/ \/api\/([a-z]+)\/.*/, ' $1');

// Behind those that play. A file that is lost takes its test along.
test('nothing is missing: each call with what it answers', () => {
  expect(files).toEqual(['admin.transcript', 'bearer.transcript', 'member.transcript', 'refusals.transcript']);
  const wanted = {
    'POST auth': [200, 400, 401, 403, 503],
    'GET auth': [200, 400, 401, 403, 503],
    'DELETE auth': [204, 401, 403, 404],
    'GET admin': [200, 401, 403],
    'DELETE admin': [204, 401, 403, 404],
  };
  const calls = Object.entries(wanted).flatMap(([call, statuses]) => statuses.map(status => `${call} ${status}`));
  expect(calls.filter(each => !played.has(each))).toEqual([]);
});
