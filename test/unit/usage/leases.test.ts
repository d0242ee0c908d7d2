import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Subject } from '../../../src/core/token.ts';
import type { Leases } from '../../../src/usage/leases.ts';
import { account, asker, LeaseWorld, limit, limited, subjectWith } from '../../support/lease-world.ts';

let world: LeaseWorld;
beforeEach(() => {
  world = new LeaseWorld();
});
afterEach(() => world.stop());

/** Charges, whatever has to be waited for; what is charged is spent at once. */
async function use(leases: Leases, subject: Subject, cost = 1): Promise<string> {
  const pending = leases.charge(subject, cost, asker);
  await world.settled();
  const outcome = await pending;
  if (outcome?.kind === 'charged') outcome.spend();
  return outcome?.kind ?? 'free';
}

const passes = async (leases: Leases, subject: Subject, times: number): Promise<number> => {
  let passed = 0;
  for (let i = 0; i < times; i++) if ((await use(leases, subject)) === 'charged') passed++;
  return passed;
};

/** What is left of the first limit by the ledger's own word. */
const remaining = async (
  subject: Subject,
): Promise<{ spent: number; leased: number; burned: number; remaining: number }> => {
  const { id, limits, version } = subject.token;
  const [state] = await world.ledger.read({ kind: 'token', id }, version, limits);
  return state!;
};

describe('a process that holds units', () => {
  it('charges at once, and asks nobody', async () => {
    const [a, subject] = [world.process('a'), limited([limit(100_000)])];
    expect(await use(a, subject)).toBe('charged');
    world.calls();
    for (let i = 0; i < 400; i++) {
      const charged = a.charge(subject, 1, asker);
      expect(charged).not.toBeInstanceOf(Promise);
      if (charged !== null && 'kind' in charged && charged.kind === 'charged') charged.spend();
    }
    await world.settled();
    expect(world.calls()).toBe(0);
  });

  it('reports of many tokens one call after the other, and who waits is asked for between them', async () => {
    const a = world.process('a');
    const subjects = Array.from({ length: 1000 }, () => limited([limit(10_000_000)]));
    await Promise.all(subjects.map(async subject => expect(await use(a, subject)).toBe('charged')));
    const { ledger } = world;
    const { promise: opened, resolve: open } = Promise.withResolvers<void>();
    const asked: number[] = [];
    const exchange = ledger.exchange.bind(ledger);
    ledger.exchange = async (...args) => {
      asked.push(args[0].length);
      await opened;
      return exchange(...args);
    };
    world.clock.advance(1000);
    a.tick();
    await world.settled();
    expect(asked).toEqual([100]);
    const pending = a.charge(limited([limit(5)]), 1, asker);
    await world.settled();
    expect(asked).toEqual([100, 1]);
    open();
    expect(await pending).toMatchObject({ kind: 'charged' });
    await a.flush();
    for (const subject of subjects) expect(await remaining(subject)).toMatchObject({ spent: 1 });
    expect(asked).toHaveLength(11);
  });

  it('charges nothing where there is no limit, or no cost', () => {
    const a = world.process('a');
    expect(a.charge(limited([]), 1, asker)).toBeNull();
    expect(a.charge(limited([limit(5)]), 0, asker)).toBeNull();
    expect(world.calls()).toBe(0);
  });

  it('of ten tokens under limits far away makes one call a second, and lets nobody wait after the first request', async () => {
    const a = world.process('a');
    const subjects = Array.from({ length: 10 }, () => limited([limit(10_000_000)], [limit(10_000_000)]));
    for (const subject of subjects) expect(await use(a, subject)).toBe('charged');
    world.calls();
    const [seconds, each] = [50, 200];
    for (let second = 0; second < seconds; second++) {
      for (let i = 0; i < each; i++) {
        for (const subject of subjects) {
          const charged = a.charge(subject, 1, asker);
          expect(charged).not.toBeInstanceOf(Promise);
          if (charged !== null && 'kind' in charged && charged.kind === 'charged') charged.spend();
        }
      }
      await world.second();
    }
    // The rolls are counted too.
    expect(world.calls('')).toBeLessThanOrEqual(seconds + 200);
  });

  it('gives back what lies idle, and is asked for nothing afterwards', async () => {
    const [a, subject] = [world.process('a'), limited([limit(100)])];
    expect(await use(a, subject)).toBe('charged');
    expect((await remaining(subject)).leased).toBeGreaterThan(0);
    for (let i = 0; i < 8; i++) await world.second();
    expect(await remaining(subject)).toMatchObject({ spent: 1, leased: 0, remaining: 99 });
    world.calls();
    for (let i = 0; i < 8; i++) await world.second();
    expect(world.calls()).toBe(0);
    expect(await use(a, subject)).toBe('charged');
  });

  it('reports and gives back everything when it ends', async () => {
    const [a, subject] = [world.process('a'), limited([limit(100)])];
    await passes(a, subject, 7);
    const held = a.charge(subject, 2, asker);
    expect(held).toMatchObject({ kind: 'charged' });
    if (held !== null && 'kind' in held && held.kind === 'charged') held.refund();
    await a.stop();
    expect(await remaining(subject)).toMatchObject({ spent: 7, leased: 0, burned: 0, remaining: 93 });
  });
});

describe('all of a limit', () => {
  it('passes, and not one more, whoever asks at the same time', async () => {
    const [a, subject] = [world.process('a'), limited([limit(1000)])];
    const pending = Array.from({ length: 5000 }, () => a.charge(subject, 1, asker));
    await world.settled();
    for (let i = 0; i < 40; i++) await world.settled();
    const outcomes = await Promise.all(pending);
    const charged = outcomes.filter(outcome => outcome?.kind === 'charged');
    expect(charged.length).toBe(1000);
    expect(outcomes.filter(outcome => outcome?.kind === 'refused').length).toBe(4000);
    for (const outcome of charged) if (outcome?.kind === 'charged') outcome.spend();
    await a.flush();
    expect(await remaining(subject)).toMatchObject({ spent: 1000, leased: 0, remaining: 0 });
  });

  it('is refused without asking again, until the window ends', async () => {
    const [a, subject] = [world.process('a'), limited([limit(2, { per: '1m' })])];
    expect(await passes(a, subject, 3)).toBe(2);
    world.calls();
    for (let i = 0; i < 100; i++)
      expect(a.charge(subject, 1, asker)).toMatchObject({ kind: 'refused', retryAfter: 60 });
    await world.settled();
    expect(world.calls()).toBe(0);
    world.clock.advance(60_000);
    expect(await passes(a, subject, 3)).toBe(2);
  });

  it('comes to whoever asks, from processes that hold units and do not use them', async () => {
    const [a, b, subject] = [world.process('a'), world.process('b'), limited([limit(100)])];
    expect(await use(a, subject)).toBe('charged');
    expect(await passes(b, subject, 150)).toBe(99);
    await world.second();
    expect(await remaining(subject)).toMatchObject({ spent: 100, leased: 0, remaining: 0 });
    expect(await use(a, subject)).toBe('refused');
  });

  it('is waited for, not refused, while a live process has not said whether it uses its units', async () => {
    const [a, b, subject] = [world.process('a'), world.process('b'), limited([limit(8)])];
    expect(await use(a, subject)).toBe('charged');
    // It hears of nothing.
    world.deafen('a');
    const outcome = { kind: 'none' };
    expect(await passes(b, subject, 6)).toBe(6);
    const pending = Promise.resolve(b.charge(subject, 3, asker)).then(done => Object.assign(outcome, done));
    await world.settled();
    expect(outcome.kind).toBe('none');
    await b.stop();
    await pending;
  });

  it('does not wait for one that has gone: its units are burned, which is told', async () => {
    const [a, b, subject] = [world.process('a'), world.process('b'), limited([limit(100)])];
    expect(await use(a, subject)).toBe('charged');
    const { leased } = await remaining(subject);
    world.deafen('a');
    world.live.delete('a');
    world.clock.advance(1);
    let refused = false;
    const passed: string[] = [];
    for (let i = 0; i < 120 && !refused; i++) {
      passed.push(await use(b, subject));
      refused = passed.at(-1) === 'refused';
    }
    expect(refused).toBe(true);
    expect(passed.filter(kind => kind === 'charged').length).toBe(100 - leased);
    await world.second([b]);
    // It never said that it had spent one of them.
    expect(await remaining(subject)).toMatchObject({ burned: leased, spent: 100 - leased, remaining: 0 });
    expect(b.counts.burned).toBe(leased);
    expect(world.warnings.join()).toContain('burned');
  });

  it('burns units of one that has gone within seconds, though nobody is dry, and makes no call for that', async () => {
    const [a, b, subject] = [world.process('a'), world.process('b'), limited([limit(1_000_000)])];
    expect(await use(a, subject)).toBe('charged');
    for (let i = 0; i < 3; i++) {
      expect(await use(b, subject)).toBe('charged');
      await world.second([a, b]);
    }
    expect(b.counts.burned).toBe(0);
    world.live.delete('a');
    world.calls();
    const seconds = 12;
    for (let i = 0; i < seconds; i++) {
      expect(await use(b, subject)).toBe('charged');
      await world.second([b]);
    }
    expect(world.ledger.calls.filter(call => call === 'exchange').length).toBeLessThanOrEqual(seconds);
    expect(world.calls('roll')).toBeLessThanOrEqual(2);
    expect(b.counts.burned).toBeGreaterThan(0);
    expect(await remaining(subject)).toMatchObject({ burned: b.counts.burned });
    expect(world.warnings.join()).toContain('burned');
  });

  it('that has taken the place of another burns what that one held', async () => {
    const [a, subject] = [world.process('a'), limited([limit(1_000_000)])];
    expect(await use(a, subject)).toBe('charged');
    world.live.delete('a');
    world.clock.advance(1);
    const b = world.process('b');
    for (let i = 0; i < 3; i++) {
      expect(await use(b, subject)).toBe('charged');
      await world.second([b]);
    }
    expect(b.counts.burned).toBeGreaterThan(0);
    // It was only slow: what it held is its own again.
    world.live.add('a');
    await world.second();
    expect(await remaining(subject)).toMatchObject({ burned: 0 });
  });
});

describe('a window', () => {
  const perMinute = () => limited([limit(5, { per: '1m' })]);

  it('lets its units pass up to its last moment, and the next one its own from its first', async () => {
    const [a, b, subject] = [world.process('a'), world.process('b'), perMinute()];
    world.clock.advance(57_000);
    expect(await passes(a, subject, 2)).toBe(2);
    await world.second();
    await world.second();
    world.clock.advance(999);
    expect((await passes(a, subject, 3)) + (await passes(b, subject, 3))).toBe(3);
    world.clock.advance(1);
    expect((await passes(a, subject, 4)) + (await passes(b, subject, 4))).toBe(5);
  });

  it('does not begin again when clocks are set back by five seconds', async () => {
    const [a, b, subject] = [world.process('a'), world.process('b'), perMinute()];
    world.clock.advance(2000);
    expect(await passes(a, subject, 6)).toBe(5);
    world.clock.stepWall(-5000);
    expect((await passes(a, subject, 3)) + (await passes(b, subject, 3))).toBe(0);
    await world.second();
    expect((await passes(a, subject, 3)) + (await passes(b, subject, 3))).toBe(0);
    world.clock.advance(70_000);
    expect((await passes(a, subject, 3)) + (await passes(b, subject, 3))).toBe(5);
  });

  it('is left for the one that clocks are set forward to, by an hour', async () => {
    const [a, b, subject] = [world.process('a'), world.process('b'), perMinute()];
    expect(await passes(a, subject, 6)).toBe(5);
    world.clock.stepWall(3_600_000);
    expect((await passes(a, subject, 4)) + (await passes(b, subject, 4))).toBe(5);
  });

  it('that has ended takes no units back of requests that end later', async () => {
    const [a, subject] = [world.process('a'), perMinute()];
    const pending = a.charge(subject, 2, asker);
    await world.settled();
    const held = await pending;
    world.clock.advance(60_000);
    expect(await passes(a, subject, 6)).toBe(5);
    if (held?.kind === 'charged') held.refund();
    for (let i = 0; i < 3; i++) await world.second();
    expect(await use(a, subject)).toBe('refused');
    expect(await remaining(subject)).toMatchObject({ spent: 5, leased: 0, remaining: 0 });
  });
});

describe('several limits', () => {
  it('are charged together or not at all, and asked for in one call', async () => {
    const [a, subject] = [world.process('a'), limited([limit(5000)], [limit(4000, { name: 'all' })])];
    const pending = a.charge(subject, 1, asker);
    await world.settled();
    expect(await pending).toMatchObject({ kind: 'charged' });
    expect(world.calls()).toBe(1);
  });

  it('take nothing of one where the other refuses', async () => {
    const [a, subject] = [world.process('a'), limited([limit(5)], [limit(3, { name: 'all' })])];
    expect(await passes(a, subject, 5)).toBe(3);
    await a.flush();
    const { id, limits } = subject.account!;
    const [ofAccount] = await world.ledger.read({ kind: 'account', id }, 1, limits);
    expect(ofAccount).toMatchObject({ spent: 3, remaining: 0 });
    expect((await remaining(subject)).spent).toBe(3);
  });

  it('of which the last refuses leave nothing taken of the others', async () => {
    const owner = account('shared', [limit(4, { name: 'all' })]);
    const a = world.process('a');
    const [one, two] = [subjectWith('one', [limit(50)], owner), subjectWith('two', [limit(50)], owner)];
    expect(await passes(a, one, 4)).toBe(4);
    expect(await passes(a, two, 30)).toBe(0);
    for (let i = 0; i < 8; i++) await world.second();
    expect(await remaining(two)).toMatchObject({ spent: 0, leased: 0, remaining: 50 });
  });
});

describe('an outage', () => {
  it('is booked whole when it comes again to a token that was forgotten since', async () => {
    const [a, subject] = [world.process('a', { outage: 'open' }), limited([limit(100)])];
    for (const booked of [5, 10, 15]) {
      world.ledger.fate = 'lost';
      expect(await use(a, subject, 5)).toBe('charged');
      world.ledger.fate = 'answered';
      for (let seconds = 0; seconds < 30; seconds++) await world.second();
      expect(await remaining(subject)).toMatchObject({ spent: booked, leased: 0 });
    }
    expect(a.counts.excess.outage).toBe(15);
  });

  it('is lived through on what is held; what is not held is unavailable, at once', async () => {
    const [a, subject, other] = [world.process('a'), limited([limit(1000)]), limited([limit(1000)])];
    expect(await use(a, subject)).toBe('charged');
    world.ledger.fate = 'lost';
    expect(await use(a, subject)).toBe('charged');
    expect(await use(a, other)).toBe('unavailable');
    world.ledger.fate = 'answered';
    expect(await use(a, other)).toBe('charged');
  });

  it('where limits are open lets pass, counts, and books it when the store is back', async () => {
    const [a, subject] = [world.process('a', { outage: 'open' }), limited([limit(10)])];
    world.ledger.fate = 'lost';
    expect(await passes(a, subject, 25)).toBe(25);
    expect(a.counts.excess.outage).toBe(25);
    world.ledger.fate = 'answered';
    await world.second();
    expect(await use(a, subject)).toBe('refused');
    expect(await remaining(subject)).toMatchObject({ spent: 25, remaining: 0 });
  });

  it('that hides an answer loses no unit and charges none twice', async () => {
    const [a, subject] = [world.process('a'), limited([limit(40)])];
    for (let round = 0; round < 10; round++) {
      world.ledger.fate = 'answer lost';
      await use(a, subject);
      world.ledger.fate = 'answered';
      await use(a, subject);
    }
    await passes(a, subject, 60);
    await world.second();
    expect(await remaining(subject)).toMatchObject({ spent: 40, leased: 0, remaining: 0 });
  });

  it('after which the store has lost what it said: nothing is taken for five seconds, and all is said again', async () => {
    const [a, subject] = [world.process('a'), limited([limit(10)])];
    expect(await passes(a, subject, 4)).toBe(4);
    world.ledger.forget();
    a.rolledBack();
    expect(await use(a, limited([limit(5)]))).toBe('unavailable');
    await world.settled();
    for (let i = 0; i < 6; i++) await world.second();
    expect(await passes(a, subject, 20)).toBe(6);
    expect(await remaining(subject)).toMatchObject({ spent: 10, remaining: 0 });
  });
});

describe('a ledger that has lost grants', () => {
  /** One process has 80 of 100 units spent and reported, and the store has forgotten it. */
  async function loss(outage: 'closed' | 'open') {
    const [a, b, subject] = [world.process('a'), world.process('b', { outage }), limited([limit(100)])];
    expect(await passes(a, subject, 80)).toBe(80);
    await world.second();
    expect(await remaining(subject)).toMatchObject({ spent: 80 });
    world.ledger.forget();
    return { a, b, subject };
  }

  it('is asked for nothing by a process that knows it, before its holder has spoken', async () => {
    const { a, b, subject } = await loss('closed');
    b.rolledBack();
    expect(await passes(b, subject, 120)).toBe(0);
    await world.second([b]);
    expect(await passes(b, subject, 120)).toBe(0);
    a.rolledBack();
    for (let i = 0; i < 7; i++) await world.second();
    expect((await passes(a, subject, 100)) + (await passes(b, subject, 100))).toBe(20);
    expect(await remaining(subject)).toMatchObject({ spent: 100, remaining: 0 });
  });

  it('is as good as away: whoever needs units is told so at once, and it is asked once a second', async () => {
    const { a, b, subject } = await loss('closed');
    a.rolledBack();
    await world.settled();
    expect(await use(b, subject)).toBe('unavailable');
    world.calls();
    expect(await passes(b, subject, 50)).toBe(0);
    expect(world.calls()).toBe(0);
    await world.second([b]);
    expect(await use(b, subject)).toBe('unavailable');
    for (let i = 0; i < 7; i++) await world.second();
    expect(await passes(b, subject, 100)).toBe(20);
  });

  it('where limits are open lets pass, counts, and is told', async () => {
    const { a, b, subject } = await loss('open');
    a.rolledBack();
    await world.settled();
    expect(await passes(b, subject, 5)).toBe(5);
    expect(b.counts.excess.outage).toBe(5);
    for (let i = 0; i < 7; i++) await world.second();
    expect(await remaining(subject)).toMatchObject({ spent: 85 });
  });
});

describe('a process that was stopped for longer than its units live', () => {
  it('asks before it spends', async () => {
    const [a, subject] = [world.process('a'), limited([limit(10, { per: '1s', algorithm: 'bucket' })])];
    expect(await use(a, subject)).toBe('charged');
    world.calls();
    // One clock stands while a machine sleeps.
    world.clock.stepWall(3000);
    expect(await use(a, subject)).toBe('charged');
    expect(world.calls()).toBeGreaterThan(0);
  });
});

describe('whoever waits', () => {
  it('is told that it takes too long, and has taken nothing', async () => {
    const [a, b, subject] = [world.process('a'), world.process('b'), limited([limit(8)])];
    expect(await use(a, subject)).toBe('charged');
    world.deafen('a');
    const pending = b.charge(subject, 7, asker);
    await world.settled();
    world.clock.advance(1001);
    expect(await pending).toEqual({ kind: 'busy' });
    await b.stop();
    expect((await remaining(subject)).spent).toBe(0);
  });

  it('is one of so many that they do not keep those of other tokens out', async () => {
    const [a, subject] = [world.process('a'), limited([limit(1_000_000)])];
    const pending = Array.from({ length: 16_384 }, () => a.charge(subject, 1, asker));
    expect(a.charge(subject, 1, asker)).toEqual({ kind: 'busy' });
    expect(a.charge(limited([limit(5)]), 1, asker)).toBeInstanceOf(Promise);
    world.ledger.fate = 'lost';
    await world.settled();
    expect(new Set((await Promise.all(pending)).map(outcome => outcome?.kind))).toEqual(new Set(['unavailable']));
    world.ledger.fate = 'answered';
  });

  it('is forgotten when the client has gone', async () => {
    const [a, b, subject] = [world.process('a'), world.process('b'), limited([limit(8)])];
    expect(await use(a, subject)).toBe('charged');
    world.deafen('a');
    const gone = { answered: false };
    const pending = b.charge(subject, 7, gone);
    await world.settled();
    gone.answered = true;
    expect(await pending).toEqual({ kind: 'busy' });
  });
});

describe('definitions', () => {
  it('that are newer hold for requests to come, and an older one that comes late changes nothing', async () => {
    const a = world.process('a');
    const old = subjectWith('t', [limit(2)], null, 1);
    const next = subjectWith('t', [limit(5)], null, 2);
    expect(await passes(a, old, 3)).toBe(2);
    expect(await passes(a, next, 9)).toBe(3);
    expect(await use(a, subjectWith('t', [limit(50)], null, 1))).toBe('refused');
  });

  it('that are others now let nothing pass where that has not been heard of, and who waits is held to them when it is', async () => {
    const a = world.process('a');
    for (const held of [true, false]) {
      const old = limited([limit(1000, { per: '1d' })]);
      const { id } = old.token;
      if (held) expect(await use(a, old)).toBe('charged');
      const next = limit(10, { per: '1h' });
      await world.ledger.define({ kind: 'token', id }, 2, [next]);
      for (let i = 0; i < 3; i++) {
        // What is held already may be spent until the store is spoken with.
        await world.second();
        const outcome = a.charge(old, 1000, asker);
        await world.settled();
        await world.second();
        expect(await outcome).toEqual({ kind: 'busy' });
      }
      const wait = [1000, 4, 4, 4].map(cost => a.charge(old, cost, asker));
      await world.settled();
      const rest = await passes(a, subjectWith(id, [next], null, 2), 20);
      const kinds = (await Promise.all(wait)).map(outcome => outcome?.kind);
      expect(kinds).toEqual(['refused', 'charged', 'charged', 'refused']);
      expect(rest).toBe(2);
      expect(world.calls()).toBeLessThan(40);
    }
  });

  it('that are gone charge nothing, and what was held goes back', async () => {
    const a = world.process('a');
    expect(await use(a, subjectWith('t', [limit(100)], null, 1))).toBe('charged');
    const none = subjectWith('t', [limit(100, { name: 'other' })], null, 2);
    expect(await use(a, none)).toBe('charged');
    await world.second();
    const [state] = await world.ledger.read({ kind: 'token', id: 't' }, 2, [limit(100, { name: 'other' })]);
    expect(state).toMatchObject({ spent: 1 });
    expect(a.counts.outstanding).toBeGreaterThan(0);
  });
});

describe('thresholds', () => {
  it('are told once in a window, by one of the processes', async () => {
    const [a, b, subject] = [world.process('a'), world.process('b'), limited([limit(50, { per: '1h' })])];
    for (let i = 0; i < 25; i++) {
      await use(a, subject);
      await use(b, subject);
      if (i % 5 === 0) await world.second();
    }
    for (let i = 0; i < 3; i++) await world.second();
    expect(world.passed.map(({ percent }) => percent).toSorted()).toEqual([100, 80, 90]);
    expect(world.passed[0]).toMatchObject({ limit: 'n', max: 50, subject: { kind: 'token', id: subject.token.id } });
  });
});

describe("the store's clock", () => {
  it('is told of when it is behind by more than a second', async () => {
    const [a, subject] = [world.process('a'), limited([limit(100, { per: '1h' })])];
    const next = async (): Promise<void> => {
      expect(await use(a, subject)).toBe('charged');
      await world.second();
    };
    await next();
    world.clock.stepWall(-1500);
    await next();
    expect(a.counts.clockBehindMs).toBe(500);
    expect(world.warnings).toEqual([]);
    world.clock.stepWall(-5000);
    await next();
    expect(a.counts.clockBehindMs).toBeGreaterThan(1000);
    expect(world.warnings.join()).toContain('clock is behind');
  });
});

describe('a process that may not hear notices', () => {
  it('is warned of, and remembers a refusal for no longer than a second', async () => {
    const [a, b, subject] = [world.process('a'), world.process('b'), limited([limit(1)])];
    world.ledger.tell({ kind: 'deaf' });
    expect(world.warnings.join()).toContain('cannot be heard');
    world.deafen('b');
    const charged = a.charge(subject, 1, asker);
    await world.settled();
    const taken = await charged;
    expect(await use(b, subject)).toBe('refused');
    if (taken?.kind === 'charged') taken.refund();
    await world.second([a]);
    expect(await use(b, subject)).toBe('refused');
    await world.second();
    expect(await use(b, subject)).toBe('charged');
  });
});
