import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Problem, Refusal } from '../../../src/errors.ts';
import { AccountService } from '../../../src/manage/account-service.ts';
import type { Actor } from '../../../src/manage/parts.ts';
import { RoleService } from '../../../src/manage/role-service.ts';
import type { TokenMembers } from '../../../src/manage/token-members.ts';
import { TokenService } from '../../../src/manage/token-service.ts';
import type { TokenStore } from '../../../src/ports/token-store.ts';
import { aDeclaredToken, type Managed, openManaged, ops } from '../../support/managed.ts';

/** Actors that are held to the tokens of one account. */

const acme: Actor = { name: 'acme', address: '192.0.2.9', scope: { account: 'acme' } };
const native = { kind: 'native' };

let managed: Managed;
beforeEach(async () => {
  managed = await openManaged();
  await managed.accounts.create(ops, { id: 'acme', permissions: ['a', 'b'] });
  await managed.accounts.create(ops, { id: 'globex' });
});
afterEach(() => managed.dispose());

const create = async (members: Partial<Omit<TokenMembers, 'constraints'>> = {}, actor = ops) =>
  (await managed.tokens.create(actor, { ...native, ...members })).token;

async function refusal(call: Promise<unknown>): Promise<Problem> {
  const error = await call.then(
    () => new Error('it was not refused'),
    (thrown: unknown) => thrown,
  );
  if (error instanceof Refusal) return error.problem;
  throw error;
}

/** The store, with something that happens before a call of it. */
const tapped = (before: (name: string, args: readonly unknown[]) => unknown): TokenStore =>
  new Proxy(managed.parts.store, {
    get: (store, name) => {
      const method = Reflect.get(store, name) as (...args: unknown[]) => unknown;
      return async (...args: unknown[]) => {
        await before(String(name), args);
        return method.apply(store, args);
      };
    },
  });

describe('a token out of reach', () => {
  test('is looked for as one that does not exist is: the store is asked the same', async () => {
    const globex = (await create({ owner: 'globex' })).id;
    const unowned = (await create()).id;
    managed.declared.set('conf', aDeclaredToken('conf', { owner: 'globex' }));
    let asked: string[] = [];
    const store = tapped(name => void asked.push(name));
    const tokens = new TokenService({ ...managed.parts, store });
    const page = { limit: 10, after: null };
    const sha256 = 'ab'.repeat(32);
    const calls: Record<string, (id: string) => Promise<unknown>> = {
      get: id => tokens.get(acme, id),
      at: id => tokens.at(acme, id, managed.clock.wall()),
      usage: id => tokens.usage(acme, id, { step: '1h' }),
      events: id => tokens.events(acme, id, page),
      patch: id => tokens.patch({ actor: acme, id }, { name: 'x' }),
      enable: id => tokens.enable({ actor: acme, id }),
      disable: id => tokens.disable({ actor: acme, id }),
      rotate: id => tokens.rotate({ actor: acme, id }, 0),
      revoke: id => tokens.revoke({ actor: acme, id }),
      replacePermissions: id => tokens.replacePermissions({ actor: acme, id }, []),
      mergePermissions: id => tokens.mergePermissions({ actor: acme, id }, {}),
      put: id =>
        tokens.put({ actor: acme, id, precondition: version => version !== null }, { ...native, secretSha256: sha256 }),
    };
    for (const [name, call] of Object.entries(calls)) {
      const told: unknown[] = [];
      for (const id of ['tok_none', globex, unowned, 'conf']) {
        asked = [];
        const { code, detail } = await refusal(call(id));
        told.push([code, detail, asked]);
      }
      expect(told, name).toEqual(told.map(() => told[0]));
    }
  });
});

describe('what is not about tokens', () => {
  test('is refused before the store is asked, by each service and for each method', async () => {
    const asked: string[] = [];
    const store = tapped(name => void asked.push(name));
    const accounts = new AccountService({ ...managed.parts, store });
    const roles = new RoleService({ ...managed.parts, store });
    const one = { actor: acme, id: 'acme' };
    const calls = [
      accounts.create(acme, {}),
      accounts.put(one, {}),
      accounts.patch(one, {}),
      accounts.remove(one),
      accounts.get(acme, 'acme'),
      accounts.list(acme, { limit: 1, after: null }),
      roles.create(acme, {}),
      roles.put(one, {}),
      roles.patch(one, {}),
      roles.remove(one),
      roles.get(acme, 'x'),
      roles.list(acme),
      roles.order(acme, []),
    ];
    for (const call of calls) expect((await refusal(call)).code).toBe('forbidden');
    expect(asked).toEqual([]);
  });
});

describe('a creation', () => {
  test('is judged again when its account was deleted meanwhile, and made anew without a bound', async () => {
    let times = 0;
    const store = tapped(async name => {
      if (name !== 'createToken' || times++ > 0) return;
      await managed.accounts.remove({ actor: ops, id: 'acme' });
      await managed.accounts.create(ops, { id: 'acme' });
    });
    const tokens = new TokenService({ ...managed.parts, store });
    expect(await refusal(tokens.create(acme, { ...native, permissions: ['a'] }))).toMatchObject({
      code: 'forbidden',
      errors: [{ pointer: '/permissions/0' }],
    });
    times = 0;
    await managed.accounts.patch({ actor: ops, id: 'acme' }, { permissions: ['a'] });
    const said = { ...native, secretSha256: 'ab'.repeat(32), permissions: ['a'] };
    expect((await refusal(tokens.put({ actor: acme, id: 'new' }, said))).code).toBe('forbidden');
    expect(await managed.store.tokens.getToken('new')).toBeNull();
  });
});

describe('permissions', () => {
  test('that stay as they are are nobody’s doing, those that change are compared', async () => {
    const { id } = await create({ owner: 'acme', permissions: ['a', 'admin'] });
    const request = { actor: acme, id };
    await managed.tokens.patch(request, { name: 'x' });
    await managed.tokens.replacePermissions(request, ['a', 'admin']);
    const { code, errors } = await refusal(managed.tokens.replacePermissions(request, ['admin', 'a']));
    expect([code, errors!.map(({ pointer }) => pointer)]).toEqual(['forbidden', ['/0']]);
    await managed.tokens.replacePermissions(request, ['a']);
    expect((await refusal(managed.tokens.replacePermissions(request, ['a', 'admin']))).code).toBe('forbidden');
  });

  test('beyond the account keep its key from constraints without a look at passwords, until they are within', async () => {
    const constraints = { networks: ['192.0.2.0/24'], basic: { alice: 'the right one' } };
    const { id } = (await managed.tokens.create(ops, { ...native, owner: 'acme', permissions: ['*'], constraints }))
      .token;
    let worked = 0;
    const constraintSecrets = new Proxy(managed.parts.constraintSecrets, {
      get: (secrets, name) => {
        const value: unknown = Reflect.get(secrets, name);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          worked++;
          return Reflect.apply(value, secrets, args);
        };
      },
    });
    const tokens = new TokenService({ ...managed.parts, constraintSecrets });
    const request = { actor: acme, id };
    for (const password of ['the right one', 'another']) {
      const patch = { basic: { alice: password } };
      expect((await refusal(tokens.patch(request, {}, patch))).code).toBe('forbidden');
      const put = { ...native, secretSha256: 'ab'.repeat(32), permissions: ['*'], constraints: patch };
      expect((await refusal(tokens.put(request, put))).code).toBe('forbidden');
    }
    expect(worked).toBe(0);
    const { constraints: left } = await tokens.patch(request, { permissions: ['a'] }, { networks: null });
    expect(left).toEqual({ basic: { alice: true } });
  });

  test('beyond the account are named, ten at most, and one where there is much to compare', async () => {
    const named = async (count: number) => {
      const permissions = Array.from({ length: count }, (_, i) => `x${i}`);
      return (await refusal(create({ permissions: ['a', ...permissions] }, acme))).errors!.map(
        ({ pointer }) => pointer,
      );
    };
    expect(await named(2)).toEqual(['/permissions/1', '/permissions/2']);
    expect(await named(50)).toHaveLength(10);
    expect(await named(500)).toHaveLength(1);
  });

  test('may be whatever the account may: all that two of its grants make up, and what it gets later not before', async () => {
    expect((await create({ permissions: ['a', 'b'] }, acme)).owner).toBe('acme');
    expect((await create({ permissions: { '*': false } }, acme)).permissions).toEqual({ '*': false });
    expect((await refusal(create({ permissions: ['c'] }, acme))).code).toBe('forbidden');
    await managed.accounts.patch({ actor: ops, id: 'acme' }, { permissions: ['c'] });
    expect((await create({ permissions: ['c'] }, acme)).owner).toBe('acme');
    expect((await refusal(create({ permissions: ['a'] }, acme))).code).toBe('forbidden');
  });
});

describe('the trail of a token that came and went', () => {
  test('is shown for the times at which it was the account’s, without its comings and goings, on pages of any size', async () => {
    const { id } = await create({ name: '0', owner: 'acme' });
    const times: Record<string, number> = {};
    const step = async (patch: Partial<TokenMembers>) => {
      managed.clock.advance(1000);
      await managed.tokens.patch({ actor: ops, id }, patch);
      times[String(patch.name ?? patch.owner)] = managed.clock.wall();
    };
    await step({ name: '1' });
    await step({ owner: 'globex', name: '2 theirs' });
    await step({ name: '3 theirs' });
    await step({ owner: null, name: '4 theirs' });
    await step({ owner: 'acme', name: '5' });
    await step({ name: '6' });
    for (const limit of [1, 2, 3, 10]) {
      const seen: unknown[] = [];
      for (let after: number | null = null; ; ) {
        const { items, next } = await managed.tokens.events(acme, id, { limit, after });
        expect(items.length).toBeLessThanOrEqual(limit);
        seen.push(...items.map(({ changes }) => changes['name']!.to));
        if (next === null) break;
        after = next;
      }
      expect(seen).toEqual(['0', '1', '6']);
    }
    for (const [name, at] of Object.entries(times)) {
      const look = managed.tokens.at(acme, id, at);
      if (name.includes('theirs')) expect((await refusal(look)).code).toBe('not_found');
      else expect((await look).name).toBe(name);
    }
  });
});
