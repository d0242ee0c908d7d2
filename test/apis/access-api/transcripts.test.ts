import { afterEach, beforeEach, expect, test } from 'vitest';
import { expectSaid, Names, transcriptsIn } from '../transcript.ts';
import { World } from './world.ts';

/** A request is one line here: method, target, urlencoded body. Its answer is the body, whole. */

let world: World;
beforeEach(async () => {
  world = await World.open();
});
afterEach(() => world.dispose());

const folder = import.meta.dirname;
const transcripts = transcriptsIn(folder);

test('there are transcripts', () => {
  expect(transcripts).toHaveLength(6);
});

test.each(transcripts)('%s', async file => {
  const names = new Names();
  await expectSaid(folder, file, {
    names,
    exchange: async ([line]) => {
      const [method, target, body] = line!.split(' ');
      const answer = await world.send({ method: method!, target: target!, ...(body === undefined ? {} : { body }) });
      if (answer === null) return ['(goes on to the routes)'];
      expect(answer.status).toBe(200);
      expect(answer.fields).toEqual(['Content-Type', 'application/json']);
      return [masked(String(answer.body), names)];
    },
  });
  expect(world.faults).toEqual([]);
});

const masked = (text: string, names: Names): string =>
  text
    .replace(/tok_[0-9A-Za-z]{20}/g, id => names.name('id', id))
    .replace(/pst_[0-9A-Za-z]{38}/g, secret => {
      const name = names.name('secret', secret);
      names.name('end of secret', `pst_…${secret.slice(-4)}`);
      return name;
    })
    .replace(/pst_…[0-9A-Za-z]{4}/g, end => names.name('end of secret', end));
