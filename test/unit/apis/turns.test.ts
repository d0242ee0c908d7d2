import { expect, test } from 'vitest';
import { Busy, Turns, turnLimits } from '../../../src/apis/turns.ts';

const step = () => new Promise(resolve => setImmediate(resolve));

test('so many run at a time, one account has a part of those that wait, and every turn comes', async () => {
  const turns = new Turns();
  const running: (() => void)[] = [];
  let most = 0;
  let open = 0;
  const work = async (): Promise<void> => {
    most = Math.max(most, ++open);
    await new Promise<void>(resolve => running.push(resolve));
    open--;
  };
  const ann = Array.from({ length: turnLimits.account }, () => turns.take('ann', work));
  await expect(turns.take('ann', work)).rejects.toThrow(Busy);
  const bob = turns.take('bob', work);
  let done = 0;
  for (const each of [...ann, bob]) void each.then(() => done++);
  while (done < ann.length + 1) {
    await step();
    for (const end of running.splice(0)) end();
  }
  expect(most).toBe(turnLimits.running);
  const again = turns.take('ann', async () => 'again');
  expect(await again).toBe('again');
});

test('a turn that fails is over, too', async () => {
  const turns = new Turns();
  for (let i = 0; i < 2 * turnLimits.account; i++) {
    const failed = turns.take('ann', () => Promise.reject(new Error('no')));
    await expect(failed).rejects.toThrow('no');
  }
  expect(await turns.take('ann', async () => 1)).toBe(1);
});
