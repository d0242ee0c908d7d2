import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compileRights } from '../../../src/core/rights.ts';
import { ops } from '../../support/managed.ts';
import { World } from './world.ts';

/** What tokens may do by their `extra`: judged as the gate does, on what is stored of them and of acme. */

let world: World;
beforeAll(async () => {
  world = await World.open();
  await world.managed.accounts.patch({ actor: ops, id: 'acme' }, { owns: ['db/101', 'db/102', 'db/103'] });
});
afterAll(() => world.dispose());

async function rightsOf(id: string) {
  const { token, account } = (await world.managed.store.tokens.getToken(id))!;
  const rights = compileRights(token, account, []);
  return (action: string, database: string | null = null): boolean =>
    rights.permits(action, database === null ? null : `db/${database}`);
}

async function made(extra: object) {
  const parameters = { cmd: 'access.add', auth_token: 'alice', name: 'CI', extra: JSON.stringify(extra) };
  const { data, message } = await world.call(parameters);
  expect(message).toBe('OK');
  return rightsOf(data.id);
}

const on = (databases: string[], permissions: Record<string, 0 | 1>) => ({ databases, permissions });

describe('databases', () => {
  test('are opened by flag, and by name', async () => {
    const may = await made({ db_permissions: [on(['101'], { get: 1, update: 0 })] });
    expect(may('db.get', '101')).toBe(true);
    for (const action of ['db.update', 'db.add', 'db.remove', 'db.alter']) expect(may(action, '101')).toBe(false);
    for (const other of ['102', '1', '1011', '0101', '*']) expect(may('db.get', other)).toBe(false);
    expect(may('db.get')).toBe(false);
  });

  test('that stand in several entries: the later say what they name over the earlier', async () => {
    const may = await made({
      db_permissions: [
        on(['*'], { get: 1, remove: 1 }),
        on(['101', '102'], { remove: 0, add: 1 }),
        on(['102'], { remove: 1, get: 0 }),
      ],
    });
    const all = ['101', '102', '103'].map(id => ['get', 'add', 'remove'].map(flag => may(`db.${flag}`, id)));
    expect(all).toEqual([
      [true, true, false],
      [false, true, true],
      [true, false, true],
    ]);
  });

  test('in the other order the first has nothing left to say', async () => {
    const may = await made({ db_permissions: [on(['101'], { get: 0 }), on(['*'], { get: 1 })] });
    expect(may('db.get', '101')).toBe(true);
  });

  test('all of them are those that the owner owns', async () => {
    const may = await made({ db_permissions: [on(['*'], { get: 1 })] });
    expect(may('db.get', '103')).toBe(true);
    expect(may('db.get', '104')).toBe(false);
    // Of no one database, such as listing them.
    expect(may('db.get')).toBe(true);
  });
});

describe('stock images', () => {
  test('are opened by "1", and nothing else is', async () => {
    const may = await made({ stock_images: '1' });
    expect(may('site.stock_images.search')).toBe(true);
    expect(may('site.stock_images')).toBe(false);
    expect(may('db.get', '101')).toBe(false);
  });

  test('stay closed by "0", and beside databases alone', async () => {
    expect((await made({ stock_images: '0' }))('site.stock_images.search')).toBe(false);
    const may = await made({ db_permissions: [on(['101'], { get: 1 })] });
    expect(may('site.stock_images.search')).toBe(false);
  });

  test('stand beside databases', async () => {
    const may = await made({ db_permissions: [on(['101'], { get: 1 })], stock_images: '1' });
    expect([may('site.stock_images.search'), may('db.get', '101')]).toEqual([true, true]);
  });
});

test('a token of which nothing is said has what its owner has, as it changes', async () => {
  const { data } = await world.call({ cmd: 'access.add', auth_token: 'bob', name: 'CI', extra: '{"note":1}' });
  expect((await rightsOf(data.id))('db.get', '7')).toBe(true);
  await world.managed.accounts.patch({ actor: ops, id: 'globex' }, { permissions: [] });
  expect((await rightsOf(data.id))('db.get', '7')).toBe(false);
});

test('a new extra replaces what the token may do; a new name does not', async () => {
  const extra = JSON.stringify({ db_permissions: [on(['101'], { get: 1 })] });
  const { data } = await world.call({ cmd: 'access.add', auth_token: 'alice', name: 'CI', extra });
  const update = (meta: object) =>
    world.call({ cmd: 'access.update', auth_token: 'alice', token_id: data.id, meta: JSON.stringify(meta) });
  await update({ name: 'Build' });
  expect((await rightsOf(data.id))('db.get', '101')).toBe(true);
  await update({ extra: { stock_images: '1' } });
  const may = await rightsOf(data.id);
  expect([may('db.get', '101'), may('site.stock_images.search')]).toEqual([false, true]);
});
