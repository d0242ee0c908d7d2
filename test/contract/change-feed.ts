import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Cursor } from '../../src/ports/change-feed.ts';
import type { FeedEvent } from '../../src/ports/token-store.ts';
import { anAccount, anAudit, aRole, aToken, changed, made, type OpenStore, type TestedStore } from './harness.ts';

/** Longer than any test: a wait that only an event, an abort or the end of the store can end. */
const ages = 600_000;

/** What every adapter of the ChangeFeed port guarantees. */
/** A suite of its own, or its hooks would open a store for every test of the other contracts as well. */
export function changeFeedContract(name: string, open: OpenStore): void {
  describe(name, () => suite(name, open));
}

function suite(name: string, open: OpenStore): void {
  let store: TestedStore;
  beforeEach(async () => {
    store = await open();
  });
  afterEach(() => store.dispose());

  const create = async (id: string): Promise<FeedEvent> => {
    const outcome = await store.tokens.createToken(aToken(id), anAudit('create'), null);
    if (outcome.kind !== 'done') throw new Error(outcome.kind);
    return outcome.events[0]!;
  };
  /** Everything after a cursor. */
  const readAll = async (from: Cursor): Promise<FeedEvent[]> => {
    const events: FeedEvent[] = [];
    for (let cursor = from; ; ) {
      const answer = await store.feed.read(cursor, 0);
      if (answer.kind === 'gap') throw new Error('a gap');
      if (answer.events.length === 0) return events;
      events.push(...answer.events);
      cursor = answer.cursor;
    }
  };

  describe(`${name}: the change feed`, () => {
    test('a read at the end is empty and leaves the cursor where it was', async () => {
      await create('a');
      const head = await store.feed.head();
      expect(await store.feed.read(head, 0)).toEqual({ kind: 'events', events: [], cursor: head, complete: true });
    });

    test('what came after a position that somebody names is what a reader is told', async () => {
      const start = await store.feed.head();
      expect(await store.feed.since(start)).toEqual({ kind: 'events', events: [], cursor: start, complete: true });
      for (const id of ['a', 'b', 'c']) await create(id);
      for (const seq of [start.seq, start.seq + 2]) {
        const cursor = { ...start, seq };
        expect(await store.feed.since(cursor)).toEqual(await store.feed.read(cursor, 0));
      }
    });

    test('a position that never was is a gap, and nothing that the store has to answer for', async () => {
      await create('a');
      const head = await store.feed.head();
      for (const cursor of [
        { epoch: 'another', seq: 0 },
        { ...head, seq: head.seq + 1 },
        { ...head, seq: 999_999_999_999_999 },
      ]) {
        expect(await store.feed.since(cursor)).toEqual({ kind: 'gap', cursor: head });
      }
      expect(await store.feed.head()).toEqual(head);
      expect(await store.feed.read(head, 0)).toEqual({ kind: 'events', events: [], cursor: head, complete: true });
    });

    test('every mutation is one event, numbered without a gap, as its caller was told', async () => {
      const start = await store.feed.head();
      const told = await Promise.all(Array.from({ length: 50 }, (_, i) => create(`t${i}`)));
      const events = await readAll(start);
      expect(events.map(event => event.seq)).toEqual(events.map((_, i) => start.seq + 1 + i));
      expect(events).toEqual(told.toSorted((a, b) => a.seq - b.seq));
      expect(await store.feed.head()).toEqual({ epoch: start.epoch, seq: start.seq + 50 });
    });

    test('an event names kind, id, version and time, and the digests before and after', async () => {
      const start = await store.feed.head();
      const token = aToken('tok_1', { digest: 'd1' });
      await store.tokens.createToken(token, anAudit('create', { at: made + 1 }), null);
      const rotated = changed(token, { digest: 'd2', previous: { digest: 'd1', until: made + 9 } });
      await store.tokens.replaceToken(rotated, 1, anAudit('rotate', { at: made + 2 }));
      const again = changed(rotated, { digest: 'd3', previous: { digest: 'd2', until: made + 9 } });
      await store.tokens.replaceToken(again, 2, anAudit('rotate', { at: made + 3 }));
      await store.tokens.putAccount(anAccount('acme'), 0, anAudit('create', { at: made + 4 }));
      await store.tokens.putRole(aRole('ops'), 0, anAudit('create', { at: made + 5 }));
      await store.tokens.orderRoles(['ops'], anAudit('order', { at: made + 6 }));
      const events = await readAll(start);
      expect(
        events.map(({ seq: _, awaited: __, digests, ...event }) => ({ ...event, digests: digests.toSorted() })),
      ).toEqual([
        { at: made + 1, kind: 'token', id: 'tok_1', version: 1, digests: ['d1'] },
        { at: made + 2, kind: 'token', id: 'tok_1', version: 2, digests: ['d1', 'd2'] },
        { at: made + 3, kind: 'token', id: 'tok_1', version: 3, digests: ['d1', 'd2', 'd3'] },
        { at: made + 4, kind: 'account', id: 'acme', version: 1, digests: [] },
        { at: made + 5, kind: 'role', id: 'ops', version: 1, digests: [] },
        { at: made + 6, kind: 'role', id: 'order', version: 0, digests: [] },
      ]);
    });

    test('an event says whether somebody waits for it, and its caller is told its position', async () => {
      const start = await store.feed.head();
      const token = aToken('tok_1');
      await store.tokens.createToken(token, anAudit('create'), null);
      const outcomes = [
        await store.tokens.replaceToken(changed(token, { state: 'disabled' }), 1, anAudit('disable')),
        await store.tokens.replaceToken(changed(token, { version: 3, state: 'revoked' }), 2, anAudit('revoke'), true),
        await store.tokens.putAccount(anAccount('acme'), 0, anAudit('create'), true),
        await store.tokens.putAccount(changed(anAccount('acme'), { enabled: false }), 1, anAudit('update')),
        await store.tokens.putRole(aRole('ops'), 0, anAudit('create')),
        await store.tokens.orderRoles(['ops'], anAudit('order')),
      ];
      const events = await readAll(start);
      expect(events.map(({ awaited }) => awaited)).toEqual([false, false, true, true, false, false, false]);
      for (const [i, outcome] of outcomes.entries()) {
        const event = events[i + 1]!;
        const position = { epoch: start.epoch, seq: event.seq };
        expect(outcome).toEqual({ kind: 'done', events: [event], position });
      }
    });

    test('a mutation that changed nothing takes no number', async () => {
      await create('a');
      const before = await store.feed.head();
      await store.tokens.createToken(aToken('a'), anAudit('create'), null);
      await store.tokens.replaceToken(aToken('a', { version: 9 }), 8, anAudit('update'));
      await store.tokens.putAccount(anAccount('acme'), 3, anAudit('update'));
      await store.tokens.putAccount(anAccount('acme', { roles: ['nothing'] }), 0, anAudit('create'));
      await store.tokens.putRole(aRole('ops'), 3, anAudit('update'));
      await store.tokens.orderRoles(['nothing'], anAudit('order'));
      expect(await store.feed.head()).toEqual(before);
    });

    test('a long feed is read in parts, none lost', async () => {
      const start = await store.feed.head();
      await Promise.all(Array.from({ length: 2500 }, (_, i) => create(`t${i}`)));
      const events = await readAll(start);
      expect(await store.feed.read(start, 0)).toMatchObject({ complete: false });
      expect(events.map(event => event.seq)).toEqual(Array.from({ length: 2500 }, (_, i) => start.seq + 1 + i));
    });

    test('a reader that runs along sees every mutation exactly once', async () => {
      let cursor = await store.feed.head();
      const seen: number[] = [];
      const first = cursor.seq + 1;
      const writing = Promise.all(Array.from({ length: 300 }, (_, i) => create(`t${i}`)));
      while (seen.length < 300) {
        const answer = await store.feed.read(cursor, ages);
        if (answer.kind === 'gap') throw new Error('a gap');
        seen.push(...answer.events.map(event => event.seq));
        cursor = answer.cursor;
      }
      await writing;
      expect(seen).toEqual(Array.from({ length: 300 }, (_, i) => first + i));
    });
  });

  describe(`${name}: waiting for changes`, () => {
    test('a waiting read is answered by the next change, and so is every other one', async () => {
      const head = await store.feed.head();
      const waiting = [store.feed.read(head, ages), store.feed.read(head, ages)];
      const event = await create('a');
      const cursor = { epoch: head.epoch, seq: event.seq };
      for (const answer of await Promise.all(waiting))
        expect(answer).toEqual({ kind: 'events', events: [event], cursor, complete: true });
    });

    test('a waiting read is answered empty when its time is up', async () => {
      const head = await store.feed.head();
      expect(await store.feed.read(head, 20)).toEqual({ kind: 'events', events: [], cursor: head, complete: true });
    });

    test('a read with something to read does not wait', async () => {
      const head = await store.feed.head();
      const event = await create('a');
      expect(await store.feed.read(head, ages)).toMatchObject({ events: [event] });
    });

    test("a signal ends a wait, and the rejection is the signal's reason", async () => {
      const head = await store.feed.head();
      const reason = new Error('enough');
      const controller = new AbortController();
      const waiting = store.feed.read(head, ages, controller.signal);
      controller.abort(reason);
      await expect(waiting).rejects.toBe(reason);
      await expect(store.feed.read(head, ages, AbortSignal.abort(reason))).rejects.toBe(reason);
      const event = await create('a');
      expect(await store.feed.read(head, 0)).toMatchObject({ events: [event] });
    });
  });

  describe(`${name}: positions that lead nowhere`, () => {
    test('a cursor of another epoch is a gap, and the answer says where to go on', async () => {
      await create('a');
      const head = await store.feed.head();
      expect(await store.feed.read({ epoch: 'another', seq: head.seq }, ages)).toEqual({ kind: 'gap', cursor: head });
    });

    test('a cursor ahead of the feed is a gap', async () => {
      const head = await store.feed.head();
      const ahead = { epoch: head.epoch, seq: head.seq + 1 };
      const answer = await store.feed.read(ahead, ages);
      expect(answer).toEqual({ kind: 'gap', cursor: await store.feed.head() });
      expect(answer.cursor.seq).toBe(head.seq);
    });

    test('the newest events are kept, and a cursor before them is a gap', async () => {
      await store.dispose();
      store = await open({ feedEvents: 20 });
      const start = await store.feed.head();
      const told: FeedEvent[] = [];
      for (let i = 0; i < 100; i++) told.push(await create(`t${i}`));
      const head = await store.feed.head();
      expect(await store.feed.read(start, ages)).toEqual({ kind: 'gap', cursor: head });
      expect(await readAll({ epoch: head.epoch, seq: head.seq - 20 })).toEqual(told.slice(-20));
    });

    test('positions outlive the store that was open', async () => {
      const start = await store.feed.head();
      const before = await create('a');
      store = await store.reopen();
      const after = await create('b');
      expect(await readAll(start)).toEqual([before, after]);
      expect((await store.feed.head()).epoch).toBe(start.epoch);
    });
  });
}
