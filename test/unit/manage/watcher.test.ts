import { getEventListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { mostWaiting, type News, type WatchFilter } from '../../../src/manage/watcher.ts';
import { mostWatchers, Watchers } from '../../../src/manage/watchers.ts';
import type { Cursor, FeedAnswer } from '../../../src/ports/change-feed.ts';
import type { PassedThreshold } from '../../../src/ports/limit-watch.ts';
import type { ToldRefusal } from '../../../src/ports/refusal-watch.ts';
import type { FeedEvent, TokenAndAccount } from '../../../src/ports/token-store.ts';
import { aToken } from '../../contract/harness.ts';
import { HeldFeed, settled } from '../../support/held-store.ts';

const at = (seq: number, epoch = 'e'): Cursor => ({ epoch, seq });
const change = (seq: number, more: Partial<FeedEvent> = {}): FeedEvent => ({
  seq,
  at: 0,
  kind: 'token',
  id: `tok_${seq}`,
  version: 1,
  digests: [],
  awaited: false,
  ...more,
});
const changes = (from: number, to: number): FeedEvent[] =>
  Array.from({ length: to - from + 1 }, (_, i) => change(from + i));
const page = (events: FeedEvent[], complete = true): FeedAnswer => ({
  kind: 'events',
  events,
  cursor: at(events.at(-1)!.seq),
  complete,
});
const refusal = (more: Partial<ToldRefusal> = {}): ToldRefusal => ({
  requestId: 'r',
  at: 0,
  code: 'invalid_token',
  reason: 'invalid_token_unknown',
  shadow: false,
  route: '/api/**',
  method: 'GET',
  tokenId: null,
  owner: null,
  client: '192.0.2.1',
  ...more,
});

const passed = (more: Partial<PassedThreshold> = {}): PassedThreshold => ({
  at: 0,
  subject: { kind: 'token', id: 't' },
  owner: null,
  limit: 'day',
  percent: 80,
  max: 10,
  used: 8,
  ends: null,
  ...more,
});

/** In short: numbers of changes, and the names of all else. */
const told = (news: readonly News[] | null) =>
  news?.map(one => (one.kind === 'change' ? one.cursor.seq : one.kind === 'lost' ? `lost ${one.refusals}` : one.kind));

function world(newest: Cursor | null = at(10)) {
  const feed = new HeldFeed();
  const owners = new Map<string, string>();
  const getToken = async (id: string): Promise<TokenAndAccount | null> => ({
    token: aToken(id, { owner: owners.get(id) ?? null }),
    account: null,
  });
  const watchers = new Watchers({ feed, tokens: { getToken } }, newest);
  const over = new AbortController();
  const watch = (filter: WatchFilter = {}, from: Cursor | null = null) => watchers.watch(filter, from, over.signal)!;
  return { feed, owners, watchers, over, watch };
}

test('changes of roles are told to those who watch everything, and to nobody else', async () => {
  const { watchers, watch } = world();
  const [all, token, owner] = [watch(), watch({ token: 'r1' }), watch({ owner: 'r1' })];
  const roles = [change(11, { kind: 'role', id: 'r1' }), change(12, { kind: 'role', id: 'order', version: 0 })];
  watchers.changed([...roles, change(13, { kind: 'account', id: 'r1' })], at(13));
  expect(told(await all.next(0))).toEqual([11, 12, 13]);
  expect(told(await token.next(0))).toEqual([]);
  expect(told(await owner.next(0))).toEqual([13]);
});

describe('a watcher', () => {
  test('is told changes and refusals in the order in which they come, together', async () => {
    const { watchers, watch } = world();
    const watcher = watch();
    const next = watcher.next(60_000);
    watchers.changed([change(11)], at(11));
    watchers.refused(refusal());
    watchers.changed([change(12)], at(12));
    expect(told(await next)).toEqual([11, 'refusal', 12]);
    expect(watcher.position).toEqual(at(12));
  });

  test('is told no change twice', async () => {
    const { watchers, watch } = world();
    const watcher = watch();
    watchers.changed([change(10), change(11)], at(11));
    watchers.changed([change(11), change(12)], at(12));
    expect(told(await watcher.next(0))).toEqual([11, 12]);
  });

  test('who comes back is told first what the feed has kept, page by page, and then what comes', async () => {
    const { feed, watchers, watch } = world(at(10));
    const watcher = watch({}, at(3));
    const first = watcher.next(0);
    (await feed.looks.next()).answer(page(changes(4, 8), false));
    expect(told(await first)).toEqual([4, 5, 6, 7, 8]);
    expect(watcher.position).toBeNull();
    const second = watcher.next(0);
    const look = await feed.looks.next();
    expect(look.question).toEqual(at(8));
    look.answer(page(changes(9, 10)));
    expect(told(await second)).toEqual([9, 10]);
    watchers.changed([change(11)], at(11));
    expect(told(await watcher.next(0))).toEqual([11]);
    expect(feed.looks.count).toBe(2);
  });

  test('a change that comes while the feed is asked is neither lost nor told twice', async () => {
    for (const answered of [10, 11]) {
      const { feed, watchers, watch } = world(at(10));
      const watcher = watch({}, at(9));
      const first = watcher.next(0);
      const look = await feed.looks.next();
      watchers.changed([change(11)], at(11));
      look.answer(page(changes(10, answered)));
      const all = [...told(await first)!];
      if (answered === 10) {
        const second = watcher.next(0);
        (await feed.looks.next()).answer(page([change(11)]));
        all.push(...told(await second)!);
      }
      watchers.changed([change(12)], at(12));
      expect([...all, ...told(await watcher.next(0))!]).toEqual([10, 11, 12]);
    }
  });

  test('a gap is told, whoever notices it, and nothing from before it afterwards', async () => {
    const { feed, watchers, watch } = world();
    const watcher = watch({}, at(2, 'old'));
    const first = watcher.next(0);
    (await feed.looks.next()).answer({ kind: 'gap', cursor: at(10) });
    expect(told(await first)).toEqual(['gap']);
    const second = watcher.next(0);
    const look = await feed.looks.next();
    watchers.missed(at(5, 'new'));
    look.answer(page(changes(11, 12)));
    expect(told(await second)).toEqual([]);
    watchers.changed([change(13)], at(13));
    watchers.changed([change(6)], at(6, 'new'));
    expect(told(await watcher.next(0))).toEqual(['gap', 6]);
    expect(watcher.position).toEqual(at(6, 'new'));
  });

  test('limits are told to those who want them: of a token, of an owner by their own and their tokens', async () => {
    const { watchers, watch } = world();
    const filters: WatchFilter[] = [
      {},
      { type: 'limit' },
      { type: 'refusal' },
      { type: 'change' },
      { token: 't' },
      { token: 'acme' },
      { owner: 'acme' },
      { owner: 't' },
    ];
    const all = filters.map(filter => watch(filter));
    watchers.passed(passed({ owner: 'acme' }));
    watchers.passed(passed({ subject: { kind: 'account', id: 'acme' } }));
    watchers.passed(passed({ subject: { kind: 'token', id: 'other' } }));
    const seen = await Promise.all(all.map(async watcher => (await watcher.next(0))!.length));
    expect(seen).toEqual([3, 3, 0, 0, 1, 0, 2, 0]);
  });

  test('limits that find no room are counted beside refusals', async () => {
    const { watchers, watch } = world();
    const watcher = watch({ type: 'limit' });
    const both = watch();
    for (let i = 0; i < mostWaiting + 7; i++) watchers.passed(passed());
    for (let i = 0; i < 5; i++) watchers.refused(refusal());
    expect((await watcher.next(0))!.at(-1)).toEqual({ kind: 'lost', refusals: 0, limits: 7 });
    expect((await both.next(0))!.slice(mostWaiting)).toEqual([{ kind: 'lost', refusals: 5, limits: 7 }]);
    watchers.passed(passed());
    expect(told(await watcher.next(0))).toEqual(['limit']);
  });

  test('who reads nothing costs no more than a few: changes stay in the feed, refusals are counted', async () => {
    const { feed, watchers, watch } = world(at(0));
    const watcher = watch();
    for (let seq = 1; seq <= 2 * mostWaiting; seq++) watchers.changed([change(seq)], at(seq));
    for (let i = 0; i < 5000; i++) watchers.refused(refusal());
    for (let i = 0; i < 50; i++) watchers.missed(at(2 * mostWaiting));
    for (let i = 0; i < 5000; i++) watchers.refused(refusal());
    const news = told(await watcher.next(0))!;
    expect(news.length).toBeLessThan(mostWaiting + 5);
    expect(news.filter(one => typeof one === 'number')).toEqual(Array.from({ length: mostWaiting }, (_, i) => i + 1));
    expect(news.slice(mostWaiting)).toEqual(['lost 10000', 'gap']);

    watchers.changed(changes(2001, 2000 + mostWaiting + 3), at(2000 + mostWaiting + 3));
    const rest = watcher.next(0);
    (await feed.looks.next()).answer(page(changes(2001 + mostWaiting, 2003 + mostWaiting)));
    const seqs = told(await rest)!;
    expect(seqs).toEqual(changes(2001, 2003 + mostWaiting).map(({ seq }) => seq));
    watchers.refused(refusal());
    expect(told(await watcher.next(0))).toEqual(['refusal']);
  });

  test('without a known position it goes on from the first change that did not fit', async () => {
    const { feed, watchers, watch } = world(null);
    const watcher = watch();
    for (let i = 0; i < mostWaiting; i++) watchers.refused(refusal());
    watchers.changed([change(7)], at(7));
    const next = watcher.next(0);
    const look = await feed.looks.next();
    expect(look.question).toEqual(at(6));
    look.answer(page([change(7)]));
    expect(told(await next)!.at(-1)).toBe(7);
  });

  test('is told what it asks for, and no more', async () => {
    const { watchers, watch, owners } = world();
    owners.set('tok_11', 'acme');
    const filters: Record<string, WatchFilter> = {
      token: { token: 'tok_11' },
      owner: { owner: 'acme' },
      both: { token: 'tok_12', owner: 'acme' },
      changes: { type: 'change' },
      refusals: { type: 'refusal' },
    };
    const all = Object.entries(filters).map(([name, filter]) => [name, watch(filter)] as const);
    watchers.changed([change(11), change(12), change(13, { kind: 'account', id: 'acme' })], at(13));
    watchers.changed([change(14, { kind: 'account', id: 'tok_11' })], at(14));
    watchers.refused(refusal({ tokenId: 'tok_11', owner: 'acme' }));
    watchers.refused(refusal({ tokenId: 'tok_12', owner: 'other' }));
    watchers.refused(refusal());
    const seen: Record<string, unknown> = {};
    for (const [name, watcher] of all) seen[name] = told(await watcher.next(0));
    expect(seen).toEqual({
      token: [11, 'refusal'],
      owner: [11, 13, 'refusal'],
      both: [],
      changes: [11, 12, 13, 14],
      refusals: ['refusal', 'refusal', 'refusal'],
    });
    const position = all.map(([name, watcher]) => [name, watcher.position?.seq ?? null]);
    expect(position).toEqual(Object.keys(filters).map(name => [name, name === 'refusals' ? null : 14]));
  });

  test('ends what waits when it is over, and leaves nothing behind', async () => {
    const { watchers, watch, over } = world();
    const next = watch().next(60_000);
    expect([watchers.size, watchers.watched]).toEqual([1, true]);
    over.abort();
    expect(await next).toBeNull();
    expect([watchers.size, watchers.watched]).toEqual([0, false]);
    expect(getEventListeners(over.signal, 'abort')).toEqual([]);
  });

  test('waits no longer than it is told to, and through what it does not want', async () => {
    const { watchers, watch } = world();
    const watcher = watch({ token: 'tok_11' });
    let resolved = false;
    const next = watcher.next(100).then(news => {
      resolved = true;
      return news;
    });
    watchers.changed([change(12)], at(12));
    watchers.refused(refusal());
    await settled();
    await settled();
    expect(resolved).toBe(false);
    expect(await next).toEqual([]);
    expect(watcher.position).toEqual(at(12));
  });

  test('one more than may watch is turned away, until one has left', () => {
    const { watchers, watch } = world();
    const overs = Array.from({ length: mostWatchers }, () => new AbortController());
    for (const { signal } of overs) expect(watchers.watch({ type: 'change' }, null, signal)).not.toBeNull();
    expect(watchers.watched).toBe(false);
    expect(watch()).toBeNull();
    overs[3]!.abort();
    expect(watch()).not.toBeNull();
  });
});
