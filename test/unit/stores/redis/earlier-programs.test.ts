import { expect, test } from 'vitest';
import type { Account, StoredToken } from '../../../../src/core/token.ts';
import { beginRedis } from '../../../../src/stores/redis/target.ts';
import { anAccount, anAudit, aRole, aToken, changed } from '../../../contract/harness.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { redisRig } from './rig.ts';

/** Processes of versions that know schema 1, or 2, on a store that they have open while newer ones write to it. */

const rig = redisRig();

/** How the scripts of schema 1 read records, and how they look up the token of a digest and write over one. */
const records = `
local base = 'postern:{s}:'
local function given(value) if value ~= cjson.null then return value end end
local function parseToken(value)
  local seq, line, doc = string.match(value, '^(%d+) ([^\\n]*)\\n(.*)$')
  local h = cjson.decode(line)
  return {
    seq = tonumber(seq), doc = doc, version = h[1], created = h[2], state = h[3], owner = given(h[4]), kind = h[5],
    name = h[6], expires = given(h[7]), tags = h[8], digests = h[9], ends = given(h[10]),
  }
end
local function accountOf(id)
  local value = id and redis.call('GET', base .. 'account:' .. id)
  if not value then return nil end
  local seq, version, mark, deleted, doc = string.match(value, '^(%d+) (%d+) (%S+) ([01])\\n(.*)$')
  return {
    seq = tonumber(seq), version = tonumber(version), mark = tonumber(mark), until_ = mark,
    deleted = deleted == '1', doc = doc,
  }
end
local function accountDoc(token)
  local account = accountOf(token.owner)
  return account and account.doc or ''
end
local id = redis.call('GET', base .. 'digest:' .. ARGV[1])
local value = redis.call('GET', base .. 'token:' .. id)
`;
/** The same of schema 2, where it is not that of schema 1. */
const recordsOf2 = records
  .replace(
    "seq, line, doc = string.match(value, '^(%d+) (",
    "seq, later, line, doc = string.match(value, '^(%d+) (%+?)(",
  )
  .replace('mark, deleted, doc =', 'mark, deleted, ids, doc =')
  .replace('([01])', '([01])([^\\n]*)')
  .replace("deleted = deleted == '1', doc = doc,", "roles = string.gmatch(ids, '%w%S*'), doc = doc,");
const findTokenOf2 = `${recordsOf2} return { value, accountDoc(parseToken(value)) }`;
const replaceTokenOf2 = `${recordsOf2} if parseToken(value).version ~= 1 then return 'stale' end return 'written'`;
const putAccountOf2 = `${recordsOf2} local before = accountOf('acme') return before and before.version or 0`;

const findToken = `${records} return { value, accountDoc(parseToken(value)) }`;
const replaceToken = `${records} if parseToken(value).version ~= 1 then return 'stale' end return 'written'`;

const earlier = (script: string, digest: string): Promise<unknown> => rig.server.client().eval(script, 0, digest);
const schema = () => rig.server.client().hget('postern:{s}:meta', 'schema');

const limits = [{ name: 'day', max: 1, per: '1d', algorithm: 'window', burst: 1 }] as const;
const later: [string, Partial<StoredToken>, string][] = [
  ['constraints', { constraints: { methods: ['GET'] } }, '2'],
  ['what its owner has', { permissions: 'inherit' }, '2'],
  ['grants on resources', { permissions: [{ resources: ['a'], actions: { b: true } }] }, '2'],
  ['a mode', { mode: 'shadow' }, '2'],
  ['limits', { limits }, '3'],
  ['limits and constraints', { limits, constraints: { methods: ['GET'] } }, '3'],
];
const bound: [string, Partial<Account>, string][] = [
  ['permissions', { permissions: ['a'] }, '2'],
  ['permissions that are none', { permissions: [] }, '2'],
  ['resources', { owns: ['a'] }, '2'],
  ['roles', { roles: ['ops'] }, '2'],
  ['limits', { limits }, '3'],
  ['limits and roles', { limits, roles: ['ops'] }, '3'],
];

test('read what they know, of a store that they may open', async () => {
  const { tokens } = await rig.open();
  await tokens.putAccount(anAccount('acme'), 0, anAudit('create'));
  await tokens.createToken(aToken('t', { owner: 'acme', permissions: { 'a.*': true } }), anAudit('create'), null);
  const [record, account] = (await earlier(findToken, 'digest-of-t')) as [string, string];
  expect(record).toMatch(/^1 \[/);
  expect(account).toBe(JSON.stringify(anAccount('acme')));
  expect(await earlier(replaceToken, 'digest-of-t')).toBe('written');
  expect(await schema()).toBe('1');
});

test.each(later)('fail on a token with %s, and do not open the store from then on', async (_, members, first) => {
  const { tokens } = await rig.open();
  const token = aToken('made', { ...members, owner: null });
  await tokens.createToken(token, anAudit('create'), null);
  expect(await schema()).toBe(first);
  await rig.server.client().hset('postern:{s}:meta', 'schema', 1);
  const plain = aToken('changed', { owner: null });
  await tokens.createToken(plain, anAudit('create'), null);
  expect(await schema()).toBe('1');
  await tokens.replaceToken(changed(plain, members), 1, anAudit('update'));
  expect(await schema()).toBe(first);
  for (const digest of ['digest-of-made', 'digest-of-changed']) {
    await expect(earlier(findToken, digest)).rejects.toThrow('Expected value');
    await expect(earlier(replaceToken, digest)).rejects.toThrow('Expected value');
  }
  expect((await tokens.find(['digest-of-made']))?.token).toEqual(token);
  await tokens.rekey('made', 'digest-of-made', 'moved');
  await expect(earlier(findToken, 'moved')).rejects.toThrow('Expected value');
  // What they know, they read again.
  await tokens.replaceToken({ ...plain, version: 3 }, 2, anAudit('update'));
  expect(await earlier(replaceToken, 'digest-of-changed')).toBe('stale');
});

test.each(bound)('find no account that has %s, and do not open the store from then on', async (_, members, first) => {
  const { tokens } = await rig.open();
  const account = anAccount('acme');
  if (members.roles !== undefined) await tokens.putRole(aRole('ops'), 0, anAudit('create'));
  await tokens.putAccount(account, 0, anAudit('create'));
  await tokens.createToken(aToken('t', { owner: 'acme' }), anAudit('create'), null);
  await rig.server.client().hset('postern:{s}:meta', 'schema', 1);
  await tokens.putAccount(changed(account, members), 1, anAudit('update'));
  expect(await schema()).toBe(first);
  // A token whose owner is not there is refused.
  expect(((await earlier(findToken, 'digest-of-t')) as string[])[1]).toBe('');
  expect((await tokens.find(['digest-of-t']))?.account).toEqual(changed(account, members));
});

test('of schema 2 read what they know, and fail on tokens and accounts with limits', async () => {
  const { tokens } = await rig.open();
  const account = anAccount('acme', { permissions: ['a'] });
  const token = aToken('t', { owner: 'acme', mode: 'shadow' });
  await tokens.putAccount(account, 0, anAudit('create'));
  await tokens.createToken(token, anAudit('create'), null);
  expect(((await earlier(findTokenOf2, 'digest-of-t')) as string[])[1]).toBe(JSON.stringify(account));
  expect(await earlier(replaceTokenOf2, 'digest-of-t')).toBe('written');
  expect(await schema()).toBe('2');

  await tokens.replaceToken(changed(token, { limits }), 1, anAudit('update'));
  expect(await schema()).toBe('3');
  for (const script of [findTokenOf2, replaceTokenOf2, findToken, replaceToken]) {
    await expect(earlier(script, 'digest-of-t')).rejects.toThrow('Expected value');
  }
  await tokens.replaceToken({ ...token, version: 3 }, 2, anAudit('update'));
  expect(await earlier(replaceTokenOf2, 'digest-of-t')).toBe('stale');

  await tokens.putAccount(changed(account, { limits }), 1, anAudit('update'));
  // Neither for a request nor to write over it: they would drop the limits.
  for (const script of [findTokenOf2, putAccountOf2]) {
    await expect(earlier(script, 'digest-of-t')).rejects.toThrow('gmatch');
  }
  expect((await tokens.find(['digest-of-t']))?.account).toEqual(changed(account, { limits }));

  // What is of an earlier schema does not take the store back to it.
  await tokens.putRole(aRole('ops'), 0, anAudit('create'));
  await tokens.putAccount({ ...account, version: 3 }, 2, anAudit('update'));
  expect(await schema()).toBe('3');
  expect(((await earlier(findTokenOf2, 'digest-of-t')) as string[])[1]).toBe(
    JSON.stringify({ ...account, version: 3 }),
  );
});

test('do not open a store that was filled with what they do not know', async () => {
  const { endpoint } = rig.server;
  const filled = async (token: Partial<StoredToken>, account: Partial<Account>) => {
    await rig.server.client().flushall();
    const target = await beginRedis({ endpoint, clock: new ManualClock() });
    await target.add([
      { kind: 'account', account: anAccount('acme', account) },
      { kind: 'token', token: aToken('t', { owner: 'acme', ...token }) },
    ]);
    await target.finish();
    await target.close();
    return schema();
  };
  expect(await filled({}, {})).toBe('1');
  expect(await filled({ mode: 'shadow' }, {})).toBe('2');
  await expect(earlier(findToken, 'digest-of-t')).rejects.toThrow('Expected value');
  expect(await filled({}, { owns: [] })).toBe('2');
  expect(((await earlier(findToken, 'digest-of-t')) as string[])[1]).toBe('');
  expect(await filled({ limits }, { owns: [] })).toBe('3');
  await expect(earlier(findTokenOf2, 'digest-of-t')).rejects.toThrow('Expected value');
  expect(await filled({ mode: 'shadow' }, { limits })).toBe('3');
  await expect(earlier(findTokenOf2, 'digest-of-t')).rejects.toThrow('gmatch');
});
