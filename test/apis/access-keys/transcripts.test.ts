import { afterEach, expect, test } from 'vitest';
import { ops } from '../../support/managed.ts';
import { expectSaid, happensTo, Names, spokenAnswer, spokenRequest, transcriptsIn } from '../transcript.ts';
import { type Forum, openForum } from './forum.ts';

const folder = import.meta.dirname;

let forum: Forum | null = null;
afterEach(async () => {
  await forum?.managed.dispose();
  forum = null;
});

test.each(transcriptsIn(folder))('%s is what is said, byte for byte', async file => {
  const opened = await openForum();
  forum = opened;
  const names = new Names();
  await expectSaid(folder, file, {
    names,
    exchange: lines => spokenAnswer(opened.call(spokenRequest(lines)), body => masked(String(body), names)),
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
