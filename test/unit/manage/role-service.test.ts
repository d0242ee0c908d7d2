import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { mostRoles } from '../../../src/core/token.ts';
import { Refusal } from '../../../src/errors.ts';
import { RoleService } from '../../../src/manage/role-service.ts';
import type { TokenStore } from '../../../src/ports/token-store.ts';
import { type Managed, openManaged, ops } from '../../support/managed.ts';
import { below, randomFrom, seed } from '../../support/random.ts';

let managed: Managed;
beforeEach(async () => {
  managed = await openManaged();
});
afterEach(() => managed.dispose());

async function refusal(call: Promise<unknown>): Promise<Refusal['problem']> {
  const error = await call.then(
    () => new Error('it was not refused'),
    (thrown: unknown) => thrown,
  );
  if (error instanceof Refusal) return error.problem;
  throw error;
}
const code = async (call: Promise<unknown>) => (await refusal(call)).code;
const errors = async (call: Promise<unknown>) =>
  (await refusal(call)).errors?.map(({ pointer, detail }) => `${pointer} ${detail}`);
const create = (id: string, permissions: readonly string[] = []) => managed.roles.create(ops, { id, permissions });
const ids = async () => (await managed.roles.list(ops)).map(({ id }) => id);
const audit = async (id: string) =>
  (await managed.store.tokens.listEvents({ kind: 'role', id, limit: 100, after: null })).items;

async function unchanged<T>(act: () => Promise<T>): Promise<T> {
  const look = async () => [await managed.roles.list(ops), await managed.store.feed.head()];
  const before = await look();
  const result = await act();
  expect(await look()).toEqual(before);
  return result;
}

describe('roles', () => {
  test('are made at the end of the order, with an id that is given or one of ours', async () => {
    expect(await create('a', ['x'])).toMatchObject({ id: 'a', name: '', permissions: ['x'], position: 0, version: 1 });
    const made = await managed.roles.create(ops, { name: 'Made' });
    expect(made).toMatchObject({ name: 'Made', permissions: [], position: 1 });
    expect(made.id).toMatch(/^role_[0-9A-Za-z]{20}$/);
    expect(managed.applied.map(({ kind, id }) => `${kind} ${id}`)).toEqual(['role a', `role ${made.id}`]);
    expect(await managed.roles.get(ops, made.id)).toEqual(made);
    expect(await ids()).toEqual(['a', made.id]);
    expect(await code(unchanged(() => create('a')))).toBe('conflict');
  });

  test('what is wrong with one is told at once, and "order" is the id of none', async () => {
    const said = { id: 'order', name: '\n', permissions: ['ok', ''] };
    const places = ['/name', '/permissions/1', '/id'];
    expect((await errors(managed.roles.create(ops, said)))?.map(line => line.split(' ')[0])).toEqual(places);
    expect((await errors(managed.roles.create(ops, { ...said, id: 'a/b' })))?.at(-1)).toContain('/id is not');
    expect(await code(managed.roles.put({ actor: ops, id: 'order' }, {}))).toBe('validation_failed');
  });

  test('a declaration makes or replaces one where it stands, and the same again changes nothing', async () => {
    const put = (said: object) => managed.roles.put({ actor: ops, id: 'a' }, said);
    const grants = [{ resources: ['db/*'], actions: { b: true, a: false } }];
    expect(await put({ name: 'A', permissions: grants })).toMatchObject({ created: true, role: { version: 1 } });
    await create('b');
    await unchanged(() => put({ name: 'A', permissions: grants }));
    const turned = [{ resources: ['db/*'], actions: { a: false, b: true } }];
    expect(await put({ permissions: turned })).toMatchObject({
      created: false,
      role: { name: '', position: 0, version: 2 },
    });
    expect(await put({})).toMatchObject({ role: { permissions: [], version: 3 } });
  });

  test('a patch changes what it says, merges a map into a map, and null takes a member back', async () => {
    await managed.roles.create(ops, { id: 'a', name: 'A', permissions: { x: true, y: true } });
    const patch = (said: Parameters<RoleService['patch']>[1]) => managed.roles.patch({ actor: ops, id: 'a' }, said);
    expect(await patch({ permissions: { x: null, z: false } })).toMatchObject({
      name: 'A',
      permissions: { y: true, z: false },
    });
    await unchanged(() => patch({}));
    expect(await patch({ name: null, permissions: null })).toMatchObject({ name: '', permissions: [], version: 3 });
    expect(await code(managed.roles.patch({ actor: ops, id: 'nobody' }, {}))).toBe('not_found');
    expect(await errors(patch({ permissions: { 'a b': true } }))).toHaveLength(1);
  });

  test('one that accounts have is not deleted, and the refusal names some of them', async () => {
    await create('a');
    for (let i = 0; i < 12; i++) await managed.accounts.create(ops, { id: `acc${i}`, roles: ['a'] });
    const problem = await refusal(unchanged(() => managed.roles.remove({ actor: ops, id: 'a' })));
    expect(problem.code).toBe('conflict');
    expect(problem.detail).toMatch(/acc0, acc1,/);
    for (let i = 0; i < 12; i++) {
      // Taken from some, and others deleted.
      if (i % 2 === 0) await managed.accounts.patch({ actor: ops, id: `acc${i}` }, { roles: null });
      else await managed.accounts.remove({ actor: ops, id: `acc${i}` });
    }
    expect(await managed.roles.remove({ actor: ops, id: 'a' })).toMatchObject({ id: 'a', position: null });
    expect(await ids()).toEqual([]);
  });

  test('deleting one again changes nothing; the same id made again comes last, with nothing of before', async () => {
    for (const id of ['a', 'b']) await create(id, ['x']);
    const gone = await managed.roles.remove({ actor: ops, id: 'a' });
    expect(await unchanged(() => managed.roles.remove({ actor: ops, id: 'a' }))).toEqual(gone);
    expect(await code(managed.roles.get(ops, 'a'))).toBe('not_found');
    expect(await code(managed.roles.patch({ actor: ops, id: 'a' }, {}))).toBe('not_found');
    expect(await code(managed.roles.remove({ actor: ops, id: 'nobody' }))).toBe('not_found');
    expect(await create('a')).toMatchObject({ permissions: [], position: 1, version: gone.version + 1 });
    expect(await ids()).toEqual(['b', 'a']);
  });

  test('a condition on the version holds for every change', async () => {
    await create('a');
    const request = { actor: ops, id: 'a', precondition: (version: number | null) => version === 7 };
    for (const call of [
      () => managed.roles.put(request, { name: 'x' }),
      () => managed.roles.patch(request, { name: 'x' }),
      () => managed.roles.remove(request),
    ]) {
      expect(await code(unchanged<unknown>(call))).toBe('version_mismatch');
    }
  });

  test('twenty changes at once are all made', async () => {
    await create('a');
    const names = Array.from({ length: 20 }, (_, i) => `n${i}`);
    await Promise.all(names.map(name => managed.roles.patch({ actor: ops, id: 'a' }, { name })));
    expect((await managed.roles.get(ops, 'a')).version).toBe(21);
  });

  test('there is an end to how many there are', async () => {
    for (let i = 0; i < mostRoles; i++) await create(`r${i}`);
    expect(await code(unchanged(() => create('more')))).toBe('conflict');
    await managed.roles.remove({ actor: ops, id: 'r7' });
    await create('more');
  });

  test('every change is in the audit trail, the order under its own name', async () => {
    await create('a', ['x']);
    await create('b');
    await managed.roles.patch({ actor: ops, id: 'a' }, { name: 'A', permissions: { x: true } });
    await managed.roles.order({ name: 'kim', address: '198.51.100.7', scope: null }, ['b', 'a']);
    await managed.roles.remove({ actor: ops, id: 'a' });
    expect((await audit('a')).map(({ action, changes }) => [action, changes])).toEqual([
      [
        'create',
        { name: { from: null, to: '' }, permissions: { from: null, to: ['x'] }, deleted: { from: null, to: false } },
      ],
      ['update', { name: { from: '', to: 'A' }, permissions: { from: ['x'], to: { x: true } } }],
      ['delete', { deleted: { from: false, to: true } }],
    ]);
    expect(await audit('order')).toMatchObject([
      {
        actor: 'kim',
        address: '198.51.100.7',
        action: 'order',
        changes: { order: { from: ['a', 'b'], to: ['b', 'a'] } },
      },
    ]);
  });
});

describe('the order of roles', () => {
  const order = (...wanted: string[]) => managed.roles.order(ops, wanted, '/order');

  test('is what was said, and changes no version', async () => {
    for (const id of ['a', 'b', 'c']) await create(id);
    managed.applied.length = 0;
    expect((await order('c', 'a', 'b')).map(({ id, position, version }) => [id, position, version])).toEqual([
      ['c', 0, 1],
      ['a', 1, 1],
      ['b', 2, 1],
    ]);
    expect(managed.applied.map(({ kind, id }) => `${kind} ${id}`)).toEqual(['role order']);
    expect(await ids()).toEqual(['c', 'a', 'b']);
    await unchanged(() => order('c', 'a', 'b'));
  });

  test('names every role exactly once: what is missing, unknown or named again is listed', async () => {
    for (const id of ['a', 'b', 'c', 'd']) await create(id);
    await managed.roles.remove({ actor: ops, id: 'd' });
    expect(await unchanged(() => errors(order('c', 'x', 'c', 'c', 'd')))).toEqual([
      '/order/1 is no role',
      '/order/2 names "c" again',
      '/order/3 names "c" again',
      '/order/4 is no role',
      '/order does not name a, b',
    ]);
    expect(await unchanged(() => errors(order()))).toEqual(['/order does not name a, b, c']);
  });

  test('a role that comes between is not lost: the order is asked for again', async () => {
    await create('a');
    await create('b');
    const { store } = managed.parts;
    let between = async (): Promise<void> => {
      between = async () => {};
      await create('c');
    };
    const racing = new RoleService({
      ...managed.parts,
      store: instead(store, 'orderRoles', async (wanted, audit) => {
        await between();
        return store.orderRoles(wanted, audit);
      }),
    });
    expect(await errors(racing.order(ops, ['b', 'a'], '/order'))).toEqual(['/order does not name c']);
    expect(await ids()).toEqual(['a', 'b', 'c']);
  });

  test(`any words are an order, or refused with each of their faults (seed ${seed})`, async () => {
    const random = randomFrom(seed);
    const all = ['a', 'b', 'c', 'd', 'e', 'f'];
    for (const id of all) await create(id);
    let taken = 0;
    for (let round = 0; round < 200; round++) {
      const wanted = shuffled(random, all);
      if (random() < 0.7) {
        const at = Math.floor(random() * wanted.length);
        const kind = random();
        if (kind < 0.3) wanted.splice(at, 1);
        else if (kind < 0.6) wanted.splice(at, 0, all[Math.floor(random() * all.length)]!);
        else wanted[at] = `x${round}`;
      }
      const before = await ids();
      const good =
        wanted.length === all.length && new Set(wanted).size === all.length && wanted.every(id => all.includes(id));
      if (good) {
        taken++;
        expect((await order(...wanted)).map(({ id }) => id)).toEqual(wanted);
        expect(await ids()).toEqual(wanted);
        continue;
      }
      const faults = (await errors(order(...wanted)))!;
      expect(await ids()).toEqual(before);
      const said = faults.join('\n');
      for (const id of all) if (!wanted.includes(id)) expect(said).toMatch(new RegExp(`does not name .*${id}`));
      wanted.forEach((id, i) => {
        if (!all.includes(id)) expect(faults).toContain(`/order/${i} is no role`);
        else if (wanted.indexOf(id) < i) expect(faults).toContain(`/order/${i} names "${id}" again`);
      });
    }
    expect(taken).toBeGreaterThan(20);
  });
});

/** A store with another method in place of one of its own. */
function instead<K extends keyof TokenStore>(store: TokenStore, method: K, other: TokenStore[K]): TokenStore {
  return new Proxy(store, {
    get: (of, name) => {
      if (name === method) return other;
      const value: unknown = Reflect.get(of, name);
      return typeof value === 'function' ? value.bind(of) : value;
    },
  });
}

function shuffled(random: () => number, list: readonly string[]): string[] {
  const left = [...list];
  return list.map(() => left.splice(below(random, left.length), 1)[0]!);
}
