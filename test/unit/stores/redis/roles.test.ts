import { expect, test } from 'vitest';
import { StoreUnavailable } from '../../../../src/errors.ts';
import { anAccount, anAudit, aRole, aToken, changed, made } from '../../../contract/harness.ts';
import { listOf } from '../../../support/transfer.ts';
import { redisRig } from './rig.ts';

const rig = redisRig();

test('records of earlier versions read as if they had what came later, and can be changed', async () => {
  const store = await rig.open();
  await store.tokens.putAccount(anAccount('acme'), 0, anAudit('create'));
  await store.tokens.createToken(aToken('old', { owner: 'acme' }), anAudit('create'), null);
  const client = rig.server.client();
  const { mode: _, constraints: __, limits: ______, ...token } = aToken('old', { owner: 'acme' });
  const { roles: ___, permissions: ____, owns: _____, limits: _______, ...account } = anAccount('acme');
  const [line] = (await client.get('postern:{s}:token:old'))!.split('\n');
  await client.set('postern:{s}:token:old', `${line}\n${JSON.stringify(token)}`);
  // As that version has written it, and reads it still while no account has a role.
  expect(await client.get('postern:{s}:account:acme')).toBe(`1 1 - 0\n${JSON.stringify(anAccount('acme'))}`);
  await client.set('postern:{s}:account:acme', `1 1 ${made - 1} 0\n${JSON.stringify(account)}`);

  const [whole, owner] = [aToken('old', { owner: 'acme' }), anAccount('acme')];
  const pair = { token: whole, account: owner };
  expect(await store.tokens.find(['digest-of-old'])).toEqual({ ...pair, roles: [], index: 0 });
  expect(await store.tokens.getToken('old')).toEqual(pair);
  expect((await store.tokens.listTokens({ limit: 1, after: null })).items).toEqual([pair]);
  expect(await store.tokens.getAccount('acme')).toEqual(owner);
  expect(await store.tokens.getOwner('acme')).toEqual({ account: owner, roles: [] });
  expect((await store.tokens.listAccounts({ limit: 1, after: null })).items).toEqual([owner]);
  const records = (await listOf(store.transfer.dump())).flat();
  expect(records).toContainEqual({ kind: 'token', token: whole });
  expect(records).toContainEqual({ kind: 'account', account: owner });

  await store.tokens.putRole(aRole('ops'), 0, anAudit('create'));
  const outcome = await store.tokens.putAccount(changed(owner, { roles: ['ops'] }), 1, anAudit('update'));
  expect(outcome.kind).toBe('done');
  expect(await store.tokens.find(['digest-of-old'])).toMatchObject({ roles: [aRole('ops')] });
});

test('an account is disabled, marked and deleted when the server is full, whatever roles it has', async () => {
  const store = await rig.open();
  await store.tokens.putRole(aRole('ops'), 0, anAudit('create'));
  const account = anAccount('acme', { roles: ['ops'] });
  await store.tokens.putAccount(account, 0, anAudit('create'));
  const client = rig.server.client();
  await client.config('SET', 'maxmemory', '1');
  try {
    await expect(store.tokens.putRole(aRole('more'), 0, anAudit('create'))).rejects.toThrow();
    for (const [i, more] of [{ enabled: false }, { revokedBefore: made }, { deleted: true }].entries()) {
      const outcome = await store.tokens.putAccount({ ...account, ...more, version: i + 2 }, i + 1, anAudit('stop'));
      expect(outcome.kind).toBe('done');
    }
  } finally {
    await client.config('SET', 'maxmemory', '0');
  }
});

test('what is wrong with roles is found', async () => {
  const store = await rig.open();
  for (const id of ['a', 'b', 'c', 'd']) await store.tokens.putRole(aRole(id), 0, anAudit('create'));
  await store.tokens.putAccount(anAccount('acme', { roles: ['a', 'b'] }), 0, anAudit('create'));
  const indexes = async () => (await store.examine()).find(({ name }) => name === 'indexes')!;
  expect(await indexes()).toMatchObject({ state: 'good' });
  const client = rig.server.client();
  const key = (name: string) => `postern:{s}:${name}`;
  await client.zadd(key('holders:c'), 1, 'acme');
  await client.zrem(key('roles'), 'b');
  await client.zadd(key('roles-gone'), 0, 'b');
  await client.del(key('role:d'));
  const { state, detail } = await indexes();
  expect(state).toBe('bad');
  expect(detail).toContain('4 faults');
  for (const text of [
    'role d has no record',
    'role b is in the wrong list',
    'role b is not there, and accounts have it',
    'account acme does not have the role c',
  ]) {
    expect(detail).toContain(text);
  }
});

test('a token whose owner has a role that is not there is not let in without it', async () => {
  const store = await rig.open();
  await store.tokens.putRole(aRole('a', { permissions: { '*': false } }), 0, anAudit('create'));
  await store.tokens.putAccount(anAccount('acme', { roles: ['a'] }), 0, anAudit('create'));
  await store.tokens.createToken(aToken('t', { owner: 'acme' }), anAudit('create'), null);
  const client = rig.server.client();
  await client.del('postern:{s}:roles');
  await expect(store.tokens.find(['digest-of-t'])).rejects.toThrow('its keys contradict each other');
  await expect(store.tokens.getOwner('acme')).rejects.toThrow(StoreUnavailable);
  const wrong = (await store.examine()).find(({ name }) => name === 'indexes')!.detail;
  expect(wrong).toContain('account acme has the role a, which is not there');
});

test('a store that has a role is not opened by programs that know of none; one without stays as it was', async () => {
  const store = await rig.open();
  const client = rig.server.client();
  const schema = () => client.hget('postern:{s}:meta', 'schema');
  await store.tokens.putAccount(anAccount('acme'), 0, anAudit('create'));
  expect(await schema()).toBe('1');
  await store.tokens.putRole(aRole('a'), 0, anAudit('create'));
  expect(await schema()).toBe('2');
  expect((await rig.open()).identity).toBe(store.identity);
  await client.hset('postern:{s}:meta', 'schema', '4');
  await expect(rig.open()).rejects.toThrow('its schema is version 4, this program knows up to 3');
});
