import { getEventListeners } from 'node:events';
import { afterEach, describe, expect, test } from 'vitest';
import { never } from '../../../src/cache/freshness.ts';
import { Heartbeat, type Pace, passed } from '../../../src/cache/heartbeat.ts';
import type { Cursor } from '../../../src/ports/change-feed.ts';
import type { Heartbeat as Beat, ProcessRegistry } from '../../../src/ports/process-registry.ts';
import { HeldCalls, settled } from '../../support/held-store.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const pace: Pace = { boundMs: 3000, cutOffMs: 9000 };
const at = (seq: number): Cursor => ({ epoch: 'e', seq });

const running: Heartbeat[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map(heartbeat => heartbeat.stop(false)));
});

interface Pause {
  readonly ms: number;
  readonly end: () => void;
}

/** A heartbeat whose store answers, and whose time passes, when the test says so. */
function start(applied: Cursor | null = at(1)) {
  const clock = new ManualClock();
  const beats = new HeldCalls<Beat, 'taken' | 'refused'>();
  const signedOff: string[] = [];
  const registry: ProcessRegistry = {
    beat: beat => beats.ask(beat),
    signOff: async process => void signedOff.push(process),
    roll: () => Promise.reject(new Error('not asked')),
  };
  const state = { applied };
  const pauses: Pause[] = [];
  const after = (ms: number, signal: AbortSignal) =>
    new Promise<void>(end => {
      pauses.push({ ms, end });
      if (signal.aborted) end();
      signal.addEventListener('abort', () => end(), { once: true });
    });
  const heartbeat = new Heartbeat(registry, 'p1', () => state.applied, clock, pace, after);
  running.push(heartbeat);
  heartbeat.start();
  /** Lets the pause that the heartbeat is in be over. */
  const pass = async (ms: number): Promise<void> => {
    await settled();
    const pause = pauses.findLast(found => found.ms === ms);
    expect(pause).toBeDefined();
    clock.advance(ms);
    pause!.end();
  };
  return { clock, beats, heartbeat, signedOff, state, pauses, pass };
}

describe('a heartbeat', () => {
  test('says who lives, what it has applied and how long it may serve that by itself', async () => {
    const { beats } = start(at(7));
    expect((await beats.next()).question).toEqual({ process: 'p1', applied: at(7), cutOffMs: 9000 });
  });

  test('comes twice in a bound', async () => {
    const { beats, pass } = start();
    for (let i = 0; i < 3; i++) {
      (await beats.next()).answer('taken');
      await pass(1500);
    }
    await beats.next();
  });

  test('counts from when it was sent, not from when it was answered', async () => {
    const { beats, clock, heartbeat } = start();
    const beat = await beats.next();
    expect(heartbeat.answered).toEqual(never);
    clock.advance(700);
    beat.answer('taken');
    await heartbeat.begun;
    expect(clock.monotonic() - heartbeat.answered.monotonic).toBe(700);
  });

  test('that a store refuses which takes no writes from anybody is answered', async () => {
    const { beats, heartbeat } = start();
    (await beats.next()).answer('refused');
    await heartbeat.begun;
    expect(heartbeat.answered.monotonic).toBe(0);
  });

  test('that was refused is tried again soon: others see the process only once one is taken', async () => {
    const { beats, pass } = start();
    (await beats.next()).answer('refused');
    await pass(300);
    (await beats.next()).answer('taken');
    await pass(1500);
    await beats.next();
  });

  test('that fails is tried again soon, and nobody has seen the process', async () => {
    const { beats, heartbeat, pass } = start();
    (await beats.next()).fail(new Error('away'));
    await pass(300);
    await beats.next();
    expect(heartbeat.answered).toEqual(never);
  });

  test('that is not answered for a third of the bound is given up and sent again; its answer still counts', async () => {
    const { beats, heartbeat, pass } = start();
    const silent = await beats.next();
    await pass(1000);
    await pass(300);
    const second = await beats.next();
    silent.answer('taken');
    await heartbeat.begun;
    expect(heartbeat.answered.monotonic).toBe(0);
    second.answer('taken');
    await settled();
    expect(heartbeat.answered.monotonic).toBe(1300);
    // An older one that comes after it changes nothing.
  });

  test('says nothing before anything is known, and then at once', async () => {
    const { beats, heartbeat, state } = start(null);
    await settled();
    expect(beats.count).toBe(0);
    state.applied = at(1);
    heartbeat.soon();
    expect((await beats.next()).question.applied).toEqual(at(1));
  });

  test('comes at once when somebody waits, also for who began to wait while one was under way', async () => {
    const { beats, heartbeat, state } = start(at(1));
    const first = await beats.next();
    state.applied = at(2);
    heartbeat.soon();
    first.answer('taken');
    const second = await beats.next();
    expect(second.question.applied).toEqual(at(2));
    second.answer('taken');
    await settled();
    state.applied = at(3);
    heartbeat.soon();
    expect((await beats.next()).question.applied).toEqual(at(3));
  });

  test('tells of another pace at once', async () => {
    const { beats, clock, heartbeat } = start();
    (await beats.next()).answer('taken');
    await settled();
    clock.advance(1);
    expect(heartbeat.reckonedMs).toBe(9000);
    heartbeat.configure({ boundMs: 600, cutOffMs: 600 });
    const told = await beats.next();
    expect(told.question.cutOffMs).toBe(600);
    expect(heartbeat.reckonedMs).toBe(9000);
    clock.advance(1);
    told.answer('taken');
    await settled();
    expect(heartbeat.reckonedMs).toBe(600);
  });

  test('reckons with a longer time only when what was said of the shorter one has passed', async () => {
    const { beats, heartbeat, pass } = start();
    expect(heartbeat.reckonedMs).toBe(0);
    (await beats.next()).answer('taken');
    await heartbeat.begun;
    expect(heartbeat.reckonedMs).toBe(9000);
    heartbeat.configure({ boundMs: 3000, cutOffMs: 60_000 });
    (await beats.next()).answer('taken');
    for (let waited = 0; waited <= 9000; waited += 1500) {
      await settled();
      expect(heartbeat.reckonedMs).toBe(9000);
      await pass(1500);
      (await beats.next()).answer('taken');
    }
    await settled();
    expect(heartbeat.reckonedMs).toBe(60_000);
    heartbeat.configure({ boundMs: 3000, cutOffMs: 4000 });
    (await beats.next()).answer('taken');
    await settled();
    expect(heartbeat.reckonedMs).toBe(4000);
  });

  test('that was refused has not raised what others reckon with', async () => {
    const { beats, heartbeat, pass } = start();
    (await beats.next()).answer('taken');
    await settled();
    heartbeat.configure({ boundMs: 3000, cutOffMs: 60_000 });
    for (let waited = 0; waited <= 12_000; waited += 300) {
      (await beats.next()).answer('refused');
      await pass(300);
    }
    expect(heartbeat.reckonedMs).toBe(9000);
  });

  test('signs off when nothing is served any more, and else does not', async () => {
    const one = start();
    (await one.beats.next()).answer('taken');
    await one.heartbeat.stop(true);
    expect(one.signedOff).toEqual(['p1']);
    const other = start();
    (await other.beats.next()).answer('taken');
    await other.heartbeat.stop(false);
    expect(other.signedOff).toEqual([]);
  });
});

test('a pause leaves nothing behind on its signal, however it ends', async () => {
  const [whole, short] = [new AbortController(), new AbortController()];
  await passed(1, whole.signal);
  const ended = passed(60_000, short.signal);
  expect(getEventListeners(short.signal, 'abort')).toHaveLength(1);
  short.abort();
  await ended;
  await passed(60_000, short.signal);
  for (const { signal } of [whole, short]) expect(getEventListeners(signal, 'abort')).toEqual([]);
});
