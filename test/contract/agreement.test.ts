import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Account, Role, StoredToken } from '../../src/core/token.ts';
import type { Cursor } from '../../src/ports/change-feed.ts';
import { openInFolder } from '../support/embedded.ts';
import { pick, randomFrom, seed } from '../support/random.ts';
import { openOn, RedisServer } from '../support/redis.ts';
import { anAccount, anAudit, aRole, aToken, made, type TestedStore } from './harness.ts';

/** The rules of mutations are written twice, in SQL and in Lua: whatever happens to one store has to happen to all. */

let server: Promise<RedisServer>;
let stores: TestedStore[];
beforeAll(async () => {
  server = RedisServer.start();
  await server;
});
beforeEach(async () => {
  stores = await Promise.all([openInFolder(), openOn(() => server)()]);
});
afterEach(() => Promise.all(stores.map(store => store.dispose())));
afterAll(() => RedisServer.stopAll());

/** Asks every store the same, and answers what all of them answered. */
async function all<T>(what: string, ask: (store: TestedStore) => Promise<T>): Promise<T> {
  const [first, ...others] = await Promise.all(stores.map(ask));
  for (const other of others) expect(other, what).toEqual(first);
  return first!;
}

/** Digests of an event are a set, and every store has an epoch of its own. */
const sorted = <T extends object>(outcome: T): T =>
  'events' in outcome
    ? {
        ...outcome,
        ...('position' in outcome && { position: (outcome.position as Cursor).seq }),
        events: (outcome.events as { digests: string[] }[]).map(e => ({ ...e, digests: e.digests.toSorted() })),
      }
    : outcome;

test(`stores agree on what becomes of any mutations, and on what can be read then (seed ${seed})`, async () => {
  const random = randomFrom(seed);
  const ids = Array.from({ length: 50 }, (_, i) => `t${i}`);
  const owners = ['acme', 'umbrella', 'initech'];
  const roles = ['r1', 'r2', 'r3', 'r4', 'r5'];
  const digests = Array.from({ length: 60 }, (_, i) => `d${i}`);
  const at = (): number => made + Math.floor(random() * 50);
  const now = stores[0]!.clock.wall();
  let moment = now;
  const kinds: Record<string, number> = {};

  const aRandomToken = (version: number): StoredToken =>
    aToken(pick(random, ids), {
      owner: pick(random, [...owners, 'nobody', null, null]),
      kind: pick(random, ['native', 'legacy']),
      state: pick(random, ['enabled', 'enabled', 'disabled', 'revoked']),
      name: pick(random, ['alpha', 'alpine', 'beta']),
      tags: ['red', 'green', 'red'].filter(() => random() < 0.4),
      createdAt: at(),
      expiresAt: random() < 0.5 ? null : at(),
      digest: pick(random, digests),
      previous: random() < 0.5 ? null : { digest: pick(random, digests), until: moment + Math.floor(random() * 20) },
      version,
    });
  const aRandomAccount = (version: number): Account =>
    anAccount(pick(random, owners), {
      enabled: random() < 0.8,
      deleted: random() < 0.15,
      revokedBefore: random() < 0.4 ? null : at(),
      roles: random() < 0.5 ? [] : [pick(random, roles), pick(random, roles)],
      version,
    });
  const aRandomRole = (version: number): Role =>
    aRole(pick(random, roles), { deleted: random() < 0.3, permissions: [`step${version}`], version });

  for (let step = 0; step < 800; step++) {
    const audit = anAudit(`step ${step}`, { at: at() });
    const chance = random();
    let outcome: { readonly kind: string };
    if (chance < 0.25) {
      const fresh = random() < 0.6 ? { id: `new-${step}`, digest: `new-${step}` } : {};
      const token = { ...aRandomToken(1), ...fresh };
      const once = random() < 0.5 ? null : { key: pick(random, ['k1', 'k2', 'k3']), body: pick(random, ['x', 'y']) };
      const key = once && { ...once, expiresAt: moment + Math.floor(random() * 200) };
      outcome = await all(`create ${step}`, async s => sorted(await s.tokens.createToken(token, audit, key)));
    } else if (chance < 0.5) {
      const fresh = aRandomToken(0);
      const known = await stores[0]!.tokens.getToken(fresh.id);
      const expected = random() < 0.9 ? (known?.token.version ?? 1) : 99;
      const token = { ...fresh, createdAt: known?.token.createdAt ?? fresh.createdAt, version: expected + 1 };
      outcome = await all(`replace ${step}`, async s => sorted(await s.tokens.replaceToken(token, expected, audit)));
    } else if (chance < 0.7) {
      const fresh = aRandomAccount(0);
      const known = await stores[0]!.tokens.getAccount(fresh.id);
      const expected = random() < 0.9 ? (known?.version ?? 0) : 99;
      const account = { ...fresh, version: expected + 1 };
      outcome = await all(`account ${step}`, async s => sorted(await s.tokens.putAccount(account, expected, audit)));
    } else if (chance < 0.85) {
      const fresh = aRandomRole(0);
      const known = await stores[0]!.tokens.getRole(fresh.id);
      const expected = random() < 0.9 ? (known?.version ?? 0) : 99;
      const role = { ...fresh, version: expected + 1 };
      outcome = await all(`role ${step}`, async s => sorted(await s.tokens.putRole(role, expected, audit)));
    } else if (chance < 0.92) {
      const live = (await stores[0]!.tokens.listRoles()).map(role => role.id);
      const order = random() < 0.7 ? live.toSorted(() => random() - 0.5) : roles;
      outcome = await all(`order ${step}`, async s => sorted(await s.tokens.orderRoles(order, audit)));
      if (outcome.kind === 'stale') outcome = { kind: 'other_roles' };
    } else {
      const [id, from, to] = [pick(random, ids), pick(random, digests), pick(random, digests)];
      await all(`rekey ${step}`, s => s.tokens.rekey(id, from, to));
      outcome = { kind: 'rekeyed' };
    }
    kinds[outcome.kind] = (kinds[outcome.kind] ?? 0) + 1;
    if (random() < 0.2) {
      moment += 5;
      for (const store of stores) store.clock.advance(5);
    }

    const asked = [pick(random, digests), pick(random, digests)];
    await all(`find ${step}`, s => s.tokens.find(asked));
    const [id, owner] = [pick(random, ids), pick(random, owners)];
    await all(`token ${step}`, s => s.tokens.getToken(id));
    await all(`live ${step}`, s => s.tokens.countLive(owner));
    await all(`owner ${step}`, s => s.tokens.getOwner(owner));
    await all(`roles ${step}`, s => s.tokens.listRoles());
    if (step % 10 !== 0) continue;
    await all(`events ${step}`, s => s.tokens.listEvents({ kind: 'token', id, limit: 1000, after: null }));
    const role = pick(random, [...roles, 'order']);
    await all(`events ${step}`, s => s.tokens.listEvents({ kind: 'role', id: role, limit: 1000, after: null }));
    await all(`accounts ${step}`, s => s.tokens.listAccounts({ limit: 10, after: null }));
    for (const state of ['enabled', 'disabled', 'revoked', undefined] as const) {
      const query = { limit: 100, after: null, ...(state && { state }) };
      await all(`list ${step}`, async s => (await s.tokens.listTokens(query)).items);
      await all(`list ${step}`, async s => (await s.tokens.listTokens({ ...query, owner, tag: 'red' })).items);
    }
  }
  const heads = await Promise.all(stores.map(store => store.feed.head()));
  expect(new Set(heads.map(({ seq }) => seq)).size).toBe(1);
  // Every outcome was there to be compared.
  const every = [
    ...['done', 'stale', 'id_exists', 'digest_exists', 'no_owner', 'marked', 'replayed', 'rekeyed'],
    ...['no_role', 'held', 'other_roles'],
  ];
  expect(Object.keys(kinds).sort()).toEqual(every.sort());
});
