import { afterEach, describe, expect, test } from 'vitest';
import { messageOf } from '../../../src/apis/access-api/envelope.ts';
import { type Code, codes, Refusal } from '../../../src/errors.ts';
import type { TokenService } from '../../../src/manage/token-service.ts';
import { ops } from '../../support/managed.ts';
import { World } from './world.ts';

/** What the services refuse, in the words of this API. */

let world: World | null = null;
afterEach(async () => {
  await world?.dispose();
  world = null;
});

const isMissing = (code: Code): boolean => code === 'not_found';
const all = Object.keys(codes) as Code[];

test.each(all.filter(code => !isMissing(code)))('%s is told as what it is', code => {
  expect(messageOf(new Refusal(code, 'What happened.'))).toBe('What happened.');
});

test('what is not there is no such token', () => {
  for (const code of all.filter(isMissing)) {
    expect(messageOf(new Refusal(code, 'What happened.'))).toBe('There is no such token.');
  }
});

describe('a token that is updated', () => {
  /** Updates a token of alice's; `meanwhile` happens when it was found, and is refused with a conflict. */
  async function update(meanwhile: (id: string) => Promise<unknown>): Promise<string> {
    const amend: TokenService['amend'] = async ({ id }) => {
      await meanwhile(id);
      throw new Refusal('conflict', 'Others keep changing it at the same time. Try again.');
    };
    world = await World.open({ amend });
    const { data } = await world.call({ cmd: 'access.add', auth_token: 'alice', name: 'ci' });
    const meta = '{"name":"other"}';
    const answer = await world.call({ cmd: 'access.update', auth_token: 'alice', token_id: data.id, meta });
    expect(answer).toMatchObject({ return_code: 'FAILURE', data: {} });
    return answer.message;
  }

  test('while others change it is still there: the client may try again', async () => {
    expect(await update(async () => {})).toBe('Others keep changing it at the same time. Try again.');
  });

  test('while somebody removes it is not there', async () => {
    expect(await update(id => world!.managed.tokens.revoke({ actor: ops, id }))).toBe('There is no such token.');
  });
});
