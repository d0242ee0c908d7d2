import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { windowAt } from '../../src/core/limit.ts';
import type { Store } from '../../src/stores/store.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { Postern } from '../support/postern.ts';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';

/** Limits where a window ends, a clock steps, or somebody changes them. All clocks are the test's, on the embedded store. */

const start = Date.UTC(2030, 0, 1, 12, 0, 0);
const minuteMs = 60_000;
const hourMs = 3_600_000;

let clock: ManualClock;
let upstream: RecordingUpstream;
let here: Postern;
/** Questions to the ledgers: those that were answered, by label of window, and what each waits for. */
let answeredFor: Set<number>;
let gate: Promise<void> | null = null;

beforeAll(async () => {
  upstream = await new RecordingUpstream().listen();
  clock = new ManualClock(start);
  answeredFor = new Set();
  here = await Postern.start({
    clock,
    upstream: upstream.url,
    throughStore: watched,
    routes: `
  - { path: /one, upstream: u }
  - { path: /five, cost: 5, upstream: u }`,
    more: 'log: { access: none }',
  });
});
afterEach(async () => {
  gate = null;
  await RawClient.closeAll();
  await here.quiet();
  upstream.reset();
});
afterAll(async () => {
  await here.stop();
  await upstream.close();
});

const watched = (store: Store): Store => ({
  ...store,
  limits: {
    exchange: async (questions, around) => {
      if (gate !== null) await gate;
      const answers = await store.limits.exchange(questions, around);
      for (const answer of answers) {
        for (const each of answer?.answers ?? []) if (each !== null) answeredFor.add(each.window.label);
      }
      return answers;
    },
    define: (...args) => store.limits.define(...args),
    read: (...args) => store.limits.read(...args),
    reset: (...args) => store.limits.reset(...args),
    listen: (...args) => store.limits.listen(...args),
  },
});

interface Use {
  readonly name: string;
  readonly max: number;
  readonly used: number;
  readonly remaining: number;
}

async function ask(secret: string, target = '/one') {
  const client = await RawClient.open(here.port);
  client.write(`GET ${target} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${secret}\r\n\r\n`);
  const answer = await client.answer();
  client.destroy();
  return answer;
}
const status = async (secret: string, target = '/one'): Promise<number> => (await ask(secret, target)).status;

/** How many pass until one is refused. */
async function passing(secret: string, target = '/one'): Promise<number> {
  for (let passed = 0; ; passed++) {
    const code = await status(secret, target);
    if (code === 200) continue;
    expect(code).toBe(429);
    return passed;
  }
}

/** How many of so many at once pass. */
async function passingOf(requests: number, secret: string): Promise<number> {
  const codes = await Promise.all(Array.from({ length: requests }, () => status(secret)));
  expect(codes.filter(code => code !== 200 && code !== 429)).toEqual([]);
  return codes.filter(code => code === 200).length;
}

async function uses(path: string): Promise<readonly Use[]> {
  const { status: code, body, text } = await here.admin('GET', `/v1/${path}/usage`);
  expect(code, text).toBe(200);
  return body['limits'] as readonly Use[];
}

async function change(path: string, limits: readonly unknown[]): Promise<void> {
  const { status: code, text } = await here.admin('PATCH', `/v1/${path}`, { limits });
  expect(code, text).toBe(200);
}

async function anAccount(limits: readonly unknown[]): Promise<string> {
  const { status: code, body, text } = await here.admin('POST', '/v1/accounts', { limits });
  expect(code, text).toBe(201);
  return body['id'] as string;
}

const aLimit = (max: number, per: string, name = 'n') => ({ name, max, per });
const mint = (limits: readonly unknown[], more = {}) => here.mint({ limits, ...more });

/** Lets the clock go on to so many milliseconds before the end of the present window. */
function leave(ms: number, per: '1s' | '1m' | '1h' = '1m'): void {
  const { ends } = windowAt({ per, algorithm: 'window' }, clock.wall());
  clock.advance(ends! - ms - clock.wall());
}
/** The beginning of the next window. */
const next = (): void => {
  leave(0);
  expect(clock.wall() % minuteMs).toBe(0);
};

describe('where a window ends', () => {
  test('its last and the first millisecond of the next are charged each to its own, and none is above its limit', async () => {
    for (const wave of [1, 2, 3]) {
      next();
      const { id, secret } = await mint([aLimit(10, '1m')]);
      for (let i = 0; i < wave; i++) expect(await status(secret)).toBe(200);
      leave(1);
      expect(await passing(secret)).toBe(10 - wave);
      expect(await uses(`tokens/${id}`)).toMatchObject([{ used: 10, remaining: 0 }]);
      clock.advance(1);
      expect(await uses(`tokens/${id}`)).toMatchObject([{ used: 0, remaining: 10 }]);
      expect(await passing(secret)).toBe(10);
      expect(await uses(`tokens/${id}`)).toMatchObject([{ used: 10, remaining: 0 }]);
    }
  });

  test('who comes at once on both sides is charged no more than both allow', async () => {
    const { secret } = await mint([aLimit(10, '1m')]);
    leave(1);
    const before = Array.from({ length: 30 }, () => status(secret));
    await upstream.until(({ requests }) => requests.length > 0);
    clock.advance(1);
    const after = Array.from({ length: 30 }, () => status(secret));
    const codes = await Promise.all([...before, ...after]);
    expect(codes.filter(code => code === 200).length).toBeLessThanOrEqual(20);
    expect(codes.filter(code => code === 200).length + (await passing(secret))).toBeLessThanOrEqual(20);
  });

  test('a request in the first millisecond waits for nobody: units of the next window are there already', async () => {
    next();
    const { id, secret } = await mint([aLimit(100, '1m')]);
    expect(await status(secret)).toBe(200);
    leave(2000);
    expect(await status(secret)).toBe(200);
    const label = clock.wall() + 2000;
    // Somebody is asked once a second.
    await expect.poll(() => answeredFor.has(label)).toBe(true);
    next();
    let open = (): void => {};
    gate = new Promise(resolve => {
      open = resolve;
    });
    for (let i = 0; i < 5; i++) expect(await status(secret)).toBe(200);
    open();
    gate = null;
    expect(await passing(secret)).toBe(95);
    expect(await uses(`tokens/${id}`)).toMatchObject([{ used: 100, remaining: 0 }]);
  });

  test('what is answered after it is charged to the window in which it was asked', async () => {
    next();
    const { id, secret } = await mint([aLimit(3, '1m')]);
    leave(1);
    let answer = (): void => {};
    upstream.script = ({ write }) => {
      answer = () => write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    };
    const asked = status(secret);
    await upstream.until(({ requests }) => requests.length === 1);
    clock.advance(1);
    upstream.script = ({ write }) => write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    answer();
    expect(await asked).toBe(200);
    expect(await uses(`tokens/${id}`)).toMatchObject([{ used: 0, remaining: 3 }]);
    expect(await passing(secret)).toBe(3);
  });
});

describe('a clock that is set', () => {
  const behind = 'postern_limit_clock_behind_seconds';

  test('5 seconds back opens no window again, and that is told', async () => {
    next();
    clock.advance(2000);
    const { id, secret } = await mint([aLimit(10, '1m'), aLimit(1000, 'lifetime', 'all')]);
    for (let i = 0; i < 4; i++) expect(await status(secret)).toBe(200);
    clock.stepWall(-5000);
    expect(await passing(secret)).toBe(6);
    expect(await here.metric(behind)).toBe(5);
    expect(await uses(`tokens/${id}`)).toMatchObject([{ used: 10, remaining: 0 }, { used: 10 }]);
    clock.advance(5000);
    expect(await passing(secret)).toBe(0);
    // The window that is held ends when its own end has come.
    next();
    expect(await passing(secret)).toBe(10);
    expect(await here.metric(behind)).toBe(0);
    expect(await uses(`tokens/${id}`)).toMatchObject([{ used: 10 }, { used: 20 }]);
  });

  test('5 seconds back within a window changes nothing', async () => {
    next();
    clock.advance(30_000);
    const { secret } = await mint([aLimit(10, '1m')]);
    for (let i = 0; i < 4; i++) expect(await status(secret)).toBe(200);
    clock.stepWall(-5000);
    expect(await passing(secret)).toBe(6);
    leave(1);
    expect(await passing(secret)).toBe(0);
    clock.stepWall(5000);
  });

  test('an hour forward opens the windows that it enters; and back again, none', async () => {
    next();
    const { id, secret } = await mint([aLimit(5, '1h')]);
    expect(await passing(secret)).toBe(5);
    clock.stepWall(hourMs);
    expect(await passing(secret)).toBe(5);
    clock.stepWall(-hourMs);
    expect(await passing(secret)).toBe(0);
    expect(await uses(`tokens/${id}`)).toMatchObject([{ used: 5, remaining: 0 }]);
    // An hour has passed since that window began, whatever the clock says: the next may begin early, but only once.
    clock.advance(hourMs);
    const early = await passing(secret);
    leave(0, '1h');
    expect(early + (await passing(secret))).toBe(5);
  });
});

describe('in one window', () => {
  test('0 lets nobody pass, 1 one request; without a limit there is no end', async () => {
    next();
    const none = await mint([aLimit(0, '1m')]);
    const one = await mint([aLimit(1, '1m')]);
    const free = await mint([]);
    expect([await passing(none.secret), await passing(one.secret)]).toEqual([0, 1]);
    expect(await passingOf(50, free.secret)).toBe(50);
    next();
    expect([await passing(none.secret), await passing(one.secret)]).toEqual([0, 1]);
  });

  test('a cost above what is left is refused and takes nothing; a smaller one passes', async () => {
    next();
    const { id, secret } = await mint([aLimit(8, '1m')]);
    expect(await passing(secret, '/five')).toBe(1);
    expect(await uses(`tokens/${id}`)).toMatchObject([{ used: 5, remaining: 3 }]);
    expect(await passing(secret)).toBe(3);
    next();
    expect(await passing(secret, '/five')).toBe(1);
  });

  test('a cost above all that there ever is has no time after which to try again', async () => {
    next();
    const { id, secret } = await mint([aLimit(4, '1m')]);
    const never = await ask(secret, '/five');
    expect([never.status, never.get('retry-after')]).toEqual([429, undefined]);
    expect(await passing(secret)).toBe(4);
    clock.advance(15_000);
    const later = await ask(secret);
    expect([later.status, later.get('retry-after')]).toEqual([429, '45']);
    expect(await uses(`tokens/${id}`)).toMatchObject([{ used: 4, remaining: 0 }]);
  });

  test.each([[15], [10], [7], [0]])('a limit of 100 that is lowered to %i after 10 allows just that', async max => {
    next();
    const { id, secret } = await mint([aLimit(100, '1m')]);
    expect(await passingOf(10, secret)).toBe(10);
    await change(`tokens/${id}`, [aLimit(max, '1m')]);
    const left = Math.max(0, max - 10);
    expect(await passingOf(60, secret)).toBe(left);
    expect(await uses(`tokens/${id}`)).toMatchObject([{ max, used: 10 + left, remaining: 0 }]);
    next();
    expect(await passing(secret)).toBe(max);
  });

  test('a limit that is raised allows just as much more, also to those who were refused', async () => {
    next();
    const { id, secret } = await mint([aLimit(5, '1m')]);
    expect(await passingOf(20, secret)).toBe(5);
    await change(`tokens/${id}`, [aLimit(12, '1m')]);
    expect(await passingOf(30, secret)).toBe(7);
    await change(`tokens/${id}`, [aLimit(11, '1m')]);
    expect(await passingOf(5, secret)).toBe(0);
    await change(`tokens/${id}`, [aLimit(13, '1m')]);
    expect(await passingOf(5, secret)).toBe(1);
    expect(await uses(`tokens/${id}`)).toMatchObject([{ max: 13, used: 13, remaining: 0 }]);
    next();
    expect(await passing(secret)).toBe(13);
  });

  test('a limit that is reset allows all of it once more, and no more than that', async () => {
    next();
    const { id, secret } = await mint([aLimit(20, '1m')]);
    expect(await passingOf(8, secret)).toBe(8);
    const reset = () => here.admin('POST', `/v1/tokens/${id}/limits/n/reset`);
    expect((await reset()).status).toBe(200);
    expect(await uses(`tokens/${id}`)).toMatchObject([{ used: 0, remaining: 20 }]);
    expect(await passingOf(50, secret)).toBe(20);
    expect((await reset()).status).toBe(200);
    expect(await passingOf(50, secret)).toBe(20);
    expect(await uses(`tokens/${id}`)).toMatchObject([{ used: 20, remaining: 0 }]);
  });

  test('a limit of another period is another one; the first goes on where it was when it comes back', async () => {
    leave(0, '1h');
    const { id, secret } = await mint([aLimit(6, '1m')]);
    expect(await passingOf(4, secret)).toBe(4);
    await change(`tokens/${id}`, [aLimit(6, '1h')]);
    expect(await passing(secret)).toBe(6);
    await change(`tokens/${id}`, [aLimit(6, '1m')]);
    expect(await passing(secret)).toBe(2);
    next();
    expect(await passing(secret)).toBe(6);
    await change(`tokens/${id}`, [aLimit(6, '1h')]);
    expect(await passing(secret)).toBe(0);
  });
});

describe('limits of a token and of its account', () => {
  test('are charged both or neither, whichever is spent', async () => {
    next();
    const owner = await anAccount([aLimit(5, '1m', 'ours')]);
    const [a, b] = [await mint([aLimit(9, '1m')], { owner }), await mint([aLimit(2, '1m')], { owner })];
    expect(await passingOf(10, b.secret)).toBe(2);
    expect(await uses(`accounts/${owner}`)).toMatchObject([{ used: 2, remaining: 3 }]);
    expect(await passingOf(20, a.secret)).toBe(3);
    expect(await uses(`tokens/${a.id}`)).toMatchObject([{ used: 3, remaining: 6 }]);
    expect(await status(a.secret, '/five')).toBe(429);
    expect(await uses(`tokens/${a.id}`)).toMatchObject([{ used: 3, remaining: 6 }]);
    await change(`accounts/${owner}`, [aLimit(100, '1m', 'ours')]);
    expect(await passing(a.secret)).toBe(6);
    expect(await uses(`accounts/${owner}`)).toMatchObject([{ used: 11, remaining: 89 }]);
  });
});
