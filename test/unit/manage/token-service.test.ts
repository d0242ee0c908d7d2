import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Problem, Refusal, StoreUnavailable } from '../../../src/errors.ts';
import { Faults } from '../../../src/manage/faults.ts';
import type { SaidMembers } from '../../../src/manage/token-members.ts';
import { TokenService } from '../../../src/manage/token-service.ts';
import type { TokenStore } from '../../../src/ports/token-store.ts';
import { aDeclaredToken, type Managed, openManaged, ops, secretMaker } from '../../support/managed.ts';

let managed: Managed;
beforeEach(async () => {
  managed = await openManaged();
});
afterEach(() => managed.dispose());

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const native = { kind: 'native' };
const create = (members: SaidMembers = {}) => managed.tokens.create(ops, { ...native, ...members });
const owned = (id = 'acme') => managed.accounts.create(ops, { id });
const events = async (id: string) => (await managed.tokens.events(ops, id, { limit: 100, after: null })).items;
const head = () => managed.store.feed.head();

/** What a call was refused with. */
async function refusal(call: Promise<unknown>): Promise<Problem> {
  const error = await call.then(
    () => new Error('it was not refused'),
    (thrown: unknown) => thrown,
  );
  if (error instanceof Refusal) return error.problem;
  throw error;
}
const code = async (call: Promise<unknown>) => (await refusal(call)).code;
const pointers = async (call: Promise<unknown>) => (await refusal(call)).errors?.map(({ pointer }) => pointer);

/** Runs something that must leave a token's version, the feed and the audit trail as they are. */
async function unchanged<T>(id: string, act: () => Promise<T>): Promise<T> {
  const look = async () => [await managed.store.tokens.getToken(id), await head(), await events(id)];
  const before = await look();
  const applied = managed.applied.length;
  const result = await act();
  expect(await look()).toEqual(before);
  expect(managed.applied).toHaveLength(applied);
  return result;
}

describe('making tokens', () => {
  test('a token is made with defaults, an id of ours, and a secret that is kept as a digest alone', async () => {
    const { token, secret } = await create();
    expect(token).toMatchObject({
      name: '',
      owner: null,
      kind: 'native',
      state: 'enabled',
      notBefore: null,
      expiresAt: null,
      permissions: [],
      extra: {},
      tags: [],
      version: 1,
      lastUsedAt: null,
      createdAt: managed.clock.wall(),
      updatedAt: managed.clock.wall(),
    });
    expect(token.id).toMatch(/^tok_[0-9A-Za-z]{20}$/);
    expect(token.hint).toBe(`pst_…${secret!.slice(-4)}`);
    expect(token).not.toHaveProperty('digest');
    expect(token).not.toHaveProperty('previous');
    const stored = await managed.store.tokens.getToken(token.id);
    expect(stored?.token.digest).toBe(sha256(secret!));
    expect(JSON.stringify(stored)).not.toContain(secret);
  });

  test('a token holds on this process before its creation is answered, and so does every change', async () => {
    const applied = () => managed.applied.map(({ id, version }) => `${id} ${version}`);
    const { token } = await create();
    expect(applied()).toEqual([`${token.id} 1`]);
    await managed.tokens.disable({ actor: ops, id: token.id });
    await managed.tokens.rotate({ actor: ops, id: token.id }, 0);
    await managed.tokens.revoke({ actor: ops, id: token.id });
    expect(applied()).toEqual([1, 2, 3, 4].map(version => `${token.id} ${version}`));
  });

  test('everything that is wrong is said at once, the owner that does not exist included', async () => {
    const faults = new Faults();
    faults.add('/unknown', 'is not a member of this');
    const now = managed.clock.wall();
    const members: SaidMembers = {
      name: 'a\nb',
      owner: 'nobody',
      notBefore: now - 1,
      expiresAt: now - 1,
      permissions: { 'a..b': true, ok: true, '7': false },
      extra: { a: 'x'.repeat(64 * 1024) },
      tags: ['one', 'one', '', 'x'.repeat(65)],
    };
    expect(await pointers(managed.tokens.create(ops, { ...native, ...members }, null, faults))).toEqual([
      '/unknown',
      '/name',
      '/tags/1',
      '/tags/2',
      '/tags/3',
      '/permissions/7',
      '/permissions/a..b',
      '/extra',
      '/not_before',
      '/expires_at',
      '/owner',
    ]);
  });

  test.each<[string, SaidMembers]>([
    ['a name of 257 characters', { name: 'x'.repeat(257) }],
    ['a name with a control character', { name: 'x\u0000' }],
    ['65 tags', { tags: Array.from({ length: 65 }, (_, i) => `t${i}`) }],
    ['1001 permissions', { permissions: Array.from({ length: 1001 }, (_, i) => `a${i}`) }],
    ['a permission with a quote', { permissions: ['a"b'] }],
    ['an end at this very millisecond', { expiresAt: Date.UTC(2030, 0, 1) }],
  ])('%s is refused', async (_what, members) => {
    expect(await code(create(members))).toBe('validation_failed');
  });

  test.each<[string, SaidMembers]>([
    ['a name of 256 characters of any script', { name: '𝒳'.repeat(128) + 'é'.repeat(128) }],
    ['64 tags of 64 characters', { tags: Array.from({ length: 64 }, (_, i) => String(i).padEnd(64, '.')) }],
    ['1000 permissions', { permissions: Array.from({ length: 1000 }, (_, i) => `a${i}`) }],
    ['64 KiB of extra', { extra: { a: 'x'.repeat(64 * 1024 - 8) } }],
    ['an end in a millisecond', { expiresAt: Date.UTC(2030, 0, 1) + 1 }],
  ])('%s is taken', async (_what, members) => {
    expect((await create(members)).token).toMatchObject(members);
  });

  test('an owner has to exist', async () => {
    expect(await pointers(create({ owner: 'nobody' }))).toEqual(['/owner']);
    await owned('gone');
    await managed.accounts.remove({ actor: ops, id: 'gone' });
    expect(await pointers(create({ owner: 'gone' }))).toEqual(['/owner']);
    await owned();
    expect((await create({ owner: 'acme' })).token.owner).toBe('acme');
  });

  test("a token made in the millisecond of its owner's mark lives, one millisecond younger", async () => {
    await owned();
    await create({ owner: 'acme' });
    const { revokedBefore } = await managed.accounts.revokeTokens({ actor: ops, id: 'acme' });
    const { token } = await create({ owner: 'acme' });
    expect(token.createdAt).toBe(revokedBefore + 1);
    expect((await managed.tokens.get(ops, token.id)).state).toBe('enabled');
  });
});

describe('secrets that an API shows again', () => {
  const sealed = (id: string, secret: string): string => `sealed:${id}:${secret}`;
  const copyOf = async (id: string) => (await managed.store.tokens.getToken(id))?.token.sealed;

  test('are kept as the API seals them, and handed to nobody else', async () => {
    const { token, secret } = await managed.tokens.create(ops, { ...native, sealed });
    expect(await copyOf(token.id)).toBe(sealed(token.id, secret!));
    const plain = await create();
    expect(await copyOf(plain.token.id)).toBeNull();
    const looks = [
      token,
      await managed.tokens.get(ops, token.id),
      await managed.tokens.at(ops, token.id, managed.clock.wall()),
      await managed.tokens.patch({ actor: ops, id: token.id }, { name: 'x' }),
      await managed.tokens.list(ops, {}, 10, { from: 'declared', at: 0 }),
      await events(token.id),
      (await managed.store.tokens.find([managed.parts.secrets.digest(sha256(secret!))]))?.index,
    ];
    expect(JSON.stringify(looks)).not.toContain('sealed');
    expect(await copyOf(token.id)).toBe(sealed(token.id, secret!));
  });

  test('are read together, of tokens within reach', async () => {
    await owned();
    await owned('other');
    const mine = await managed.tokens.create(ops, { ...native, owner: 'acme', sealed });
    const other = await managed.tokens.create(ops, { ...native, owner: 'other', sealed });
    const plain = await create({ owner: 'acme' });
    const ids = [mine, other, plain].map(({ token }) => token.id);
    const manager = { ...ops, scope: { account: 'acme' } };
    expect([...(await managed.tokens.sealed(manager, [...ids, 'nobody'])).keys()]).toEqual([ids[0]]);
    expect([...(await managed.tokens.sealed(ops, ids)).keys()]).toEqual(ids.slice(0, 2));
  });

  test('go with the secret: a new one takes the place of the copy, or leaves none', async () => {
    const { id } = (await managed.tokens.create(ops, { ...native, sealed })).token;
    const { secret } = await managed.tokens.rotate({ actor: ops, id }, 60_000, sealed);
    expect(await copyOf(id)).toBe(sealed(id, secret));
    await managed.tokens.rotate({ actor: ops, id }, 60_000);
    expect(await copyOf(id)).toBeNull();
    const declared = await managed.tokens.create(ops, { ...native, sealed });
    const put = { ...native, secretSha256: sha256('another') };
    await managed.tokens.put({ actor: ops, id: declared.token.id }, put);
    expect(await copyOf(declared.token.id)).toBeNull();
  });
});

describe('creations that may be asked for twice', () => {
  const key = { key: 'k1', body: '{"name":"a"}' };
  const ask = (repeatable = key, actor = ops) => managed.tokens.create(actor, { ...native, name: 'a' }, repeatable);

  test('answers with the token also when it has come to its end since', async () => {
    const shortLived = { ...native, name: 'a', expiresAt: managed.clock.wall() + 1000 };
    const { token } = await managed.tokens.create(ops, shortLived, key);
    managed.clock.advance(2000);
    expect(await managed.tokens.create(ops, shortLived, key)).toMatchObject({ token: { id: token.id }, secret: null });
    expect(await code(managed.tokens.create(ops, shortLived))).toBe('validation_failed');
  });

  test('the same key and body answer with the same token as it is now, and never again with the secret', async () => {
    const first = await ask();
    await managed.tokens.disable({ actor: ops, id: first.token.id });
    const again = await ask();
    expect(again).toEqual({ token: await managed.tokens.get(ops, first.token.id), secret: null });
    expect(again.token.state).toBe('disabled');
  });

  test('the same key with another body is refused', async () => {
    await ask();
    expect(await code(ask({ ...key, body: '{"name":"b"}' }))).toBe('validation_failed');
  });

  test('keys of different actors have nothing to do with one another', async () => {
    const mine = await ask();
    const theirs = await ask(key, { name: 'other', address: '192.0.2.2', scope: null });
    expect(theirs.token.id).not.toBe(mine.token.id);
    expect(theirs.secret).not.toBeNull();
  });

  test('a key is good for 24 hours', async () => {
    const first = await ask();
    managed.clock.advance(24 * 3_600_000 - 1);
    expect((await ask()).token.id).toBe(first.token.id);
    managed.clock.advance(1);
    expect((await ask()).token.id).not.toBe(first.token.id);
  });

  test('of ten at once one makes the token, and the others are told of it', async () => {
    const all = await Promise.all(Array.from({ length: 10 }, () => ask()));
    expect(new Set(all.map(({ token }) => token.id)).size).toBe(1);
    expect(all.filter(({ secret }) => secret !== null)).toHaveLength(1);
  });
});

describe('declaring tokens', () => {
  const secret = sha256('a secret of somebody');
  const put = (members: SaidMembers = {}, secretSha256 = secret, id = 'ci') =>
    managed.tokens.put({ actor: ops, id }, { ...native, secretSha256, ...members });

  test('the first declaration makes the token, the same again changes nothing', async () => {
    const first = await put({ name: 'CI', permissions: { a: true, b: false }, extra: { x: { y: 1, z: 2 } } });
    expect(first.created).toBe(true);
    expect(first.token).toMatchObject({ id: 'ci', name: 'CI', hint: null, version: 1 });
    managed.clock.advance(1000);
    const again = await unchanged('ci', () =>
      put({ name: 'CI', permissions: { a: true, b: false }, extra: { x: { z: 2, y: 1 } } }),
    );
    expect(again).toEqual({ token: first.token, created: false });
  });

  test('the order of a map of permissions is part of what is declared', async () => {
    await put({ permissions: { '*': true, a: false } });
    expect((await put({ permissions: { a: false, '*': true } })).token.version).toBe(2);
  });

  test('what is left out is as at the beginning, the state too', async () => {
    await put({ name: 'CI', permissions: ['a'], tags: ['t'], extra: { x: 1 }, expiresAt: managed.clock.wall() + 1 });
    await managed.tokens.disable({ actor: ops, id: 'ci' });
    const { token, created } = await put();
    expect(created).toBe(false);
    expect(token).toMatchObject({ name: '', permissions: [], tags: [], extra: {}, expiresAt: null, state: 'enabled' });
  });

  test('another secret takes the place of the old one, which stops at once', async () => {
    await put();
    await put({}, sha256('another'));
    expect(await managed.store.tokens.find([secret])).toBeNull();
    expect((await managed.store.tokens.find([sha256('another')]))?.token.id).toBe('ci');
  });

  test('a secret in capital hex digits is the same secret', async () => {
    const { token } = await put();
    expect((await unchanged('ci', () => put({}, secret.toUpperCase()))).token).toEqual(token);
  });

  test('a secret that is at rest under an older pepper is the same secret', async () => {
    const old = { id: 'p1', key: Buffer.alloc(32, 1) };
    const young = { id: 'p2', key: Buffer.alloc(32, 2) };
    const under = (...peppers: (typeof old)[]) =>
      new TokenService({ ...managed.parts, secrets: secretMaker(peppers) }).put(
        { actor: ops, id: 'ci' },
        { ...native, secretSha256: secret },
      );
    await under(old);
    await unchanged('ci', () => under(young, old));
    const other = new TokenService({ ...managed.parts, secrets: secretMaker([young, old]) });
    const taken = other.put({ actor: ops, id: 'other' }, { ...native, secretSha256: secret });
    expect((await refusal(taken)).detail).toBe('Another token has this secret.');
  });

  test('a secret of another token is refused, current, still living or declared', async () => {
    await put();
    expect(await code(put({}, secret, 'other'))).toBe('conflict');
    await managed.tokens.rotate({ actor: ops, id: 'ci' }, 60_000);
    expect(await code(put({}, secret, 'other'))).toBe('conflict');
    const digest = sha256('declared');
    managed.declared.set('conf', aDeclaredToken('conf', { digest }));
    expect(await code(put({}, digest, 'other'))).toBe('conflict');
    expect(await managed.store.tokens.getToken('other')).toBeNull();
  });

  test('a revoked id stays a tombstone', async () => {
    await put();
    await managed.tokens.revoke({ actor: ops, id: 'ci' });
    expect(await code(unchanged('ci', () => put().catch(error => Promise.reject(error))))).toBe('conflict');
  });

  test('a secret that is no SHA-256 is refused with everything else', async () => {
    expect(await pointers(put({ name: '\n', owner: 'nobody' }, 'abc'))).toEqual(['/secret_sha256', '/name', '/owner']);
    await put();
    expect(await pointers(put({ name: '\n', owner: 'nobody' }, 'abc'))).toEqual(['/secret_sha256', '/name', '/owner']);
  });

  test('a token may be declared with an end in the past, and from ten at once one is made', async () => {
    const expiresAt = managed.clock.wall() - 1;
    const all = await Promise.all(Array.from({ length: 10 }, () => put({ expiresAt })));
    expect(all.filter(({ created }) => created)).toHaveLength(1);
    expect(all.every(({ token }) => token.version === 1)).toBe(true);
  });
});

describe('changing tokens', () => {
  test('null takes a member back to its default', async () => {
    await owned();
    const now = managed.clock.wall();
    const { token } = await create({
      name: 'a',
      owner: 'acme',
      state: 'disabled',
      notBefore: now,
      expiresAt: now + 1000,
      permissions: ['a'],
      extra: { x: 1 },
      tags: ['t'],
    });
    const all = { name: null, owner: null, state: null, notBefore: null, expiresAt: null } as const;
    const patched = await managed.tokens.patch(
      { actor: ops, id: token.id },
      { ...all, permissions: null, extra: null, tags: null },
    );
    const fresh = { name: '', owner: null, state: 'enabled', notBefore: null, expiresAt: null } as const;
    expect(patched).toMatchObject({ ...fresh, permissions: [], extra: {}, tags: [], version: 2 });
  });

  test('extra and a map of permissions are merged, a list replaces, and what is not said stays', async () => {
    const { token } = await create({
      name: 'a',
      permissions: { a: true, b: true },
      extra: { x: { y: 1, z: 2 }, l: [1] },
    });
    const request = { actor: ops, id: token.id };
    const merged = await managed.tokens.patch(request, {
      permissions: { a: false, b: null, c: true },
      extra: { x: { y: null, w: 3 }, l: [2] },
    });
    expect(Object.entries(merged.permissions)).toEqual([
      ['a', false],
      ['c', true],
    ]);
    expect(merged.extra).toEqual({ x: { z: 2, w: 3 }, l: [2] });
    expect(merged.name).toBe('a');
    expect((await managed.tokens.patch(request, { permissions: ['d'] })).permissions).toEqual(['d']);
    expect((await managed.tokens.patch(request, { permissions: { e: true, f: null } })).permissions).toEqual({
      e: true,
    });
  });

  test('what only the merge makes too large, or out of order, is refused', async () => {
    const now = managed.clock.wall();
    const { token } = await create({ extra: { a: 'x'.repeat(40_000) }, expiresAt: now + 10, permissions: { a: true } });
    const more = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`b${i}`, true]));
    const patch = { extra: { b: 'x'.repeat(40_000) }, notBefore: now + 10, permissions: more };
    expect(
      await pointers(unchanged(token.id, () => managed.tokens.patch({ actor: ops, id: token.id }, patch))),
    ).toEqual(['/permissions', '/extra', '/not_before']);
  });

  test('a change that changes nothing changes neither version nor time, feed or audit trail', async () => {
    const { token } = await create({ name: 'a', permissions: ['a'], extra: { x: [1, { y: 2 }] } });
    const request = { actor: ops, id: token.id };
    managed.clock.advance(1000);
    await unchanged(token.id, () => managed.tokens.patch(request, {}));
    await unchanged(token.id, () => managed.tokens.patch(request, { name: 'a', extra: { x: [1, { y: 2 }], z: null } }));
    await unchanged(token.id, () => managed.tokens.enable(request));
    await unchanged(token.id, () => managed.tokens.replacePermissions(request, ['a']));
  });

  test('twenty changes at once are all made', async () => {
    const { token } = await create();
    const patches = Array.from({ length: 20 }, (_, i) => ({ extra: { [`k${i}`]: i } }));
    await Promise.all(patches.map(patch => managed.tokens.patch({ actor: ops, id: token.id }, patch)));
    const after = await managed.tokens.get(ops, token.id);
    expect(Object.keys(after.extra)).toHaveLength(20);
    expect(after.version).toBe(21);
    expect(await events(token.id)).toHaveLength(21);
  });

  test('of twenty changes of one version at once, each on the condition that it is that version, one is made', async () => {
    const { token } = await create();
    const precondition = (version: number | null) => version === 1;
    const all = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) =>
        managed.tokens.patch({ actor: ops, id: token.id, precondition }, { name: `n${i}` }),
      ),
    );
    expect(all.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const reasons = all.flatMap(result =>
      result.status === 'rejected' ? (result.reason as Refusal).problem.code : [],
    );
    expect(new Set(reasons)).toEqual(new Set(['version_mismatch']));
  });

  test('what does not exist, and what is revoked, cannot be changed', async () => {
    const missing = { actor: ops, id: 'nothing' };
    for (const call of changesOf(missing)) expect(await code(call())).toBe('not_found');
    const { token } = await create();
    await managed.tokens.revoke({ actor: ops, id: token.id });
    for (const call of changesOf({ actor: ops, id: token.id })) {
      expect(await code(unchanged(token.id, call))).toBe('conflict');
    }
  });

  test("a token under its owner's mark is revoked in every respect", async () => {
    await owned();
    await owned('other');
    const { token } = await create({ owner: 'acme' });
    await managed.accounts.revokeTokens({ actor: ops, id: 'acme' });
    expect((await managed.tokens.get(ops, token.id)).state).toBe('revoked');
    for (const call of changesOf({ actor: ops, id: token.id })) {
      expect(await code(unchanged(token.id, call))).toBe('conflict');
    }
    const move = managed.tokens.patch({ actor: ops, id: token.id }, { owner: 'other' });
    expect(await code(move)).toBe('conflict');
    const { token: revoked } = await unchanged(token.id, () => managed.tokens.revoke({ actor: ops, id: token.id }));
    expect(revoked.state).toBe('revoked');
  });

  test('a token can be given to another owner, but not to one that is gone or whose mark would end it', async () => {
    await owned();
    await owned('marked');
    await owned('gone');
    const { token } = await create({ owner: 'acme' });
    await managed.accounts.revokeTokens({ actor: ops, id: 'marked' });
    await managed.accounts.remove({ actor: ops, id: 'gone' });
    const move = (owner: string) => managed.tokens.patch({ actor: ops, id: token.id }, { owner });
    expect(await code(unchanged(token.id, () => move('marked')))).toBe('conflict');
    expect(await pointers(unchanged(token.id, () => move('gone')))).toEqual(['/owner']);
    expect(await pointers(unchanged(token.id, () => move('nobody')))).toEqual(['/owner']);
    await owned('other');
    expect((await move('other')).owner).toBe('other');
  });

  test('a token whose owner is gone is revoked, and a token can be disabled whatever its members are', async () => {
    await owned();
    const { token } = await create({ owner: 'acme' });
    await managed.accounts.patch({ actor: ops, id: 'acme' }, { enabled: false });
    expect((await managed.tokens.disable({ actor: ops, id: token.id })).state).toBe('disabled');
    await managed.accounts.remove({ actor: ops, id: 'acme' });
    expect((await managed.tokens.get(ops, token.id)).state).toBe('revoked');
  });

  /** Every way to change a token that is not revoked. */
  const changesOf = (request: { actor: typeof ops; id: string }): (() => Promise<unknown>)[] => [
    () => managed.tokens.patch(request, { name: 'x' }),
    () => managed.tokens.enable(request),
    () => managed.tokens.disable(request),
    () => managed.tokens.rotate(request, 0),
    () => managed.tokens.replacePermissions(request, ['x']),
    () => managed.tokens.mergePermissions(request, { x: true }),
  ];
});

describe('secrets', () => {
  const rotate = (id: string, graceMs = 0) => managed.tokens.rotate({ actor: ops, id }, graceMs);
  const finds = async (secret: string) => (await managed.store.tokens.find([sha256(secret)]))?.token.id;

  test('without grace the old secret stops at once', async () => {
    const { token, secret } = await create();
    const rotated = await rotate(token.id);
    expect(await finds(secret!)).toBeUndefined();
    expect(await finds(rotated.secret)).toBe(token.id);
    expect(rotated.token).toMatchObject({ id: token.id, version: 2, hint: `pst_…${rotated.secret.slice(-4)}` });
  });

  test('with grace one old secret lives on until its end, and no second one', async () => {
    const { token, secret: first } = await create();
    const { secret: second } = await rotate(token.id, 1000);
    expect([await finds(first!), await finds(second)]).toEqual([token.id, token.id]);
    const { secret: third } = await rotate(token.id, 1000);
    expect([await finds(first!), await finds(second), await finds(third)]).toEqual([undefined, token.id, token.id]);
    managed.clock.advance(1000);
    expect([await finds(second), await finds(third)]).toEqual([undefined, token.id]);
  });

  test('an old secret lives no longer than the token', async () => {
    const expiresAt = managed.clock.wall() + 500;
    const { token } = await create({ expiresAt });
    await rotate(token.id, 1000);
    expect((await managed.store.tokens.getToken(token.id))?.token.previous?.until).toBe(expiresAt);
    managed.clock.advance(500);
    await rotate(token.id, 1000);
    expect((await managed.store.tokens.getToken(token.id))?.token.previous).toBeNull();
  });

  test('a grace over 30 days is refused', async () => {
    const { token } = await create();
    await rotate(token.id, 30 * 86_400_000);
    expect(await pointers(unchanged(token.id, () => rotate(token.id, 30 * 86_400_000 + 1)))).toEqual(['/grace']);
  });
});

describe('revoking', () => {
  test('a token is revoked once, acknowledged each time, and stays as a tombstone', async () => {
    const { token, secret } = await create();
    const done = await managed.tokens.revoke({ actor: ops, id: token.id });
    expect(done).toMatchObject({ token: { state: 'revoked', version: 2 }, acknowledged: ['p1'], pending: [] });
    expect(await unchanged(token.id, () => managed.tokens.revoke({ actor: ops, id: token.id }))).toEqual(done);
    expect((await managed.store.tokens.find([sha256(secret!)]))?.token.state).toBe('revoked');
    expect(await code(managed.tokens.revoke({ actor: ops, id: 'nothing' }))).toBe('not_found');
  });

  test('of ten revocations at once one changes the token', async () => {
    const { token } = await create();
    await Promise.all(Array.from({ length: 10 }, () => managed.tokens.revoke({ actor: ops, id: token.id })));
    expect((await events(token.id)).map(({ action }) => action)).toEqual(['create', 'revoke']);
  });
});

describe('permissions in every form', () => {
  const grants = [
    { resources: ['db/sales', 'db/*'], actions: { 'db.*': true, 'db.drop': false } },
    { resources: ['*'], actions: { '*': false } },
  ];

  test('are kept as they were given, and replace one another', async () => {
    await owned();
    const { token } = await create({ owner: 'acme', permissions: grants });
    expect(token.permissions).toEqual(grants);
    const request = { actor: ops, id: token.id };
    const forms = [['a'], 'inherit', { a: true, b: false }, grants, [], 'inherit', grants] as const;
    for (const permissions of forms) {
      expect((await managed.tokens.replacePermissions(request, permissions)).permissions).toEqual(permissions);
    }
    // A map has nothing to be merged into: it replaces, as RFC 7396 has it.
    expect((await managed.tokens.patch(request, { permissions: { a: true, b: null } })).permissions).toEqual({
      a: true,
    });
    for (const permissions of forms) {
      expect((await managed.tokens.patch(request, { permissions })).permissions).toEqual(permissions);
    }
    await managed.tokens.patch(request, { permissions: 'inherit' });
    expect((await managed.tokens.patch(request, { permissions: { c: false } })).permissions).toEqual({ c: false });
  });

  test('only a map is merged into a map by itself', async () => {
    await owned();
    const { token } = await create({ owner: 'acme', permissions: { a: true } });
    const request = { actor: ops, id: token.id };
    for (const patch of [grants, 'inherit', ['a']] as const) {
      expect(await code(unchanged(token.id, () => managed.tokens.mergePermissions(request, patch)))).toBe('conflict');
    }
    for (const permissions of [grants, 'inherit', ['a']] as const) {
      await managed.tokens.replacePermissions(request, permissions);
      expect(await code(unchanged(token.id, () => managed.tokens.mergePermissions(request, {})))).toBe('conflict');
    }
  });

  test('the order of grants, and of actions within one, is part of what was said', async () => {
    const { token } = await create({ permissions: grants });
    const request = { actor: ops, id: token.id };
    const turned = [{ resources: ['db/sales', 'db/*'], actions: { 'db.drop': false, 'db.*': true } }, grants[1]!];
    await unchanged(token.id, () => managed.tokens.replacePermissions(request, grants));
    expect((await managed.tokens.replacePermissions(request, turned)).version).toBe(2);
    expect((await managed.tokens.replacePermissions(request, grants.toReversed())).version).toBe(3);
  });

  test('nobody inherits from nobody: not when made, replaced, patched, nor when its owner is taken away', async () => {
    await owned();
    const inherit = { permissions: 'inherit' } as const;
    expect(await pointers(create(inherit))).toEqual(['/permissions']);
    const secretSha256 = sha256('x');
    expect(
      await pointers(managed.tokens.put({ actor: ops, id: 'ci' }, { ...native, ...inherit, secretSha256 })),
    ).toEqual(['/permissions']);
    const { token: alone } = await create();
    const { token } = await create({ owner: 'acme', ...inherit });
    const [loner, request] = [
      { actor: ops, id: alone.id },
      { actor: ops, id: token.id },
    ];
    for (const [call, pointer] of [
      [() => managed.tokens.patch(loner, inherit), '/permissions'],
      [() => managed.tokens.replacePermissions(loner, 'inherit'), ''],
      [() => managed.tokens.patch(request, { owner: null }), '/permissions'],
      [() => managed.tokens.put(request, { ...native, ...inherit, secretSha256 }), '/permissions'],
    ] as const) {
      expect(await pointers(unchanged<unknown>(alone.id, () => unchanged<unknown>(token.id, call)))).toEqual([pointer]);
    }
    expect(await managed.tokens.patch(loner, { owner: 'acme', ...inherit })).toMatchObject(inherit);
    expect(await managed.tokens.patch(request, { owner: null, permissions: null })).toMatchObject({ permissions: [] });
  });

  test('every mistake in grants is told with its place', async () => {
    const permissions = [
      { resources: ['db//x', 'ok/*', '', 'a*'], actions: { a: true, 'b c': true, '7': false } },
      { resources: [], actions: {} },
    ];
    expect(await pointers(create({ permissions }))).toEqual([
      '/permissions/0/resources/0',
      '/permissions/0/resources/2',
      '/permissions/0/resources/3',
      '/permissions/0/actions/7',
      '/permissions/0/actions/b c',
      '/permissions/1/resources',
      '/permissions/1/actions',
    ]);
    const many = (n: number) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`a${i}`, true]));
    const resources = Array.from({ length: 101 }, (_, i) => `r${i}`);
    expect(await pointers(create({ permissions: [{ resources, actions: many(100) }] }))).toEqual(['/permissions']);
    await create({ permissions: [{ resources: resources.slice(1), actions: many(100) }] });
  });
});

describe('the mode', () => {
  test('is enforce unless said otherwise, and is changed and taken back like any member', async () => {
    const { token } = await create();
    expect(token.mode).toBe('enforce');
    const request = { actor: ops, id: token.id };
    expect(await managed.tokens.patch(request, { mode: 'shadow' })).toMatchObject({ mode: 'shadow', version: 2 });
    await unchanged(token.id, () => managed.tokens.patch(request, { mode: 'shadow' }));
    expect(await managed.tokens.patch(request, { mode: null })).toMatchObject({ mode: 'enforce', version: 3 });
    expect((await events(token.id)).slice(1).map(({ changes }) => changes)).toEqual([
      { mode: { from: 'enforce', to: 'shadow' } },
      { mode: { from: 'shadow', to: 'enforce' } },
    ]);
  });
});

describe('permissions by themselves', () => {
  test('they are replaced, or a map is merged into a map', async () => {
    const { token } = await create({ permissions: { a: true } });
    const request = { actor: ops, id: token.id };
    expect((await managed.tokens.mergePermissions(request, { b: false, a: null })).permissions).toEqual({ b: false });
    expect((await managed.tokens.replacePermissions(request, ['x', 'y'])).permissions).toEqual(['x', 'y']);
    expect(await code(unchanged(token.id, () => managed.tokens.mergePermissions(request, { z: true })))).toBe(
      'conflict',
    );
    await managed.tokens.replacePermissions(request, []);
    expect((await managed.tokens.mergePermissions(request, { z: true })).permissions).toEqual({ z: true });
    expect(await code(managed.tokens.mergePermissions(request, ['z']))).toBe('conflict');
  });

  test('pointers begin at the permissions', async () => {
    const { token } = await create();
    const request = { actor: ops, id: token.id };
    expect(await pointers(managed.tokens.replacePermissions(request, ['a', '']))).toEqual(['/1']);
    expect(await pointers(managed.tokens.mergePermissions(request, { 'a b': true, 'c/d~': true, '1': true }))).toEqual([
      '/1',
      '/a b',
    ]);
  });
});

describe('declared tokens', () => {
  test('they are shown, and every change of them is refused as one of the configuration', async () => {
    managed.declared.set('conf', aDeclaredToken('conf', { permissions: ['a'] }));
    expect(await managed.tokens.get(ops, 'conf')).toMatchObject({ id: 'conf', kind: 'declared', permissions: ['a'] });
    const request = { actor: ops, id: 'conf' };
    const calls = [
      managed.tokens.patch(request, { name: 'x' }),
      managed.tokens.put(request, { ...native, secretSha256: sha256('x') }),
      managed.tokens.enable(request),
      managed.tokens.disable(request),
      managed.tokens.rotate(request, 0),
      managed.tokens.revoke(request),
      managed.tokens.replacePermissions(request, []),
      managed.tokens.mergePermissions(request, {}),
    ];
    for (const call of calls) {
      const { code, detail } = await refusal(call);
      expect(code).toBe('conflict');
      expect(detail).toMatch(/declared in the configuration/);
    }
    expect(await managed.store.tokens.getToken('conf')).toBeNull();
  });

  test('they stand before the others in lists, follow the same filters, and pages run on from one to the other', async () => {
    await owned();
    for (let i = 0; i < 5; i++) {
      const id = `d${i}`;
      managed.declared.set(id, aDeclaredToken(id, { owner: i % 2 ? 'acme' : null, tags: i === 1 ? ['t'] : [] }));
    }
    for (let i = 0; i < 4; i++) await create({ name: `s${i}`, owner: i % 2 ? 'acme' : null });
    const all = async (limit: number, filter = {}) => {
      const names: string[] = [];
      let position: Parameters<typeof managed.tokens.list>[3] | null = { from: 'declared', at: 0 };
      while (position !== null) {
        const { tokens, next }: Awaited<ReturnType<typeof managed.tokens.list>> = await managed.tokens.list(
          ops,
          filter,
          limit,
          position,
        );
        expect(tokens.length).toBeLessThanOrEqual(limit);
        if (next !== null) expect(tokens).toHaveLength(limit);
        names.push(...tokens.map(({ id, name, kind }) => (kind === 'declared' ? id : name)));
        position = next;
      }
      return names;
    };
    const expected = ['d0', 'd1', 'd2', 'd3', 'd4', 's0', 's1', 's2', 's3'];
    for (const limit of [1, 2, 3, 4, 5, 6, 9, 10]) expect(await all(limit)).toEqual(expected);
    expect(await all(2, { owner: 'acme' })).toEqual(['d1', 'd3', 's1', 's3']);
    expect(await all(2, { kind: 'declared' })).toEqual(['d0', 'd1', 'd2', 'd3', 'd4']);
    expect(await all(2, { tag: 't' })).toEqual(['d1']);
    expect(await all(2, { state: 'disabled' })).toEqual([]);
    managed.clock.advance(1000);
    await managed.accounts.revokeTokens({ actor: ops, id: 'acme' });
    expect(await all(2)).toEqual(['d0', 'd2', 'd4', 's0', 's2']);
    expect(await all(2, { state: 'revoked' })).toEqual(['d1', 'd3', 's1', 's3']);
  });

  test('their use can be read', async () => {
    managed.declared.set('conf', aDeclaredToken('conf'));
    managed.use('conf', { allowed: 3 });
    expect((await managed.tokens.usage(ops, 'conf', { step: '1h' })).total.allowed).toBe(3);
    expect((await managed.tokens.get(ops, 'conf')).lastUsedAt).toBe(managed.clock.wall());
    expect((await managed.tokens.events(ops, 'conf', { limit: 1, after: null })).items).toEqual([]);
  });
});

describe('use', () => {
  const hour = 3_600_000;
  const range = (more: object = {}) => ({ step: '1h' as const, ...more });

  test('what was counted on this process before the call is in the answer', async () => {
    const { token } = await create();
    managed.use(token.id, { allowed: 2, status: { '2xx': 2 }, bytesIn: 10 });
    expect((await managed.tokens.get(ops, token.id)).lastUsedAt).toBe(managed.clock.wall());
    managed.use(token.id, { refused: { insufficient_scope: 1 }, status: { '4xx': 1 } });
    const { total, series } = await managed.tokens.usage(ops, token.id, range());
    const expected = {
      allowed: 2,
      refused: { insufficient_scope: 1 },
      status: { '2xx': 2, '4xx': 1 },
      bytesIn: 10,
      bytesOut: 0,
      lastUsedAt: managed.clock.wall(),
    };
    expect(total).toEqual(expected);
    expect(series).toEqual([{ at: managed.clock.wall(), usage: expected }]);
    const listed = await managed.tokens.list(ops, {}, 10, { from: 'declared', at: 0 });
    expect(listed.tokens[0]?.lastUsedAt).toBe(managed.clock.wall());
  });

  test('use changes neither version nor the answer of a change', async () => {
    const { token } = await create();
    managed.use(token.id, { allowed: 1 });
    const patched = await managed.tokens.patch({ actor: ops, id: token.id }, { name: 'x' });
    expect(patched).toMatchObject({ version: 2, lastUsedAt: managed.clock.wall() });
  });

  test('the total is of all time, or the sum of the range that was asked for', async () => {
    const { token } = await create();
    for (let i = 0; i < 30; i++) {
      managed.use(token.id, { allowed: 1 });
      managed.clock.advance(hour);
    }
    const now = managed.clock.wall();
    const whole = await managed.tokens.usage(ops, token.id, range());
    expect(whole).toMatchObject({ from: now - 24 * hour, to: now, total: { allowed: 30 } });
    expect(whole.series).toHaveLength(24);
    const some = await managed.tokens.usage(ops, token.id, range({ from: now - 3 * hour }));
    expect(some).toMatchObject({ total: { allowed: 3 } });
    const inside = await managed.tokens.usage(ops, token.id, range({ from: now - 3 * hour, to: now - hour }));
    expect(inside).toMatchObject({ total: { allowed: 2 }, series: [{ at: now - 3 * hour }, { at: now - 2 * hour }] });
    const days = await managed.tokens.usage(ops, token.id, { step: '1d', from: now - 40 * hour });
    expect(days.total.allowed).toBe(30);
    expect(days.series.map(({ usage }) => usage.allowed)).toEqual([24, 6]);
  });

  test('a range begins with the bucket that it touches', async () => {
    const { token } = await create();
    managed.use(token.id, { allowed: 1 });
    const from = managed.clock.wall();
    managed.clock.advance(hour / 2);
    const report = await managed.tokens.usage(ops, token.id, range({ from: from + 1000 }));
    expect(report).toMatchObject({ from, total: { allowed: 1 } });
  });

  test('at most 1000 buckets are answered, and a range has a beginning before its end', async () => {
    const { token } = await create();
    const to = managed.clock.wall();
    const usage = (from: number, step: '1h' | '1d') => managed.tokens.usage(ops, token.id, { from, to, step });
    await usage(to - 1000 * hour, '1h');
    expect(await pointers(usage(to - 1001 * hour, '1h'))).toEqual(['?step']);
    await usage(to - 1001 * hour, '1d');
    expect(await pointers(usage(to, '1h'))).toEqual(['?from']);
    expect(await code(managed.tokens.usage(ops, 'nothing', range()))).toBe('not_found');
  });
});

describe('the audit trail', () => {
  test('every change says who, from where, what, before and after; a secret by its hint', async () => {
    await owned();
    const { token } = await create({ name: 'a', owner: 'acme', permissions: ['p'] });
    const request = { actor: { name: 'kim', address: '198.51.100.7', scope: null }, id: token.id };
    managed.clock.advance(1000);
    const expiresAt = managed.clock.wall() + 1000;
    await managed.tokens.patch(request, { name: null, expiresAt, permissions: { q: true } });
    const { token: rotated } = await managed.tokens.rotate(request, 500);
    await managed.tokens.disable(request);
    await managed.tokens.enable(request);
    await managed.tokens.revoke(request);
    const iso = (at: number) => new Date(at).toISOString();
    const trail = await events(token.id);
    expect(trail.map(({ action }) => action)).toEqual(['create', 'update', 'rotate', 'disable', 'enable', 'revoke']);
    expect(trail[0]).toMatchObject({ actor: 'ops', address: '192.0.2.1', at: managed.clock.wall() - 1000 });
    expect(trail[0]!.changes).toEqual({
      name: { from: null, to: 'a' },
      limits: { from: null, to: [] },
      owner: { from: null, to: 'acme' },
      state: { from: null, to: 'enabled' },
      mode: { from: null, to: 'enforce' },
      permissions: { from: null, to: ['p'] },
      constraints: { from: null, to: {} },
      extra: { from: null, to: {} },
      tags: { from: null, to: [] },
      secret: { from: null, to: token.hint },
    });
    expect(trail[1]).toMatchObject({ actor: 'kim', address: '198.51.100.7' });
    expect(trail[1]!.changes).toEqual({
      name: { from: 'a', to: '' },
      expires_at: { from: null, to: iso(expiresAt) },
      permissions: { from: ['p'], to: { q: true } },
    });
    expect(trail[2]!.changes).toEqual({
      secret: { from: token.hint, to: rotated.hint },
      previous_secret_until: { from: null, to: iso(managed.clock.wall() + 500) },
    });
    expect(trail[5]!.changes).toEqual({ state: { from: 'enabled', to: 'revoked' } });
  });

  test('no secret and no digest is in it, in any form', async () => {
    const { token, secret } = await create();
    const { secret: second } = await managed.tokens.rotate({ actor: ops, id: token.id }, 1000);
    const declared = sha256('declared secret');
    await managed.tokens.put({ actor: ops, id: 'ci' }, { ...native, secretSha256: declared });
    await managed.tokens.put({ actor: ops, id: 'ci' }, { ...native, secretSha256: sha256('next') });
    const text = JSON.stringify([await events(token.id), await events('ci')]);
    for (const secretText of [secret!, second]) {
      const random = secretText.slice(4, -6);
      for (const form of [random, sha256(secretText), Buffer.from(secretText).toString('base64').slice(8, 40)]) {
        expect(text).not.toContain(form);
      }
    }
    for (const digest of [declared, sha256('next')]) expect(text).not.toContain(digest);
    expect((await events('ci'))[1]!.changes).toEqual({ secret: { from: null, to: null } });
  });

  test('pages run from the oldest on', async () => {
    const { token } = await create();
    for (let i = 0; i < 5; i++) await managed.tokens.patch({ actor: ops, id: token.id }, { name: `n${i}` });
    const seen: string[] = [];
    let after: number | null = null;
    do {
      const page: Awaited<ReturnType<typeof managed.tokens.events>> = await managed.tokens.events(ops, token.id, {
        limit: 2,
        after,
      });
      seen.push(...page.items.map(({ action, changes }) => `${action} ${String(changes['name']?.to)}`));
      after = page.next;
    } while (after !== null);
    expect(seen).toEqual(['create ', ...Array.from({ length: 5 }, (_, i) => `update n${i}`)]);
    expect(await code(managed.tokens.events(ops, 'nothing', { limit: 1, after: null }))).toBe('not_found');
  });
});

describe('outages', () => {
  /** A store whose mutations are lost on the way. */
  const failing = (sent: boolean): TokenStore =>
    new Proxy(managed.store.tokens, {
      get: (store, name) => {
        if (['createToken', 'replaceToken', 'putAccount'].includes(String(name))) {
          return () => Promise.reject(new StoreUnavailable('lost', { sent }));
        }
        const method = Reflect.get(store, name) as (...args: never[]) => unknown;
        return method.bind(store);
      },
    });

  test('an outage passes through as it is, and nothing is applied', async () => {
    const { token } = await create();
    const applied = managed.applied.length;
    for (const sent of [true, false]) {
      const tokens = new TokenService({ ...managed.parts, store: failing(sent) });
      const request = { actor: ops, id: token.id };
      for (const call of [tokens.create(ops, native), tokens.revoke(request), tokens.rotate(request, 0)]) {
        await expect(call).rejects.toMatchObject({ name: 'StoreUnavailable', sent });
      }
    }
    expect(managed.applied).toHaveLength(applied);
  });

  test('a change whose use could not be read was not made', async () => {
    const { token } = await create();
    const ledger = {
      ...managed.parts.ledger,
      total: () => Promise.reject(new StoreUnavailable('no answer', { sent: false })),
    };
    const tokens = new TokenService({ ...managed.parts, ledger });
    await expect(tokens.patch({ actor: ops, id: token.id }, { name: 'x' })).rejects.toThrow('no answer');
    expect((await managed.tokens.get(ops, token.id)).name).toBe('');
  });
});
