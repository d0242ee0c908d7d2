import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { Refusal, StoreUnavailable } from '../../../src/errors.ts';
import { Acknowledgements, type Applied, checkPatience, madeBefore } from '../../../src/manage/acknowledgement.ts';
import type { Cursor } from '../../../src/ports/change-feed.ts';
import type { Heartbeat, ProcessRegistry, Roll } from '../../../src/ports/process-registry.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const place: Applied = { position: { epoch: 'e', seq: 7 }, held: true };
const beat = (process: string, seq: number, more: Partial<Heartbeat> = {}): Heartbeat => ({
  process,
  applied: { epoch: 'e', seq },
  cutOffMs: 10_000,
  ...more,
});

let clock: ManualClock;
let pauses: number[];
let processes: readonly Heartbeat[];
let roll: () => Promise<Roll>;
let head: () => Promise<Cursor>;
/** What happens while time passes. */
let meanwhile: () => void;
let acknowledgements: Acknowledgements;
beforeEach(() => {
  clock = new ManualClock();
  pauses = [];
  processes = [];
  roll = () => Promise.resolve({ now: 1_000_000 + clock.monotonic(), processes });
  head = () => Promise.reject(new Error('not asked for'));
  meanwhile = () => {};
  acknowledgements = new Acknowledgements({
    registry: { roll: () => roll() } as ProcessRegistry,
    feed: { head: () => head() },
    clock,
    process: 'self',
    pause: async ms => {
      pauses.push(ms);
      clock.advance(ms);
      meanwhile();
    },
  });
});
const since = (): number => 1_000_000 + clock.monotonic();

describe('who has applied a change', () => {
  test('this process has, whatever it last said, and so has whoever came as far', async () => {
    processes = [beat('self', 1), beat('c', 7), beat('b', 9)];
    const answer = { acknowledged: ['self', 'b', 'c'], pending: [], complete: true };
    expect(await acknowledgements.of(place, {})).toEqual(answer);
    processes = [];
    expect(await acknowledgements.of(place, {})).toEqual({ ...answer, acknowledged: ['self'] });
  });

  test('a change that does not hold here for good is asked about here, too', async () => {
    const change = { ...place, held: false };
    expect(await acknowledgements.of(change, {})).toEqual({ acknowledged: [], pending: [], complete: false });
    processes = [beat('self', 6), beat('b', 7)];
    expect(await acknowledgements.of(change, {})).toMatchObject({
      acknowledged: ['b'],
      pending: [{ process: 'self' }],
    });
    processes = [beat('self', 7)];
    expect(await acknowledgements.of(change, {})).toMatchObject({ acknowledged: ['self'], complete: true });
  });

  test('who has not is pending, for the cut-off bound of its own after the change', async () => {
    processes = [beat('b', 6), beat('a', 6, { cutOffMs: 500 }), beat('c', 7)];
    const now = since();
    expect(await acknowledgements.of(place, {})).toEqual({
      acknowledged: ['self', 'c'],
      pending: [
        { process: 'a', mayServeUntil: now + 500 },
        { process: 'b', mayServeUntil: now + 10_000 },
      ],
      complete: false,
    });
    expect(pauses).toEqual([]);
  });

  test('a position of another epoch is none, however far it is', async () => {
    processes = [
      beat('a', 99, { applied: { epoch: 'd', seq: 99 } }),
      beat('b', 99, { applied: { epoch: '', seq: 99 } }),
    ];
    expect((await acknowledgements.of(place, {})).pending.map(({ process }) => process)).toEqual(['a', 'b']);
  });

  test('a bound beyond the last instant that can be written ends there', async () => {
    processes = [beat('a', 0, { cutOffMs: Number.MAX_SAFE_INTEGER })];
    const { pending } = await acknowledgements.of(place, {});
    expect(new Date(pending[0]!.mayServeUntil).toISOString()).toBe('9999-12-31T23:59:59.999Z');
  });

  test('of a change that was made before, the end of the feed is far enough', async () => {
    head = () => Promise.resolve({ epoch: 'e', seq: 8 });
    processes = [beat('a', 7), beat('b', 8)];
    expect(await acknowledgements.of(madeBefore, {})).toMatchObject({
      acknowledged: ['self', 'b'],
      pending: [{ process: 'a' }],
    });
  });
});

describe('waiting', () => {
  test('looks again in small growing steps, and ends with the last who has applied it', async () => {
    processes = [beat('a', 6)];
    meanwhile = () => {
      if (pauses.length === 8) processes = [beat('a', 7)];
    };
    const answer = await acknowledgements.of(place, { waitMs: 30_000 });
    expect(answer).toMatchObject({ acknowledged: ['self', 'a'], complete: true });
    expect(pauses).toEqual([5, 10, 15, 20, 25, 25, 25, 25]);
  });

  test('ends with its time, and says until when from its beginning on', async () => {
    processes = [beat('a', 6)];
    const now = since();
    const answer = await acknowledgements.of(place, { waitMs: 100 });
    expect(pauses.reduce((sum, ms) => sum + ms)).toBe(100);
    expect(answer.pending).toEqual([{ process: 'a', mayServeUntil: now + 10_000 }]);
  });

  test('ends when the last who has not is live no more: it serves nothing', async () => {
    processes = [beat('a', 6)];
    meanwhile = () => {
      processes = [];
    };
    const answer = await acknowledgements.of(place, { waitMs: 1000 });
    expect(answer).toEqual({ acknowledged: ['self'], pending: [], complete: true });
  });

  test('ends when nobody waits any more', async () => {
    processes = [beat('a', 6)];
    const client = new AbortController();
    meanwhile = () => client.abort();
    expect(await acknowledgements.of(place, { waitMs: 30_000, over: client.signal })).toMatchObject({
      complete: false,
    });
    expect(pauses).toEqual([5]);
  });

  test('longer than half a minute is refused', () => {
    checkPatience({ waitMs: 30_000 });
    expect(() => checkPatience({ waitMs: 30_001 })).toThrow(Refusal);
  });
});

describe('a registry that does not answer', () => {
  const away = () => Promise.reject(new StoreUnavailable('away'));

  test('leaves nothing known but this process, and is no failure: the change is made', async () => {
    roll = away;
    const nothing = { acknowledged: ['self'], pending: [], complete: false };
    expect(await acknowledgements.of(place, {})).toEqual(nothing);
    head = away;
    expect(await acknowledgements.of(madeBefore, { waitMs: 50 })).toEqual(nothing);
  });

  test('is asked again while there is time; what it said last counts', async () => {
    roll = away;
    meanwhile = () => {
      roll = pauses.length === 2 ? () => Promise.resolve({ now: since(), processes: [beat('a', 6)] }) : away;
    };
    const answer = await acknowledgements.of(place, { waitMs: 100 });
    expect(answer).toMatchObject({ pending: [{ process: 'a' }], complete: false });
  });

  test('a fault that is no outage is not hidden', async () => {
    roll = () => Promise.reject(new TypeError('a mistake'));
    await expect(acknowledgements.of(place, {})).rejects.toThrow('a mistake');
  });

  describe('at all', () => {
    beforeEach(() => void vi.useFakeTimers());
    afterEach(() => void vi.useRealTimers());

    test('is left alone after a second', async () => {
      roll = () => new Promise(() => {});
      const answer = acknowledgements.of(place, {});
      await vi.advanceTimersByTimeAsync(1000);
      expect(await answer).toEqual({ acknowledged: ['self'], pending: [], complete: false });
    });
  });
});

describe('many who wait', () => {
  test('share what they see: one look at a time, and none older than who gets it', async () => {
    const begun: number[] = [];
    const waiting: (() => void)[] = [];
    roll = () =>
      new Promise(resolve => {
        begun.push(waiting.length);
        waiting.push(() => resolve({ now: since(), processes: [] }));
      });
    const first = acknowledgements.of(place, {});
    await expect.poll(() => begun.length).toBe(1);
    const others = Promise.all(Array.from({ length: 50 }, () => acknowledgements.of(place, {})));
    // The look under way began before them.
    expect(begun).toHaveLength(1);
    clock.advance(5);
    waiting[0]!();
    await first;
    await expect.poll(() => begun.length).toBe(2);
    waiting[1]!();
    expect((await others).every(({ complete }) => complete)).toBe(true);
    expect(begun).toHaveLength(2);
  });
});
