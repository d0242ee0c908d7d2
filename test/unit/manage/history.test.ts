import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Refusal } from '../../../src/errors.ts';
import type { TokenView } from '../../../src/manage/token-view.ts';
import { type Managed, openManaged, ops } from '../../support/managed.ts';
import { randomFrom, seed } from '../../support/random.ts';

let managed: Managed;
beforeEach(async () => {
  managed = await openManaged();
});
afterEach(() => managed.dispose());

const step = (): void => managed.clock.advance(1000);
const now = (): number => managed.clock.wall();
const refused = async (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => 'taken',
    (error: Refusal) => error.problem.code,
  );
/** When a token was last used is no part of its history. */
const known = ({ lastUsedAt: _, versioned: __, ...view }: TokenView) => view;

describe('a token as it was', () => {
  test('is what it was answered as then, whatever has become of it', async () => {
    await managed.accounts.put({ actor: ops, id: 'acme' }, { name: 'a' });
    step();
    const { token } = await managed.tokens.create(ops, {
      kind: 'native',
      name: 'one',
      permissions: { 'a:*': true, 'a:b': false },
      tags: ['x'],
      extra: { deep: [1] },
      expiresAt: now() + 1_000_000,
    });
    const request = { actor: ops, id: token.id };
    const seen: [number, TokenView][] = [[now(), await managed.tokens.get(ops, token.id)]];
    for (const change of [
      () => managed.tokens.patch(request, { name: 'two', tags: [] }),
      () => managed.tokens.patch(request, { owner: 'acme', expiresAt: null, notBefore: 5 }),
      () => managed.tokens.patch(request, { mode: 'shadow', permissions: 'inherit' }),
      () => managed.tokens.replacePermissions(request, [{ resources: ['x/*'], actions: { a: false, b: true } }]),
      () => managed.tokens.disable(request),
      () => managed.tokens.rotate(request, 500),
      () => managed.tokens.replacePermissions(request, ['c']),
      () => managed.accounts.revokeTokens({ actor: ops, id: 'acme' }),
    ]) {
      step();
      await change();
      seen.push([now(), await managed.tokens.get(ops, token.id)]);
    }
    step();
    for (const [at, view] of seen) {
      for (const instant of [at, at + 999]) {
        expect(known(await managed.tokens.at(ops, token.id, instant)), String(at)).toEqual(known(view));
      }
    }
  });

  test('is not known from before it was made, of the future, or of the configuration', async () => {
    const { token } = await managed.tokens.create(ops, { kind: 'native', name: 'a' });
    expect(await refused(managed.tokens.at(ops, token.id, token.createdAt - 1))).toBe('not_found');
    expect(await refused(managed.tokens.at(ops, 'nothing', now()))).toBe('not_found');
    expect(await refused(managed.tokens.at(ops, token.id, now() + 1))).toBe('validation_failed');
  });

  test(`is right after any number of changes (seed ${seed})`, async () => {
    const random = randomFrom(seed);
    const { token } = await managed.tokens.create(ops, { kind: 'native', name: 'n' });
    const seen: [number, TokenView][] = [[now(), await managed.tokens.get(ops, token.id)]];
    for (let i = 0; i < 1200; i++) {
      step();
      const patch = random() < 0.5 ? { name: `n${Math.floor(random() * 5)}` } : { extra: { [`k${i % 7}`]: random() } };
      await managed.tokens.patch({ actor: ops, id: token.id }, patch);
      seen.push([now(), await managed.tokens.get(ops, token.id)]);
    }
    for (let i = 0; i < 50; i++) {
      const [at, view] = seen[Math.floor(random() * seen.length)]!;
      expect(known(await managed.tokens.at(ops, token.id, at))).toEqual(known(view));
    }
  });
});
