import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { StoreUnavailable } from '../../src/errors.ts';
import { mostWatchers, Watchers } from '../../src/manage/watchers.ts';
import type { ToldRefusal } from '../../src/ports/refusal-watch.ts';
import { EventStream } from '../support/event-stream.ts';
import { Postern } from '../support/postern.ts';
import { Program, root } from '../support/program.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { patience } from '../support/tiers.ts';
import { type Admin, type AdminChange, keys, openAdmin, pointersOf } from './harness.ts';

const refusal = (requestId: string): ToldRefusal => ({
  requestId,
  at: 0,
  code: 'invalid_token',
  reason: 'invalid_token_unknown',
  shadow: false,
  route: '/api/**',
  method: 'GET',
  tokenId: null,
  owner: null,
  client: '192.0.2.1',
});

afterEach(() => EventStream.leaveAll());

describe('the stream of events, as an answer of the admin API', () => {
  let admin: Admin;
  afterEach(() => admin.dispose());
  const start = async (change: AdminChange = {}): Promise<void> => {
    admin = await openAdmin(change);
  };
  const watched = (size: number) => expect.poll(() => admin.watchers.size, { interval: 5, timeout: 5000 }).toBe(size);

  test('is open to those who may read, is kept by nobody, and a HEAD of it takes no place', async () => {
    await start();
    const stream = await EventStream.open(admin.port, keys.read);
    expect([stream.status, stream.fields]).toMatchObject([
      200,
      { 'content-type': 'text/event-stream', 'cache-control': 'no-store', connection: 'close' },
    ]);
    await stream.until(({ lastId }) => lastId !== null, 'opening');
    const { epoch, seq } = await admin.managed.store.feed.head();
    expect(stream.text).toBe(`retry: 1000\n\nid: ${epoch}:${seq}\n\n`);
    const head = await admin.ask('HEAD', '/v1/events');
    expect([head.status, head.text, head.fields['content-type']]).toEqual([200, '', 'text/event-stream']);
    await watched(1);
    stream.leave();
    await watched(0);
  });

  test('takes no parameter that it does not know, and no id that is none', async () => {
    await start();
    const wrong: [query: string, pointers: string[]][] = [
      ['?type=changes', ['?type']],
      ['?token=a/b&owner=%20', ['?token', '?owner']],
      ['?since=1', ['?since']],
      ['?type=change&type=refusal', ['?type']],
    ];
    for (const [query, pointers] of wrong) {
      const reply = await admin.ask('GET', `/v1/events${query}`);
      expect([reply.status, reply.json['code']]).toEqual([422, 'validation_failed']);
      expect(pointersOf(reply)).toEqual(pointers);
    }
    for (const id of ['x', 'e:', ':1', 'e:-1', 'e:01', 'e:1e3', 'e:1234567890123456', 'e:1:2', 'a b:1']) {
      const { status, json } = await admin.ask('GET', '/v1/events', { fields: { 'last-event-id': id } });
      expect([id, status, json['code']]).toEqual([id, 400, 'malformed_request']);
    }
    expect(admin.watchers.size).toBe(0);
  });

  test('who was never here is told of a gap, and the store is none the worse for it', async () => {
    await start();
    const head = await admin.managed.store.feed.head();
    const ids = ['another:0', `${head.epoch}:${head.seq + 1}`, `${head.epoch}:999999999999999`];
    for (const lastId of ids) {
      const stream = await EventStream.open(admin.port, keys.read, { lastId });
      await stream.until(({ events }) => events.length > 0, 'gap');
      expect(stream.events).toEqual([{ name: 'gap', id: `${head.epoch}:${head.seq}`, data: {} }]);
    }
    expect(await admin.managed.store.feed.head()).toEqual(head);
  });

  test('more than may watch are turned away, and come in when others have left', async () => {
    await start();
    const streams = await Promise.all(
      Array.from({ length: mostWatchers }, () => EventStream.open(admin.port, keys.read)),
    );
    const { status, json, fields } = await admin.ask('GET', '/v1/events');
    expect([status, json['code'], fields['retry-after']]).toEqual([503, 'overloaded', '1']);
    streams[0]!.leave();
    await watched(mostWatchers - 1);
    expect((await admin.ask('GET', '/v1/events')).status).toBe(200);
    expect((await admin.ask('GET', '/v1/tokens')).status).toBe(200);
  });

  test('a store that is asked and does not answer is 503 before an answer begins', async () => {
    const away = () => Promise.reject(new StoreUnavailable('the store is away'));
    const watchers = new Watchers({ feed: { since: away }, tokens: { getToken: away } }, { epoch: 'e', seq: 2 });
    await start({ listenerParts: { watchers } });
    const { status, json } = await admin.ask('GET', '/v1/events', { fields: { 'last-event-id': 'e:1' } });
    expect([status, json['code']]).toEqual([503, 'store_unavailable']);
    await expect.poll(() => watchers.size, { interval: 5, timeout: 5000 }).toBe(0);

    // Once it has begun, it ends in order, and no change is told as if it were wanted.
    const stream = await EventStream.open(admin.port, keys.read, { query: '?owner=acme' });
    await stream.until(({ lastId }) => lastId === 'e:2', 'opening');
    const change = { kind: 'token', id: 'x', at: 0, version: 1, digests: [], awaited: false } as const;
    watchers.changed([{ ...change, seq: 3 }], { epoch: 'e', seq: 3 });
    await stream.until(({ ended }) => ended !== null, 'end');
    expect([stream.ended, stream.events, stream.lastId, admin.log]).toEqual(['whole', [], 'e:2', []]);
  });

  test('a limit that has passed a share of what it allows is told with what is left of it', async () => {
    await start();
    const stream = await EventStream.open(admin.port, keys.read, { query: '?type=limit' });
    await watched(1);
    const at = Date.UTC(2030, 0, 1);
    const of = { at, limit: 'day', percent: 90, max: 10, used: 9, owner: 'acme' } as const;
    admin.watchers.passed({ ...of, subject: { kind: 'token', id: 't' }, ends: at + 1000 });
    admin.watchers.passed({ ...of, subject: { kind: 'account', id: 'acme' }, ends: null });
    await stream.until(({ events }) => events.length === 2, 'limits');
    const data = { ...of, at: '2030-01-01T00:00:00.000Z' };
    expect(stream.events).toEqual([
      { name: 'limit', id: null, data: { ...data, kind: 'token', id: 't', resets_at: '2030-01-01T00:00:01.000Z' } },
      { name: 'limit', id: null, data: { ...data, kind: 'account', id: 'acme', resets_at: null } },
    ]);
  });

  test('a flood of refusals costs a slow reader no memory here: what it was not told is counted', async () => {
    await start();
    const slow = await EventStream.open(admin.port, keys.read, { query: '?type=refusal' });
    slow.pause();
    const quick = await EventStream.open(admin.port, keys.read, { query: '?type=refusal' });
    await watched(2);
    const floods = 100;
    const each = 3000;
    for (let i = 0; i < floods; i++) {
      for (let j = 0; j < each; j++) admin.watchers.refused(refusal(`${i}-${j}`));
      await new Promise(resolve => setImmediate(resolve));
    }
    slow.resume();
    const sum = (stream: EventStream): number =>
      stream.of('refusal').length + stream.of('lost').reduce((n, { refusals }) => n + (refusals as number), 0);
    for (const stream of [slow, quick]) {
      await expect.poll(() => sum(stream), { interval: 50, timeout: patience(20_000) }).toBe(floods * each);
      expect(stream.of('lost').length).toBeGreaterThan(0);
    }
    // What the system keeps for a connection is some megabytes, and some ten thousand of these.
    expect(slow.of('refusal').length).toBeLessThan((floods * each) / 3);
  });

  test('who reads nothing for long is cut, and frees its place', async () => {
    await start({ options: { writeTimeoutMs: 200 } });
    const stream = await EventStream.open(admin.port, keys.read);
    stream.pause();
    await watched(1);
    const stop = Date.now() + 20_000;
    // Until the system keeps no more for it.
    while (admin.watchers.size > 0 && Date.now() < stop) {
      for (let i = 0; i < 1000; i++) admin.watchers.refused(refusal('x'.repeat(200)));
      await new Promise(resolve => setTimeout(resolve, 5));
    }
    await watched(0);
  });

  test('ends as soon as its key is taken away, whatever becomes of others', async () => {
    await start();
    const [mine, theirs] = [
      await EventStream.open(admin.port, keys.read),
      await EventStream.open(admin.port, keys.admin),
    ];
    await watched(2);
    const { policy } = admin;
    // The administrator's may only read from here on, and that is enough; a new name makes no other key.
    const kept = { ...policy.keys[0]!, name: 'renamed', role: 'read' as const };
    admin.listener.policy = { ...policy, keys: [kept] };
    await mine.until(({ ended }) => ended !== null, 'end');
    admin.watchers.refused(refusal('after'));
    await theirs.until(({ events }) => events.length > 0, 'refusal');
    expect([mine.ended, mine.events, theirs.ended, admin.watchers.size]).toEqual(['whole', [], null, 1]);
  });

  test('is kept alive by comments, and is told nothing after its key has expired', async () => {
    await start();
    const { policy } = admin;
    const { clock } = admin.managed;
    const expiring = { ...policy.keys[1]!, expiresAt: clock.wall() + 40 };
    admin.listener.policy = { ...policy, keys: [policy.keys[0]!, expiring] };
    const [mine, theirs] = [
      await EventStream.open(admin.port, keys.read),
      await EventStream.open(admin.port, keys.admin),
    ];
    // As long as the clock stands, the end that is looked for never comes.
    await mine.until(({ text }) => text.split('\n:\n').length > 3, 'comments');
    clock.advance(40);
    admin.watchers.refused(refusal('after'));
    await mine.until(({ ended }) => ended !== null, 'end');
    await theirs.until(({ events }) => events.length > 0, 'refusal');
    expect([mine.ended, mine.events]).toEqual(['whole', []]);
  });

  test('ends in order when the listener closes, and holds nothing up', async () => {
    await start();
    const streams = await Promise.all([1, 2, 3].map(() => EventStream.open(admin.port, keys.read)));
    await watched(3);
    // What does not end by itself within seconds is cut, and would be broken.
    await admin.listener.close();
    for (const stream of streams) {
      await stream.until(({ ended }) => ended !== null, 'end');
      expect(stream.ended).toBe('whole');
    }
    expect(admin.watchers.size).toBe(0);
  });
});

describe('events of a running process', () => {
  const upstream = new RecordingUpstream();
  let postern: Postern;
  const open = (options: { query?: string; lastId?: string | null } = {}) =>
    EventStream.open(postern.app.ports.admin, postern.app.generatedKey!, options);
  const ask = (target: string, fields: Record<string, string> = {}) =>
    fetch(`${postern.proxy}${target}`, { headers: fields }).then(({ status }) => status);
  const ids = (stream: EventStream): unknown[] =>
    stream.of('change').map(({ kind, id, version }) => [kind, id, version]);

  beforeAll(() => upstream.listen());
  beforeEach(async () => {
    postern = await Postern.start({ upstream: upstream.url, more: 'shutdown: { delay: 0s, grace: 1s }' });
  });
  afterEach(async () => {
    await postern.stop();
    await Program.killAll();
  });
  afterAll(() => upstream.close());

  test('changes are told once and in order, refusals with what is known of them, and no secret', async () => {
    const stream = await open();
    await postern.admin('POST', '/v1/accounts', { id: 'acme' });
    const { id, secret } = await postern.mint({ owner: 'acme', permissions: ['api'] });
    expect(await ask('/api/x', { Authorization: `Bearer ${secret}` })).toBe(200);
    expect(await ask(`/admin/${secret}?token=${secret}`, { Authorization: `Bearer ${secret}` })).toBe(403);
    const unknown = `pst_${'Zq8RkT0mWvYb3XsLd9'.repeat(3).slice(0, 38)}`;
    postern.planted.push(unknown);
    expect(await ask(`/api/${unknown}`, { Authorization: `Bearer ${unknown}` })).toBe(401);
    await postern.admin('DELETE', `/v1/tokens/${id}`);
    expect(await ask('/api/x', { Authorization: `Bearer ${secret}` })).toBe(401);
    await stream.until(({ events }) => events.length >= 6, 'six events');
    expect(ids(stream)).toEqual([
      ['account', 'acme', 1],
      ['token', id, 1],
      ['token', id, 2],
    ]);
    const client = { method: 'GET', client_ip: '127.0.0.1' };
    const mine = { token_id: id, owner: 'acme' };
    expect(stream.of('refusal')).toMatchObject([
      { code: 'insufficient_scope', reason: 'insufficient_scope', route: '/admin/**', ...mine, ...client },
      { code: 'invalid_token', route: '/api/**', token_id: null, owner: null, ...client },
      { code: 'invalid_token', reason: 'invalid_token_revoked', route: '/api/**', ...mine, ...client },
    ]);
    const logged = (await postern.requestLines()).filter(({ outcome }) => outcome === 'refused');
    expect(stream.of('refusal').map(({ request_id }) => request_id)).toEqual(
      logged.map(({ request_id }) => request_id),
    );
    await postern.assertNoSecrets({ events: stream.text });
  });

  test('who comes back is told what was changed meanwhile, once, and then what comes', async () => {
    const first = await open({ query: '?type=change' });
    const made = [await postern.mint(), await postern.mint()];
    await first.until(({ events }) => events.length === 2, 'two changes');
    first.leave();
    for (let i = 0; i < 20; i++) made.push(await postern.mint());
    const second = await open({ lastId: first.lastId });
    made.push(await postern.mint());
    await second.until(({ events }) => events.length === 21, 'the rest');
    expect([...ids(first), ...ids(second)]).toEqual(made.map(({ id }) => ['token', id, 1]));
    // By what it filters, a client is told its place all the same.
    const other = await open({ query: '?token=nobody', lastId: first.lastId });
    await other.until(({ lastId }) => lastId === second.lastId, 'place');
    expect(other.events).toEqual([]);
  });

  test('filters choose', async () => {
    await postern.admin('POST', '/v1/accounts', { id: 'acme' });
    const [theirs, mine] = [await postern.mint(), await postern.mint({ owner: 'acme' })];
    const byToken = await open({ query: `?token=${mine.id}` });
    const byOwner = await open({ query: '?owner=acme' });
    const refusals = await open({ query: '?type=refusal&owner=acme' });
    for (const { id, secret } of [theirs, mine]) {
      await postern.admin('PATCH', `/v1/tokens/${id}`, { name: 'renamed' });
      expect(await ask('/api/x', { Authorization: `Bearer ${secret}` })).toBe(403);
    }
    await postern.admin('PATCH', '/v1/accounts/acme', { name: 'Acme' });
    // A stream may begin a moment before it was opened, with what was made then.
    const since = (stream: EventStream) => ids(stream).filter(id => (id as unknown[])[2] !== 1);
    const [heard, refused] = [
      (stream: EventStream) => since(stream).length,
      (stream: EventStream) => stream.of('refusal').length,
    ];
    await byOwner.until(stream => heard(stream) === 2 && refused(stream) === 1, 'events of the owner');
    await byToken.until(stream => heard(stream) === 1 && refused(stream) === 1, 'events of the token');
    await refusals.until(stream => refused(stream) === 1, 'its refusal');
    const changed = ['token', mine.id, 2];
    expect([since(byOwner), since(byToken), ids(refusals)]).toEqual([[changed, ['account', 'acme', 2]], [changed], []]);
    for (const stream of [byOwner, byToken, refusals]) {
      expect(stream.of('refusal')).toMatchObject([{ token_id: mine.id, owner: 'acme' }]);
    }
  });

  test('end with the process, which waits for none of them', async () => {
    const stream = await open();
    await postern.stop();
    await stream.until(({ ended }) => ended !== null, 'end');
    expect(stream.ended).toBe('whole');
  });

  test('end when a reload takes their key away', async () => {
    const stream = await open();
    const file = path.join(postern.folder, 'postern.yaml');
    const key = 'another-key-0123456789abcdef0123456789abcdef';
    await writeFile(
      file,
      `${await readFile(file, 'utf8')}\nadmin: { keys: [{ name: ops, role: read, key: "${key}" }] }`,
    );
    expect(await postern.app.reload()).toBe(true);
    await stream.until(({ ended }) => ended !== null, 'end');
    const next = await EventStream.open(postern.app.ports.admin, key, { lastId: stream.lastId });
    expect([stream.ended, next.status]).toEqual(['whole', 200]);
  });

  test('come as the README shows', async () => {
    const readme = await readFile(path.join(root, 'README.md'), 'utf8');
    const [, example] = /```sh\n(curl -N [^`]*)```/.exec(readme) ?? [];
    const line = example!.replace('127.0.0.1:8081', `127.0.0.1:${postern.app.ports.admin}`);
    const program = new Program('sh', ['-c', line], { cwd: postern.folder });
    await program.until(({ stdout }) => stdout.includes('retry:'), 'opening');
    expect(await ask('/api/x')).toBe(401);
    const { id } = await postern.mint();
    await program.until(({ stdout }) => stdout.includes(id), 'change');
    expect(program.stdout).toMatch(/event: refusal\ndata: \{"request_id":"[^"]+",.*"code":"missing_token".*\}\n\n/);
    expect(program.stdout).toMatch(
      /event: change\nid: [0-9a-f]+:\d+\ndata: \{"kind":"token","id":".*"version":1,.*\}\n\n/,
    );
  });
});
