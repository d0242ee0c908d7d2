import { afterEach, beforeEach, expect, test } from 'vitest';
import { commands } from '../../../src/apis/access-api/commands.ts';
import { expectSaid, Names, transcriptsIn } from '../transcript.ts';
import { World } from './world.ts';

/** A request is one line here: method, target, urlencoded body. Its answer is the body, whole. */

let world: World;
beforeEach(async () => {
  world = await World.open();
});
afterEach(() => world.dispose());

const folder = import.meta.dirname;
const files = transcriptsIn(folder);

/** What was played, as `access.add SUCCESS`. */
const played = new Set<string>();

test.each(files)('%s', async file => {
  const names = new Names();
  await expectSaid(folder, file, {
    names,
    exchange: async ([line]) => {
      const [method, target, body] = line!.split(' ');
      const answer = await world.send({ method: method!, target: target!, ...(body === undefined ? {} : { body }) });
      if (answer === null) return ['(goes on to the routes)'];
      expect(answer.status).toBe(200);
      expect(answer.fields).toEqual(['Content-Type', 'application/json']);
      const said = new URLSearchParams(`${target!.split('?')[1] ?? ''}&${body ?? ''}`);
      played.add(`${said.get('cmd')} ${JSON.parse(String(answer.body)).return_code}`);
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

// Behind those that play. A file that is lost takes its test along.
test('nothing is missing: each command with right parameters and wrong ones', () => {
  expect(files).toEqual(['add', 'get-all', 'get', 'remove', 'requests', 'update'].map(name => `${name}.transcript`));
  const wanted = [...commands.keys()].flatMap(command => [`${command} SUCCESS`, `${command} FAILURE`]);
  expect(wanted.filter(each => !played.has(each))).toEqual([]);
});
