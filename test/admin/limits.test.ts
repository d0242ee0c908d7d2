import { readFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { limitsOf, type SaidLimit } from '../../src/core/limit-form.ts';
import { aDeclaredToken } from '../support/managed.ts';
import { command } from '../support/program.ts';
import { type Admin, keys, openAdmin, pointersOf, type Reply } from './harness.ts';

/** Limits of tokens and accounts: how they are set, shown, changed and begun anew. */

let admin: Admin;
beforeEach(async () => {
  admin = await openAdmin();
});
afterEach(() => admin.dispose());

const day: SaidLimit = { name: 'day', max: 10, per: '1d' };
const pace: SaidLimit = { name: 'pace', max: 10, per: '1s', algorithm: 'bucket', burst: 20 };
const shownDay = { ...day, algorithm: 'window' };
const secret_sha256 = 'ab'.repeat(32);

const ask = (method: string, path: string, json?: unknown, key: string = keys.admin): Promise<Reply> =>
  admin.ask(method, path, { key, ...(json !== undefined && { json }) });

/** Where tokens and accounts are made, and one of each. */
const kinds = {
  token: {
    all: '/v1/tokens',
    made: { secret_sha256 },
    of: (json: Reply.Json) => (json['token'] ?? json) as Reply.Json,
  },
  account: { all: '/v1/accounts', made: {}, of: (json: Reply.Json) => json },
} as const;
const both = ['token', 'account'] as const;

describe.each(both)('limits: %s', kind => {
  const { all, made, of } = kinds[kind];
  const one = `${all}/one`;
  const put = async (limits: readonly SaidLimit[]): Promise<number> => {
    const { status, json } = await ask('PUT', one, { ...made, limits });
    expect([200, 201]).toContain(status);
    return json['version']!;
  };

  test('are none unless they are said, and are answered with their defaults by every call that shows them', async () => {
    expect(of((await ask('POST', all, {})).json)['limits']).toEqual([]);
    const posted = await ask('POST', all, { limits: [day, { ...pace, burst: undefined }] });
    expect(posted.status).toBe(201);
    const shown = [shownDay, { ...pace, burst: 10 }];
    expect(of(posted.json)['limits']).toEqual(shown);
    expect((await ask('GET', `${all}/${of(posted.json)['id']}`)).json['limits']).toEqual(shown);
    const listed = (await ask('GET', all)).json[`${kind}s`] as unknown as { limits: unknown }[];
    expect(listed.map(({ limits }) => limits)).toEqual([[], shown]);
    expect((await ask('PUT', one, { ...made, limits: [pace] })).json['limits']).toEqual([pace]);
  });

  test('can be said again as they are shown, which changes nothing', async () => {
    const limits = [day, pace, { ...day, name: 'never', max: 0 }, { ...pace, name: 'none', max: 0, burst: undefined }];
    const posted = await ask('PUT', one, { ...made, limits });
    const again = await ask('PUT', one, { ...made, limits: posted.json['limits'] });
    expect([again.status, again.json]).toEqual([200, posted.json]);
    expect((await ask('PATCH', one, { limits: posted.json['limits'] })).json['version']).toBe(1);
  });

  test('are replaced whole by a patch, left alone by one that does not name them, and taken away by null', async () => {
    await put([day, pace]);
    expect((await ask('PATCH', one, { name: 'renamed' })).json['limits']).toEqual([shownDay, pace]);
    expect((await ask('PATCH', one, { limits: [pace] })).json).toMatchObject({ limits: [pace], version: 3 });
    expect((await ask('PATCH', one, { limits: null })).json['limits']).toEqual([]);
    await put([day]);
    expect((await ask('PUT', one, made)).json['limits']).toEqual([]);
  });

  test.each<[string, unknown, string[]]>([
    ['no list', {}, ['/limits']],
    ['no limit', ['day=5/1d', null], ['/limits/0', '/limits/1']],
    ['without what it needs', [{}], ['/limits/0/name', '/limits/0/max', '/limits/0/per']],
    ['with what none has', [{ ...day, most: 5, unit: 'requests' }], ['/limits/0/most', '/limits/0/unit']],
    [
      'of wrong kinds',
      [{ name: 5, max: '10', per: '1w', algorithm: 'leaky', burst: '5' }],
      ['/limits/0/name', '/limits/0/max', '/limits/0/per', '/limits/0/algorithm', '/limits/0/burst'],
    ],
    [
      'of wrong values',
      [
        { ...day, name: 'a b', max: -1 },
        { ...day, max: 1.5 },
        { ...day, max: 10 ** 13 },
      ],
      ['/limits/0/name', '/limits/0/max', '/limits/1/max', '/limits/2/name', '/limits/2/max'],
    ],
    ['of no exact number', [{ ...day, max: 2 ** 53 }], ['/limits/0/max', '/limits/0/max']],
    ['with one name', [day, pace, day], ['/limits/2/name']],
    ['a bucket for ever', [{ ...pace, per: 'lifetime' }], ['/limits/0/per']],
    ['a window with a burst', [{ ...day, burst: 10 }], ['/limits/0/burst']],
    [
      'a burst of nothing',
      [
        { ...pace, burst: 0 },
        { ...pace, name: 'b', max: 0 },
      ],
      ['/limits/0/burst', '/limits/1/burst'],
    ],
    ['too many', Array.from({ length: 17 }, (_, i) => ({ ...day, name: `n${i}` })), ['/limits']],
  ])('are refused with every fault at its place: %s', async (_, limits, pointers) => {
    await put([]);
    for (const [method, path, more] of [
      ['POST', all, {}],
      ['PUT', one, made],
      ['PATCH', one, {}],
    ] as const) {
      const reply = await ask(method, path, { ...more, limits });
      expect([reply.status, reply.json['code']], method).toEqual([422, 'validation_failed']);
      expect(pointersOf(reply).toSorted(), reply.text).toEqual(pointers.toSorted());
    }
    expect((await ask('GET', one)).json).toMatchObject({ limits: [], version: 1 });
  });

  test('are told of in the words of what is allowed', async () => {
    const reply = await ask('POST', all, { limits: [{ ...day, burst: 5 }] });
    expect(reply.json['errors']).toEqual([
      { pointer: '/limits/0/burst', detail: 'is for buckets alone; allowed: to leave it out, or the algorithm bucket' },
    ]);
  });

  test('are in the audit trail as they are shown', async () => {
    await put([day]);
    await ask('PATCH', one, { limits: [pace] });
    if (kind === 'token') {
      const { events } = (await ask('GET', `${one}/events`)).json as unknown as { events: { changes: object }[] };
      expect(events.map(({ changes }) => (changes as Record<string, unknown>)['limits'])).toEqual([
        { from: null, to: [shownDay] },
        { from: [shownDay], to: [pace] },
      ]);
    }
  });

  test('hold for the ledgers before a change of them is answered, also where the change was made before', async () => {
    const { calls } = admin.managed.limits;
    await put([day]);
    calls.splice(0);
    await ask('PATCH', one, { name: 'x' });
    expect(calls).toEqual([]);
    await ask('PATCH', one, { limits: [{ ...day, max: 5 }] });
    expect(calls.splice(0)).toEqual([`define ${kind} one 3`]);
    await ask('PATCH', one, { limits: [{ ...day, max: 5 }] });
    expect(calls.splice(0)).toEqual([`define ${kind} one 3`]);
    await ask('PATCH', one, { limits: [] });
    expect(calls.splice(0)).toEqual([`define ${kind} one 4`]);
    await ask('PATCH', one, { limits: [] });
    expect(calls).toEqual([]);
  });

  test.each(['lost', 'answer lost'] as const)(
    'whose ledgers do not answer: the outcome is unknown (%s)',
    async fate => {
      await put([day]);
      admin.managed.limits.fate = fate;
      const reply = await ask('PATCH', one, { limits: [pace] });
      expect([reply.status, reply.json['code'], reply.json['outcome']]).toEqual([503, 'store_unavailable', 'unknown']);
      // What does not touch limits goes on: nobody is kept from stopping a token.
      expect((await ask('PATCH', one, { name: 'x' })).status).toBe(200);
      if (kind === 'token') expect((await ask('POST', `${one}/disable`)).status).toBe(200);
      admin.managed.limits.fate = 'answered';
      expect((await ask('PATCH', one, { limits: [pace] })).json['limits']).toEqual([pace]);
      expect(admin.managed.limits.calls.at(-1)).toMatch(/^define/);
    },
  );

  test('and what is left of them are told, in their present windows', async () => {
    const { clock, limits: ledger } = admin.managed;
    const said = [{ ...day, max: 100 }, { ...day, name: 'ever', per: 'lifetime' as const }, pace];
    const version = await put(said);
    const subject = { kind, id: 'one' };
    const untouched = await ask('GET', `${one}/usage`);
    const midnight = new Date(Math.floor(clock.wall() / 86_400_000 + 1) * 86_400_000).toISOString();
    expect(untouched.json['limits']).toEqual([
      { name: 'day', max: 100, used: 0, remaining: 100, burned: 0, resets_at: midnight },
      { name: 'ever', max: 10, used: 0, remaining: 10, burned: 0, resets_at: null },
      { name: 'pace', max: 10, used: 0, remaining: 20, burned: 0, resets_at: null },
    ]);
    for (const [name, units] of [
      ['day', 30],
      ['ever', 10],
      ['pace', 15],
    ] as const) {
      await ledger.use(subject, version, limitsOf(said), name, units);
    }
    await ledger.use(subject, version, limitsOf(said), 'day', 5, 'killed', true);
    expect((await ask('GET', `${one}/usage`)).json['limits']).toMatchObject([
      { name: 'day', used: 35, remaining: 65, burned: 5 },
      { name: 'ever', used: 10, remaining: 0, burned: 0 },
      { name: 'pace', used: 15, remaining: 5 },
    ]);
    // Lowered below what is used: nothing remains, and nothing less than that.
    await ask('PATCH', one, { limits: [{ ...day, max: 20 }, ...said.slice(1)] });
    expect((await ask('GET', `${one}/usage`)).json['limits']).toMatchObject([
      { max: 20, used: 35, remaining: 0 },
      {},
      {},
    ]);
    await ask('PATCH', one, { limits: [{ ...day, max: 200 }] });
    expect((await ask('GET', `${one}/usage`)).json['limits']).toMatchObject([{ max: 200, used: 35, remaining: 165 }]);
    clock.advance(86_400_000);
    expect((await ask('GET', `${one}/usage`)).json['limits']).toMatchObject([{ used: 0, remaining: 200 }]);
  });

  test('are begun anew one by one, which is a change with an event of its own', async () => {
    const { limits: ledger } = admin.managed;
    const version = await put([day, { ...day, name: 'other' }]);
    for (const name of ['day', 'other']) {
      await ledger.use({ kind, id: 'one' }, version, limitsOf([day, { ...day, name: 'other' }]), name, 4);
    }
    ledger.calls.splice(0);
    const reply = await ask('POST', `${one}/limits/day/reset`);
    expect(reply.status).toBe(200);
    expect(reply.json['limits']).toMatchObject([
      { name: 'day', used: 0, remaining: 10 },
      { name: 'other', used: 4, remaining: 6 },
    ]);
    expect(reply.json[`${kind}_id`]).toBe('one');
    expect(ledger.calls).toEqual([`define ${kind} one 2`, `reset ${kind} one day:1d:window`, 'read']);
    expect((await ask('GET', one)).json).toMatchObject({
      version: 2,
      limits: [shownDay, { ...shownDay, name: 'other' }],
    });
    const { items } = await admin.managed.store.tokens.listEvents({ kind, id: 'one', limit: 10, after: null });
    expect(items.at(-1)).toMatchObject({
      actor: 'ops',
      action: 'reset_limit',
      changes: { limit_reset: { from: null, to: 'day' } },
    });
    // Nothing was used: that is no fault.
    expect((await ask('POST', `${one}/limits/day/reset`)).status).toBe(200);
    expect((await ask('GET', one)).json['version']).toBe(3);
  });

  test('are not begun anew when there is none of the name, of another version, or with a body that says something', async () => {
    await put([day]);
    const head = await admin.managed.store.feed.head();
    expect((await ask('POST', `${one}/limits/pace/reset`)).json['code']).toBe('not_found');
    expect((await ask('POST', `${all}/none/limits/day/reset`)).status).toBe(404);
    expect((await ask('POST', `${one}/limits/day/reset`, { to: 5 })).status).toBe(422);
    expect((await ask('POST', `${one}/limits/a%20b/reset`)).status).toBe(404);
    const stale = await admin.ask('POST', `${one}/limits/day/reset`, { fields: { 'if-match': '"9"' } });
    expect(stale.status).toBe(412);
    expect((await ask('POST', `${one}/limits/day/reset`, undefined, keys.read)).status).toBe(403);
    expect(await admin.managed.store.feed.head()).toEqual(head);
    admin.managed.limits.fate = 'answer lost';
    const lost = await ask('POST', `${one}/limits/day/reset`);
    expect([lost.status, lost.json['outcome']]).toEqual([503, 'unknown']);
  });
});

describe('limits in the README', () => {
  test('are taken as they stand there, by the API and by the command line', async () => {
    const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
    const [, section = ''] = readme.split('<!-- The next lines are run by test/admin/limits.test.ts. -->');
    const [, text = ''] = /```json\n([\s\S]*?)```/.exec(section) ?? [];
    const limits = JSON.parse(text) as readonly SaidLimit[];
    expect(limits).toHaveLength(3);
    const made = await ask('POST', '/v1/tokens', { limits });
    expect(made.json['token']!['limits']).toEqual(limits.map(limit => ({ algorithm: 'window', ...limit })));

    const [, lines = ''] = /```sh\n([\s\S]*?)```/.exec(section) ?? [];
    const env = { POSTERN_ADMIN_URL: `http://127.0.0.1:${admin.port}`, POSTERN_ADMIN_KEY: keys.admin };
    const commands = lines
      .trimEnd()
      .split('\n')
      .map(line => line.replace(/ *#.*/, '').split(' ').slice(1));
    expect(commands).toHaveLength(4);
    for (const args of commands) {
      const { code, stdout, stderr } = await command(args, { env });
      expect([args.join(' '), code, stderr]).toEqual([args.join(' '), 0, '']);
      if (args[0] === 'token') expect(stdout).toMatch(/^limits +day=5000\/1d, pace=10\/1s:bucket:50$/m);
      else if (args[1] === 'create') expect(stdout).toMatch(/^limits +month=100000\/1mo$/m);
      else expect(stdout).toMatch(/^LIMIT +MAX +USED +REMAINING +BURNED +RESETS AT\nmonth +100000 +0 +100000 +0 +20/m);
    }
    const [token] = (await ask('GET', '/v1/tokens?owner=acme')).json['tokens'] as unknown as { id: string }[];
    for (const args of [
      ['token', 'usage', token!.id],
      ['token', 'reset', token!.id, 'pace'],
    ]) {
      expect((await command(args, { env })).stdout).toMatch(/^pace +10 +0 +50 +0 +-$/m);
    }
    const updated = await command(['token', 'update', token!.id, '--limit', ''], { env });
    expect([updated.code, updated.stdout]).toEqual([0, expect.not.stringMatching(/^limits/m)]);
  });
});

describe('limits of an account', () => {
  test('are kept by the ledgers when it is deleted, and are those that are said when it is made again', async () => {
    await ask('PUT', '/v1/accounts/one', { limits: [day] });
    await ask('DELETE', '/v1/accounts/one');
    expect((await ask('GET', '/v1/accounts/one/usage')).status).toBe(404);
    const again = await ask('PUT', '/v1/accounts/one', {});
    expect(again.json).toMatchObject({ limits: [], version: 3 });
    expect(admin.managed.limits.calls.at(-1)).toBe('define account one 3');
  });
});

describe('limits of a token', () => {
  test('are those that it had then when it is asked for as it was', async () => {
    const { clock } = admin.managed;
    await ask('PUT', '/v1/tokens/one', { secret_sha256 });
    const times = [clock.wall()];
    for (const limits of [[day], [day, pace]]) {
      clock.advance(1000);
      await ask('PATCH', '/v1/tokens/one', { limits });
      times.push(clock.wall());
    }
    clock.advance(1000);
    await ask('POST', '/v1/tokens/one/limits/day/reset');
    const at = async (time: number) =>
      (await ask('GET', `/v1/tokens/one?at=${new Date(time).toISOString()}`)).json as unknown as object;
    expect(await at(times[0]!)).toMatchObject({ limits: [], version: 1 });
    expect(await at(times[1]!)).toMatchObject({ limits: [shownDay], version: 2 });
    expect(await at(times[2]!)).toMatchObject({ limits: [shownDay, pace], version: 3 });
    expect(await at(clock.wall())).toMatchObject({ limits: [shownDay, pace], version: 4 });
  });

  test('of the configuration are shown with what is left, and only changed there', async () => {
    const limits = limitsOf([day]);
    admin.managed.declared.set('conf', aDeclaredToken('conf', { limits }));
    expect((await ask('GET', '/v1/tokens/conf')).json['limits']).toEqual([shownDay]);
    await admin.managed.limits.use({ kind: 'token', id: 'conf' }, 0, limits, 'day', 3);
    expect((await ask('GET', '/v1/tokens/conf/usage')).json['limits']).toMatchObject([{ name: 'day', used: 3 }]);
    expect((await ask('POST', '/v1/tokens/conf/limits/day/reset')).json['code']).toBe('conflict');
  });

  test('that is revoked stay as they are', async () => {
    await ask('PUT', '/v1/tokens/one', { secret_sha256, limits: [day] });
    await ask('DELETE', '/v1/tokens/one');
    expect((await ask('POST', '/v1/tokens/one/limits/day/reset')).json['code']).toBe('conflict');
    expect((await ask('GET', '/v1/tokens/one/usage')).json['limits']).toHaveLength(1);
  });

  test("are an owner's key's to add and to lower, and neither to take away nor to raise", async () => {
    await ask('PUT', '/v1/accounts/acme', {});
    await ask('PUT', '/v1/tokens/one', { secret_sha256, owner: 'acme', limits: [day, pace] });
    const patch = (limits: unknown) => ask('PATCH', '/v1/tokens/one', { limits }, keys.owner);
    for (const [limits, pointers] of [
      [[], ['/limits', '/limits']],
      [null, ['/limits', '/limits']],
      [[pace], ['/limits']],
      [[day, { ...pace, burst: 21 }], ['/limits/1/burst']],
      [[{ ...day, max: 11 }, pace], ['/limits/0/max']],
      [[{ ...day, per: '1s' }, pace], ['/limits/0/per']],
      [[{ ...day, algorithm: 'bucket' }, pace], ['/limits/0/algorithm']],
      [[{ ...day, name: 'days' }, pace], ['/limits']],
    ] as const) {
      const reply = await patch(limits);
      expect([reply.status, reply.json['code']]).toEqual([403, 'forbidden']);
      expect(pointersOf(reply)).toEqual(pointers);
    }
    const replaced = await ask('PUT', '/v1/tokens/one', { secret_sha256 }, keys.owner);
    expect(replaced.status).toBe(403);
    expect((await ask('POST', '/v1/tokens/one/limits/day/reset', undefined, keys.owner)).status).toBe(403);
    expect((await ask('GET', '/v1/tokens/one')).json['version']).toBe(1);
    const lower = [
      { ...day, max: 5 },
      { ...pace, max: 1, burst: 2 },
      { ...day, name: 'mine', max: 3 },
    ];
    expect((await patch(lower)).json).toMatchObject({ limits: lower, version: 2 });
    expect((await ask('GET', '/v1/tokens/one/usage', undefined, keys.owner)).json['limits']).toHaveLength(3);
    const made = await ask('POST', '/v1/tokens', { limits: [day] }, keys.owner);
    expect(made.json['token']).toMatchObject({ owner: 'acme', limits: [shownDay] });
    for (const [method, path, json] of [
      ['PATCH', '/v1/accounts/acme', { limits: [] }],
      ['GET', '/v1/accounts/acme/usage', undefined],
      ['POST', '/v1/accounts/acme/limits/day/reset', undefined],
    ] as const) {
      expect((await ask(method, path, json, keys.owner)).status).toBe(403);
    }
  });
});
