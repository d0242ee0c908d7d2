import { getEventListeners } from 'node:events';
import { afterEach, describe, expect, test } from 'vitest';
import { ageOf, FeedFollower, instantOf } from '../../../src/cache/freshness.ts';
import { StoreUnavailable } from '../../../src/errors.ts';
import type { ChangeFeed, Cursor } from '../../../src/ports/change-feed.ts';
import type { FeedEvent } from '../../../src/ports/token-store.ts';
import { HeldFeed, settled } from '../../support/held-store.ts';
import { ManualClock } from '../../support/manual-clock.ts';

const boundMs = 3000;
const at = (seq: number, epoch = 'e1'): Cursor => ({ epoch, seq });
const event = (seq: number): FeedEvent => ({
  seq,
  at: 0,
  kind: 'token',
  id: `t${seq}`,
  version: 1,
  digests: [],
  awaited: false,
});

const running: FeedFollower[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map(follower => follower.stop()));
});

function follow() {
  const clock = new ManualClock();
  const feed = new HeldFeed();
  const applied: number[] = [];
  const proofs: number[] = [];
  /** Generations at which the listener heard that it may have missed something. */
  const missed: number[] = [];
  const follower: FeedFollower = new FeedFollower(
    feed,
    {
      apply: events => {
        applied.push(...events.map(({ seq }) => seq));
        proofs.push(follower.proven.monotonic);
      },
      missed: () => {
        missed.push(follower.generation);
      },
    },
    clock,
    boundMs,
    null,
    never,
  );
  running.push(follower);
  follower.start();
  return { clock, feed, follower, applied, proofs, missed };
}

/** A time that does not come. */
const never = (): AbortSignal => new AbortController().signal;

/** Follows from sequence 7 on, with a first read under way. */
async function followed() {
  const parts = follow();
  (await parts.feed.heads.next()).answer(at(7));
  return { ...parts, read: await parts.feed.reads.next() };
}

test('an age is the greater of both clocks, so that neither a step nor a pause makes anything young', () => {
  const clock = new ManualClock();
  const then = instantOf(clock);
  clock.advance(5);
  expect(ageOf(then, instantOf(clock))).toBe(5);
  clock.stepWall(100);
  expect(ageOf(then, instantOf(clock))).toBe(105);
  clock.stepWall(-1000);
  expect(ageOf(then, instantOf(clock))).toBe(5);
});

describe('a follower', () => {
  test('proves nothing before the feed answers', async () => {
    const { feed, follower } = follow();
    expect(follower.lagSeconds).toBe(Number.POSITIVE_INFINITY);
    expect(follower.generation).toBe(0);
    const head = await feed.heads.next();
    expect(follower.lagSeconds).toBe(Number.POSITIVE_INFINITY);
    head.answer(at(7));
  });

  test('begins where the feed ends, in a generation of its own, proved as of the asking', async () => {
    const { clock, feed, follower } = follow();
    const head = await feed.heads.next();
    clock.advance(100);
    head.answer(at(7));
    const read = await feed.reads.next();
    expect(follower.generation).toBe(1);
    expect(follower.lagSeconds).toBe(0.1);
    expect(read.question.cursor).toEqual(at(7));
  });

  test('waits for less than a third of the bound, so that a proof never runs out for want of changes', async () => {
    const { read } = await followed();
    expect(read.question.waitMs).toBeGreaterThan(0);
    expect(read.question.waitMs).toBeLessThan(boundMs / 3);
  });

  test('waits by a new bound from the next read on', async () => {
    const { feed, follower, read } = await followed();
    follower.configure(600);
    read.answer({ kind: 'events', events: [], cursor: at(7), complete: true });
    expect((await feed.reads.next()).question.waitMs).toBeLessThan(200);
  });

  test('takes an empty answer for a proof as of its sending, not of its arrival', async () => {
    const { clock, feed, follower, read } = await followed();
    clock.advance(900);
    read.answer({ kind: 'events', events: [], cursor: at(7), complete: true });
    await feed.reads.next();
    expect(follower.lagSeconds).toBe(0.9);
    expect(follower.generation).toBe(1);
  });

  test('gives up a read that takes a third of the bound, and asks again', async () => {
    const feed = new HeldFeed();
    const asked: number[] = [];
    const given: AbortController[] = [];
    const late = (ms: number): AbortSignal => {
      asked.push(ms);
      given.push(new AbortController());
      return given.at(-1)!.signal;
    };
    const follower = new FeedFollower(
      feed,
      { apply: () => {}, missed: () => {} },
      new ManualClock(),
      boundMs,
      null,
      late,
    );
    running.push(follower);
    follower.start();
    (await feed.heads.next()).answer(at(7));
    const { question } = await feed.reads.next();
    expect(asked).toEqual([Math.ceil(boundMs / 3)]);
    given[0]!.abort();
    expect((await feed.reads.next()).question).toEqual(question);
  });

  test('takes no part of the news for a proof', async () => {
    const { clock, feed, applied, follower, read } = await followed();
    clock.advance(900);
    read.answer({ kind: 'events', events: [event(8)], cursor: at(8), complete: false });
    await feed.reads.next();
    expect(applied).toEqual([8]);
    expect(follower.lagSeconds).toBe(0.9);
    expect(follower.proven.monotonic).toBe(0);
  });

  test('applies events before they prove anything, and reads on behind them', async () => {
    const { clock, feed, applied, proofs, follower, read } = await followed();
    clock.advance(10);
    read.answer({ kind: 'events', events: [event(8), event(9)], cursor: at(9), complete: true });
    const next = await feed.reads.next();
    expect(applied).toEqual([8, 9]);
    expect(next.question.cursor).toEqual(at(9));
    clock.advance(5);
    next.answer({ kind: 'events', events: [event(10)], cursor: at(10), complete: true });
    await feed.reads.next();
    expect(applied).toEqual([8, 9, 10]);
    // While it was applied the proof was still the one of the read before.
    expect(proofs).toEqual([0, 0]);
    expect(follower.proven.monotonic).toBe(10);
  });

  test('tells what it proved before a gap from what it proves after it', async () => {
    const { feed, applied, follower, missed, read } = await followed();
    read.answer({ kind: 'gap', cursor: at(2, 'e2') });
    const next = await feed.reads.next();
    expect([follower.generation, follower.gaps, missed]).toEqual([2, 1, [1, 2]]);
    expect(next.question.cursor).toEqual(at(2, 'e2'));
    expect(applied).toEqual([]);
  });

  test('keeps its place and its proof through an outage', async () => {
    const { clock, feed, follower, read } = await followed();
    clock.advance(1000);
    read.fail(new StoreUnavailable('gone'));
    const again = await feed.reads.next();
    expect(again.question.cursor).toEqual(at(7));
    expect(follower.lagSeconds).toBe(1);
    again.answer({ kind: 'events', events: [event(8)], cursor: at(8), complete: true });
    await feed.reads.next();
    expect(follower.lagSeconds).toBe(0);
    expect(follower.generation).toBe(1);
  });

  test('asks for the head again when it could not be had', async () => {
    const { feed, follower } = follow();
    (await feed.heads.next()).fail(new StoreUnavailable('gone'));
    (await feed.heads.next()).answer(at(3));
    expect((await feed.reads.next()).question.cursor).toEqual(at(3));
    expect(follower.generation).toBe(1);
  });

  test('an applier that fails proves nothing, and the events come again', async () => {
    const feed = new HeldFeed();
    let failures = 1;
    const applied: number[] = [];
    const apply = (events: readonly FeedEvent[]): void => {
      if (failures-- > 0) throw new Error('a fault of ours');
      applied.push(...events.map(({ seq }) => seq));
    };
    const follower = new FeedFollower(feed, { apply, missed: () => {} }, new ManualClock(), boundMs, null, never);
    running.push(follower);
    follower.start();
    (await feed.heads.next()).answer(at(7));
    (await feed.reads.next()).answer({ kind: 'events', events: [event(8)], cursor: at(8), complete: true });
    const again = await feed.reads.next();
    expect(again.question.cursor).toEqual(at(7));
    again.answer({ kind: 'events', events: [event(8)], cursor: at(8), complete: true });
    await feed.reads.next();
    expect(applied).toEqual([8]);
  });

  test('leaves nothing behind of an outage, however often it asks', async () => {
    const signals: AbortSignal[] = [];
    const enough = Promise.withResolvers<void>();
    const feed: ChangeFeed = {
      mark: () => Promise.resolve(''),
      head: () => Promise.resolve(at(7)),
      since: () => Promise.reject(new StoreUnavailable('gone')),
      read: (_cursor, _waitMs, signal) => {
        if (signals.push(signal!) === 3) enough.resolve();
        return Promise.reject(new StoreUnavailable('gone'));
      },
    };
    const follower = new FeedFollower(
      feed,
      { apply: () => {}, missed: () => {} },
      new ManualClock(),
      boundMs,
      null,
      never,
    );
    running.push(follower);
    follower.start();
    await enough.promise;
    await settled();
    // One for the pause that is under way.
    expect(getEventListeners(signals[0]!, 'abort').length).toBeLessThanOrEqual(1);
  });

  test('starts once, and stops with a read under way', async () => {
    const { feed, follower, applied, read } = await followed();
    follower.start();
    await settled();
    expect([feed.heads.count, feed.reads.count]).toEqual([1, 1]);
    await follower.stop();
    read.answer({ kind: 'events', events: [event(8)], cursor: at(8), complete: true });
    await settled();
    expect([applied, feed.reads.count]).toEqual([[], 1]);
  });
});
