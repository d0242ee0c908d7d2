import { hash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CachedLookup } from '../../../src/cache/cached-lookup.ts';
import { StoreUnavailable } from '../../../src/errors.ts';
import type { IdentityRules } from '../../../src/manage/identities.ts';
import { SessionIdentities } from '../../../src/manage/session-identities.ts';
import type { Identified, Introspected, Presented } from '../../../src/ports/session-source.ts';
import type { TokenStore } from '../../../src/ports/token-store.ts';
import { Peppers } from '../../../src/secrets/peppers.ts';
import { Reader } from '../../../src/secrets/reader.ts';
import { asker } from '../../support/asker.ts';
import { type Managed, openManaged, ops } from '../../support/managed.ts';

/** Who manages, told over a real store and the cache of tokens. The other system is a script. */

const shape = /^sdpak_[A-Za-z0-9]{8}$/;
const keyRules = { tokenKind: 'access-keys' };
const noRules = { tokenKind: null };
const nothing: Presented = {
  asker,
  cookie: null,
  cookieValue: null,
  authorization: null,
  bearer: null,
  parameter: null,
};
const bearer = (value: string): Presented => ({ ...nothing, authorization: `Bearer ${value}`, bearer: value });
const parameter = (value: string): Presented => ({ ...nothing, parameter: value });
const cookie = (value: string): Presented => ({ ...nothing, cookie: `sid=${value}`, cookieValue: value });
const outage = { kind: 'unavailable', retryAfter: 1 };
const nobody = { kind: 'nobody' };

let managed: Managed;
let identities: SessionIdentities;
let lookup: CachedLookup;
/** Finds that reached the store; and when it is away. */
let finds: number;
let away: boolean;
let shown: Presented[];
let answer: Introspected | null;
let lines: string[];

beforeEach(async () => {
  finds = 0;
  away = false;
  shown = [];
  answer = nobody as Introspected;
  lines = [];
  managed = await openManaged({
    apply: async events => {
      lookup.apply(events);
      return true;
    },
  });
  const { clock, store, parts, accounts } = managed;
  const reached = <T>(ask: () => Promise<T>): Promise<T> =>
    away ? Promise.reject(new StoreUnavailable('away')) : ask();
  const tokens: TokenStore = Object.assign(Object.create(store.tokens) as TokenStore, {
    find: (digests: readonly string[]) => {
      finds++;
      return reached(() => store.tokens.find(digests));
    },
    getOwner: (id: string) => reached(() => store.tokens.getOwner(id)),
  });
  const limits = { maxEntries: 100, ttlMs: 60_000, negativeTtlMs: 5000, boundMs: 5000, cutOffMs: 60_000 };
  lookup = new CachedLookup(tokens, clock, { ...limits, onlyWhileSeen: false, deadlineMs: 1000 });
  const now = { wall: clock.wall(), monotonic: clock.monotonic() };
  lookup.follow({ proven: now, generation: 0 }, { answered: now, reckonedMs: 3_600_000 });
  const reader = new Reader(new Peppers([], false), { prefix: 'pst', shapes: [shape], declared: new Set() });
  const note = (_: object, message: string): void => void lines.push(message);
  identities = new SessionIdentities({
    lookup,
    reader: () => reader,
    store: tokens,
    accounts: {
      adopt: (...call) => reached(() => accounts.adopt(...call)),
    },
    source: () =>
      answer === null
        ? null
        : {
            identify: async presented => {
              shown.push(presented);
              return answer!;
            },
          },
    clock: parts.clock,
    log: { info: note, warn: note, error: note, fault: (_, message) => note({}, message) },
  });
  await accounts.create(ops, {
    id: 'acme',
    permissions: { 'db.get': true, 'db.*': true, 'db.drop': false, '*': false },
  });
});
afterEach(() => managed.dispose());

const session = async (account = 'acme', ttlMs = 60_000) => managed.sessions.create(ops, account, ttlMs);
const managerOf = (found: Identified) => (found.kind === 'manager' ? found.manager : null);
let keys = 0;
async function key(more: object = {}): Promise<{ id: string; secret: string }> {
  const secret = `sdpak_${String(++keys).padStart(8, '0')}`;
  const form = { make: () => ({ id: `key${keys}`, secret, hint: 'sdpak_…' }) };
  const made = { kind: 'access-keys', form, owner: 'acme', permissions: 'inherit', ...more } as const;
  await managed.tokens.create(ops, made);
  return { id: `key${keys}`, secret };
}

describe('sessions that were made here', () => {
  test('are taken at each of the places, and manage as the account', async () => {
    const made = await session();
    for (const presented of [cookie(made.session), bearer(made.session), parameter(made.session)]) {
      const found = await identities.identify(presented, noRules);
      expect(managerOf(found)).toMatchObject({ account: 'acme', by: 'session', tokenId: null });
    }
    expect(shown).toEqual([]);
  });

  test('cost the store nothing once they are known, until they are revoked', async () => {
    const made = await session();
    for (let i = 0; i < 5; i++) await identities.identify(bearer(made.session), noRules);
    expect(finds).toBe(1);
    await managed.tokens.revoke({ actor: ops, id: made.id });
    expect(await identities.identify(bearer(made.session), noRules)).toEqual(nobody);
    expect(finds).toBe(2);
  });

  test('end with their time, with the account, and with all that it has', async () => {
    const short = await session('acme', 1000);
    const long = await session();
    expect((await identities.identify(bearer(short.session), noRules)).kind).toBe('manager');
    managed.clock.advance(1000);
    expect(await identities.identify(bearer(short.session), noRules)).toEqual(nobody);
    await managed.accounts.patch({ actor: ops, id: 'acme' }, { enabled: false });
    expect(await identities.identify(bearer(long.session), noRules)).toEqual(nobody);
    await managed.accounts.patch({ actor: ops, id: 'acme' }, { enabled: true });
    expect((await identities.identify(bearer(long.session), noRules)).kind).toBe('manager');
    await managed.accounts.revokeTokens({ actor: ops, id: 'acme' });
    expect(await identities.identify(bearer(long.session), noRules)).toEqual(nobody);
    expect(shown).toEqual([]);
  });

  test('obey the bound: a memory beyond it is not used, and a store that is away is an outage', async () => {
    const made = await session();
    await identities.identify(bearer(made.session), noRules);
    away = true;
    expect((await identities.identify(bearer(made.session), noRules)).kind).toBe('manager');
    managed.clock.advance(5001);
    expect(await identities.identify(bearer(made.session), noRules)).toEqual(outage);
    expect(shown).toEqual([]);
  });

  test('have what the account permits at the time, by literal names', async () => {
    const made = await session();
    const permissions = async () => managerOf(await identities.identify(bearer(made.session), noRules))!.permissions;
    await managed.accounts.patch({ actor: ops, id: 'acme' }, { permissions: null });
    expect((await permissions()).names).toEqual([]);
    const grants = [
      { resources: ['*'], actions: { a: true, b: true, 'c.*': true } },
      { resources: ['db/1'], actions: { only: true } },
      { resources: ['*'], actions: { b: false } },
    ];
    await managed.accounts.put({ actor: ops, id: 'acme' }, { permissions: grants });
    const found = await permissions();
    expect(found.names).toEqual(['a']);
    expect(['a', 'b', 'only', 'c.d', 'c.*', '*', '', 'x'].filter(name => found.has(name))).toEqual(['a', 'c.d']);
    expect(await permissions()).toBe(found);
    await managed.roles.create(ops, { id: 'r', permissions: ['of-the-role'] });
    await managed.accounts.patch({ actor: ops, id: 'acme' }, { roles: ['r'] });
    expect((await permissions()).names).toEqual(['of-the-role', 'a']);
  });
});

describe('tokens', () => {
  test('of the API manage, by their id; others do not, and none where the API says so', async () => {
    const { id, secret } = await key();
    expect(managerOf(await identities.identify(bearer(secret), keyRules))).toMatchObject({
      account: 'acme',
      by: 'token',
      tokenId: id,
    });
    expect(await identities.identify(bearer(secret), noRules)).toEqual(nobody);
    expect(await identities.identify(bearer(secret), { tokenKind: 'api-tokens' })).toEqual(nobody);
    const native = await managed.tokens.create(ops, { kind: 'native', owner: 'acme', permissions: 'inherit' });
    expect(await identities.identify(bearer(native.secret!), keyRules)).toEqual(nobody);
    expect(await identities.identify(bearer(native.secret!), { tokenKind: 'session' })).toEqual(nobody);
    expect(shown).toEqual([]);
  });

  test('have their own permissions, or where the API says so all that their account has', async () => {
    await managed.accounts.patch({ actor: ops, id: 'acme' }, { permissions: ['a', 'b'] });
    const { secret } = await managed.tokens.create(ops, {
      kind: 'access-keys',
      owner: 'acme',
      permissions: { a: true },
    });
    const names = async (rules: IdentityRules) =>
      managerOf(await identities.identify(bearer(secret!), rules))!.permissions.names;
    expect(await names(keyRules)).toEqual(['a']);
    expect(await names({ ...keyRules, asOwner: true })).toEqual(['a', 'b']);
    await managed.accounts.patch({ actor: ops, id: 'acme' }, { permissions: ['b'] });
    expect(await names({ ...keyRules, asOwner: true })).toEqual(['b']);
  });

  test('that are disabled, revoked, nobody’s or constrained do not', async () => {
    const disabled = await key({ state: 'disabled' });
    const revoked = await key();
    await managed.tokens.revoke({ actor: ops, id: revoked.id });
    const free = await key({ owner: null, permissions: [] });
    const bound = await key({ constraints: { networks: ['192.0.2.0/24'] } });
    for (const { secret } of [disabled, revoked, free, bound]) {
      expect(await identities.identify(bearer(secret), keyRules)).toEqual(nobody);
    }
    expect(shown).toEqual([]);
  });

  test('pass on no more than they have', async () => {
    const { secret } = await key({ permissions: { 'db.get': true, 'db.set': true, 'db.drop': true, other: true } });
    await managed.accounts.put({ actor: ops, id: 'acme' }, { permissions: ['db.get', 'other', 'more'] });
    const manager = managerOf(await identities.identify(bearer(secret), keyRules));
    expect(manager?.permissions.names).toEqual(['db.get', 'other']);
    expect(manager?.permissions.has('more')).toBe(false);
  });
});

describe('sessions of the other system', () => {
  const found = (
    account: string,
    permissions: readonly string[] | null = null,
    owns: readonly string[] | null = null,
  ): Introspected => ({ kind: 'found', account, permissions, owns });

  test('make the account on first sight, once, however many come at a time', async () => {
    answer = found('new', ['b', 'a']);
    const all = await Promise.all(Array.from({ length: 10 }, () => identities.identify(cookie('s'), noRules)));
    for (const one of all) {
      expect(managerOf(one)).toMatchObject({ account: 'new', by: 'session', tokenId: null });
      expect(managerOf(one)?.permissions.names).toEqual(['b', 'a']);
    }
    const account = await managed.accounts.get(ops, 'new');
    expect([account.permissions, account.version]).toEqual([['b', 'a'], 1]);
    const { items } = await managed.store.tokens.listEvents({ kind: 'account', id: 'new', limit: 10, after: null });
    expect(items.map(({ actor, action }) => [actor, action])).toEqual([['introspection', 'create']]);
  });

  test('whose permissions it tells are the account’s own; those of its roles stay', async () => {
    await managed.roles.create(ops, { id: 'r', permissions: ['of-the-role'] });
    await managed.accounts.patch({ actor: ops, id: 'acme' }, { roles: ['r'] });
    answer = found('acme', ['x']);
    await identities.identify(cookie('s'), noRules);
    expect(await managed.accounts.get(ops, 'acme')).toMatchObject({ permissions: ['x'], roles: ['r'], version: 3 });
    answer = found('acme', ['x']);
    await identities.identify(cookie('s'), noRules);
    expect((await managed.accounts.get(ops, 'acme')).version).toBe(3);
    answer = found('acme', []);
    await identities.identify(cookie('s'), noRules);
    expect((await managed.accounts.get(ops, 'acme')).permissions).toEqual([]);
    answer = found('acme');
    expect(managerOf(await identities.identify(cookie('s'), noRules))?.permissions.names).toEqual(['of-the-role']);
    expect((await managed.accounts.get(ops, 'acme')).permissions).toEqual([]);
  });

  test('of one account may each be told other permissions, and have those of the roles beside them', async () => {
    await managed.roles.create(ops, { id: 'r', permissions: { shared: true, denied: false, 'any.*': true } });
    await managed.accounts.patch({ actor: ops, id: 'acme' }, { roles: ['r'] });
    const [one, other] = [found('acme', ['few']), found('acme', ['denied', 'few', 'more'])];
    const permissionsBy = async (told: Introspected) => {
      answer = told;
      return managerOf(await identities.identify(cookie('s'), noRules))!.permissions;
    };
    for (let i = 0; i < 2; i++) {
      expect((await permissionsBy(one)).names).toEqual(['shared', 'few']);
      expect((await permissionsBy(other)).names).toEqual(['shared', 'denied', 'few', 'more']);
    }
    const permissions = await permissionsBy(one);
    expect(['any.thing', 'any.*', 'denied', 'more'].filter(name => permissions.has(name))).toEqual(['any.thing']);
    await managed.accounts.patch({ actor: ops, id: 'acme' }, { roles: [] });
    expect((await permissionsBy(one)).names).toEqual(['few']);
  });

  test('what it says that an account owns is what it owns, written together with its permissions', async () => {
    answer = found('new', ['x'], ['db/1']);
    await identities.identify(cookie('s'), noRules);
    expect(await managed.accounts.get(ops, 'new')).toMatchObject({ permissions: ['x'], owns: ['db/1'], version: 1 });
    answer = found('new', ['x'], []);
    await identities.identify(cookie('s'), noRules);
    expect(await managed.accounts.get(ops, 'new')).toMatchObject({ permissions: ['x'], owns: [], version: 2 });
    answer = found('new', ['y'], ['db/2']);
    await identities.identify(cookie('s'), noRules);
    expect(await managed.accounts.get(ops, 'new')).toMatchObject({ permissions: ['y'], owns: ['db/2'], version: 3 });
    answer = found('new', ['y'], ['db/2']);
    await identities.identify(cookie('s'), noRules);
    expect((await managed.accounts.get(ops, 'new')).version).toBe(3);
    // What somebody says here lasts until a session is shown again.
    await managed.accounts.patch({ actor: ops, id: 'new' }, { owns: null });
    answer = found('new', null, ['db/2']);
    await identities.identify(cookie('s'), noRules);
    expect(await managed.accounts.get(ops, 'new')).toMatchObject({ permissions: ['y'], owns: ['db/2'], version: 5 });
  });

  test('where it does not say what an account owns, that stays as it is', async () => {
    answer = found('fresh', ['x']);
    await identities.identify(cookie('s'), noRules);
    expect((await managed.accounts.get(ops, 'fresh')).owns).toBeNull();
    await managed.accounts.patch({ actor: ops, id: 'fresh' }, { owns: ['db/1'] });
    answer = found('fresh', ['y']);
    await identities.identify(cookie('s'), noRules);
    expect(await managed.accounts.get(ops, 'fresh')).toMatchObject({ permissions: ['y'], owns: ['db/1'] });
  });

  test('an answer that is kept is written once, so that it does not undo a newer one', async () => {
    const old = found('acme', ['old']);
    answer = old;
    await identities.identify(cookie('s'), noRules);
    answer = found('acme', ['new']);
    await identities.identify(cookie('s'), noRules);
    answer = old;
    await identities.identify(cookie('s'), noRules);
    expect((await managed.accounts.get(ops, 'acme')).permissions).toEqual(['new']);
  });

  test('names that are patterns grant nothing here', async () => {
    answer = found('acme', ['*', 'db.*', 'may read', 'plain', '17']);
    const manager = managerOf(await identities.identify(cookie('s'), noRules));
    expect(manager?.permissions.has('db.get')).toBe(false);
    expect((await managed.accounts.get(ops, 'acme')).permissions).toEqual(['plain']);
    expect(lines).toHaveLength(1);
  });

  test('of accounts that are disabled or deleted are nobody’s, and nothing is written', async () => {
    await managed.accounts.patch({ actor: ops, id: 'acme' }, { enabled: false });
    answer = found('acme', ['x']);
    expect(await identities.identify(cookie('s'), noRules)).toEqual(nobody);
    expect((await managed.accounts.get(ops, 'acme')).version).toBe(2);
    await managed.accounts.remove({ actor: ops, id: 'acme' });
    answer = found('acme', ['x']);
    expect(await identities.identify(cookie('s'), noRules)).toEqual(nobody);
    expect(await managed.store.tokens.getAccount('acme')).toMatchObject({ deleted: true, version: 3 });
  });

  test('of accounts that can have no id here are an outage, and so is a store that is away', async () => {
    for (const id of ['a b', '-a', 'a@b.c', '../x', 'x'.repeat(65)]) {
      answer = found(id, ['x']);
      expect(await identities.identify(cookie('s'), noRules)).toEqual(outage);
    }
    expect(lines).toHaveLength(5);
    away = true;
    answer = found('acme', ['x']);
    expect(await identities.identify(cookie('s'), noRules)).toEqual(outage);
    // Why everybody is told to try again stands in the log.
    expect(lines.slice(5)).toEqual([expect.stringContaining('the store does not answer')]);
    away = false;
    expect(managerOf(await identities.identify(cookie('s'), noRules))?.account).toBe('acme');
    expect((await managed.accounts.get(ops, 'acme')).permissions).toEqual(['x']);
  });

  test('that cannot be asked about are an outage, and nobody where there is no such system', async () => {
    answer = outage as Introspected;
    expect(await identities.identify(cookie('s'), noRules)).toEqual(outage);
    answer = null;
    expect(await identities.identify(cookie('s'), noRules)).toEqual(nobody);
  });

  test('may look like tokens of the API', async () => {
    answer = found('acme');
    const secret = 'sdpak_nobodys0';
    expect(managerOf(await identities.identify(bearer(secret), keyRules))).toMatchObject({ by: 'session' });
    expect(shown).toEqual([bearer(secret)]);
  });
});

describe('what stands beside each other', () => {
  test('the cookie counts first, then Bearer, then the parameter', async () => {
    answer = { kind: 'found', account: 'legacy', permissions: [], owns: null };
    const { secret } = await key();
    const made = await session();
    const both = { ...cookie('s'), authorization: `Bearer ${secret}`, bearer: secret, parameter: made.session };
    expect(managerOf(await identities.identify(both, keyRules))).toMatchObject({ account: 'legacy' });
    expect(shown).toEqual([cookie('s')]);
    answer = nobody as Introspected;
    expect(managerOf(await identities.identify(both, keyRules))).toMatchObject({ account: 'acme', by: 'token' });
    expect(managerOf(await identities.identify(both, noRules))).toMatchObject({ account: 'acme', by: 'session' });
    answer = outage as Introspected;
    expect(await identities.identify(both, keyRules)).toEqual(outage);
  });

  test('a bad secret of ours is not saved by a cookie of the other system', async () => {
    answer = { kind: 'found', account: 'acme', permissions: null, owns: null };
    const made = await session();
    await managed.tokens.revoke({ actor: ops, id: made.id });
    for (const bad of [made.session, `${made.session}x`, `pst_${'a'.repeat(38)}`, 'pst_']) {
      const beside = { ...bearer(bad), cookie: 'theirs=1' };
      expect(await identities.identify(beside, noRules)).toEqual(nobody);
      expect(await identities.identify({ ...parameter(bad), cookie: 'theirs=1' }, noRules)).toEqual(nobody);
    }
    expect(shown).toEqual([]);
    expect(managerOf(await identities.identify({ ...nothing, cookie: 'theirs=1' }, noRules))?.account).toBe('acme');
  });

  test('no secret of ours is ever shown to the other system', async () => {
    const made = await session();
    const { secret } = await key();
    await managed.tokens.revoke({ actor: ops, id: made.id });
    const line = `a=1; sid=legacy; t=${made.session}; q="${made.session}"; b=2`;
    const presented = {
      asker,
      cookie: line,
      cookieValue: 'legacy',
      authorization: `ApiKey ${made.session}`,
      bearer: null,
      parameter: secret,
    };
    await identities.identify(presented, noRules);
    await identities.identify({ ...presented, ...bearer(secret), cookie: line, cookieValue: 'legacy' }, noRules);
    const clean = { ...cookie('legacy'), cookie: 'a=1; sid=legacy; b=2' };
    expect(shown).toEqual([clean, clean]);
    for (const planted of [made.session, secret]) expect(JSON.stringify(shown)).not.toContain(planted);
    shown = [];
    const own = { ...parameter('theirs'), cookie: `a=1; sid=${secret}`, cookieValue: secret };
    await identities.identify(own, noRules);
    expect(shown).toEqual([{ ...parameter('theirs'), cookie: 'a=1' }]);
  });
});

test('a session is kept by its digest alone', async () => {
  const made = await session();
  const stored = JSON.stringify(await managed.store.tokens.getToken(made.id));
  expect(stored).not.toContain(made.session);
  expect(stored).toContain(hash('sha256', made.session));
});
