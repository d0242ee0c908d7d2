import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { SaidConstraints } from '../../../src/core/constraint-form.ts';
import { Refusal } from '../../../src/errors.ts';
import type { ConstraintSecrets } from '../../../src/ports/constraint-secrets.ts';
import { aDeclaredToken, type Managed, openManaged, ops } from '../../support/managed.ts';

/** Hashes that cost nothing, and every call counted: what is tested is what is kept, and when. */
class PlainSecrets implements ConstraintSecrets {
  seals = true;
  busy = false;
  readonly calls: string[] = [];
  #sealed = 0;
  #hashed = 0;
  newKey = (): string => 'n'.repeat(43);
  seal = (tokenId: string, key: string): string => `${tokenId}/${key}/${++this.#sealed}`;
  unseal = (tokenId: string, sealed: string): string | null =>
    sealed.startsWith(`${tokenId}/`) ? sealed.split('/')[1]! : null;
  sign = (key: string, text: string): string => `${key} signs ${text}`;
  hash = async (password: string): Promise<string | null> => {
    this.calls.push(`hash ${password}`);
    return this.busy ? null : `hash of ${password} ${++this.#hashed}`;
  };
  matches = async (password: string, hash: string): Promise<boolean | null> => {
    this.calls.push(`match ${password}`);
    return this.busy ? null : hash.startsWith(`hash of ${password} `);
  };
  fingerprint = async (text: string, salt: string): Promise<string | null> => `${text} ${salt}`;
}

let managed: Managed;
let secrets: PlainSecrets;
beforeEach(async () => {
  secrets = new PlainSecrets();
  managed = await openManaged({ constraintSecrets: secrets });
});
afterEach(() => managed.dispose());

const key = 'k'.repeat(32);
const create = async (constraints?: SaidConstraints): Promise<string> => {
  const { token } = await managed.tokens.create(ops, { kind: 'native', ...(constraints && { constraints }) });
  return token.id;
};
const put = (id: string, constraints: SaidConstraints) =>
  managed.tokens.put({ actor: ops, id }, { kind: 'native', secretSha256: 'a'.repeat(64), constraints });
const patch = (id: string, said: object | null) => managed.tokens.patch({ actor: ops, id }, {}, said as never);
const kept = async (id: string) => (await managed.store.tokens.getToken(id))!.token.constraints;
const refusal = async (work: Promise<unknown>) => {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof Refusal)) throw new Error(`not refused: ${String(error)}`);
  return [error.problem.code, (error.problem.errors ?? []).map(({ pointer }) => pointer)];
};

describe('what is said and what is kept', () => {
  test('passwords are hashed, keys are sealed for the token, and neither is shown', async () => {
    const id = await create({ methods: ['GET'], signature: { key }, basic: { alice: 'one' } });
    expect(await kept(id)).toEqual({
      methods: ['GET'],
      signature: { sealed: `${id}/${key}/1` },
      basic: { alice: 'hash of one 1' },
    });
    expect((await managed.tokens.get(ops, id)).constraints).toEqual({
      methods: ['GET'],
      signature: {},
      basic: { alice: true },
    });
  });
  test('the same declaration again changes nothing', async () => {
    const said = { paths: ['/a'], signature: { key }, basic: { alice: 'one', bob: 'two' } };
    await put('t1', said);
    const before = await kept('t1');
    const { token } = await put('t1', said);
    expect([token.version, await kept('t1')]).toEqual([1, before]);
    await put('t1', { ...said, signature: {}, basic: { alice: true, bob: true } });
    expect(await kept('t1')).toEqual(before);
  });
  test('the same declaration again by a key of an owner stays with the owner', async () => {
    await managed.accounts.create(ops, { id: 'acme', permissions: ['a'] });
    const actor = { ...ops, name: 'acme', scope: { account: 'acme' } };
    const said = {
      kind: 'native',
      secretSha256: 'b'.repeat(64),
      permissions: ['a'],
      constraints: { basic: { alice: 'one' } },
    };
    await managed.tokens.put({ actor, id: 't1' }, said);
    const { token } = await managed.tokens.put({ actor, id: 't1' }, said);
    expect([token.owner, token.version]).toEqual(['acme', 1]);
  });
  test('another password or key is a change, which names where it stands', async () => {
    await put('t1', { signature: { key }, basic: { alice: 'one', bob: 'two' } });
    const { token } = await put('t1', { signature: { key: `${key}2` }, basic: { alice: 'other', bob: 'two' } });
    expect(token.version).toBe(2);
    const { items } = await managed.tokens.events(ops, 't1', { limit: 10, after: null });
    expect(items.at(-1)!.changes).toEqual({ constraint_secrets: { from: null, to: ['/signature', '/basic/alice'] } });
  });
  test('a declaration without constraints lifts them', async () => {
    await put('t1', { methods: ['GET'] });
    await put('t1', {});
    expect(await kept('t1')).toEqual({});
  });
  test('a key that nobody names is made', async () => {
    const id = await create({ signature: {} });
    expect(await kept(id)).toEqual({ signature: { sealed: `${id}/${'n'.repeat(43)}/1` } });
  });
});

describe('a patch is merged into what is shown (RFC 7396)', () => {
  const said = {
    methods: ['GET'],
    params: { a: '1', b: '2' },
    signature: { key },
    basic: { alice: 'one', bob: 'two' },
  };
  test('what is not named stays, secrets too', async () => {
    const id = await create(said);
    const before = await kept(id);
    await patch(id, { methods: null, params: { b: null, c: '3' }, basic: { bob: null, carol: 'three' } });
    expect(await kept(id)).toEqual({
      params: { a: '1', c: '3' },
      signature: before.signature,
      basic: { alice: before.basic!['alice'], carol: 'hash of three 3' },
    });
    await patch(id, { signature: {} });
    expect((await kept(id)).signature).toEqual(before.signature);
    await patch(id, { signature: null, basic: null, params: null });
    expect(await kept(id)).toEqual({});
  });
  test('null takes all of them away, and a patch without them leaves them', async () => {
    const id = await create(said);
    const before = await kept(id);
    await managed.tokens.patch({ actor: ops, id }, { name: 'other' });
    expect(await kept(id)).toEqual(before);
    await patch(id, null);
    expect(await kept(id)).toEqual({});
  });
  test('the last user or parameter is not taken away in passing: that would lift the constraint', async () => {
    const id = await create(said);
    expect(await refusal(patch(id, { basic: { alice: null, bob: null } }))).toEqual([
      'validation_failed',
      ['/constraints/basic'],
    ]);
    expect(await refusal(patch(id, { params: { a: null, b: null } }))).toEqual([
      'validation_failed',
      ['/constraints/params'],
    ]);
  });
});

describe('what is refused', () => {
  test('a password that is to stay where there is none', async () => {
    expect(await refusal(create({ basic: { alice: true } }))).toEqual([
      'validation_failed',
      ['/constraints/basic/alice'],
    ]);
    const id = await create({ basic: { alice: 'one' } });
    expect(await refusal(patch(id, { basic: { bob: true, constructor: true } }))).toEqual([
      'validation_failed',
      ['/constraints/basic/bob', '/constraints/basic/constructor'],
    ]);
  });
  test('a signature without a key to seal under; one that is there stays', async () => {
    const id = await create({ signature: { key } });
    secrets.seals = false;
    expect(await refusal(create({ signature: {} }))).toEqual(['validation_failed', ['/constraints/signature']]);
    expect(await refusal(patch(id, { signature: { key: `${key}2` } }))).toEqual([
      'validation_failed',
      ['/constraints/signature'],
    ]);
    await patch(id, { methods: ['GET'] });
    expect(await kept(id)).toMatchObject({ methods: ['GET'], signature: { sealed: `${id}/${key}/1` } });
  });
  test('everything at once, and nothing is hashed for it', async () => {
    const said = { networks: ['x'], signature: { key: 'short' }, basic: { alice: '', bob: 'good' } };
    expect(await refusal(managed.tokens.create(ops, { kind: 'native', name: '\0', constraints: said }))).toEqual([
      'validation_failed',
      ['/name', '/constraints/networks/0', '/constraints/signature/key', '/constraints/basic/alice'],
    ]);
    expect(secrets.calls).toEqual([]);
  });
  test('more passwords than can wait', async () => {
    secrets.busy = true;
    expect(await refusal(create({ basic: { alice: 'one' } }))).toEqual(['overloaded', []]);
  });
});

test('a change that was overtaken is made anew without hashing again', async () => {
  const id = await create({ basic: { alice: 'one' } });
  const { store } = managed;
  const replace = store.tokens.replaceToken.bind(store.tokens);
  let overtaken = 0;
  managed.parts.store.replaceToken = async (...args) => (overtaken++ < 3 ? { kind: 'stale' } : replace(...args));
  secrets.calls.length = 0;
  await patch(id, { basic: { alice: 'two', bob: 'three' } });
  expect(secrets.calls).toEqual(['match two', 'hash two', 'hash three']);
});

test('as it was, a token shows no secrets either', async () => {
  const id = await create({ signature: { key }, basic: { alice: 'one' } });
  managed.clock.advance(1000);
  const then = managed.clock.wall();
  managed.clock.advance(1000);
  await patch(id, { basic: { alice: null, bob: 'two' }, networks: ['10.0.0.0/8'] });
  expect((await managed.tokens.at(ops, id, then)).constraints).toEqual({ signature: {}, basic: { alice: true } });
});

describe('signing', () => {
  const wanted = { target: '/x?a=1', lifeMs: 600_000 };
  test('is of method, path, query and expiry', async () => {
    const id = await create({ signature: { key } });
    const expires = managed.clock.wall() / 1000 + 600;
    expect(await managed.tokens.sign(ops, id, { ...wanted, method: 'PUT' })).toEqual({
      method: 'PUT',
      target: `/x?a=1&postern_expires=${expires}&postern_signature=${key} signs PUT\n/x\na=1&postern_expires=${expires}`,
      expiresAt: expires * 1000,
    });
    expect((await managed.tokens.sign(ops, id, { ...wanted, target: '/x' })).target).toMatch(/^\/x\?postern_expires=/);
  });
  test('what cannot be signed is refused', async () => {
    const id = await create({ signature: { key } });
    for (const [said, pointer] of [
      [{ target: 'x' }, '/target'],
      [{ target: 'http://a/x' }, '/target'],
      [{ target: '/x?postern_expires=1' }, '/target'],
      [{ target: '/x?POSTERN_signature=1' }, '/target'],
      [{ target: '/a/../b' }, '/target'],
      [{ method: 'get' }, '/method'],
      [{ lifeMs: 999 }, '/expires_in'],
      [{ lifeMs: 7 * 86_400_000 + 1 }, '/expires_in'],
    ] as const) {
      expect(await refusal(managed.tokens.sign(ops, id, { ...wanted, ...said }))).toEqual([
        'validation_failed',
        [pointer],
      ]);
    }
    expect(await refusal(managed.tokens.sign(ops, await create(), wanted))).toEqual(['conflict', []]);
    expect(await refusal(managed.tokens.sign(ops, 'nobody', wanted))).toEqual(['not_found', []]);
    managed.declared.set('conf', aDeclaredToken('conf'));
    expect(await refusal(managed.tokens.sign(ops, 'conf', wanted))).toEqual(['conflict', []]);
    await managed.tokens.revoke({ actor: ops, id });
    expect(await refusal(managed.tokens.sign(ops, id, wanted))).toEqual(['conflict', []]);
  });
});
